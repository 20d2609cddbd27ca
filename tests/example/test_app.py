"""The example application in this process: what its routes answer to good input and to bad."""

import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from argon2 import PasswordHasher
from examples.starlette_app.__main__ import main
from examples.starlette_app.app import build_app
from examples.starlette_app.door import CONTENT_SECURITY_POLICY
from examples.starlette_app.people import People, UsersFileError, why_not

from coatcheck import Coatcheck, Device, Policy, StoreUnavailable
from coatcheck.testing import signed_in

ORIGIN = "https://app.example.com"
SESSION = "__Host-session"


@pytest.fixture
def url(tmp_path):
    """The kind of store that the example uses when it is not told otherwise."""
    return f"sqlite:///{tmp_path}/coatcheck.db"


@pytest.fixture
def policy():
    """One origin, which the clients here ask for."""
    return Policy(origins=(ORIGIN,))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A users file with Maria and Bob, and their passwords."""
    people = People(tmp_path_factory.mktemp("people") / "users.txt")
    return people, people.create_with_passwords("maria", "bob")


@pytest.fixture
def people(made):
    """Who may sign in."""
    return made[0]


@pytest.fixture
def password(made):
    """Maria's password."""
    return made[1]["maria"]


@pytest.fixture
def app(auth, people, clock):
    """The application on an open engine."""
    return build_app(auth, people, clock)


@pytest.fixture
async def browser(app):
    """Makes clients, each with its own cookies, that send what a browser sends with a form of our own page."""
    clients = []

    def make(**headers):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        client = httpx.AsyncClient(
            transport=transport, base_url=ORIGIN, headers={"sec-fetch-site": "same-origin"} | headers
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
def maria(browser):
    """Maria's browser."""
    return browser()


def sign_in(client, password, name="maria", **fields):
    """Send the sign-in form."""
    return client.post("/sign-in", data={"name": name, "password": password} | fields)


async def test_sign_in_home_sign_out(maria, password, clock, auth):
    """The whole way once: form, cookie, home, sign out, and the token is worth nothing afterwards."""
    asked = await maria.get("/")
    assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in")
    assert 'name="password" type="password"' in (await maria.get("/sign-in")).text

    answer = await sign_in(maria, password)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert {"HttpOnly", "Secure", "SameSite=Lax", "Path=/"} <= set(answer.headers["set-cookie"].split("; "))
    clock.advance(12 * 60)
    home = (await maria.get("/")).text
    assert "Hello, Maria" in home
    assert "12 minutes ago" in home
    assert (await maria.get("/sign-in?next=/devices")).headers["location"] == "/devices"

    token = maria.cookies[SESSION]
    answer = await maria.post("/sign-out")
    assert answer.status_code == 303
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert not await auth.check(token)
    assert "You are signed out." in (await maria.get(answer.headers["location"])).text
    assert (await maria.post("/sign-out")).status_code == 303, "twice does no harm"


@pytest.mark.parametrize(
    ("after", "goes_to"),
    [
        ("/devices", "/devices"),
        ("/devices?notice=ended", "/devices?notice=ended"),
        ("", "/"),
        ("devices", "/"),
        ("//evil.example", "/"),
        ("///evil.example", "/"),
        ("/\\evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("https:evil.example", "/"),
        ("javascript:alert(1)", "/"),
        (" /devices", "/"),
        ("/\t/evil.example", "/"),
        ("/\r\nSet-Cookie: a=b", "/"),
        ("/" + "a" * 4000, "/"),
    ],
)
async def test_next_stays_on_this_site(browser, password, after, goes_to):
    """Whatever ``next`` says, the sign-in ends on a page of ours."""
    client = browser()
    form = await client.get("/sign-in", params={"next": after})
    kept = re.search(r'name="next" value="([^"]*)"', form.text)[1]
    assert kept.replace("&amp;", "&") == goes_to
    answer = await sign_in(client, password, next=after)
    assert (answer.status_code, answer.headers["location"]) == (303, goes_to)


async def test_the_page_asked_for_is_kept(maria):
    """An anonymous visitor of a page comes back to it."""
    answer = await maria.get("/devices")
    where = urlsplit(answer.headers["location"])
    assert (answer.status_code, where.path, parse_qs(where.query)) == (303, "/sign-in", {"next": ["/devices"]})


async def test_unknown_name_and_wrong_password_are_one_answer(maria, monkeypatch, people):
    """Nobody can find out who has an account: same answer, and the same work was done for it."""
    checked = []
    verify = people._hasher.verify

    class Counting:
        def verify(self, hashed, password):
            checked.append(hashed)
            return verify(hashed, password)

    monkeypatch.setattr(people, "_hasher", Counting())
    await maria.get("/sign-in")
    wrong = await sign_in(maria, "wrong", name="maria")
    unknown = await sign_in(maria, "wrong", name="mario")
    impossible = await sign_in(maria, "wrong", name="mar:o")
    assert wrong.status_code == unknown.status_code == impossible.status_code == 401

    def plain(page):
        page = re.sub(r'name="csrf_token" value="[^"]*"', "", page)
        return re.sub(r"mari[ao]|mar:o", "NAME", page)

    assert plain(wrong.text) == plain(unknown.text) == plain(impossible.text)
    assert 'role="alert"' in wrong.text
    assert SESSION not in maria.cookies
    parameters = {hashed.rpartition("$")[0].rpartition("$")[0] for hashed in checked}
    assert (len(checked), len(parameters)) == (3, 1), "each was checked, with the same cost"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"name": "", "password": ""}, 400),
        ({"name": "maria"}, 400),
        ({"password": "x"}, 400),
        ({"name": "   ", "password": "x"}, 400),
        ({"name": "maria", "password": "x" * 257}, 400),
        ({"name": "m" * 5000, "password": "x"}, 401),
        ({"name": "ma\0ria\r\n", "password": "x\0"}, 401),
        ({"name": "\u202emaria", "password": "\U0001f511"}, 401),
        ({"name": ["maria", "bob"], "password": ["a", "b"]}, 401),
        ({"name": "maria", "password": "x", "next": "y" * 10_000}, 401),
        ({"name": "maria", "password": "x" * 17_000}, 413),
    ],
)
async def test_odd_fields_get_a_clear_answer(maria, fields, status):
    """Missing, empty, huge and strange: never a fault of ours."""
    answer = await maria.post("/sign-in", data=fields)
    assert answer.status_code == status
    assert len(answer.text) < 8_000


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"name=%FF%FE&password=%ED%A0%80", "application/x-www-form-urlencoded", 401),
        (b"%" * 100, "application/x-www-form-urlencoded", 400),
        (b"name=maria&" * 1200, "application/x-www-form-urlencoded", 400),
        (b'{"name": "maria"}', "application/json", 415),
        (b"name=maria", "text/plain", 415),
        (b"--b\r\nbroken", "multipart/form-data; boundary=b", 415),
    ],
)
async def test_odd_bodies_get_a_clear_answer(maria, body, content_type, status):
    """Not the form we sent, and still no fault of ours."""
    answer = await maria.post("/sign-in", content=body, headers={"content-type": content_type})
    assert answer.status_code == status


