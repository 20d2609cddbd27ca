"""
Cold reads: ask the store, and keep what it says. Floor 3; may import: floors 0 to 2.

Rules of this module:

1. A fill begins after memory was found sure; what is read otherwise is answered once and not kept.
2. Reads under way are bounded in number, and checks of one token share one.
3. A check rides only on a read that began sure and ended unmarked; else it reads for itself. A read that began before
   the check could otherwise show it a session that was revoked in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from coatcheck.clock import Clock
from coatcheck.fleet.cache import Cache, Entry, Fill
from coatcheck.fleet.watch import Watch
from coatcheck.records import Digest, Ended, Record, Session
from coatcheck.stores.base import Store

MOST_READS = 64

Found = Entry | Ended | None
_Riders = asyncio.Future[tuple[bool, Found]]


class Reader:
    """
    Reads sessions from the store into memory.

    Args:
        make_entry: Turns a session, just read, into what memory holds of it.
    """

    def __init__(
        self, store: Store, cache: Cache, watch: Watch, clock: Clock, make_entry: Callable[[Session], Entry]
    ) -> None:
        self._store = store
        self._cache = cache
        self._watch = watch
        self._clock = clock
        self._make_entry = make_entry
        self._slots = asyncio.Semaphore(MOST_READS)
        self._under_way: dict[Digest, _Riders] = {}

    async def read(self, digest: Digest) -> Found:
        """
        Return what the store has under *digest*.

        Raises:
            StoreUnavailable: It does not answer.
        """
        while (under_way := self._under_way.get(digest)) is not None:
            if not self._watch.is_sure(self._clock.elapsed()):
                # Nothing applied meanwhile will mark that read for us, so we cannot tell whether it is too old.
                return (await self._read(digest))[1]
            # Shielded: a rider that is cancelled must not cancel the others' read.
            may_ride, found = await asyncio.shield(under_way)
            if may_ride:
                return found
        return await self._lead(digest)

    async def read_sid(self, sid: str) -> Record | None:
        """Return what the store has of the session *sid*. Not kept: :meth:`read` its digest for that."""
        async with self._slots:
            return await self._store.load_sid(sid)

    async def _lead(self, digest: Digest) -> Found:
        riders: _Riders = asyncio.get_running_loop().create_future()
        self._under_way[digest] = riders
        outcome: tuple[bool, Found] = (False, None)
        try:
            async with self._slots:
                outcome = await self._read(digest)
        finally:
            # Also when we fail or are cancelled: the riders then read for themselves.
            del self._under_way[digest]
            riders.set_result(outcome)
        return outcome[1]

    async def _read(self, digest: Digest) -> tuple[bool, Found]:
        sure = self._watch.is_sure(self._clock.elapsed())
        fill = self._cache.begin()
        try:
            found = await self._store.load(digest)
            if not isinstance(found, Record):
                return sure and not _is_marked(fill), found
            entry = self._make_entry(found.session)
            # Not kept when marked. It is a good answer to us all the same: it was read after our check began.
            return sure and self._cache.keep(fill, digest, entry), entry
        finally:
            self._cache.end(fill)


def _is_marked(fill: Fill) -> bool:
    # Without a record its sid is not known, so any change at all might have named it.
    return fill.dropped or bool(fill.named)
