"""Input that nobody sends by mistake: every answer is a clear 4xx, and the server goes on."""

import asyncio
import contextlib
import json
import logging
import random
import re
import secrets
import string

import pytest
from argon2 import PasswordHasher

from coatcheck import Coatcheck, Policy
from coatcheck.server import database, door, run
from coatcheck.server.api import ENDPOINTS
from coatcheck.server.app import build_app
from coatcheck.server.passwords import Passwords
from coatcheck.server.site import Site

PASSWORD = "correct horse battery"
SESSION = "__Host-session"
JSON = {"content-type": "application/json"}
WITH_BODY = [one for one in ENDPOINTS if one.body is not None and one.who != "client"]  # tests/feed has those


def is_clear(answer):
    """Say whether *answer* is a 4xx that names what is wrong."""
    told = answer.json()
    return (
        400 <= answer.status_code < 500
        and answer.headers["content-type"] == "application/problem+json"
        and told["status"] == answer.status_code
        and bool(told["code"] and told["title"])
    )


# --- bodies ---

BODIES = {
    "1 MB name": b'{"username":"' + b"x" * 2**20 + b'","password":"y"}',
    "1 MB password": b'{"password":"' + b"x" * 2**20 + b'"}',
    "empty": b"",
    "spaces": b" " * 60_000,
    "NUL": b"\0" * 100,
    "control characters": b'{"username":"a\x00\x01\x1bb","password":"y"}',
    "broken UTF-8": b'{"username":"\xc3\x28","password":"\xff"}',
    "overlong UTF-8": b'{"username":"\xc0\xaf","password":"y"}',
    "UTF-8 surrogate": b'{"username":"\xed\xa0\x80","password":"y"}',
    "lone surrogate": b'{"username":"\\udc00","password":"y"}',
    "UTF-16": '{"username":"x","password":"y"}'.encode("utf-16"),
    "BOM": b'\xef\xbb\xbf{"username":"x","password":"y"}',
    "nested lists": b"[" * 30_000,
    "nested lists, closed": b"[" * 30_000 + b"]" * 30_000,
    "nested in a field": b'{"username":' + b"[" * 30_000 + b"]" * 30_000 + b',"password":"y"}',
    "nested in another": b'{"more":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
    "huge whole number": b'{"username":' + b"9" * 60_000 + b',"password":"y"}',
    "huge number alone": b"9" * 60_000,
    "huge exponent": b'{"username":1e999999999,"password":"y"}',
    "NaN": b'{"username":NaN,"password":Infinity}',
    "null": b"null",
    "null fields": b'{"username":null,"password":null,"code":null,"current_password":null,"admin":null}',
    "wrong types": b'{"username":{},"password":[],"admin":"yes","disabled":1}',
    "many unknown fields": json.dumps({f"field {number}": number for number in range(3000)}).encode(),
    "prototype": b'{"__proto__":{"admin":true},"constructor":1}',
    "two values": b'{"username":"x","password":"y"}{"username":"x"}',
    "comment": b'{"username":"x",/* */"password":"y"}',
    "single quotes": b"{'username':'x','password':'y'}",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
}


@pytest.mark.both("long")
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_a_hostile_body_is_a_clear_4xx_everywhere(people, enter, body):
    """At each address that takes a body, asked by an administrator."""
    root = await enter("root")
    for one in WITH_BODY:
        path = one.path.replace("{id}", people.maria.id)
        answer = await root.request(one.method, path, content=body, headers=JSON)
        assert is_clear(answer), (path, answer.status_code, answer.text[:200])
    assert (await root.get("/api/session")).status_code == 200


@pytest.mark.parametrize(
    "media_type",
    ["", "application/json-seq", "application/jsonp", "text/json", "application/json\x00", "x" * 10_000, "*/*"],
    ids=lambda text: ascii(text[:20]),
)
async def test_another_kind_of_body_is_not_read(people, enter, media_type):
    """Only application/json is JSON."""
    root = await enter("root")
    for one in WITH_BODY:
        path = one.path.replace("{id}", people.maria.id)
        answer = await root.request(one.method, path, content=b'{"admin":true}', headers={"content-type": media_type})
        assert answer.status_code == 415 and is_clear(answer)


