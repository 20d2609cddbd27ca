"""What is past its time, and what a backup holds, in SQLite. Floor 6; may import: floors 0 to 2."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from coatcheck.errors import StoreUnusable
from coatcheck.server.database._sqlite_steps import Steps
from coatcheck.server.database.base import LONGEST_SPAN_S, Outcome, Table

_KEPT = ("users", "audit")  # what a backup holds


class _NobodyLeft(Exception):
    """No administrator would be left: the transaction is rolled back."""


class UpkeepSteps(Steps):
    """See :class:`coatcheck.server.database.base.Database`."""

    async def sweep(self, *, now: int, audit_s: int, limit: int) -> int:
        def step() -> int:
            gone = 0
            for table, key, where, at in (
                ("tries", "id", "at <= ?", now - LONGEST_SPAN_S),
                ("codes", "digest", "ends_at <= ?", now),
                ("audit", "number", "at <= ?", now - audit_s),
            ):
                chosen = f"SELECT {key} FROM {table} WHERE {where} LIMIT ?"
                self._do(f"DELETE FROM {table} WHERE {key} IN ({chosen})", (at, limit))
                gone += self._connection.changes()
            return gone

        return await self._run(step)

    async def export(self) -> list[Table]:
        def step() -> list[Table]:
            return [
                Table(name, columns, self._do(f"SELECT {', '.join(columns)} FROM {name}").fetchall())
                for name, columns in ((name, self._columns(name)) for name in _KEPT)
            ]

        return await self._run(step)

    async def replace(self, tables: Sequence[Table], *, as_it_was: bool = False) -> Outcome | None:
        def step() -> None:
            self._do("CREATE TEMP TABLE before AS SELECT * FROM users")  # a rollback takes it away, too
            self._fill(tables)
            if not as_it_was:
                self._keep_stricter()
            self._do("DROP TABLE temp.before")
            self._leave_duty(None, ends=True)

        try:
            await self._run(step)
        except _NobodyLeft:
            return Outcome.LAST_ADMIN
        return None

    def _columns(self, table: str) -> tuple[str, ...]:
        return tuple(name for (name,) in self._do("SELECT name FROM pragma_table_info(?)", (table,)))

    def _fill(self, tables: Sequence[Table]) -> None:
        for name in ("users", "codes", "duties", "tries", "audit"):
            self._do(f"DELETE FROM {name}")
        for table in tables:
            # Names become part of a statement, so only names that the schema has get there.
            if table.name not in _KEPT or not set(table.columns) <= set(self._columns(table.name)):
                raise StoreUnusable(f"the backup holds {table.name[:64]!a} in a form that this version does not know")
            marks = ", ".join("?" * len(table.columns))
            insert = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks})"
            try:
                self._connection.executemany(insert, table.rows)
            except (apsw.ConstraintError, apsw.MismatchError):
                raise StoreUnusable(f"the backup holds rows of {table.name} that do not fit") from None
        self._do("UPDATE server SET set_up = EXISTS (SELECT 1 FROM users)")

    def _keep_stricter(self) -> None:
        admins = "SELECT 1 FROM users WHERE is_admin AND NOT is_disabled"
        had_admin = self._do(admins).get
        self._do(
            """UPDATE users SET
                   is_admin = min(users.is_admin, before.is_admin),
                   is_disabled = max(users.is_disabled, before.is_disabled),
                   password = iif(before.password_at > users.password_at, before.password, users.password),
                   password_at = max(before.password_at, users.password_at)
               FROM temp.before WHERE before.id = users.id"""
        )
        if had_admin and not self._do(admins).get:
            raise _NobodyLeft
