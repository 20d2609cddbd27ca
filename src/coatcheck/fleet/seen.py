"""
*Seen at*, gathered in memory and written in batches. Floor 3; may import: floors 0 to 2.

Rules of this module:

1. A batch that is lost ends an idle session early, by at most one interval. It never lets one live longer: what is
   written is a span of unbroken activity, and the store takes it only where it joins what the row says already.
2. What is not yet written counts in this process: a row read again gets it back.
3. A batch that could not be written is kept for the next time.
"""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from coatcheck.fleet.cache import Cache, Entry
from coatcheck.records import Session
from coatcheck.stores.base import Seen, Store

BATCH = 500


class SeenAt:
    """Which sessions were active since the last write."""

    def __init__(self, store: Store, cache: Cache) -> None:
        self._store = store
        self._cache = cache
        self._pending: dict[str, Seen] = {}
        self._writing: dict[str, Seen] = {}
        self._one_flush = asyncio.Lock()

    def touch(self, entry: Entry, now: int) -> Session:
        """Note activity at *now* and return the session as it is then."""
        before = entry.session
        session = entry.session = replace(before, seen_at=now)
        earlier = self._pending.get(session.sid)
        since = before.seen_at if earlier is None else earlier.since
        self._pending[session.sid] = Seen(session.sid, since, now)
        return session

    def overlay(self, session: Session) -> Session:
        """Return *session*, just read from the store, with the activity that is still on its way there."""
        for known in (self._writing.get(session.sid), self._pending.get(session.sid)):
            if known is not None and known.since <= session.seen_at < known.at:
                session = replace(session, seen_at=known.at)
        return session

    async def flush(self) -> None:
        """
        Write everything gathered so far.

        Raises:
            StoreUnavailable: Nothing is lost; call again.
        """
        async with self._one_flush:
            while self._pending:
                batch = [self._pending.popitem()[1] for _ in range(min(BATCH, len(self._pending)))]
                self._writing = {seen.sid: seen for seen in batch}
                try:
                    self._cache.forget(await self._store.touch(batch))
                except BaseException:
                    self._take_back(batch)
                    raise
                finally:
                    self._writing = {}

    def _take_back(self, batch: list[Seen]) -> None:
        for seen in batch:
            later = self._pending.get(seen.sid)
            self._pending[seen.sid] = seen if later is None else Seen(seen.sid, seen.since, later.at)
