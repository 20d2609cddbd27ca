"""
Two clocks in one object: the calendar, and the time that passed. Floor 0; may import: the standard library.

Rules of this module:

1. This is the only module of the package that reads a clock.
2. Below the engine nobody holds a clock: *now* is an argument.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Protocol

_wall = time.time

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Clock(Protocol):
    """
    What the engine needs of time. :class:`coatcheck.testing.ManualClock` is the one for tests.

    Attributes:
        elapsed: Returns seconds since some fixed moment. Counts suspend; no calendar change moves it.
    """

    @property
    def elapsed(self) -> Callable[[], float]: ...

    def now(self) -> int:
        """Whole seconds since 1970-01-01T00:00:00Z. Never runs back."""
        ...


def _boot_clock() -> int:
    # CLOCK_MONOTONIC stands still while a laptop sleeps; memory that was trusted before must not be trusted after.
    return getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The machine's clocks. One object per engine; safe to use from several threads."""

    __slots__ = ("_behind", "_latest", "elapsed")

    def __init__(self) -> None:
        # An attribute, not a method: it is called at every check, and a Python frame would double its cost.
        self.elapsed: Callable[[], float] = functools.partial(time.clock_gettime, _boot_clock())
        self._latest = 0
        # (what we showed, elapsed() then) while the calendar clock stands behind what we already showed.
        self._behind: tuple[int, float] | None = None

    def wall(self) -> float:
        """Return the calendar as it is set now, seconds; it may run back. Only to notice that time was lost."""
        return _wall()

    def now(self) -> int:
        """
        Whole seconds UTC.

        When somebody turns the calendar clock back, this one goes on from where it was at the pace of
        :meth:`elapsed`, until the calendar has caught up. It neither runs back nor stands still: a clock that
        stood still would keep idle sessions alive.
        """
        wall = int(_wall())
        # The second we showed last: nearly every call, and the shortest way through it.
        return wall if wall == self._latest and self._behind is None else self._moved(wall)

    def _moved(self, wall: int) -> int:
        if wall > self._latest and self._behind is None:
            self._latest = wall
            return wall
        return self._turned_back(wall)

    def _turned_back(self, wall: int) -> int:
        shown, since = self._behind or (self._latest, self.elapsed())
        ours = shown + int(self.elapsed() - since)
        self._behind = None if wall >= ours else (shown, since)
        self._latest = max(self._latest, wall, ours)
        return self._latest
