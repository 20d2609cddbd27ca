"""An access token after its session has ended or changed: refused by everybody, at once; and what a verifier hears."""

import asyncio
import base64
import contextlib
import http.server
import json
import logging
import pickle
import secrets
import threading

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from coatcheck import Claims, Coatcheck, ConfigError, NotOpen, Policy, Reason, Refused, StoreUnavailable, Verifier
from coatcheck.clock import HOUR
from coatcheck.fleet import fetching
from coatcheck.fleet.fetching import Jwks
from coatcheck.fleet.minting import Verifying
from coatcheck.fleet.watch import BACKSTOP_S
from coatcheck.records import Kind
from coatcheck.testing import ManualClock
from coatcheck.testing.store_contract import make_stamp
from coatcheck.tokens import access_token, base64url

ISSUER = "https://auth.example.com"
NONE = "none-accept-until-expiry"
SECRET = secrets.token_urlsafe(32)


class FineClock(ManualClock):
    """A clock that can also move by less than a second, as far as only elapsed() sees."""

    fine = 0.0

    def elapsed(self):
        return super().elapsed() + self.fine

    def outrun_backstop(self):
        """Let just so much time pass that the pulse alone is no longer trusted."""
        self.fine += BACKSTOP_S


@pytest.fixture
def clock():
    return FineClock()


@pytest.fixture
def policy():
    return Policy(sessions_per_subject=3)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/coatcheck.db"


@pytest.fixture
async def a(url, clock, policy):
    async with Coatcheck(url, issuer=ISSUER, policy=policy, clock=clock, secret=SECRET) as engine:
        yield engine


@pytest.fixture
async def b(url, clock, policy, a):
    async with Coatcheck(url, issuer=ISSUER, policy=policy, clock=clock, secret=SECRET) as engine:
        yield engine


@pytest.fixture
async def on_store(url, clock, a):
    async with Verifier(ISSUER, audience="orders", feed=url, clock=clock) as verifier:
        yield verifier


@pytest.fixture
async def on_engine(clock, a):
    async with Verifier(ISSUER, audience="orders", feed=a, clock=clock) as verifier:
        yield verifier


@pytest.fixture
def everybody(a, b, on_store, on_engine):
    """All who verify: name -> what they say of a token."""
    return {
        "a": lambda token: a.verify(token, audience="orders"),
        "b": lambda token: b.verify(token, audience="orders"),
        "verifier on the store": on_store.verify,
        "verifier on the engine": on_engine.verify,
    }


def said(everybody, token):
    """The reasons of all; None where it is accepted."""
    found = {name: verify(token) for name, verify in everybody.items()}
    return {name: one.reason if isinstance(one, Refused) else None for name, one in found.items()}


def all_say(everybody, reason):
    """What :func:`said` is when all agree."""
    return dict.fromkeys(everybody, reason)


async def theft(auth, started):
    """A refresh token is used twice too often."""
    pairs = [await auth.issue_refresh(await auth.check(started.token), client_id="cli", audience="orders")]
    for _ in range(2):
        pairs.append(await auth.refresh(pairs[-1].refresh_token, client_id="cli", audience="orders"))
    assert await auth.refresh(pairs[0].refresh_token, client_id="cli", audience="x") == Refused(Reason.REUSED)


async def surplus(auth, started):
    """The same subject signs in until the oldest session makes room."""
    for _ in range(auth.policy.sessions_per_subject):
        await auth.sign_in("maria")


async def keep(auth, started):
    """All of hers but another one end."""
    other = await auth.sign_in("maria")
    await auth.revoke_user("maria", keep=other.session.sid)


ENDS = {
    "revoke": (lambda auth, started: auth.revoke(started.session.sid), Reason.REVOKED),
    "revoke of": (lambda auth, started: auth.revoke(started.session.sid, of="maria"), Reason.REVOKED),
    "revoke_user": (lambda auth, started: auth.revoke_user("maria"), Reason.REVOKED),
    "revoke_user, another kept": (keep, Reason.REVOKED),
    "revoke_everyone": (lambda auth, started: auth.revoke_everyone(), Reason.UNKNOWN_KEY),
    "renew": (lambda auth, started: auth.renew(started.token), Reason.RENEWED),
    "update_claims": (lambda auth, started: auth.update_claims("maria", set={"roles": []}), Reason.RENEWED),
    "surplus": (surplus, Reason.REVOKED),
    "theft": (theft, Reason.REVOKED),
}


@pytest.mark.parametrize("by", ["a", "b"])
@pytest.mark.parametrize("end", ENDS)
async def test_a_token_dies_with_what_it_was_made_from(a, b, everybody, end, by):
    """However its session ends or changes, and whoever does it: refused by all, known to them before or not."""
    step, reason = ENDS[end]
    started = await a.sign_in("maria", claims={"roles": ["admin"]})
    known, fresh = (a.access_token(started.session, audience="orders") for _ in range(2))
    assert said(everybody, known) == all_say(everybody, None)
    await step({"a": a, "b": b}[by], started)
    assert said(everybody, known) == all_say(everybody, reason)
    assert said(everybody, fresh) == all_say(everybody, reason)


