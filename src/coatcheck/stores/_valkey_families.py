"""
Families of refresh tokens in Valkey. Floor 2; may import: floor 0.

Rules of this module:

1. A family counts while its session is there and its secret was not declared lost: both are looked at whenever it is
   read, so that nothing needs to look for families when a session ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from coatcheck.errors import StoreUnavailable
from coatcheck.records import Family, Kind
from coatcheck.stores import _valkey_scripts as scripts
from coatcheck.stores._valkey_home import TRIES, Here, Home, Voucher
from coatcheck.stores._valkey_keys import BUCKETS, Names, Row, pack_family, unpack_family
from coatcheck.stores._valkey_rows import Rows, each
from coatcheck.stores._valkey_wire import Purpose, Wire
from coatcheck.stores.base import Reset, Stamp

_UNSETTLED = "Valkey: it is not settled which server answers for a refresh token"


class Families:
    """See the module; the methods are those of :class:`coatcheck.stores.base.Store`."""

    def __init__(self, wire: Wire, names: Names, home: Home, rows: Rows) -> None:
        self._wire = wire
        self._n = names
        self._home = home
        self._rows = rows

    async def add(self, family: Family) -> bool:
        if not await self._home.use_secret(family.key_id, family.client_id):
            return False
        key = self._n.family(family.id)
        args = [pack_family(family), family.id, family.expires_at]
        await self._rows.run(scripts.ADD_FAMILY, self._keys(key, family.client_id), args)
        # Looked for afterwards: where the session ends now, the family ends with it.
        if await self.get(family.id) is not None:
            return True
        await self._drop(family.id, family.client_id)
        return False

    async def get(self, ident: bytes) -> Family | None:
        family = await self._read(ident)
        if family is None:
            return None
        here, row = await asyncio.gather(self._home.here(secret=family.key_id), self._rows.row(family.sid))
        return None if here.is_lost or row is None or family.rotated_at < 0 else family

    async def _read(self, ident: bytes) -> Family | None:
        key = self._n.family(ident)
        for _ in range(TRIES):
            read = self._rows.run(scripts.READ_FAMILY, [key], purpose=Purpose.READS)
            here, reply = await asyncio.gather(self._home.here([key]), read)
            name, raw = reply.value
            if here.knows(Voucher(name, key)):
                return None if raw is None else unpack_family(ident, raw)
            await self._home.settle(key)
        raise StoreUnavailable(_UNSETTLED)

    async def rotate(self, ident: bytes, generation: int, now: int) -> bool:
        if await self.get(ident) is None:
            return False
        key = self._n.family(ident)
        return bool((await self._rows.run(scripts.ROTATE, [key], [generation, now], again=False)).value)

    async def end_client(self, client_id: str, stamp: Stamp) -> int:
        idents = await self._of(client_id)
        # First none of them counts any more; they go when their sessions have ended: whoever calls again finds them.
        await each(lambda ident: self._rows.run(scripts.CLOSE_FAMILY, [self._n.family(ident)]), idents)
        families = [family for family in await each(self._read, idents) if family is not None]
        rows = await self._rows.rows([family.sid for family in families])
        live = [family for family, row in zip(families, rows, strict=True) if row is not None]
        gone = list(dict.fromkeys(family.sid for family in families if family not in live))
        owned = list(dict.fromkeys(family.sid for family in live if family.owns_session))
        others = list(dict.fromkeys(family.sid for family in live if family.sid not in owned))

        def raised(row: Row) -> Row:
            session = replace(row.record.session, version=row.record.session.version + 1)
            return replace(row, record=replace(row.record, session=session))

        changes = await each(lambda sid: self._rows.change(sid, raised, kind=Kind.CLAIMS, stamp=stamp), others)
        position = await self._rows.announce([one for one in changes if one is not None], purpose=Purpose.ENDING)
        # Those that are gone, too: whoever ended them may have crashed before it was in the log.
        said = [
            await self._rows.end(gone, kind=Kind.REVOKED, stamp=stamp, only="ended") if gone else None,
            await self._rows.end(owned, kind=Kind.REVOKED, stamp=stamp, only="listed") if owned else None,
        ]
        await self._drop_all(client_id, idents)
        return max([position, *(one for one in said if one is not None)])

    async def reset(self, stamp: Stamp) -> Reset:
        position = await self._home.reset_keys(stamp)
        # From here on none of them counts. Those that go now are counted for the one who asked.
        families = 0
        for client_id in await self._home.clients():
            families += await self._drop_all(client_id, await self._of(client_id))
        return Reset(position=position, families=families)

    async def _drop_all(self, client_id: str, idents: Sequence[bytes]) -> int:
        return sum(await each(lambda ident: self._drop(ident, client_id), idents))

    async def _of(self, client_id: str) -> list[bytes]:
        """Return the ids of all families of a client."""
        keys = [self._n.at(bucket) + b"c:" + client_id.encode() for bucket in range(BUCKETS)]
        here = await self._home.here(keys)
        found = await each(lambda key: self._of_bucket(key, here), keys)
        return sorted(ident for part in found for ident in part)

    async def _of_bucket(self, key: bytes, here: Here) -> list[bytes]:
        for _ in range(TRIES):
            name, found = (await self._rows.run(scripts.READ_CLIENT, [key], purpose=Purpose.READS)).value
            if here.knows(Voucher(name, key)):
                return list(found)
            await self._home.settle(key)
            here = await self._home.here([key])
        raise StoreUnavailable(_UNSETTLED)

    async def _drop(self, ident: bytes, client_id: str) -> int:
        keys = self._keys(self._n.family(ident), client_id)
        return int((await self._rows.run(scripts.DROP_FAMILY, keys, [ident])).value)

    def _keys(self, key: bytes, client_id: str) -> Sequence[bytes]:
        return key, Names.beside(key, f"c:{client_id}"), Names.beside(key, "ends")
