"""The engine from outside: every method of the public surface that concerns sessions, over each store."""

import asyncio
import base64

import pytest

from coatcheck import (
    Coatcheck,
    ConfigError,
    Device,
    InvalidInput,
    NotOpen,
    Policy,
    Receipt,
    Refused,
    Secret,
    Session,
    SignedIn,
    StoreUnavailable,
)
from coatcheck.tokens import session_token

DAY, HOUR = 86_400, 3_600
IDLE, ABSOLUTE = 14 * DAY, 30 * DAY


@pytest.fixture
def file_url(tmp_path):
    """The URL of a store that several engines can open."""
    return f"sqlite:///{tmp_path}/shared.db"


async def die(engine):
    """End *engine* as a crash does: what it gathered is never written."""
    engine._memory.seen._pending.clear()
    await engine.close()


async def stored(auth, sid):
    """What the store itself has under *sid*."""
    return await auth._store.load_sid(sid)


# --- sign_in ---


async def test_sign_in_gives_a_session_and_its_token(auth, clock):
    """The session as asked for, and 43 characters that open it."""
    device = Device(ip="203.0.113.9", user_agent="Firefox")
    done = await auth.sign_in("maria", claims={"roles": ["admin"]}, amr=["pwd", "otp"], device=device)
    assert done.session == Session(
        sid=done.session.sid, sub="maria", claims={"roles": ["admin"]}, amr=("pwd", "otp"), created_at=clock.now(),
        auth_time=clock.now(), seen_at=clock.now(), expires_at=clock.now() + ABSOLUTE, idle_s=IDLE, device=device,
        persistent=True, version=1,
    )  # fmt: skip
    assert isinstance(done.token, Secret)
    assert len(base64.urlsafe_b64decode(done.token.reveal() + "=")) == 32
    assert auth.check_now(done.token) == await auth.check(done.token) == done.session


async def test_every_sign_in_is_another_session(auth):
    """No sid and no token comes twice, for one subject or two."""
    done = [await auth.sign_in(sub) for sub in ("maria", "maria", "bob")]
    assert len({each.session.sid for each in done}) == len({each.token for each in done}) == 3


async def test_the_store_sees_no_token(auth):
    """The row is under the SHA-256 of the token and holds neither the token nor its bytes."""
    done = await auth.sign_in("maria")
    record = await stored(auth, done.session.sid)
    assert record.digest == session_token.digest(done.token.reveal())
    assert done.token.reveal() not in repr(record)
    assert base64.urlsafe_b64decode(done.token.reveal() + "=") not in record.digest + record.data


@pytest.mark.parametrize(
    ("asked", "idle_s", "absolute_s"),
    [
        ({}, IDLE, ABSOLUTE),
        ({"idle_s": 60}, 60, ABSOLUTE),
        ({"absolute_s": HOUR}, HOUR, HOUR),
        ({"idle_s": 999 * DAY, "absolute_s": 999 * DAY}, IDLE, ABSOLUTE),
    ],
)
async def test_lifetimes_per_session_are_below_the_policy(auth, clock, asked, idle_s, absolute_s):
    """What is asked for holds, and never more than the policy."""
    session = (await auth.sign_in("maria", **asked)).session
    assert (session.idle_s, session.expires_at - clock.now()) == (idle_s, absolute_s)


# --- check ---


@pytest.mark.parametrize(
    "token",
    ["", "x", "A" * 42, "A" * 44, "A" * 86, "A" * 10**6, "é" * 43, "\ud800" * 43, "A" * 42 + "\n", "A" * 42 + "=",
     "=" * 43, " " * 43, "\0" * 43, b"A" * 43, None, 43, [], ["A"] * 43, Secret(""), Secret("é" * 43)],
    ids=lambda token: ascii(token)[:20],
)  # fmt: skip
async def test_what_is_no_token_is_malformed(auth, token):
    """Whatever is presented, the answer is a refusal; never an exception, and never a look into the store."""
    assert auth.check_now(token) == Refused("malformed")
    assert await auth.check(token) == Refused("malformed")
    assert await auth.renew(token, sub="maria") in (Refused("malformed"), Refused("unknown"))


async def test_an_unknown_token_is_unknown(auth):
    """Well formed and never minted here: memory cannot tell, the store can."""
    assert auth.check_now("A" * 43) is None
    assert await auth.check("A" * 43) == Refused("unknown")
    assert auth.check_now("A" * 43) is None, "unknown tokens are never remembered"
    assert await auth.renew("A" * 43) == Refused("unknown")


async def test_a_doubled_token_is_malformed(auth):
    """A good token with anything before or behind it is not that token."""
    token = (await auth.sign_in("maria")).token.reveal()
    for text in (token + token, token + " ", " " + token, f'"{token}"', token + "=", token[:-1]):
        assert await auth.check(text) == Refused("malformed")


async def test_tokens_are_taken_as_secret_and_as_text(auth):
    """A caller holds whichever it likes."""
    done = await auth.sign_in("maria")
    for token in (done.token, done.token.reveal()):
        assert auth.check_now(token).sub == (await auth.check(token)).sub == "maria"
    assert await auth.renew(done.token.reveal(), amr=("otp",))
    assert await auth.check(done.token) == await auth.check(done.token.reveal()) == Refused("renewed")


