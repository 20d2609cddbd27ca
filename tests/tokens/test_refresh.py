"""Refresh tokens: the table of the design, section 6, as a function and then through engines on both stores."""

import asyncio
import contextlib
import itertools
import logging
import secrets

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from coatcheck import Claims, Coatcheck, Policy, Reason, Refused, Secret, StoreUnavailable
from coatcheck.clock import DAY
from coatcheck.decide.refresh import Verdict, judge
from coatcheck.testing import ManualClock
from coatcheck.testing.store_contract import make_family
from coatcheck.tokens import base64url, refresh_token

ISSUER = "https://auth.example.com"
GRACE_S = Policy().refresh_grace_s
SECRET, OLD_SECRET = (secrets.token_urlsafe(32) for _ in range(2))


# --- the table ---


def expected(difference, age, *, is_genuine, is_client):
    """The table of the design, row by row."""
    rows = [
        (not is_genuine, Verdict.NOT_GENUINE),
        (is_genuine and not is_client, Verdict.WRONG_CLIENT),
        (is_genuine and is_client and difference == 0, Verdict.ROTATE),
        (is_genuine and is_client and difference == -1 and age <= GRACE_S, Verdict.AGAIN),
        (is_genuine and is_client and difference == -1 and age > GRACE_S, Verdict.THEFT),
        (is_genuine and is_client and difference < -1, Verdict.THEFT),
        (is_genuine and is_client and difference > 0, Verdict.ROLLED_BACK),
    ]
    matching = [verdict for applies, verdict in rows if applies]
    assert len(matching) == 1, "every combination has exactly one row"
    return matching[0]


def verdict_of(difference, age, *, is_genuine, is_client, generation=1000, at=10_000):
    """What :func:`judge` says."""
    family = replace(make_family("f", "a"), generation=generation, rotated_at=at)
    return judge(
        family,
        generation + difference,
        is_genuine=is_genuine,
        client_id="cli" if is_client else "other",
        now=at + age,
        grace_s=GRACE_S,
    )


def test_every_combination_has_the_verdict_of_the_table():
    """Differences of generation, ages around the grace, genuine or not, the client or another."""
    ages = [0, 1, GRACE_S - 1, GRACE_S, GRACE_S + 1, GRACE_S * 100]
    for difference, age, is_genuine, is_client in itertools.product(
        [-999, -3, -2, -1, 0, 1, 2, 999], ages, [True, False], [True, False]
    ):
        told = verdict_of(difference, age, is_genuine=is_genuine, is_client=is_client)
        assert told is expected(difference, age, is_genuine=is_genuine, is_client=is_client)


@given(st.integers(-999, 2**32), st.integers(0, 10**6), st.booleans(), st.booleans())
@settings(max_examples=500)
def test_any_combination_has_the_verdict_of_the_table(difference, age, is_genuine, is_client):
    """Not only the ones somebody thought of."""
    told = verdict_of(difference, age, is_genuine=is_genuine, is_client=is_client)
    assert told is expected(difference, age, is_genuine=is_genuine, is_client=is_client)


def test_what_is_not_genuine_never_ends_anything():
    """Whatever else is true of it."""
    for difference, age, is_client in itertools.product(range(-5, 6), range(-50, 50), [True, False]):
        assert verdict_of(difference, age, is_genuine=False, is_client=is_client) is Verdict.NOT_GENUINE


def test_a_clock_that_is_a_little_behind_makes_no_thief():
    """The process that rotated may be a second ahead of the one that is asked next: two tabs are still two tabs."""
    for age in (-1, -2, -GRACE_S):
        assert verdict_of(-1, age, is_genuine=True, is_client=True) is Verdict.AGAIN


def test_a_clock_that_is_far_behind_gives_no_more_grace():
    """Set back by an hour, it would give the predecessor an hour and more."""
    assert verdict_of(-1, -3600, is_genuine=True, is_client=True) is Verdict.THEFT


# --- the text ---


