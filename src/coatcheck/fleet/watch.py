"""
May memory be trusted now? The answer for an embedded store. Floor 3; may import: floors 0 to 2.

On an embedded store no lease is needed: before every check the store's *pulse* is read (a tenth of a microsecond), and
when it moved, the log is read and applied first. A store behind a network has a lease instead, with the same
:meth:`Watch.is_sure`.

Rules of this module:

1. First this, then memory: what is remembered counts only if it is looked up after :meth:`Watch.is_sure` said yes.
2. Pulse first, then the log, then *that* pulse is noted, all under the cache's lock. Noting a pulse that was read after
   the log would skip a change committed between the two.
3. The pulse is trusted for :data:`BACKSTOP_S` at a time; then the store itself is asked (a writer may have been killed
   between its commit and its pulse).
"""

from __future__ import annotations

from collections.abc import Sequence

from coatcheck.clock import Clock
from coatcheck.errors import CoatcheckError
from coatcheck.fleet.cache import Cache
from coatcheck.fleet.keyring import Keyring
from coatcheck.fleet.revoked import Revoked
from coatcheck.fleet.unstored import Unstored
from coatcheck.records import Kind, Tail
from coatcheck.stores.base import EmbeddedStore, Place

BACKSTOP_S = 0.05
_NEVER = float("-inf")
_FROM_THE_END = 2**62  # with nothing in memory there is nothing to learn from the log but where it ends


class Watch:
    """
    Keeps a cache as true as its store.

    Attributes:
        pulse: The store's pulse. seen: its number when the log was last read.

        ask_at: :meth:`Clock.elapsed` from which the pulse alone is not enough.

        now: The calendar, read along with the store: whole seconds, at most :data:`BACKSTOP_S` old while sure.

        revoked, keyring: What is kept along with the sessions where there are access tokens; else None.
    """

    def __init__(self, store: EmbeddedStore, cache: Cache, unstored: Unstored, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.now = 0
        self._cache = cache
        self._unstored = unstored
        self.pulse: Sequence[int] = (0,)
        self.seen: int | None = None
        self.ask_at = _NEVER
        self._applied = 0
        self._epoch = 0
        self._keys_changed = True
        self._fault: CoatcheckError | None = None
        self.revoked: Revoked | None = None
        self.keyring: Keyring | None = None

    def start(self) -> None:
        """Begin anew, knowing nothing of the log."""
        self.seen, self._applied, self._epoch = None, _FROM_THE_END, 0
        self._keys_changed = True
        self.ask_at = _NEVER
        self._fault = None

    def is_sure(self, elapsed: float) -> bool:
        """
        Say whether memory holds nothing that was changed before this call.

        Args:
            elapsed: :meth:`Clock.elapsed` of this check.

        Raises:
            CoatcheckError: The engine was forked or closed (see :meth:`stop`).
        """
        # The deadline first: after stop() the pulse may be gone, and it is not to be read.
        if elapsed < self.ask_at and self.pulse[0] == self.seen:
            return True
        return self.catch_up(elapsed)

    def place(self) -> Place:
        """Return where in the log memory stands."""
        return Place(self._epoch, self._applied)

    def stop(self, fault: CoatcheckError) -> None:
        """From now on raise *fault* at every check."""
        self._fault = fault
        self.ask_at = _NEVER

    def catch_up(self, elapsed: float) -> bool:
        """Read what memory has missed; False when that cannot be done without waiting. Raises like :meth:`is_sure`."""
        if self._fault is not None:
            raise self._fault
        with self._cache.lock:
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
        tail = self._store.tail_now(self._applied)
        if tail is None:
            return False
        if tail.epoch != self._epoch or tail.trimmed > self._applied or tail.head < self._applied:
            return self._load_anew(tail)
        while self._apply(tail, self.revoked):
            following = self._store.tail_now(self._applied)
            if following is None or following.epoch != self._epoch or following.trimmed > self._applied:
                return False  # what was applied is applied; the rest is read at the next check
            tail = following
        return self._load_keys()

    def _apply(self, tail: Tail, revoked: Revoked | None) -> bool:
        """Apply one part of the log; say whether there is more."""
        self._cache.apply(tail.changes)
        self._unstored.apply(tail.changes)
        if revoked is not None:
            revoked.apply(tail.changes, elapsed=self._clock.elapsed())
        if any(change.kind is Kind.KEYS for change in tail.changes):
            self._keys_changed = True
        self._applied = tail.changes[-1].position if tail.changes else tail.head
        return self._applied < tail.head

    def _load_anew(self, tail: Tail) -> bool:
        """Forget everything, and learn again what must be known: every unforgotten change."""
        self._cache.drop()
        self._unstored.drop()
        self._keys_changed = True
        if self.revoked is None:
            self._applied, self._epoch = tail.head, tail.epoch
            return True
        fresh = Revoked()
        # Whatever goes wrong from here on, the next check begins anew.
        self._epoch, self._applied = 0, tail.trimmed
        while True:
            part = self._store.tail_now(self._applied)
            if part is None or part.epoch != tail.epoch or part.trimmed > self._applied:
                return False
            if not self._apply(part, fresh):
                break
        if not self._load_keys():
            return False
        self.revoked.take(fresh)
        self._epoch = tail.epoch
        return True

    def _load_keys(self) -> bool:
        if self.keyring is None or not self._keys_changed:
            return True
        rows = self._store.keys_now()
        if rows is None:
            return False
        self.keyring.load(rows)
        self._keys_changed = False
        return True
