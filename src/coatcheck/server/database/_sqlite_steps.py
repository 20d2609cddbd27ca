"""
How a step on the server's SQLite file is done. Floor 6; may import: floors 0 to 2.

Rules of this module:

1. One connection, used by one thread alone; each method is one step there, inside ``BEGIN IMMEDIATE``.
2. A step depends on nothing but the database and its arguments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import apsw

from coatcheck.errors import NotOpen
from coatcheck.server.database.base import Duty
from coatcheck.stores import _sqlite_file as file

T = TypeVar("T")


class Steps:
    """What the methods of every subject stand on. Theirs run in :meth:`_run`, each as one transaction."""

    _connection: apsw.Connection
    _thread: ThreadPoolExecutor | None

    async def _run(self, step: Callable[[], T]) -> T:
        if self._thread is None:
            raise NotOpen("the database is not open")
        # Shielded: a caller that goes away does not leave a step half awaited, and a write is never in doubt.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, step))

    def _transaction(self, step: Callable[[], T]) -> T:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                result = step()
                self._connection.execute("COMMIT")
            except BaseException:
                if not self._connection.get_autocommit():
                    self._connection.execute("ROLLBACK")
                raise
        except apsw.Error as error:
            raise file.unavailable(error) from None
        return result

    def _do(self, statement: str, values: Sequence[Any] = ()) -> Any:
        # Rows are of our own making, so their types are known; the driver's stubs cannot know them.
        return self._connection.execute(statement, tuple(values))

    def _leave_duty(self, user: str | None, *, ends: bool, keep: str | None = None, client: str | None = None) -> Duty:
        self._do("INSERT INTO duties (user, ends, keep, client) VALUES (?, ?, ?, ?)", (user, int(ends), keep, client))
        number = self._connection.last_insert_rowid()
        return Duty(number=number, user=user, ends=ends, keep=keep, client=client)
