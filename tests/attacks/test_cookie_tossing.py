"""Cookie tossing: a sibling domain, or plain http, adds a cookie of our name to the victim's (CVE-2023-23934)."""

import pytest
from tests.attacks.visitors import COOKIE, ask

from coatcheck import Refused


@pytest.fixture
def url():
    """The door does not depend on the store."""
    return "memory://"


@pytest.fixture(params=["warm", "cold"])
async def token(request, auth):
    """A genuine token, of a session in memory and of one only in the store."""
    done = await auth.sign_in("maria")
    if request.param == "cold":
        auth._memory._cache.drop()
    return done.token.reveal()


async def served_as(door, *cookies):
    """Whom a request with these Cookie fields is served as."""
    raw = [("Cookie", field if isinstance(field, bytes) else field.encode("latin-1")) for field in cookies]
    answer = await ask(door, headers=raw)
    assert answer.status == 200
    assert answer.all("set-cookie") == []
    return answer.json["sub"]


@pytest.mark.parametrize(
    "fields",
    [
        ["{name}={token}; {name}={token}"],
        ["{name}=x; {name}={token}"],
        ["{name}={token}; {name}=x"],
        ["{name}={token}; a=1; {name}="],
        ["{name}=; {name}={token}"],
        ["a=1; {name}={token};{name}={other}"],
        ["{name}={other}; {name}={token}"],
        ["{name}={token}", "{name}={token}"],
        ["{name}={other}", "{name}={token}"],
        ["{name}={token}", "a=1", "{name}={other}"],
        ["{name}={token}; ", " {name}={other}"],
        ["={name}={token}"],
        ["; ={name}={token}"],
        ["a=1; ={name}={token}"],
        ["__host-session={token}"],
        ["__HOST-SESSION={token}"],
        ["__Host-Session={token}"],
        ["x{name}={token}"],
        ["a=1; x{name}={token}"],
        ["a=1 {name}={token}"],
        ["a=1,{name}={token}"],
        ["a={name}={token}"],
        ["{name}2={token}"],
        ["{name} ={token}"],
        ["{name}\t={token}"],
        ["$Version=1; ${name}={token}"],
        ['{name}="{token}"'],
        ["{name}='{token}'"],
        ["{name}= "],
        ["{name}={token}{token}"],
        ["{name}={token},{other}"],
        ["{name}={token} x"],
        ["{name}=x{token}"],
        ["{name}={token}\0"],
        ["{name}=\0{token}"],
        ["{name}\0={token}"],
        ["{name}={token}\x0b"],
        ["{name}={token}\xa0"],
        ["\xa0{name}={token}"],
        ["{name}=%41{token}"],
        ["{name}"],
        [""],
        ["{token}"],
    ],
)
async def test_a_tossed_or_near_cookie_means_anonymous(door, token, fields):
    """Twice anywhere, nameless, quoted, of another case or almost our name: nobody is signed in, and nothing fails."""
    other = (await door.auth.sign_in("eve")).token.reveal()
    sent = [field.replace("{name}", COOKIE).replace("{token}", token).replace("{other}", other) for field in fields]
    assert await served_as(door, *sent) is None


@pytest.mark.parametrize(
    "fields",
    [
        ["{name}={token}"],
        ["a=1; {name}={token}; b=2"],
        ["a=1; {name}={token}"],
        ["a=1;{name}={token};b=2"],
        ["  {name}={token}  "],
        ["a=1", "{name}={token}", "b=2"],
        ["__host-session=x; {name}={token}"],
        ["=x; {name}={token}"],
        ["a={name}=x; {name}={token}"],
        ["\xff\xfe=\x80; {name}={token}"],
        ["{name}; {name}={token}"],
    ],
)
async def test_one_of_ours_among_others_is_found(door, token, fields):
    """Other cookies, whatever they are, neither hide ours nor stand for it."""
    sent = [field.replace("{name}", COOKIE).replace("{token}", token) for field in fields]
    assert await served_as(door, *sent) == "maria"


@pytest.mark.parametrize("raw", [b"\xff" * 43, b"\xc3\x28" * 21 + b"x", b"\x00" * 43, "é".encode() * 21 + b"x"])
async def test_bytes_that_are_no_text(auth, door, raw):
    """Broken UTF-8 and NUL in the value: malformed, not an error."""
    answer = await ask(door, headers=[("Cookie", COOKIE.encode() + b"=" + raw)])
    assert (answer.status, answer.json["refused"]) == (200, "malformed")


async def test_bytes_are_not_read_in_two_ways(auth, door):
    """43 bytes that only differ from a token when read as Latin-1 or UTF-8 open nothing."""
    done = await auth.sign_in("maria")
    token = done.token.reveal()
    assert await served_as(door, COOKIE.encode() + b"=" + token[:-1].encode() + b"\xe9") is None
    assert await auth.check(token[:-1] + "é") == Refused("malformed")


@pytest.mark.parametrize("size", [33_000, 1_000_000])
async def test_a_flood_of_cookies_means_anonymous(door, token, size):
    """Past 32 KiB nothing is searched for, wherever ours stands behind or before it."""
    filling = "a=" + "x" * size
    assert await served_as(door, f"{COOKIE}={token}; {filling}") is None
    assert await served_as(door, "; ".join(f"c{n}=x" for n in range(size // 5)) + f";{COOKIE}={token}") is None
    assert await served_as(door, *["a=" + "x" * (size // 10)] * 10, f";{COOKIE}={token}") is None


async def test_a_flood_before_our_cookie_means_anonymous(door, token):
    """The answer does not depend on whether the session is in memory."""
    assert await served_as(door, "a=" + "x" * 40_000 + f"; {COOKIE}={token}") is None
