"""Session fixation: the attacker gives the victim a token, and waits until it is signed in (CVE-2022-38054)."""

import base64

import httpx
import pytest
from tests.attacks.visitors import COOKIE, SAME_ORIGIN, ask, browser, with_cookie

from coatcheck import Refused
from coatcheck.tokens import session_token

PLANTED = "A" * 43


def token_in(response):
    """The session token that *response* sets."""
    return response.headers["set-cookie"].partition("=")[2].partition(";")[0]


async def test_a_made_up_token_is_never_adopted(auth, door):
    """No session begins under a token that came from outside: sign-in gives another, the planted one opens nothing."""
    async with browser(door, PLANTED) as victim:
        assert (await victim.get("/")).json()["refused"] == "unknown"
        response = await victim.post("/sign-in", headers=SAME_ORIGIN)
    assert token_in(response) != PLANTED
    assert await auth.check(PLANTED) == Refused("unknown")
    assert (await auth.check(token_in(response))).sub == "maria"


async def test_a_started_token_is_never_adopted_either(auth):
    """start() after a planted cookie mints its own."""
    started = await auth.start()
    assert started.token.reveal() != PLANTED
    assert await auth.check(PLANTED) == Refused("unknown")


@pytest.mark.parametrize("data", [None, {"cart": [1]}], ids=["in memory", "stored"])
async def test_the_attackers_started_session_dies_at_the_victims_sign_in(auth, door, data):
    """A genuine anonymous token, planted: after the sign-in it opens nothing, at any engine call or request."""
    attackers = (await auth.start(data)).token.reveal()
    async with browser(door, attackers) as victim:
        signed_in = token_in(await victim.post("/sign-in", headers=SAME_ORIGIN))
    assert signed_in != attackers
    assert auth.check_now(attackers) is None
    assert await auth.check(attackers) == Refused("renewed")
    assert await auth.renew(attackers, sub="maria") == Refused("renewed")
    answer = await ask(door, headers=with_cookie(attackers))
    assert answer.json == {"sub": None, "sid": None, "refused": "renewed"}


async def test_a_privilege_change_changes_the_token(auth, door):
    """What was seen before a step-up is worth nothing after it."""
    before = await auth.sign_in("maria")
    after = await auth.renew(before.token, amr=("pwd", "otp"))
    assert (await ask(door, headers=with_cookie(before.token))).json["refused"] == "renewed"
    assert (await ask(door, headers=with_cookie(after.token))).json["sub"] == "maria"


async def test_what_is_public_or_stored_is_no_credential(auth, door):
    """The sid, and the digest in the database in any spelling, open nothing: a copy of the store lets nobody in."""
    done = await auth.sign_in("maria")
    digest = session_token.digest(done.token.reveal())
    urlsafe = base64.urlsafe_b64encode(digest).decode()
    for text in (done.session.sid, digest.hex(), urlsafe, urlsafe.rstrip("="), digest.decode("latin-1")):
        assert not await auth.check(text)
        assert not await auth.renew(text, amr=("otp",))
        assert (await ask(door, headers=with_cookie(text))).json["sub"] is None
    assert not await auth.check(digest)


@pytest.mark.parametrize("place", ["query", "header", "path"])
async def test_a_token_is_taken_from_the_cookie_only(auth, door, place):
    """In a link or another header it is no credential: a link with a token in it signs nobody in."""
    token = (await auth.sign_in("eve")).token.reveal()
    url = {"query": f"/?{COOKIE}={token}", "path": f"/{COOKIE}={token}"}.get(place, "/")
    headers = {"X-Session": token, "Authorization": f"Session {token}"} if place == "header" else {}
    async with browser(door) as victim:
        response = await victim.get(url, headers=headers)
    assert response.json()["sub"] is None
    assert response.status_code == httpx.codes.OK
