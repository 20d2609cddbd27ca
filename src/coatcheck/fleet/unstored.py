"""
Sessions that were started and hold nothing yet. Floor 3; may import: floors 0 to 2.

A visitor who only looks costs no row: a started session is stored at its first write. Until then it is known to this
process only, which is no loss: it says nothing about anybody.

Rules of this module:

1. Bounded: at one more than :data:`MOST`, the one longest here goes.
2. What is here is memory like any other: it counts only while memory is sure (:class:`coatcheck.fleet.memory.Memory`).
3. What a change ended is not put back: whoever writes here holds the lock under which changes are applied, as that may
   happen in another thread.
4. Storing is one task for everyone who asks at once, so that of two first writes neither is lost; and it goes on when
   they are cancelled, so that we know what became of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from contextlib import AbstractContextManager

from msgspec.structs import replace

from coatcheck.errors import AlreadyExists
from coatcheck.records import Change, Digest, Kind, Record, Session
from coatcheck.stores.base import Place, Stamp, Store

MOST = 10_000


class Unstored:
    """
    The started sessions of this process that are not in the store.

    Args:
        lock: The cache's, reentrant.
    """

    def __init__(self, store: Store, lock: AbstractContextManager[object]) -> None:
        self._store = store
        self._lock = lock
        self._records: dict[str, tuple[Record, Place]] = {}
        self._sids: dict[Digest, str] = {}
        self._storing: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._records) + len(self._storing)

    def add(self, record: Record, place: Place) -> None:
        """Hold *record*, which begins at *place* in the log."""
        with self._lock:
            if len(self._records) >= MOST:
                self._forget(next(iter(self._records)))
            self._records[record.session.sid] = record, place
            self._sids[record.digest] = record.session.sid

    def apply(self, changes: Iterable[Change]) -> None:
        """Forget what *changes* end."""
        for change in changes:
            if change.sid is not None and change.kind is Kind.REVOKED:
                self._forget(change.sid)

    def drop(self) -> None:
        """Forget them all."""
        with self._lock:
            self._records.clear()
            self._sids.clear()

    def get(self, sid: str) -> Record | None:
        """Return the record of *sid*, if it is here."""
        held = self._records.get(sid)
        return None if held is None else held[0]

    def sid_of(self, digest: Digest) -> str | None:
        """Return the *sid* of the session under *digest*, if it is here."""
        return self._sids.get(digest)

    def touch(self, sid: str, now: int) -> Session | None:
        """Note activity; None when it is not here."""
        with self._lock:
            if sid not in self._records:
                return None
            record, place = self._records[sid]
            session = replace(record.session, seen_at=now)
            self._records[sid] = replace(record, session=session), place
        return session

    async def discard(self, sid: str) -> None:
        """Forget the session *sid*, if it is here; if it is on its way into the store, wait until it has arrived."""
        self._forget(sid)
        if sid in self._storing:
            await asyncio.wait([self._storing[sid]])

    async def store(self, sid: str, stamp: Stamp) -> None:
        """
        Put the session *sid* into the store, if it is here.

        When this returns it is there, or was never here, or was ended while it was here: then the store knows.
        """
        task = self._storing.get(sid)
        if task is None:
            held = self._records.get(sid)
            if held is None:
                return
            # What is to be written is taken now: a revocation that comes next forgets it here, waits, and ends the row.
            task = asyncio.get_running_loop().create_task(self._put(*held, stamp))
            self._storing[sid] = task
            task.add_done_callback(lambda done: self._stored(sid, done))
        await asyncio.shield(task)

    async def _put(self, record: Record, place: Place, stamp: Stamp) -> None:
        # There already: an earlier attempt arrived, though its caller heard that it had failed.
        with contextlib.suppress(AlreadyExists):
            await self._store.create(record, generation=None, most=1, stamp=stamp, place=place)
        self._forget(record.session.sid)

    def _stored(self, sid: str, task: asyncio.Task[None]) -> None:
        del self._storing[sid]
        if not task.cancelled():
            task.exception()  # looked at, in case that nobody waits any more

    def _forget(self, sid: str) -> None:
        with self._lock:
            held = self._records.pop(sid, None)
            if held is not None:
                del self._sids[held[0].digest]