def test_the_format_is_frozen():
    """75 characters: prefix, family, generation, HMAC."""
    made = refresh_token.make(b"k" * 32, b"f" * 16, 1, b"n" * 32)
    assert made == Secret("ccr1_ZmZmZmZmZmZmZmZmZmZmZgAAAAEMoU62AL81OjmRutLr5mqgoHJ02oFUl05UjKc1L0an5Q")
    parsed = refresh_token.parse(made.reveal())
    assert (parsed.family, parsed.generation) == (b"f" * 16, 1)
    assert refresh_token.is_genuine(b"k" * 32, parsed, b"n" * 32)
    assert not refresh_token.is_genuine(b"x" * 32, parsed, b"n" * 32)
    assert not refresh_token.is_genuine(b"k" * 32, parsed, b"x" * 32)


def test_what_is_not_of_that_form_is_nothing():
    """Another length, another letter, spare bits, another type."""
    text = refresh_token.make(b"k" * 32, b"f" * 16, 1, b"n" * 32).reveal()
    wrong = ["", text[:-1], text + "A", text + "\n", " " + text, text.upper(), text[5:], "ccr2_" + text[5:], None, 5]
    wrong += [text.encode(), text[:-1] + "+", text[:-1] + "é", text.replace("_", "-", 1)]
    spare = text[:-1] + chr(ord(text[-1]) + 1)
    assert base64url.decode(spare[5:]) is None
    assert [refresh_token.parse(one) for one in [*wrong, spare]] == [None] * (len(wrong) + 1)


@pytest.mark.parametrize("generation", [0, -1, 2**32])
def test_a_generation_has_four_bytes(generation):
    """There is no token before the first, nor after the last."""
    with pytest.raises(ValueError, match="four bytes"):
        refresh_token.make(b"k" * 32, b"f" * 16, generation, b"n" * 32)


# --- the engine, on each store ---


@pytest.fixture
def policy():
    return Policy()


@pytest.fixture
async def auth(url, clock, policy):
    async with Coatcheck(url, issuer=ISSUER, policy=policy, clock=clock, secret=SECRET) as engine:
        yield engine


@pytest.fixture
async def started(auth):
    return await auth.sign_in("maria", claims={"roles": ["admin"]})


@pytest.fixture
async def pair(auth, started):
    return await auth.issue_refresh(started.session, client_id="cli", audience=("orders", "billing"))


async def use(auth, pair, *, client_id="cli", audience="orders"):
    """Present the refresh token of *pair*."""
    token = pair.refresh_token if hasattr(pair, "refresh_token") else pair
    return await auth.refresh(token, client_id=client_id, audience=audience)


async def lives(auth, started):
    """Whether the session is still there."""
    return not isinstance(await auth.check(started.token), Refused)


async def test_the_current_token_gets_a_successor(auth, pair, clock):
    """And a fresh access token for the same session, with what the session says now."""
    clock.advance(100)
    await auth.update_claims("maria", set={"roles": ["member"]})
    after = await use(auth, pair)
    assert after.refresh_token != pair.refresh_token
    claims = auth.verify(after.access_token, audience="orders")
    assert (claims.sub, claims.client_id, claims.all["roles"], claims.version) == ("maria", "cli", ["member"], 2)
    assert after.expires_in == claims.expires_at - clock.now() == 900


async def test_a_token_is_taken_as_text_and_as_a_secret(auth, pair):
    """Either way it is the same token."""
    one = await use(auth, pair.refresh_token.reveal())
    assert (await use(auth, pair.refresh_token)).refresh_token == one.refresh_token


async def test_the_predecessor_gets_the_same_successor_within_the_grace(auth, pair, started, clock):
    """To the last second of it; nothing changes, and the successor stays usable."""
    first = await use(auth, pair)
    for wait in (0, GRACE_S):
        clock.advance(wait)
        again = await use(auth, pair)
        assert again.refresh_token == first.refresh_token
        assert isinstance(auth.verify(again.access_token, audience="orders"), Claims)
    assert not isinstance(await use(auth, first), Refused)
    assert await lives(auth, started)


async def test_the_predecessor_past_the_grace_is_theft(auth, pair, started, clock, caplog):
    """The whole session ends: its token, its access tokens, and every family it has."""
    other = await auth.issue_refresh(started.session, client_id="app", audience="orders")
    first = await use(auth, pair)
    clock.advance(GRACE_S + 1)
    with caplog.at_level(logging.WARNING, "coatcheck"):
        assert await use(auth, pair) == Refused(Reason.REUSED)
    assert [record.sid for record in caplog.records if hasattr(record, "sid")] == [started.session.sid]
    assert not await lives(auth, started)
    for token in (pair.access_token, first.access_token, other.access_token):
        assert auth.verify(token, audience="orders") == Refused(Reason.REVOKED)
    for token, client in ((first, "cli"), (pair, "cli"), (other, "app")):
        assert isinstance(await use(auth, token, client_id=client), Refused)


