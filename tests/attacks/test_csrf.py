"""Cross-site request forgery: another site has the victim's browser send a request, cookie and all."""

from urllib.parse import urlencode

import pytest
from tests.attacks.visitors import COOKIE, FORM, ORIGIN, SAME_ORIGIN, App, ask, browser, door_of, shake, with_cookie
from tests.vectors import cross_origin as rows

from coatcheck import Coatcheck, ConfigError, CsrfPolicy, Policy
from coatcheck.asgi import SessionMiddleware

JSON = "application/json"
EVIL = "https://evil.example"


@pytest.fixture
def url():
    """The door does not depend on the store."""
    return "memory://"


def headers_of(*, site=None, origin=None, content_type=JSON, **more):
    """Request headers; what is None is left out."""
    pairs = {"Sec-Fetch-Site": site, "Origin": origin, "Content-Type": content_type, **more}
    return {name: value for name, value in pairs.items() if value is not None}


# --- the table of Go's net/http ---


@pytest.fixture
async def gos_door(clock):
    """The middleware as Go's tests set theirs up."""
    csrf = CsrfPolicy(trusted_origins=(rows.TRUSTED,), exempt=rows.EXEMPT)
    policy = Policy(origins=(rows.PUBLIC,), csrf=csrf)
    async with Coatcheck("memory://", policy=policy, clock=clock) as auth:
        yield door_of(auth)


@pytest.mark.parametrize("row", rows.REQUESTS, ids=lambda row: row[0])
@pytest.mark.parametrize("signed_in", [False, True], ids=["anonymous", "signed in"])
async def test_gos_cross_origin_table(gos_door, row, signed_in):
    """Each row, with a cookie and without: judged by request, not by credential."""
    _, method, path, site, origin, served = row
    token = (await gos_door.auth.sign_in("maria")).token.reveal() if signed_in else "A" * 43
    headers = headers_of(site=site, origin=origin) | with_cookie(token)
    answer = await ask(gos_door, method, path, headers, host="example.com")
    assert answer.status == (200 if served else 403)
    assert len(gos_door.app.scopes) == served


@pytest.mark.parametrize(("name", "origin", "good"), rows.ORIGINS)
def test_gos_table_of_origins(name, origin, good):
    """What may be trusted is an origin and nothing else."""
    if good:
        CsrfPolicy(trusted_origins=(origin,))
    else:
        with pytest.raises(ConfigError):
            CsrfPolicy(trusted_origins=(origin,))


async def test_the_refusal(door):
    """403, as text, kept by no cache, and the application hears nothing of it."""
    answer = await ask(door, "POST", headers=headers_of(site="cross-site"))
    assert (answer.status, answer.one("content-type")) == (403, "text/plain; charset=utf-8")
    assert answer.one("cache-control") == "no-store"
    assert int(answer.one("content-length")) == len(answer.body)
    assert b"did not come from a page of this site" in answer.body
    assert door.app.scopes == []


# --- what the table does not have ---


@pytest.mark.parametrize(
    ("method", "served"),
    [("GET", True), ("HEAD", True), ("OPTIONS", True), ("POST", False), ("PUT", False), ("PATCH", False),
     ("DELETE", False), ("TRACE", False), ("QUERY", False), ("PROPFIND", False), ("get", False), ("Get", False),
     ("post", False), ("GET ", False), ("", False), ("X" * 1000, False)],
)  # fmt: skip
async def test_every_method_but_three_is_unsafe(door, method, served):
    """GET, HEAD and OPTIONS exactly as written; another case or another method is judged."""
    assert (await ask(door, method, headers=headers_of(site="cross-site"))).status == (200 if served else 403)


