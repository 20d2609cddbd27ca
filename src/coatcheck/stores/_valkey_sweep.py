"""
What is over, and what was left half done, in Valkey. Floor 2; may import: floor 0.

Rules of this module:

1. (*open-until-logged*) First what is *open* for longer than any call takes: its line is appended, then it is noted.
   To append it twice does no harm.
2. A tombstone that is not noted stays, whatever time it is.
"""

from __future__ import annotations

from coatcheck.records import ENDED, Kind
from coatcheck.stores import _valkey_scripts as scripts
from coatcheck.stores._valkey_home import Home, Line, Voucher
from coatcheck.stores._valkey_keys import BUCKETS, Names, digest_of_tomb, unpack, unpack_family
from coatcheck.stores._valkey_rows import Rows, each
from coatcheck.stores._valkey_wire import Purpose, Wire

OPEN_S = 60
"""After how long what is open was left half done."""


class Sweep:
    """See the module."""

    def __init__(self, wire: Wire, names: Names, home: Home, rows: Rows) -> None:
        self._wire = wire
        self._n = names
        self._home = home
        self._rows = rows

    async def run(self, now: int, limit: int, trim_to: int | None) -> int:
        """See :meth:`coatcheck.stores.base.Store.sweep`."""
        await self._finish(now - OPEN_S)
        due = await self._due("ends", now, limit)
        left = {b"s": limit, b"t": limit, b"d": limit, b"f": limit, b"u": limit}
        chosen = []
        for tag, entry in due:
            if left[entry[:1]] > 0:
                left[entry[:1]] -= 1
                chosen.append((tag, entry))
        gone = await each(lambda one: self._sweep(*one, now), chosen)
        return int(sum(gone)) + await self._home.trim(now, limit, trim_to)

    async def _due(self, name: str, until: int, limit: int) -> list[tuple[bytes, bytes]]:
        tags = [self._n.at(bucket) for bucket in range(BUCKETS)]

        async def due(tag: bytes) -> list[tuple[bytes, bytes]]:
            key = tag + name.encode()
            words = ("ZRANGEBYSCORE", key, "-inf", until, "LIMIT", 0, limit)
            return [(tag, entry) for entry in (await self._wire.command(*words, key=key)).value]

        return [one for found in await each(due, tags) for one in found]

    # --- what was left half done ---

    async def _finish(self, until: int) -> None:
        for tag, entry in await self._due("open", until, 100):
            forget_after, _, sid = entry.decode().split(":", 2)
            keys = [tag + b"s:" + sid.encode(), tag + b"t:" + sid.encode()]
            name, raw, tomb = (await self._rows.run(scripts.READ, keys, purpose=Purpose.READS)).value
            line = Line(Kind.REVOKED, sid, ENDED, int(forget_after))
            if raw is not None:
                line = Line(Kind.CLAIMS, sid, unpack(sid, raw).record.session.version, int(forget_after))
            if raw is not None or tomb is not None:
                # What it says must be so for ever: what was read may never have been durable (*durable-before-return*).
                proved = (await self._rows.run(scripts.PROBE, [tag + b"probe"])).value[0]
                if proved != name:
                    continue  # it was read elsewhere
                await self._home.append([line], [Voucher(name, keys[0])])
            await self._rows.close(sid, entry.decode(), as_end=line.kind is Kind.REVOKED)

    # --- what is over ---

    async def _sweep(self, tag: bytes, entry: bytes, now: int) -> int:
        kinds = {b"s": self._row, b"t": self._tomb, b"d": self._pointer, b"f": self._family, b"u": self._expected}
        work = kinds[entry[:1]]
        gone: int = await work(tag, entry, now)
        return gone

    async def _row(self, tag: bytes, entry: bytes, now: int) -> int:
        sid, tomb_entry = entry[1:], b"t" + entry[1:]
        keys = [tag + b"s:" + sid, tag + b"ends", tag + b"t:" + sid]
        gone, *tomb = (await self._rows.run(scripts.SWEEP_ROW, keys, [now, entry, tomb_entry])).value
        if gone:
            await self._let_go(tomb[0], sid)
            await self._rows.run(scripts.SWEEP_TOMB, [keys[2], keys[1]], [now, tomb_entry, "1"])
        return int(gone)

    async def _tomb(self, tag: bytes, entry: bytes, now: int) -> int:
        keys = [tag + b"t:" + entry[1:], tag + b"ends"]
        is_due, *tomb = (await self._rows.run(scripts.SWEEP_TOMB, keys, [now, entry, ""])).value
        if not is_due:
            return 0
        if tomb[0] is not None:
            await self._let_go(tomb[0], entry[1:])
        return int((await self._rows.run(scripts.SWEEP_TOMB, keys, [now, entry, "1"])).value[0])

    async def _let_go(self, tomb: bytes, sid: bytes) -> None:
        """Forget what led to a session that is gone: before its tombstone goes, from which it is known."""
        digest = digest_of_tomb(tomb)
        sub = tomb[35:].decode() if tomb[33:35] != b"\xff\xff" else None
        if digest is not None:
            pointer = self._n.tag(digest) + b"d:" + digest
            await self._rows.run(scripts.UNDO, [pointer, Names.beside(pointer, "ends")], [b"d" + digest])
        if sub is not None:
            await self._rows.run(scripts.UNLIST, self._n.subject(sub)[:1], [sid])

    async def _expected(self, tag: bytes, entry: bytes, now: int) -> int:
        """Look after a session that was to be listed under a subject that its row did not yet name."""
        length, rest = entry[1:].split(b":", 1)
        sid, sub = rest[: int(length)], rest[int(length) :]
        if await self._rows.over([sid.decode()]):
            await self._rows.run(scripts.UNLIST, self._n.subject(sub.decode())[:1], [sid])
            await self._rows.run(scripts.UNDO, [tag + b"none", tag + b"ends"], [entry])
        return 0

    async def _pointer(self, tag: bytes, entry: bytes, now: int) -> int:
        pointer, ends = tag + b"d:" + entry[1:], tag + b"ends"
        key = (await self._wire.command("GET", pointer, key=pointer)).value
        row = None if key is None else await self._rows.row(key.split(b"}:s:", 1)[1].decode())
        if row is not None and row.record.digest == entry[1:]:
            await self._rows.run(scripts.SETTLE, [ends], [now, entry])
            return 0
        return int((await self._rows.run(scripts.SWEEP_POINTER, [pointer, ends], [now, entry])).value)

    async def _family(self, tag: bytes, entry: bytes, now: int) -> int:
        key = tag + b"f:" + entry[1:]
        raw = (await self._wire.command("GET", key, key=key)).value
        client_id = unpack_family(entry[1:], raw).client_id if raw is not None else ""
        keys = [key, tag + b"c:" + client_id.encode(), tag + b"ends"]
        gone = await self._wire.run(scripts.DROP_FAMILY, keys, [entry[1:]], purpose=Purpose.WRITES, durable=True)
        return int(gone.value)