async def test_a_body_without_a_length_has_a_limit_too(maria):
    """Pieces of unknown number are counted as they come."""

    async def pieces():
        for _ in range(40):
            yield b"a" * 1024

    answer = await maria.post(
        "/sign-in", content=pieces(), headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 413


async def test_the_name_is_shown_again_as_text(maria):
    """What was typed comes back escaped; the password does not come back."""
    page = (await sign_in(maria, "let-me-in", name='"><script>alert(1)</script>')).text
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "let-me-in" not in page


async def test_a_hostile_user_agent_is_text(browser, password):
    """The device list shows words of ours, not the header."""
    client = browser(**{"user-agent": "<script>alert(1)</script>"})
    await sign_in(client, password)
    page = (await client.get("/devices")).text
    assert "<script" not in page
    assert "Unknown device" in page


async def test_another_persons_session_is_not_found(maria, browser, auth, made):
    """Somebody else's ``sid`` and one that never was: the same 404, and Bob stays."""
    bob = browser()
    await sign_in(bob, made[1]["bob"], name="bob")
    await sign_in(maria, made[1]["maria"])
    (his,) = await auth.sessions_of("bob")
    for sid in (his.sid, "never-was", "x" * 3000, "%00", "end-others"):
        answer = await maria.post(f"/devices/{sid}/end")
        assert answer.status_code == 404, sid
    assert (await bob.get("/")).status_code == 200


async def test_a_kick_counts_at_the_next_request(maria, browser, password, auth):
    """One device ends another, which sees the sign-in page at once, and is told no reasons."""
    other = browser()
    await sign_in(maria, password)
    await sign_in(other, password)
    assert (await other.get("/devices")).text.count('<li class="card') == 2
    sid = (await auth.check(other.cookies[SESSION])).sid
    answer = await maria.post(f"/devices/{sid}/end")
    assert (answer.status_code, answer.headers["location"]) == (303, "/devices?notice=ended")
    assert (await other.get("/")).headers["location"] == "/sign-in"
    assert "You are no longer signed in here." in (await other.get("/sign-in")).text
    answer = await other.post("/devices/end-others")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert (await maria.get("/")).status_code == 200


async def test_end_others(maria, browser, password, auth):
    """All but this one."""
    for client in (browser(), browser(), maria):
        await sign_in(client, password)
    assert (await maria.post("/devices/end-others")).status_code == 303
    (left,) = await auth.sessions_of("maria")
    assert left == await auth.check(maria.cookies[SESSION], touch=False)


@pytest.mark.parametrize("held_by", ["maria", "bob"])
async def test_sign_in_replaces_the_session_of_this_browser(maria, password, auth, held_by):
    """A new token each time, and what the browser carried before is over, whoever it belonged to."""
    before = await signed_in(maria, auth, held_by)
    await sign_in(maria, password)
    assert not await auth.check(before.token)
    assert [session.sub for name in ("maria", "bob") for session in await auth.sessions_of(name)] == ["maria"]


async def test_a_sign_in_that_was_overtaken_is_refused(maria, password, auth, people, monkeypatch):
    """Sessions ended while the password was being checked: the one who signs in meanwhile gets nothing."""
    is_right = people.is_right

    async def slow(name, given):
        right = await is_right(name, given)
        await auth.revoke_user(name)
        return right

    monkeypatch.setattr(people, "is_right", slow)
    answer = await sign_in(maria, password)
    assert answer.status_code == 401
    assert "Please sign in again" in answer.text
    assert await auth.sessions_of("maria") == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/devices", 200),
        ("/sign-in", 303),
        ("/nowhere", 404),
        ("/sign-out", 405),
        ("/static/style.css", 200),
    ],
)
async def test_headers_of_every_response(maria, password, path, status):
    """The security headers stand on pages, redirects, errors and files; pages are not kept by anybody."""
    await sign_in(maria, password)
    answer = await maria.get(path)
    assert answer.status_code == status
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    if path.startswith("/static/"):
        assert "vary" not in answer.headers
    elif status == 303:
        assert answer.headers["cache-control"] == "private, no-cache"
    else:
        assert "no-store" in answer.headers["cache-control"]
        assert answer.headers["vary"] == "Cookie"
    if status == 405:
        assert answer.headers["allow"] == "POST"


