"""
What every write to PostgreSQL is made of. Floor 2; may import: floor 0.

Read :mod:`coatcheck.stores._postgres_steps` first; its rules are the rules here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from coatcheck.errors import AlreadyExists
from coatcheck.records import ENDED, Kind, Reason, Record
from coatcheck.stores._postgres_lanes import Connection
from coatcheck.stores._rows import RECORD, columns_of
from coatcheck.stores.base import Place, Stamp

NEWEST_FIRST = "created_at DESC, id DESC"  # not the id alone: a started session keeps its row when it is signed in
Line = tuple[Kind, str | None, int]
"""A line of the log: kind, sid, version."""


def live(schema: str) -> str:
    """Return the condition under which a session counts."""
    return f"sessions.epoch >= (SELECT bar FROM {schema}.meta)"


def values_of(record: Record) -> list[Any]:
    """Return the columns of *record*; PostgreSQL's text cannot hold NUL, which only a hostile device sends."""
    return [value.replace("\0", "\ufffd") if isinstance(value, str) else value for value in columns_of(record)]


AGAIN = """ON CONFLICT (digest) DO UPDATE SET
                sid = excluded.sid, sub = excluded.sub, reason = excluded.reason, note = excluded.note,
                forget_after = excluded.forget_after"""


class Parts:
    """
    One write: what it is made of.

    Args:
        connection: In a transaction. schema: where the tables are. channel: on which others are told of new lines.
    """

    def __init__(self, connection: Connection, schema: str, channel: str) -> None:
        self._connection = connection
        self._s = schema
        self._channel = channel
        self._live = live(schema)

    async def _lock_subject(self, sub: str) -> tuple[int, int]:
        """Take the subject's row; return its generation, as callers know it, and the epoch."""
        epoch = f"(SELECT epoch FROM {self._s}.meta)"
        while True:
            row = await self._connection.fetchrow(
                f"SELECT generation, {epoch} FROM {self._s}.subjects WHERE sub = $1 FOR UPDATE", sub
            ) or await self._connection.fetchrow(
                f"INSERT INTO {self._s}.subjects VALUES ($1, 0) ON CONFLICT DO NOTHING RETURNING generation, {epoch}",
                sub,
            )
            if row is not None:
                return row[0] + row[1], row[1]

    async def _raise_generation(self, sub: str) -> None:
        """Take the subject's row and raise its generation. What comes next sees every sign-in that was before it."""
        await self._connection.execute(
            f"INSERT INTO {self._s}.subjects VALUES ($1, 1) "
            "ON CONFLICT (sub) DO UPDATE SET generation = subjects.generation + 1",
            sub,
        )

    async def _hold_sids(self, sids: Iterable[str]) -> None:
        """Until the commit, let nobody store or end a session that is not there under one of these sids."""
        lock = f"SELECT pg_advisory_xact_lock(hashtextextended('coatcheck {self._s} ' || sid, 0))"
        await self._connection.execute(f"{lock} FROM unnest($1::text[]) AS asked (sid)", sorted(set(sids)))

    async def _insert(self, record: Record, epoch: int | None) -> None:
        marks = ", ".join(f"${at}" for at in range(1, 16))
        try:
            await self._connection.execute(
                f"INSERT INTO {self._s}.sessions ({RECORD}, epoch) "
                f"VALUES ({marks}, coalesce($16, (SELECT epoch FROM {self._s}.meta)))",
                *values_of(record),
                epoch,
            )
        except asyncpg.UniqueViolationError:
            raise AlreadyExists("a session with this token or sid exists") from None

    async def _was_ended(self, sid: str, place: Place) -> bool:
        named = f"SELECT 1 FROM {self._s}.changes WHERE position > $2 AND sid = $3"
        return bool(
            await self._connection.fetchval(
                f"SELECT epoch <> $1 OR trimmed > $2 OR EXISTS ({named}) FROM {self._s}.meta, {self._s}.log",
                place.epoch,
                place.position,
                sid,
            )
        )

    async def _end_surplus(self, sub: str | None, newest: str, most: int, stamp: Stamp) -> list[Line]:
        if sub is None:
            return []
        count = f"SELECT count(*) FROM {self._s}.sessions WHERE sub = $1"
        if await self._connection.fetchval(count, sub) <= most:
            return []
        # Nobody adds to a subject's sessions while its row is held; whoever ends one meanwhile makes this one too many.
        surplus = (
            f"SELECT sid FROM {self._s}.sessions WHERE sub = $3 AND sid <> $4 AND {self._live} "
            f"ORDER BY {NEWEST_FIRST} OFFSET $5"
        )
        sids = await self._end(f"sid IN ({surplus})", (sub, newest, most - 1), "too many sessions", stamp)
        return [(Kind.REVOKED, sid, ENDED) for sid in sids]

    async def _end(self, which: str, values: Sequence[Any], note: str, stamp: Stamp) -> list[str]:
        """Remove the sessions for which *which* holds, remember their tokens, and return their sids."""
        rows = await self._connection.fetch(
            # Joined by the primary key: on the id alone there is no index, and all sessions would be read.
            f"""WITH held AS (SELECT sid FROM {self._s}.sessions WHERE {which} ORDER BY id FOR UPDATE),
                     gone AS (DELETE FROM {self._s}.sessions USING held WHERE sessions.sid = held.sid
                              RETURNING sessions.id, digest, sessions.sid, sub),
                     kept AS (INSERT INTO {self._s}.ended
                              SELECT digest, sid, sub, '{Reason.REVOKED.value}', $1::text, $2::bigint FROM gone
                              {AGAIN})
                SELECT sid FROM gone ORDER BY id""",
            note,
            stamp.forget_token,
            *values,
        )
        return [row[0] for row in rows]

    async def _append(self, lines: Sequence[Line], stamp: Stamp) -> int:
        """Append *lines*, wake whoever listens, and return the head. Nobody else appends from here until the commit."""
        if not lines:
            # In a statement of its own, so that it is a head read after everything that this step has seen.
            return int(await self._connection.fetchval(f"SELECT head FROM {self._s}.log"))
        return await self._append_each(lines, [stamp] * len(lines))

    async def _append_each(self, lines: Sequence[Line], stamps: Sequence[Stamp]) -> int:
        head = await self._connection.fetchval(
            f"""WITH moved AS (UPDATE {self._s}.log SET head = head + cardinality($1::text[]) RETURNING head),
                     added AS (INSERT INTO {self._s}.changes (position, kind, sid, version, at, forget_after)
                               SELECT head - cardinality($1) + number, kind, sid, version, at, forget_after
                               FROM moved, unnest($1, $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
                                    WITH ORDINALITY AS lines (kind, sid, version, at, forget_after, number))
                SELECT head, pg_notify($6, '') FROM moved""",
            [kind.value for kind, _, _ in lines],
            [sid for _, sid, _ in lines],
            [version for _, _, version in lines],
            [stamp.now for stamp in stamps],
            [stamp.forget_change for stamp in stamps],
            self._channel,
        )
        return int(head)
