"""
Sessions in Valkey or Redis: one server, a replicated one, or a cluster. Floor 2; may import: floor 0.

Read ``docs/decisions/0012-rows-and-log-in-different-slots.md`` first, then the files in this order:

- :mod:`._valkey_keys`: which keys there are, and what stands in them. :mod:`._valkey_scripts`: what is one step.
- :mod:`._valkey_wire`: how a script gets to its server, and when what it wrote is durable.
- :mod:`._valkey_home`: the log, the nodes, the keys, and whose word counts.
- :mod:`._valkey_rows`: one session. :mod:`._valkey_steps`: what takes several slots. :mod:`._valkey_families`,
  :mod:`._valkey_sweep`.

Rules of this module:

1. Whatever fails is :class:`StoreUnavailable`, within a bound, and its text holds no password and no value.
2. What was accepted is done to its end, though its caller gives up: half of it would have to be found by a sweep.
3. Nothing here survives a fork (:meth:`ValkeyStore.abandon`).
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Literal, TypeVar

from coatcheck.errors import CoatcheckError, Forked, NotOpen
from coatcheck.records import Digest, Ended, Family, KeyRow, Kind, Nodes, Record, Session, Tail
from coatcheck.stores import _valkey_scripts as scripts
from coatcheck.stores._valkey_families import Families
from coatcheck.stores._valkey_home import Home, HomeSide
from coatcheck.stores._valkey_keys import FORM, Names
from coatcheck.stores._valkey_rows import Rows, each
from coatcheck.stores._valkey_steps import Steps
from coatcheck.stores._valkey_sweep import Sweep
from coatcheck.stores._valkey_url import parse
from coatcheck.stores._valkey_wire import Purpose, Wire
from coatcheck.stores.base import LEASE_S, Migration, Moved, Place, Reset, Seen, Stamp, check_lease

__all__ = ["ValkeyStore", "home_tag", "migrate"]

T = TypeVar("T")
WAIT_S = 5.0
LEAST_WAIT_S = 0.5


class ValkeyStore:
    """
    See :class:`coatcheck.stores.base.FleetStore`.

    Args:
        url: ``valkey://USER:PASSWORD@HOST:PORT/DATABASE?…``; the options are in ``docs/reference/stores.md``.

    Raises:
        ConfigError: The URL makes no sense.
    """

    is_embedded: Literal[False] = False

    def __init__(self, url: str) -> None:
        self._settings = settings = parse(url)
        self._n = names = Names(settings.prefix)
        self._wire = wire = Wire(settings, scripts.ALL)
        one_server = settings.mode != "cluster"
        self._home = home = Home(wire, names, settings.lease_s or LEASE_S, one_server=one_server)
        self._rows = Rows(wire, names, home, one_server=one_server)
        self._steps = Steps(wire, names, home, self._rows)
        self._families = Families(wire, names, home, self._rows)
        self._sweep = Sweep(wire, names, home, self._rows)
        self._under_way: set[asyncio.Task[Any]] = set()
        self._set_sides(WAIT_S)
        self._fault: CoatcheckError | None = NotOpen("the store is not open")

    def _set_sides(self, beat_s: float) -> None:
        self._heart = HomeSide(self._home, self._n, Purpose.HEART, beat_s)
        self.guests = HomeSide(self._home, self._n, Purpose.GUESTS, beat_s)
        self._barrier = HomeSide(self._home, self._n, Purpose.BARRIER, WAIT_S)

    def __repr__(self) -> str:
        return f"ValkeyStore({self._settings.shown!r})"

    @property
    def identity(self) -> str:
        return self._settings.identity

    # --- opening and closing ---

    async def open(self) -> None:
        await self._wire.open()
        try:
            await self._home.here()  # where nothing is here yet, or it has moved, that begins an era
            self._wire.most_replicas = max(self._wire.most_replicas, int(await self._home.kept("replicas")))
            await self._home.note_replicas()
            lease_s = await self._home.kept("lease")
        except BaseException:
            await self._wire.close()
            raise
        self._set_sides(min(WAIT_S, max(LEAST_WAIT_S, 0.8 * lease_s)))
        self._fault = None

    async def close(self) -> None:
        if self._fault is None:
            self._fault = NotOpen("the store is closed")
            while self._under_way:
                await asyncio.wait(self._under_way)
        await self._wire.close()

    def abandon(self) -> None:
        """
        In a forked child: let go of the parent's connections without touching them.

        To close one here would say goodbye in the parent's name, and to free one would take it from the parent's loop.
        """
        for connection in self._wire.abandon():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        self._under_way.clear()
        self._fault = Forked("the store was opened before a fork; open it in each worker")

    async def migrate(self, lease_s: float | None, *, dry_run: bool) -> Migration:
        """See :func:`migrate`."""
        await self._wire.open()
        try:
            before = int(await self._home.kept("epoch") > 0)
            known_s = await self._home.kept("lease") or self._home.lease_s
            if dry_run:
                known_s = lease_s or known_s
            elif lease_s is not None:
                await self._home.set_lease(lease_s)
                known_s = lease_s
            else:
                await self._home.here()
            return Migration(schema=self._settings.prefix, before=before, after=FORM, lease_s=known_s)
        finally:
            await self._wire.close()

    def _check_usable(self) -> None:
        if self._fault is not None:
            raise self._fault

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Do *work* to its end, though the caller gives up."""
        if self._fault is not None:
            work.close()
            raise self._fault
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, in case that nobody waits any more

    # --- reading ---

    async def load(self, digest: Digest) -> Record | Ended | None:
        self._check_usable()
        return await self._rows.load(digest)

    async def load_sid(self, sid: str) -> Record | None:
        self._check_usable()
        row = await self._rows.row(sid)
        return None if row is None else row.record

    async def load_subject(self, sub: str) -> list[Session]:
        self._check_usable()
        return await self._steps.load_subject(sub)

    async def generation(self, sub: str) -> int:
        self._check_usable()
        return await self._steps.generation(sub)

    async def family(self, ident: bytes) -> Family | None:
        self._check_usable()
        return await self._families.get(ident)

    async def wall(self) -> float:
        self._check_usable()
        return await self._wire.wall(self._n.meta)

    # --- nodes ---

    async def tail(self, after: int) -> Tail:
        self._check_usable()
        return await self._heart.tail(after)

    async def keys(self) -> list[KeyRow]:
        self._check_usable()
        return await self._heart.keys()

    async def join(self, node: str, *, label: str) -> float:
        self._check_usable()
        return await self._heart.join(node, label=label)

    async def beat(self, node: str, *, beat: int, applied: int, epoch: int) -> Tail | None:
        self._check_usable()
        return await self._heart.beat(node, beat=beat, applied=applied, epoch=epoch)

    async def leave(self, node: str) -> None:
        self._check_usable()
        await self._barrier.leave(node)

    async def nodes(self) -> Nodes:
        self._check_usable()
        return await self._barrier.nodes()

    async def drop_node(self, node: str, *, beat: int) -> bool:
        self._check_usable()
        return await self._barrier.drop_node(node, beat=beat)

    async def pushed(self) -> None:
        await self._wire.pushed(self._n.news)

    # --- writing ---

    async def create(
        self, record: Record, *, generation: int | None, most: int, stamp: Stamp, place: Place | None = None
    ) -> int | Moved | None:
        return await self._whole(self._steps.create(record, generation, most, stamp, place))

    async def renew(
        self, old: Digest, record: Record, *, generation: int | None, most: int, stamp: Stamp
    ) -> int | Moved | None:
        return await self._whole(self._steps.renew(old, record, generation, most, stamp))

    async def change_claims(
        self, sub: str, change: Mapping[str, Any], unset: Sequence[str], *, limit: int, stamp: Stamp
    ) -> int:
        return await self._whole(self._steps.change_claims(sub, change, unset, limit, stamp))

    async def change_data(
        self, sid: str, change: Mapping[str, Any], unset: Sequence[str], *, limit: int, stamp: Stamp
    ) -> int | None:
        return await self._whole(self._steps.change_data(sid, change, unset, limit, stamp))

    async def end(self, sid: str, *, of: str | None, kind: Kind, note: str, stamp: Stamp) -> int | None:
        return await self._whole(self._rows.end([sid], kind=kind, stamp=stamp, of=of))

    async def end_subject(self, sub: str, *, keep: str | None, note: str, stamp: Stamp) -> int:
        return await self._whole(self._steps.end_subject(sub, keep, stamp))

    async def end_everyone(self, *, note: str, stamp: Stamp) -> int:
        return await self._whole(self._home.end_everyone(stamp))

    async def touch(self, seen: Sequence[Seen]) -> list[str]:
        async def touch(span: Seen) -> bool:
            key = self._rows.key(span.sid)
            return bool((await self._rows.run(scripts.TOUCH, [key], [span.since, span.at], again=False)).value)

        written = await self._whole(each(touch, seen))
        return [span.sid for span, done in zip(seen, written, strict=True) if not done]

    async def sweep(self, *, now: int, limit: int, trim_to: int | None = None) -> int:
        return await self._whole(self._sweep.run(now, limit, trim_to))

    # --- signing keys and refresh tokens ---

    async def add_key(self, row: KeyRow, *, newest: str | None, stamp: Stamp) -> int | None:
        return await self._whole(self._home.add_key(row, newest, stamp))

    async def drop_key(self, kid: str, *, stamp: Stamp) -> int:
        return await self._whole(self._home.drop_key(kid, stamp))

    async def admit_secret(self, ident: str, *, newest: str | None) -> bool:
        return await self._whole(self._home.admit_secret(ident, newest))

    async def is_lost(self, ident: str) -> bool:
        self._check_usable()
        return (await self._home.here(secret=ident)).is_lost

    async def reset_keys(self, *, stamp: Stamp) -> Reset:
        return await self._whole(self._families.reset(stamp))

    async def add_family(self, family: Family) -> bool:
        return await self._whole(self._families.add(family))

    async def end_client(self, client_id: str, *, note: str, stamp: Stamp) -> int:
        return await self._whole(self._families.end_client(client_id, stamp))

    async def rotate_family(self, ident: bytes, *, generation: int, now: int) -> bool:
        return await self._whole(self._families.rotate(ident, generation, now))


def home_tag(url: str) -> bytes:
    """Return the key whose slot holds the log of the store at *url*."""
    return Names(parse(url).prefix).meta


async def migrate(url: str, *, lease_s: float | None = None, dry_run: bool = False) -> Migration:
    """
    Make the store at *url* ready. There is nothing to bring up to date yet.

    Args:
        lease_s: Change the lease of the store to this; only while no process has it open.

        dry_run: Change nothing, and say what would be done.

    Raises:
        ConfigError: *url* or *lease_s* makes no sense. StoreUnusable: it may not be done. StoreUnavailable: no answer.
    """
    if lease_s is not None:
        check_lease(lease_s)
    store = ValkeyStore(url)
    return await store.migrate(lease_s, dry_run=dry_run)
