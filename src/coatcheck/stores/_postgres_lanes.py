"""
Connections to PostgreSQL, and what may be tried again. Floor 2; may import: floor 0.

A *lane* is a few connections for one purpose, so that no purpose waits for another: whatever floods the reads,
heartbeats and revocations have connections of their own.

Rules of this module:

1. Every wait is bounded: for a free connection, for making one, for the server's answers, all of them together.
2. A connection is used again only after an answer that was understood to its end. Cancelled, timed out, broken: it is
   dropped.
3. A read is tried once more on a fresh connection. So is a write that cannot have been committed, or that may be done
   twice. Of any other write whose commit was not answered nobody knows, and that is what its caller hears.
4. A commit counts when the server says that it is as durable as it was asked to be, and no warning came with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

import asyncpg

from coatcheck.errors import CoatcheckError, NotOpen, StoreUnavailable
from coatcheck.stores._postgres_faults import fault, is_lost, may_be_tried_again

T = TypeVar("T")
Connection: TypeAlias = Any
"""One of asyncpg's. Rows are of our own making, so their types are known; the driver's cannot know them."""

Connect: TypeAlias = Callable[[], Awaitable[Connection]]
_NOT_DURABLE = "PostgreSQL: the commit was not as durable as it was asked to be"
_TRIES = 6
_LONGEST_NAP_S = 0.02
_GOODBYE_S = 1.0

IDLE_MOST_S = 240.0
"""How long a connection may rest and be used again. Some networks forget such connections, and tell nobody."""

_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class _Once:
    """One call: what may still be tried, and how far it came."""

    def __init__(self, again: bool) -> None:
        self.again = again
        self.has_connection = False
        self.is_committing = False
        self.was_lost = False


class Lane:
    """
    Up to *size* connections.

    Args:
        connect: Makes one.

        begin: The statement that begins a write.

        wait_s: How long a call may take in all.

    Attributes:
        is_opening: Whether the store is being opened, when what no second try mends is :class:`StoreUnusable`.
    """

    def __init__(self, connect: Connect, *, begin: str, size: int, wait_s: float) -> None:
        self.wait_s = wait_s
        self.is_opening = False
        self._connect = connect
        self._begin = begin
        self._size = size
        self._free = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._is_closed = False
        self._now = asyncio.get_running_loop().time

    async def read(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run *work*, which only reads; once more when the connection was lost."""
        return await self._bounded(_Once(again=True), work)

    async def fetch(self, select: str, *values: Any) -> list[Any]:
        """Like :meth:`read`, for one SELECT; by a shorter way where a connection is free."""
        if self._is_closed or self._free.locked() or not self._idle or not self._is_usable(self._idle[-1]):
            return await self.read(lambda connection: connection.fetch(select, *values))
        await self._free.acquire()  # at once, so the connection is still there
        connection = self._idle.pop()
        self._busy.add(connection)
        is_sound = False
        try:
            rows: list[Any] = await connection.fetch(select, *values, timeout=self.wait_s)
            is_sound = True
        except TimeoutError:
            self._drop_idle()
            raise StoreUnavailable(f"PostgreSQL: no answer for {self.wait_s:g} s") from None
        except _ERRORS as error:
            if not is_lost(error):
                raise fault(error) from None
        finally:
            self._put_back(connection, is_sound)
            self._free.release()
        if is_sound:
            return rows
        self._drop_idle()
        return await self.read(lambda connection: connection.fetch(select, *values))

    async def write(self, step: Callable[[Connection], Awaitable[T]], *, again: bool = False) -> T:
        """
        Run *step* in a transaction, as often as it takes until none stands in its way.

        Args:
            again: It may be done twice: it is, when its commit was not answered.
        """
        once = _Once(again)
        return await self._bounded(once, lambda connection: self._transaction(connection, step, once))

    async def alone(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement that is a transaction by itself, and that may be done twice; return its rows."""

        async def work(connection: Connection) -> list[Any]:
            connection.warned = False
            rows: list[Any] = await connection.fetch(statement, *values)
            _check_durable(connection)
            return rows

        return await self._bounded(_Once(again=True), work)

    async def _bounded(self, once: _Once, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self.wait_s):
                return await self._again_and_again(once, work)
        except TimeoutError:
            what = "no answer" if once.has_connection else f"all {self._size} connections were busy"
            detail = f"{what} for {self.wait_s:g} s"
            self._drop_idle()  # whatever swallowed this answer may swallow theirs
            raise StoreUnavailable(f"PostgreSQL: {detail}") from None
        except CoatcheckError:
            raise
        except _ERRORS as error:
            raise fault(error, opening=self.is_opening) from None

    async def _again_and_again(self, once: _Once, work: Callable[[Connection], Awaitable[T]]) -> T:
        for left in reversed(range(_TRIES)):
            try:
                return await self._on_a_connection(once, work)
            except Exception as error:
                if left and may_be_tried_again(error):
                    await asyncio.sleep(random.uniform(0, _LONGEST_NAP_S))  # noqa: S311  spreads load, guards nothing
                    continue
                if once.was_lost or not is_lost(error) or (once.is_committing and not once.again):
                    raise
                once.was_lost = True  # what made this connection useless has come over the others, too
                self._drop_idle()
        raise AssertionError("the last try returns or raises")

    async def _on_a_connection(self, once: _Once, work: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._free:
            once.has_connection = True
            connection = await self._take()
            self._busy.add(connection)
            is_sound = False
            try:
                result = await work(connection)
                is_sound = True
            except (asyncpg.PostgresError, CoatcheckError) as error:
                is_sound = not is_lost(error) and not connection.is_in_transaction()
                raise
            finally:
                self._put_back(connection, is_sound)
            return result

    async def _take(self) -> Connection:
        if self._is_closed:
            raise NotOpen("the store is closed")
        while self._idle:
            connection = self._idle.pop()
            if self._is_usable(connection):
                return connection
            connection.terminate()
        return await self._connect()

    async def _transaction(self, connection: Connection, step: Callable[[Connection], Awaitable[T]], once: _Once) -> T:
        once.is_committing = False
        await connection.execute(self._begin)
        try:
            result = await step(connection)
        except (asyncpg.PostgresError, CoatcheckError):
            if not connection.is_closed():
                await connection.execute("ROLLBACK")
            raise
        once.is_committing = True
        connection.warned = False
        if await connection.execute("COMMIT") != "COMMIT":
            raise StoreUnavailable(_NOT_DURABLE)
        _check_durable(connection)
        return result

    def _is_usable(self, connection: Connection) -> bool:
        return not connection.is_closed() and self._now() - connection.idle_since < IDLE_MOST_S

    def _put_back(self, connection: Connection, is_sound: bool) -> None:
        self._busy.discard(connection)
        if is_sound and not self._is_closed and not connection.is_closed():
            connection.idle_since = self._now()
            self._idle.append(connection)
        else:
            connection.terminate()

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().terminate()

    async def close(self) -> None:
        """Let what is under way come to its end, for as long as a call may take; then let go of all connections."""
        self._is_closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.wait_s):
                for _ in range(self._size):
                    await self._free.acquire()
        for connection in self._busy:
            connection.terminate()
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.close(timeout=_GOODBYE_S)
            except Exception:
                connection.terminate()  # it is going anyway

    def abandon(self) -> list[Connection]:
        """In a forked child: give away all connections, untouched."""
        connections = [*self._idle, *self._busy]
        self._idle.clear()
        self._busy.clear()
        self._is_closed = True
        return connections


def _check_durable(connection: Connection) -> None:
    if connection.warned:
        raise StoreUnavailable(_NOT_DURABLE)
