"""
Cold reads: ask the store, and keep what it says. Floor 3; may import: floors 0 to 2.

Rules of this module:

1. A fill begins after memory was found sure; what is read otherwise is answered once and not kept.
2. Reads under way are bounded in number, those that wait for their turn too, and checks of one token share one.
3. A check rides only on a read that began sure and ended unmarked; else it reads for itself. A read that began before
   the check could otherwise show it a session that was revoked in between.
4. Behind a network the store's answer counts only under a live lease of the same epoch, looked at after the answer: a
   primary that was deposed still answers, but gives no leases.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from coatcheck.clock import Clock
from coatcheck.errors import StoreUnavailable
from coatcheck.fleet.cache import Cache, Entry, Fill
from coatcheck.fleet.trust import Trust
from coatcheck.records import Digest, Ended, Record, Session
from coatcheck.stores.base import Store

MOST_READS = 64
MOST_WAITING = 2_000
_TRIES = 4

Found = Entry | Ended | None
_Riders = asyncio.Future[tuple[bool, Found]]


class Reader:
    """
    Reads sessions from the store into memory.

    Args:
        make_entry: Turns a session, just read, into what memory holds of it.
    """

    def __init__(
        self, store: Store, cache: Cache, watch: Trust, clock: Clock, make_entry: Callable[[Session], Entry]
    ) -> None:
        self._store = store
        self._cache = cache
        self._watch = watch
        self._clock = clock
        self._make_entry = make_entry
        self._slots = asyncio.Semaphore(MOST_READS)
        self._waiting = 0
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
                async with self._turn():
                    return (await self._read(digest))[1]
            # Shielded: a rider that is cancelled must not cancel the others' read.
            may_ride, found = await asyncio.shield(under_way)
            if may_ride:
                return found
        return await self._lead(digest)

    async def read_sid(self, sid: str) -> Record | None:
        """Return what the store has of the session *sid*. Not kept: :meth:`read` its digest for that."""
        async with self._turn():
            return await self._store.load_sid(sid)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= MOST_WAITING:
            raise StoreUnavailable("too many checks wait for the store")
        self._waiting += 1
        try:
            async with self._slots:
                yield
        finally:
            self._waiting -= 1

    async def _lead(self, digest: Digest) -> Found:
        riders: _Riders = asyncio.get_running_loop().create_future()
        self._under_way[digest] = riders
        outcome: tuple[bool, Found] = (False, None)
        try:
            async with self._turn():
                outcome = await self._read(digest)
        finally:
            # Also when we fail or are cancelled: the riders then read for themselves.
            del self._under_way[digest]
            riders.set_result(outcome)
        return outcome[1]

    async def _read(self, digest: Digest) -> tuple[bool, Found]:
        for _ in range(_TRIES):
            before = await self._watch.be_sure()
            outcome = await self._ask(digest)
            if self._watch.holds(before):
                return outcome
        raise StoreUnavailable("the store answers too slowly for a lease to hold")

    async def _ask(self, digest: Digest) -> tuple[bool, Found]:
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
