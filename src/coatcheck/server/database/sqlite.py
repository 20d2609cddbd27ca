"""
The server's database in one SQLite file; it may be the file of the sessions. Floor 6; may import: floors 0 to 2.

How it is opened and closed is here; what it keeps is in a file for each subject (``_sqlite_*.py``).
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw

from coatcheck.errors import StoreUnusable
from coatcheck.server.database._sqlite_accounts import AccountSteps
from coatcheck.server.database._sqlite_audit import AuditSteps
from coatcheck.server.database._sqlite_clients import ClientSteps
from coatcheck.server.database._sqlite_limits import LimitSteps
from coatcheck.server.database._sqlite_schema import MIGRATIONS
from coatcheck.server.database._sqlite_upkeep import UpkeepSteps
from coatcheck.server.database.base import Migrated
from coatcheck.stores import _sqlite_file as file
from coatcheck.stores import _sqlite_here as here
from coatcheck.stores import _sqlite_look


class SQLiteDatabase(AccountSteps, ClientSteps, LimitSteps, AuditSteps, UpkeepSteps):
    """
    See :class:`coatcheck.server.database.base.Database`.

    Args:
        name: The file.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: ThreadPoolExecutor | None = None

    def __repr__(self) -> str:
        return f"SQLiteDatabase({self._name!r})"

    async def open(self, *, may_be_new: bool = True) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="coatcheck-database")
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._open, may_be_new)
        except BaseException:
            self._thread.shutdown(wait=False)
            self._thread = None
            raise

    def _open(self, may_be_new: bool) -> None:
        path = Path(os.path.realpath(self._name))
        if not may_be_new and not path.exists():
            raise StoreUnusable(f"there is no file {self._name}; name the one that the server uses")
        with here.one_at_a_time():
            here.check_not_inherited(path)
            file.prepare(path, is_open_here=here.is_open(path))
            try:
                self._connection = file.connect(path, wait=True)
                try:
                    file.make_ours(self._connection, path)
                    self._transaction(self._migrate)
                except BaseException:
                    self._connection.close()
                    raise
            except apsw.Error as error:
                raise file.unavailable(error) from None
            self._file = here.note_open(path)

    def _migrate(self) -> None:
        tables = self._do("SELECT 1 FROM sqlite_schema WHERE name = 'server'").get
        done = self._do("SELECT schema FROM server").get if tables else 0
        if done > len(MIGRATIONS):
            problem = f"{self._name} has server schema {done}, this version of Coatcheck knows {len(MIGRATIONS)}"
            raise StoreUnusable(f"{problem}; upgrade Coatcheck")
        self._version_before = int(done)
        for script in MIGRATIONS[done:]:
            self._do(script)
        self._do("UPDATE server SET schema = ?", (len(MIGRATIONS),))

    async def migrate(self, *, dry_run: bool = False) -> Migrated:
        """See :meth:`coatcheck.server.database.base.Database.migrate`; *dry_run*: only say what would be done."""
        if dry_run:
            before = _sqlite_look.value(self._name, "SELECT schema FROM server", needs="server")
            return Migrated(before, len(MIGRATIONS))
        await self.open()
        await self.close()
        return Migrated(self._version_before, len(MIGRATIONS))

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._close)
            thread.shutdown()

    def _close(self) -> None:
        with here.one_at_a_time():
            self._connection.close()
            here.note_closed(self._file)