async def test_an_older_token_is_theft_at_once(auth, pair, started):
    """Two generations back, without any time passing."""
    await use(auth, await use(auth, pair))
    assert await use(auth, pair) == Refused(Reason.REUSED)
    assert not await lives(auth, started)


async def test_a_token_newer_than_the_row_means_a_lost_write(auth, pair, started, caplog):
    """The session ends, and the operator hears of it."""
    family = await auth._store.family(refresh_token.parse(pair.refresh_token.reveal()).family)
    newer = refresh_token.make(next(iter(auth._tokens.refreshing._keys.values())), family.id, 3, family.nonce)
    with caplog.at_level(logging.ERROR, "coatcheck"):
        found = await use(auth, newer)
    assert isinstance(found, Refused) and found.reason is Reason.REVOKED
    assert "store_rolled_back" in {getattr(record, "code", None) for record in caplog.records}
    assert not await lives(auth, started)


async def test_another_client_is_refused_and_ends_nothing(auth, pair, started, clock):
    """Whatever it presents: the current token, the one before, an old one."""
    assert await use(auth, pair, client_id="other") == Refused(Reason.WRONG_CLIENT)
    first = await use(auth, pair)
    second = await use(auth, first)
    clock.advance(GRACE_S + 1)
    for token in (pair, first, second):
        assert await use(auth, token, client_id="other") == Refused(Reason.WRONG_CLIENT)
    assert await lives(auth, started)
    assert not isinstance(await use(auth, second), Refused)


async def test_another_client_is_audited(auth, pair, started, caplog):
    """Somebody has a token that is not theirs: the operator hears of it (design, section 6)."""
    with caplog.at_level(logging.INFO, "coatcheck"):
        await use(auth, pair, client_id="other")
    assert [record.sid for record in caplog.records if hasattr(record, "sid")] == [started.session.sid]


async def test_guessers_sign_nobody_out(auth, pair, started):
    """Who knows a family and guesses the rest is refused, for every generation, and nothing happens."""
    parsed = refresh_token.parse(pair.refresh_token.reveal())
    for generation in (0, 1, 2, 3, 2**32 - 1):
        body = parsed.family + generation.to_bytes(4, "big")
        for mac in (bytes(32), secrets.token_bytes(32), parsed.mac if generation != 1 else bytes(32)):
            assert await use(auth, "ccr1_" + base64url.encode(body + mac)) == Refused(Reason.NOT_GENUINE)
    raw = int.from_bytes(base64url.decode(pair.refresh_token.reveal()[5:]))
    for bit in range(0, 32 * 8, 5):
        turned = "ccr1_" + base64url.encode((raw ^ 1 << bit).to_bytes(52))
        assert await use(auth, turned) == Refused(Reason.NOT_GENUINE)
    assert await lives(auth, started)
    assert not isinstance(await use(auth, pair), Refused)


async def test_revoking_takes_a_genuine_token_of_the_same_client(auth, pair, started):
    """A guess, another client's and none at all end nothing; a spent one ends the session like the current one."""
    parsed = refresh_token.parse(pair.refresh_token.reveal())
    body = parsed.family + parsed.generation.to_bytes(4, "big")
    guess = "ccr1_" + base64url.encode(body + bytes(32))
    assert await auth.revoke_refresh(guess, client_id="cli") == Refused(Reason.NOT_GENUINE)
    assert await auth.revoke_refresh(pair.refresh_token, client_id="other") == Refused(Reason.WRONG_CLIENT)
    assert await auth.revoke_refresh(pair.access_token, client_id="cli") == Refused(Reason.MALFORMED)
    unknown = "ccr1_" + base64url.encode(bytes(20) + bytes(32))
    assert await auth.revoke_refresh(unknown, client_id="cli") == Refused(Reason.UNKNOWN)
    assert await lives(auth, started)
    await use(auth, pair)
    assert not isinstance(await auth.revoke_refresh(pair.refresh_token, client_id="cli"), Refused)
    assert not await lives(auth, started)


