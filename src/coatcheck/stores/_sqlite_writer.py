"""
Group commit: many callers, one transaction, one sync. Floor 2; may import: floor 0.

Writes wait for the disk, so they run in a thread of their own. All that are waiting when the thread comes back from one
commit go into the next together. Under load a sync is shared by dozens of callers; alone, a caller waits for nobody.

Rules of this module:

1. A caller hears "done" after the commit of its group returned, never before.
2. Each caller's step is a savepoint: one that fails undoes itself and leaves its neighbours alone.
3. When the commit fails, everyone in the group hears it and nothing of the group is there.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import apsw

from coatcheck.errors import NotOpen, StoreUnavailable
from coatcheck.stores._sqlite_file import unavailable

T = TypeVar("T")
Step = Callable[[], Any]
_Waiting = tuple[Step, "asyncio.Future[Any]", asyncio.AbstractEventLoop]
_Outcome = tuple["asyncio.Future[Any]", Any, BaseException | None]

MOST_WAITING = 10_000


class GroupWriter:
    """
    Runs steps on one connection in one thread, a group at a time.

    Args:
        connection: Used by nobody else.

        committed: Called after each commit, before anybody hears of it.

        most: Steps per group. 1 is one commit per step, as ``benchmarks/sign_in.py`` compares.
    """

    def __init__(self, connection: apsw.Connection, committed: Callable[[], None], *, most: int = 256) -> None:
        self._connection = connection
        self._committed = committed
        self._most = most
        self._waiting: deque[_Waiting] = deque()
        self._some = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="coatcheck-sqlite", daemon=True)
        self._thread.start()

    async def run(self, step: Callable[[], T]) -> T:
        """
        Run *step* in the next group; return what it returned once it is on disk.

        A caller that is cancelled while it waits does not undo its step.

        Raises:
            StoreUnavailable: The group could not be committed, or too many are waiting.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._some:
            if self._stopping:
                raise NotOpen("the store is closed")
            if len(self._waiting) >= MOST_WAITING:
                raise StoreUnavailable(f"SQLite: {MOST_WAITING} writes are waiting already")
            self._waiting.append((step, future, loop))
            self._some.notify()
        return await future

    def stop(self) -> None:
        """Finish what is waiting, then end the thread."""
        with self._some:
            self._stopping = True
            self._some.notify()
        self._thread.join()

    def _work(self) -> None:
        while group := self._next_group():
            outcomes = self._commit(group)
            # One wake-up per event loop and group; a wake-up per caller would cost more than its write.
            for loop in {id(loop): loop for _, _, loop in group}.values():
                mine = [outcome for outcome, (_, _, its) in zip(outcomes, group, strict=True) if its is loop]
                try:
                    loop.call_soon_threadsafe(_tell, mine)
                except RuntimeError:
                    continue  # that loop is closed: nobody is left to hear

    def _next_group(self) -> list[_Waiting]:
        with self._some:
            self._some.wait_for(lambda: self._waiting or self._stopping)
            return [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]

    def _commit(self, group: list[_Waiting]) -> list[_Outcome]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._run(step, future) for step, future, _ in group]
            self._connection.execute("COMMIT")
            self._committed()
        except Exception as error:
            fault = unavailable(error) if isinstance(error, apsw.Error) else error
            self._roll_back()
            return [(future, None, fault) for _, future, _ in group]
        return outcomes

    def _run(self, step: Step, future: asyncio.Future[Any]) -> _Outcome:
        self._connection.execute("SAVEPOINT step")
        try:
            result = step()
        except Exception as error:
            if self._connection.get_autocommit():
                raise  # SQLite has undone the whole transaction (disk full, I/O error): so the whole group fails
            self._connection.execute("ROLLBACK TO step; RELEASE step")
            return future, None, unavailable(error) if isinstance(error, apsw.Error) else error
        self._connection.execute("RELEASE step")
        return future, result, None

    def _roll_back(self) -> None:
        if not self._connection.get_autocommit():
            try:
                self._connection.execute("ROLLBACK")
            except apsw.Error:
                return  # undone already; the next BEGIN will tell if anything is still wrong


def _tell(outcomes: list[_Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():
            continue  # its caller was cancelled
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
