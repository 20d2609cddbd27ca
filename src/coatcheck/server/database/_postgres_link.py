"""
Connections of the server's database to PostgreSQL. Floor 6; may import: floors 0 to 2.

How they are made, waited for and given up, and what may be tried again, is the store's
(:mod:`coatcheck.stores._postgres_lanes`). These are of our own, so that a crowd at the sign-in keeps no session from
being checked.

Rules of this module:

1. A step is one transaction. It begins by taking the lock of what it decides about; each statement sees what was
   committed before it (READ COMMITTED), so what it reads after the lock is so until it commits.
2. A step that was begun goes on to its end, whether or not its caller still waits for it.
3. Where it broke after the step, at the commit, nobody can tell whether it counts. The error says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

from coatcheck.errors import CoatcheckError, Forked, NotOpen, StoreUnavailable
from coatcheck.stores._postgres_connect import Connector, begin
from coatcheck.stores._postgres_lanes import Lane
from coatcheck.stores._postgres_url import Settings

T = TypeVar("T")
Step = Callable[[Any], Awaitable[T]]

WAIT_S = 5.0
"""How long a step may take in all."""


class Link:
    """
    The connections of one process to one database.

    Args:
        settings: Where.
    """

    def __init__(self, settings: Settings, *, wait_s: float) -> None:
        self._settings = settings
        self._wait_s = wait_s
        self._lane: Lane | None = None
        self._pid = 0
        self._under_way: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Get ready. Nothing is connected yet."""
        self._pid = os.getpid()
        self._lane = self._make(self._settings.pool, self._wait_s)

    async def close(self) -> None:
        """Let go of all connections, when the steps under way have ended."""
        lane, self._lane = self._lane, None
        if lane is not None and self._pid == os.getpid():
            await lane.close()

    @contextlib.asynccontextmanager
    async def alone(self, *, wait_s: float) -> AsyncIterator[Lane]:
        """Give a single connection: for the look at the beginning, and for migrations."""
        lane = self._make(1, wait_s)
        lane.is_opening = True
        try:
            with _told_of_the_database():
                yield lane
        finally:
            await lane.close()

    def _make(self, size: int, wait_s: float) -> Lane:
        return Lane(Connector(self._settings).connect, begin=begin(wait_s), size=size, wait_s=wait_s)

    async def read(self, step: Step[T]) -> T:
        """Do a step that is one statement and changes nothing."""
        return await self._shielded(lambda lane: lane.read(step))

    async def write(self, step: Step[T]) -> T:
        """Do a step in a transaction, which is committed if *step* returns."""
        is_done = False

        async def noting(connection: Any) -> T:
            nonlocal is_done
            is_done = False
            result = await step(connection)
            is_done = True
            return result

        try:
            return await self._shielded(lambda lane: lane.write(noting))
        except StoreUnavailable as error:
            if not is_done:
                raise
            raise StoreUnavailable(f"{error}; what was to be written may be there or not") from None

    async def _shielded(self, work: Callable[[Lane], Awaitable[T]]) -> T:
        if self._lane is None:
            raise NotOpen("the database is not open")
        if self._pid != os.getpid():
            raise Forked("the database was opened before fork(); open it in each process, after the fork")
        task = asyncio.ensure_future(work(self._lane))
        self._under_way.add(task)  # a loop alone does not keep what nobody waits for
        task.add_done_callback(self._under_way.discard)
        with _told_of_the_database():
            return await asyncio.shield(task)


@contextlib.contextmanager
def _told_of_the_database() -> Iterator[None]:
    """Let errors say whose they are: the store may be in PostgreSQL, too."""
    try:
        yield
    except CoatcheckError as error:
        told = str(error)
        if not told.startswith("PostgreSQL: "):
            raise
        raise type(error)(f"the database: {told}") from None
