"""
What each write to signing keys and refresh tokens does to the tables of PostgreSQL. Floor 2; may import: floor 0.

The rules are those of :mod:`coatcheck.stores._postgres_steps`.
"""

from __future__ import annotations

from coatcheck.records import Family, KeyRow, Kind
from coatcheck.stores._postgres_parts import Parts
from coatcheck.stores._rows import FAMILY, family_columns_of
from coatcheck.stores.base import Stamp


class KeySteps(Parts):
    """The writes that concern keys and families. One object is one write, in a transaction of its own."""

    async def add_key(self, row: KeyRow, newest: str | None, stamp: Stamp) -> int | None:
        # Whoever adds a key holds this row: the next one sees the key of the one before.
        epoch = await self._connection.fetchval(f"SELECT epoch FROM {self._s}.meta FOR UPDATE")
        known = await self._connection.fetchval(f"SELECT kid FROM {self._s}.keys ORDER BY number DESC LIMIT 1")
        if known != newest or epoch != row.epoch:
            return None
        await self._connection.execute(
            f"INSERT INTO {self._s}.keys (kid, alg, public, sealed, epoch, published_at, signs_from) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7)",
            row.kid,
            row.alg,
            row.public,
            row.sealed,
            row.epoch,
            row.published_at,
            row.signs_from,
        )
        return await self._append([(Kind.KEYS, None, 0)], stamp)

    async def drop_key(self, kid: str, stamp: Stamp) -> int:
        await self._connection.execute(f"DELETE FROM {self._s}.keys WHERE kid = $1", kid)
        return await self._append([(Kind.KEYS, None, 0)], stamp)

    async def add_family(self, family: Family) -> bool:
        marks = ", ".join(f"${at}" for at in range(1, 10))
        status = await self._connection.execute(
            f"INSERT INTO {self._s}.families ({FAMILY}) SELECT {marks} "
            f"WHERE EXISTS (SELECT 1 FROM {self._s}.sessions WHERE sid = $2 AND {self._live})",
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

    async def drop_families(self) -> int:
        status = await self._connection.execute(f"DELETE FROM {self._s}.families")
        return int(status.removeprefix("DELETE "))
