"""
Everything that memory holds, and how far in the log it has come. Floor 3; may import: floors 0 to 2.

Sessions are *positive* knowledge: forgetting them is always safe. Revocations and keys are *negative* knowledge: who
has forgotten them answers nothing about access tokens until every unforgotten change is here again.

Rules of this module:

1. The position is moved after what lies before it was applied, never before.
2. Changes invalidate. Nothing here takes a value from one.
3. It is used under the cache's lock; whoever reads the log into it says when memory counts:
   :mod:`coatcheck.fleet.watch` for an embedded store, :mod:`coatcheck.fleet.lease` for one behind a network.
"""

from __future__ import annotations

from collections.abc import Sequence

from coatcheck.clock import Clock
from coatcheck.fleet.cache import Cache
from coatcheck.fleet.keyring import Keyring
from coatcheck.fleet.live import Connections
from coatcheck.fleet.revoked import Revoked
from coatcheck.fleet.unstored import Unstored
from coatcheck.records import KeyRow, Kind, Tail
from coatcheck.stores.base import Place

FROM_THE_END = 2**62
"""With nothing in memory, and no access tokens, there is nothing to learn from the log but where it ends."""


class Knowledge:
    """
    What one node knows.

    Attributes:
        epoch, applied: The place in the log. keys_changed: the keys must be read before the next answer.

        connections: The open ones, which end with their sessions.

        revoked, keyring: What is kept along with the sessions where there are access tokens; else None.
    """

    def __init__(self, cache: Cache, unstored: Unstored, clock: Clock) -> None:
        self._clock = clock
        self.cache = cache
        self.unstored = unstored
        self.connections = Connections(cache.lock)
        self.revoked: Revoked | None = None
        self.keyring: Keyring | None = None
        self.begin()

    def begin(self) -> None:
        """Know nothing of the log, as at the start."""
        self.epoch, self.applied, self.keys_changed = 0, FROM_THE_END, True

    def place(self) -> Place:
        """Return where in the log memory stands."""
        return Place(self.epoch, self.applied)

    def is_followed_by(self, tail: Tail) -> bool:
        """Say whether *tail*, read after our position, leaves no gap."""
        return tail.epoch == self.epoch and tail.trimmed <= self.applied <= tail.head

    def apply(self, tail: Tail) -> bool:
        """Apply one part of the log; say whether there is more."""
        return self._apply(tail, self.revoked)

    def drop(self) -> None:
        """Forget the sessions, fills under way included. What was revoked stays, until it is learned anew."""
        self.cache.drop()
        self.unstored.drop()
        self.connections.drop()
        self.keys_changed = True

    def learn(self) -> Learning | None:
        """Begin to load every unforgotten change; None where there are no access tokens to be refused."""
        return None if self.revoked is None else Learning(self)

    def skip_to(self, tail: Tail) -> None:
        """Stand at the end of the log, with nothing in memory."""
        self.epoch, self.applied = tail.epoch, tail.head

    def take_keys(self, rows: Sequence[KeyRow], epoch: int) -> bool:
        """
        Take the keys as they were read after the last change was applied.

        Args:
            epoch: What memory is of. With keys of a later one, what is remembered from before would be signed as if it
                still counted: False, and nothing is taken (*keys-of-own-epoch*).
        """
        if any(row.epoch != epoch for row in rows):
            return False
        if self.keyring is not None:
            self.keyring.load(rows)
        self.keys_changed = False
        return True

    @property
    def needs_keys(self) -> bool:
        """Whether the keys must be read before the next answer."""
        return self.keys_changed and self.keyring is not None

    def _apply(self, tail: Tail, revoked: Revoked | None) -> bool:
        self.cache.apply(tail.changes)
        self.unstored.apply(tail.changes)
        self.connections.apply(tail.changes)
        if revoked is not None:
            revoked.apply(tail.changes, elapsed=self._clock.elapsed())
        if any(change.kind is Kind.KEYS or change.kind is Kind.EVERYONE for change in tail.changes):
            self.keys_changed = True
        self.applied = tail.changes[-1].position if tail.changes else tail.head
        return self.applied < tail.head


class Learning:
    """Every unforgotten change, on its way into memory. Until :meth:`done`, what was known before still holds."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._fresh = Revoked()
        # Whatever goes wrong from here on, the next attempt begins anew: no tail follows this place.
        knowledge.epoch, knowledge.applied = 0, 0

    def apply(self, tail: Tail) -> bool:
        """Like :meth:`Knowledge.apply`."""
        return self._knowledge._apply(tail, self._fresh)  # noqa: SLF001  one module

    def done(self, epoch: int) -> None:
        """What was learned counts."""
        knowledge = self._knowledge
        if knowledge.revoked is not None:
            knowledge.revoked.take(self._fresh)
        knowledge.epoch = epoch