@pytest.mark.parametrize("by", ["a", "b"])
@pytest.mark.parametrize("end", ENDS)
async def test_nothing_is_minted_from_an_old_object(a, b, end, by):
    """Hazard 13: whoever kept the session from before is given no token, on the engine that did it or the other."""
    step, _ = ENDS[end]
    started = await a.sign_in("maria", claims={"roles": ["admin"]})
    await b.check(started.token)
    for auth in (a, b):
        assert isinstance(auth.access_token(started.session, audience="orders"), str)
    await step({"a": a, "b": b}[by], started)
    for auth in (a, b):
        assert isinstance(auth.access_token(started.session, audience="orders"), Refused)
        assert isinstance(await auth.issue_refresh(started.session, client_id="cli", audience="orders"), Refused)
        await auth.check(started.token)
        assert isinstance(auth.access_token(started.session, audience="orders"), Refused)


@pytest.mark.parametrize("end", ["renew", "update_claims"])
async def test_what_was_changed_gets_tokens_again(a, b, everybody, end):
    """With the new version, on both engines; the old tokens stay refused."""
    started = await a.sign_in("maria", claims={"roles": ["admin"]})
    old = a.access_token(started.session, audience="orders")
    if end == "renew":
        token = (await b.renew(started.token, claims={"roles": ["member"]})).token
    else:
        await b.update_claims("maria", set={"roles": ["member"]})
        token = started.token
    for auth in (a, b):
        new = auth.access_token(await auth.check(token), audience="orders")
        assert said(everybody, new) == all_say(everybody, None)
        assert auth.verify(new, audience="orders").all["roles"] == ["member"]
    assert said(everybody, old) == all_say(everybody, Reason.RENEWED)


async def test_the_kept_session_keeps_its_token(a, b, everybody):
    """And other subjects' are not touched."""
    kept, other, bobs = await a.sign_in("maria"), await a.sign_in("maria"), await a.sign_in("bob")
    tokens = [a.access_token(one.session, audience="orders") for one in (kept, other, bobs)]
    await b.revoke_user("maria", keep=kept.session.sid)
    found = [said(everybody, token) for token in tokens]
    assert found == [all_say(everybody, None), all_say(everybody, Reason.REVOKED), all_say(everybody, None)]


async def test_what_is_no_end_leaves_tokens_alone(a, b, everybody):
    """Data, activity, another's attempt, and the sweep."""
    started = await a.sign_in("maria")
    token = a.access_token(started.session, audience="orders")
    await b.update_data(started.session.sid, set={"cart": 1})
    await b.check(started.token)
    await b.revoke(started.session.sid, of="eve")
    await b.flush()
    await b.sweep()
    assert said(everybody, token) == all_say(everybody, None)


async def test_a_token_ends_with_its_session_by_time(url, clock, a):
    """Idle and absolute: whoever verifies needs not to hear of it, since no token lives past either end."""
    for limits, waited in (({"idle_s": 100}, 100), ({"absolute_s": 200}, 200)):
        started = await a.sign_in("maria", **limits)
        token = a.access_token(started.session, audience="orders")
        clock.advance(waited - 1)
        assert isinstance(a.verify(token, audience="orders"), Claims)
        clock.advance(1)
        assert a.verify(token, audience="orders") == Refused(Reason.EXPIRED)
        assert isinstance(await a.check(started.token), Refused)


async def test_a_revoked_key_ends_its_tokens(a, b, everybody):
    """For all, at once."""
    started = await a.sign_in("maria")
    token = a.access_token(started.session, audience="orders")
    kid = a.verify(token, audience="orders").kid
    assert said(everybody, token) == all_say(everybody, None)
    await b.revoke_key(kid)
    assert said(everybody, token) == all_say(everybody, Reason.UNKNOWN_KEY)


async def test_who_opens_later_hears_of_what_was_revoked_before(a, url, clock, policy):
    """Every unforgotten change is loaded before the first answer: a fresh engine, a fresh verifier."""
    started = await a.sign_in("maria")
    token = a.access_token(started.session, audience="orders")
    await a.revoke(started.session.sid)
    async with (
        Coatcheck(url, issuer=ISSUER, policy=policy, clock=clock, secret=SECRET) as late,
        Verifier(ISSUER, audience="orders", feed=url, clock=clock) as verifier,
    ):
        assert late.verify(token, audience="orders") == Refused(Reason.REVOKED)
        assert verifier.verify(token) == Refused(Reason.REVOKED)


@pytest.mark.parametrize("first", [True, False])
async def test_a_log_of_many_changes_while_away(a, b, url, clock, on_store, first):
    """More than is read at once, with ours at its beginning or its end: nothing is skipped."""
    started = await a.sign_in("maria")
    token = a.access_token(started.session, audience="orders")
    assert isinstance(on_store.verify(token), Claims)
    if first:
        await b.revoke(started.session.sid)
    await asyncio.gather(*(b.revoke(f"nobody {n}") for n in range(6000)))
    if not first:
        await b.revoke(started.session.sid)
    async with Verifier(ISSUER, audience="orders", feed=url, clock=clock) as late:
        for verify in (on_store.verify, late.verify, lambda jwt: a.verify(jwt, audience="orders")):
            assert verify(token) == Refused(Reason.REVOKED)


