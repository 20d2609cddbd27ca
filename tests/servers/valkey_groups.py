"""Valkey servers that belong together: one alone, a primary with replicas, and that with sentinels."""

from __future__ import annotations

import contextlib
import urllib.parse
from pathlib import Path
from typing import Any

import redis
from tests.servers.valkey_process import PATIENCE_S, Server, follows, free_port, fresh_prefix, remove, until

NAME = "coatcheck"  # what sentinels call the primary
_DOWN_AFTER_MS = 500


class Group:
    """
    Servers that belong together.

    Attributes:
        nodes: All that keep something, as numbered from their beginning.
    """

    def __init__(
        self,
        folder: Path,
        *,
        count: int,
        password: bool = False,
        env: dict[str, str] | None = None,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.settings = settings or {}
        self.nodes = [Server(folder / f"node-{n}", password=password, env=env) for n in range(count)]

    def everything(self) -> list[Server]:
        """Return all servers, those that keep nothing too."""
        return self.nodes

    def make(self) -> None:
        for node in self.nodes:
            node.make(self.settings)

    def close(self) -> None:
        """End all and remove their folder."""
        remove(self.folder)


class Single(Group):
    """One server."""

    def __init__(self, folder: Path, **how: Any) -> None:
        super().__init__(folder, count=1, **how)


class Replicated(Group):
    """
    A primary and its replicas.

    Attributes:
        primary: The one that was made so last. replicas: those that follow it.
    """

    def __init__(self, folder: Path, *, replicas: int = 1, **how: Any) -> None:
        super().__init__(folder, count=1 + replicas, **how)
        self.primary, *self.replicas = self.nodes

    def make(self) -> None:
        super().make()
        for replica in self.replicas:
            replica.call("REPLICAOF", "127.0.0.1", self.primary.port)
        for replica in self.replicas:
            follows(replica)

    def url(self, *, prefix: str | None = None, **options: str) -> str:
        """Return a store URL that names the present primary."""
        return self.primary.url(prefix=prefix, **options)

    def promote(self, replica: Server, *, attach: bool = True) -> Server:
        """
        Make *replica* the primary; return the old one, which is left as it is.

        Args:
            attach: Have the other replicas follow the new one.
        """
        old, self.primary = self.primary, replica
        replica.call("REPLICAOF", "NO", "ONE")
        self.replicas.remove(replica)
        for other in self.replicas if attach else []:
            self.attach(other)
        return old

    def attach(self, node: Server) -> None:
        """Have a node follow the primary, and wait until it does."""
        node.call("REPLICAOF", "127.0.0.1", self.primary.port)
        follows(node)
        if node not in self.replicas:
            self.replicas.append(node)


class Sentinel(Replicated):
    """
    A primary, its replicas, and three sentinels who make another the primary when it does not answer.

    Attributes:
        sentinels: Them.
    """

    def __init__(self, folder: Path, **how: Any) -> None:
        super().__init__(folder, **how)
        self.sentinels = [Server(folder / f"sentinel-{n}", env=how.get("env")) for n in range(3)]

    def everything(self) -> list[Server]:
        return self.nodes + self.sentinels

    def make(self) -> None:
        super().make()
        for one in self.sentinels:
            self._make_sentinel(one)
        for one in self.sentinels:
            until(lambda one=one: self._knows_all(one), f"{one} does not know the others")

    def _make_sentinel(self, one: Server) -> None:
        one.data.mkdir(parents=True)
        one.port = free_port()
        lines = [
            "bind 127.0.0.1",
            f"port {one.port}",
            f'dir "{one.data}"',
            f'logfile "{one.folder / "log"}"',
            "set-proc-title no",
            f"sentinel monitor {NAME} 127.0.0.1 {self.primary.port} 2",
            f"sentinel down-after-milliseconds {NAME} {_DOWN_AFTER_MS}",
            f"sentinel failover-timeout {NAME} 3000",
        ]
        if self.primary.password:
            lines.append(f'sentinel auth-pass {NAME} "{self.primary.password}"')
        (one.folder / "valkey.conf").write_text("\n".join(lines) + "\n")
        one.start("--sentinel")
        one.call("SENTINEL", "DEBUG", "info-period", 300, "publish-period", 200, "ask-period", 200)

    def _knows_all(self, one: Server) -> bool:
        state = _pairs(one.call("SENTINEL", "MASTER", NAME))
        return int(state["num-slaves"]) == len(self.replicas) and state["num-other-sentinels"] == "2"

    def named(self) -> Server | None:
        """Return who is the primary in the word of most sentinels; None when they do not agree."""
        ports = [int(one.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1]) for one in self.sentinels]
        most = max(ports, key=ports.count)
        return next(node for node in self.nodes if node.port == most) if ports.count(most) > 1 else None

    def taken_back(self, node: Server) -> None:
        """Wait until a former primary follows the new one."""

        def follows() -> bool:
            with contextlib.suppress(redis.ConnectionError):  # whoever makes it follow hangs up on all its clients
                return node.info("replication")["role"] == "slave"
            return False

        # A sentinel that stood still for two seconds distrusts its clock for thirty, and does nothing meanwhile.
        until(follows, f"{node} does not follow", patience_s=3 * PATIENCE_S)

    def url(self, *, prefix: str | None = None, **options: str) -> str:
        """Return a store URL that names the sentinels."""
        options = {"sentinel": NAME, "prefix": prefix or fresh_prefix(), **options}
        user = f":{urllib.parse.quote(self.primary.password)}@" if self.primary.password else ""
        where = ",".join(one.address for one in self.sentinels)
        return f"valkey://{user}{where}/0?{urllib.parse.urlencode(options)}"


def _pairs(answer: object) -> dict[str, str]:
    """Return fields and values, in whichever protocol they came."""
    if isinstance(answer, dict):
        return answer
    assert isinstance(answer, list)
    return dict(zip(answer[::2], answer[1::2], strict=True))