@pytest.mark.parametrize(
    "pairs",
    [
        [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Site", "same-origin")],
        [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "same-origin")],
        [("Origin", ORIGIN), ("Origin", EVIL)],
        [("Origin", EVIL), ("Origin", ORIGIN)],
        [("Content-Type", "application/json"), ("Content-Type", "text/plain")],
        [("Sec-Fetch-Site", "same-origin, cross-site")],
        [("Sec-Fetch-Site", "cross-site, same-origin")],
        [("Sec-Fetch-Site", "")],
        [("Sec-Fetch-Site", "Same-Origin")],
        [("Sec-Fetch-Site", "same-origin ")],
        [("Sec-Fetch-Site", "sameorigin")],
        [("Sec-Fetch-Site", b"same-origin\xff")],
        [("Sec-Fetch-Site", "cross-site"), ("Origin", ORIGIN)],
        [("Origin", "")],
        [("Origin", "null")],
        [("Origin", f"{ORIGIN} {EVIL}")],
        [("Origin", f"{ORIGIN}/")],
        [("Origin", f"{ORIGIN}:443")],
        [("Origin", f"{ORIGIN}.evil.example")],
        [("Origin", f"{ORIGIN}:8443")],
        [("Origin", "http://app.example.com")],
        [("Origin", "https://example.com")],
        [("Origin", "https://evil.app.example.com")],
        [("Origin", "https://app.example.com@evil.example")],
        [("Origin", "app.example.com")],
        [("Origin", "HTTPS://APP.EXAMPLE.COM")],
        [("Origin", b"https://app.example.com\xff")],
    ],
    ids=repr,
)
async def test_near_misses_are_refused(auth, door, pairs):
    """Doubled, misspelt or similar headers, with a genuine cookie: no browser sends them, and nobody may."""
    done = await auth.sign_in("maria")
    sent = [*pairs, ("Cookie", f"{COOKIE}={done.token.reveal()}")]
    if not any(name == "Content-Type" for name, _ in pairs):
        sent.append(("Content-Type", JSON))
    assert (await ask(door, "POST", headers=sent)).status == 403
    assert door.app.scopes == []


async def test_the_host_header_makes_no_origin(clock):
    """Without configured origins, an Origin that equals the Host is not ours: Host is written by the sender."""
    async with Coatcheck("memory://", clock=clock) as auth:
        door = door_of(auth)
        answer = await ask(door, "POST", headers=headers_of(origin=EVIL), host="evil.example")
        assert answer.status == 403
        assert (await ask(door, "POST", headers=headers_of(site="same-origin"), host="evil.example")).status == 200


async def test_forwarded_headers_make_no_origin(door):
    """Nor does anything a proxy is said to have written."""
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Referer": f"{ORIGIN}/"}
    assert (await ask(door, "POST", headers=headers_of(origin=EVIL, **forged))).status == 403


# --- forms of browsers without Fetch Metadata ---

FORM_TYPES = [
    FORM, "multipart/form-data; boundary=x", "text/plain", None, "", f"{FORM}; charset=utf-8", "TEXT/PLAIN",
    " text/plain ", "text/plain;application/json", "Multipart/Form-Data",
]  # fmt: skip


@pytest.mark.parametrize("content_type", FORM_TYPES)
@pytest.mark.parametrize("signed_in", [False, True], ids=["anonymous", "signed in"])
async def test_a_form_without_the_token_is_refused(auth, door, content_type, signed_in):
    """Whatever a form can send, from a browser that says nothing of where it comes from."""
    headers = headers_of(content_type=content_type)
    if signed_in:
        headers |= with_cookie((await auth.sign_in("maria")).token)
    assert (await ask(door, "POST", headers=headers, body=b"a=1")).status == 403
    assert door.app.scopes == []


@pytest.mark.parametrize("content_type", [JSON, "application/json; charset=utf-8", "application/xml", "x/y"])
async def test_what_no_form_can_send_passes(door, content_type):
    """A program: no browser sends these to another site without asking first."""
    assert (await ask(door, "POST", headers=headers_of(content_type=content_type), body=b"{}")).status == 200


class Page:
    """A browser without Fetch Metadata that has a page with a form in it open."""

    def __init__(self, door, client, token):
        self.door, self.client, self.token = door, client, token

    @classmethod
    async def open(cls, door, session=None):
        client = browser(door, session)
        token = (await client.get("/form")).json()["csrf"]
        return cls(door, client, token)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc_info):
        await self.client.aclose()

    async def post(self, token, *, where="field", cookies=None, filling="b=2", end=""):
        """Send the form, with *token* in its field or in the header, and with whichever browser's cookies."""
        jar = self.client.cookies if cookies is None else cookies
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items()), "Content-Type": FORM}
        body = f"a=1&{filling}"
        if where == "header":
            sent["X-CSRF-Token"] = token
        else:
            body += "&" + urlencode({"csrf_token": token}) + end
        return (await ask(self.door, "POST", "/", sent, body=body.encode())).status


@pytest.fixture(params=[False, True], ids=["anonymous", "signed in"])
async def page(request, auth, door):
    """A page, open in an anonymous browser and in one that is signed in."""
    token = (await auth.sign_in("maria")).token.reveal() if request.param else None
    opened = await Page.open(door, token)
    async with opened:
        yield opened


@pytest.mark.parametrize("where", ["field", "header"])
async def test_the_token_lets_a_form_in(page, where):
    """Our own page's form, from an old browser, passes, as often as it is sent; and the application gets all of it."""
    for _ in range(2):
        assert await page.post(page.token, where=where) == 200
    expected = "a=1&b=2" + (f"&csrf_token={page.token}" if where == "field" else "")
    assert page.door.app.bodies[-2:] == [expected.encode()] * 2


