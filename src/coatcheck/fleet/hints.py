"""
Noticing early that the log has grown. Floor 3; may import: floors 0 to 2.

Rules of this module:

1. It is a hint. Who is woken reads the log; who is not woken in time reads it all the same.
2. The mark is taken before the log is read, so that nothing falls between the reading and the waiting.
3. What this process changes wakes at once. What others change is seen by looking, and only while somebody waits: at an
   embedded store's pulse, which costs next to nothing, or at how far our own heartbeat has come.
"""

from __future__ import annotations

import asyncio
import contextlib

from coatcheck.clock import Clock
from coatcheck.errors import CoatcheckError
from coatcheck.fleet.trust import Trust
from coatcheck.stores.base import Place

LOOK_S = 0.005


class Hints:
    """Wakes those who wait for the log of one engine to grow. Belongs to the engine's event loop."""

    def __init__(self, trust: Trust, clock: Clock) -> None:
        self._trust = trust
        self._elapsed = clock.elapsed
        self._place: Place | None = None
        self._turn = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._looking: asyncio.Task[None] | None = None
        trust.on_wake = self.wake

    def mark(self) -> int:
        """Return what to give to :meth:`wait` after the log was read, and nothing new was there."""
        self._look()
        return self._turn

    async def wait(self, mark: int, timeout_s: float) -> None:
        """Return when the log may have grown since *mark*, or after *timeout_s*."""
        if self.mark() != mark:
            return
        woken = asyncio.get_running_loop().create_future()
        self._waiting.add(woken)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._keep_looking(), name="coatcheck-hints")
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await woken
        finally:
            self._waiting.discard(woken)

    def wake(self) -> None:
        """Wake everybody."""
        self._turn += 1
        for woken in self._waiting:
            if not woken.done():
                woken.set_result(None)
        self._waiting.clear()

    async def stop(self) -> None:
        """Wake everybody, and look no more."""
        self.wake()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None

    async def _keep_looking(self) -> None:
        while self._waiting:
            await asyncio.sleep(LOOK_S)
            self._look()

    def _look(self) -> None:
        with contextlib.suppress(CoatcheckError):  # closed, or forked: whoever waits hears so from the store
            self._trust.is_sure(self._elapsed())
        place = self._trust.place()
        if place != self._place:
            self._place = place
            self.wake()
