"""Limits in SQLite. Floor 6; may import: floors 0 to 2."""

from __future__ import annotations

from collections.abc import Sequence

from coatcheck.server.database._sqlite_steps import Steps
from coatcheck.server.database.base import Bucket


class LimitSteps(Steps):
    """See :class:`coatcheck.server.database.base.Database`."""

    async def begin_try(self, buckets: Sequence[Bucket], *, now: int) -> int:
        def step() -> int:
            wait = max((self._wait(bucket, now) for bucket in buckets), default=0)
            if not wait:
                self._connection.executemany(
                    "INSERT INTO tries (bucket, at) VALUES (?, ?)", [(bucket.key, now) for bucket in buckets]
                )
            return wait

        return await self._run(step)

    def _wait(self, bucket: Bucket, now: int) -> int:
        select = "SELECT count(*), max(at) FROM tries WHERE bucket = ? AND at > ?"
        count, last = self._do(select, (bucket.key, now - bucket.span_s)).fetchone()
        return bucket.wait_s(count, last, now)

    async def forgive(self, buckets: Sequence[Bucket], *, now: int) -> None:
        delete = "DELETE FROM tries WHERE id = (SELECT id FROM tries WHERE bucket = ? AND at = ? LIMIT 1)"
        await self._run(lambda: self._connection.executemany(delete, [(bucket.key, now) for bucket in buckets]))