async def test_a_log_trimmed_past_what_was_applied(a, b, clock, on_store):
    """Who cannot know what was missed drops all sessions and loads every unforgotten change again."""
    clock.advance(3 * HOUR)  # so that the first line, of the key, is over too
    started, other = await a.sign_in("maria"), await a.sign_in("bob")
    tokens = [a.access_token(one.session, audience="orders") for one in (started, other)]
    assert isinstance(on_store.verify(tokens[0]), Claims)
    brief = make_stamp(clock.now(), keep_s=-10_000)
    for n in range(5):
        await b._store.end(f"nobody {n}", of=None, kind=Kind.REVOKED, note="", stamp=brief)
    await b._store.end(other.session.sid, of=None, kind=Kind.REVOKED, note="", stamp=brief)
    await b.revoke(started.session.sid)
    await b._store.sweep(now=clock.now(), limit=500)
    tail = await b._store.tail(0)
    assert tail.trimmed == 7 > a._memory._watch.place().position
    assert on_store.verify(tokens[0]) == Refused(Reason.REVOKED)
    assert a.verify(tokens[0], audience="orders") == Refused(Reason.REVOKED)
    assert a.check_now(other.token) is None, "what was trimmed may have named it"
    assert isinstance(a.access_token(other.session, audience="orders"), Refused)


