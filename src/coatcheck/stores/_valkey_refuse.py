"""
Which servers are refused, by what they say of themselves. Floor 2; may import: floor 0.

Rules of this module:

1. A server that may lose what it acknowledged, or forget it to make room, is refused: a revocation that is forgotten
   lets somebody in.
2. Every refusal says what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from coatcheck.stores._valkey_faults import NO_AOF, NotDone, Refused, of_connecting

_VALKEY, _REDIS = (8, 0), (7, 2)
_TOO_OLD = "the server is too old; use Valkey 8 or Redis 7.2, or a later one"
_EVICTS = (
    "the server forgets sessions and revocations when its memory is full; run CONFIG SET maxmemory-policy noeviction"
)
_NO_SYNC = "the server never syncs its log to the disk; run CONFIG SET appendfsync always"
_IN_FILE = ", and write it into its configuration"


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a server said of itself, and is accepted for.

    Attributes:
        shard: Its part of the cluster; empty where there is none. replicas: how many are connected to it.

        is_slow_to_sync: Whether its log goes to the disk once a second.
    """

    shard: str = ""
    replicas: int = 0
    is_slow_to_sync: bool = False


def check(answers: Sequence[Any], *, in_cluster: bool) -> Checked:
    """
    Look at the answers to INFO, CONFIG GET appendfsync and, in a cluster, CLUSTER MYSHARDID.

    Raises:
        Refused: It must not be used as it is. NotDone: it is no primary, or not ready.
    """
    if isinstance(answers[0], Exception):
        raise of_connecting(answers[0])
    info = parse_info(answers[0])
    if info.get("server_mode", info.get("redis_mode")) == "sentinel":
        raise Refused("this is a sentinel; write ?sentinel=NAME behind the URL")
    if _is_old(info):
        raise Refused(_TOO_OLD)
    _check_cluster(info, in_cluster)
    if info.get("role") != "master":
        raise NotDone("the server is a replica; name the primary")
    if info.get("loading", "0") != "0" or info.get("async_loading", "0") != "0":
        raise NotDone("the server is loading its data", code="LOADING", look=False)
    if info.get("aof_enabled") != "1":
        raise Refused(NO_AOF)
    if info.get("maxmemory_policy") != "noeviction":
        raise Refused(_EVICTS + _IN_FILE)
    sync = _sync(answers[1])
    if sync == b"no":
        raise Refused(_NO_SYNC + _IN_FILE)
    if in_cluster and isinstance(answers[2], Exception):
        raise of_connecting(answers[2])
    return Checked(
        shard=answers[2].decode() if in_cluster else "",
        replicas=int(info.get("connected_slaves", "0")),
        is_slow_to_sync=sync == b"everysec",
    )


def parse_info(answer: Any) -> dict[str, str]:
    """Take the answer to INFO apart."""
    lines = answer.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _check_cluster(info: dict[str, str], in_cluster: bool) -> None:
    is_one = info.get("cluster_enabled") == "1"
    if in_cluster and not is_one:
        raise Refused("the server is no part of a cluster; take cluster=true out of the URL")
    if is_one and not in_cluster:
        raise Refused("the server is part of a cluster; write ?cluster=true behind the URL")


def _is_old(info: dict[str, str]) -> bool:
    # Valkey says besides which Redis it is compatible with, for ever the same.
    ours = info.get("valkey_version")
    return _version(ours) < _VALKEY if ours else _version(info.get("redis_version", "")) < _REDIS


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in text.split(".")[:2])


def _sync(answer: Any) -> bytes:
    """Return how the log is synced; nothing where the user may not ask."""
    return bytes(answer[1]) if isinstance(answer, list) and len(answer) == 2 else b""
