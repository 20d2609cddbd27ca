"""
Limits in PostgreSQL. Floor 6; may import: floors 0 to 2.

Whoever counts first locks what is counted, in an order that is the same for all. So tries follow one another, and many
at once count as many. The locks are advisory: they need no row, and end with the transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coatcheck.server.database._postgres_schema import lock_of
from coatcheck.server.database._postgres_steps import Steps
from coatcheck.server.database.base import Bucket


class LimitSteps(Steps):
    """See :class:`coatcheck.server.database.base.Database`."""

    async def begin_try(self, buckets: Sequence[Bucket], *, now: int) -> int:
        keys = [bucket.key for bucket in buckets]

        async def step(connection: Any) -> int:
            await self._lock_counts(connection, keys)
            waits = await self._waits(connection, buckets, now)
            if not any(waits):
                insert = f"INSERT INTO {self.s}.tries (bucket, at) SELECT key, $2 FROM unnest($1::text[]) AS key"
                await connection.execute(insert, keys, now)
            return max(waits, default=0)

        return await self._link.write(step)

    async def _lock_counts(self, connection: Any, keys: Sequence[str]) -> None:
        locks = sorted({lock_of(f"{self.s} limit {key}") for key in keys})
        await connection.execute("SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) AS key", locks)

    async def _waits(self, connection: Any, buckets: Sequence[Bucket], now: int) -> list[int]:
        # A statement of its own, after that of the locks: it sees what those before us have committed.
        select = f"""SELECT count(tries.at), max(tries.at)
                     FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS asked (bucket, since, place)
                     LEFT JOIN {self.s}.tries ON tries.bucket = asked.bucket AND tries.at > asked.since
                     GROUP BY asked.place ORDER BY asked.place"""
        keys, since = [bucket.key for bucket in buckets], [now - bucket.span_s for bucket in buckets]
        rows = await connection.fetch(select, keys, since)
        return [bucket.wait_s(row[0], row[1] or 0, now) for bucket, row in zip(buckets, rows, strict=True)]

    async def forgive(self, buckets: Sequence[Bucket], *, now: int) -> None:
        keys = [bucket.key for bucket in buckets]
        delete = f"""DELETE FROM {self.s}.tries WHERE id IN (
                         SELECT min(id) FROM {self.s}.tries WHERE bucket = ANY($1::text[]) AND at = $2 GROUP BY bucket
                     )"""

        async def step(connection: Any) -> None:
            await self._lock_counts(connection, keys)
            await connection.execute(delete, keys, now)

        await self._link.write(step)
