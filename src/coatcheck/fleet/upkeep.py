"""
What happens by itself: *seen at* is written, what is over is swept. Floor 3; may import: floors 0 to 2.

Rules of this module:

1. One task per engine; it ends with the engine. A failure is logged and tried again.
2. Sweeping is done in small batches with a pause between, so that it never holds up a sign-in.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from coatcheck.clock import DAY, HOUR, Clock
from coatcheck.errors import CoatcheckError
from coatcheck.fleet.seen import SeenAt
from coatcheck.stores.base import Store

log = logging.getLogger("coatcheck")

SWEEP_EVERY_S = 60.0
SWEEP_BATCH = 500
SEEN_S = 2.0 * HOUR
LONG_S = 30 * DAY
_PAUSE_S = 0.01
_THE_END = 2**62


class Upkeep:
    """
    The background task of an engine.

    Args:
        interval_s: Activity reaches the store within this time.
    """

    def __init__(self, store: Store, seen: SeenAt, clock: Clock, *, interval_s: int) -> None:
        self._store = store
        self._seen = seen
        self._clock = clock
        self._interval_s = interval_s
        self._heads: deque[tuple[float, int]] = deque()  # (when, the head of the log then)
        self._task: asyncio.Task[None] | None = None
        self.also: Callable[[], Awaitable[None]] | None = None  # done along with the rest

    def start(self) -> None:
        """Begin. Needs a running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="coatcheck-upkeep")

    async def stop(self) -> None:
        """End, and write what is still to be written."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        try:
            await self._seen.flush()
        except CoatcheckError as error:
            log.warning("activity of the last moments was not written", extra={"code": error.code})

    async def sweep(self, *, limit: int = SWEEP_BATCH) -> int:
        """Remove everything that is over, *limit* rows at a time; return how many rows."""
        # Activity that is still in some process's memory has had its time to arrive.
        now, seen = self._clock.now() - 2 * self._interval_s, await self._seen_for_long()
        total = 0
        # First what is over by our calendar, with as much of the log as we have seen for long enough; then what is over
        # by any calendar.
        for at, trim_to in ((now, seen), (now - LONG_S, None)):
            while gone := await self._store.sweep(now=at, limit=limit, trim_to=trim_to):
                total += gone
                await asyncio.sleep(_PAUSE_S)
        return total

    async def _seen_for_long(self) -> int:
        """
        Return the position up to which the log has been there for :data:`SEEN_S`, by a clock that cannot be set.

        The calendar alone must not trim it: by a calendar that is ahead, what others still need would be over.
        """
        elapsed = self._clock.elapsed()
        self._heads.append((elapsed, (await self._store.tail(_THE_END)).head))
        while len(self._heads) > 1 and elapsed - self._heads[1][0] >= SEEN_S:
            self._heads.popleft()
        since, head = self._heads[0]
        return head if elapsed - since >= SEEN_S else 0

    async def _run(self) -> None:
        # Half the interval, so that a slow write still arrives within the whole one.
        nap_s = min(self._interval_s / 2, SWEEP_EVERY_S)
        since_sweep_s = SWEEP_EVERY_S
        while True:
            await asyncio.sleep(nap_s)
            since_sweep_s += nap_s
            try:
                await self._seen.flush()
                if self.also is not None:
                    await self.also()
                if since_sweep_s >= SWEEP_EVERY_S:
                    since_sweep_s = 0.0
                    await self.sweep()
            except CoatcheckError as error:
                log.warning("upkeep failed and is tried again", extra={"code": error.code})
            except Exception:
                # A fault of ours. The task goes on: without it idle sessions would end too early.
                log.exception("upkeep failed and is tried again")
