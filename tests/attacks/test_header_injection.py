"""Header injection: text that ends a header and begins another, on its way into a cookie or a response."""

import pytest
from msgspec.structs import replace
from tests.attacks.visitors import SAME_ORIGIN, ask, with_cookie

from coatcheck import ConfigError, CookiePolicy, Device, InvalidInput, Secret
from coatcheck.asgi import device
from coatcheck.http import cookie, headers

BREAKS = [
    "\r\nSet-Cookie: admin=1",
    "\nX: y",
    "\r",
    "\0",
    "\x0b",
    "; Domain=evil.example",
    ";",
    ", x=y",
    " ",
    "\u010d\u010a",
]


@pytest.mark.parametrize("text", BREAKS, ids=ascii)
async def test_a_token_that_is_none_is_not_written_into_a_cookie(auth, text):
    """Whatever somebody puts into a SignedIn, the cookie holds it whole or is refused."""
    done = await auth.sign_in("maria")
    for spoilt in (text, done.token.reveal() + text, text + done.token.reveal()):
        with pytest.raises(InvalidInput) as refused:
            auth.cookie(replace(done, token=Secret(spoilt)))
        assert done.token.reveal() not in str(refused.value)


@pytest.mark.parametrize("text", BREAKS, ids=ascii)
@pytest.mark.parametrize("field", ["name", "path", "domain", "same_site"])
def test_no_setting_breaks_out_of_the_cookie(field, text):
    """A name, path or domain that would add an attribute or a line is refused when the policy is built."""
    good = {"name": "session", "path": "/app", "domain": "example.com", "same_site": "Lax"}
    with pytest.raises(ConfigError):
        CookiePolicy(**(good | {field: good[field] + text}))


@pytest.mark.parametrize("text", BREAKS, ids=ascii)
def test_no_next_page_breaks_the_location(text):
    """What would end the Location header, or lead elsewhere, is not followed."""
    followed = headers.safe_next("/account" + text)
    assert followed == "/" or (followed.isascii() and followed.isprintable() and " " not in followed)
    if any(letter in text for letter in "\r\n\0\x0b \u010d"):
        assert followed == "/"


def test_every_octet_is_judged():
    """Of all characters up to 0x2ff, exactly those of the cookie grammar are written."""
    allowed = {0x21, *range(0x23, 0x2C), *range(0x2D, 0x3B), *range(0x3C, 0x5C), *range(0x5D, 0x7F)}
    written = set()
    for code in range(0x300):
        try:
            cookie.write(CookiePolicy(), chr(code), max_age_s=None)
        except InvalidInput:
            continue
        written.add(code)
    assert written == allowed


async def test_nothing_a_request_says_is_in_an_answer_of_ours(door):
    """Refusals, and the headers that are added, repeat nothing of path, host, origin or cookie."""
    mark = "XxMARKxX"
    hostile = {
        "Origin": f"https://{mark}",
        "User-Agent": mark,
        "Referer": mark,
        "Content-Type": mark,
        "X-Forwarded-For": mark,
    }
    answers = [
        await ask(door, "POST", f"/{mark}", hostile | with_cookie(mark)),
        await ask(door, "GET", f"/{mark}", hostile | with_cookie(mark), host=mark),
        await ask(door, "GET", f"/{mark}", hostile | with_cookie(mark)),
        await ask(door, "GET", "/form", hostile | with_cookie(mark)),
    ]
    assert [answer.status for answer in answers] == [403, 421, 200, 200]
    for answer in answers:
        assert mark not in repr(answer)


async def test_a_hostile_user_agent_is_kept_as_data(door):
    """Line breaks and escape sequences in the device are bounded text; no header is made of them."""
    agent = b"Mozilla\r\nSet-Cookie: a=b\x1b[31m" + b"x" * 1000
    answer = await ask(door, "POST", "/sign-in", [("User-Agent", agent), *SAME_ORIGIN.items()])
    assert len(answer.all("set-cookie")) == 1
    (session,) = await door.auth.sessions_of("maria")
    assert session.device == Device(ip="203.0.113.9", user_agent=agent.decode()[:512])


async def test_the_address_is_the_peers_unless_a_proxy_is_configured(door):
    """X-Forwarded-For is written by whoever likes; a doubled user agent is none."""
    pairs = [("X-Forwarded-For", "127.0.0.1"), ("User-Agent", "a"), ("User-Agent", "b")]
    await ask(door, headers=pairs)
    assert device(door.app.scopes[-1]) == Device(ip="203.0.113.9")