async def test_of_a_field_that_comes_twice_the_last_counts(people, browser):
    """One reading, always the same, so that what was checked is what is used."""
    client = await browser()
    right, wrong = f'"password":"{PASSWORD}"', '"password":"wrong password"'
    for first, second, status in ((right, wrong, 401), (wrong, right, 200)):
        body = f'{{"username":"nobody","username":"maria",{first},{second}}}'.encode()
        assert (await client.post("/api/sign-in", content=body, headers=JSON)).status_code == status


async def test_a_body_in_a_thousand_pieces_is_one_body(people, browser):
    """The limit counts all pieces together; below it they are read as one."""
    client = await browser()

    async def pieces(body, size):
        for at in range(0, len(body), size):
            yield body[at : at + size]

    right = json.dumps({"username": "maria", "password": PASSWORD}).encode()
    assert (await client.post("/api/sign-in", content=pieces(right, 1), headers=JSON)).status_code == 200
    large = b'{"username":"' + b"x" * door.BODY_LONGEST + b'"}'
    answer = await client.post("/api/sign-in", content=pieces(large, 100), headers=JSON)
    assert answer.status_code == 413 and is_clear(answer)


# --- names ---

NAMES = {
    "ligature that grows": "\ufdfa" * 128,
    "combining marks": "a" + "\u0301" * 127,
    "composed jamo": "\u1112\u1161\u11ab" * 42,
    "dotted I": "\u0130" * 128,
    "sharp s": "\u00df" * 128,
    "family": "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 10,
    "Arabic": "\u0645\u0627\u0631\u064a\u0627",
    "outside the plane": "\U00020000" * 128,
    "variation selector": "a\ufe0f",
    "tag characters": "a\U000e0041",
    "private use": "a\ue000",
    "unassigned": "a\u0378",
    "not a character": "a\uffff",
    "line separator": "a\u2028b",
    "right to left override": "a\u202eb",
    "hangul filler": "\u3164",
    "soft hyphen": "a\u00adb",
    "braces": "{{7*7}}${7*7}%s%n",
    "markup": "<script>alert(1)</script>",
    "SQL": "'; DROP TABLE users; --",
    "path": "../../etc/passwd",
    "percent": "%00%0d%0a",
}


@pytest.mark.both("long")
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
async def test_a_strange_name_is_refused_or_works(people, enter, browser, name):
    """An account that was added can sign in, is found and is listed as it was typed; any other name is a clear 4xx."""
    root, client = await enter("root"), await browser()
    unknown = await client.post("/api/sign-in", json={"username": name, "password": PASSWORD})
    assert unknown.status_code == 401 and is_clear(unknown)
    added = await root.post("/api/users", json={"username": name, "password": PASSWORD})
    if added.status_code != 201:
        assert added.status_code == 422 and is_clear(added)
        return
    assert added.json()["name"] == name
    entered = await client.post("/api/sign-in", json={"username": name, "password": PASSWORD})
    assert entered.status_code == 200 and entered.json()["name"] == name
    found = (await root.get("/api/users", params={"query": name})).json()
    assert name in [user["name"] for user in found["users"]]
    again = await root.post("/api/users", json={"username": name, "password": PASSWORD})
    assert again.status_code == 409 and is_clear(again)


@pytest.mark.both("long")
@pytest.mark.parametrize("text", ["x" * 60_000, "x" * 257, "\ufdfa" * 256, "\0", "%", "'\"\\", "\U0010ffff" * 256])
async def test_a_strange_query_finds_nothing_or_is_a_clear_4xx(people, enter, text):
    """In each parameter of each list."""
    root = await enter("root")
    for path, names in (
        ("/api/users", ("query", "after", "limit")),
        ("/api/audit", ("user", "event", "before", "limit")),
    ):
        for name in names:
            answer = await root.get(path, params={name: text})
            assert answer.status_code == 200 or (answer.status_code == 422 and is_clear(answer)), (path, name)
            assert answer.status_code == 422 or len(text) <= 256
            assert len(answer.content) < 10_000


# --- cookies ---


class Direct:
    """Asks the application without an HTTP library in between: it would not send most of this."""

    def __init__(self, app):
        self._app = app

    async def get(self, *cookies, path="/api/session"):
        fields = [(b"host", b"auth.example.com"), *((b"cookie", cookie) for cookie in cookies)]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": fields,
            "client": ("192.0.2.7", 4711),
            "server": ("auth.example.com", 443),
        }
        found = []

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            found.append(message.get("status"))

        await self._app(scope, receive, send)
        return found[0]


