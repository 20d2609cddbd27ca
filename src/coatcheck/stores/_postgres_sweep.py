"""
Removing what is over, from PostgreSQL. Floor 2; may import: floor 0.

Rules of this module:

1. In small batches, each a transaction; a row that somebody else holds just now is left for the next time.
2. The log is trimmed from its old end only, without a gap: a reader must be able to tell what it missed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from coatcheck.stores._postgres_lanes import Connection, Lane


async def sweep(lane: Lane, schema: str, *, now: int, limit: int, trim_to: int | None) -> int:
    """See :meth:`coatcheck.stores.base.Store.sweep`."""
    over = (
        ("sessions", "sid", f"least(expires_at, seen_at + idle_s) <= {now:d}"),
        ("sessions", "sid", f"epoch < (SELECT bar FROM {schema}.meta)"),
        ("families", "id", f"expires_at <= {now:d}"),
        ("ended", "digest", f"forget_after <= {now:d}"),
    )
    gone = 0
    for table, key, where in over:
        gone += await lane.write(_delete(f"{schema}.{table}", key, where, limit), again=True)
    return gone + await lane.write(_trim(schema, now, limit, trim_to), again=True)


def _delete(table: str, key: str, where: str, limit: int) -> Callable[[Connection], Awaitable[int]]:
    # Chosen once: a subquery in the place of the CTE might be asked again for each row.
    choose = f"SELECT {key} AS key FROM {table} WHERE {where} LIMIT {limit:d} FOR UPDATE SKIP LOCKED"
    delete = f"WITH over AS MATERIALIZED ({choose}) DELETE FROM {table} USING over WHERE {key} = over.key"

    async def step(connection: Connection) -> int:
        return int((await connection.execute(delete)).removeprefix("DELETE "))

    return step


def _trim(schema: str, now: int, limit: int, trim_to: int | None) -> Callable[[Connection], Awaitable[int]]:
    oldest = f"SELECT position, forget_after FROM {schema}.changes ORDER BY position LIMIT $2"

    async def step(connection: Connection) -> int:
        last = await connection.fetchval(
            f"""SELECT max(position) FROM (
                    SELECT position, bool_and(forget_after <= $1 AND position <= coalesce($3, position))
                           OVER (ORDER BY position) AS is_over FROM ({oldest}) AS oldest) AS lines WHERE is_over""",
            now,
            limit,
            trim_to,
        )
        if last is None:
            return 0
        # Whoever trims holds the row that says so, before anything goes: two at once do not trim past each other.
        await connection.execute(f"UPDATE {schema}.log SET trimmed = greatest(trimmed, $1)", last)
        status = await connection.execute(f"DELETE FROM {schema}.changes WHERE position <= $1", last)
        return int(status.removeprefix("DELETE "))

    return step