async def test_an_unknown_family_and_other_texts_are_refused(auth, pair, started):
    """A family that never was; a session token, an access token, nothing."""
    body = secrets.token_bytes(16) + (1).to_bytes(4, "big")
    assert await use(auth, "ccr1_" + base64url.encode(body + bytes(32))) == Refused(Reason.UNKNOWN)
    for text in ("", "ccr1_", started.token, pair.access_token, None, 5):
        assert await use(auth, text) == Refused(Reason.MALFORMED)


async def test_an_audience_is_narrowed_and_never_widened(auth, pair, started):
    """Asking for more is refused and leaves the token usable; less is given, and more of it again later."""
    for wider in ("others", ("orders", "others"), ("orders", "billing", "x")):
        assert await use(auth, pair, audience=wider) == Refused(Reason.WRONG_AUDIENCE)
    narrow = await use(auth, pair, audience="billing")
    assert auth.verify(narrow.access_token, audience="billing").audience == ("billing",)
    assert auth.verify(narrow.access_token, audience="orders") == Refused(Reason.WRONG_AUDIENCE)
    whole = await use(auth, narrow, audience=("orders", "billing"))
    assert auth.verify(whole.access_token, audience="orders").audience == ("orders", "billing")
    assert await lives(auth, started)


async def test_a_refused_audience_does_not_rotate(auth, pair):
    """The same token works afterwards, and gets the second generation."""
    await use(auth, pair, audience="others")
    after = await use(auth, pair)
    assert refresh_token.parse(after.refresh_token.reveal()).generation == 2


@pytest.mark.parametrize("idle_s", [1, 2, 60, 900, 1799, 3600])
async def test_who_refreshes_when_the_token_has_ended_is_not_idle(auth, clock, idle_s):
    """However short the idle time is; and who does not refresh in time is."""
    started = await auth.sign_in("maria", idle_s=idle_s)
    pair = await auth.issue_refresh(started.session, client_id="cli", audience="orders")
    for _ in range(5 if idle_s > 1 else 0):
        clock.advance(pair.expires_in)
        assert auth.verify(pair.access_token, audience="orders") == Refused(Reason.EXPIRED)
        pair = await use(auth, pair)
        assert not isinstance(pair, Refused), pair
    clock.advance(idle_s)
    assert await use(auth, pair) == Refused(Reason.IDLE)


async def test_the_absolute_end_never_moves(auth, clock):
    """However often it is refreshed: at the session's last second everything is over."""
    started = await auth.sign_in("maria", absolute_s=DAY, idle_s=DAY)
    pair = await auth.issue_refresh(started.session, client_id="cli", audience="orders")
    ends_at = started.session.expires_at
    while clock.now() < ends_at - 600:
        clock.advance(600)
        pair = await use(auth, pair)
        assert clock.now() + pair.expires_in <= ends_at
    clock.advance(600)
    assert isinstance(await use(auth, pair), Refused)
    assert isinstance(auth.verify(pair.access_token, audience="orders"), Refused)


async def test_refreshing_counts_as_activity_and_idleness_ends_it(auth, clock):
    """A session that is only refreshed lives; one that is not is over."""
    started = await auth.sign_in("maria", idle_s=1000)
    pair = await auth.issue_refresh(started.session, client_id="cli", audience="orders")
    for _ in range(3):
        clock.advance(900)
        pair = await use(auth, pair)
    assert await lives(auth, started)
    clock.advance(1000)
    assert isinstance(await use(auth, pair), Refused)


@pytest.mark.parametrize("end", ["revoke", "revoke_user", "revoke_everyone"])
async def test_no_end_of_a_session_leaves_a_refresh_token(auth, pair, started, end):
    """Refused, and no reason tells more than that the family is not there any more."""
    await {
        "revoke": lambda: auth.revoke(started.session.sid),
        "revoke_user": lambda: auth.revoke_user("maria"),
        "revoke_everyone": auth.revoke_everyone,
    }[end]()
    assert await use(auth, pair) == Refused(Reason.UNKNOWN)