async def test_ten_thousand_made_up_cookies_leave_nothing_behind(people, enter, app, site):
    """None is a fault, none is let in, and none is remembered."""
    await enter("maria")
    direct, chance = Direct(app), random.Random(1)
    before = len(site.auth._memory._entries)
    letters = string.ascii_letters + string.digits + "-_"

    def made_up(number):
        kind = number % 4
        if kind < 2:
            return f"{SESSION}={''.join(chance.choices(letters, k=43))}".encode()
        if kind == 2:
            return f"{SESSION}=".encode() + chance.randbytes(chance.randrange(80))
        return chance.randbytes(chance.randrange(200))

    for batch in range(0, 10_000, 200):
        tries = (direct.get(made_up(number)) for number in range(batch, batch + 200))
        assert set(await asyncio.gather(*tries)) == {401}
    assert len(site.auth._memory._entries) == before


async def test_large_and_odd_cookie_headers(people, enter, app):
    """The session is found among much else; of what is too large or comes twice, nothing is believed."""
    token = (await enter("maria")).cookies[SESSION].encode()
    ours, direct = b"__Host-session=" + token, Direct(app)
    for status, cookies in (
        (200, [ours]),
        (200, [b"; ".join(b"c%d=%s" % (number, b"x" * 90) for number in range(200)) + b"; " + ours]),
        (200, [b"a=b"] * 500 + [ours]),
        (401, [b"a=" + b"x" * 40_000 + b"; " + ours]),
        (401, [ours + b"; a=" + b"x" * 40_000]),
        (401, [b"a=" + b"x" * 1000 + b"; "] * 40 + [ours]),
        (401, [b"a=" + b"x" * 2**20]),
        (401, [ours, ours]),
        (401, [ours, b"__Host-session=" + secrets.token_urlsafe(32).encode()]),
        (401, [b"; ".join([ours] * 1000)]),
        (401, [b";" * 30_000]),
        (401, [b"=" * 30_000]),
        (401, [ours.lower()]),
        (401, [b"x" + ours]),
        (401, [b'__Host-session="' + token + b'"']),
        (401, [ours + b"\xff"]),
        (401, [ours + b"\0"]),
        (401, [ours.replace(b"=", b"%3D")]),
    ):
        assert await direct.get(*cookies) == status, [cookie[:80] for cookie in cookies[:3]]


# --- the wire ---


