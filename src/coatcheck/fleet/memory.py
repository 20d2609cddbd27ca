"""
What one process knows: sessions, activity, and whether it may be trusted. Floor 3; may import: floors 0 to 2.

The life of a check is here, from top to bottom: :meth:`Memory.recall` answers from memory, :meth:`Memory.ask` goes to
the store.

Rules of this module:

1. First whether memory may be trusted, then memory.
2. "Expired" is final from memory, since the absolute end never moves. "Idle" is final only from the store's row:
   another process may have seen the session since.
3. Nothing here waits, but for the store.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping

from coatcheck.clock import Clock
from coatcheck.decide import lifetime
from coatcheck.errors import CoatcheckError, StoreUnavailable
from coatcheck.fleet.barrier import Barrier
from coatcheck.fleet.cache import Cache, Entry, Fill
from coatcheck.fleet.feeding import Feeding
from coatcheck.fleet.hints import Hints
from coatcheck.fleet.keyring import Keyring
from coatcheck.fleet.knowledge import Knowledge
from coatcheck.fleet.lease import Lease
from coatcheck.fleet.live import Live
from coatcheck.fleet.minting import Minting, Verifying
from coatcheck.fleet.reader import Reader
from coatcheck.fleet.seen import SeenAt
from coatcheck.fleet.trust import Trust
from coatcheck.fleet.unstored import Unstored
from coatcheck.fleet.upkeep import Upkeep
from coatcheck.fleet.watch import Watch
from coatcheck.policy import Policy
from coatcheck.records import Digest, Ended, Reason, Record, Refused, Session
from coatcheck.stores.base import EmbeddedStore, FleetStore, Stamp

_TRIES = 8
_UNKNOWN, _EXPIRED = Refused(Reason.UNKNOWN), Refused(Reason.EXPIRED)


class Memory:
    """
    The memory of one engine. It answers between :meth:`start` and :meth:`shut`.

    Attributes:
        seen: Activity on its way to the store.

        upkeep: What happens by itself.

        barrier: Waits until a change is in force everywhere.

        warm: Checks answered from memory. asked: those that went to the store, by what came of it. Counted without a
            lock: with several threads a few may be missing.

        feeding: Tells services without the store what changes.

        live: Connections that stay open.
    """

    def __init__(self, store: EmbeddedStore | FleetStore, clock: Clock, policy: Policy) -> None:
        self._store = store
        self._clock = clock
        self._elapsed = clock.elapsed
        self._policy = policy
        self._cache = Cache(policy.cached_sessions)
        self._entries = self._cache.entries
        self._unstored = Unstored(store, self._cache.lock)
        self.warm = 0
        self.asked: Counter[str] = Counter()
        self._watch = trust_in(store, Knowledge(self._cache, self._unstored, clock), clock)
        self.feeding = Feeding(store, Hints(self._watch, clock), clock)

    def hold_tokens(self, issuer: str, seals: Mapping[str, bytes]) -> tuple[Minting, Verifying]:
        """From the next :meth:`start` on keep what access tokens need; return what works with it."""
        policy = self._policy
        keyring = Keyring(self._store, seals=seals, alg=policy.signing)
        verifying = Verifying(self._watch, keyring, self._clock, issuer=issuer, size=policy.cached_tokens)
        return Minting(verifying, self._cache, self._clock, policy=policy, issuer=issuer), verifying

    async def ask_sid(self, sid: str) -> Session | Refused:
        """Answer for the session *sid* from the store, and remember what it says. Counts as activity."""
        answer = _UNKNOWN
        for _ in range(_TRIES):
            record = await self._reader.read_sid(sid)
            if record is None:
                return _UNKNOWN
            found = await self.ask(record.digest, touch=True)
            if isinstance(found, Session) or found.reason is not Reason.RENEWED:
                return found
            answer = found  # it was renewed between the two reads, and lives under another token
        return answer

    async def _read_living(self, sid: str) -> Entry | None:
        record = await self._reader.read_sid(sid) or await self.find_unstored(sid)
        if record is None or self.why_over(record.session) is not None:
            return None
        return self._entry(record.session)

    def settle(self) -> None:
        """What was just changed here is applied here: the connections that it names are ended."""
        if self._watch.knowledge.connections:
            with contextlib.suppress(CoatcheckError):  # unsure, nothing passes anyhow
                self._watch.is_sure(self._elapsed())

    async def start(self) -> None:
        """
        Begin, with nothing in memory. Needs an open store.

        Raises:
            StoreUnavailable: It does not answer.
        """
        self._cache.drop()
        self._unstored.drop()
        await self._watch.start()
        self.feeding.start()
        self.barrier = Barrier(self._store, self._watch.wake)
        if isinstance(self._watch, Lease):
            self.barrier.note_era(self._watch.knowledge.epoch, self._watch.lease_s)
        self._reader = Reader(self._store, self._cache, self._watch, self._clock, self._entry)
        self.seen = SeenAt(self._store, self._cache)
        self.live = Live(self._watch, self._cache, self.seen, self._clock, self._read_living)
        self.upkeep = Upkeep(self._store, self.seen, self._clock, interval_s=self._policy.seen_interval_s)
        self.upkeep.start()

    def shut(self, fault: CoatcheckError, *, forked: bool = False) -> None:
        """From now on raise *fault* at every check."""
        self._watch.stop(fault, forked=forked)

    async def leave(self) -> None:
        """After :meth:`shut`: end what runs in the background, and write what is still to be written."""
        await self.live.stop()
        await self.feeding.stop()
        await self.barrier.stop()
        await self._watch.leave()
        await self.upkeep.stop()

    def recall(self, digest: Digest, touch: bool = True) -> Session | Refused | None:
        """Answer from memory; None when only the store can tell."""
        elapsed, watch = self._elapsed(), self._watch
        # Watch.is_sure(), written out: this runs at every request. The calendar is read along with the store, every
        # BACKSTOP_S, and not at every check: it only counts whole seconds.
        if (elapsed >= watch.ask_at or watch.pulse[0] != watch.seen) and not watch.catch_up(elapsed):
            return None
        entry = self._entries.get(digest)
        if entry is None or elapsed >= entry.reread_at:
            return None
        now, session = watch.now, entry.session
        if now >= entry.ends_at:
            return _EXPIRED
        if now <= session.seen_at:
            self.warm += 1
            return session
        if now >= session.seen_at + entry.idle_s:
            return None
        self.warm += 1
        return self.seen.touch(entry, now) if touch else session

    async def ask(self, digest: Digest, touch: bool) -> Session | Refused:
        """
        Answer from the store, and remember what it says.

        Raises:
            StoreUnavailable: It does not answer.
        """
        answer = await self._ask(digest, touch)
        self.asked["accepted" if isinstance(answer, Session) else answer.reason.value] += 1
        return answer

    async def _ask(self, digest: Digest, touch: bool) -> Session | Refused:
        found = await self._reader.read(digest)
        if found is None:
            return await self._ask_unstored(digest, touch)
        if isinstance(found, Ended):
            return Refused(found.reason)
        now, session = self._clock.now(), found.session
        reason = lifetime.judge(session, now=now, policy=self._policy)
        if reason is not None:
            return Refused(reason)
        return self.seen.touch(found, now) if touch and now > session.seen_at else session

    async def epoch(self) -> int:
        """Return the epoch of the log that this node is in, to be given to the barrier after a write."""
        if not self._watch.place().epoch:
            await self._watch.be_sure()  # it is joining just now
        return self._watch.place().epoch

    @property
    def lapses(self) -> int:
        """How often the lease had run out when memory was asked; always 0 on an embedded store."""
        return self._watch.lapses

    def __len__(self) -> int:
        return len(self._cache)

    def why_over(self, session: Session) -> Reason | None:
        """Return why *session*, just read from the store, is over; None while it lives."""
        return lifetime.judge(self.seen.overlay(session), now=self._clock.now(), policy=self._policy)

    # --- started sessions that are not stored yet ---

    async def add_unstored(self, record: Record) -> None:
        """Hold a started session until its first write."""
        await self._be_sure()
        self._unstored.add(record, self._watch.place())

    async def find_unstored(self, sid: str) -> Record | None:
        """Return the started session *sid*, if it is here and not in the store."""
        if len(self._unstored):
            await self._be_sure()
        return self._unstored.get(sid)

    async def store_unstored(self, key: str | Digest, stamp: Stamp) -> None:
        """Before a write to the session with this ``sid`` or digest: put it into the store, if it is here and lives."""
        if len(self._unstored):
            await self._be_sure()
            sid = self._unstored.sid_of(key) if isinstance(key, bytes) else key
            if sid is not None:
                record = self._unstored.get(sid)
                if record is None or self.why_over(record.session) is None:
                    await self._unstored.store(sid, stamp)

    async def discard_unstored(self, sid: str) -> None:
        """Forget the started session *sid*; if it is on its way into the store, wait until it has arrived."""
        await self._unstored.discard(sid)

    async def _be_sure(self) -> None:
        await self._watch.be_sure()
        if not self._watch.is_sure(self._clock.elapsed()):
            raise StoreUnavailable("the change log cannot be read now")

    # --- sessions that are being written ---

    @contextlib.contextmanager
    def writing(self) -> Iterator[Fill]:
        """While a new session is written: a fill like any other, to be given to :meth:`keep_written`."""
        fill = self._cache.begin()
        fill.dropped = not self._watch.is_sure(self._clock.elapsed())
        try:
            yield fill
        finally:
            self._cache.end(fill)

    def keep_written(self, record: Record, fill: Fill) -> None:
        """
        Keep a new session that was just written, so that its first check is warm.

        Not if a change that names it was applied since the writing began. One that is still to be applied will find it
        here.
        """
        self._cache.keep(fill, record.digest, self._entry(record.session))

    async def _ask_unstored(self, digest: Digest, touch: bool) -> Session | Refused:
        if len(self._unstored):
            await self._be_sure()
        sid = self._unstored.sid_of(digest)
        record = None if sid is None else self._unstored.get(sid)
        if record is None:
            return _UNKNOWN
        reason = self.why_over(record.session)
        if reason is not None:
            return Refused(reason)
        if not touch:
            return record.session
        return self._unstored.touch(record.session.sid, self._clock.now()) or _UNKNOWN

    def _entry(self, session: Session) -> Entry:
        session = self.seen.overlay(session)
        return Entry(
            session=session,
            ends_at=lifetime.ends_at(session, self._policy),
            idle_s=lifetime.idle_s(session, self._policy),
            reread_at=self._clock.elapsed() + self._policy.reread_s,
        )


def trust_in(store: EmbeddedStore | FleetStore, knowledge: Knowledge, clock: Clock) -> Trust:
    """Return what keeps *knowledge* as true as *store*."""
    if store.is_embedded:
        return Watch(store, knowledge, clock)
    return Lease(store, knowledge, clock)
