"""An access token after its session has ended or changed: refused by everybody, at once; and what a verifier hears."""

import asyncio
import base64
import logging
import pickle
import secrets
import threading

import pytest

from coatcheck import Claims, Coatcheck, ConfigError, NotOpen, Policy, Reason, Refused, Verifier
from coatcheck.clock import HOUR
from coatcheck.fleet.minting import Verifying
from coatcheck.fleet.watch import BACKSTOP_S
from coatcheck.records import Kind
from coatcheck.testing import ManualClock
from coatcheck.testing.store_contract import make_stamp
from coatcheck.tokens import access_token

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