async def test_headers_of_refusals(maria, browser):
    """What never reached a handler has them too."""
    cross_site = await maria.post("/sign-in", headers={"sec-fetch-site": "cross-site"})
    wrong_host = await maria.get("/", headers={"host": "evil.example"})
    assert (cross_site.status_code, wrong_host.status_code) == (403, 421)
    for answer in (cross_site, wrong_host):
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY


async def test_a_fault_is_a_page_without_details(maria, password, auth, monkeypatch, caplog):
    """500 and 503 say what to do, and nothing of what went wrong."""
    await sign_in(maria, password)
    for fault, status in ((RuntimeError("inner detail"), 500), (StoreUnavailable("inner detail"), 503)):

        async def fail(*args, fault=fault, **kwargs):
            raise fault

        monkeypatch.setattr(auth, "sessions_of", fail)
        answer = await maria.get("/devices")
        assert answer.status_code == status
        assert "inner detail" not in answer.text
        assert "Please try again" in answer.text
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY


async def test_a_form_of_an_old_browser(browser, password):
    """No Fetch Metadata, no Origin: the hidden field lets our own form in, and nothing else."""
    client = browser()
    del client.headers["sec-fetch-site"]
    page = (await client.get("/sign-in")).text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
    assert (await sign_in(client, password)).status_code == 403
    assert (await sign_in(client, password, csrf_token=token)).status_code == 303
    home = (await client.get("/")).text
    token = re.search(r'name="csrf_token" value="([^"]+)"', home)[1]
    assert (await client.post("/sign-out")).status_code == 403
    assert (await client.post("/sign-out", data={"csrf_token": token})).status_code == 303


