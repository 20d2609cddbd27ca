"""
Any sequence of calls, against a plain model.

The model is a dict of what each session should be. Every answer of the engines is compared with it: accepted or refused
exactly, with the reason wherever that is determined. On SQLite two engines share the file, and either may be asked.
"""

import asyncio
import dataclasses
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from coatcheck import Coatcheck, Policy, Refused
from coatcheck.testing import ManualClock

IDLE, ABSOLUTE, INTERVAL, MOST, CACHED = 600, 2000, 60, 3, 4
POLICY = Policy(
    idle_s=IDLE, absolute_s=ABSOLUTE, seen_interval_s=INTERVAL, sessions_per_subject=MOST, cached_sessions=CACHED
)
SUBJECTS = st.sampled_from(["maria", "bob"])
KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.integers(0, 9) | st.lists(st.text("xyé", max_size=2), max_size=2)
CHANGES = st.dictionaries(KEYS, VALUES, max_size=2)
UNSET = st.lists(KEYS, max_size=2)
LIMITS = st.sampled_from([{}, {"idle_s": 50}, {"absolute_s": 300}, {"idle_s": 9999, "absolute_s": 9999}])
SECONDS = st.sampled_from([1, 30, 49, 50, 59, 60, 250, 299, 300, 540, 599, 600, 1399, 2000]) | st.integers(1, 700)
ENGINES = st.integers(0, 1)
TOKENS = st.integers(0, 99)  # which of the tokens there were: see Machine.pick
IN_MEMORY = Path("/dev/shm")  # what a disk adds, the durability tests look at; here it only takes time


@dataclasses.dataclass
class Expected:
    """What one session should be."""

    sub: str | None
    claims: dict
    data: dict
    idle_s: int
    began: int
    ends_at: int
    seen: int  # in the store
    order: int  # of the sign-ins
    row: int = 0  # of the first writes
    version: int = 1
    home: int | None = None  # the engine that has it in memory only
    touched: dict = dataclasses.field(default_factory=dict)  # engine -> last activity there, not yet written

    def seen_by(self, engine):
        return max(self.seen, self.touched.get(engine, 0))

    def over(self, now, engine):
        """Why it is over as this engine must see it, or None."""
        if now >= self.ends_at:
            return "expired"
        return "idle" if now >= self.seen_by(engine) + self.idle_s else None


def some(machine):
    """Whether there is a token to pick."""
    return bool(machine.opens)


