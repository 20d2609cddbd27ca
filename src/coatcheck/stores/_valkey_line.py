"""
Lines to a Valkey server: many callers, one journey, one wait for the disks. Floor 2; may import: floor 0.

A *line* is one or two connections to one server for one purpose, so that no purpose waits for another. What comes while
the connections are busy gathers, and goes out together, followed by one ``WAITAOF`` for all of it where any of it has
to last. Alone, a caller waits for nobody, and no task is made for it.

Rules of this module:

1. What has to last is asked for on the connection that wrote it (:mod:`._valkey_disks`).
2. A caller hears its outcome after the disks were waited for, never before.
3. A caller that gives up takes nobody else with it: a group is a task of its own.
4. A connection is used again only after answers that were understood to their end. Cancelled, timed out, broken: it is
   dropped.
5. The number of those who wait is bounded, and so is that of those who go together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from coatcheck.errors import NotOpen, StoreUnavailable
from coatcheck.stores._valkey_connect import Link
from coatcheck.stores._valkey_disks import COUNT, Disks, judge, sync, waitaof
from coatcheck.stores._valkey_faults import (
    DRIVERS,
    Lost,
    NotDone,
    code_of,
    of_losing,
    of_reply,
)

MOST = 256
MOST_WAITING = 10_000
_ASKING = b"*1\r\n$6\r\nASKING\r\n"
_MARGIN_S = 0.2
_MARGIN_PART = 0.1


class Ask:
    """
    What one caller wants of one server.

    Args:
        packed: The command, as it is sent. is_durable: whether it counts only when it is on the disks.

        until: When the caller gives up, by the clock of the event loop.

        is_asking: Whether the slot is being moved to this server.

    Attributes:
        is_sent: Whether it may have been executed. shard: of the cluster, that answered.
    """

    __slots__ = ("future", "is_asking", "is_durable", "is_sent", "is_settled", "outcome", "packed", "shard", "until")

    def __init__(self, packed: Sequence[bytes], *, is_durable: bool, until: float, is_asking: bool = False) -> None:
        self.packed = packed
        self.is_durable = is_durable
        self.until = until
        self.is_asking = is_asking
        self.future: asyncio.Future[Any] | None = None
        self.is_sent = False
        self.is_settled = False
        self.outcome: Any = None
        self.shard = ""

    def settle(self, outcome: Any) -> None:
        """Let the caller hear *outcome*; an error is raised there."""
        if self.is_settled:
            return
        self.is_settled = True
        self.outcome = outcome
        if self.future is not None and not self.future.done():
            if isinstance(outcome, BaseException):
                self.future.set_exception(outcome)
            else:
                self.future.set_result(outcome)


class Line:
    """
    Up to *size* connections to one server.

    Args:
        connect: Makes one.

        disks: Of that server.
    """

    def __init__(self, connect: Callable[[], Awaitable[Link]], disks: Disks, *, size: int) -> None:
        self._connect = connect
        self._disks = disks
        self._size = size
        self._in_use = 0
        self._waiting: deque[Ask] = deque()
        self._idle: list[Link] = []
        self._busy: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._gone: Exception | None = None
        self._now = asyncio.get_running_loop().time

    async def ask(self, ask: Ask) -> Any:
        """
        Return the server's answer to *ask*.

        Raises:
            NotDone, Lost, Refused, StoreUnavailable: see :mod:`._valkey_faults`.
        """
        if self._gone is not None:
            raise self._gone
        if self._in_use < self._size and not self._waiting:
            return await self._alone(ask)
        if len(self._waiting) >= MOST_WAITING:
            raise StoreUnavailable(f"Valkey: {MOST_WAITING} calls are waiting already")
        ask.future = asyncio.get_running_loop().create_future()
        self._waiting.append(ask)
        self._wake()
        return await ask.future

    async def _alone(self, ask: Ask) -> Any:
        self._in_use += 1
        try:
            await self._on_a_link([ask])
        finally:
            self._in_use -= 1
            if self._waiting:
                self._wake()
        if isinstance(ask.outcome, BaseException):
            raise ask.outcome
        return ask.outcome

    def _wake(self) -> None:
        if self._waiting and self._in_use < self._size:
            self._in_use += 1
            task = asyncio.create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        try:
            while group := self._next():
                await self._serve(group)
        finally:
            self._in_use -= 1

    def _next(self) -> list[Ask]:
        group: list[Ask] = []
        while self._waiting and len(group) < MOST:
            ask = self._waiting.popleft()
            if ask.future is not None and not ask.future.done():
                group.append(ask)
        return group

    async def _serve(self, group: Sequence[Ask]) -> None:
        try:
            async with asyncio.timeout_at(max(ask.until for ask in group)):
                await self._on_a_link(group)
        except TimeoutError:
            self.drop_idle()
            _settle(group, Lost("no answer in time"))
        except Exception as error:
            # Whatever it is, each caller hears it.
            _settle(group, error)
        except BaseException:
            _settle(group, NotOpen("the store is closed"))
            raise

    async def _on_a_link(self, group: Sequence[Ask]) -> None:
        link = self._pop()
        if link is None:
            link = await self._connect()
            if self._gone is not None:
                link.terminate()
                raise self._gone
        self._busy.add(link)
        is_sound = False
        try:
            is_sound = await self._exchange(link, group)
        except DRIVERS as error:
            self.drop_idle()  # what made this connection useless has come over the others, too
            raise of_losing(error) from None
        finally:
            self._busy.discard(link)
            if is_sound and self._gone is None:
                link.idle_since = self._now()
                self._idle.append(link)
            else:
                link.terminate()

    async def _exchange(self, link: Link, group: Sequence[Ask]) -> bool:
        """Send all of *group*, and settle it; say whether the connection may be used again."""
        is_sound, is_durable = True, False
        packed: list[bytes] = []
        for ask in group:
            if ask.is_asking:
                packed.append(_ASKING)
            packed += ask.packed
            is_durable = is_durable or ask.is_durable
            ask.is_sent = True
            ask.shard = link.checked.shard
        is_counting = is_durable and self._disks.is_due(self._now())
        if is_counting:
            packed.append(COUNT)
        needed = self._disks.needed if is_durable else 0
        is_here_only = is_durable and needed == 0
        if is_here_only:  # nobody else is asked, so the question goes along
            packed.append(waitaof(0, self._until(group) - self._now()))
        await link.send(packed)
        lasting = []
        for ask in group:
            if ask.is_asking:
                await link.read()
            answer = await link.read()
            if isinstance(answer, Exception):
                is_sound = is_sound and code_of(answer) not in ("NOSCRIPT", "READONLY")  # a fresh one looks anew
                ask.settle(of_reply(answer))
            elif ask.is_durable:
                lasting.append((ask, answer))
            else:
                ask.settle(answer)
        if is_counting:
            self._disks.count(await link.read(), self._now())
        if is_durable:
            if is_here_only:
                fault = judge(await link.read(), 0)
            else:
                fault, is_all_read = await sync(link, needed, self._until(group))
                is_sound = is_sound and is_all_read
            for ask, answer in lasting:
                ask.settle(answer if fault is None else fault)
        return is_sound

    def _until(self, group: Sequence[Ask]) -> float:
        """Return when to give up waiting for the disks: so that the last caller still hears how many there were."""
        until = max(ask.until for ask in group if ask.is_durable)
        return until - min(_MARGIN_S, _MARGIN_PART * (until - self._now()))

    def _pop(self) -> Link | None:
        while self._idle:
            link = self._idle.pop()
            if link.is_usable(self._now()):
                return link
            link.terminate()
        return None

    def give(self, link: Link) -> None:
        """Take over a connection that was made already."""
        link.idle_since = self._now()
        self._idle.append(link)

    def drop_idle(self) -> None:
        """Let go of the connections that nobody uses."""
        while self._idle:
            self._idle.pop().terminate()

    def retire(self, why: Exception) -> None:
        """Take no more calls: this server is no primary any more. What is under way comes to its own end."""
        self._gone = why
        self.drop_idle()
        while self._waiting:
            self._waiting.popleft().settle(why)

    async def close(self) -> None:
        """Let go of everything, at once."""
        self.retire(NotOpen("the store is closed"))
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for link in self._busy:
            link.terminate()

    @property
    def idle(self) -> list[Link]:
        """The connections that nobody uses; for who closes them politely."""
        idle, self._idle = self._idle, []
        return idle

    def abandon(self) -> list[Any]:
        """In a forked child: give away all connections, and what uses them, untouched."""
        things: list[Any] = [*self._idle, *self._busy, *self._tasks, *self._waiting]
        self._idle, self._busy, self._tasks, self._waiting = [], set(), set(), deque()
        self._gone = NotOpen("the store is closed")
        return things


def _settle(group: Sequence[Ask], outcome: Exception) -> None:
    for ask in group:
        # Before it was sent, nothing happened, whatever it was.
        unsent = isinstance(outcome, Lost) and not ask.is_sent
        ask.settle(NotDone(outcome.said) if unsent and isinstance(outcome, Lost) else outcome)