async def test_device_is_what_signed_in(browser, password, auth):
    """The list says where a session was opened."""
    client = browser(**{"user-agent": "curl/8.5.0", "x-forwarded-for": "6.6.6.6"})
    await sign_in(client, password)
    (session,) = await auth.sessions_of("maria")
    assert session.device == Device(ip="127.0.0.1", user_agent="curl/8.5.0")


# --- the users file ---


def test_the_users_file_is_made_once_with_fresh_passwords(tmp_path):
    """Only for its owner, without a password in it, and never twice the same."""
    one, two = (People(tmp_path / name).create_with_passwords("maria", "bob") for name in ("one", "two"))
    assert len({*one.values(), *two.values()}) == 4
    assert all(re.fullmatch(r"[a-z]{4}-[a-z]{4}-[a-z]{4}", password) for password in one.values())
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o600
    assert not any(password in (tmp_path / "one").read_text() for password in one.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.parametrize(
    "line",
    [
        "maria",
        "maria:",
        ":$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "maria:secret",
        "maria:$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        " maria:$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
    ],
)
def test_a_line_that_makes_no_sense_is_named(tmp_path, line):
    """The message has the file and the line, and no hash or password."""
    path = tmp_path / "users.txt"
    path.write_text(f"# people\n\n{line}\n")
    with pytest.raises(UsersFileError, match=r"users\.txt, line 3: ") as caught:
        People(path).load()
    assert "secret" not in str(caught.value)


async def test_a_users_file_that_broke_meanwhile(maria, password, people, caplog):
    """Nobody gets in, the visitor sees a page, the log says what to mend."""
    text = people.path.read_text()
    try:
        people.path.write_text("broken")
        assert (await sign_in(maria, password)).status_code == 503
    finally:
        people.path.write_text(text)
    assert "line 1" in caplog.text


@pytest.mark.parametrize("name", ["", "a:b", "#a", " a", "a\n", "a\x1b[2J", "a" * 129])
def test_names_that_cannot_be_used(name):
    """They would break the file, or the terminal."""
    assert why_not(name) is not None


# --- the command ---


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *argv: main([str(arg) for arg in argv])


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--host", "0.0.0.0"], "--public-url"),
        (["--host", "192.0.2.1", "--public-url", "http://app.example.com"], "https://"),
        (["--port", "70000"], "ports go from 1 to 65535"),
        (["--port", "0", "--store", "nonsense://x"], "not a known kind of URL"),
        (["--port", "0", "--store", "sqlite:///no/such/folder/a.db"], "folder"),
        (["--port", "0", "--public-url", "https://app.example.com/path"], "no path"),
        (["--port", "0", "--users", "no/such/folder/users.txt"], "cannot write"),
        (["--add-user", "a:b"], "no colon"),
    ],
)
def test_mistakes_are_one_line(command, capsys, argv, said):
    """Exit code 2, and one line that says what to do."""
    assert command(*argv) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert said in printed.err


def test_a_port_in_use_is_told(command, capsys):
    """The commonest mistake of all."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert command("--port", port) == 2
    assert capsys.readouterr().err == (
        f"error: port {port} is in use; choose another with --port, such as --port {port + 1}\n"
    )


def test_add_user_and_new_password(command, monkeypatch, tmp_path, capsys):
    """A line is added; a new password replaces the old one and ends the sessions."""
    import asyncio
    import io

    def give(password):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
        return command("--add-user", "anna")

    assert give("short") == 2
    assert not (tmp_path / "users.txt").exists()
    assert give("first-password") == 0

    async def begin():
        async with Coatcheck("sqlite:///coatcheck.db") as auth:
            return await auth.sign_in("anna")

    async def check(token):
        async with Coatcheck("sqlite:///coatcheck.db") as auth:
            return await auth.check(token)

    begun = asyncio.run(begin())
    assert asyncio.run(check(begun.token))
    assert give("second-password") == 0
    assert not asyncio.run(check(begun.token))
    (hashed,) = People(tmp_path / "users.txt").load().values()
    assert PasswordHasher().verify(hashed, "second-password")
    assert "password" not in hashed


def test_help_is_enough(command, capsys):
    """Every option is explained."""
    with pytest.raises(SystemExit) as caught:
        command("--help")
    assert caught.value.code == 0
    said = capsys.readouterr().out
    for option in ("--host", "--port", "--store", "--users", "--public-url", "--add-user"):
        assert re.search(rf"{option} [A-Z]+ +\S|{option} [A-Z]+\n +\S", said), option
