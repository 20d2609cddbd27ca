"""The store is down: nobody is let in, nobody is signed out, and who needs no session is served."""

import asyncio

import pytest
from tests.attacks.visitors import FORM, SAME_ORIGIN, ask, browser, shake, with_cookie

from coatcheck import Coatcheck, StoreUnavailable

READS = ["load", "load_sid", "load_subject", "generation"]
WRITES = ["create", "renew", "change_claims", "change_data", "end", "end_subject", "end_everyone", "touch", "sweep"]


@pytest.fixture
async def cold(auth, monkeypatch):
    """A token of a session that memory does not know, and a store that does not answer."""
    done = await auth.sign_in("maria")
    auth._memory._cache.drop()
    break_store(auth, monkeypatch)
    return done.token.reveal()


def break_store(auth, monkeypatch):
    """Make every call of the store fail."""

    async def down(*args, **kwargs):
        raise StoreUnavailable("the store does not answer")

    for name in READS + WRITES:
        monkeypatch.setattr(auth._store, name, down)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_with_a_credential_gets_503(door, cold, method):
    """Try again: with Retry-After, without a cookie that would delete, and the application hears nothing."""
    answer = await ask(door, method, headers=with_cookie(cold) | SAME_ORIGIN)
    assert (answer.status, answer.one("retry-after"), answer.one("cache-control")) == (503, "5", "no-store")
    assert answer.all("set-cookie") == []
    assert door.app.scopes == []


async def test_an_unknown_token_gets_503_too(door, cold):
    """Whether it opens something cannot be told now."""
    assert (await ask(door, headers=with_cookie("A" * 43))).status == 503


@pytest.mark.parametrize(
    "headers", [{}, {"Cookie": "a=1"}, with_cookie("malformed"), {"Cookie": "__Host-session=; __Host-session=x"}]
)
async def test_the_anonymous_are_served(door, cold, headers):
    """No credential, or what cannot be one: the store is not needed to know that."""
    answer = await ask(door, headers=headers)
    assert (answer.status, answer.json["sub"], answer.all("set-cookie")) == (200, None, [])


async def test_what_memory_knows_is_served(auth, door, monkeypatch):
    """A warm session needs no store; it is answered as long as memory may be trusted."""
    done = await auth.sign_in("maria")
    break_store(auth, monkeypatch)
    assert (await ask(door, headers=with_cookie(done.token))).json["sub"] == "maria"


async def test_memory_that_cannot_be_sure_is_not_used(auth, door, clock, monkeypatch):
    """When the log cannot be read, a session in memory is no answer: fail closed."""
    done = await auth.sign_in("maria")
    break_store(auth, monkeypatch)
    monkeypatch.setattr(auth._store, "changed_behind_pulse", lambda: None)
    clock.advance(1)
    assert auth.check_now(done.token) is None
    assert (await ask(door, headers=with_cookie(done.token))).status == 503


async def test_a_handshake_with_a_credential_is_closed(door, cold):
    """1013, try again later; an anonymous one is accepted."""
    assert await shake(door, with_cookie(cold)) == 1013
    assert await shake(door) == "accepted"


async def test_a_form_is_not_let_in_either(door, cold):
    """An old browser's form with a cookie: 503, not a guess."""
    answer = await ask(door, "POST", headers=with_cookie(cold) | {"Content-Type": FORM}, body=b"a=1")
    assert answer.status == 503


async def test_an_excluded_path_needs_no_store(auth, cold):
    """Style sheets are served while the store is down."""
    from tests.attacks.visitors import door_of

    assert (await ask(door_of(auth, exclude=("/static/",)), path="/static/a", headers=with_cookie(cold))).status == 200


async def test_check_says_so_and_nothing_is_remembered(auth, door, cold, monkeypatch):
    """StoreUnavailable from check, every time; when the store is back, so is the session: nobody was signed out."""
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await auth.check(cold)
        assert auth.check_now(cold) is None
    monkeypatch.undo()
    assert (await auth.check(cold)).sub == "maria"
    async with browser(door, cold) as client:
        assert (await client.get("/")).json()["sub"] == "maria"


async def test_checks_that_share_a_read_share_its_failure_only(auth, cold):
    """Ten at once all hear that the store is down; none of them hangs."""
    answers = await asyncio.wait_for(asyncio.gather(*(auth.check(cold) for _ in range(10)), return_exceptions=True), 5)
    assert {type(answer) for answer in answers} == {StoreUnavailable}


async def test_a_revocation_that_failed_says_so(auth, monkeypatch):
    """No receipt without a commit: the caller knows that the session may live."""
    done = await auth.sign_in("maria")
    with monkeypatch.context() as patch:
        break_store(auth, patch)
        for end in (auth.revoke(done.session.sid), auth.revoke_user("maria"), auth.revoke_everyone()):
            with pytest.raises(StoreUnavailable):
                await end
    assert await auth.check(done.token) == done.session


async def test_a_file_that_was_taken_away(tmp_path, clock):
    """SQLite's file replaced under the engine: memory is not trusted, 503 it is."""
    path = tmp_path / "coatcheck.db"
    async with Coatcheck(f"sqlite:///{path}", clock=clock) as auth:
        done = await auth.sign_in("maria")
        path.rename(tmp_path / "elsewhere.db")
        clock.advance(1)
        assert auth.check_now(done.token) is None