async def test_none_is_issued_for_an_old_object(auth, started):
    """A session that was changed or ended since it was looked at."""
    await auth.update_claims("maria", set={"roles": []})
    assert await auth.issue_refresh(started.session, client_id="cli", audience="x") == Refused(Reason.RENEWED)
    session = await auth.check(started.token)
    await auth.revoke(session.sid)
    assert isinstance(await auth.issue_refresh(session, client_id="cli", audience="x"), Refused)


async def test_a_session_renewed_while_a_token_is_refreshed(auth, pair, started, monkeypatch):
    """It lives on, so the refresh does too: "renewed" is said of session tokens, and nobody presented one."""
    load_sid = auth._store.load_sid

    async def slowly(sid):
        found = await load_sid(sid)
        monkeypatch.setattr(auth._store, "load_sid", load_sid)
        await auth.renew(started.token, amr=("otp",))
        return found

    monkeypatch.setattr(auth._store, "load_sid", slowly)
    after = await use(auth, pair)
    assert not isinstance(after, Refused), after
    assert auth.verify(after.access_token, audience="orders").version == 2


async def test_a_session_renewed_while_its_access_token_is_minted(auth, pair, started, monkeypatch):
    """The same, when it was found in the store already: it is looked for again."""
    ask = auth._tokens.refreshing._ask

    async def slowly(sid):
        found = await ask(sid)
        monkeypatch.setattr(auth._tokens.refreshing, "_ask", ask)
        await auth.renew(started.token, amr=("otp",))
        return found

    monkeypatch.setattr(auth._tokens.refreshing, "_ask", slowly)
    after = await use(auth, pair)
    assert not isinstance(after, Refused), after
    assert auth.verify(after.access_token, audience="orders").version == 2


async def test_a_session_ended_while_a_token_is_refreshed(auth, pair, started, monkeypatch):
    """Between the minting and the rotation: no pair comes out."""
    rotate = auth._store.rotate_family

    async def late(*args, **kwargs):
        await auth.revoke(started.session.sid)
        return await rotate(*args, **kwargs)

    monkeypatch.setattr(auth._store, "rotate_family", late)
    assert isinstance(await use(auth, pair), Refused)


async def test_a_session_ended_while_a_family_is_issued(auth, started, monkeypatch):
    """Between the minting and the adding: no pair comes out, and no family stays."""
    add = auth._store.add_family

    async def late(family):
        await auth.revoke(started.session.sid)
        return await add(family)

    monkeypatch.setattr(auth._store, "add_family", late)
    assert await auth.issue_refresh(started.session, client_id="cli", audience="x") == Refused(Reason.REVOKED)
    assert await auth.reset_keys() == 0


# --- failures in the middle ---


@pytest.mark.parametrize("committed", [False, True])
async def test_a_store_that_fails_leaves_the_token_usable(auth, pair, started, monkeypatch, committed):
    """Before the commit it is still the current one; after it, the predecessor within the grace: one successor."""
    rotate = auth._store.rotate_family

    async def failing(*args, **kwargs):
        if committed:
            assert await rotate(*args, **kwargs)
        raise StoreUnavailable("test")

    monkeypatch.setattr(auth._store, "rotate_family", failing)
    with pytest.raises(StoreUnavailable):
        await use(auth, pair)
    monkeypatch.setattr(auth._store, "rotate_family", rotate)
    after = await use(auth, pair)
    assert refresh_token.parse(after.refresh_token.reveal()).generation == 2
    assert not isinstance(await use(auth, after), Refused)
    assert await lives(auth, started)


@pytest.mark.parametrize("method", ["family", "load_sid", "load", "add_family"])
async def test_a_store_that_cannot_be_read_changes_nothing(auth, pair, started, clock, monkeypatch, method):
    """The fault is raised, and what was presented works afterwards, also long after."""

    async def failing(*args, **kwargs):
        raise StoreUnavailable("test")

    with monkeypatch.context() as patched:
        patched.setattr(auth._store, method, failing)
        with pytest.raises(StoreUnavailable):
            if method == "add_family":
                await auth.issue_refresh(started.session, client_id="cli", audience="x")
            await use(auth, pair)
    clock.advance(GRACE_S * 2)
    assert not isinstance(await use(auth, pair), Refused)


