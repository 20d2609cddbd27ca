"""
Sessions in PostgreSQL, shared by processes on many machines. Floor 2; may import: floor 0.

Each process has connections for several purposes, made when they are needed, so that none waits for another:

- *heart*: one. Joins, beats, the log and the keys; it also listens for news.
- *guests*: four. Joins and beats of services on its feed, and what they are told.
- *barrier*: one. Who is there, and whose row goes.
- *ending*: two. What ends something; single sessions in groups (:mod:`._postgres_group`).
- *writes*: three. What else is appended to the log.
- *reads*: eight, or ``?pool=``. Cold checks, sign-ins, activity, the sweep.
- *patient*: one. What may take a minute.

Read :mod:`._postgres_steps` for what a write does, :mod:`._postgres_lanes` for what may be tried again.

Rules of this module:

1. Whatever fails is :class:`StoreUnavailable`, within a bound, and its text holds no password and no value.
2. Nothing here survives a fork (:meth:`PostgresStore.abandon`).
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from coatcheck.errors import CoatcheckError, Forked, NotOpen
from coatcheck.records import Digest, Ended, Family, KeyRow, Kind, Nodes, Reason, Record, Session, Tail
from coatcheck.stores import _postgres_guests as guests
from coatcheck.stores import _postgres_schema as schemas
from coatcheck.stores._postgres_connect import Connector, begin, warn_if_careless
from coatcheck.stores._postgres_ends import End, EndSteps, end_alone
from coatcheck.stores._postgres_group import Group
from coatcheck.stores._postgres_keys import KeySteps
from coatcheck.stores._postgres_lanes import Connection, Lane
from coatcheck.stores._postgres_migrate import migrate
from coatcheck.stores._postgres_nodes import NodeRows, Whereabouts
from coatcheck.stores._postgres_parts import NEWEST_FIRST, live
from coatcheck.stores._postgres_steps import Steps
from coatcheck.stores._postgres_sweep import sweep
from coatcheck.stores._postgres_url import parse
from coatcheck.stores._rows import FAMILY, KEY, RECORD, family_of, key_of, record_of, session_of
from coatcheck.stores.base import Moved, Place, Reset, Seen, Stamp

__all__ = ["PostgresStore", "migrate"]

T = TypeVar("T")
WAIT_S = 5.0
"""How long a call may take in all. A beat: less than the lease, for one that hangs keeps the next from being sent."""

LEAST_WAIT_S = 0.5

POLL_S = 0.1
"""How often to look where nobody tells."""

ENDING, WRITES = 2, 3
PATIENT_S = 60.0


class _Write(Steps, EndSteps, KeySteps):
    """One write, of whatever kind."""


class PostgresStore:
    """
    See :class:`coatcheck.stores.base.FleetStore`.

    Args:
        url: ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE?…``; the options are in ``docs/reference/stores.md``.

    Raises:
        ConfigError: The URL makes no sense.
    """

    is_embedded: Literal[False] = False

    def __init__(self, url: str) -> None:
        self._settings = settings = parse(url)
        self._s = settings.schema
        self._channel = f"coatcheck_{settings.schema}"
        self._connector = Connector(settings)
        self._rows = NodeRows(self._s)
        self._whereabouts = Whereabouts(self._s, self._channel)
        self.guests = guests.Guests(self._rows, self._here, self._keys, self._guest_lane)
        self._live = live(self._s)
        self._lanes: list[Lane] = []
        self._fault: CoatcheckError | None = NotOpen("the store is not open")

    def __repr__(self) -> str:
        return f"PostgresStore({self._settings.shown!r})"

    @property
    def identity(self) -> str:
        return self._settings.identity

    # --- opening and closing ---

    async def open(self) -> None:
        self._connector.arrived = None
        self._news = asyncio.Event()
        self._listening: Connection | None = None
        self._reads = self._lane(self._settings.pool)
        try:
            await self._make_ready()
        except BaseException:
            await self._close_lanes()
            raise
        self._connector.arrived = self._arrived
        self._reads.is_opening = False
        beat_s = min(WAIT_S, max(LEAST_WAIT_S, 0.8 * self._lease_s))
        self._heart, self._guests = self._lane(1, beat_s), self._lane(guests.SIZE, beat_s)
        self._barrier, self._patient = self._lane(1), self._lane(1, PATIENT_S)
        self._ending, self._writes = self._lane(ENDING), self._lane(WRITES)
        self._ends: Group[End, int | None] = Group(self._end_alone)
        self._missed: Group[End, int | None] = Group(self._end_each)
        self._fault = None

    async def _make_ready(self) -> None:
        self._reads.is_opening = True
        await self._reads.read(warn_if_careless)
        await self._reads.read(self._whereabouts.learn)
        await schemas.check(self._reads, self._s, self._whereabouts)
        await self._reads.read(self._arrived)
        await self._reads.write(self._whereabouts.note, again=True)
        self._lease_s = float(await self._reads.read(lambda c: c.fetchval(f"SELECT lease_s FROM {self._s}.meta")))

    def _lane(self, size: int, wait_s: float | None = None) -> Lane:
        wait_s = WAIT_S if wait_s is None else wait_s
        lane = Lane(self._connector.connect, begin=begin(wait_s), size=size, wait_s=wait_s)
        self._lanes.append(lane)
        return lane

    async def _arrived(self, connection: Connection) -> None:
        if await self._whereabouts.is_elsewhere(connection):
            await connection.execute(begin(WAIT_S))
            await self._whereabouts.begin_epoch(connection)
            await connection.execute("COMMIT")

    async def close(self) -> None:
        if self._lanes:
            self._fault = NotOpen("the store is closed")
            await self._ends.finish()
            await self._missed.finish()
            await self._close_lanes()

    async def _close_lanes(self) -> None:
        lanes, self._lanes = self._lanes, []
        await asyncio.gather(*(lane.close() for lane in lanes))

    def abandon(self) -> None:
        """
        In a forked child: let go of the parent's connections without touching them.

        To close one here would say goodbye in the parent's name, and to free one would take it from the parent's loop.
        """
        for lane in self._lanes:
            for connection in lane.abandon():
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        self._lanes.clear()
        self._ends.abandon()
        self._missed.abandon()
        self._fault = Forked("the store was opened before a fork; open it in each worker")

    # --- reading ---

    async def load(self, digest: Digest) -> Record | Ended | None:
        found = await self._read(f"SELECT {RECORD}, {self._live} FROM {self._s}.sessions WHERE digest = $1", digest)
        if found:
            return record_of(found[0]) if found[0][-1] else Ended(Reason.REVOKED)
        # Asked later than that: what left the one table meanwhile is in the other.
        ended = await self._read(f"SELECT reason FROM {self._s}.ended WHERE digest = $1", digest)
        return Ended(Reason(ended[0][0])) if ended else None

    async def load_sid(self, sid: str) -> Record | None:
        rows = await self._read(f"SELECT {RECORD} FROM {self._s}.sessions WHERE sid = $1 AND {self._live}", sid)
        return record_of(rows[0]) if rows else None

    async def load_subject(self, sub: str) -> list[Session]:
        rows = await self._read(
            f"SELECT {RECORD} FROM {self._s}.sessions WHERE sub = $1 AND {self._live} ORDER BY {NEWEST_FIRST}", sub
        )
        return [session_of(row) for row in rows]

    async def generation(self, sub: str) -> int:
        mine = f"SELECT generation FROM {self._s}.subjects WHERE sub = $1"
        rows = await self._read(f"SELECT epoch + coalesce(({mine}), 0) FROM {self._s}.meta", sub)
        return int(rows[0][0])

    async def family(self, ident: bytes) -> Family | None:
        session = f"SELECT 1 FROM {self._s}.sessions WHERE sessions.sid = families.sid AND {self._live}"
        rows = await self._read(f"SELECT {FAMILY} FROM {self._s}.families WHERE id = $1 AND EXISTS ({session})", ident)
        return family_of(rows[0]) if rows else None

    async def wall(self) -> float:
        return float((await self._read("SELECT extract(epoch FROM clock_timestamp())::float8"))[0][0])

    async def _read(self, select: str, *values: Any) -> list[Any]:
        self._check_usable()
        return await self._reads.fetch(select, *values)

    # --- nodes ---

    async def tail(self, after: int) -> Tail:
        self._check_usable()
        return await self._heart.read(lambda connection: self._tail(connection, after))

    async def keys(self) -> list[KeyRow]:
        self._check_usable()
        return await self._heart.read(self._keys)

    async def _keys(self, connection: Connection) -> list[KeyRow]:
        select = f"SELECT {KEY} FROM {self._s}.keys WHERE epoch = (SELECT epoch FROM {self._s}.meta) ORDER BY number"
        return [key_of(row) for row in await connection.fetch(select)]

    def _guest_lane(self) -> Lane:
        self._check_usable()
        return self._guests

    async def join(self, node: str, *, label: str) -> float:
        self._check_usable()
        return await self._heart.write(self._here(self._rows.join, node, label), again=True)

    async def beat(self, node: str, *, beat: int, applied: int, epoch: int) -> Tail | None:
        self._check_usable()
        if self._settings.pgbouncer:
            is_there = await self._heart.write(self._here(self._rows.beat, node, beat, applied, epoch), again=True)
        else:
            statement = self._rows.beat_alone(self._heart.wait_s)
            is_there = bool(await self._heart.alone(statement, node, beat, applied, epoch))
        return await self._heart.read(lambda connection: self._tail(connection, applied)) if is_there else None

    async def _tail(self, connection: Connection, after: int) -> Tail:
        await self._listen(connection)
        return await self._rows.tail(connection, after)

    async def leave(self, node: str) -> None:
        self._check_usable()
        await self._barrier.write(lambda connection: self._rows.leave(connection, node), again=True)

    async def nodes(self) -> Nodes:
        self._check_usable()
        # In a transaction, where it may begin an epoch.
        run = self._barrier.write if self._settings.pgbouncer else self._barrier.read
        return await run(self._here(self._rows.all))

    async def drop_node(self, node: str, *, beat: int) -> bool:
        self._check_usable()
        return await self._barrier.write(lambda connection: self._rows.drop(connection, node, beat), again=True)

    def _here(self, step: Callable[..., Awaitable[T]], *args: Any) -> Callable[[Connection], Awaitable[T]]:
        """Return *step*; behind a pooler, whose connections outlive a failover, with a look where the log is first."""

        async def looking(connection: Connection) -> T:
            if self._settings.pgbouncer and await self._whereabouts.is_elsewhere(connection):
                await self._whereabouts.begin_epoch(connection)
            return await step(connection, *args)

        return looking

    async def pushed(self) -> None:
        if self._fault is not None or self._listening is None or self._listening.is_closed():
            await asyncio.sleep(POLL_S)
            return
        await self._news.wait()
        self._news.clear()

    async def _listen(self, connection: Connection) -> None:
        if self._settings.pgbouncer or connection is self._listening:
            return
        await connection.add_listener(self._channel, lambda *_: self._news.set())
        connection.add_termination_listener(lambda _: self._news.set())
        self._listening = connection
        self._news.set()  # what was said before nobody heard

    # --- writing ---

    async def create(
        self, record: Record, *, generation: int | None, most: int, stamp: Stamp, place: Place | None = None
    ) -> int | Moved | None:
        return await self._write(lambda step: step.create(record, generation, most, stamp, place), lane=self._reads)

    async def renew(
        self, old: Digest, record: Record, *, generation: int | None, most: int, stamp: Stamp
    ) -> int | Moved | None:
        return await self._write(lambda step: step.renew(old, record, generation, most, stamp))

    async def change_claims(
        self, sub: str, change: Mapping[str, Any], unset: Sequence[str], *, limit: int, stamp: Stamp
    ) -> int:
        return await self._write(lambda step: step.change_claims(sub, change, unset, limit, stamp))

    async def change_data(
        self, sid: str, change: Mapping[str, Any], unset: Sequence[str], *, limit: int, stamp: Stamp
    ) -> int | None:
        return await self._write(lambda step: step.change_data(sid, change, unset, limit, stamp))

    async def end(self, sid: str, *, of: str | None, kind: Kind, note: str, stamp: Stamp) -> int | None:
        self._check_usable()
        ending = End(sid, of, kind, note, stamp)
        position = None if self._settings.pgbouncer else await self._ends.ask(ending)
        return await self._missed.ask(ending) if position is None else position

    # Not refused while the store is closed: what was accepted is finished.

    async def _end_alone(self, asked: Sequence[End]) -> list[int | None]:
        return await end_alone(self._ending, self._s, self._channel, asked)

    async def _end_each(self, asked: Sequence[End]) -> list[int | None]:
        return await self._ending.write(
            lambda connection: _Write(connection, self._s, self._channel).end_each(asked), again=True
        )

    async def end_subject(self, sub: str, *, keep: str | None, note: str, stamp: Stamp) -> int:
        return await self._write(lambda step: step.end_subject(sub, keep, note, stamp), lane=self._ending, again=True)

    async def end_everyone(self, *, note: str, stamp: Stamp) -> int:
        return await self._write(lambda step: step.end_everyone(stamp), lane=self._ending, again=True)

    async def touch(self, seen: Sequence[Seen]) -> list[str]:
        return await self._write(lambda step: step.touch(seen), lane=self._reads)

    async def sweep(self, *, now: int, limit: int, trim_to: int | None = None) -> int:
        self._check_usable()
        return await sweep(self._reads, self._s, now=now, limit=limit, trim_to=trim_to)

    # --- signing keys and refresh tokens ---

    async def add_key(self, row: KeyRow, *, newest: str | None, stamp: Stamp) -> int | None:
        return await self._write(lambda step: step.add_key(row, newest, stamp))

    async def drop_key(self, kid: str, *, stamp: Stamp) -> int:
        return await self._write(lambda step: step.drop_key(kid, stamp), lane=self._ending, again=True)

    async def add_family(self, family: Family) -> bool:
        return await self._write(lambda step: step.add_family(family), lane=self._reads)

    async def end_client(self, client_id: str, *, note: str, stamp: Stamp) -> int:
        return await self._write(lambda step: step.end_client(client_id, note, stamp), lane=self._ending, again=True)

    async def rotate_family(self, ident: bytes, *, generation: int, now: int) -> bool:
        return await self._write(lambda step: step.rotate_family(ident, generation, now), lane=self._reads)

    async def admit_secret(self, ident: str, *, newest: str | None) -> bool:
        return await self._write(lambda step: step.admit_secret(ident, newest), again=True)

    async def is_lost(self, ident: str) -> bool:
        return bool(await self._read(f"SELECT 1 FROM {self._s}.secrets WHERE id = $1 AND is_lost", ident))

    async def reset_keys(self, *, stamp: Stamp) -> Reset:
        # There may be a million families, and this is an emergency: it may take its time.
        return await self._write(lambda step: step.reset_keys(stamp), lane=self._patient, again=True)

    async def _write(
        self, work: Callable[[_Write], Awaitable[T]], *, lane: Lane | None = None, again: bool = False
    ) -> T:
        self._check_usable()
        return await (lane or self._writes).write(
            lambda connection: work(_Write(connection, self._s, self._channel)), again=again
        )

    def _check_usable(self) -> None:
        if self._fault is not None:
            raise self._fault