class Machine(RuleBasedStateMachine):
    """One or two engines on one store, and the model."""

    engines_count = 1
    # Which of two sessions is the newer where both were signed in within one second.
    rows_decide = False

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.sessions = {}  # sid -> Expected, while it has not been ended
        self.opens = {}  # token -> sid
        self.dead = {}  # token -> the reasons that may be given
        self.order = 0
        self.flushed_at = self.clock.now()

    def run(self, call):
        return self.runner.run(call)

    @initialize()
    def open(self):
        self.folder = tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None)
        self.engines = [self.opened() for _ in range(self.engines_count)]

    def opened(self):
        engine = Coatcheck(self.url(), policy=POLICY, clock=self.clock, secret="A" * 43)
        self.run(engine.open())
        return engine

    def teardown(self):
        for engine in getattr(self, "engines", ()):
            self.run(engine.close())
        self.runner.close()
        if hasattr(self, "folder"):
            self.folder.cleanup()

    def which(self, number):
        number %= len(self.engines)
        return number, self.engines[number]

    def pick(self, number):
        """One of the tokens there were; three times in four one that still opens something."""
        every = list(self.opens)
        live = [token for token in every if token not in self.dead]
        pool = live if live and number % 4 else every
        return pool[number // 4 % len(pool)]

    # --- the model's steps ---

    def end(self, sid, *reasons):
        """The session *sid* is over for good; every token that opened it says one of *reasons*."""
        self.sessions.pop(sid, None)
        for token, its in self.opens.items():
            if its == sid and token not in self.dead:
                self.dead[token] = set(reasons)

    def next(self):
        self.order += 1
        return self.order

    def stored(self, it):
        """Its first write, if it had none yet."""
        if not it.row:
            it.home, it.row = None, self.next()

    def age(self, sid):
        it = self.sessions[sid]
        return (it.began, it.row) if self.rows_decide else it.order

    def make_room(self, sub, newest):
        mine = sorted((sid for sid, it in self.sessions.items() if it.sub == sub and sid != newest), key=self.age)
        for sid in mine[: max(0, len(mine) - MOST + 1)]:
            self.end(sid, "revoked")

    def expect(self, token, number):
        """The reasons one of which *token* must be refused with at this engine; None: it must be accepted."""
        if token in self.dead:
            return self.dead[token]
        it = self.sessions[self.opens[token]]
        if it.home not in (None, number):
            return {"unknown"}
        over = it.over(self.clock.now(), number)
        return None if over is None else {over}

    def compare(self, found, token, number, touch):
        reasons = self.expect(token, number)
        if reasons is not None:
            assert isinstance(found, Refused), f"accepted, though {reasons}"
            assert found.reason in reasons
            return
        assert not isinstance(found, Refused), f"refused: {found}"
        sid, now = self.opens[token], self.clock.now()
        it = self.sessions[sid]
        if touch:
            if it.home is None:
                it.touched[number] = now
            else:
                it.seen = now
        assert (found.sid, found.sub, found.claims, found.version) == (sid, it.sub, it.claims, it.version)
        assert (found.created_at, found.expires_at, found.idle_s) == (it.began, it.ends_at, it.idle_s)
        # Memory may hold an older activity of another engine, never a later one than there was.
        assert found.seen_at == now if touch else it.touched.get(number, 0) <= found.seen_at <= it.seen_by(number)

    def add(self, done, number, **fields):
        now, session = self.clock.now(), done.session
        it = Expected(
            claims=dict(session.claims), idle_s=session.idle_s, began=now, ends_at=session.expires_at, seen=now,
            order=self.next(), **fields,
        )  # fmt: skip
        self.sessions[session.sid] = it
        self.opens[done.token] = session.sid
        if it.home is None:
            self.stored(it)
        return it

    def flush_all(self):
        for number, engine in enumerate(self.engines):
            self.run(engine.flush())
            for it in self.sessions.values():
                it.seen = max(it.seen, it.touched.pop(number, 0))
        self.flushed_at = self.clock.now()

    # --- rules ---

    @rule(number=ENGINES, sub=SUBJECTS, claims=CHANGES, limits=LIMITS)
    def sign_in(self, number, sub, claims, limits):
        number, auth = self.which(number)
        done = self.run(auth.sign_in(sub, claims=claims, **limits))
        it = self.add(done, number, sub=sub, data={})
        absolute = min(ABSOLUTE, limits.get("absolute_s", ABSOLUTE))
        assert it.claims == claims
        assert it.ends_at == self.clock.now() + absolute
        assert it.idle_s == min(IDLE, absolute, limits.get("idle_s", IDLE))
        self.make_room(sub, done.session.sid)

    @rule(number=ENGINES, data=CHANGES)
    def start(self, number, data):
        number, auth = self.which(number)
        done = self.run(auth.start(data))
        self.add(done, number, sub=None, data=data, home=None if data else number)

    @precondition(some)
    @rule(number=ENGINES, token=TOKENS, touch=st.booleans())
    def check(self, number, token, touch):
        number, auth, token = *self.which(number), self.pick(token)
        self.compare(self.run(auth.check(token, touch=touch)), token, number, touch)

    @precondition(some)
    @rule(number=ENGINES, token=TOKENS, touch=st.booleans())
    def check_now(self, number, token, touch):
        number, auth, token = *self.which(number), self.pick(token)
        found = auth.check_now(token, touch=touch)
        if found is not None:
            self.compare(found, token, number, touch)

    @precondition(some)
    @rule(number=ENGINES, token=TOKENS, sub=st.none() | SUBJECTS, claims=st.none() | CHANGES)
    def renew(self, number, token, sub, claims):
        number, auth, token = *self.which(number), self.pick(token)
        reasons, now = self.expect(token, number), self.clock.now()
        it = self.sessions.get(self.opens[token]) if reasons is None else None
        if it and sub and it.sub not in (None, sub):
            with pytest.raises(ValueError, match="sub"):
                self.run(auth.renew(token, sub=sub, claims=claims))
            return
        done = self.run(auth.renew(token, sub=sub, claims=claims))
        if not it:
            assert not done
            # What is over before its first write never comes into the store, which then knows nothing of it.
            gone = self.sessions.get(self.opens[token])
            assert done.reason in reasons | ({"unknown"} if gone and not gone.row else set())
            return
        self.stored(it)
        it.seen, it.version = now, it.version + 1
        if sub and it.sub is None:
            it.sub, it.began, it.ends_at, it.idle_s = sub, now, now + ABSOLUTE, IDLE
            it.order = self.next()
        if claims is not None:
            it.claims = claims
        self.dead[token] = {"renewed"}
        sid = self.opens[token]
        self.opens[done.token] = sid
        assert done.session.sid == sid
        if it.sub:
            self.make_room(it.sub, sid)

    @rule(number=ENGINES, sub=SUBJECTS, change=CHANGES, unset=UNSET)
    def update_claims(self, number, sub, change, unset):
        self.run(self.which(number)[1].update_claims(sub, set=change, unset=unset))
        for it in self.sessions.values():
            if it.sub == sub:
                it.claims = {key: value for key, value in it.claims.items() if key not in unset} | change
                it.version += 1

    def is_here(self, token, number):
        """Whether the session of *token* is one that this engine can find by its sid."""
        it = self.sessions.get(self.opens[token])
        return it if it and it.home in (None, number) else None

    @precondition(some)
    @rule(number=ENGINES, token=TOKENS, change=CHANGES, unset=UNSET)
    def update_data(self, number, token, change, unset):
        number, auth, token = *self.which(number), self.pick(token)
        it, now = self.is_here(token, number), self.clock.now()
        done = self.run(auth.update_data(self.opens[token], set=change, unset=unset))
        # A row takes data until its absolute end; what is no row yet becomes none once it is over.
        if it and (now < it.ends_at if it.row else it.over(now, number) is None):
            self.stored(it)
            it.data = {key: value for key, value in it.data.items() if key not in unset} | change
            assert done
        else:
            # Swept already, or there still though it is over: nobody can open it either way.
            assert done == Refused("unknown")

    @precondition(some)
    @rule(number=ENGINES, token=TOKENS)
    def data(self, number, token):
        number, auth, token = *self.which(number), self.pick(token)
        found, it = self.run(auth.data(self.opens[token])), self.is_here(token, number)
        over = it.over(self.clock.now(), number) if it else "unknown"
        assert found == (it.data if over is None else Refused(over))

    @precondition(some)
    @rule(number=ENGINES, token=TOKENS, of=st.none() | SUBJECTS)
    def revoke(self, number, token, of):
        number, auth, token = *self.which(number), self.pick(token)
        sid = self.opens[token]
        it = self.sessions.get(sid)
        done = self.run(auth.revoke(sid, of=of))
        if of is None or (it and it.sub == of):
            assert done.position > 0
            self.end(sid, "revoked", *(["unknown"] if it and it.home is not None else []))
        elif it:
            assert done == Refused("unknown")

    @rule(number=ENGINES, sub=SUBJECTS)
    def revoke_user(self, number, sub):
        self.end_all(number, sub, None)

    @precondition(some)
    @rule(number=ENGINES, token=TOKENS, sub=st.none() | SUBJECTS)
    def revoke_others(self, number, token, sub):
        kept = self.opens[self.pick(token)]
        it = self.sessions.get(kept)
        self.end_all(number, sub or (it and it.sub) or "maria", kept)

    def end_all(self, number, sub, kept):
        self.run(self.which(number)[1].revoke_user(sub, keep=kept))
        for sid, it in list(self.sessions.items()):
            if it.sub == sub and sid != kept:
                self.end(sid, "revoked")

    @rule(number=ENGINES, seldom=st.integers(0, 3))
    def revoke_everyone(self, number, seldom):
        if seldom:
            return
        self.run(self.which(number)[1].revoke_everyone())
        for sid in list(self.sessions):
            self.end(sid, "revoked", "unknown")

    @rule(seconds=SECONDS)
    def advance(self, seconds):
        self.advance_by(seconds)

    def advance_by(self, seconds):
        # In life an engine writes its activity within the interval; so here.
        if self.clock.now() + seconds - self.flushed_at > INTERVAL:
            self.flush_all()
        self.clock.advance(seconds)

    @precondition(some)
    @rule(number=ENGINES, token=TOKENS, which=st.sampled_from(["idle", "absolute"]), late=st.integers(-1, 1))
    def wait_for_an_end(self, number, token, which, late):
        """Go to the last second of a session, to its end, or to the second after it; then ask every engine."""
        token = self.pick(token)
        it = self.sessions.get(self.opens[token])
        if it:
            end = it.ends_at if which == "absolute" else it.seen_by(number) + it.idle_s
            self.advance_by(max(0, end + late - self.clock.now()))
            for each, auth in enumerate(self.engines):
                self.compare(self.run(auth.check(token, touch=False)), token, each, touch=False)

    @rule(number=ENGINES)
    def flush(self, number):
        number, auth = self.which(number)
        self.run(auth.flush())
        for it in self.sessions.values():
            it.seen = max(it.seen, it.touched.pop(number, 0))

    @rule(number=ENGINES)
    def sweep(self, number):
        self.run(self.which(number)[1].sweep())
        gone = self.clock.now() - 2 * INTERVAL
        for sid, it in list(self.sessions.items()):
            if it.home is None and gone >= min(it.ends_at, it.seen + it.idle_s):
                # A process that has it in memory may still know why.
                self.end(sid, "unknown", "expired", "idle")

    @invariant()
    def lists_are_right(self):
        now = self.clock.now()
        for number, auth in enumerate(getattr(self, "engines", ())):
            for sub in ("maria", "bob"):
                live = [sid for sid, it in self.sessions.items() if it.sub == sub and not it.over(now, number)]
                found = self.run(auth.sessions_of(sub))
                assert [session.sid for session in found] == sorted(live, key=self.age, reverse=True)
                for session in found:
                    it = self.sessions[session.sid]
                    assert (session.claims, session.version) == (it.claims, it.version)
                    assert session.seen_at == it.seen_by(number)

    @invariant()
    def memory_is_bounded(self):
        for engine in getattr(self, "engines", ()):
            assert len(engine._memory._cache) <= CACHED


class MemoryMachine(Machine):
    """One engine; its store dies with it."""

    def url(self):
        return "memory://"


class SQLiteMachine(Machine):
    """Two engines on one file, one of which may crash."""

    engines_count = 2
    rows_decide = True

    def url(self):
        return f"sqlite:///{self.folder.name}/coatcheck.db"

    @rule(number=ENGINES)
    def crash(self, number):
        """What an engine had not written yet is lost."""
        self.engines[number]._memory.seen._pending.clear()
        self.run(self.engines[number].close())
        self.engines[number] = self.opened()
        for sid, it in list(self.sessions.items()):
            it.touched.pop(number, None)
            if it.home == number:
                self.end(sid, "unknown")


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
SHORT = settings(max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=QUIET)
LONG = settings(SHORT, max_examples=400, stateful_step_count=80)


def case(machine, chosen):
    """Return *machine* as a test class with these settings."""
    test = type(machine.__name__, (machine,), {}).TestCase
    test.settings = chosen
    return test


TestMemory = case(MemoryMachine, SHORT)
TestSQLite = case(SQLiteMachine, SHORT)
TestMemoryLong = pytest.mark.long(case(MemoryMachine, LONG))
TestSQLiteLong = pytest.mark.long(case(SQLiteMachine, LONG))