async def test_a_warm_check_asks_no_store(auth, monkeypatch):
    """Signed in here, or checked here before: the next check is answered from memory."""
    done = await auth.sign_in("maria")
    monkeypatch.setattr(auth._store, "load", None)
    assert await auth.check(done.token) == done.session


async def test_a_session_in_memory_is_read_again_after_five_minutes(auth, clock):
    """No fault of the log outlives that."""
    done = await auth.sign_in("maria")
    clock.advance(299)
    assert auth.check_now(done.token)
    clock.advance(1)
    assert auth.check_now(done.token) is None
    assert await auth.check(done.token)
    assert auth.check_now(done.token)


async def test_memory_is_bounded(url, clock):
    """Past the size the oldest leaves memory; that costs a read and no session."""
    async with Coatcheck(url, clock=clock, policy=Policy(cached_sessions=3)) as auth:
        done = [await auth.sign_in(f"u{n}") for n in range(5)]
        assert [bool(auth.check_now(each.token)) for each in done] == [False, False, True, True, True]
        for each in done:
            assert (await auth.check(each.token)).sid == each.session.sid


# --- activity, idle and absolute ---


async def test_activity_moves_seen_at(auth, clock):
    """A check counts as activity unless it says otherwise; memory, lists and renewal agree."""
    done = await auth.sign_in("maria")
    began = clock.now()
    clock.advance(50)
    assert (await auth.check(done.token, touch=False)).seen_at == began
    assert auth.check_now(done.token, touch=False).seen_at == began
    assert auth.check_now(done.token).seen_at == began + 50
    assert (await auth.check(done.token, touch=False)).seen_at == began + 50
    assert [session.seen_at for session in await auth.sessions_of("maria")] == [began + 50]


async def test_flush_writes_activity(auth, clock):
    """Activity is gathered in memory and reaches the row with the flush, once."""
    done = await auth.sign_in("maria")
    began = clock.now()
    for _ in range(3):
        clock.advance(10)
        await auth.check(done.token)
    assert (await stored(auth, done.session.sid)).session.seen_at == began
    await auth.flush()
    assert (await stored(auth, done.session.sid)).session.seen_at == began + 30
    await auth.flush()
    assert (await stored(auth, done.session.sid)).session.seen_at == began + 30


async def test_a_flush_that_fails_loses_nothing(auth, clock, monkeypatch):
    """What could not be written is kept, with what came since, for the next time."""
    done = await auth.sign_in("maria")
    touch = auth._store.touch

    async def fail(seen):
        raise StoreUnavailable("down")

    clock.advance(10)
    await auth.check(done.token)
    monkeypatch.setattr(auth._store, "touch", fail)
    with pytest.raises(StoreUnavailable):
        await auth.flush()
    clock.advance(10)
    await auth.check(done.token)
    monkeypatch.setattr(auth._store, "touch", touch)
    await auth.flush()
    assert (await stored(auth, done.session.sid)).session.seen_at == clock.now()


async def test_closing_writes_activity(file_url, clock):
    """What was gathered is in the file when the engine is closed."""
    async with Coatcheck(file_url, clock=clock) as auth:
        done = await auth.sign_in("maria")
        clock.advance(50)
        await auth.check(done.token)
    async with Coatcheck(file_url, clock=clock) as auth:
        assert (await auth.check(done.token, touch=False)).seen_at == clock.now()


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize(
    ("limits", "lives_s", "reason"),
    [
        ({"idle_s": 100}, 100, "idle"),
        ({"absolute_s": 100}, 100, "expired"),
        ({"idle_s": 100, "absolute_s": 100}, 100, "expired"),
        ({}, IDLE, "idle"),
    ],
)
async def test_a_session_ends_at_its_second(auth, clock, *, limits, lives_s, reason, warm):
    """In its last second it opens, in the next it is over: from memory, from the store, and for every method."""
    done = await auth.sign_in("maria", **limits)
    for seconds, expected in ((lives_s - 1, done.session), (1, Refused(reason))):
        clock.advance(seconds)
        if not warm:
            auth._memory._cache.drop()
        assert await auth.check(done.token, touch=False) == expected
    assert await auth.renew(done.token) == Refused(reason)
    assert await auth.data(done.session.sid) == Refused(reason)
    assert await auth.sessions_of("maria") == []


async def test_a_busy_session_outlives_idle_and_ends_at_the_absolute_end(auth, clock):
    """Activity prolongs, and the absolute end does not move for it."""
    done = await auth.sign_in("maria", idle_s=100, absolute_s=1000)
    for _ in range(11):
        clock.advance(90)
        assert (await auth.check(done.token)).expires_at == done.session.expires_at
    clock.advance(9)
    assert await auth.check(done.token)
    clock.advance(1)
    assert await auth.check(done.token) == Refused("expired")


async def test_being_looked_at_is_no_activity(auth, clock):
    """Only the visitor's own requests prolong: lists, data and touch=False do not."""
    done = await auth.sign_in("maria", idle_s=100)
    for _ in range(9):
        clock.advance(10)
        await auth.sessions_of("maria")
        await auth.data(done.session.sid)
        await auth.update_data(done.session.sid, set={"a": 1})
        await auth.check(done.token, touch=False)
    clock.advance(10)
    assert await auth.check(done.token) == Refused("idle")


