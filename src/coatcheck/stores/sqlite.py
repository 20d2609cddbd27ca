"""
Sessions in one SQLite file, shared by the processes of one machine. Floor 2; may import: floor 0.

Four connections, each for one thing:

- *write*: used by the writer's thread alone, in groups (:mod:`._sqlite_writer`).
- *read*: answers cold checks, at once, on the event loop: a point read costs less than a walk to another thread.
- *log*: reads the change log when the pulse moved; guarded by the cache's lock.
- *watch*: asks ``PRAGMA data_version`` and nothing else. Inside a transaction, or with an unfinished SELECT, that
  pragma stands still; so nothing else may ever run here.

Rules of this module:

1. A read never waits for a lock on the event loop: it fails at once and is tried again a moment later.
2. Nothing here survives a fork (:meth:`SQLiteStore.abandon`).
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import apsw

from coatcheck.errors import CoatcheckError, Forked, NotOpen, StoreUnavailable
from coatcheck.records import Change, Digest, Ended, Family, KeyRow, Kind, Node, Nodes, Reason, Record, Session, Tail
from coatcheck.stores import _sqlite_file as file
from coatcheck.stores import _sqlite_here as here
from coatcheck.stores._rows import FAMILY, KEY, RECORD, family_of, key_of, record_of, session_of
from coatcheck.stores._sqlite_pulse import Pulse
from coatcheck.stores._sqlite_steps import IS_LOST, LIVE, LIVE_SESSION, NEWEST_FIRST, Steps
from coatcheck.stores._sqlite_writer import GroupWriter
from coatcheck.stores.base import Moved, Place, Reset, Seen, Stamp

T = TypeVar("T")
_RETRY_S = 0.002
_MOST_CHANGES = 5_000


class SQLiteStore:
    """
    See :class:`coatcheck.stores.base.EmbeddedStore`.

    Args:
        name: The file, relative to the working directory or absolute.

        group: Writes per commit at most; 1 is for comparison in benchmarks.

        vfs: A SQLite VFS to use, for tests that watch or break the disk.
    """

    is_embedded: Literal[True] = True

    def __init__(self, name: str, *, group: int = 256, vfs: str | None = None) -> None:
        self._name = name
        self._group = group
        self._vfs = vfs
        self._path: Path | None = None
        self._writer: GroupWriter | None = None
        self._connections: list[apsw.Connection] = []
        self._reading = threading.Lock()
        self._fault: CoatcheckError | None = NotOpen("the store is not open")

    def __repr__(self) -> str:
        return f"SQLiteStore({self._name!r})"

    @property
    def path(self) -> Path:
        """The database file, links resolved; from the opening on it stays, whatever the working directory is."""
        return self._path or Path(os.path.realpath(self._name))

    @property
    def _pulse_file(self) -> Path:
        return self.path.with_name(self.path.name + "-pulse")

    @property
    def pulse(self) -> Sequence[int]:
        """See :class:`coatcheck.stores.base.EmbeddedStore`."""
        return self._pulse.view

    async def open(self) -> None:
        # In a thread: it may wait for another process that migrates.
        await asyncio.to_thread(self._open_alone)

    def _open_alone(self) -> None:
        with here.one_at_a_time():
            self._open()

    def _open(self) -> None:
        self._path = None
        self._path = path = self.path
        here.check_not_inherited(path)
        is_new = file.prepare(path, is_open_here=here.is_open(path))
        try:
            self._write = self._connect(path, wait=True)
            file.make_ours(self._write, path)
            self._pulse = Pulse(self._pulse_file)
            self._pulse.settle(alone=is_new)
            self._read, self._log, self._watch = (self._connect(path, wait=False) for _ in range(3))
            self._data_version = self._watch.pragma("data_version")
        except apsw.Error as error:
            self._close_connections()
            raise file.unavailable(error) from None
        except BaseException:
            self._close_connections()
            raise
        self._opened_file = here.note_open(path)
        self._steps = Steps(self._write)
        self._writer = GroupWriter(
            self._write, committing=self._check_file, committed=self._committed, most=self._group
        )
        self._fault = None

    def _connect(self, path: Path, *, wait: bool) -> apsw.Connection:
        connection = file.connect(path, wait=wait, vfs=self._vfs)
        self._connections.append(connection)
        return connection

    async def close(self) -> None:
        if self._fault is None or self._connections:
            self._fault = NotOpen("the store is closed")
            if self._writer is not None:
                self._writer.refuse()
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with here.one_at_a_time():
            if self._writer is not None:
                self._writer.stop()
                self._writer = None
                self._pulse.close()
                here.note_closed(self._opened_file)
            self._close_connections()

    def _close_connections(self) -> None:
        for connection in reversed(self._connections):
            connection.close()
        self._connections.clear()

    def abandon(self) -> None:
        """
        In a forked child: let go of the parent's connections without closing them.

        Closing, and so freeing, would make SQLite tidy up files that the parent is using.
        """
        # The module too: on its way out it would close whatever connections there are.
        for kept in (apsw, *self._connections):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
        self._connections.clear()
        self._writer = None
        self._fault = Forked("the store was opened before a fork; open it in each worker")

    # --- reading ---

    async def load(self, digest: Digest) -> Record | Ended | None:
        return await self._patiently(functools.partial(self._load, digest))

    async def load_sid(self, sid: str) -> Record | None:
        select = f"SELECT {RECORD} FROM sessions WHERE sid = ? AND {LIVE}"
        row = await self._patiently(lambda: self._read.execute(select, (sid,)).fetchone())
        return None if row is None else record_of(row)

    async def load_subject(self, sub: str) -> list[Session]:
        select = f"SELECT {RECORD} FROM sessions WHERE sub = ? AND {LIVE} ORDER BY {NEWEST_FIRST}"
        return [session_of(row) for row in await self._patiently(lambda: self._read.execute(select, (sub,)).fetchall())]

    async def generation(self, sub: str) -> int:
        select = "SELECT epoch + coalesce((SELECT generation FROM subjects WHERE sub = ?), 0) FROM meta"
        return int(await self._patiently(lambda: self._read.execute(select, (sub,)).get))

    async def tail(self, after: int) -> Tail:
        return await self._patiently(lambda: self._tail(self._read, after))

    def tail_now(self, after: int) -> Tail | None:
        try:
            return None if self._fault is not None else self._tail(self._log, after)
        except apsw.Error:
            return None  # whoever asked goes to the store, and hears there what is wrong

    def changed_behind_pulse(self) -> bool | None:
        try:
            self._check_usable()
            self._check_file()
            version = self._watch.pragma("data_version")
            if not self._pulse.is_current():
                self._follow_pulse()
                return True
        except (apsw.Error, CoatcheckError, OSError):
            return None  # whoever asked goes to the store, and hears there what is wrong
        changed = version != self._data_version
        self._data_version = version
        return bool(changed)

    def _load(self, digest: Digest) -> Record | Ended | None:
        select = f"SELECT {RECORD}, {LIVE} FROM sessions WHERE digest = ?"
        row = self._read.execute(select, (digest,)).fetchone()
        if row is not None:
            return record_of(row) if row[-1] else Ended(Reason.REVOKED)
        reason = self._read.execute("SELECT reason FROM ended WHERE digest = ?", (digest,)).get
        return None if reason is None else Ended(Reason(reason))

    def _tail(self, connection: apsw.Connection, after: int) -> Tail:
        # One statement, so one snapshot: read apart, a trim between the two would leave an unnoticed gap.
        select = """SELECT epoch, trimmed, head, position, kind, sid, version, forget_after FROM meta
                    LEFT JOIN changes ON position > ? ORDER BY position LIMIT ?"""
        rows: list[Any] = connection.execute(select, (after, _MOST_CHANGES)).fetchall()
        changes = tuple(
            Change(position=position, kind=Kind(kind), sid=sid, version=version, forget_after=until)
            for _, _, _, position, kind, sid, version, until in rows
            if position is not None
        )
        epoch, trimmed, head = rows[0][:3]
        return Tail(epoch=epoch, trimmed=trimmed, head=head, changes=changes)

    async def _patiently(self, read: Callable[[], T]) -> T:
        """Run a read at once, and again for a while if another process has the file locked (rare under WAL)."""
        for _ in range(int(file.LOCK_WAIT_S / _RETRY_S)):
            self._check_usable()
            try:
                with self._reading:
                    return read()
            except apsw.BusyError:
                await asyncio.sleep(_RETRY_S)
            except apsw.Error as error:
                raise file.unavailable(error) from None
        raise file.unavailable(apsw.BusyError())

    def _check_usable(self) -> None:
        if self._fault is not None:
            raise self._fault

    # --- signing keys and refresh tokens ---

    async def keys(self) -> list[KeyRow]:
        return await self._patiently(lambda: self._keys(self._read))

    def keys_now(self) -> list[KeyRow] | None:
        try:
            return None if self._fault is not None else self._keys(self._log)
        except apsw.Error:
            return None  # as in tail_now

    def _keys(self, connection: apsw.Connection) -> list[KeyRow]:
        select = f"SELECT {KEY} FROM keys WHERE epoch = (SELECT epoch FROM meta) ORDER BY number"
        return [key_of(row) for row in connection.execute(select).fetchall()]

    async def family(self, ident: bytes) -> Family | None:
        select = f"""SELECT {FAMILY} FROM families WHERE id = ?
                     AND EXISTS (SELECT 1 FROM sessions WHERE sessions.sid = families.sid AND {LIVE_SESSION})"""
        row = await self._patiently(lambda: self._read.execute(select, (ident,)).fetchone())
        return None if row is None else family_of(row)

    async def add_key(self, row: KeyRow, *, newest: str | None, stamp: Stamp) -> int | None:
        return await self._submit(self._steps.add_key, row, newest, stamp)

    async def drop_key(self, kid: str, *, stamp: Stamp) -> int:
        return await self._submit(self._steps.drop_key, kid, stamp)

    async def admit_secret(self, ident: str, *, newest: str | None) -> bool:
        return await self._submit(self._steps.admit_secret, ident, newest)

    async def is_lost(self, ident: str) -> bool:
        return bool(await self._patiently(lambda: self._read.execute(IS_LOST, (ident,)).get))

    async def reset_keys(self, *, stamp: Stamp) -> Reset:
        return await self._submit(self._steps.reset_keys, stamp)

    async def add_family(self, family: Family) -> bool:
        return await self._submit(self._steps.add_family, family)

    async def end_client(self, client_id: str, *, note: str, stamp: Stamp) -> int:
        return await self._submit(self._steps.end_client, client_id, note, stamp)

    async def rotate_family(self, ident: bytes, *, generation: int, now: int) -> bool:
        return await self._submit(self._steps.rotate_family, ident, generation, now)

    # --- nodes ---

    async def join(self, node: str, *, label: str) -> float:
        return await self._submit(self._steps.join, node, label)

    async def beat(self, node: str, *, beat: int, applied: int, epoch: int) -> Tail | None:
        return await self.tail(applied) if await self._submit(self._steps.beat, node, beat, applied, epoch) else None

    async def leave(self, node: str) -> None:
        await self._submit(self._steps.leave, node)

    async def nodes(self) -> Nodes:
        select = """SELECT meta.epoch, head, lease_s, id, label, beat, applied, nodes.epoch
                    FROM meta LEFT JOIN nodes ORDER BY id"""
        rows: list[Any] = await self._patiently(lambda: self._read.execute(select).fetchall())
        nodes = tuple(
            Node(id=ident, label=label, beat=beat, applied=applied, epoch=epoch)
            for _, _, _, ident, label, beat, applied, epoch in rows
            if ident is not None
        )
        epoch, head, lease_s = rows[0][:3]
        return Nodes(epoch=epoch, head=head, lease_s=lease_s, rows=nodes)

    async def drop_node(self, node: str, *, beat: int) -> bool:
        return await self._submit(self._steps.drop_node, node, beat)

    async def wall(self) -> None:
        return None

    # --- writing ---

    async def create(
        self, record: Record, *, generation: int | None, most: int, stamp: Stamp, place: Place | None = None
    ) -> int | Moved | None:
        return await self._submit(self._steps.create, record, generation, most, stamp, place)

    async def renew(
        self, old: Digest, record: Record, *, generation: int | None, most: int, stamp: Stamp
    ) -> int | Moved | None:
        return await self._submit(self._steps.renew, old, record, generation, most, stamp)

    async def change_claims(
        self, sub: str, change: Mapping[str, Any], unset: Sequence[str], *, limit: int, stamp: Stamp
    ) -> int:
        return await self._submit(self._steps.change_claims, sub, change, unset, limit, stamp)

    async def change_data(
        self, sid: str, change: Mapping[str, Any], unset: Sequence[str], *, limit: int, stamp: Stamp
    ) -> int | None:
        return await self._submit(self._steps.change_data, sid, change, unset, limit, stamp)

    async def end(self, sid: str, *, of: str | None, kind: Kind, note: str, stamp: Stamp) -> int | None:
        return await self._submit(self._steps.end, sid, of, kind, note, stamp)

    async def end_subject(self, sub: str, *, keep: str | None, note: str, stamp: Stamp) -> int:
        return await self._submit(self._steps.end_subject, sub, keep, note, stamp)

    async def end_everyone(self, *, note: str, stamp: Stamp) -> int:
        return await self._submit(self._steps.end_everyone, stamp)

    async def touch(self, seen: Sequence[Seen]) -> list[str]:
        return await self._submit(self._steps.touch, seen)

    async def sweep(self, *, now: int, limit: int, trim_to: int | None = None) -> int:
        return await self._submit(self._steps.sweep, now, limit, trim_to)

    def _submit(self, step: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        self._check_usable()
        if self._writer is None:
            raise NotOpen("the store is closed")
        return self._writer.submit(functools.partial(step, *args))

    def _check_file(self) -> None:
        """Refuse from now on when the database is no longer at its path: we would be talking to a ghost."""
        if here.identity(self.path) != self._opened_file:
            self._fault = StoreUnavailable("SQLite: the database file was moved or replaced; restart this process")
            raise self._fault

    def _committed(self) -> None:
        """Runs in the writer's thread after each commit, before anybody hears of it."""
        if not self._steps.moved:
            return
        self._steps.moved = False
        # On the file we map, even if it was deleted: others may map it still, and they are told there.
        self._pulse.beat()
        if not self._pulse.is_current():
            self._follow_pulse()
        self._pulse.settle()
        self._pulse.beat()

    def _follow_pulse(self) -> None:
        # The old mapping stays as it is: another thread may be reading it, and a page costs less than a crash.
        self._pulse = Pulse(self._pulse_file)
