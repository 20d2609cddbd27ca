"""
Waiting until no node answers by the old state. Floor 3; may import: floors 0 to 2.

Whoever changed something calls :meth:`Barrier.wait` with the position of the change. It returns when every node has
said that it applied it, or when its lease has run out: any heartbeat that the store processed after the commit carries
the change, and any before it gives a lease that ends within ``lease_s`` of the commit. That needs no opinion about who
is dead, and no clock but our own.

Rules of this module:

1. (*commit-before-list*, *share-only-a-later-list*) The nodes are listed after the commit; nobody rides on a list that
   was read before it.
2. (*own-node-applies-too*) Our own node is one like any other.
3. (*wait-on-own-clock*, *clock-after-commit*) The wait ends after one lease, counted on this machine's clock from after
   the commit.
4. (*sweep-by-compare*, *sweep-waits-out-the-lease*) A row that stood still for a lease while we looked is dropped, if
   it still stands there. Nobody is dropped because a wait ran out.
5. (*lost-store-raises*, *barrier-stays-in-its-epoch*) A store that is lost meanwhile is told to the caller:
   :class:`~coatcheck.errors.BarrierIncomplete`. So is one whose log is in another era than before the write: it may be
   another store, without the change.
6. (*new-epoch-waits-out-the-lease*) In an era that began by a failover, rows of nodes may be missing that still hold a
   lease of before. Until one lease after we first saw the era, nobody's answer shortens the wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from coatcheck.clock import SystemClock
from coatcheck.errors import BarrierIncomplete, CoatcheckError
from coatcheck.records import Node, Nodes, Receipt
from coatcheck.stores.base import ERA_BITS, LEASE_S, Store

log = logging.getLogger("coatcheck")

_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.0005, 0.02


class _Waiter:
    """One call that waits."""

    def __init__(self, position: int, era: int, since: float, done: asyncio.Future[Receipt], *, of_data: bool) -> None:
        self.position = position
        self.era = era
        self.of_data = of_data
        self.since = since
        self.done = done
        self.nodes = 0
        self.awaited: set[str] | None = None  # of the first list read after the commit; None before it


class Barrier:
    """
    The barriers of one engine.

    Args:
        wake: Called when a wait begins: our own node need not wait for a push.

    Attributes:
        on_wait: Hears how long each wait took, seconds.
    """

    def __init__(self, store: Store, wake: Callable[[], None]) -> None:
        self._store = store
        self._wake = wake
        # Others are waited for, and a clock that a test moves by hand does not move theirs.
        self._elapsed = SystemClock().elapsed
        self._waiters: list[_Waiter] = []
        self._more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._lease_s = LEASE_S
        self._era = 0
        self._settled_at = 0.0  # on our clock, when the leases from before this era have run out
        self._usual_s = 0.0
        self._stood: dict[str, tuple[int, float]] = {}
        self.on_wait: Callable[[float], None] = lambda waited_s: None

    async def wait(self, position: int, *, epoch: int, of_data: bool = False) -> Receipt:
        """
        Return when no node answers by what was so before *position*. The change is committed already.

        Args:
            epoch: Of the log, as it was known before the write began.

            of_data: Only data were changed: a node that holds none is not waited for.

        Raises:
            BarrierIncomplete: The store was lost meanwhile. The change stands, and reaches every node; call again what
                made it, to wait again.
        """
        done: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(position, epoch >> ERA_BITS, self._elapsed(), done, of_data=of_data)
        if self._store.is_embedded and not _holders(await self._store.nodes(), of_data=of_data):
            return Receipt(position=position, nodes=0, waited_s=0.0)
        self._waiters.append(waiter)
        self._wake()
        self._more.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._look(), name="coatcheck-barrier")
        try:
            receipt = await waiter.done
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        self._usual_s += (receipt.waited_s - self._usual_s) / 8
        self.on_wait(receipt.waited_s)
        return receipt

    async def stop(self) -> None:
        """End; who still waits hears that the wait is not complete."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        for waiter in self._waiters:
            self._give_up(waiter)

    async def _look(self) -> None:
        while self._waiters:
            # Who comes while the list is read waits for the next one: this one may be older than their commit.
            waiters = list(self._waiters)
            self._more.clear()
            try:
                nodes = await self._store.nodes()
            except CoatcheckError:
                self._end_overdue(waiters)
            except Exception:
                log.exception("the nodes cannot be listed")
                self._end_overdue(waiters)
            else:
                self.note_era(nodes.epoch, nodes.lease_s)
                self._lease_s = nodes.lease_s
                for waiter in waiters:
                    self._judge(waiter, nodes)
                await self._drop_dead(nodes)
            if self._waiters and not self._more.is_set():
                await self._nap(self._pause_s())

    def _pause_s(self) -> float:
        # Each look costs the nodes time to answer. So it is not before half of what they took the last times, and then
        # after an eighth of what this has taken so far.
        waited_s = self._elapsed() - min(waiter.since for waiter in self._waiters)
        return min(max(self._usual_s / 2 - waited_s, waited_s / 8, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)

    async def _nap(self, pause_s: float) -> None:
        waiting = asyncio.ensure_future(self._more.wait())
        try:
            await asyncio.wait([waiting], timeout=pause_s)
        finally:
            waiting.cancel()

    def _judge(self, waiter: _Waiter, nodes: Nodes) -> None:
        if nodes.epoch >> ERA_BITS != waiter.era and not self._store.is_embedded:
            self._waiters.remove(waiter)
            return self._give_up(waiter)
        if waiter.awaited is None:
            # Who joins from here on reads the log, and our change in it, after the join.
            waiter.awaited = {node.id for node in _holders(nodes, of_data=waiter.of_data)}
            waiter.nodes = len(waiter.awaited)
        behind = {node.id for node in nodes.rows if not _has_applied(node, waiter.position, nodes.epoch)}
        waiter.awaited &= behind
        now = self._elapsed()
        waited_s = now - waiter.since
        if (not waiter.awaited and now >= self._settled_at) or waited_s >= nodes.lease_s:
            self._finish(waiter, Receipt(position=waiter.position, nodes=waiter.nodes, waited_s=waited_s))

    def note_era(self, epoch: int, lease_s: float) -> None:
        """Hear in which epoch the log is. Sooner is better: what began a lease ago is not waited for."""
        if (era := epoch >> ERA_BITS) != self._era:
            self._era, self._settled_at = era, self._elapsed() + lease_s

    def _finish(self, waiter: _Waiter, receipt: Receipt) -> None:
        self._waiters.remove(waiter)
        if not waiter.done.done():
            waiter.done.set_result(receipt)

    def _end_overdue(self, waiters: list[_Waiter]) -> None:
        for waiter in waiters:
            if self._elapsed() - waiter.since >= self._lease_s:
                self._waiters.remove(waiter)
                self._give_up(waiter)

    def _give_up(self, waiter: _Waiter) -> None:
        if not waiter.done.done():
            waiter.done.set_exception(BarrierIncomplete(waiter.position, tuple(sorted(waiter.awaited or ()))))

    async def _drop_dead(self, nodes: Nodes) -> None:
        now = self._elapsed()
        stood = {}
        for node in nodes.rows:
            beat, since = self._stood.get(node.id, (node.beat, now))
            stood[node.id] = (node.beat, now if beat != node.beat else since)
        self._stood = stood
        for node in nodes.rows:
            if now - stood[node.id][1] >= nodes.lease_s:
                await self._drop(node)

    async def _drop(self, node: Node) -> None:
        del self._stood[node.id]
        try:
            if await self._store.drop_node(node.id, beat=node.beat):
                log.warning("a node that stood still is taken for dead", extra={"node": node.id, "label": node.label})
        except CoatcheckError as error:
            log.warning("a dead node cannot be dropped now", extra={"node": node.id, "code": error.code})


def _holders(nodes: Nodes, *, of_data: bool) -> list[Node]:
    return [node for node in nodes.rows if not (of_data and node.is_guest)]


def _has_applied(node: Node, position: int, epoch: int) -> bool:
    # A position counts only within its epoch: a store that was set back would hand out the same ones again.
    return node.epoch == epoch and node.applied >= position
