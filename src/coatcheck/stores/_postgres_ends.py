"""
What ending single sessions does to the tables of PostgreSQL, many at once. Floor 2; may import: floor 0.

The rules are those of :mod:`coatcheck.stores._postgres_steps`. :class:`EndSteps` is the long way, four round trips in a
transaction. What is the rule (the session is there, and nobody else is at it) goes a shorter one, in one statement that
is a transaction by itself (:func:`ending_alone`):

1. Every line has a position of its own. The head moves last, when all locks on sessions are held.
2. A session that is locked by somebody else, is not there, or is another subject's is left out, and goes the long way.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from coatcheck.records import ENDED, Kind, Reason
from coatcheck.stores._postgres_connect import alone
from coatcheck.stores._postgres_lanes import Lane
from coatcheck.stores._postgres_parts import AGAIN, Parts
from coatcheck.stores.base import Stamp


class End(msgspec.Struct, frozen=True):
    """What one caller asks for; see :meth:`coatcheck.stores.base.Store.end`."""

    sid: str
    of: str | None
    kind: Kind
    note: str
    stamp: Stamp


def ending_alone(schema: str, wait_s: float) -> str:
    """Return the statement of :func:`end_alone`. It returns the numbers, from 1, and positions of those it ended."""
    return f"""
        WITH settings AS MATERIALIZED (SELECT {alone(wait_s)}),
             asked AS MATERIALIZED (
                 SELECT lines.* FROM settings, unnest(
                     $1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[]
                 ) WITH ORDINALITY AS lines (name, owner, kind, note, until, at, forget_after, number)),
             held AS (SELECT number, sid FROM {schema}.sessions JOIN asked ON sid = name
                      WHERE owner IS NULL OR sub = owner ORDER BY id FOR UPDATE OF sessions SKIP LOCKED),
             gone AS (DELETE FROM {schema}.sessions USING held WHERE sessions.sid = held.sid
                      RETURNING held.number, digest, sessions.sid, sub),
             kept AS (INSERT INTO {schema}.ended
                      SELECT digest, sid, sub, '{Reason.REVOKED.value}', note, until FROM gone JOIN asked USING (number)
                      {AGAIN}),
             places AS (SELECT number, row_number() OVER (ORDER BY number) AS place FROM gone),
             moved AS (UPDATE {schema}.log SET head = head + many.n FROM (SELECT count(*) AS n FROM gone) AS many
                       WHERE many.n > 0 RETURNING head - many.n AS before),
             added AS (INSERT INTO {schema}.changes (position, kind, sid, version, at, forget_after)
                       SELECT before + place, kind, name, {ENDED}, at, forget_after
                       FROM moved, places JOIN asked USING (number))
        SELECT number, before + place, pg_notify($8, '') FROM moved, places"""


async def end_alone(lane: Lane, schema: str, channel: str, asked: Sequence[End]) -> list[int | None]:
    """Go the shorter way; return the positions, None for those who have to go the long one."""
    # Of a session that is named twice the first has it, and the others find that it is gone.
    firsts = sorted({end.sid: place for place, end in reversed(list(enumerate(asked)))}.values())
    ends = [asked[place] for place in firsts]
    rows = await lane.alone(
        ending_alone(schema, lane.wait_s),
        [end.sid for end in ends],
        [end.of for end in ends],
        [end.kind.value for end in ends],
        [end.note for end in ends],
        [end.stamp.forget_token for end in ends],
        [end.stamp.now for end in ends],
        [end.stamp.forget_change for end in ends],
        channel,
    )
    found = {firsts[number - 1]: position for number, position, _ in rows}
    return [found.get(place) for place in range(len(asked))]


class EndSteps(Parts):
    """One object is one group of ends, in one transaction."""

    async def end_each(self, asked: Sequence[End]) -> list[int | None]:
        gone = await self._end_asked(asked)
        missed = [end for end in asked if end.sid not in gone]
        if missed:
            known = await self._ended_before([end for end in missed if end.of is not None])
            missed = [end for end in missed if end.of is None or (end.sid, end.of) in known]
            # A started session may be on its way in: it was begun before, and this may be its end.
            await self._hold_sids(end.sid for end in missed)
            await self._end_asked(missed)
        granted = {(end.sid, end.of) for end in missed}
        counts = [end.of in (None, gone[end.sid]) if end.sid in gone else (end.sid, end.of) in granted for end in asked]
        # Appended though there may be nothing to end: an earlier call may have ended it and still be waiting.
        told = [end for end, does_count in zip(asked, counts, strict=True) if does_count]
        if not told:
            return [None] * len(asked)
        head = await self._append_each([(end.kind, end.sid, ENDED) for end in told], [end.stamp for end in told])
        positions = iter(range(head - len(told) + 1, head + 1))
        return [next(positions) if does_count else None for does_count in counts]

    async def _end_asked(self, asked: Sequence[End]) -> dict[str, str | None]:
        """Remove those sessions that are there and may be ended; return whose they were, by their sids."""
        rows = await self._connection.fetch(
            f"""WITH asked AS (SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
                                             AS asked (sid, owner, note, until)),
                     held AS (SELECT sid, note, until FROM {self._s}.sessions JOIN asked USING (sid)
                              WHERE owner IS NULL OR sub = owner ORDER BY id FOR UPDATE OF sessions),
                     gone AS (DELETE FROM {self._s}.sessions USING held WHERE sessions.sid = held.sid
                              RETURNING digest, sessions.sid, sub, note, until),
                     kept AS (INSERT INTO {self._s}.ended
                              SELECT digest, sid, sub, '{Reason.REVOKED.value}', note, until FROM gone
                              {AGAIN})
                SELECT sid, sub FROM gone""",
            [end.sid for end in asked],
            [end.of for end in asked],
            [end.note for end in asked],
            [end.stamp.forget_token for end in asked],
        )
        return {row[0]: row[1] for row in rows}

    async def _ended_before(self, asked: Sequence[End]) -> set[tuple[str, str]]:
        """Return which of the sessions were theirs who asked, and ended earlier, as pairs of sid and subject."""
        if not asked:
            return set()
        rows = await self._connection.fetch(
            f"SELECT sid, sub FROM {self._s}.ended WHERE sid = ANY($1::text[])", [end.sid for end in asked]
        )
        return {(row[0], row[1]) for row in rows}