async def test_lowering_the_policy_takes_effect_on_sessions_there_are(file_url, clock):
    """The stricter of the session's own limits and today's policy holds; raising the policy prolongs nothing."""
    wide, narrow = Policy(idle_s=1000, absolute_s=5000), Policy(idle_s=100, absolute_s=150)
    async with Coatcheck(file_url, clock=clock, policy=wide) as before:
        busy, quiet = await before.sign_in("maria"), await before.sign_in("maria")
        async with Coatcheck(file_url, clock=clock, policy=narrow) as after:
            clock.advance(99)
            assert await after.check(busy.token)
            assert await after.check(quiet.token, touch=False)
            clock.advance(1)
            assert await after.check(busy.token)
            assert await after.check(quiet.token) == Refused("idle")
            assert [session.sid for session in await after.sessions_of("maria")] == [busy.session.sid]
            clock.advance(50)
            assert await after.check(busy.token) == Refused("expired")
            new = await after.sign_in("bob")
        assert await before.check(busy.token)
        clock.advance(100)
        assert await before.check(new.token) == Refused("idle")


async def test_a_lost_batch_ends_an_idle_session_at_most_one_interval_early(file_url, clock):
    """A crash loses the activity of one interval: the session may end that much early, and never later."""
    policy = Policy(idle_s=600, seen_interval_s=60)
    victim = await Coatcheck(file_url, clock=clock, policy=policy).__aenter__()
    done = await victim.sign_in("maria")
    clock.advance(300)
    await victim.check(done.token)
    await victim.flush()
    clock.advance(60)
    await victim.check(done.token)  # gathered, never written
    await die(victim)
    async with Coatcheck(file_url, clock=clock, policy=policy) as auth:
        clock.advance(600 - 60 - 1)
        assert await auth.check(done.token, touch=False), "more than one interval early"
        clock.advance(1)
        assert await auth.check(done.token, touch=False) == Refused("idle")


async def test_a_late_batch_brings_no_idle_session_back(file_url, clock):
    """Activity that arrives after the session was found idle elsewhere lets it live no longer than it was real."""
    policy = Policy(idle_s=600, seen_interval_s=60)
    async with (
        Coatcheck(file_url, clock=clock, policy=policy) as one,
        Coatcheck(file_url, clock=clock, policy=policy) as two,
    ):
        done = await one.sign_in("maria")
        clock.advance(50)
        await one.check(done.token)
        clock.advance(550)
        assert await two.check(done.token) == Refused("idle")
        await one.flush()
        assert await two.check(done.token, touch=False)
        clock.advance(50)
        assert await two.check(done.token) == Refused("idle")
        assert await one.check(done.token) == Refused("idle")


async def test_activity_in_one_process_keeps_it_alive_in_the_other(file_url, clock):
    """Idle is final only from the row: another process may have seen the session since."""
    async with Coatcheck(file_url, clock=clock) as one, Coatcheck(file_url, clock=clock) as two:
        done = await one.sign_in("maria", idle_s=100)
        assert await two.check(done.token)
        clock.advance(90)
        assert await one.check(done.token)
        await one.flush()
        clock.advance(90)
        assert await two.check(done.token)


# --- start ---


async def test_a_started_session_is_stored_at_its_first_write(auth, clock):
    """A visitor who only looks costs no row; the first data make one, and nothing else changes."""
    started = await auth.start()
    assert (started.session.sub, started.session.auth_time) == (None, None)
    assert await auth.check(started.token) == started.session
    assert await auth.data(started.session.sid) == {}
    assert await stored(auth, started.session.sid) is None
    assert await auth.update_data(started.session.sid, set={"cart": [1]})
    assert await stored(auth, started.session.sid)
    assert await auth.check(started.token) == started.session
    assert await auth.data(started.session.sid) == {"cart": [1]}


async def test_started_with_data_it_is_stored_at_once(auth):
    """There is something to lose."""
    started = await auth.start({"cart": [1]}, device=Device(ip="::1"), persistent=False)
    record = await stored(auth, started.session.sid)
    assert (record.data, record.session) == (b'{"cart":[1]}', started.session)
    assert (started.session.device.ip, started.session.persistent) == ("::1", False)


async def test_parallel_first_writes_both_survive(auth):
    """Two requests of a new visitor write at once: one row, both keys."""
    started = await auth.start()
    writes = [auth.update_data(started.session.sid, set={f"k{n}": n}) for n in range(10)]
    assert all(await asyncio.gather(*writes))
    assert await auth.data(started.session.sid) == {f"k{n}": n for n in range(10)}


async def test_a_started_session_idles_and_expires(auth, clock):
    """In memory only, it has the same limits."""
    started = await auth.start()
    clock.advance(IDLE - 1)
    assert await auth.check(started.token)
    clock.advance(IDLE - 1)
    assert await auth.check(started.token)
    clock.advance(IDLE)
    assert await auth.check(started.token) == Refused("expired")
    idle = await auth.start()
    clock.advance(IDLE)
    assert await auth.check(idle.token) == Refused("idle")


async def test_started_sessions_in_memory_are_bounded(auth, monkeypatch):
    """A flood of visitors without cookies takes bounded memory: the oldest empty session goes."""
    monkeypatch.setattr("coatcheck.fleet.unstored.MOST", 3)
    started = [await auth.start() for _ in range(4)]
    assert [bool(await auth.check(each.token)) for each in started] == [False, True, True, True]