async def test_a_store_that_is_unsure_changes_nothing(auth, pair, started, clock, monkeypatch):
    """Memory cannot be trusted in the middle: refused as such, and what was presented works afterwards."""
    with monkeypatch.context() as patched:
        patched.setattr(auth._memory._watch, "is_sure", lambda elapsed: False)
        assert await use(auth, pair) == Refused(Reason.UNSURE)
    clock.advance(GRACE_S * 2)
    after = await use(auth, pair)
    assert refresh_token.parse(after.refresh_token.reveal()).generation == 2


async def test_a_theft_whose_end_fails_is_still_one(auth, pair, started, monkeypatch):
    """The fault is raised, nothing is given out, and the next one who comes with that token ends the session."""
    current = await use(auth, await use(auth, pair))

    async def failing(*args, **kwargs):
        raise StoreUnavailable("test")

    with monkeypatch.context() as patched:
        patched.setattr(auth._store, "end", failing)
        with pytest.raises(StoreUnavailable):
            await use(auth, pair)
    assert await use(auth, pair) == Refused(Reason.REUSED)
    assert not await lives(auth, started)
    assert isinstance(await use(auth, current), Refused)


async def test_a_caller_that_goes_away_leaves_the_token_usable(auth, pair, started, monkeypatch):
    """Cancelled in the middle of the rotation, as when a client hangs up."""
    rotate, entered = auth._store.rotate_family, asyncio.Event()

    async def slow(*args, **kwargs):
        assert await rotate(*args, **kwargs)
        entered.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(auth._store, "rotate_family", slow)
    task = asyncio.create_task(use(auth, pair))
    await entered.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    monkeypatch.setattr(auth._store, "rotate_family", rotate)
    assert not isinstance(await use(auth, pair), Refused)
    assert await lives(auth, started)


# --- races, restarts and secrets, on one file ---


@pytest.fixture
def file_url(tmp_path):
    """One SQLite file."""
    return f"sqlite:///{tmp_path}/coatcheck.db"


def engine(url, clock, secret=SECRET, **kwargs):
    """An engine on it."""
    return Coatcheck(url, issuer=ISSUER, clock=clock, secret=secret, **kwargs)


async def begun(auth):
    """A session and its first pair."""
    started = await auth.sign_in("maria")
    return started, await auth.issue_refresh(started.session, client_id="cli", audience="orders")


async def test_of_twenty_at_once_all_get_one_successor(file_url, clock):
    """From two engines, again and again: one text each time, and nobody is signed out."""
    async with engine(file_url, clock) as a, engine(file_url, clock) as b:
        started, pair = await begun(a)
        for generation in range(2, 8):
            found = await asyncio.gather(*(use([a, b][n % 2], pair) for n in range(20)))
            assert len({one.refresh_token.reveal() for one in found}) == 1
            assert len({one.access_token for one in found}) == 20
            pair = found[0]
            assert refresh_token.parse(pair.refresh_token.reveal()).generation == generation
            clock.advance(GRACE_S * 2)
        assert await lives(b, started)


async def test_of_many_at_once_on_one_engine_all_get_one_successor(auth, pair):
    """On each store."""
    found = await asyncio.gather(*(use(auth, pair) for _ in range(20)))
    assert len({one.refresh_token.reveal() for one in found}) == 1


async def test_thieves_and_owners_at_once_end_in_one_way(file_url, clock):
    """An old token among current ones: the session ends, and no pair that came out works afterwards."""
    async with engine(file_url, clock) as a, engine(file_url, clock) as b:
        _, old = await begun(a)
        current = await use(a, await use(a, old))
        found = await asyncio.gather(*(use([a, b][n % 2], old if n == 7 else current) for n in range(20)))
        assert Refused(Reason.REUSED) in found
        for one in found:
            if not isinstance(one, Refused):
                assert isinstance(await use(b, one), Refused)
                assert a.verify(one.access_token, audience="orders") == Refused(Reason.REVOKED)


async def test_a_restart_in_between_changes_nothing(file_url, clock):
    """The successor is derived, so a process that was not there gives the same one."""
    async with engine(file_url, clock) as auth:
        started, pair = await begun(auth)
        first = await use(auth, pair)
    async with engine(file_url, clock) as auth:
        assert (await use(auth, pair)).refresh_token == first.refresh_token
        assert not isinstance(await use(auth, first), Refused)
        assert await lives(auth, started)


