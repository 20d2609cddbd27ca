"""
What each write does to the tables of PostgreSQL, as plain SQL. Floor 2; may import: floor 0.

Every method runs inside a READ COMMITTED transaction: each statement sees what was committed before *it* began, and
nothing holds the world still. So what a step relies on it locks first, and looks at in a later statement.

Rules of this module:

1. Locks are taken in one order: the subject's row, its sessions by id, ``meta``, ``log``. Two steps that need the same
   wait for each other and do not lock each other out.
2. The head of the log moves in the last statement before the commit: whoever commits first has the lower position, and
   the lock that orders everybody is held shortest.
3. Whatever counts, ends or adds a subject's sessions as a whole holds the subject's row. So a sign-in that looked at
   the generation and the end of the subject's sessions never pass each other unseen.
4. A session lives while its epoch is not below the bar. Everyone's end raises the bar and waits for nobody: a sign-in
   under way was given its epoch before, and is dead when it arrives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coatcheck.records import ENDED, Digest, Kind, Reason, Record
from coatcheck.stores._postgres_parts import AGAIN, Parts, values_of
from coatcheck.stores._rows import RECORD
from coatcheck.stores.base import MOVED, Moved, Place, Seen, Stamp
from coatcheck.values import decode, fitted, merged


class Steps(Parts):
    """The writes that concern sessions. One object is one write, in a transaction of its own."""

    async def create(
        self,
        record: Record,
        generation: int | None,
        most: int,
        stamp: Stamp,
        place: Place | None,
    ) -> int | Moved | None:
        sid, sub = record.session.sid, record.session.sub
        epoch: int | None = None
        if sub is not None:
            known, epoch = await self._lock_subject(sub)
            if generation is not None and generation != known:
                return MOVED
        if place is not None:
            epoch = place.epoch
            await self._hold_sids([sid])
        await self._insert(record, epoch)
        # Looked at only now: an end that was under way may have been what the insertion waited for.
        if place is not None and await self._was_ended(sid, place):
            await self._connection.execute(f"DELETE FROM {self._s}.sessions WHERE sid = $1", sid)
            return MOVED
        surplus = await self._end_surplus(sub, sid, most, stamp)
        return await self._append(surplus, stamp) if surplus else None

    async def renew(
        self, old: Digest, record: Record, generation: int | None, most: int, stamp: Stamp
    ) -> int | Moved | None:
        session = record.session
        if session.sub is not None:
            known, _ = await self._lock_subject(session.sub)
            if generation is not None and generation != known:
                return MOVED
        columns = [name for name in RECORD.split(", ") if name != "data"]
        marks = ", ".join(f"${at}" for at in range(1, len(columns) + 1))
        changed = await self._connection.fetchval(
            f"UPDATE {self._s}.sessions SET ({', '.join(columns)}) = ROW({marks}) "
            f"WHERE digest = $15 AND sid = $1 AND version = $13 - 1 AND {self._live} RETURNING 1",
            *values_of(record)[:-1],
            old,
        )
        if not changed:
            return None
        await self._connection.execute(
            f"INSERT INTO {self._s}.ended VALUES ($1, $2, $3, $4, '', $5) {AGAIN}",
            old,
            session.sid,
            session.sub,
            Reason.RENEWED.value,
            stamp.forget_token,
        )
        surplus = await self._end_surplus(session.sub, session.sid, most, stamp)
        return await self._append([(Kind.RENEWED, session.sid, session.version), *surplus], stamp)

    async def change_claims(
        self,
        sub: str,
        change: Mapping[str, Any],
        unset: Sequence[str],
        limit: int,
        stamp: Stamp,
    ) -> int:
        await self._raise_generation(sub)
        rows = await self._connection.fetch(
            f"SELECT sid, claims, version FROM {self._s}.sessions WHERE sub = $1 AND {self._live} "
            "ORDER BY id FOR NO KEY UPDATE",
            sub,
        )
        news = [fitted(merged(decode(row[1]), change, unset), limit=limit, field="claims") for row in rows]
        await self._connection.execute(
            f"UPDATE {self._s}.sessions SET claims = fresh.claims, version = version + 1 "
            "FROM unnest($1::text[], $2::bytea[]) AS fresh (sid, claims) WHERE sessions.sid = fresh.sid",
            [row[0] for row in rows],
            news,
        )
        return await self._append([(Kind.CLAIMS, row[0], row[2] + 1) for row in rows], stamp)

    async def change_data(
        self,
        sid: str,
        change: Mapping[str, Any],
        unset: Sequence[str],
        limit: int,
        stamp: Stamp,
    ) -> int | None:
        raw = await self._connection.fetchval(
            f"SELECT data FROM {self._s}.sessions WHERE sid = $1 AND expires_at > $2 AND {self._live} "
            "FOR NO KEY UPDATE",
            sid,
            stamp.now,
        )
        if raw is None:
            return None
        fresh = fitted(merged(decode(raw), change, unset), limit=limit, field="set")
        await self._connection.execute(f"UPDATE {self._s}.sessions SET data = $2 WHERE sid = $1", sid, fresh)
        return await self._append([(Kind.DATA, sid, 0)], stamp)

    async def end_subject(self, sub: str, keep: str | None, note: str, stamp: Stamp) -> int:
        await self._raise_generation(sub)
        which = f"sub = $3 AND sid IS DISTINCT FROM $4 AND {self._live}"
        sids = await self._end(which, (sub, keep), note, stamp)
        return await self._append([(Kind.REVOKED, sid, ENDED) for sid in sids], stamp)

    async def end_everyone(self, stamp: Stamp) -> int:
        # The rows go in the sweep, a batch at a time: a million deletions here would hold everybody up.
        await self._connection.execute(f"UPDATE {self._s}.meta SET epoch = epoch + 1, bar = epoch + 1")
        await self._connection.execute(f"DELETE FROM {self._s}.keys")  # each belongs to one epoch
        return await self._append([(Kind.EVERYONE, None, ENDED)], stamp)

    async def touch(self, seen: Sequence[Seen]) -> list[str]:
        done = await self._connection.fetch(
            f"""WITH spans AS (SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS spans (sid, since, at)),
                     held AS (SELECT sid, since, at FROM {self._s}.sessions JOIN spans USING (sid)
                              ORDER BY id FOR NO KEY UPDATE OF sessions)
                UPDATE {self._s}.sessions SET seen_at = held.at FROM held
                WHERE sessions.sid = held.sid AND seen_at >= held.since AND seen_at < held.at RETURNING sessions.sid""",
            [span.sid for span in seen],
            [span.since for span in seen],
            [span.at for span in seen],
        )
        written = {row[0] for row in done}
        return [span.sid for span in seen if span.sid not in written]
