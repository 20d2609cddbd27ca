"""
Sessions in memory, and guarded fills. Floor 3; may import: floors 0 to 2.

What is here is *positive* knowledge: forgetting it is always safe, it only costs a read.

Rules of this module:

1. A fill is marked by every change applied while it is under way that names its session or everyone, and by every drop
   of all memory. A marked fill is not kept.
2. Testing the mark and keeping are one step, under the lock that applying takes.
3. Unknown tokens are never remembered: anybody can make those up, and one may come into being a moment later.
4. The cache has a size. The entries longest in memory go first; it costs a read, never a decision.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable

import msgspec

from coatcheck.records import Change, Digest, Kind, Session

_PART = 64  # of the size, that goes at once

# Data are read from the store each time, so nothing here is out of date after their change; keys are kept elsewhere.
_HELD = frozenset(Kind) - {Kind.DATA, Kind.KEYS}


class Entry(msgspec.Struct, gc=False, kw_only=True):
    """
    One session in memory. Out of the garbage collector's sight, as nothing in it can refer back to it: with 200,000 of
    them every collection would walk them all.

    Attributes:
        ends_at: Calendar seconds. reread_at: seconds of :meth:`Clock.elapsed`.
    """

    session: Session
    ends_at: int
    idle_s: int
    reread_at: float


class Fill:
    """A read of the store that may end up in memory."""

    __slots__ = ("dropped", "named")

    def __init__(self) -> None:
        self.named: set[str] = set()
        self.dropped = False


class Cache:
    """Sessions by the digest of their token. Safe to use from several threads."""

    def __init__(self, size: int) -> None:
        self.entries: dict[Digest, Entry] = {}  # read without the lock by the warm path; written only under it
        self.lock = threading.RLock()
        self._size = size
        self._digests: dict[str, Digest] = {}
        self._fills: set[Fill] = set()

    def __len__(self) -> int:
        return len(self.entries)

    def of(self, sid: str) -> Entry | None:
        """Return what is remembered of the session *sid*."""
        digest = self._digests.get(sid)
        return None if digest is None else self.entries.get(digest)

    def begin(self) -> Fill:
        """Note that a read of the store starts now. Call :meth:`end` when it is over, whatever came of it."""
        fill = Fill()
        with self.lock:
            self._fills.add(fill)
        return fill

    def end(self, fill: Fill) -> None:
        """Forget *fill*."""
        with self.lock:
            self._fills.discard(fill)

    def keep(self, fill: Fill, digest: Digest, entry: Entry) -> bool:
        """Remember what *fill* has read; False, and nothing is kept, when it was marked meanwhile."""
        sid = entry.session.sid
        with self.lock:
            if fill.dropped or sid in fill.named:
                return False
            self.put(digest, entry)
        return True

    def put(self, digest: Digest, entry: Entry) -> None:
        """Remember *entry*. Only for who holds the lock, and knows that nothing it should be marked by was missed."""
        sid = entry.session.sid
        self._forget(sid)
        if len(self.entries) >= self._size:
            self._make_room()
        self.entries[digest] = entry
        self._digests[sid] = digest

    def _make_room(self) -> None:
        # Some at a time, as in fleet/verified.py: a dict finds its first entry by walking over all that were removed
        # in front of it.
        for entry in list(itertools.islice(self.entries.values(), max(1, self._size // _PART))):
            self._forget(entry.session.sid)

    def apply(self, changes: Iterable[Change]) -> None:
        """Forget what *changes* name, and mark the fills under way."""
        with self.lock:
            for change in changes:
                if change.kind not in _HELD:
                    continue
                if change.sid is None:
                    self.drop()
                    continue
                self._forget(change.sid)
                for fill in self._fills:
                    fill.named.add(change.sid)

    def drop(self) -> None:
        """Forget everything, fills under way included."""
        with self.lock:
            self.entries.clear()
            self._digests.clear()
            for fill in self._fills:
                fill.dropped = True

    def forget(self, sids: Iterable[str]) -> None:
        """Forget these sessions; the next check reads them again."""
        with self.lock:
            for sid in sids:
                self._forget(sid)

    def _forget(self, sid: str) -> None:
        digest = self._digests.pop(sid, None)
        if digest is not None:
            del self.entries[digest]