# --- renew ---


async def test_a_started_session_is_signed_in(auth, clock):
    """The sid and the data stay, the token is new, the lifetime begins anew, the old token is dead."""
    started = await auth.start({"cart": [1]})
    clock.advance(DAY)
    done = await auth.renew(started.token, sub="maria", claims={"roles": []}, amr=("pwd",))
    assert isinstance(done, SignedIn)
    assert done.token != started.token
    assert (done.session.sid, done.session.sub, done.session.version) == (started.session.sid, "maria", 2)
    assert (done.session.created_at, done.session.auth_time) == (clock.now(), clock.now())
    assert done.session.expires_at == clock.now() + ABSOLUTE
    assert await auth.data(done.session.sid) == {"cart": [1]}
    assert await auth.check(started.token) == Refused("renewed")
    assert await auth.check(done.token) == done.session
    assert [session.sid for session in await auth.sessions_of("maria")] == [started.session.sid]


async def test_a_started_session_that_was_never_stored_is_signed_in(auth):
    """The sign-in is its first write."""
    started = await auth.start()
    done = await auth.renew(started.token, sub="maria")
    assert await auth.check(done.token) == done.session
    assert await auth.check(started.token) == Refused("renewed")


async def test_step_up_keeps_the_absolute_end(auth, clock):
    """A second factor: new token, auth_time now, version up; the end stays where it was."""
    done = await auth.sign_in("maria", amr=("pwd",), claims={"a": 1})
    clock.advance(HOUR)
    up = await auth.renew(done.token, amr=("pwd", "otp"))
    assert (up.session.amr, up.session.auth_time, up.session.version) == (("pwd", "otp"), clock.now(), 2)
    assert (up.session.expires_at, up.session.created_at) == (done.session.expires_at, done.session.created_at)
    assert (up.session.sid, up.session.claims) == (done.session.sid, {"a": 1})


async def test_a_renewal_alone_proves_nothing(auth, clock):
    """Without sub and amr the auth_time stays."""
    done = await auth.sign_in("maria")
    clock.advance(HOUR)
    assert (await auth.renew(done.token, claims={"a": 1})).session.auth_time == done.session.auth_time


async def test_another_subjects_session_is_refused(auth):
    """It is an error of the program, and nothing changes."""
    done = await auth.sign_in("maria")
    with pytest.raises(InvalidInput) as refused:
        await auth.renew(done.token, sub="eve")
    assert refused.value.field == "sub"
    assert await auth.check(done.token) == done.session


async def test_a_renewed_token_cannot_be_renewed(auth):
    """The old token says so; the session lives on under the new one."""
    done = await auth.sign_in("maria")
    up = await auth.renew(done.token)
    assert await auth.renew(done.token) == Refused("renewed")
    assert await auth.check(up.token)


async def test_parallel_renewals_leave_one_token(auth):
    """Of ten at once one wins; the others are told, and no second token opens the session."""
    done = await auth.sign_in("maria")
    answers = await asyncio.gather(*(auth.renew(done.token) for _ in range(10)))
    won = [answer for answer in answers if answer]
    assert len(won) == 1
    assert {answer.reason for answer in answers if not answer} == {"renewed"}
    assert await auth.check(won[0].token) == won[0].session


async def test_a_renewal_survives_a_change_of_claims_in_between(auth, monkeypatch):
    """Read, changed by somebody else, tried again: both the new claims and the new token are there."""
    done = await auth.sign_in("maria", claims={"roles": ["admin"]})
    load, once = auth._store.load, []

    async def load_then_change(digest):
        found = await load(digest)
        if not once:
            once.append(await auth.update_claims("maria", set={"roles": []}))
        return found

    monkeypatch.setattr(auth._store, "load", load_then_change)
    up = await auth.renew(done.token, amr=("otp",))
    assert (up.session.claims, up.session.version) == ({"roles": []}, 3)


# --- claims ---


async def test_claims_change_in_every_session_at_once(auth):
    """Demotion is in force when the call returns; versions rise, tokens stay, others are untouched."""
    first, second, other = [await auth.sign_in(sub, claims={"roles": ["admin"], "n": 1}) for sub in ("m", "m", "bob")]
    receipt = await auth.update_claims("m", set={"roles": [], "new": {"x": 1}}, unset=["n", "absent"])
    assert isinstance(receipt, Receipt)
    for done in (first, second):
        session = await auth.check(done.token)
        assert (session.claims, session.version) == ({"roles": [], "new": {"x": 1}}, 2)
    assert (await auth.check(other.token)).claims == {"roles": ["admin"], "n": 1}


async def test_claims_are_bounded_together(auth):
    """What would pass 8 KiB in one session changes none of them, and names the claim."""
    full, small = await auth.sign_in("m", claims={"a": "x" * 8000}), await auth.sign_in("m")
    with pytest.raises(InvalidInput) as refused:
        await auth.update_claims("m", set={"b": "y" * 500})
    assert refused.value.field == "claims['a']"
    for done in (full, small):
        assert await auth.check(done.token) == done.session