async def test_revocations_are_forgotten_only_when_no_token_can_live(url, clock):
    """With the longest tokens there are, whatever upkeep and sweeps run: refused to the end; and then forgotten."""
    policy = Policy(access_s=HOUR)
    async with (
        Coatcheck(url, issuer=ISSUER, policy=policy, clock=clock, secret=SECRET) as a,
        Coatcheck(url, issuer=ISSUER, policy=policy, clock=clock, secret=SECRET) as b,
        Verifier(ISSUER, audience="orders", feed=url, clock=clock) as on_store,
    ):
        started = await a.sign_in("maria")
        token = a.access_token(started.session, audience="orders")
        await b.revoke(started.session.sid)
        for _ in range(12):
            clock.advance(HOUR // 12)
            for engine in (a, b):
                await engine._tokens.upkeep()
                await engine.sweep()
            async with Verifier(ISSUER, audience="orders", feed=url, clock=clock) as late:
                for verify in (on_store.verify, late.verify, lambda jwt: a.verify(jwt, audience="orders")):
                    found = verify(token)
                    assert isinstance(found, Refused) and found.reason in (Reason.REVOKED, Reason.EXPIRED)
        assert len(a._tokens.verifying.revoked) == 1
        clock.advance(2 * HOUR)
        await a._tokens.upkeep()
        assert len(a._tokens.verifying.revoked) == 0


async def test_what_was_revoked_twice_is_kept_for_the_later_line(url, clock, policy):
    """A claims change early, the end later: forgetting the first line does not forget the second."""
    async with Coatcheck(url, issuer=ISSUER, policy=policy, clock=clock, secret=SECRET) as a:
        started = await a.sign_in("maria")
        await a.update_claims("maria", set={"roles": []})
        clock.advance(2 * HOUR - 60)
        token = a.access_token(await a.check(started.token), audience="orders")
        await a.revoke(started.session.sid)
        clock.advance(61)
        await a._tokens.upkeep()
        await a.sweep()
        assert a.verify(token, audience="orders") == Refused(Reason.REVOKED)


@pytest.mark.parametrize("hours", [1, 3, 24])
async def test_a_process_whose_clock_is_ahead_forgets_nothing_for_the_others(url, clock, policy, hours):
    """Hazard 5: it was started before the machine's clock was set right. What it sweeps, others still need."""
    ahead_clock = ManualClock(clock.now() + hours * HOUR)
    async with (
        Coatcheck(url, issuer=ISSUER, policy=policy, clock=clock, secret=SECRET) as a,
        Coatcheck(url, issuer=ISSUER, policy=policy, clock=ahead_clock, secret=SECRET) as ahead,
    ):
        started = await a.sign_in("maria")
        token = a.access_token(started.session, audience="orders")
        await a.revoke(started.session.sid)
        await ahead.sweep()
        async with Verifier(ISSUER, audience="orders", feed=url, clock=clock) as late:
            assert late.verify(token) == Refused(Reason.REVOKED)


@pytest.mark.parametrize("hours", [1, 3, 24])
async def test_a_process_whose_clock_is_ahead_forgets_nothing_for_itself(url, clock, policy, hours):
    """Hazard 5: its own tokens live by its own clock, and another's revocation of one is kept for as long as that."""
    ahead_clock = ManualClock(clock.now() + hours * HOUR)
    async with (
        Coatcheck(url, issuer=ISSUER, policy=policy, clock=clock, secret=SECRET) as a,
        Coatcheck(url, issuer=ISSUER, policy=policy, clock=ahead_clock, secret=SECRET) as ahead,
    ):
        started = await ahead.sign_in("maria")
        token = ahead.access_token(started.session, audience="orders")
        await a.revoke(started.session.sid)
        assert ahead.verify(token, audience="orders") == Refused(Reason.REVOKED)
        await ahead._tokens.upkeep()
        assert ahead.verify(token, audience="orders") == Refused(Reason.REVOKED)


async def test_a_writer_killed_before_its_pulse_is_noticed(a, b, on_store, clock, monkeypatch):
    """The commit is there and the pulse never came: at the backstop everybody knows, and the key set too."""
    started = await a.sign_in("maria")
    token = a.access_token(started.session, audience="orders")
    kid = on_store.verify(token).kid
    monkeypatch.setattr(b._store._pulse, "beat", lambda: None)
    await b._store.end(started.session.sid, of=None, kind=Kind.REVOKED, note="", stamp=b._stamp())
    clock.outrun_backstop()
    assert on_store.verify(token) == a.verify(token, audience="orders") == Refused(Reason.REVOKED)
    await b._store.drop_key(kid, stamp=b._stamp())
    clock.outrun_backstop()
    assert on_store.verify(token) == a.verify(token, audience="orders") == Refused(Reason.UNKNOWN_KEY)


async def test_who_cannot_be_sure_says_so(a, on_store, on_engine, clock, tmp_path):
    """The file is gone: nothing is accepted, nothing minted, from the backstop on."""
    started = await a.sign_in("maria")
    token = a.access_token(started.session, audience="orders")
    assert isinstance(on_store.verify(token), Claims)
    database = tmp_path / "coatcheck.db"
    database.rename(tmp_path / "elsewhere.db")
    clock.outrun_backstop()
    for found in (on_store.verify(token), on_engine.verify(token), a.access_token(started.session, audience="orders")):
        assert found == Refused(Reason.UNSURE)
    (tmp_path / "elsewhere.db").rename(database)


async def test_a_log_that_cannot_be_read_half_way_is_begun_anew(a, b, on_store, monkeypatch):
    """A part of the log was applied, the next could not be read: unsure, then all of it."""
    started = await a.sign_in("maria")
    token = a.access_token(started.session, audience="orders")
    assert isinstance(on_store.verify(token), Claims)
    await b.revoke_everyone()
    again = await a.sign_in("maria")
    fresh = a.access_token(await a.check(again.token), audience="orders")
    await b.revoke(again.session.sid)
    store = on_store._store
    with monkeypatch.context() as patched:
        patched.setattr(store, "keys_now", lambda: None)
        assert on_store.verify(fresh) == Refused(Reason.UNSURE)
    calls, tail_now = [], store.tail_now
    with monkeypatch.context() as patched:
        patched.setattr(store, "tail_now", lambda after: None if calls else calls.append(after) or tail_now(after))
        assert on_store.verify(fresh) == Refused(Reason.UNSURE)
    assert on_store.verify(fresh) == Refused(Reason.REVOKED)
    assert on_store.verify(token) == Refused(Reason.UNKNOWN_KEY)


async def test_a_check_on_another_thread_forgets_nothing_in_between(a, on_store, monkeypatch):
    """One thread has found memory sure; another loads the log anew; the first then looks: revoked is still revoked."""
    started = await a.sign_in("maria")
    token = a.access_token(started.session, audience="orders")
    assert isinstance(on_store.verify(token), Claims)
    await a.revoke(started.session.sid)
    assert on_store.verify(token) == Refused(Reason.REVOKED)
    watch, store = on_store_watch(on_store), on_store._store
    half_way, cleared, done = (threading.Event() for _ in range(3))
    judge, tail_now, found = access_token.judge, store.tail_now, []

    def slow_judge(*args, **kwargs):
        half_way.set()
        cleared.wait(1)
        return judge(*args, **kwargs)

    def check():
        found.append(on_store.verify(token))
        done.set()

    def slow_tail(after):
        if after == 0:  # the load anew has begun
            cleared.set()
            done.wait(1)
        return tail_now(after)

    monkeypatch.setattr(access_token, "judge", slow_judge)
    thread = threading.Thread(target=check)
    thread.start()
    half_way.wait(1)
    monkeypatch.setattr(store, "tail_now", slow_tail)
    watch._epoch = -1  # as after a trimmed log
    watch.seen = None
    watch.is_sure(watch._clock.elapsed())
    thread.join()
    assert found == [Refused(Reason.REVOKED)]


def on_store_watch(verifier):
    """The watch of a verifier on a store."""
    (verifying,) = [
        cell.cell_contents for cell in verifier._check.__closure__ if isinstance(cell.cell_contents, Verifying)
    ]
    return verifying.watch


# --- the verifier's own ways ---


@pytest.mark.parametrize(
    "feed", [None, 5, b"sqlite:///x", ["none-accept-until-expiry"], "", " ", "ftp://x", "none", "memory://", object]
)
def test_a_wrong_feed_is_refused_by_name(feed):
    """Before anything is opened; in an empty store of its own memory nobody would ever be heard."""
    with pytest.raises(ConfigError) as caught:
        Verifier(ISSUER, audience="orders", feed=feed)
    assert caught.value.setting == "feed"


@pytest.mark.parametrize("feed", ["https://auth.example.com", "http://127.0.0.1:8000"])
def test_an_issuers_feed_is_not_there_yet(feed):
    """And the error says what there is."""
    with pytest.raises(ConfigError, match=r"feed.*engine.*store URL"):
        Verifier(ISSUER, audience="orders", feed=feed)


def test_a_feed_is_asked_for():
    """There is no default."""
    with pytest.raises(TypeError, match="feed"):
        Verifier(ISSUER, audience="orders")


async def test_the_engine_of_another_issuer_is_refused(clock):
    """Its tokens would all be refused, its keys are not this issuer's."""
    for issuer in (None, "https://other.example.com", ISSUER + "/"):
        with pytest.raises(ConfigError, match="feed"):
            Verifier(ISSUER, audience="orders", feed=Coatcheck("memory://", issuer=issuer, clock=clock))


@pytest.mark.parametrize(
    "issuer", ["http://auth.example.com", "auth.example.com", "", "ftp://x", ISSUER + "?a=1", ISSUER + "#a", None, 5]
)
def test_a_wrong_issuer_is_refused_by_name(issuer):
    """Keys come over https only, but on this machine."""
    with pytest.raises(ConfigError, match="issuer"):
        Verifier(issuer, audience="orders", feed=NONE)


@pytest.mark.parametrize("audience", ["", ["orders", "billing"], None, 5])
def test_a_verifier_is_one_audience(audience):
    """Which one is not guessed."""
    with pytest.raises(ValueError, match="audience"):
        Verifier(ISSUER, audience=audience, feed=NONE)


async def test_a_verifier_that_is_not_open_answers_nothing(url, a, clock):
    """Neither before nor after; and it opens once."""
    token = a.access_token((await a.sign_in("maria")).session, audience="orders")
    for feed in (url, a):
        verifier = Verifier(ISSUER, audience="orders", feed=feed, clock=clock)
        with pytest.raises(NotOpen):
            verifier.verify(token)
        async with verifier:
            assert isinstance(verifier.verify(token), Claims)
            with pytest.raises(ConfigError, match="open"):
                await verifier.open()
        with pytest.raises(NotOpen):
            verifier.verify(token)
        await verifier.close()


async def test_a_verifier_is_of_its_audience(a, url, clock):
    """A token for somebody else is refused, however genuine."""
    session = (await a.sign_in("maria")).session
    token = a.access_token(session, audience=("orders", "x"))
    for audience, accepted in (("orders", True), ("x", True), ("billing", False)):
        for feed in (url, a):
            async with Verifier(ISSUER, audience=audience, feed=feed, clock=clock) as verifier:
                assert isinstance(verifier.verify(token), Claims) == accepted


# --- keys over HTTP ---


class Issuer:
    """A loopback HTTP server that answers as it is told, and counts."""

    def __init__(self):
        self.asked = []
        self.status, self.body, self.headers = 200, b"{}", {}
        self.drip = self.drip_head = None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                if outer.drip_head is not None:
                    with contextlib.suppress(OSError):
                        outer.drip_head(self.wfile)
                    return
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    if outer.drip is not None:
                        outer.drip(self.wfile)
                    self.wfile.write(outer.body)

            def log_message(self, *args):
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def serve(self, auth, *extra):
        """Serve the key set of *auth*, and more keys."""
        self.body = json.dumps({"keys": [*extra, *auth.jwks()["keys"]]}).encode()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def issuer():
    server = Issuer()
    yield server
    server.close()


@pytest.fixture
async def auth(issuer, clock):
    async with Coatcheck("memory://", issuer=issuer.url, clock=clock) as engine:
        issuer.serve(engine)
        yield engine


async def token_of(auth, **kwargs):
    """A token for a new session."""
    return auth.access_token((await auth.sign_in("maria")).session, audience="orders", **kwargs)


class Gate:
    """Stands in the place of asyncio in the fetching module: its pauses end when told to."""

    def __init__(self, monkeypatch):
        self.pauses = []
        self._go = asyncio.Event()
        self.paused = asyncio.Event()
        monkeypatch.setattr(fetching, "asyncio", self)

    def __getattr__(self, name):
        return getattr(asyncio, name)

    async def sleep(self, seconds):
        self.pauses.append(seconds)
        self.paused.set()
        await self._go.wait()
        self._go.clear()

    async def pass_pause(self):
        """Let the pause under way end, and come to the next one."""
        await self.paused.wait()
        self.paused.clear()
        self._go.set()
        async with asyncio.timeout(3):
            await self.paused.wait()


def verifier_of(issuer, clock):
    """One that hears of keys only."""
    return Verifier(issuer.url, audience="orders", feed=NONE, clock=clock)


async def test_keys_come_from_the_issuer(issuer, auth, clock):
    """One request, to its well-known place; and what is known is verified without another."""
    session = (await auth.sign_in("maria")).session
    token = auth.access_token(session, audience="orders")
    async with verifier_of(issuer, clock) as verifier:
        assert isinstance(verifier.verify(token), Claims)
        assert verifier.verify(token[:-8] + "AAAAAAAA") == Refused(Reason.BAD_SIGNATURE)
        assert verifier.verify(auth.access_token(session, audience="x")) == Refused(Reason.WRONG_AUDIENCE)
        await auth.revoke(session.sid)
        assert isinstance(verifier.verify(token), Claims), "as its feed says: until it expires"
        clock.advance(900)
        assert verifier.verify(token) == Refused(Reason.EXPIRED)
    assert issuer.asked == ["/.well-known/jwks.json"]


async def test_a_proxy_from_the_environment_is_not_asked(issuer, auth, clock, monkeypatch):
    """Whoever sets a variable does not choose our keys."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with verifier_of(issuer, clock) as verifier:
        assert isinstance(verifier.verify(await token_of(auth)), Claims)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(issuer, auth, clock, status):
    """Not even to the same place."""
    issuer.status, issuer.headers = status, {"Location": f"{issuer.url}/.well-known/jwks.json"}
    with pytest.raises(StoreUnavailable):
        await verifier_of(issuer, clock).open()
    assert len(issuer.asked) == 1


@pytest.mark.parametrize("status", [204, 400, 401, 404, 407, 500, 503])
async def test_an_error_is_no_key_set(issuer, auth, clock, status):
    """Whatever body comes with it."""
    issuer.status = status
    if status == 204:
        issuer.body = b""
    with pytest.raises(StoreUnavailable):
        await verifier_of(issuer, clock).open()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b"[]",
        b"5",
        b'"keys"',
        b'{"keys":null}',
        b'{"keys":5}',
        b'{"keys":{"a":1}}',
        b'{"keys":"abc"}',
        b"\xff\xfe",
        b"<html>",
        b'{"keys":[',
        b"[" * 60_000,
        b'{"keys":[' * 6_000,
    ],
    ids=lambda body: repr(body[:12]),
)
async def test_what_is_no_key_set_is_refused(issuer, auth, clock, body):
    """As a store that does not answer, and not as a crash."""
    issuer.body = body
    with pytest.raises(StoreUnavailable):
        await verifier_of(issuer, clock).open()


async def test_a_key_set_has_a_size(issuer, auth, clock):
    """64 KiB are read, a byte more is refused; with or without a length in front."""
    issuer.body += b" " * (fetching.LONGEST - len(issuer.body))
    async with verifier_of(issuer, clock) as verifier:
        assert isinstance(verifier.verify(await token_of(auth)), Claims)
    issuer.body += b" "
    with pytest.raises(StoreUnavailable, match="65536"):
        await verifier_of(issuer, clock).open()


async def test_an_issuer_that_says_nothing_is_not_waited_for(issuer, auth, clock, monkeypatch):
    """Time is bounded."""
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.1)
    go = threading.Event()
    issuer.drip = lambda out: go.wait(5)
    try:
        with pytest.raises(StoreUnavailable):
            await verifier_of(issuer, clock).open()
    finally:
        go.set()


@pytest.mark.parametrize("part", ["head", "body", "body after the keys"])
async def test_an_issuer_that_says_little_at_a_time_is_not_waited_for(issuer, auth, clock, monkeypatch, part):
    """The time of the whole answer is bounded, not that of each byte, whatever was said of it so far."""
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.2)
    enough = threading.Event()

    def drip(out, text=b" "):
        for _ in range(60):
            if enough.wait(0.05):
                return
            out.write(text)
            out.flush()

    if part == "head":
        issuer.drip_head = lambda out: (out.write(b"HTTP/1.0 200 OK\r\n"), drip(out, b"X-Y: z\r\n"))
    else:
        issuer.drip = lambda out: (out.write(issuer.body if part == "body after the keys" else b""), drip(out))
    try:
        async with asyncio.timeout(2):
            with pytest.raises(StoreUnavailable):
                await verifier_of(issuer, clock).open()
    finally:
        enough.set()


async def test_a_failed_fetch_keeps_the_keys(issuer, auth, clock):
    """Whatever the failure; and a set that is fetched afterwards counts."""
    jwks = Jwks(issuer.url, clock, size=10)
    await jwks.fetch()
    token = await token_of(auth)
    good = issuer.body
    for issuer.status, issuer.body in ((500, good), (200, b"{}"), (200, b" " * 70_000), (302, b"")):
        with pytest.raises(StoreUnavailable):
            await jwks.fetch()
        assert isinstance(jwks.verify(token, "orders"), Claims)
    issuer.status = 200
    await auth.rotate_keys()
    issuer.serve(auth)
    await jwks.fetch()
    assert isinstance(jwks.verify(token, "orders"), Claims)
    assert isinstance(jwks.verify(await token_of(auth), "orders"), Claims)


async def test_a_key_that_is_no_longer_served_counts_no_longer(issuer, auth, clock):
    """Also for tokens that were verified with it and are remembered."""
    jwks = Jwks(issuer.url, clock, size=10)
    await jwks.fetch()
    token = await token_of(auth)
    assert isinstance(jwks.verify(token, "orders"), Claims)
    await auth.revoke_key(jwks.verify(token, "orders").kid)
    issuer.serve(auth)
    await jwks.fetch()
    assert jwks.verify(token, "orders") == Refused(Reason.UNKNOWN_KEY)


async def test_a_flood_of_unknown_kids_is_one_fetch_in_ten_seconds(issuer, auth, clock, monkeypatch):
    """Whoever makes up how many; and the fetch that follows finds the new key."""
    gate = Gate(monkeypatch)
    async with verifier_of(issuer, clock) as verifier:
        head, rest = (await token_of(auth)).split(".", 1)
        header = json.loads(base64url.decode(head))

        def flood():
            for n in range(1000):
                made_up = base64url.encode(json.dumps({**header, "kid": f"made up {n}"}).encode())
                assert verifier.verify(f"{made_up}.{rest}") == Refused(Reason.UNKNOWN_KEY)

        await auth.rotate_keys()
        fresh = await token_of(auth)
        issuer.serve(auth)
        flood()
        assert verifier.verify(fresh) == Refused(Reason.UNKNOWN_KEY)
        assert len(issuer.asked) == 1
        for fetches in (2, 3):
            await gate.pass_pause()
            assert len(issuer.asked) == fetches
            assert isinstance(verifier.verify(fresh), Claims)
            flood()
        assert set(gate.pauses) == {10.0}


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b"[" * 60_000, b'{"keys":[5]}', b" " * 70_000])
async def test_fetching_goes_on_after_a_failure(issuer, auth, clock, monkeypatch, caplog, body):
    """Nothing that an issuer can answer ends it."""
    gate = Gate(monkeypatch)
    async with verifier_of(issuer, clock) as verifier:
        token = await token_of(auth)
        issuer.body = body
        await auth.rotate_keys()
        fresh = await token_of(auth)
        verifier.verify(fresh)
        with caplog.at_level(logging.CRITICAL, "coatcheck"):
            await gate.pass_pause()
        assert isinstance(verifier.verify(token), Claims)
        assert verifier.verify(fresh) == Refused(Reason.UNKNOWN_KEY)
        issuer.serve(auth)
        await gate.pass_pause()
        assert isinstance(verifier.verify(fresh), Claims)


async def test_another_key_under_the_same_name_is_another_key(issuer, auth, clock):
    """An issuer that calls its keys "default": what the old one signed is refused, remembered or not."""
    jwks = Jwks(issuer.url, clock, size=10)
    await jwks.fetch()
    token = await token_of(auth)
    assert isinstance(jwks.verify(token, "orders"), Claims)
    other = ECKey.generate_key("P-256", private=True)
    kid = jwks.verify(token, "orders").kid
    issuer.body = json.dumps({"keys": [{**other.as_dict(private=False), "kid": kid, "alg": "ES256"}]}).encode()
    await jwks.fetch()
    assert jwks.verify(token, "orders") == Refused(Reason.BAD_SIGNATURE)


async def test_what_a_key_verified_is_forgotten_with_it_however_late(issuer, auth, clock, monkeypatch):
    """A check on another thread has found the key; the key goes; then what was found is remembered."""
    jwks = Jwks(issuer.url, clock, size=10)
    await jwks.fetch()
    token = await token_of(auth)
    verify, found, fetched = access_token.verify, threading.Event(), threading.Event()

    def slow(*args, **kwargs):
        claims = verify(*args, **kwargs)
        found.set()
        fetched.wait(5)
        return claims

    monkeypatch.setattr(access_token, "verify", slow)
    check = asyncio.create_task(asyncio.to_thread(jwks.verify, token, "orders"))
    await asyncio.to_thread(found.wait, 5)
    await auth.rotate_keys()
    await auth.revoke_key(json.loads(base64url.decode(token.split(".")[0]))["kid"])
    issuer.serve(auth)
    await jwks.fetch()
    fetched.set()
    await check
    assert jwks.verify(token, "orders") == Refused(Reason.UNKNOWN_KEY)


@pytest.mark.parametrize("usable", [True, False])
async def test_two_keys_of_one_name_are_none(issuer, auth, clock, usable):
    """Which of them is meant nobody can tell, also when only one of them could be used."""
    (key,) = auth.jwks()["keys"]
    other = {
        **ECKey.generate_key("P-256").as_dict(private=False),
        "kid": key["kid"],
        "alg": "ES256" if usable else "RS256",
    }
    third = {**ECKey.generate_key("P-256").as_dict(private=False), "kid": "third", "alg": "ES256"}
    for extra in ((other, third), (third, other)):
        issuer.serve(auth, *extra)
        async with verifier_of(issuer, clock) as verifier:
            assert verifier.verify(await token_of(auth)) == Refused(Reason.UNKNOWN_KEY)


async def test_fetching_goes_on_after_a_fault_of_ours(issuer, auth, clock, monkeypatch, caplog):
    """A key that the issuer takes back afterwards counts no longer."""
    gate = Gate(monkeypatch)
    async with verifier_of(issuer, clock) as verifier:
        token = await token_of(auth)
        kid = verifier.verify(token).kid
        with monkeypatch.context() as patched, caplog.at_level(logging.CRITICAL, "coatcheck"):
            patched.setattr(Jwks, "_get", lambda *args: 1 / 0)
            verifier.verify(made_up_kid(token))
            await gate.pass_pause()
        assert isinstance(verifier.verify(token), Claims)
        await auth.revoke_key(kid)
        issuer.serve(auth)
        verifier.verify(made_up_kid(token))
        await gate.pass_pause()
        assert verifier.verify(token) == Refused(Reason.UNKNOWN_KEY)


def made_up_kid(token):
    """The same token under a name that no key has."""
    head, rest = token.split(".", 1)
    return f"{base64url.encode(json.dumps({**json.loads(base64url.decode(head)), 'kid': 'made up'}).encode())}.{rest}"


def odd_keys():
    """Keys that are of no use here."""
    p384 = ECKey.generate_key("P-384", private=True)
    yield "an RSA key", {**RSAKey.generate_key(2048).as_dict(private=False), "alg": "RS256"}
    yield "a symmetric key", {**OctKey.generate_key(256).as_dict(private=True), "alg": "HS256"}
    yield "a symmetric key said to be ES256", {**OctKey.generate_key(256).as_dict(private=True), "alg": "ES256"}
    yield "a curve of another algorithm", {**p384.as_dict(private=False), "alg": "ES256"}
    yield "X25519", {**OKPKey.generate_key("X25519").as_dict(private=False), "alg": "Ed25519"}
    yield "an Ed25519 key said to be ES256", {**OKPKey.generate_key("Ed25519").as_dict(private=False), "alg": "ES256"}
    good = ECKey.generate_key("P-256").as_dict(private=False)
    yield "no algorithm", good
    yield "another algorithm", {**good, "alg": "none"}
    yield "a key for encryption", {**good, "alg": "ES256", "use": "enc"}
    yield "a key to sign with", {**good, "alg": "ES256", "key_ops": ["sign"]}
    yield "a key for nothing", {**good, "alg": "ES256", "key_ops": []}
    yield "a text for operations", {**good, "alg": "ES256", "key_ops": "verify"}
    yield "a private key", {**ECKey.generate_key("P-256").as_dict(private=True), "alg": "ES256"}
    yield "no point", {name: value for name, value in good.items() if name not in "xy"} | {"alg": "ES256"}
    yield "a number for a point", {**good, "x": 5, "alg": "ES256"}
    yield "nothing for a point", {**good, "x": None, "alg": "ES256"}
    yield "a point not on the curve", {**good, "x": good["y"], "alg": "ES256"}
    yield "a curve of no name", {**good, "crv": 5, "alg": "ES256"}
    yield "a list for an algorithm", {**good, "alg": ["ES256"]}


@pytest.mark.parametrize("name", [name for name, _ in odd_keys()])
async def test_an_odd_key_in_the_set_is_left_out(issuer, auth, clock, name):
    """The others count; what names the odd one is refused, and nothing crashes."""
    odd = {**dict(odd_keys())[name], "kid": "odd"}
    issuer.serve(auth, odd)
    token = await token_of(auth)
    head, rest = token.split(".", 1)
    header = {**json.loads(base64url.decode(head)), "kid": "odd"}
    async with verifier_of(issuer, clock) as verifier:
        assert isinstance(verifier.verify(token), Claims)
        for alg in ("Ed25519", "ES256", "HS256", "none"):
            text = base64url.encode(json.dumps({**header, "alg": alg}).encode())
            for signature in ("A" * 86, "A" * 128, rest.split(".")[1]):
                found = verifier.verify(f"{text}.{rest.split('.')[0]}.{signature}")
                assert found == Refused(Reason.UNKNOWN_KEY)


async def test_es256_is_of_one_curve(issuer, auth, clock):
    """A P-384 key in the set that calls itself ES256 signs nothing that is accepted."""
    other = ECKey.generate_key("P-384", private=True)
    issuer.serve(auth, {**other.as_dict(private=False), "kid": "odd", "alg": "ES256"})
    head, body, _ = (await token_of(auth)).split(".")
    head = base64url.encode(json.dumps({**json.loads(base64url.decode(head)), "kid": "odd"}).encode())
    signature = auth._tokens.keyring.keys.signer(clock.now()).model.sign(f"{head}.{body}".encode(), other)
    async with verifier_of(issuer, clock) as verifier:
        found = verifier.verify(f"{head}.{body}.{base64url.encode(signature)}")
        assert isinstance(found, Refused)


@pytest.mark.parametrize("odd", [None, 5, "x", [], [{}]], ids=repr)
async def test_what_is_no_key_in_the_set_is_left_out(issuer, auth, clock, odd):
    """One that is written wrong does not take the others away."""
    issuer.serve(auth, odd)
    async with verifier_of(issuer, clock) as verifier:
        assert isinstance(verifier.verify(await token_of(auth)), Claims)


# --- nothing shows a token ---


async def test_nothing_prints_a_token(a, caplog, capfd):
    """Not the pair, not the claims, not the errors, not the log, whatever becomes of a token."""
    caplog.set_level(logging.DEBUG)
    started = await a.sign_in("maria")
    pairs = [await a.issue_refresh(started.session, client_id="cli", audience="orders")]
    pairs.append(await a.refresh(pairs[0].refresh_token, client_id="cli", audience="orders"))
    pairs.append(await a.refresh(pairs[1].refresh_token, client_id="cli", audience="orders"))
    shown = [f"{pair!r} {pair!s} {pair}" for pair in pairs]
    shown += [repr(a.verify(pair.access_token, audience=audience)) for pair in pairs for audience in ("orders", "x")]
    await a.refresh(pairs[2].refresh_token, client_id="other", audience="orders")
    await a.refresh(pairs[2].refresh_token, client_id="cli", audience="x")
    await a.refresh(pairs[0].refresh_token, client_id="cli", audience="orders")
    shown += [repr(a.verify(pair.access_token, audience="orders")) for pair in pairs]
    for wrong in ("", ["orders", "orders"]):
        with pytest.raises(ValueError, match="audience") as caught:
            await a.refresh(pairs[0].refresh_token, client_id="cli", audience=wrong)
        shown.append(str(caught.value))
    with pytest.raises(TypeError):
        pickle.dumps(pairs[0].refresh_token)
    shown += [repr(a), repr(a._tokens.keyring), *(str(vars(record)) for record in caplog.records)]
    shown += [caplog.text, *capfd.readouterr()]
    everything = "\n".join(shown)
    assert "refresh token reused" in everything, "the log was looked at"
    for pair in pairs:
        refresh = pair.refresh_token.reveal()
        for part in (refresh, refresh[5:], *pair.access_token.split(".")[1:]):
            assert part not in everything
    assert started.token.reveal() not in everything


async def test_nothing_of_a_key_prints(a):
    """The private half of a key in memory does not show itself."""
    await a.rotate_keys()
    a.jwks()
    for key in a._tokens.keyring._known.values():
        private = key.private.as_dict(private=True)["d"]
        assert base64.urlsafe_b64decode(private + "=")
        for text in (repr(key), str(key), repr(key.private), repr(a._tokens.keyring.keys)):
            assert private not in text
