"""
May memory be trusted now? The answer for a store behind a network. Floor 3; may import: floors 0 to 2.

A node holds a *lease*: for a moment after each heartbeat it may answer from memory, since whoever changes something
waits until every node has applied the change, or until its lease has run out. Each guard below has a name in
``verification/``, where the model without it accepts what was revoked.

Rules of this module:

1. (*row-before-join-read*, *join-keeps-nothing*) First the row of the node is written, then the log is read, then the
   first lease is held. Nothing read before the join is kept, and no fill begun before it.
2. (*renew-before-read*) A heartbeat writes the row, durably, and only then reads the log: the store's
   :meth:`~coatcheck.stores.base.Store.beat`.
3. (*clock-before-sending*) The clock is read before a heartbeat is sent, and the lease counts from there.
4. (*apply-before-deadline*, *last-page-before-deadline*) The deadline moves only when everything up to the head named
   in the answer's first page is applied.
5. (*apply-before-acknowledge*) A heartbeat says what is applied, keys included, and nothing more.
6. (*missing-row-is-told*, *trim-is-told*, *told-ends-lease*) No row, a log trimmed past us, another epoch: forget
   everything, and join under a new random id.
7. One heartbeat is under way at a time; an answer that comes too late is thrown away.
8. A push only wakes us early: we read the log, and a heartbeat follows at once if it says something new. One that would
   not is left for when it is due.
9. Heartbeats follow each other at a quarter of the lease, counted from when they are sent. So a feed that holds its
   answers for that long (``docs/reference/feed.md``) is asked again at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar

from coatcheck.clock import Clock
from coatcheck.errors import CoatcheckError, StoreUnavailable
from coatcheck.fleet.knowledge import FROM_THE_END, Knowledge
from coatcheck.fleet.trust import NEVER, Trust
from coatcheck.records import Tail
from coatcheck.stores.base import ChangeFeed, Place

log = logging.getLogger("coatcheck")

T = TypeVar("T")

MARGIN = 0.05
"""Of a lease, taken off by the node and added by who waits for it: covers clocks that run at different speeds."""

BEATS_PER_LEASE = 4
_CALENDAR_S = 0.05
_SHORTEST_PAUSE_S = 0.02
_TRIES = 4
_JOIN_S = 15.0


def trusted_s(lease_s: float) -> float:
    """Return how long memory counts after a heartbeat, seconds. A revoker waits for ``lease_s`` at most."""
    return lease_s * (1 - 2 * MARGIN)


class Lease(Trust):
    """
    Keeps memory as true as a store behind a network.

    Attributes:
        lease_s: The store's setting, seconds. node: the id of our row; None while we are not joined.
    """

    def __init__(self, store: ChangeFeed, knowledge: Knowledge, clock: Clock) -> None:
        super().__init__(knowledge, clock)
        self._store = store
        self._lock = knowledge.cache.lock
        self.seen = 0  # the pulse of a fleet never moves: the deadline alone decides
        self.node: str | None = None
        self.lease_s = 0.0
        self._has_lapsed = False
        self._deadline = NEVER
        self._apart = 0.0
        self._beats = 0
        self._wake = asyncio.Event()
        self._pushed = False
        self._said: Place | None = None  # what our row says is applied
        self._due = NEVER  # when the next heartbeat is
        self._round_over: asyncio.Future[CoatcheckError | None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        # A clock that is moved by hand says so: while it was moved, heartbeats went on as usual.
        follow = getattr(clock, "on_advance", None)
        if follow is not None:
            follow(self._advanced)

    # --- asked by every check ---

    def catch_up(self, elapsed: float) -> bool:
        """Say whether the lease holds at *elapsed*."""
        self._check_usable()  # without the lock: in the child of a fork nobody gives it back
        with self._lock:
            self._check_usable()
            if elapsed >= self._deadline or self._was_stopped():
                self._note_lapse()
                return False
            self.now = self._clock.now()
            self.ask_at = min(self._deadline, elapsed + _CALENDAR_S)
        return True

    async def be_sure(self) -> Place | None:
        for _ in range(_TRIES):
            if self.is_sure(self._clock.elapsed()):
                return self.place()
            fault = await self._next_round()
            if fault is not None:
                raise fault
        if self.is_sure(self._clock.elapsed()):
            return self.place()
        raise StoreUnavailable("the store answers too slowly for a lease to hold")

    def wake(self) -> None:
        """Send a heartbeat now: somebody in this process waits for us to have applied something."""
        super().wake()
        self._pushed = True
        self._wake.set()

    # --- living ---

    async def start(self) -> None:
        self._fault = None
        self._beats = 0
        self.node = None
        self.ask_at = self._deadline = NEVER
        self._has_lapsed = True  # the time before the first lease is no lapse
        self.knowledge.begin()
        await self._bounded(self._join(), _JOIN_S)
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._run(), name="coatcheck-heartbeat"),
            loop.create_task(self._listen(), name="coatcheck-push"),
        ]

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._end_round(self._fault)
        node, self.node = self.node, None
        if node is not None:
            # Nobody needs to wait for us any more. If this fails the row is dropped for standing still.
            with contextlib.suppress(CoatcheckError, TimeoutError):
                await self._bounded(self._store.leave(node), self.lease_s * 2)

    async def _run(self) -> None:
        failures = 0
        while self._fault is None:
            try:
                # After a failure, too: somebody may have been waiting for us meanwhile.
                is_news = await self._bounded(self._round(), self._round_s()) or failures > 0
                fault, failures = None, 0
            except CoatcheckError as error:
                is_news, fault, failures = False, error, failures + 1
            except Exception as error:
                # A fault of ours. The node goes on without a lease, and asks the store.
                log.exception("a heartbeat failed", extra={"node": self.node})
                is_news, fault, failures = False, StoreUnavailable(f"a heartbeat failed ({type(error).__name__})"), 1
            self._end_round(fault)
            if failures == 1:
                log.warning("no heartbeat", extra={"node": self.node, "code": fault.code if fault else ""})
            # News is acknowledged at once: somebody may be waiting for it.
            pause_s = 0.0 if is_news else self._pause_s(failures)
            if not failures and not is_news:
                pause_s = self._due - asyncio.get_running_loop().time()
            if pause_s > 0:
                await self._sleep(pause_s, shortest_s=_SHORTEST_PAUSE_S if failures else 0.0)

    async def _round(self) -> bool:
        """Join, if we are not joined, or send a heartbeat; say whether something was applied that we must tell."""
        if self.node is None:
            await self._join()
            return True
        self._wake.clear()
        if self._pushed:
            self._pushed = False
            # Read first, so that the heartbeat that follows can say that it is applied.
            if not await self._apply(await self._store.tail(self.knowledge.applied)):
                await self._lose()
                return True
            if not self._has_to_say():
                return False
        return await self._beat(self.node)

    def _has_to_say(self) -> bool:
        """Say whether a heartbeat is due, or waited for, or would say what our row does not say yet."""
        is_due = asyncio.get_running_loop().time() >= self._due
        return is_due or self._round_over is not None or self._said != self.place()

    async def _join(self) -> None:
        known, node = self.knowledge, secrets.token_hex(16)
        with self._lock:
            self.ask_at = self._deadline = NEVER
            known.drop()
        sent, apart = self._clock.elapsed(), self._clocks_apart()
        self.lease_s = await self._store.join(node, label=_label())
        if not await self._learn():
            raise StoreUnavailable("the change log was trimmed, or began a new epoch, while it was read")
        self._beats = 0
        self._said = None
        self.node = node
        self._hold(sent, apart)

    async def _learn(self) -> bool:
        """Read every unforgotten change."""
        known = self.knowledge
        learning = known.learn()
        tail = await self._store.tail(FROM_THE_END if learning is None else 0)
        if learning is None:
            known.skip_to(tail)
            return True
        epoch, goal = tail.epoch, tail.head
        with self._lock:
            learning.apply(tail)
        while known.applied < goal:
            tail = await self._store.tail(known.applied)
            if tail.epoch != epoch or tail.trimmed > known.applied:
                return False
            with self._lock:
                learning.apply(tail)
        if not await self._load_keys(epoch):
            return False
        with self._lock:
            learning.done(epoch)
        return True

    async def _beat(self, node: str) -> bool:
        known = self.knowledge
        # Where that failed the last time, what is applied is not to be told yet.
        if not await self._load_keys(known.epoch):
            await self._lose()
            return True
        self._beats += 1
        before, saying = known.applied, self.place()
        self._said = None  # until it is answered, nobody knows what our row says
        self._due = asyncio.get_running_loop().time() + self._pause_s(0)
        sent, apart = self._clock.elapsed(), self._clocks_apart()
        tail = await self._store.beat(node, beat=self._beats, applied=before, epoch=known.epoch)
        self._said = saying
        if tail is None or not await self._apply(tail):
            await self._lose()
            return True
        self._hold(sent, apart)
        return known.applied != before

    async def _apply(self, tail: Tail) -> bool:
        """Apply *tail* and what follows, as far as the head that it names; False when there is a gap."""
        known, goal = self.knowledge, tail.head
        while known.is_followed_by(tail):
            with self._lock:
                known.apply(tail)
            if not await self._load_keys(known.epoch):  # before more is asked for: on a feed, asking acknowledges
                return False
            if known.applied >= goal:
                return True
            tail = await self._store.tail(known.applied)
        return False

    async def _load_keys(self, epoch: int) -> bool:
        """See to it that the keys are as new as the log; False where they are of another epoch: our place is lost."""
        if not self.knowledge.needs_keys:
            return True
        rows = await self._store.keys()
        with self._lock:
            return self.knowledge.take_keys(rows, epoch)

    async def _lose(self) -> None:
        """We were told that our place is lost: trust nothing, and join anew."""
        node, self.node = self.node, None
        with self._lock:
            self.ask_at = self._deadline = NEVER
            self.knowledge.drop()
        log.warning("this node lost its place in the change log and begins anew", extra={"node": node})
        if node is not None:
            # It answers nothing from here on, so nobody needs to wait for the old row.
            await self._store.leave(node)
        await self._join()

    def _hold(self, sent: float, apart: float) -> None:
        with self._lock:
            if self._fault is None:
                self._deadline = sent + trusted_s(self.lease_s)
                self._apart = apart
                self._has_lapsed = False

    # --- clocks ---

    def _clocks_apart(self) -> float:
        # A virtual machine that was suspended can lose time on every clock but the calendar, which is set right later.
        wall = getattr(self._clock, "wall", None)
        return 0.0 if wall is None else wall() - self._clock.elapsed()

    def _was_stopped(self) -> bool:
        return self._clocks_apart() - self._apart > self.lease_s * MARGIN

    def _note_lapse(self) -> None:
        self.ask_at = NEVER
        if not self._has_lapsed:
            self._has_lapsed = True
            self.lapses += 1

    def _advanced(self, seconds: float) -> None:
        with self._lock:
            self._deadline += seconds
            self.ask_at = NEVER

    # --- waiting ---

    def _pause_s(self, failures: int) -> float:
        usual: float = (self.lease_s or 1.0) / BEATS_PER_LEASE
        return usual if not failures else min(usual, _SHORTEST_PAUSE_S * 2.0 ** min(failures, 10))

    async def _sleep(self, pause_s: float, *, shortest_s: float) -> None:
        await asyncio.sleep(shortest_s)
        # Not wait_for(): on Python 3.11 it can swallow a cancellation that comes together with the wake-up.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._wake.wait()

    async def _listen(self) -> None:
        while True:
            await self._store.pushed()
            self.wake()

    def _round_s(self) -> float:
        # What comes later than a lease is of no use. Joining may take longer: there may be much to learn.
        return _JOIN_S if self.node is None else self.lease_s * 2

    async def _bounded(self, work: Coroutine[Any, Any, T], most_s: float) -> T:
        try:
            async with asyncio.timeout(most_s):
                return await work
        except TimeoutError:
            raise StoreUnavailable("the store did not answer a heartbeat in time") from None

    async def _next_round(self) -> CoatcheckError | None:
        if self._fault is not None:
            raise self._fault
        if not self._tasks:
            raise StoreUnavailable("the node is not joined")
        if self._round_over is None:
            self._round_over = asyncio.get_running_loop().create_future()
        self._wake.set()
        # Shielded: whoever stops waiting must not end the others' wait.
        return await asyncio.shield(self._round_over)

    def _end_round(self, fault: CoatcheckError | None) -> None:
        over, self._round_over = self._round_over, None
        if over is not None and not over.done():
            over.set_result(fault)


def _label() -> str:
    return f"{socket.gethostname()[:64]} {os.getpid()}"
