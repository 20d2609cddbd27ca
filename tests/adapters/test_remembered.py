"""What the adapters remember of access tokens, so that a request costs less, and what they look at all the same."""

import pytest

from coatcheck import Coatcheck, Policy, Refused
from coatcheck import _asgi_tokens as tokens
from coatcheck.errors import NotOpen

ISSUER = "https://app.example.com"


@pytest.fixture
async def auth(clock):
    async with Coatcheck("memory://", issuer=ISSUER, policy=Policy(mode="jwt"), clock=clock) as auth:
        yield auth


async def jwt_of(auth, sub):
    session = (await auth.sign_in(sub)).session
    return session, auth.access_token(session, audience=ISSUER)


async def test_the_session_of_a_token_is_made_once_and_is_nobody_elses(auth):
    """Also when there are more tokens than are remembered."""
    sessions = tokens.Sessions(2)
    claims = [auth.verify((await jwt_of(auth, sub))[1], audience=ISSUER) for sub in ("maria", "tess", "ada", "bo")]
    for _ in range(3):
        assert [sessions.of(one).sub for one in claims] == ["maria", "tess", "ada", "bo"]
        assert len(sessions._made) <= 2
    assert sessions.of(claims[0]) is sessions.of(claims[0])


async def test_a_remembered_token_is_judged_each_time(auth, clock):
    """Audience, revocation and end are not remembered; what is no bearer token is not looked up."""
    session, jwt = await jwt_of(auth, "maria")
    field = [f"Bearer {jwt}".encode()]
    assert tokens.find_bearer(field, auth, ISSUER).sub == "maria"
    assert tokens.find_bearer(field, auth, ISSUER).sub == "maria"
    assert tokens.find_bearer(field, auth, "another") == Refused("wrong_audience")
    assert tokens.find_bearer(field * 2, auth, ISSUER) == Refused("malformed")
    assert tokens.find_bearer([b"bearer  " + jwt.encode() + b" "], auth, ISSUER).sub == "maria"
    _, other = await jwt_of(auth, "tess")
    assert tokens.find_bearer([f"Bearer {other}".encode()], auth, ISSUER).sub == "tess"
    await auth.revoke(session.sid)
    assert tokens.find_bearer(field, auth, ISSUER) == Refused("revoked")
    clock.advance(3601)
    assert tokens.find_bearer([f"Bearer {other}".encode()], auth, ISSUER) == Refused("expired")


async def test_what_is_too_long_is_not_even_looked_up(auth, monkeypatch):
    """A hash of a megabyte costs something."""
    asked = []
    recall = auth.recall_token
    monkeypatch.setattr(auth, "recall_token", lambda digest, audience: asked.append(digest) or recall(digest, audience))
    assert tokens.find_bearer([b"Bearer " + b"a" * 2**20], auth, ISSUER) == Refused("malformed")
    for field in (b"Bearer ", b"Bearer \xff", b"Bearer a b", b"Bearer =a"):
        assert tokens.find_bearer([field], auth, ISSUER) == Refused("malformed")
    assert len(asked) == 4
    assert tokens.find_bearer([b"Basic YTpi"], auth, ISSUER) is tokens.find_bearer([], auth, ISSUER) is None


async def test_nothing_is_remembered_by_an_engine_that_is_closed(clock):
    """As for every other call."""
    auth = Coatcheck("memory://", issuer=ISSUER, policy=Policy(mode="jwt"), clock=clock)
    assert auth.recall_token(b"\0" * 32, ISSUER) is None
    async with auth:
        _, jwt = await jwt_of(auth, "maria")
        assert tokens.find_bearer([f"Bearer {jwt}".encode()], auth, ISSUER).sub == "maria"
    with pytest.raises(NotOpen, match="closed"):
        tokens.find_bearer([f"Bearer {jwt}".encode()], auth, ISSUER)
