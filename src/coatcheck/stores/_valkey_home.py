"""
Home: the log, the nodes, the keys, and whose word counts, in Valkey. Floor 2; may import: floor 0.

Every server belongs to a *history*, which has a name: another after each promotion and each restart. Home knows under
which history it is itself, and in a cluster, for each bucket of rows, under which that is. Decision 12 says why, and
what follows.

Rules of this module:

1. (*new-history-new-era*, *era-counts-when-durable*) Home's own history is another: nothing is done before a new era
   began and is durable.
2. (*proof-before-registering*) Who makes another name known reads the known one, then proves that the server of the new
   one can make a write as durable as is asked, then puts it in the place of the one that was read. A server that was
   deposed cannot: its replicas have left it. A write of before proves nothing.
3. (*log-only-under-registered-name*, *names-by-bucket*) A line is appended under the known name of the bucket in which
   the row was changed; where that is another, it becomes known first, and with it come a new epoch and new keys.
4. (*highest-epoch-only*) A home whose epoch is below one that we have seen is believed nothing, unless it proves
   itself.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from coatcheck.errors import StoreUnavailable, StoreUnusable
from coatcheck.records import ENDED, Change, KeyRow, Kind, Node, Nodes, Tail
from coatcheck.stores import _valkey_scripts as scripts
from coatcheck.stores._valkey_keys import BUCKETS, Names, Row, pack_key, tag_of, unpack_key
from coatcheck.stores._valkey_wire import Purpose, Script, Wire
from coatcheck.stores.base import Stamp

log = logging.getLogger("coatcheck")

MOST_CHANGES = 5_000
TRIES = 5
_MOST_LINES = 1_000
_RECENT = 0.8  # of a lease: shorter than memory is trusted
_RESTLESS = "Valkey: its servers change places faster than they can be asked"


class Line(msgspec.Struct, frozen=True):
    """What is to be appended to the log."""

    kind: Kind
    sid: str
    version: int
    forget_after: int


class Voucher(msgspec.Struct, frozen=True):
    """Under which history something was done or found. key: one of the bucket where."""

    name: bytes
    key: bytes


class Here(msgspec.Struct, frozen=True):
    """
    What home says of everything.

    Attributes:
        epoch: Of the log. bar: sessions of earlier epochs have ended. life: drawn when home was empty: sessions of
            another have ended, too.

        names: Of the histories, by bucket. is_lost: whether the secret that was asked for was declared lost.
    """

    epoch: int
    bar: int
    life: bytes
    names: Mapping[bytes, bytes | None]
    is_lost: bool = False

    def knows(self, voucher: Voucher) -> bool:
        """Say whether what a script found counts: whether its server is of the known history of its bucket."""
        return self.names[tag_of(voucher.key)] == voucher.name

    def counts(self, row: Row) -> bool:
        """Say whether a row counts: whether no end of everyone came after it, and home has not lost all since."""
        return row.epoch >= self.bar and row.life == self.life


class _Recent:
    """What home has said in the present epoch, and until when it may be used."""

    def __init__(self) -> None:
        self.names: dict[bytes, bytes] = {}
        self.bar = 0
        self.life = b""
        self.until = 0.0

    def take(self, here: Here) -> None:
        self.bar, self.life = here.bar, here.life
        self.names |= {tag: name for tag, name in here.names.items() if name is not None}


class Home:
    """
    See the module.

    Args:
        lease_s: What a store that is new begins with.

        one_server: Whether rows are where home is, so that there is but one history.
    """

    def __init__(self, wire: Wire, names: Names, lease_s: float, *, one_server: bool) -> None:
        self._wire = wire
        self._n = names
        self.lease_s = lease_s
        self._one_server = one_server
        self._highest = 0
        self._recent = _Recent()
        self._noted_replicas = 0
        self._appending = [names.meta, names.log, names.news]

    async def ask(
        self,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[Any] = (),
        *,
        purpose: Purpose = Purpose.WRITES,
        durable: bool = True,
        again: bool = True,
        wait_s: float | None = None,
    ) -> list[Any]:
        """Run one of home's scripts; return what it says: after the epoch where it did what it does, else all."""
        for _ in range(TRIES):
            reply = await self._wire.run(
                script, keys, args, purpose=purpose, durable=durable, again=again, wait_s=wait_s
            )
            value: list[Any] = reply.value
            if value[0] == b"elsewhere":
                await self._begin_era(value[1] or b"", value[2])
            elif value[0] == b"unsure":
                await self._make_sure(value[1])
            elif value[0] != b"ok":
                return value
            elif int(value[1]) >= self._highest:
                self._see(int(value[1]))
                return value[2:]
            else:
                # Of what has proved itself, and not of whoever said this: that may be another.
                self._see(await self._proved_epoch())
        raise StoreUnavailable(_RESTLESS)

    def _see(self, epoch: int) -> None:
        if epoch != self._highest:
            self._highest, self._recent = epoch, _Recent()

    @property
    def epoch(self) -> int:
        """The highest that was seen."""
        return self._highest

    async def _prove(self, key: bytes) -> bytes:
        """Return the name of the history under which *key* is now, by a write that is durable there."""
        reply = await self._wire.run(scripts.PROBE, [key], [], purpose=Purpose.WRITES, durable=True)
        name: bytes = reply.value[0]
        return name

    async def _proved_epoch(self) -> int:
        keys = [self._n.probe, self._n.meta]
        reply = await self._wire.run(scripts.PROBE, keys, [], purpose=Purpose.WRITES, durable=True)
        return int(reply.value[1] or 0)

    async def _begin_era(self, known: bytes, name: bytes) -> None:
        if await self._prove(self._n.probe) != name:
            return
        keys = [*self._appending, self._n.keys, self._n.nodes]
        args: list[Any] = [known, secrets.randbelow(2**18), repr(self.lease_s), name, self._highest]
        args.append(secrets.token_bytes(8))
        reply = await self._wire.run(scripts.BEGIN_ERA, keys, args, purpose=Purpose.WRITES, durable=True)
        if reply.value[0] == b"new":
            log.warning("Valkey was promoted, restarted or restored: a new epoch begins, and new signing keys are made")
        elif reply.value[0] == b"first" and self._highest:
            log.error("Valkey is empty: everybody has to sign in again")
            self._see(0)

    async def _make_sure(self, epoch: bytes) -> None:
        """Have home answer in an era that was begun, if it is durable by now (*era-counts-when-durable*)."""
        # Its first caller may have asked a server that was deposed meanwhile. There this write, which comes after the
        # era, is never durable, and home goes on answering nothing.
        if await self._proved_epoch() == int(epoch):
            await self._wire.run(scripts.SURE, [self._n.meta], [epoch], purpose=Purpose.WRITES, durable=True)

    async def here(self, keys: Iterable[bytes] = (), *, secret: str = "") -> Here:
        """Return what home says of everything, of the buckets of *keys*, and of a secret."""
        tags = list(dict.fromkeys(tag_of(key) for key in keys))
        args = [secret, *([] if self._one_server else tags)]
        (bar, life), state, own, found = await self.ask(
            scripts.HERE, [self._n.meta, self._n.secrets], args, purpose=Purpose.READS, durable=False
        )
        names = dict.fromkeys(tags, own) if self._one_server else dict(zip(tags, found, strict=True))
        here = Here(self._highest, int(bar), life, names, state == b"lost")
        self._recent.take(here)
        return here

    def beaten(self, sent: float, lease_s: float) -> None:
        """Hear of a heartbeat that was sent at this moment of the loop's time, and was answered."""
        self._recent.until = sent + _RECENT * lease_s

    def recently(self, key: bytes) -> Here | None:
        """
        Return what home said of the bucket of *key*, if nothing can have changed but what this node has not heard of.

        Only for who looks at the lease afterwards: in one epoch a bucket has one name, and a node that holds a lease in
        this epoch is waited for by whoever begins another.
        """
        recent, tag = self._recent, tag_of(key)
        if tag not in recent.names or asyncio.get_running_loop().time() >= recent.until:
            return None
        return Here(self._highest, recent.bar, recent.life, {tag: recent.names[tag]})

    async def settle(self, key: bytes) -> Voucher:
        """Make known who answers for this bucket now, if it is somebody else than was known; return it."""
        for _ in range(TRIES):
            here = await self.here([key])
            known = here.names[tag_of(key)] or b""
            name = await self._prove(Names.beside(key, "probe"))
            if known != name and not self._one_server and not await self._register(key, known, name, here.epoch):
                continue
            if known == name or not self._one_server:
                return Voucher(name, key)
        raise StoreUnavailable(_RESTLESS)

    async def _register(self, key: bytes, known: bytes, name: bytes, epoch: int) -> bool:
        # A bucket brings all those along that its server has by its own word, and that were known under the same name.
        # Should it be wrong, they are known under a name that does not answer for them: then nothing counts before they
        # are settled, too.
        more = await self._wire.together(key, [self._n.at(bucket) for bucket in range(BUCKETS)])
        args = [tag_of(key), known, name, epoch, *(tag_of(one) for one in more)]
        said = await self.ask(scripts.REGISTER, [self._n.meta, self._n.keys, self._n.news], args)
        if said:
            return False
        if known:
            log.warning("a part of Valkey is answered for by another server: a new epoch begins, and new keys are made")
        return True

    # --- the log ---

    async def append(
        self, lines: Sequence[Line], vouchers: Sequence[Voucher] = (), *, purpose: Purpose = Purpose.WRITES
    ) -> int:
        """Append *lines*; return the position of the last one; where there is none, the head."""
        # Where there is one server, the script has looked at its history already.
        known = {} if self._one_server else {tag_of(voucher.key): voucher for voucher in vouchers}
        head = 0
        for at in range(0, len(lines) or 1, _MOST_LINES):
            head = await self._append(lines[at : at + _MOST_LINES], known, purpose)
        return head

    async def _append(self, lines: Sequence[Line], known: dict[bytes, Voucher], purpose: Purpose) -> int:
        for _ in range(BUCKETS):
            args: list[Any] = [len(known)]
            for tag, voucher in known.items():
                args += (tag, voucher.name)
            for line in lines:
                args += (line.kind.value, line.sid, line.version, line.forget_after)
            said = await self.ask(scripts.APPEND, self._appending, args, purpose=purpose)
            if said[0] != b"unregistered":
                return int(said[0])
            known[said[1]] = await self.settle(known[said[1]].key)
        raise StoreUnavailable(_RESTLESS)

    async def end_everyone(self, stamp: Stamp) -> int:
        keys, args = [*self._appending, self._n.keys], [ENDED, stamp.forget_change]
        return int((await self.ask(scripts.END_EVERYONE, keys, args, purpose=Purpose.ENDING))[0])

    async def trim(self, now: int, limit: int, trim_to: int | None) -> int:
        args = [now, limit, "" if trim_to is None else trim_to]
        return int((await self.ask(scripts.TRIM, [self._n.meta, self._n.log], args))[0])

    async def note(self, field: str, value: float, *, rising: bool) -> None:
        """Set a number that home keeps; *rising*: never to a lower one."""
        await self.ask(scripts.SET, [self._n.meta], [field, repr(value), "rising" if rising else ""])

    async def note_replicas(self) -> None:
        """
        Keep how many replicas there ever were at most, if that has risen.

        Who opens the store tomorrow, and finds a primary that was deposed, must know that it had some.
        """
        most = self._wire.most_replicas
        if most > self._noted_replicas:
            await self.note("replicas", most, rising=True)
            self._noted_replicas = most

    async def set_lease(self, lease_s: float) -> None:
        """
        Change the lease.

        Raises:
            StoreUnusable: Somebody holds one of the length that it has now.
        """
        (held,) = await self.ask(scripts.SET_LEASE, [self._n.meta, self._n.nodes], [repr(lease_s)])
        if held:
            raise StoreUnusable(f"Valkey: {held} nodes hold leases; stop all servers first, then change the lease")

    async def kept(self, field: str) -> float:
        """Return a number that home keeps."""
        reply = await self._wire.command("HGET", self._n.meta, field, key=self._n.meta)
        return float(reply.value or 0)

    # --- signing keys and secrets ---

    async def add_key(self, row: KeyRow, newest: str | None, stamp: Stamp) -> int | None:
        keys = [*self._appending, self._n.keys, self._n.secrets]
        args = [row.epoch, newest or "", row.seal_id, row.kid, pack_key(row), 0, stamp.forget_change]
        said = await self.ask(scripts.ADD_KEY, keys, args, again=False)
        return None if said[0] == b"no" else int(said[0])

    async def drop_key(self, kid: str, stamp: Stamp) -> int:
        keys, args = [*self._appending, self._n.keys], [kid, 0, stamp.forget_change]
        return int((await self.ask(scripts.DROP_KEY, keys, args, purpose=Purpose.ENDING))[0])

    async def admit_secret(self, ident: str, newest: str | None) -> bool:
        keys = [*self._appending, self._n.keys, self._n.secrets]
        return bool((await self.ask(scripts.ADMIT, keys, [ident, newest or ""]))[0])

    async def use_secret(self, ident: str, client_id: str) -> bool:
        """Note that a family of *client_id* is made with this secret; False where that was declared lost."""
        keys = [self._n.meta, self._n.secrets, self._n.clients]
        return bool((await self.ask(scripts.USE_SECRET, keys, [ident, client_id]))[0])

    async def clients(self) -> list[str]:
        """Return all clients that ever had a family."""
        (found,) = await self.ask(
            scripts.CLIENTS, [self._n.meta, self._n.clients], purpose=Purpose.READS, durable=False
        )
        return sorted(client.decode() for client in found)

    async def reset_keys(self, stamp: Stamp) -> int:
        keys = [*self._appending, self._n.keys, self._n.secrets]
        return int((await self.ask(scripts.RESET_KEYS, keys, [0, stamp.forget_change]))[0])


