"""
May memory be trusted now? The answer for an embedded store. Floor 3; may import: floors 0 to 2.

On an embedded store no lease is needed: before every check the store's *pulse* is read (a tenth of a microsecond), and
when it moved, the log is read and applied first.

Rules of this module:

1. Pulse first, then the log, then *that* pulse is noted, all under the cache's lock. Noting a pulse that was read after
   the log would skip a change committed between the two.
2. The pulse is trusted for :data:`BACKSTOP_S` at a time; then the store itself is asked (a writer may have been killed
   between its commit and its pulse).
"""

from __future__ import annotations

from coatcheck.clock import Clock
from coatcheck.fleet.knowledge import Knowledge
from coatcheck.fleet.trust import NEVER, Trust
from coatcheck.records import Tail
from coatcheck.stores.base import EmbeddedStore, Place

BACKSTOP_S = 0.05


class Watch(Trust):
    """Keeps memory as true as an embedded store."""

    def __init__(self, store: EmbeddedStore, knowledge: Knowledge, clock: Clock) -> None:
        super().__init__(knowledge, clock)
        self._store = store

    async def start(self) -> None:
        self._fault = None
        self.seen, self.ask_at = None, NEVER
        self.knowledge.begin()
        self.is_sure(self._clock.elapsed())  # a file that is busy just now is asked again at the first check

    async def leave(self) -> None:
        """Nothing runs."""

    async def be_sure(self) -> Place | None:
        return None  # there is one file, and no other that could answer in its place

    def catch_up(self, elapsed: float) -> bool:
        """Read what memory has missed."""
        self._check_usable()  # without the lock: in the child of a fork nobody gives it back
        with self.knowledge.cache.lock:
            self._check_usable()
            behind: bool | None = False
            if elapsed >= self.ask_at:
                behind = self._store.changed_behind_pulse()
                if behind is None:
                    return False
                self.pulse = self._store.pulse  # the store may have had to map it anew
            pulse = self.pulse[0]
            if (behind or pulse != self.seen) and not self._read_log():
                # The store said "changed" and will not say it again: ask at the next check too.
                self.seen = None
                return False
            self.seen = pulse
            self.now = self._clock.now()
            self.ask_at = elapsed + BACKSTOP_S
        return True

    def _read_log(self) -> bool:
        known = self.knowledge
        tail = self._store.tail_now(known.applied)
        if tail is None:
            return False
        if not known.is_followed_by(tail):
            return self._load_anew(tail)
        while known.apply(tail):
            following = self._store.tail_now(known.applied)
            if following is None or not known.is_followed_by(following):
                return False  # what was applied is applied; the rest is read at the next check
            tail = following
        return self._load_keys(known.epoch)

    def _load_anew(self, tail: Tail) -> bool:
        """Forget everything, and learn again what must be known: every unforgotten change."""
        known = self.knowledge
        known.drop()
        learning = known.learn()
        if learning is None:
            known.skip_to(tail)
            return True
        after = tail.trimmed
        while True:
            part = self._store.tail_now(after)
            if part is None or part.epoch != tail.epoch or part.trimmed > after:
                return False
            if not learning.apply(part):
                break
            after = known.applied
        if not self._load_keys(tail.epoch):
            return False
        learning.done(tail.epoch)
        return True

    def _load_keys(self, epoch: int) -> bool:
        if self.knowledge.needs_keys:
            rows = self._store.keys_now()
            if rows is None:
                return False
            return self.knowledge.take_keys(rows, epoch)
        return True
