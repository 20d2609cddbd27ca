"""
Sessions in Valkey: reading them, changing one, ending some. Floor 2; may import: floor 0.

Rules of this module:

1. (*row-only-under-registered-name*) What a script found counts only where its server is of the known history of its
   bucket. Otherwise home learns who answers there now, and it is asked again.
2. (*row-before-log*, *open-until-logged*) First the row, then the log; a change that memory must hear of is *open* from
   the one to the other. :mod:`._valkey_sweep` finishes what a crash left open.
3. A row is changed only from what was read: the script compares. A tombstone is final.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from coatcheck.errors import StoreUnavailable
from coatcheck.records import ENDED, Digest, Ended, Kind, Reason, Record
from coatcheck.stores import _valkey_scripts as scripts
from coatcheck.stores._valkey_home import TRIES, Here, Home, Line, Voucher
from coatcheck.stores._valkey_keys import Names, Row, pack, tag_of, unpack
from coatcheck.stores._valkey_wire import Purpose, Reply, Script, Wire
from coatcheck.stores.base import Stamp

T = TypeVar("T")

AT_ONCE = 500
"""How many calls one call makes at once."""

_SWAPS = 64
_LONGEST_NAP_S = 0.02
_UNSETTLED = "Valkey: it is not settled which server answers for a session"


def entry_of(sid: str, forget_after: int) -> str:
    """Return a new entry for *open*: until when its line is needed, something random, and the ``sid``."""
    return f"{forget_after}:{secrets.token_hex(4)}:{sid}"


async def each(work: Callable[[T], Awaitable[Any]], things: Iterable[T]) -> list[Any]:
    """Do *work* for all *things*, many at once; return the outcomes in order."""
    rest, found = list(things), []
    while rest:
        part, rest = rest[:AT_ONCE], rest[AT_ONCE:]
        outcomes = await asyncio.gather(*(work(thing) for thing in part), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        found += outcomes
    return found


class _Found(NamedTuple):
    """What was read of a session: what home said meanwhile, who vouches for it, and what stands there."""

    here: Here
    voucher: Voucher
    raw: bytes | None
    tomb: bytes | None

    def row(self) -> Row | None:
        return None if self.raw is None else unpack(self.voucher.key.split(b"}:s:", 1)[1].decode(), self.raw)


def _said_of(found: _Found, digest: Digest) -> Record | Ended | None:
    row = found.row()
    if row is None:
        return None if found.tomb is None else Ended(Reason.REVOKED)
    if row.record.digest != digest:
        return Ended(Reason.RENEWED)
    return row.record if found.here.counts(row) else Ended(Reason.REVOKED)


class Change(NamedTuple):
    """A change of one row: what it is now, what is to be said of it, what is open until it is said, who vouches."""

    row: Row
    line: Line
    entry: str
    voucher: Voucher


class Rows:
    """The sessions of one store."""

    def __init__(self, wire: Wire, names: Names, home: Home, *, one_server: bool) -> None:
        self._wire = wire
        self._n = names
        self._home = home
        self._one_server = one_server
        self._turns: dict[str, asyncio.Lock] = {}

    # --- reading ---

    async def load(self, digest: Digest) -> Record | Ended | None:
        """See :meth:`coatcheck.stores.base.Store.load`."""
        look = self._look if self._one_server else self._look_twice
        for _ in range(TRIES):
            found = await look(digest)
            if found is None:
                return None
            if found.here.knows(found.voucher):
                return _said_of(found, digest)
            await self._home.settle(found.voucher.key)
        raise StoreUnavailable(_UNSETTLED)

    async def _look(self, digest: Digest) -> _Found | None:
        """Where there is one server: everything in one step."""
        keys = [self._n.pointer(digest), self._n.meta]
        reply = await self._wire.run(scripts.LOOK, keys, [], purpose=Purpose.READS, durable=False)
        name, (known, unsure, epoch, bar, life), key, raw, tomb = reply.value
        if known != name or unsure or int(epoch) < self._home.epoch:
            return await self._look_twice(digest)  # home finds out what it means
        if key is None:
            return None
        here = Here(int(epoch), int(bar), life, {tag_of(key): name})
        return _Found(here, Voucher(name, key), raw, tomb)

    async def _look_twice(self, digest: Digest) -> _Found | None:
        pointer = self._n.pointer(digest)
        for _ in range(TRIES):
            name, key = (await self.run(scripts.POINTED, [pointer], purpose=Purpose.READS)).value
            if key is not None:  # whoever says so: it never changes
                return await self._read(key, self._home.recently(key))
            here = self._home.recently(pointer) or await self._home.here([pointer])
            if here.knows(Voucher(name, pointer)):
                return None
            await self._home.settle(pointer)
        raise StoreUnavailable(_UNSETTLED)

    async def _read(self, key: bytes, here: Here | None) -> _Found:
        read = self.run(scripts.READ, [key, key.replace(b"}:s:", b"}:t:", 1)], purpose=Purpose.READS)
        if here is None:
            here, reply = await asyncio.gather(self._home.here([key]), read)
        else:
            reply = await read
        name, raw, tomb = reply.value
        return _Found(here, Voucher(name, key), raw, tomb)

    async def row(self, sid: str, here: Here | None = None) -> Row | None:
        """Return the row of a session that has not ended."""
        for _ in range(TRIES):
            found = await self._read(self.key(sid), here)
            if found.here.knows(found.voucher):
                row = found.row()
                return row if row is not None and found.here.counts(row) else None
            await self._home.settle(found.voucher.key)
            here = None
        raise StoreUnavailable(_UNSETTLED)

    async def over(self, sids: Sequence[str]) -> list[str]:
        """Return those that have ended, and whose end is in the log if it must be."""
        if not sids:
            return []
        here = await self._home.here(self.key(sid) for sid in sids)

        async def is_over(sid: str) -> bool:
            # What is told by nobody who counts is not over.
            found = await self._read(self.key(sid), here)
            is_noted = found.tomb is None or found.tomb[:1] == b"\1"
            return here.knows(found.voucher) and found.raw is None and is_noted

        return [sid for sid, over in zip(sids, await each(is_over, sids), strict=True) if over]

    async def rows(self, sids: Sequence[str]) -> list[Row | None]:
        """Return the rows of several."""
        if not sids:
            return []
        here = await self._home.here(self.key(sid) for sid in sids)
        return await each(lambda sid: self.row(sid, here), sids)

    def key(self, sid: str) -> bytes:
        """Return the key of a row."""
        tag, raw = self._n.row(sid)
        return tag + b"s:" + raw

    def beside(self, sid: str) -> tuple[bytes, bytes, bytes, bytes]:
        """Return the keys of a session: row, tombstone, *open*, *ends*."""
        tag, raw = self._n.row(sid)
        return tag + b"s:" + raw, tag + b"t:" + raw, tag + b"open", tag + b"ends"

    async def run(
        self,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[Any] = (),
        *,
        purpose: Purpose = Purpose.WRITES,
        again: bool = True,
    ) -> Reply:
        """Run a script: what is not for reading is durable when this returns."""
        return await self._wire.run(
            script, keys, args, purpose=purpose, durable=purpose is not Purpose.READS, again=again
        )

    # --- one row changes ---

    async def change(self, sid: str, fresh: Callable[[Row], Row | None], *, kind: Kind, stamp: Stamp) -> Change | None:
        """Put what *fresh* makes of a row in its place; None when there is none, or *fresh* returns None."""
        key, _, opened, _ = self.beside(sid)
        # Nobody holds data in memory: a crash leaves nothing that must be told.
        entry = "" if kind is Kind.DATA else entry_of(sid, stamp.forget_change)
        async with self._turn(sid):
            for turn in range(_SWAPS):
                old = await self.row(sid)
                new = None if old is None else fresh(old)
                if old is None or new is None:
                    return None
                args = [pack(old), pack(new), entry, stamp.now]
                name, said = (await self.run(scripts.SWAP, [key, opened], args)).value
                if said == b"ok":
                    version = 0 if kind is Kind.DATA else new.record.session.version
                    line = Line(kind, sid, version, stamp.forget_change)
                    return Change(new, line, entry, Voucher(name, key))
                await asyncio.sleep(random.uniform(0, _LONGEST_NAP_S) * min(turn, 8) / 8)  # noqa: S311  spreads load
        raise StoreUnavailable("Valkey: a session changes faster than it can be written")

    async def announce(self, changes: Sequence[Change], *, purpose: Purpose = Purpose.WRITES) -> int:
        """Append the lines of what was changed, and note that they are appended; return the last position."""
        lines, vouchers = [one.line for one in changes], [one.voucher for one in changes]
        position = await self._home.append(lines, vouchers, purpose=purpose)
        await each(lambda one: self.close(one.line.sid, one.entry), [one for one in changes if one.entry])
        return position

    def _turn(self, sid: str) -> asyncio.Lock:
        # Of one process one at a time: each of fifty would else read and compare fifty times.
        lock = self._turns.get(sid)
        if lock is None:
            if len(self._turns) > AT_ONCE:
                self._turns = {name: held for name, held in self._turns.items() if held.locked()}
            lock = self._turns[sid] = asyncio.Lock()
        return lock

    # --- some end ---

    async def end(
        self,
        sids: Sequence[str],
        *,
        kind: Kind,
        stamp: Stamp,
        of: str | None = None,
        only: Literal["", "listed", "ended"] = "",
    ) -> int | None:
        """
        End sessions: tombstones, then the log, then the note.

        Args:
            of: Only this subject's. only: *listed*: what is in the log already is left alone. *ended*: what lives, too;
                what somebody else is ending is said again.

        Returns:
            None where there was nothing to end, because of these two.
        """
        entries = {sid: entry_of(sid, stamp.forget_change) for sid in sids}

        async def end(sid: str) -> Voucher | None:
            keys = self.beside(sid)
            args = ["" if of is None else "1", of or "", only]
            args += [entries[sid], str(stamp.now), str(stamp.forget_token), sid]
            name, said = (await self.run(scripts.END, keys, args, purpose=Purpose.ENDING)).value
            return Voucher(name, keys[0]) if said == b"ok" else None

        vouchers = dict(zip(sids, await each(end, sids), strict=True))
        ended = [sid for sid in sids if vouchers[sid] is not None]
        if not ended:
            return None
        lines = [Line(kind, sid, ENDED, stamp.forget_change) for sid in ended]
        known = [voucher for voucher in vouchers.values() if voucher is not None]
        position = await self._home.append(lines, known, purpose=Purpose.ENDING)
        await each(lambda sid: self.close(sid, entries[sid], as_end=True), ended)
        return position

    async def close(self, sid: str, entry: str, *, as_end: bool = False) -> None:
        """Note that what is open of a session is in the log. Not waited for to be durable: a sweep would find it."""
        _, tomb, opened, _ = self.beside(sid)
        args = [entry, "1" if as_end else ""]
        await self._wire.run(scripts.CLOSE, [tomb, opened], args, purpose=Purpose.ENDING, durable=False)
