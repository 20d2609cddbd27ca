"""
Group commit: many callers, one transaction, one position of the disk. Floor 2; may import: floor 0.

Every commit that appends to the log waits for the one before: the row that counts positions orders them. So those that
wait in one process go together. Alone, a caller waits for nobody.

Rules of this module:

1. A caller hears its outcome after the commit of its group, never before.
2. A caller that gives up takes nobody else with it: the group is a task of its own.
3. When a commit fails, everyone in it hears so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from coatcheck.errors import NotOpen, StoreUnavailable

A = TypeVar("A")
T = TypeVar("T")

MOST = 256
MOST_WAITING = 10_000


class Group(Generic[A, T]):
    """
    Collects what callers ask for while an earlier group is under way.

    Args:
        run: Does all of it in one transaction, and returns the outcomes in the same order.
    """

    def __init__(self, run: Callable[[Sequence[A]], Awaitable[Sequence[T]]]) -> None:
        self._run = run
        self._waiting: list[tuple[A, asyncio.Future[T]]] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, what: A) -> T:
        """Return the outcome of *what*."""
        if len(self._waiting) >= MOST_WAITING:
            raise StoreUnavailable(f"PostgreSQL: {MOST_WAITING} changes are waiting already")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((what, future))
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._serve([pair for pair in group if not pair[1].done()])
        finally:
            self._task = None
            for _, future in self._waiting:
                if not future.done():
                    future.set_exception(NotOpen("the store is closed"))
            self._waiting.clear()

    async def _serve(self, group: Sequence[tuple[A, asyncio.Future[T]]]) -> None:
        if not group:
            return
        try:
            outcomes = await self._run([what for what, _ in group])
        except BaseException as error:
            # Whatever it is, each caller hears it; and what ends this task ends it.
            for _, future in group:
                if not future.done():
                    future.set_exception(error if isinstance(error, Exception) else NotOpen("the store is closed"))
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), outcome in zip(group, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)

    async def finish(self) -> None:
        """Return when nothing is under way any more."""
        while (task := self._task) is not None:
            await asyncio.wait([task])

    def abandon(self) -> None:
        """In a forked child: forget what the parent was doing."""
        self._waiting.clear()
        self._task = None
