"""
The server's database in PostgreSQL, for servers on several machines. Floor 6; may import: floors 0 to 2.

How it is opened and closed is here; its connections are in :mod:`._postgres_link`; what it keeps is in a file for each
subject (``_postgres_*.py``).
"""

from __future__ import annotations

from typing import Any

from coatcheck.server.database import _postgres_schema as schema
from coatcheck.server.database._postgres_accounts import AccountSteps
from coatcheck.server.database._postgres_audit import AuditSteps
from coatcheck.server.database._postgres_clients import ClientSteps
from coatcheck.server.database._postgres_limits import LimitSteps
from coatcheck.server.database._postgres_link import WAIT_S, Link
from coatcheck.server.database.base import LONGEST_SPAN_S, Migrated
from coatcheck.stores._postgres_url import parse

DEFAULT_SCHEMA = "coatcheck_server"


class PostgresDatabase(AccountSteps, ClientSteps, LimitSteps, AuditSteps):
    """
    See :class:`coatcheck.server.database.base.Database`.

    Args:
        url: ``postgresql://…``, with ``schema=`` among its options or without.

        wait_s: How long a step may take in all, at most.

    Raises:
        ConfigError: The URL makes no sense.
    """

    def __init__(self, url: str, *, wait_s: float = WAIT_S) -> None:
        self._settings = settings = parse(url, setting="database", schema=DEFAULT_SCHEMA)
        self._link = Link(settings, wait_s=wait_s)
        self.s = f'"{settings.schema}"'

    def __repr__(self) -> str:
        return f"PostgresDatabase({self._settings.shown!r})"

    async def open(self, *, may_be_new: bool = True) -> None:
        async with self._link.alone(wait_s=schema.OPENING_S) as lane:
            await schema.check(lane, self._settings.schema, may_be_new=may_be_new)
        await self._link.open()

    async def migrate(self, *, dry_run: bool = False) -> Migrated:
        """See :meth:`coatcheck.server.database.base.Database.migrate`; *dry_run*: only say what would be done."""
        async with self._link.alone(wait_s=schema.LONGEST_MIGRATION_S) as lane:
            if dry_run:
                before = await lane.read(lambda connection: schema.version_of(connection, self._settings.schema))
                return Migrated(before, len(schema.MIGRATIONS))
            return await schema.bring_up(lane, self._settings.schema)

    async def close(self) -> None:
        await self._link.close()

    async def sweep(self, *, now: int, audit_s: int, limit: int) -> int:
        async def step(connection: Any) -> int:
            gone = 0
            for table, key, column, at in (
                ("tries", "id", "at", now - LONGEST_SPAN_S),
                ("codes", "digest", "ends_at", now),
                ("audit", "number", "at", now - audit_s),
            ):
                # What another process has in hand is left to it.
                chosen = f"SELECT {key} FROM {self.s}.{table} WHERE {column} <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED"
                said = await connection.execute(f"DELETE FROM {self.s}.{table} WHERE {key} IN ({chosen})", at, limit)
                gone += int(said.rpartition(" ")[2])
            return gone

        return await self._link.write(step)