@pytest.mark.parametrize("where", ["field", "header"])
@pytest.mark.parametrize(
    "spoil",
    [lambda token: "", lambda token: token[:-1], lambda token: token + "A", lambda token: "A" * 64,
     lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"), lambda token: token.swapcase()],
    ids=["empty", "short", "long", "made up", "changed", "swapped"],
)  # fmt: skip
async def test_a_tampered_token_is_refused(page, spoil, where):
    """Every character of it counts."""
    assert await page.post(spoil(page.token), where=where) == 403


async def test_an_attackers_own_token_is_worthless_in_the_victims_browser(auth, door, page):
    """Login CSRF and the rest: a token is bound to the browser it was made for, anonymous ones too."""
    eves_session = (await auth.sign_in("eve")).token.reveal()
    for session in (None, eves_session):
        eve = await Page.open(door, session)
        async with eve:
            assert await eve.post(eve.token) == 200, "it is good in her own browser"
            assert await page.post(eve.token) == 403
            assert await page.post(eve.token, where="header") == 403


async def test_after_the_sign_in_the_anonymous_token_is_worthless(auth, door):
    """Who saw the form before the sign-in cannot use its token against the session."""
    before = await Page.open(door)
    async with before:
        before.client.cookies.set(COOKIE, (await auth.sign_in("maria")).token.reveal())
        assert await before.post(before.token) == 403


async def test_another_session_of_the_same_person_has_other_tokens(auth, door):
    """The token is bound to the session, not to the subject; and it survives a renewal of the session."""
    one, two = await auth.sign_in("maria"), await auth.sign_in("maria")
    first = await Page.open(door, one.token.reveal())
    async with first:
        assert await first.post(first.token, cookies={COOKIE: two.token.reveal()}) == 403
        renewed = await auth.renew(one.token)
        assert await first.post(first.token, cookies={COOKIE: renewed.token.reveal()}) == 200


async def test_a_token_without_its_cookie_is_worthless(door):
    """The browser that has the form also has the cookie that it is bound to."""
    page = await Page.open(door)
    async with page:
        assert await page.post(page.token, cookies={}) == 403
        assert await page.post(page.token, cookies={"__Host-csrf": "x"}) == 403


async def test_the_anonymous_cookie_is_as_safe_as_the_sessions(door):
    """__Host-, HttpOnly, Secure, SameSite; set once, with the first form, in an answer nobody keeps."""
    async with browser(door) as client:
        first = await client.get("/form")
        name, _, attributes = first.headers["set-cookie"].partition("=")
        assert name == "__Host-csrf"
        assert attributes.partition("; ")[2] == "Path=/; HttpOnly; Secure; SameSite=Lax"
        assert first.headers["cache-control"] == "no-store"
        again = await client.get("/form")
        assert "set-cookie" not in again.headers
        assert again.json()["csrf"] != first.json()["csrf"]


@pytest.mark.parametrize("chunk", [1, 7, 1000])
async def test_a_body_in_many_chunks_arrives_whole(door, chunk):
    """What is read ahead to find the token is given to the application again, to the byte."""
    page = await Page.open(door)
    async with page:
        body = urlencode({"csrf_token": page.token, "text": "ü" * 2000}).encode()
        chunks = [body[at : at + chunk] for at in range(0, len(body), chunk)]
        headers = headers_of(content_type=FORM, Cookie=f"__Host-csrf={page.client.cookies['__Host-csrf']}")
        assert (await ask(door, "POST", "/", headers, chunks=chunks)).status == 200
        assert door.app.bodies[-1] == body


@pytest.mark.parametrize("size", [64 * 1024, 64 * 1024 + 1, 200_000])
async def test_a_large_form_needs_the_header(door, size):
    """Past 64 KiB nothing is read ahead: the field is not found, the header still is, and the body arrives whole."""
    page = await Page.open(door)
    async with page:
        field = urlencode({"csrf_token": page.token}).encode() + b"&a="
        body = field + b"x" * (size - len(field))
        chunks = [body[at : at + 5000] for at in range(0, len(body), 5000)]
        headers = headers_of(content_type=FORM, Cookie=f"__Host-csrf={page.client.cookies['__Host-csrf']}")
        answer = await ask(door, "POST", "/", headers, chunks=chunks)
        assert answer.status == (200 if size <= 64 * 1024 else 403)
        answer = await ask(door, "POST", "/", headers | {"X-CSRF-Token": page.token}, chunks=chunks)
        assert (answer.status, door.app.bodies[-1]) == (200, body)


@pytest.mark.parametrize(
    "extra", ["csrf_token=x", "csrf_token=", "&".join(["f=1"] * 1000)], ids=["two", "empty", "many"]
)
async def test_a_doubled_field_and_a_flood_of_fields(page, extra):
    """A second token, before or behind, makes both void; a thousand fields are not searched; an empty one is none."""
    expected = 200 if extra == "csrf_token=" else 403
    assert await page.post(page.token, filling=extra) == expected
    assert await page.post(page.token, end=f"&{extra}") == expected


async def test_a_doubled_header_is_void(page):
    """Two X-CSRF-Token fields, and a good one among them."""
    jar = "; ".join(f"{name}={value}" for name, value in page.client.cookies.items())
    pairs = [("Cookie", jar), ("Content-Type", FORM), ("X-CSRF-Token", page.token), ("X-CSRF-Token", "x")]
    assert (await ask(page.door, "POST", "/", pairs)).status == 403


async def test_a_token_is_no_pass_for_another_site(page):
    """Where the browser says that another site sends it, even the genuine token does not help."""
    jar = "; ".join(f"{name}={value}" for name, value in page.client.cookies.items())
    for said in ({"site": "cross-site"}, {"site": "same-site"}, {"origin": EVIL}, {"origin": "null"}):
        headers = headers_of(content_type=FORM, Cookie=jar, **said) | {"X-CSRF-Token": page.token}
        assert (await ask(page.door, "POST", "/", headers)).status == 403


async def test_multipart_takes_the_header_only(page):
    """A multipart body is not searched: its token goes into the header."""
    jar = "; ".join(f"{name}={value}" for name, value in page.client.cookies.items())
    kind = "multipart/form-data; boundary=x"
    body = f'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n{page.token}\r\n--x--'.encode()
    headers = headers_of(content_type=kind, Cookie=jar)
    assert (await ask(page.door, "POST", "/", headers, body=body)).status == 403
    assert (await ask(page.door, "POST", "/", headers | {"X-CSRF-Token": page.token}, body=body)).status == 200
    assert page.door.app.bodies[-1] == body


async def test_a_sign_in_is_judged_like_everything_else(door):
    """There is no session yet, and still another site cannot sign the victim in as somebody else."""
    async with browser(door) as victim:
        refused = await victim.post("/sign-in", headers={"Origin": EVIL})
        assert (refused.status_code, "set-cookie" in refused.headers) == (403, False)
        assert (await victim.post("/sign-in", headers=SAME_ORIGIN)).status_code == 200


# --- WebSocket handshakes ---


@pytest.mark.parametrize(
    ("headers", "outcome"),
    [
        ({"Origin": ORIGIN}, "accepted"),
        ({"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN}, "accepted"),
        ({"Sec-Fetch-Site": "none"}, "accepted"),
        ({}, "accepted"),
        ({"Origin": EVIL}, 1008),
        ({"Origin": "null"}, 1008),
        ({"Origin": "https://evil.app.example.com"}, 1008),
        ({"Sec-Fetch-Site": "cross-site", "Origin": EVIL}, 1008),
        ({"Sec-Fetch-Site": "same-site", "Origin": ORIGIN}, 1008),
        ([("Origin", ORIGIN), ("Origin", EVIL)], 1008),
    ],
)
@pytest.mark.parametrize("signed_in", [False, True], ids=["anonymous", "signed in"])
async def test_handshakes_are_judged(auth, door, headers, outcome, signed_in):
    """A handshake is a GET that carries cookies and opens a door: another site's is closed before it is accepted."""
    token = (await auth.sign_in("maria")).token.reveal() if signed_in else "A" * 43
    pairs = [*(headers.items() if isinstance(headers, dict) else headers), ("Cookie", f"{COOKIE}={token}")]
    assert await shake(door, pairs) == outcome
    assert len(door.app.scopes) == (outcome == "accepted")
    if outcome == "accepted":
        session = door.app.scopes[0]["coatcheck"]
        assert (session and session.sub) == ("maria" if signed_in else None)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "CONNECT"])
async def test_a_safe_method_does_not_save_a_handshake(auth, method):
    """Over HTTP/2 a handshake names another method; it is judged all the same."""

    async def with_method(scope, receive, send):
        await SessionMiddleware(App(auth), auth=auth)(scope | {"method": method}, receive, send)

    assert await shake(with_method, {"Origin": EVIL}) == 1008
    assert await shake(with_method, {"Origin": ORIGIN}) == "accepted"