async def test_claims_cannot_be_changed_in_place(auth):
    """What several requests share is read-only, whatever the caller keeps of its own."""
    mine = {"roles": ["admin"]}
    done = await auth.sign_in("maria", claims=mine)
    mine["roles"].append("root")
    found = await auth.check(done.token)
    for change in (lambda: found.claims["roles"].append("x"), lambda: found.claims.update(a=1)):
        with pytest.raises(TypeError, match="read-only"):
            change()
    assert (await auth.check(done.token)).claims == {"roles": ["admin"]}


# --- data ---


async def test_data_are_kept_and_given_as_copies(auth):
    """What is set comes back equal, and is the caller's own to change."""
    done = await auth.sign_in("maria")
    assert await auth.data(done.session.sid) == {}
    receipt = await auth.update_data(done.session.sid, set={"cart": [1, {"é": None}], "n": 1.5}, unset=["n", "x"])
    assert isinstance(receipt, Receipt)
    assert (receipt.nodes, receipt.waited_s) == (0, 0.0)
    (await auth.data(done.session.sid))["cart"].append(2)
    assert await auth.data(done.session.sid) == {"cart": [1, {"é": None}], "n": 1.5}
    assert await auth.update_data(done.session.sid, unset=["n"], wait=False)
    assert await auth.data(done.session.sid) == {"cart": [1, {"é": None}]}


async def test_parallel_changes_of_different_keys_all_survive(auth):
    """Fifty requests at once, a key each: fifty keys."""
    sid = (await auth.sign_in("maria")).session.sid
    await asyncio.gather(*(auth.update_data(sid, set={f"k{n}": n}, unset=[f"u{n}"]) for n in range(50)))
    assert await auth.data(sid) == {f"k{n}": n for n in range(50)}


async def test_data_are_bounded_and_json(auth):
    """64 KiB in all is the last size that fits; past it, or not JSON: the key is named and nothing changed."""
    sid = (await auth.sign_in("maria")).session.sid
    room = 64 * 1024 - len('{"a":""}')
    assert await auth.update_data(sid, set={"a": "x" * room})
    for change, field in (
        ({"a": "x" * (room + 1)}, "set['a']"),
        ({"b": 1}, "set['a']"),
        ({"b": {1, 2}}, "set['b']"),
        ({"b": float("nan")}, "set['b']"),
        ({"b": [b"x"]}, "set['b'][0]"),
    ):
        with pytest.raises(InvalidInput) as refused:
            await auth.update_data(sid, set=change)
        assert refused.value.field == field
    assert await auth.data(sid) == {"a": "x" * room}
    with pytest.raises(InvalidInput) as refused:
        await auth.start({"a": "x" * (room + 1)})
    assert refused.value.field == "data['a']"


@pytest.mark.parametrize("sid", ["", "never", "A" * 43, "x" * 256, "a\nb", None, 5, b"sid"])
async def test_data_of_no_session(auth, sid):
    """Unknown is an answer."""
    assert await auth.data(sid) == Refused("unknown")
    assert await auth.update_data(sid, set={"a": 1}) == Refused("unknown")


# --- revoking ---


async def test_revoke_ends_one_session(auth):
    """It is over when the call returns, its data with it; the others live."""
    done, other = await auth.sign_in("maria"), await auth.sign_in("maria")
    receipt = await auth.revoke(done.session.sid, reason="lost phone")
    assert receipt == Receipt(position=1, nodes=0, waited_s=0.0)
    assert auth.check_now(done.token) is None
    assert await auth.check(done.token) == Refused("revoked")
    assert await auth.renew(done.token) == Refused("revoked")
    assert await auth.data(done.session.sid) == Refused("unknown")
    assert await auth.check(other.token) == other.session


async def test_revoking_again_waits_again(auth):
    """What is over, or was never there, gives a receipt with a new position."""
    sid = (await auth.sign_in("maria")).session.sid
    receipts = [await auth.revoke(target) for target in (sid, sid, "never")]
    assert [receipt.position for receipt in receipts] == [1, 2, 3]


async def test_revoke_of_somebody(auth):
    """Only if it is hers; another's, a started one's and none at all are unknown, and nothing happens."""
    done, started = await auth.sign_in("maria"), await auth.start({"cart": 1})
    for sid in (done.session.sid, started.session.sid, "never", "", None, "a\n"):
        assert await auth.revoke(sid, of="eve") == Refused("unknown")
    assert await auth.check(done.token)
    assert await auth.check(started.token)
    assert await auth.revoke(done.session.sid, of="maria")
    assert await auth.check(done.token) == Refused("revoked")
    assert await auth.revoke(done.session.sid, of="maria"), "her own, again"
    assert await auth.revoke(done.session.sid, of="eve") == Refused("unknown")


async def test_revoke_of_somebody_spares_a_started_session_in_memory(auth):
    """A sid is no secret: who knows one must not end an anonymous visitor's session."""
    started = await auth.start()
    assert await auth.revoke(started.session.sid, of="eve") == Refused("unknown")
    assert await auth.check(started.token)


async def test_a_started_session_is_revoked(auth):
    """In memory only, or stored: over when the call returns, and a write does not bring it back."""
    for started in (await auth.start(), await auth.start({"cart": 1})):
        assert await auth.revoke(started.session.sid)
        assert not await auth.check(started.token)
        assert await auth.update_data(started.session.sid, set={"a": 1}) == Refused("unknown")
        assert not await auth.renew(started.token, sub="maria")


