"""
What each write to signing keys and refresh tokens does to the tables of PostgreSQL. Floor 2; may import: floor 0.

The rules are those of :mod:`coatcheck.stores._postgres_steps`, and:

1. Whoever adds a key, admits a secret or declares secrets lost holds the row of ``meta``; whoever adds a family of
   refresh tokens shares it. So each sees what the one before has done, and nothing made with a lost secret slips in.
"""

from __future__ import annotations

from coatcheck.records import ENDED, Family, KeyRow, Kind
from coatcheck.stores._postgres_parts import Parts
from coatcheck.stores._rows import FAMILY, family_columns_of
from coatcheck.stores.base import Reset, Stamp


class KeySteps(Parts):
    """The writes that concern keys and families. One object is one write, in a transaction of its own."""

    async def add_key(self, row: KeyRow, newest: str | None, stamp: Stamp) -> int | None:
        if await self._hold_meta() != row.epoch or not await self._may_make(row.seal_id, newest):
            return None
        await self._connection.execute(
            f"INSERT INTO {self._s}.keys (kid, alg, public, sealed, epoch, published_at, signs_from, seal_id) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            row.kid,
            row.alg,
            row.public,
            row.sealed,
            row.epoch,
            row.published_at,
            row.signs_from,
            row.seal_id,
        )
        return await self._append([(Kind.KEYS, None, 0)], stamp)

    async def drop_key(self, kid: str, stamp: Stamp) -> int:
        await self._connection.execute(f"DELETE FROM {self._s}.keys WHERE kid = $1", kid)
        return await self._append([(Kind.KEYS, None, 0)], stamp)

    async def admit_secret(self, ident: str, newest: str | None) -> bool:
        await self._hold_meta()
        if not await self._may_make(ident, newest):
            return False
        await self._connection.execute(
            f"INSERT INTO {self._s}.secrets VALUES ($1, false) ON CONFLICT DO NOTHING", ident
        )
        return True

    async def reset_keys(self, stamp: Stamp) -> Reset:
        await self._hold_meta()
        # A key from before these ids were kept has none, and no secret is to be lost on its account.
        await self._connection.execute(
            f"""INSERT INTO {self._s}.secrets SELECT id, true FROM
                    (SELECT id FROM {self._s}.secrets UNION SELECT seal_id FROM {self._s}.keys
                     UNION SELECT key_id FROM {self._s}.families) AS known (id)
                WHERE id <> '' ON CONFLICT (id) DO UPDATE SET is_lost = true"""
        )
        await self._connection.execute(f"DELETE FROM {self._s}.keys")
        gone = await self._connection.execute(f"DELETE FROM {self._s}.families")
        position = await self._append([(Kind.KEYS, None, 0)], stamp)
        return Reset(position=position, families=int(gone.removeprefix("DELETE ")))

    async def add_family(self, family: Family) -> bool:
        await self._connection.execute(f"SELECT 1 FROM {self._s}.meta FOR SHARE")
        marks = ", ".join(f"${at}" for at in range(1, 11))
        status = await self._connection.execute(
            f"INSERT INTO {self._s}.families ({FAMILY}) SELECT {marks} "
            f"WHERE EXISTS (SELECT 1 FROM {self._s}.sessions WHERE sid = $2 AND {self._live}) "
            f"AND NOT EXISTS (SELECT 1 FROM {self._s}.secrets WHERE id = $7 AND is_lost)",
            *family_columns_of(family),
        )
        return bool(status == "INSERT 0 1")

    async def rotate_family(self, ident: bytes, generation: int, now: int) -> bool:
        # The session is looked at in the same statement: the last refresh must not overtake its end.
        session = f"SELECT 1 FROM {self._s}.sessions WHERE sessions.sid = families.sid AND {self._live}"
        status = await self._connection.execute(
            f"UPDATE {self._s}.families SET generation = generation + 1, rotated_at = $3 "
            f"WHERE id = $1 AND generation = $2 AND EXISTS ({session})",
            ident,
            generation,
            now,
        )
        return bool(status == "UPDATE 1")

    async def end_client(self, client_id: str, note: str, stamp: Stamp) -> int:
        # The families first: those that this one removes are what the others are about, whatever is added meanwhile.
        gone = await self._connection.fetch(
            f"DELETE FROM {self._s}.families WHERE client_id = $1 RETURNING sid, owns_session", client_id
        )
        owned = list({row[0] for row in gone if row[1]})
        lent = list({row[0] for row in gone} - set(owned))
        # All of them, in the order of their ids, as every step takes them.
        await self._connection.execute(
            f"SELECT 1 FROM {self._s}.sessions WHERE sid = ANY($1::text[]) AND {self._live} ORDER BY id FOR UPDATE",
            owned + lent,
        )
        raised = await self._connection.fetch(
            f"UPDATE {self._s}.sessions SET version = version + 1 WHERE sid = ANY($1::text[]) AND {self._live} "
            "RETURNING sid, version",
            lent,
        )
        ended = await self._end(f"sid = ANY($3::text[]) AND {self._live}", (owned,), note, stamp)
        lines = [(Kind.CLAIMS, row[0], row[1]) for row in raised]
        return await self._append([*lines, *((Kind.REVOKED, sid, ENDED) for sid in ended)], stamp)

    async def _hold_meta(self) -> int:
        """Take the row of ``meta``; return the epoch."""
        return int(await self._connection.fetchval(f"SELECT epoch FROM {self._s}.meta FOR UPDATE"))

    async def _may_make(self, seal_id: str, newest: str | None) -> bool:
        return bool(
            await self._connection.fetchval(
                f"SELECT (SELECT kid FROM {self._s}.keys ORDER BY number DESC LIMIT 1) IS NOT DISTINCT FROM $1 "
                f"AND NOT EXISTS (SELECT 1 FROM {self._s}.secrets WHERE id = $2 AND is_lost)",
                newest,
                seal_id,
            )
        )
