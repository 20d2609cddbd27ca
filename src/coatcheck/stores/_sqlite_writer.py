"""
Group commit: many callers, one transaction, one sync. Floor 2; may import: floor 0.

Writes wait for the disk, so they run in a thread of their own. All that are waiting when the thread comes back from one
commit go into the next together. Under load a sync is shared by dozens of callers; alone, a caller waits for nobody.

Rules of this module:

1. A caller hears "done" after the commit of its group returned, never before.
2. A step that fails after it wrote something undoes the group; then each of the group is tried in a commit of its own,
   so that one caller's fault is never another's. (A savepoint for each step would cost every sign-in a tenth.)
3. When a commit fails, everyone in it hears so and nothing of it is there.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import apsw

from coatcheck.errors import NotOpen, StoreUnavailable
from coatcheck.stores._sqlite_file import unavailable

T = TypeVar("T")
Step = Callable[[], Any]
_Waiting = tuple[Step, "asyncio.Future[Any]", asyncio.AbstractEventLoop]
_Outcome = tuple["asyncio.Future[Any]", Any, BaseException | None]

MOST_WAITING = 10_000
_CLOSED = "the store is closed"


class _Undo(Exception):
    """A step failed after it had written something."""


class GroupWriter:
    """
    Runs steps on one connection in one thread, a group at a time. A step may run twice, so it must depend on nothing
    but the database and its arguments.

    Args:
        connection: Used by nobody else.

        committing: Called before each commit; raises when there must be none.

        committed: Called after each commit, before anybody hears of it.

        most: Steps per group. 1 is one commit per step, as ``benchmarks/sign_in.py`` compares.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        *,
        committing: Callable[[], None],
        committed: Callable[[], None],
        most: int = 256,
    ) -> None:
        self._connection = connection
        self._committing = committing
        self._committed = committed
        self._most = most
        self._gathering: list[_Waiting] = []
        self._handed: SimpleQueue[list[_Waiting] | None] = SimpleQueue()
        self._backlog = 0
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="coatcheck-sqlite", daemon=True)
        self._thread.start()

    def submit(self, step: Callable[[], T]) -> asyncio.Future[T]:
        """
        Have *step* run in the next group; the future has what it returned once it is on disk.

        For callers of one event loop. A caller that is cancelled while it waits does not undo its step.

        Raises:
            StoreUnavailable: Too many are waiting. The future raises it when the group could not be committed.
        """
        if self._stopped:
            raise NotOpen(_CLOSED)
        if self._backlog >= MOST_WAITING:
            raise StoreUnavailable(f"SQLite: {MOST_WAITING} writes are waiting already")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if not self._gathering:
            # Handed over when this turn of the loop is over: those who were woken together commit together. Handed
            # over at once, the first of them would get a group, and a sync, of its own.
            loop.call_soon(self._hand_over)
        self._gathering.append((step, future, loop))
        self._backlog += 1
        return future

    def _hand_over(self) -> None:
        group, self._gathering = self._gathering, []
        if self._stopped:
            self._tell([(future, None, NotOpen(_CLOSED)) for _, future, _ in group])
        else:
            self._handed.put(group)

    def refuse(self) -> None:
        """Take nothing more. Called on the event loop, so that nothing is handed over from here on."""
        self._stopped = True

    def stop(self) -> None:
        """After :meth:`refuse`: finish what was handed over, then end the thread."""
        self._handed.put(None)
        self._thread.join()

    def _work(self) -> None:
        waiting: list[_Waiting] = []
        while self._take_more(waiting):
            group, waiting = waiting[: self._most], waiting[self._most :]
            outcomes = self._commit(group)
            loop = group[0][2]
            try:
                # One wake-up for all of them: one for each would cost more than their writes.
                loop.call_soon_threadsafe(self._tell, outcomes)
            except RuntimeError:
                continue  # the loop is closed: nobody is left to hear

    def _take_more(self, waiting: list[_Waiting]) -> bool:
        """Add to *waiting* what was handed over; wait for something if it is empty. False: nothing is left to do."""
        try:
            handed = self._handed.get(block=not waiting)
            while handed is not None:
                waiting.extend(handed)
                handed = self._handed.get_nowait()
            self._handed.put(None)  # to be met again when everything before it is done
        except Empty:
            return True
        return bool(waiting)

    def _commit(self, group: list[_Waiting]) -> list[_Outcome]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._run(step, future) for step, future, _ in group]
            self._committing()
            self._connection.execute("COMMIT")
        except _Undo as undo:
            self._roll_back()
            if len(group) > 1:
                return [outcome for waiting in group for outcome in self._commit([waiting])]
            return [(group[0][1], None, undo.__cause__)]
        except Exception as error:
            fault = unavailable(error) if isinstance(error, apsw.Error) else error
            self._roll_back()
            return [(future, None, fault) for _, future, _ in group]
        try:
            self._committed()
        except Exception:
            # Done, and in the log, but not everybody has been told at once: they find out when they ask the store.
            fault = StoreUnavailable("SQLite: written, but other processes could not be told; call again")
            return [(future, None, error or fault) for future, _, error in outcomes]
        return outcomes

    def _run(self, step: Step, future: asyncio.Future[Any]) -> _Outcome:
        before = self._connection.total_changes()
        try:
            return future, step(), None
        except Exception as error:
            if self._connection.get_autocommit():
                raise  # SQLite has undone the whole transaction (disk full, I/O error): so the whole group fails
            fault = unavailable(error) if isinstance(error, apsw.Error) else error
            if self._connection.total_changes() != before:
                raise _Undo from fault
            return future, None, fault

    def _roll_back(self) -> None:
        if not self._connection.get_autocommit():
            try:
                self._connection.execute("ROLLBACK")
            except apsw.Error:
                return  # undone already; the next BEGIN will tell if anything is still wrong

    def _tell(self, outcomes: list[_Outcome]) -> None:
        self._backlog -= len(outcomes)
        for future, result, error in outcomes:
            if future.done():
                continue  # its caller was cancelled
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