@pytest.mark.parametrize("everyone", [False, True])
async def test_a_started_session_of_another_process_is_revoked(file_url, clock, everyone):
    """When revoke returns, no process accepts the session, wherever it was started."""
    async with Coatcheck(file_url, clock=clock) as one, Coatcheck(file_url, clock=clock) as two:
        started, other = await one.start(), await one.start()
        await (two.revoke_everyone() if everyone else two.revoke(started.session.sid))
        assert await one.data(started.session.sid) == Refused("unknown")
        assert await one.update_data(started.session.sid, set={"a": 1}) == Refused("unknown")
        assert not await one.renew(started.token, sub="maria")
        assert not await one.check(started.token)
        assert bool(await one.check(other.token)) is not everyone


async def test_revoke_user_ends_all_but_one(auth):
    """Everywhere, or everywhere else; somebody else's sid keeps nothing."""
    one, two, three, bobs = [await auth.sign_in(sub) for sub in ("maria", "maria", "maria", "bob")]
    await auth.revoke_user("maria", keep=two.session.sid, reason="password changed")
    assert [bool(await auth.check(done.token)) for done in (one, two, three, bobs)] == [False, True, False, True]
    await auth.revoke_user("maria", keep=bobs.session.sid)
    assert await auth.check(two.token) == Refused("revoked")
    await auth.revoke_user("nobody")
    assert await auth.check(bobs.token)


async def test_revoke_everyone(auth):
    """Every session there is, started ones too; what begins afterwards lives, also after the sweep."""
    done = [await auth.sign_in("maria"), await auth.sign_in("bob"), await auth.start({"a": 1}), await auth.start()]
    await auth.revoke_everyone(reason="breach")
    new = await auth.sign_in("maria")
    for _ in range(2):
        for each in done:
            assert not await auth.check(each.token)
            assert await auth.data(each.session.sid) == Refused("unknown")
        assert await auth.check(new.token) == new.session
        assert await auth.sessions_of("maria") == [new.session]
        await auth.sweep()


@pytest.mark.parametrize(
    "end",
    [
        lambda auth, done: auth.revoke(done.session.sid),
        lambda auth, done: auth.revoke_user("maria"),
        lambda auth, done: auth.revoke_everyone(),
        lambda auth, done: auth.renew(done.token),
        lambda auth, done: auth.update_claims("maria", set={"roles": []}),
    ],
    ids=["revoke", "revoke_user", "revoke_everyone", "renew", "update_claims"],
)
async def test_another_process_knows_at_its_next_check(file_url, clock, end):
    """Both have the session in memory; when the call returns in one, the other no longer answers as before."""
    async with Coatcheck(file_url, clock=clock) as one, Coatcheck(file_url, clock=clock) as two:
        done = await one.sign_in("maria", claims={"roles": ["admin"]})
        assert await two.check(done.token)
        assert two.check_now(done.token)
        await end(one, done)
        for auth in (two, one):
            assert auth.check_now(done.token) is None
            found = await auth.check(done.token)
            assert not found or found.claims == {"roles": []}


async def test_a_sign_in_that_was_overtaken_is_refused(auth):
    """An attacker who signs in while the password changes gets nothing."""
    for end in (
        lambda: auth.revoke_user("maria"),
        auth.revoke_everyone,
        lambda: auth.update_claims("maria", set={"roles": []}),
    ):
        before = await auth.generation("maria")
        started = await auth.start({"cart": 1})
        await end()
        assert await auth.sign_in("maria", generation=before) == Refused("revoked")
        if end != auth.revoke_everyone:
            assert await auth.renew(started.token, sub="maria", generation=before) == Refused("revoked")
            assert (await auth.check(started.token)).sub is None
        assert await auth.sessions_of("maria") == []


async def test_a_generation_is_the_subjects_own(auth):
    """Somebody else's changes, single revocations and sign-ins move nothing."""
    before = await auth.generation("maria")
    await auth.revoke_user("bob")
    await auth.revoke((await auth.sign_in("maria")).session.sid)
    assert await auth.generation("maria") == before
    assert await auth.sign_in("maria", generation=before)


# --- lists ---


async def test_sessions_of_are_the_live_ones_newest_first(auth, clock):
    """In the order of their sign-ins, without those that are over, and nobody else's."""
    done = []
    for limits in ({}, {"absolute_s": 60}, {"idle_s": 60}, {}, {}):
        clock.advance(1)
        done.append(await auth.sign_in("maria", **limits))
    await auth.sign_in("bob")
    await auth.revoke(done[3].session.sid)
    clock.advance(60)
    assert [session.sid for session in await auth.sessions_of("maria")] == [done[4].session.sid, done[0].session.sid]
    assert await auth.sessions_of("nobody") == []


@pytest.fixture
async def two_at_most(url, clock):
    """An engine that lets a subject have two sessions."""
    async with Coatcheck(url, clock=clock, policy=Policy(sessions_per_subject=2)) as auth:
        yield auth


async def test_the_oldest_session_makes_room(two_at_most):
    """One more than allowed ends the oldest, whether by sign-in or by renewal; other subjects do not count."""
    auth = two_at_most
    one, two, bobs, three = [await auth.sign_in(sub) for sub in ("m", "m", "bob", "m")]
    assert [bool(await auth.check(done.token)) for done in (one, two, bobs, three)] == [False, True, True, True]
    assert await auth.check(one.token) == Refused("revoked")
    four = await auth.renew((await auth.start()).token, sub="m")
    assert [bool(await auth.check(done.token)) for done in (two, bobs, three, four)] == [False, True, True, True]
    again = await auth.renew(three.token)
    assert await auth.check(again.token)
    assert await auth.check(four.token)


