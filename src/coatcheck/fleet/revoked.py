"""
What was revoked, for tokens that carry their truth with them. Floor 3; may import: floors 0 to 2.

This is *negative* knowledge: forgetting it accepts what was revoked. Sessions in memory may be forgotten at any time,
this may not.

Rules of this module:

1. Nothing is evicted. An entry goes when no token can live any more that it could concern.
2. Who has lost the place in the log forgets everything here and loads every unforgotten change anew, before the next
   answer.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from coatcheck.clock import HOUR
from coatcheck.records import ENDED, Change, Kind, Reason

KEPT_S = 2.0 * HOUR
"""Longer than any access token lives, with all that clocks may differ by."""

_TELLING = frozenset({Kind.REVOKED, Kind.RENEWED, Kind.CLAIMS})


class Revoked:
    """The least version of a session that counts, by ``sid``. Read without a lock, also from other threads."""

    def __init__(self) -> None:
        self._least: dict[str, int] = {}
        self._order: deque[tuple[float, str]] = deque()  # (until, sid), in the order of the log
        self._lines: Counter[str] = Counter()  # how often each sid stands there

    def __len__(self) -> int:
        return len(self._least)

    def take(self, other: Revoked) -> None:
        """Become *other*, at once: whoever looks meanwhile sees the one or the other, and never less."""
        self._least, self._order, self._lines = other._least, other._order, other._lines

    def apply(self, changes: Iterable[Change], *, elapsed: float) -> None:
        """
        Note what *changes* say.

        Args:
            elapsed: :meth:`Clock.elapsed` now. How long an entry stays is counted from here, and by this clock alone:
                the calendar of whoever wrote the line, or ours, may be wrong.
        """
        for change in changes:
            if change.kind in _TELLING and change.sid is not None:
                # Should a later line ever say less, the stricter one still holds.
                self._least[change.sid] = max(change.version, self._least.get(change.sid, 0))
                self._order.append((elapsed + KEPT_S, change.sid))
                self._lines[change.sid] += 1

    def forget(self, elapsed: float) -> None:
        """Remove what concerns no living token any more."""
        order = self._order
        while order and order[0][0] <= elapsed:
            _, sid = order.popleft()
            self._lines[sid] -= 1
            # A later line about the same session stands further on, and keeps it here.
            if not self._lines[sid]:
                del self._lines[sid], self._least[sid]

    def why_not(self, sid: str, version: int) -> Reason | None:
        """Return why a token of this session and version does not count; None when nothing says so."""
        least = self._least.get(sid)
        if least is None or version >= least:
            return None
        return Reason.REVOKED if least >= ENDED else Reason.RENEWED