async def test_two_processes_whose_clocks_differ_by_a_second(file_url):
    """The one that is behind is asked for the same token: a race like any other, and nobody is signed out."""
    ahead, behind = ManualClock(1_800_000_001), ManualClock(1_800_000_000)
    async with engine(file_url, behind) as b, engine(file_url, ahead) as a:
        started, pair = await begun(b)
        first = await use(a, pair)
        found = await use(b, pair)
        assert await lives(b, started)
        assert found.refresh_token == first.refresh_token


async def test_a_rotated_secret_still_reads_the_old_tokens(file_url, clock):
    """New first, old second: families of before go on under the old value, new ones begin under the new."""
    async with engine(file_url, clock, OLD_SECRET) as auth:
        _, pair = await begun(auth)
    async with engine(file_url, clock, [SECRET, OLD_SECRET]) as auth:
        pair = await use(auth, pair)
        _, later = await begun(auth)
    async with engine(file_url, clock, [OLD_SECRET, SECRET]) as auth:
        assert not isinstance(await use(auth, pair), Refused)
        assert not isinstance(await use(auth, later), Refused)


async def test_a_lost_secret_makes_no_thief(file_url, clock):
    """Tokens made with a value that is no longer given are not genuine; no session ends for it."""
    async with engine(file_url, clock, OLD_SECRET) as auth:
        started, pair = await begun(auth)
        first = await use(auth, pair)
        await auth.revoke_key(next(iter(auth.jwks()["keys"]))["kid"])
    with apsw_open(file_url) as database:
        database.execute("DELETE FROM keys")
    async with engine(file_url, clock, SECRET) as auth:
        clock.advance(GRACE_S + 1)
        for token in (pair, first):
            assert await use(auth, token) == Refused(Reason.NOT_GENUINE)
        assert await lives(auth, started)


@contextlib.contextmanager
def apsw_open(url):
    """The file itself, as a thief or an operator has it."""
    connection = apsw.Connection(url.removeprefix("sqlite:///"))
    try:
        yield connection
    finally:
        connection.close()


async def test_a_stolen_database_alone_makes_no_token(file_url, clock):
    """Every value in it, taken for the key in turn, gives a token that is not genuine."""
    async with engine(file_url, clock) as auth:
        started, _ = await begun(auth)
        with apsw_open(file_url) as database:
            rows = (
                database.execute("SELECT * FROM families").fetchall()
                + database.execute("SELECT * FROM keys").fetchall()
            )
            ident, nonce = database.execute("SELECT id, nonce FROM families").fetchone()
        held = [value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row]
        held += [bytes.fromhex(one.decode()) for one in held if len(one) == 16 and one.isalnum() and one.islower()]
        for key in [b"", *held]:
            for generation in (1, 2):
                token = refresh_token.make(key, ident, generation, nonce)
                assert await use(auth, token) == Refused(Reason.NOT_GENUINE)
        assert await lives(auth, started)


async def test_a_stolen_secret_alone_makes_no_token(file_url, clock):
    """With the right key and any nonce but the row's."""
    async with engine(file_url, clock) as auth:
        started, pair = await begun(auth)
        ident = refresh_token.parse(pair.refresh_token.reveal()).family
        for key in auth._secret.keys("refresh 1"):
            for nonce in (b"", bytes(32), ident, ident * 2, secrets.token_bytes(32)):
                token = refresh_token.make(key, ident, 2, nonce)
                assert await use(auth, token) == Refused(Reason.NOT_GENUINE)
        assert await lives(auth, started)


async def test_no_refresh_token_rests_in_the_database(file_url, clock, tmp_path):
    """Neither its text nor its bytes, in the file or in what lies beside it."""
    async with engine(file_url, clock) as auth:
        _, pair = await begun(auth)
        pair = await use(auth, pair)
        text = pair.refresh_token.reveal()
        found = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        parsed = refresh_token.parse(text)
        assert parsed.family in found, "this test looks in the right place"
        for part in (text.encode(), text[5:].encode(), parsed.mac, *auth._secret.keys("refresh 1")):
            assert part not in found