async def test_a_sign_in_of_an_old_started_session_is_the_newest(two_at_most, clock):
    """Age is counted from the sign-in: a visitor who looked around first is not the first to go."""
    auth = two_at_most
    started = await auth.start({"cart": 1})
    clock.advance(1)
    older = await auth.sign_in("maria")
    clock.advance(1)
    newer = await auth.renew(started.token, sub="maria")
    assert [session.sid for session in await auth.sessions_of("maria")] == [newer.session.sid, older.session.sid]
    await auth.sign_in("maria")
    assert [bool(await auth.check(done.token)) for done in (older, newer)] == [False, True]


# --- cookies ---


async def test_the_cookie_exactly(auth, clock):
    """Every attribute, the value in the open, and the seconds that are left."""
    done = await auth.sign_in("maria")
    clock.advance(HOUR)
    assert auth.cookie(done) == (
        f"__Host-session={done.token.reveal()}; Path=/; Max-Age={ABSOLUTE - HOUR}; HttpOnly; Secure; SameSite=Lax"
    )
    clock.advance(ABSOLUTE)
    assert "; Max-Age=0; " in auth.cookie(done)


async def test_a_session_of_one_window_has_no_max_age(auth):
    """persistent=False: the browser forgets the cookie with its window, and a renewal keeps it so."""
    done = await auth.sign_in("maria", persistent=False)
    assert auth.cookie(done) == f"__Host-session={done.token.reveal()}; Path=/; HttpOnly; Secure; SameSite=Lax"
    assert "Max-Age" not in auth.cookie(await auth.renew(done.token))


async def test_the_clearing_cookie_exactly(auth):
    """Empty, and gone at once; with every attribute the browser needs to find it."""
    assert auth.clear_cookie() == "__Host-session=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"


# --- arguments ---


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda auth, done: auth.sign_in(""), "sub"),
        (lambda auth, done: auth.sign_in("x" * 256), "sub"),
        (lambda auth, done: auth.sign_in("a\nb"), "sub"),
        (lambda auth, done: auth.sign_in("\ud800"), "sub"),
        (lambda auth, done: auth.sign_in(None), "sub"),
        (lambda auth, done: auth.sign_in(7), "sub"),
        (lambda auth, done: auth.sign_in("m", claims=[1]), "claims"),
        (lambda auth, done: auth.sign_in("m", claims={"a": b""}), "claims['a']"),
        (lambda auth, done: auth.sign_in("m", claims={"a": "x" * 8192}), "claims['a']"),
        (lambda auth, done: auth.sign_in("m", amr="pwd"), "amr"),
        (lambda auth, done: auth.sign_in("m", amr=[1]), "amr"),
        (lambda auth, done: auth.sign_in("m", amr=[""]), "amr"),
        (lambda auth, done: auth.sign_in("m", amr=["x" * 33]), "amr"),
        (lambda auth, done: auth.sign_in("m", amr=["pwd"] * 17), "amr"),
        (lambda auth, done: auth.sign_in("m", device={"ip": "::1"}), "device"),
        (lambda auth, done: auth.sign_in("m", idle_s=0), "idle_s"),
        (lambda auth, done: auth.sign_in("m", idle_s=1.5), "idle_s"),
        (lambda auth, done: auth.sign_in("m", absolute_s=-1), "absolute_s"),
        (lambda auth, done: auth.sign_in("m", absolute_s=True), "absolute_s"),
        (lambda auth, done: auth.sign_in("m", generation="1"), "generation"),
        (lambda auth, done: auth.sign_in("m", generation=0), "generation"),
        (lambda auth, done: auth.start([1]), "data"),
        (lambda auth, done: auth.start({1: 1}), "data[1]"),
        (lambda auth, done: auth.start(device="::1"), "device"),
        (lambda auth, done: auth.renew(done.token, sub=""), "sub"),
        (lambda auth, done: auth.renew(done.token, claims={"a": set()}), "claims['a']"),
        (lambda auth, done: auth.renew(done.token, amr="otp"), "amr"),
        (lambda auth, done: auth.renew(done.token, device=5), "device"),
        (lambda auth, done: auth.renew(done.token, generation=-1), "generation"),
        (lambda auth, done: auth.update_claims("", set={}), "sub"),
        (lambda auth, done: auth.update_claims("m", set={"a": 1j}), "set['a']"),
        (lambda auth, done: auth.update_claims("m", set="text"), "set"),
        (lambda auth, done: auth.update_claims("m", unset="a"), "unset"),
        (lambda auth, done: auth.update_data(done.session.sid, set={"a": object()}), "set['a']"),
        (lambda auth, done: auth.update_data(done.session.sid, unset=[1]), "unset"),
        (lambda auth, done: auth.revoke(""), "sid"),
        (lambda auth, done: auth.revoke(None), "sid"),
        (lambda auth, done: auth.revoke(done.session.sid, reason="a\nb"), "reason"),
        (lambda auth, done: auth.revoke(done.session.sid, reason="x" * 201), "reason"),
        (lambda auth, done: auth.revoke(done.session.sid, reason=None), "reason"),
        (lambda auth, done: auth.revoke_user(""), "sub"),
        (lambda auth, done: auth.revoke_user("m", keep=""), "keep"),
        (lambda auth, done: auth.revoke_user("m", keep=5), "keep"),
        (lambda auth, done: auth.revoke_everyone(reason=5), "reason"),
        (lambda auth, done: auth.sessions_of(None), "sub"),
        (lambda auth, done: auth.generation(""), "sub"),
        (lambda auth, done: auth.sign_in("m", amr=5), "amr"),
        (lambda auth, done: auth.update_data(done.session.sid, unset=5), "unset"),
        (lambda auth, done: auth.update_claims("m", unset=None), "unset"),
    ],
)
async def test_a_wrong_argument_is_named_and_nothing_happens(auth, call, field):
    """InvalidInput names the argument, and the key in it; the session there was is as before."""
    done = await auth.sign_in("maria")
    with pytest.raises(InvalidInput) as refused:
        await call(auth, done)
    assert refused.value.field == field
    assert refused.value.http_status == 400
    assert await auth.check(done.token) == done.session
    assert await auth.sessions_of("m") == []


