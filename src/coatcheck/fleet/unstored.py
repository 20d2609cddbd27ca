"""
Sessions that were started and hold nothing yet. Floor 3; may import: floors 0 to 2.

A visitor who only looks costs no row: a started session is stored at its first write. Until then it is known to this
process only, which is no loss: it says nothing about anybody.

Rules of this module:

1. Bounded: at one more than :data:`MOST`, the one longest here goes.
2. Storing is one step for everyone who asks at once, so that of two first writes neither is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from msgspec.structs import replace

from coatcheck.records import Change, Digest, Kind, Record, Session
from coatcheck.stores.base import Stamp, Store

MOST = 10_000


class Unstored:
    """The started sessions of this process that are not in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._records: dict[str, tuple[Record, int]] = {}
        self._sids: dict[Digest, str] = {}
        self._one_at_a_time = asyncio.Lock()

    def start(self) -> None:
        """Begin, with none. The lock belongs to the event loop of this opening."""
        self.drop()
        self._one_at_a_time = asyncio.Lock()

    def add(self, record: Record, epoch: int) -> None:
        """Hold *record*, which begins in *epoch*."""
        if len(self._records) >= MOST:
            self._forget(next(iter(self._records)))
        self._records[record.session.sid] = record, epoch
        self._sids[record.digest] = record.session.sid

    def apply(self, changes: Iterable[Change]) -> None:
        """Forget what *changes* end."""
        for change in changes:
            if change.sid is not None and change.kind is Kind.REVOKED:
                self._forget(change.sid)

    def drop(self) -> None:
        """Forget them all."""
        self._records.clear()
        self._sids.clear()

    async def discard(self, sid: str) -> None:
        """Forget the session *sid*, if it is here; if it is on its way into the store, wait until it has arrived."""
        async with self._one_at_a_time:
            self._forget(sid)

    def get(self, sid: str) -> Record | None:
        """Return the record of *sid*, if it is here."""
        record, _ = self._records.get(sid, (None, 0))
        return record

    def session(self, digest: Digest) -> Session | None:
        """Return the session under *digest*, if it is here."""
        sid = self._sids.get(digest)
        return None if sid is None else self._records[sid][0].session

    def touch(self, sid: str, now: int) -> Session:
        """Note activity."""
        record, epoch = self._records[sid]
        session = replace(record.session, seen_at=now)
        self._records[sid] = replace(record, session=session), epoch
        return session

    async def store_digest(self, digest: Digest, stamp: Stamp) -> None:
        """Like :meth:`store`, for the session under *digest*."""
        sid = self._sids.get(digest)
        if sid is not None:
            await self.store(sid, stamp)

    async def store(self, sid: str, stamp: Stamp) -> None:
        """
        Put the session *sid* into the store, if it is here.

        When this returns it is there, or was never here, or was ended while it was here: then the store knows.
        """
        if sid not in self._records:
            return
        async with self._one_at_a_time:
            record, epoch = self._records.get(sid, (None, 0))
            if record is not None:
                await self._store.create(record, generation=epoch, most=1, stamp=stamp)
                self._forget(sid)

    def _forget(self, sid: str) -> None:
        record, _ = self._records.pop(sid, (None, 0))
        if record is not None:
            del self._sids[record.digest]