class HomeSide:
    """
    What nodes ask of home, over connections of one purpose.

    Args:
        wait_s: How long a call may take. Less than the lease: a heartbeat that hangs keeps the next from being sent.
    """

    def __init__(self, home: Home, names: Names, purpose: Purpose, wait_s: float) -> None:
        self._home = home
        self._n = names
        self._purpose = purpose
        self._wait_s = wait_s
        self._lease_s = 0.0

    async def _ask(
        self, script: Script, keys: Sequence[bytes], args: Sequence[Any] = (), *, durable: bool = False
    ) -> list[Any]:
        keys = [self._n.meta, *keys]
        return await self._home.ask(script, keys, args, purpose=self._purpose, durable=durable, wait_s=self._wait_s)

    async def join(self, node: str, *, label: str) -> float:
        await self._home.note_replicas()
        self._lease_s = float((await self._ask(scripts.JOIN, [self._n.nodes], [node, label], durable=True))[0])
        return self._lease_s

    async def beat(self, node: str, *, beat: int, applied: int, epoch: int) -> Tail | None:
        # One script that writes the row and then reads the log; what follows it on this connection waits until both
        # are durable (*durable-heartbeat*).
        keys, args = [self._n.log, self._n.nodes], [node, beat, applied, epoch, MOST_CHANGES]
        sent = asyncio.get_running_loop().time()
        said = await self._ask(scripts.BEAT, keys, args, durable=True)
        if said[0] == b"gone":
            return None
        self._home.beaten(sent, self._lease_s)
        await self._home.note_replicas()
        return _tail(self._home.epoch, said)

    async def tail(self, after: int) -> Tail:
        said = await self._ask(scripts.TAIL, [self._n.log], [after, MOST_CHANGES])
        return _tail(self._home.epoch, said)

    async def keys(self) -> list[KeyRow]:
        (flat,) = await self._ask(scripts.KEYS, [self._n.keys])
        numbered = [raw.split(b" ", 1) for raw in flat[1::2]]
        return sorted((unpack_key(raw, int(number)) for number, raw in numbered), key=lambda row: row.number)

    async def leave(self, node: str) -> None:
        await self._ask(scripts.LEAVE, [self._n.nodes], [node], durable=True)

    async def nodes(self) -> Nodes:
        (head, lease_s), flat = await self._ask(scripts.NODES, [self._n.nodes])
        rows = [_node(ident, raw) for ident, raw in zip(flat[::2], flat[1::2], strict=True)]
        rows.sort(key=lambda row: row.id)
        return Nodes(epoch=self._home.epoch, head=int(head), lease_s=float(lease_s), rows=tuple(rows))

    async def drop_node(self, node: str, *, beat: int) -> bool:
        return bool((await self._ask(scripts.DROP_NODE, [self._n.nodes], [node, beat], durable=True))[0])


def _tail(epoch: int, said: Sequence[Any]) -> Tail:
    trimmed, head, lines = said
    changes = tuple(
        Change(
            position=int(ident.split(b"-")[0]),
            kind=Kind(line[1].decode()),
            sid=line[3].decode() or None,
            version=int(line[5]),
            forget_after=int(line[7]),
        )
        for ident, line in lines
    )
    return Tail(epoch=epoch, trimmed=int(trimmed), head=int(head), changes=changes)


def _node(ident: bytes, raw: bytes) -> Node:
    beat, applied, epoch, label = raw.split(b" ", 3)
    return Node(
        id=ident.decode(), label=label.decode(errors="replace"), beat=int(beat), applied=int(applied), epoch=int(epoch)
    )
