"""A Valkey Cluster, and what happens to one: primaries are lost, replicas take over, slots move."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import redis
from redis.crc import key_slot
from tests.servers.valkey_groups import Group
from tests.servers.valkey_process import Server, follows, until

SLOTS = 16_384
_NODE_TIMEOUT_MS = 1000
_AGREED_S = 10


class Seen(NamedTuple):
    """What a node thinks of another."""

    id: str
    port: int
    flags: frozenset[str]
    follows: str
    slots: tuple[range, ...]
    heard_ms: int

    @property
    def primary(self) -> bool:
        return "master" in self.flags and not self.flags & {"fail", "noaddr", "handshake"}

    def has(self, slot: int) -> bool:
        return any(slot in part for part in self.slots)


class Cluster(Group):
    """A cluster. Nodes keep their numbers whatever they are; which are primaries, the cluster knows."""

    def __init__(self, folder: Path, *, primaries: int = 3, replicas: int = 1, **how: Any) -> None:
        super().__init__(folder, count=primaries * (1 + replicas), **how)
        self._primaries = primaries
        self.settings = {
            "cluster-enabled": "yes",
            "cluster-node-timeout": str(_NODE_TIMEOUT_MS),
            # A replica that was cut off for long is still better than none, and stays where it is.
            "cluster-replica-validity-factor": "0",
            "cluster-allow-replica-migration": "no",
            **self.settings,
        }

    def url(self, *, prefix: str | None = None, **options: str) -> str:
        """Return a store URL that names three nodes."""
        url = self.nodes[0].url(prefix=prefix, cluster="true", **options)
        return url.replace(self.nodes[0].place(), self.nodes[0].place(*self.nodes[1:3]), 1)

    def make(self) -> None:
        super().make()
        first, count = self.nodes[0], self._primaries
        for n, node in enumerate(self.nodes):
            node.call("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
            if n < count:
                node.call("CLUSTER", "ADDSLOTSRANGE", SLOTS * n // count, SLOTS * (n + 1) // count - 1)
            for other in self.nodes[:n]:
                node.call("CLUSTER", "MEET", "127.0.0.1", other.port, other.bus)
        until(lambda: all(self._all_met(node) for node in self.nodes), "they do not meet")
        ids = {one.port: one.id for one in self.seen(first)}
        for n, node in enumerate(self.nodes[count:]):
            node.call("CLUSTER", "REPLICATE", ids[self.nodes[n % count].port])
        self.settle()

    def _all_met(self, node: Server) -> bool:
        seen = self.seen(node)
        return len(seen) == len(self.nodes) and not any(one.flags & {"handshake", "noaddr"} for one in seen)

    # --- what there is ---

    def seen(self, by: Server) -> list[Seen]:
        """Return all nodes as one node sees them; none when it does not answer."""
        try:
            text = str(by.call("CLUSTER", "NODES", patience_s=1.0))
        except (redis.ConnectionError, redis.TimeoutError):
            return []
        found = []
        for line in text.splitlines():
            name, address, flags, primary, _, heard_ms, _, _, *slots = line.split()
            port = int(address.split("@")[0].rpartition(":")[2])
            found.append(Seen(name, port, frozenset(flags.split(",")), primary, tuple(_slots(slots)), int(heard_ms)))
        return found

    def node(self, port: int) -> Server:
        return next(node for node in self.nodes if node.port == port)

    def id(self, node: Server) -> str:
        return str(node.call("CLUSTER", "MYID"))

    def primaries(self) -> list[Server]:
        """Return those that have slots, in the eyes of most."""
        views = [self.seen(node) for node in self.nodes]
        first = {one.slots[0].start for view in views for one in view if one.slots}
        return sorted({self._owner(slot, views) for slot in first}, key=self.nodes.index)

    def primary_of(self, key: str | int) -> Server:
        """Return who has a key, or a slot."""
        return self._owner(key if isinstance(key, int) else slot_of(key), [self.seen(node) for node in self.nodes])

    def _owner(self, slot: int, views: list[list[Seen]]) -> Server:
        ports = [one.port for view in views for one in view if one.has(slot)]
        assert ports, "no node answers"
        return self.node(max(ports, key=ports.count))

    def replicas_of(self, primary: Server) -> list[Server]:
        """Return who follows it, running or not."""
        answering = next(view for node in self.nodes if (view := self.seen(node)))
        mine = next(one.id for one in answering if one.port == primary.port)
        return [self.node(one.port) for one in answering if one.follows == mine]

    def settle(self) -> None:
        """Wait until every running node says that all is well, and every running replica has what its primary has."""
        running = [node for node in self.nodes if node.running()]
        until(lambda: all(map(self._content, running)), "the cluster is not well")
        for node in running:
            if node.info("replication")["role"] == "slave":
                follows(node)

    def await_clocks(self) -> None:
        """
        Have all running nodes hear of one another by the clock that is right by now.

        A node takes none for lost that it has heard of tomorrow, and does not ask it again before.
        """
        running = [node for node in self.nodes if node.running()]
        names = {node.port: self.id(node) for node in running}
        for node in running:
            for port, name in names.items():
                if port != node.port:
                    node.call("DEBUG", "CLUSTERLINK", "KILL", "ALL", name)  # who connects anew asks at once

        def right() -> bool:
            now = time.time()
            seen = [one for node in running for one in self.seen(node) if "myself" not in one.flags]
            return all(abs(now - one.heard_ms / 1000) < _AGREED_S for one in seen if one.port in names)

        until(right, "the nodes' clocks do not become right")

    def _content(self, node: Server) -> bool:
        with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
            ok = "cluster_state:ok" in str(node.call("CLUSTER", "INFO"))
            seen = [one for one in self.seen(node) if not one.flags & {"fail", "fail?"}]
            return ok and len([one for one in seen if one.primary and one.slots]) >= self._primaries
        return False

    # --- what happens to it ---

    def await_other(self, slot: int, old: Server) -> Server:
        """Wait until another than *old* has a slot, in its own eyes and in those of most; return it."""

        def other() -> Server | None:
            there = self.primary_of(slot)
            return there if there is not old and self._owner_by(there, slot) == self.id(there) else None

        found = until(other, f"nobody takes the place of {old}")
        assert found is not None
        return found

    def failover(self, primary: Server) -> Server:
        """Have a replica take over in order, nothing lost; return it."""
        slot, replica = self.a_slot_of(primary), self.replicas_of(primary)[0]
        replica.call("CLUSTER", "FAILOVER")
        self.await_other(slot, primary)
        return replica

    def lose(self, primary: Server) -> Server:
        """Kill a primary, and wait until a replica has taken over by itself; return that one."""
        slot = self.a_slot_of(primary)
        primary.kill()
        return self.await_other(slot, primary)

    def depose(self, primary: Server) -> Server:
        """
        Have a replica take over without a word to its primary; return it.

        The old one hears nothing of the cluster any more, and goes on answering as if nothing had happened.
        """
        slot, replica = self.a_slot_of(primary), self.replicas_of(primary)[0]
        primary.config(cluster_node_timeout="3600000")
        primary.call("DEBUG", "DROP-CLUSTER-PACKET-FILTER", -2)
        replica.call("CLUSTER", "FAILOVER", "TAKEOVER")
        others = [node for node in self.nodes if node is not primary]
        name = self.id(replica)
        until(lambda: all(self._owner_by(node, slot) == name for node in others), f"{replica} does not take over")
        return replica

    def _owner_by(self, node: Server, slot: int) -> str:
        return next((one.id for one in self.seen(node) if one.has(slot)), "")

    def a_slot_of(self, primary: Server) -> int:
        """Return a slot that a running primary has."""
        return next(one.slots for one in self.seen(primary) if "myself" in one.flags)[0].start

    def moving(self, slot: int, to: Server, *, keys: int = 1) -> Iterator[str]:
        """
        Move a slot step by step; go on with it to the end.

        Args:
            keys: How many at a time.

        Yields:
            What has just been done: ``marked`` (keys that are not there are asked for at *to*), ``key`` after each key
            but the last one, ``emptied``, and ``moved``.
        """
        source = self.primary_of(slot)
        to.call("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id(source))
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id(to))
        yield "marked"
        while self._move_keys(slot, source, to, keys):
            yield "key" if source.call("CLUSTER", "COUNTKEYSINSLOT", slot) else "emptied"
        # The new owner first: whoever asks the old one meanwhile is sent there.
        for node in (to, source, *self.primaries()):
            node.call("CLUSTER", "SETSLOT", slot, "NODE", self.id(to))
        yield "moved"

    def _move_keys(self, slot: int, source: Server, to: Server, count: int) -> bool:
        """Move some keys of a slot; False where there is none any more."""
        password = ("AUTH", to.password) if to.password else ()
        with source.client(raw=True) as client:
            # In two words: told "CLUSTER GETKEYSINSLOT", the client makes text of keys that are none.
            keys = client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, count)
            if keys:
                done = client.execute_command("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, *password, "KEYS", *keys)
                assert done == b"OK" or not client.exists(*keys), done  # they may have ended meanwhile
        return bool(keys)

    def move_slot(self, slot: int, to: Server, *, at_once: bool = False) -> None:
        """
        Move a slot with all its keys.

        Args:
            at_once: By the server's own means (Valkey 9), which nobody notices until all is there.
        """
        if not at_once:
            for _ in self.moving(slot, to, keys=100):
                pass
            return
        self.primary_of(slot).call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", self.id(to))
        until(lambda: self.primary_of(slot) is to, f"{to} does not get the slot")


def slot_of(key: str | bytes) -> int:
    """Return the slot of a key."""
    return key_slot(key.encode() if isinstance(key, str) else key)


def _slots(ranges: list[str]) -> Iterator[range]:
    for part in ranges:
        if not part.startswith("["):  # one that is moving
            first, _, last = part.partition("-")
            yield range(int(first), int(last or first) + 1)