class Wire:
    """A real server on a loopback port, and raw requests to it."""

    def __init__(self, port):
        self.host = f"127.0.0.1:{port}"
        self._port = port

    async def say(self, *parts, hangs_up=False, pause=0):
        """Send *parts* and return the answers that came until the server closed, as (status, head, body)."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        # Read meanwhile: when the server closes early, what it said must not be lost with what is still being sent.
        reading = asyncio.create_task(self._all_of(reader))
        with contextlib.suppress(ConnectionError):
            for part in parts:
                writer.write(part.replace(b"HOST", self.host.encode()))
                await writer.drain()
                await asyncio.wait([reading], timeout=pause)
                if reading.done():
                    break
            if hangs_up:
                writer.write_eof()
        said = await reading
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return parsed(said)

    async def _all_of(self, reader):
        said = bytearray()
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(65536):
                    said += piece
        return bytes(said)

    async def is_well(self):
        """Say whether the server still answers others."""
        return [status for status, _, _ in await self.say(request("GET", "/healthz"))] == [200]


def parsed(said):
    """Take answers apart."""
    found = []
    while said:
        head, _, said = said.partition(b"\r\n\r\n")
        status = int(re.match(rb"HTTP/1\.1 (\d{3})", head)[1])
        length = re.search(rb"(?i)\ncontent-length: (\d+)", head)
        size = int(length[1]) if length else 0 if status in (100, 204, 304) else len(said)
        found.append((status, head.lower(), said[:size]))
        said = said[size:]
    return found


def request(method, path, *fields, body=b"", close=True, host=b"Host: HOST"):
    """Write one request."""
    lines = [f"{method} {path} HTTP/1.1".encode(), host, *fields, *([b"Connection: close"] if close else [])]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


SIGN_IN = json.dumps({"username": "maria", "password": PASSWORD}).encode()
TYPE = b"Content-Type: application/json"


@pytest.fixture
async def wire(tmp_path, caplog):
    """The server as ``coatcheck serve`` runs it; no request may end in a traceback."""
    listening = run.listen("127.0.0.1", 0, "--port")
    port = listening.getsockname()[1]
    url = f"sqlite:///{tmp_path}/wire.db"
    auth = Coatcheck(url, policy=Policy(origins=(f"http://127.0.0.1:{port}",)))
    hasher = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    site = Site(auth, database.from_url(url), hasher=hasher)
    async with site.lifespan():
        await site.accounts.add("Maria", PASSWORD, is_admin=False, by=None)
        server = run._Side(run._config(build_app(site, opens=False)))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield Wire(port)
        finally:
            server.should_exit = True
            await asyncio.wait_for(serving, 20)
            listening.close()
    faults = [record for record in caplog.get_records("call") if record.exc_info or record.levelno >= logging.ERROR]
    assert faults == [], [record.getMessage() for record in faults]


MALFORMED = {
    "zeros": b"\0\1\2\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 500 + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no path": b"GET\r\n\r\n",
    "spaces": b"GET  /  HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "no host": request("GET", "/api/session", host=b"Accept: */*"),
    "two hosts": request("GET", "/api/session", b"Host: HOST"),
    "two hosts, one of another": request("GET", "/api/session", b"Host: evil.example"),
    "header without colon": request("GET", "/api/session", b"nonsense"),
    "space before colon": request("GET", "/api/session", b"Cookie : a=b"),
    "NUL in a header": request("GET", "/api/session", b"X: a\0b"),
    "CR in a header": request("GET", "/api/session", b"X: a\rb"),
    "length not a number": request("POST", "/api/sign-in", TYPE, b"Content-Length: ten", body=SIGN_IN),
    "length below zero": request("POST", "/api/sign-in", TYPE, b"Content-Length: -1", body=SIGN_IN),
    "two lengths": request("POST", "/api/sign-in", TYPE, b"Content-Length: 5", b"Content-Length: 6", body=SIGN_IN),
    "length too long for anybody": request("POST", "/api/sign-in", TYPE, b"Content-Length: " + b"9" * 40),
    "unknown coding": request("POST", "/api/sign-in", TYPE, b"Transfer-Encoding: xchunked", body=SIGN_IN),
    "two codings": request("POST", "/api/sign-in", TYPE, b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "chunk size": request("POST", "/api/sign-in", TYPE, b"Transfer-Encoding: chunked", body=b"zz\r\nx\r\n0\r\n\r\n"),
    "headers without end": b"GET /api/session HTTP/1.1\r\nHost: HOST\r\n" + b"X: " + b"x" * 300_000,
    "ten thousand headers": b"GET / HTTP/1.1\r\nHost: HOST\r\n" + b"X: y\r\n" * 30_000,
    "path without end": b"GET /" + b"x" * 300_000,
    "another's host": request("GET", "/api/session", host=b"Host: evil.example"),
    "host with a name before it": request("GET", "/api/session", host=b"Host: a@HOST"),
    "no such method": request("BREW", "/api/session"),
    "trace": request("TRACE", "/api/session"),
    "connect": request("CONNECT", "evil.example:443"),
    "absolute": request("GET", "http://evil.example/api/session"),
    "asterisk": request("OPTIONS", "*"),
    "dots": request("GET", "/static/../../../../etc/passwd"),
    "encoded dots": request("GET", "/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd"),
    "encoded slash": request("GET", "/static/..%2f..%2fpages.py"),
    "encoded NUL": request("GET", "/static/site.css%00"),
    "broken escape": request("GET", "/api/%zz%c3%28"),
    "too large": request("POST", "/api/sign-in", TYPE, b"Content-Length: 70000", body=b"x" * 70_000),
    "said to be too large": request(
        "POST", "/api/sign-in", TYPE, b"Content-Length: 999999999", b"Expect: 100-continue"
    ),
    "too large in pieces": request(
        "POST",
        "/api/sign-in",
        TYPE,
        b"Transfer-Encoding: chunked",
        body=b"ffff\r\n" + b"x" * 65535 + b"\r\n2\r\nxx\r\n",
    ),
}


@pytest.mark.parametrize("said", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_http_is_a_clear_4xx(wire, said):
    """Nothing but 4xx, then the connection is closed; everybody else is served on."""
    answers = await wire.say(said)
    assert answers and all(400 <= status < 500 for status, _, _ in answers), answers[:2]
    assert not any(b"root:" in body for _, _, body in answers)
    assert await wire.is_well()


async def test_a_length_and_a_coding_are_not_both_believed(wire):
    """The request that a proxy might not have seen is not answered: no smuggling."""
    hidden = request("DELETE", "/api/session", close=False)
    both = request(
        "POST", "/api/sign-in", TYPE, b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + hidden
    )
    answers = await wire.say(both)
    assert len(answers) == 1 and 400 <= answers[0][0] < 500


async def test_a_slow_body_is_given_up(wire, monkeypatch):
    """A piece now and then does not keep a request alive: 408 when the time for the whole body is over."""
    monkeypatch.setattr(door, "BODY_S", 0.15)
    length = b"Content-Length: %d" % len(SIGN_IN)
    for parts in (
        [request("POST", "/api/sign-in", TYPE, length)],
        [request("POST", "/api/sign-in", TYPE, length, body=SIGN_IN[:5])],
        [request("POST", "/api/sign-in", TYPE, length), *(bytes([letter]) for letter in SIGN_IN)],
        [request("POST", "/api/sign-in", TYPE, b"Transfer-Encoding: chunked"), *[b"1\r\nx\r\n"] * 12],
    ):
        answers = await wire.say(*parts, pause=0.02)
        assert [status for status, _, _ in answers] == [408]
        assert json.loads(answers[0][2])["code"] == "too_slow"
    assert await wire.is_well()


async def test_a_slow_form_without_a_session_is_given_up(wire, monkeypatch):
    """The form token is looked for before anybody is known, and that does not wait longer."""
    monkeypatch.setattr(door, "BODY_S", 0.1)
    form = b"Content-Type: application/x-www-form-urlencoded"
    cookie = b"Cookie: __Host-csrf=" + b"x" * 32
    answers = await wire.say(request("POST", "/sign-in", form, cookie, b"Content-Length: 50", body=b"name=x"))
    assert [status for status, _, _ in answers] == [408]


async def test_a_body_that_breaks_off_is_nobodys_fault(wire):
    """Who hangs up in the middle gets nothing, or a 4xx; nothing was done and everybody else is served on."""
    length = b"Content-Length: %d" % (len(SIGN_IN) + 10)
    answers = await wire.say(request("POST", "/api/sign-in", TYPE, length, body=SIGN_IN), hangs_up=True)
    assert all(400 <= status < 500 for status, _, _ in answers)
    assert await wire.is_well()


async def test_pipelined_requests_are_answered_in_turn(wire):
    """Each by itself: what one carries, the next does not have."""
    length = b"Content-Length: %d" % len(SIGN_IN)
    answers = await wire.say(
        request("GET", "/healthz", close=False)
        + request("POST", "/api/sign-in", TYPE, length, body=SIGN_IN, close=False)
        + request("GET", "/api/session", close=False)
        + request("GET", "/api/nothing")
    )
    assert [status for status, _, _ in answers] == [200, 200, 401, 404]
    assert b"set-cookie" in answers[1][1] and b"set-cookie" not in answers[2][1]


async def test_what_follows_a_refused_body_is_not_a_request(wire):
    """The rest of a body that was not read does not become a request of its own."""
    hidden = request("GET", "/healthz", close=False)
    body = hidden * 3 + b"x" * 70_000
    length = b"Content-Length: %d" % len(body)
    answers = await wire.say(request("POST", "/api/sign-in", TYPE, length, body=body))
    assert [status for status, _, _ in answers] == [413]


async def test_the_server_does_not_say_what_it_is(wire):
    """No Server header with a version, on answers and on refusals."""
    for said in (request("GET", "/healthz"), MALFORMED["no path"], MALFORMED["no host"]):
        for _, head, _ in await wire.say(said):
            assert b"\nserver:" not in head and b"uvicorn" not in head
