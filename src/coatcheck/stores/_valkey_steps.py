"""
What takes several slots: beginning and renewing a session, and what concerns all of a subject's. Floor 2; may import:
floor 0.

Rules of this module:

1. A sign-in writes row and pointer, then the subject's list, where the generation is compared; until the list has it,
   nobody has its token. Who ends or changes all of a subject's sessions raises the generation first, and then looks at
   the list (*generation-before-list*).
2. What is taken back is what nobody was told of.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from coatcheck.errors import AlreadyExists, StoreUnavailable
from coatcheck.records import Digest, Kind, Record, Session
from coatcheck.stores import _valkey_scripts as scripts
from coatcheck.stores._valkey_home import TRIES, Home, Voucher
from coatcheck.stores._valkey_keys import Names, Row, pack
from coatcheck.stores._valkey_rows import Rows, each
from coatcheck.stores._valkey_wire import Purpose, Wire
from coatcheck.stores.base import MOVED, Moved, Place, Stamp
from coatcheck.values import decode, decode_frozen, fitted, merged


class Steps:
    """See the module; the methods are those of :class:`coatcheck.stores.base.Store`."""

    def __init__(self, wire: Wire, names: Names, home: Home, rows: Rows) -> None:
        self._wire = wire
        self._n = names
        self._home = home
        self._rows = rows

    # --- one begins ---

    async def create(
        self, record: Record, generation: int | None, most: int, stamp: Stamp, place: Place | None
    ) -> int | Moved | None:
        key = self._rows.key(record.session.sid)
        here = await self._home.here([key])
        if place is not None and here.epoch != place.epoch:
            return MOVED
        # The bar of an end of everyone that comes now is above this epoch: then the row is over where it stands.
        voucher = await self._put(Row(record, here.epoch, here.life))
        if voucher is None:
            return MOVED
        if not here.knows(voucher):
            # Nobody has its token before it is known who answers for it: a server that was deposed knows nothing of it.
            await self._home.settle(key)
        sub = record.session.sub
        if sub is None:
            return None
        listed = await self._list(record.session, _at(generation, here.epoch), most)
        if isinstance(listed, Moved):
            await self._take_back(record)
            return MOVED
        return await self._end_surplus(sub, record.session.sid, listed, most, stamp) if listed else None

    async def _put(self, row: Row) -> Voucher | None:
        """Write row and pointer; None where the session has ended before it was written."""
        session, digest = row.record.session, row.record.digest
        key, tomb, _, ends = self._rows.beside(session.sid)
        args = [pack(row), row.ends_at, "s" + session.sid]
        name, said = (await self._rows.run(scripts.CREATE, [key, tomb, ends], args, again=False)).value
        if said == b"ended":
            return None
        # The row first: a sweep finds it, and what leads to it, though nobody comes back after a crash.
        if said == b"ok":
            if await self._point(digest, key) != 0:
                return Voucher(name, key)
            await self._rows.run(scripts.UNDO, [key, ends], ["s" + session.sid])
        elif said == b"exists":
            # It may be what was begun here before, and broken off: then it is brought to its end.
            found = await self._rows.row(session.sid)
            if found is not None and found.record.digest == digest:
                await self._point(digest, key)
        raise AlreadyExists("a session with this token or sid exists")

    async def _point(self, digest: Digest, key: bytes, due: int | None = None) -> int:
        pointer = self._n.pointer(digest)
        args = [key, "" if due is None else due, b"d" + digest]
        return int((await self._rows.run(scripts.POINT, [pointer, Names.beside(pointer, "ends")], args)).value)

    async def _unpoint(self, digest: Digest) -> None:
        pointer = self._n.pointer(digest)
        await self._rows.run(scripts.UNDO, [pointer, Names.beside(pointer, "ends")], [b"d" + digest])

    async def _take_back(self, record: Record) -> None:
        sid = record.session.sid
        key, _, _, ends = self._rows.beside(sid)
        await self._rows.run(scripts.UNDO, [key, ends], ["s" + sid])
        await self._unpoint(record.digest)

    async def _list(self, session: Session, generation: str, most: int) -> list[str] | Moved:
        """Add a session to its subject's list; return the list, where it is too long."""
        assert session.sub is not None
        args = [session.sid, generation, most]
        said = (await self._rows.run(scripts.LIST, self._n.subject(session.sub), args)).value
        if said[0] == b"moved":
            return MOVED
        return [sid.decode() for sid in said[1]] if said[0] == b"many" else []

    async def _expect_list(self, session: Session) -> None:
        # From here to the change of its row it is listed where nobody finds it by its row: see the sweep.
        sid = session.sid.encode()
        entry = b"u%d:%b%b" % (len(sid), sid, (session.sub or "").encode())
        ends = self._rows.beside(session.sid)[3]
        await self._rows.run(scripts.EXPECT, [ends], [session.expires_at, entry])

    async def _end_surplus(self, sub: str, newest: str, listed: Sequence[str], most: int, stamp: Stamp) -> int | None:
        """Of the listed sessions that are there, the oldest first, end as many as are too many."""
        rows = await self._rows.rows(listed)
        gone = [sid for sid, row in zip(listed, rows, strict=True) if row is None]
        await self._unlist(sub, gone)
        others = [sid for sid, row in zip(listed, rows, strict=True) if row is not None and sid != newest]
        surplus = others[: max(0, len(others) - most + 1)]
        return await self._rows.end(surplus, kind=Kind.REVOKED, stamp=stamp) if surplus else None

    async def _unlist(self, sub: str, sids: Sequence[str]) -> None:
        # Only what is in the log already: what is not, somebody who ends all of them must still find.
        if over := await self._rows.over(sids):
            await self._rows.run(scripts.UNLIST, self._n.subject(sub)[:1], over)

    # --- one goes on under another token ---

    async def renew(
        self, old: Digest, record: Record, generation: int | None, most: int, stamp: Stamp
    ) -> int | Moved | None:
        session, here = record.session, await self._home.here()
        found = await self._rows.row(session.sid)
        if found is None or found.record.digest != old or found.record.session.version != session.version - 1:
            return None
        listed: list[str] = []
        if session.sub is not None:
            if found.record.session.sub != session.sub:
                await self._expect_list(session)
            said = await self._list(session, _at(generation, here.epoch), most)
            if isinstance(said, Moved):
                return MOVED
            listed = said
        # A sweep looks at both later, and keeps the one that leads to the row by then: whatever becomes of us.
        pointer, due = self._n.pointer(old), stamp.forget_token
        pointed, _ = await asyncio.gather(
            self._point(record.digest, self._rows.key(session.sid), due),
            self._rows.run(scripts.FORGET_AT, [pointer, Names.beside(pointer, "ends")], [due, b"d" + old]),
        )
        if pointed == 0:
            raise AlreadyExists("a session with this token exists")

        def fresh(row: Row) -> Row | None:
            if row.record.digest != old or row.record.session.version != session.version - 1:
                return None
            return replace(row, record=replace(record, data=row.record.data))

        changed = await self._rows.change(session.sid, fresh, kind=Kind.RENEWED, stamp=stamp)
        if changed is None:
            await self._unpoint(record.digest)
            return None
        position = await self._rows.announce([changed])
        if session.sub is not None and listed:
            surplus = await self._end_surplus(session.sub, session.sid, listed, most, stamp)
            return surplus or position
        return position

    # --- all of a subject's ---

    async def generation(self, sub: str) -> int:
        here, reply = (
            await self._home.here(),
            await self._wire.command("HGET", self._n.subject(sub)[1], "generation", key=self._n.subject(sub)[1]),
        )
        return here.epoch + int(reply.value or 0)

    async def load_subject(self, sub: str) -> list[Session]:
        listed = await self._listed(self._n.subject(sub)[0])
        rows = await self._rows.rows([sid.decode() for sid in listed])
        # One that is just being signed in is listed before its row says whose it is.
        return [row.record.session for row in rows if row is not None and row.record.session.sub == sub]

    async def _listed(self, key: bytes) -> list[bytes]:
        for _ in range(TRIES):
            run = self._rows.run(scripts.LISTED, [key], purpose=Purpose.READS)
            here, reply = await asyncio.gather(self._home.here([key]), run)
            name, listed = reply.value
            if here.knows(Voucher(name, key)):
                return list(listed)
            await self._home.settle(key)
        raise StoreUnavailable("Valkey: it is not settled which server answers for a subject")

    async def _raise(self, sub: str, purpose: Purpose = Purpose.WRITES) -> tuple[int, list[str]]:
        """Raise a subject's generation; return it, and the sessions that are listed by then."""
        args = [1 + secrets.randbelow(2**20)]
        number, listed = (await self._rows.run(scripts.RAISE, self._n.subject(sub), args, purpose=purpose)).value
        return number, [sid.decode() for sid in listed]

    async def end_subject(self, sub: str, keep: str | None, stamp: Stamp) -> int:
        _, listed = await self._raise(sub, Purpose.ENDING)
        sids = [sid for sid in listed if sid != keep]
        position = await self._rows.end(sids, kind=Kind.REVOKED, stamp=stamp, only="listed") if sids else None
        await self._unlist(sub, sids)
        # What was found ended and noted is in the log before this head.
        return await self._home.append([], purpose=Purpose.ENDING) if position is None else position

    async def change_claims(
        self, sub: str, change: Mapping[str, Any], unset: Sequence[str], limit: int, stamp: Stamp
    ) -> int:
        ticket, listed = await self._raise(sub)
        gone = [name for name in unset if name not in change]

        def fresh(row: Row) -> Row | None:
            # Of two calls at once the later one counts, in every session, whichever came first here.
            older = {name for name, number in row.tickets.items() if number > ticket}
            wanted = {name: value for name, value in change.items() if name not in older}
            session = row.record.session
            claims = merged(session.claims, wanted, [name for name in gone if name not in older])
            raw = fitted(claims, limit=limit, field="claims")
            session = replace(session, claims=decode_frozen(raw), version=session.version + 1)
            tickets = {**row.tickets, **{name: ticket for name in (*wanted, *gone) if name not in older}}
            return replace(row, record=replace(row.record, session=session), tickets=tickets)

        for row in await self._rows.rows(listed):
            if row is not None:
                fresh(row)  # too large: said before any session is changed
        changes = await each(lambda sid: self._rows.change(sid, fresh, kind=Kind.CLAIMS, stamp=stamp), listed)
        # What somebody else has ended, and has not said yet, is accepted elsewhere with the claims of before
        # (*found-ended-is-said*).
        if ended := [sid for sid, change in zip(listed, changes, strict=True) if change is None]:
            await self._rows.end(ended, kind=Kind.REVOKED, stamp=stamp, only="ended")
        return await self._rows.announce([one for one in changes if one is not None])

    async def change_data(
        self, sid: str, change: Mapping[str, Any], unset: Sequence[str], limit: int, stamp: Stamp
    ) -> int | None:
        def fresh(row: Row) -> Row | None:
            if stamp.now >= row.record.session.expires_at:
                return None
            raw = fitted(merged(decode(row.record.data), change, unset), limit=limit, field="set")
            return replace(row, record=replace(row.record, data=raw))

        changed = await self._rows.change(sid, fresh, kind=Kind.DATA, stamp=stamp)
        return None if changed is None else await self._rows.announce([changed])


def _at(generation: int | None, epoch: int) -> str:
    # The epoch is a part of it: so it rises for everyone at once.
    return "" if generation is None else str(generation - epoch)