async def test_the_last_good_arguments(auth):
    """Each limit itself is allowed, and text of any language."""
    done = await auth.sign_in(
        "м" * 255, claims={"a": "x" * (8192 - len('{"a":""}'))}, amr=["x" * 32] * 16, idle_s=1, absolute_s=1
    )
    assert await auth.check(done.token) == done.session
    assert await auth.revoke(done.session.sid, of="м" * 255, reason="é" * 200)


# --- opening and closing ---

CALLS = [
    lambda auth: auth.sign_in("maria"),
    lambda auth: auth.start(),
    lambda auth: auth.check("A" * 43),
    lambda auth: auth.renew("A" * 43),
    lambda auth: auth.update_claims("maria", set={}),
    lambda auth: auth.data("sid"),
    lambda auth: auth.update_data("sid", set={}),
    lambda auth: auth.revoke("sid"),
    lambda auth: auth.revoke("sid", of="maria"),
    lambda auth: auth.revoke_user("maria"),
    lambda auth: auth.revoke_everyone(),
    lambda auth: auth.sessions_of("maria"),
    lambda auth: auth.generation("maria"),
    lambda auth: auth.flush(),
    lambda auth: auth.sweep(),
]


@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
async def test_an_engine_that_is_not_open_says_so(url, clock, call):
    """Before it is opened and after it is closed every call raises NotOpen, and lets nobody in."""
    auth = Coatcheck(url, clock=clock)
    with pytest.raises(NotOpen, match="async with"):
        await call(auth)
    async with auth:
        pass
    with pytest.raises(NotOpen, match="closed"):
        await call(auth)


async def test_check_now_and_keys_of_an_engine_that_is_not_open(url, clock):
    """The calls that wait for nothing say so too: a session in memory is no longer answered after the close."""
    auth = Coatcheck(url, clock=clock)
    for call in (lambda: auth.check_now("A" * 43), lambda: auth.derived_keys("x")):
        with pytest.raises(NotOpen):
            call()
    async with auth:
        done = await auth.sign_in("maria")
        assert auth.check_now(done.token)
    for call in (lambda: auth.check_now(done.token), lambda: auth.derived_keys("x")):
        with pytest.raises(NotOpen):
            call()


async def test_opening_twice_is_refused_and_closing_twice_is_not(url, clock):
    """One engine per application; who closes again has what it wants."""
    async with Coatcheck(url, clock=clock) as auth:
        with pytest.raises(ConfigError):
            await auth.open()
        done = await auth.sign_in("maria")
        assert await auth.check(done.token)
        await auth.close()
    await auth.close()


async def test_an_engine_can_be_opened_again(url, clock):
    """The sessions are in the store, and memory begins anew."""
    auth = Coatcheck(url, clock=clock)
    async with auth.lifespan(None):
        done = await auth.sign_in("maria")
    async with auth.lifespan():
        assert auth.check_now(done.token) is None
        assert await auth.check(done.token) == done.session


async def test_upkeep_writes_and_sweeps_by_itself(auth, clock):
    """What is over goes with the sweep, a good while after it ended; what lives stays."""
    over, lives = await auth.sign_in("maria", absolute_s=HOUR), await auth.sign_in("maria")
    clock.advance(HOUR + 119)
    assert await auth.sweep() == 0
    clock.advance(1)
    assert await auth.sweep() == 1
    assert await auth.check(over.token) == Refused("unknown")
    assert await auth.check(lives.token)


async def test_a_reason_is_forgotten_after_a_day(auth, clock):
    """A revoked token is merely unknown one day later; it is never accepted again."""
    done = await auth.sign_in("maria")
    await auth.revoke(done.session.sid)
    clock.advance(DAY + 119)
    await auth.sweep()
    assert await auth.check(done.token) == Refused("revoked")
    clock.advance(1)
    await auth.sweep()
    assert await auth.check(done.token) == Refused("unknown")


def test_an_engine_does_not_print_its_secret(url):
    """Its repr names the store, and nothing that opens anything."""
    auth = Coatcheck(url, secret="hunter2-" * 8)
    assert "hunter2" not in repr(auth)
    assert repr(auth).startswith("<Coatcheck on ")
