"""What an attacker tries at the server. Each of these rules was broken once, to see its test fail."""

import asyncio
import base64
import contextlib
import itertools
import logging
import secrets
from types import SimpleNamespace

import pytest
from argon2 import PasswordHasher, extract_parameters

from coatcheck import StoreUnavailable
from coatcheck.server import shapes
from coatcheck.server.api import ENDPOINTS
from coatcheck.server.app import build_app
from coatcheck.server.database.postgres import PostgresDatabase

HOST = "auth.example.com"
PASSWORD = "correct horse battery"
SIGN_IN = {"username": "maria", "password": PASSWORD}
KEPT = ("server", "users", "codes", "duties", "clients", "tries", "audit")
SESSION, DEVICE = "__Host-session", "__Host-coatcheck-device"
# Those of people. The feed is for programs, which have a secret of their own: tests/feed attacks it.
OF_PEOPLE = [one for one in ENDPOINTS if one.who != "client"]
UNSAFE = [one for one in OF_PEOPLE if one.method != "GET"]
ADMIN = [one for one in OF_PEOPLE if one.who == "admin"]
GUARDED = [one for one in OF_PEOPLE if one.who != "anyone"]
OF_SOMEBODY = [one for one in OF_PEOPLE if "{" in one.path]
# What is sent where. An address with a body of a new kind needs an entry, or its tests fail.
BODIES = {
    None: None,
    shapes.SetUp: {"code": "0" * 32, "username": "Eve", "password": PASSWORD},
    shapes.SignIn: SIGN_IN,
    shapes.Fresh: {"password": PASSWORD},
    shapes.NewPassword: {"current_password": PASSWORD, "new_password": "another good one"},
    shapes.NewUser: {"username": "Eve", "password": PASSWORD, "admin": True},
    shapes.UserChange: {"admin": True},
    shapes.TokenRequest: {"audience": "orders"},
}


def called(endpoint):
    return f"{endpoint.method} {endpoint.path}"


def each(endpoints):
    return pytest.mark.parametrize("endpoint", endpoints, ids=called)


async def ask(client, endpoint, *, id="nobody", sid="nothing", **kwargs):
    """Send one well-formed request to *endpoint*."""
    path = endpoint.path.replace("{id}", id).replace("{sid}", sid)
    return await client.request(endpoint.method, path, json=BODIES[endpoint.body], **kwargs)


async def state_of(site):
    """Everything that an attack could have changed: accounts, passwords, sessions."""
    users = await site.database.users(limit=200)
    known = [await site.database.user(user.id) for user in users]
    return known, {user.id: sorted(one.sid for one in await site.auth.sessions_of(user.id)) for user in users}


def with_cookies(**values):
    names = {"session": SESSION, "device": DEVICE}
    return {"cookie": "; ".join(f"{names[name]}={value}" for name, value in values.items())}


def tokens_set_by(answer):
    """The session tokens in an answer's cookies; an empty one takes the cookie away."""
    cookies = [field.split(";")[0].partition("=") for field in answer.headers.get_list("set-cookie")]
    return [value for name, _, value in cookies if name == SESSION and value]


async def try_to_enter(client, password="wrong password", *, name="maria", **kwargs):
    return await client.post("/api/sign-in", json={"username": name, "password": password}, **kwargs)


@pytest.fixture
def counting():
    """A hasher that notes the hash of each password it looks at."""

    class Counting(PasswordHasher):
        def __init__(self):
            super().__init__(time_cost=1, memory_cost=8, parallelism=1)
            self.seen = []

        def verify(self, hash, password):
            self.seen.append(hash)
            return super().verify(hash, password)

    return Counting()


@pytest.fixture
async def two(make_site, counting, browser):
    """Two servers on one file, as two processes are, and an account."""
    async with contextlib.AsyncExitStack() as stack:
        sites = [make_site(hasher=counting), make_site(hasher=counting)]
        for site in sites:
            await stack.enter_async_context(site.lifespan())
        await sites[0].accounts.add("Root", PASSWORD, is_admin=True, by=None)
        maria = await sites[0].accounts.add("Maria", PASSWORD, is_admin=False, by=None)
        apps = [build_app(site, https=True, trusted_proxies=("10.9.9.9",), opens=False) for site in sites]
        yield SimpleNamespace(sites=sites, apps=apps, maria=maria)


# --- requests that another site makes a browser send ---

FOREIGN = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "origin": f"https://{HOST}"},
    {"origin": "https://evil.example"},
    {"origin": f"https://{HOST}.evil.example"},
    {"origin": f"http://{HOST}"},
    {"origin": "null"},
]


@pytest.fixture
async def bare_browser(browser):
    """Makes browsers that say nothing of where a request comes from."""

    async def make(**kwargs):
        client = await browser(**kwargs)
        del client.headers["sec-fetch-site"]
        return client

    return make


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_another_site_cannot_sign_a_browser_in(people, bare_browser, site, headers):
    """A sign-in that did not start on our own pages begins no session and leaves no count."""
    client = await bare_browser()
    answer = await client.post("/api/sign-in", json=SIGN_IN, headers=headers)
    assert answer.status_code == 403 and "set-cookie" not in answer.headers
    assert await site.auth.sessions_of(people.maria.id) == []
    assert {entry.event.value for entry in await site.database.trail(limit=10)} == {"user_added"}


@pytest.mark.parametrize(
    "media_type",
    [
        None,
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "TEXT/Plain; x=application/json",
    ],
)
@pytest.mark.parametrize("path", ["/api/sign-in", "/api/set-up", "/api/users", "/sign-in"])
async def test_what_a_form_can_send_needs_the_form_token(people, enter, bare_browser, site, path, media_type):
    """Without any header that says where it comes from, a form's request is refused."""
    root = await enter("root")
    client = await bare_browser()
    before = await state_of(site)
    headers = with_cookies(session=root.cookies[SESSION]) | ({"content-type": media_type} if media_type else {})
    answer = await client.post(path, content=b'{"username":"maria","password":"x","a":"="}', headers=headers)
    assert answer.status_code == 403 and answer.headers["content-type"].startswith("text/plain")
    assert "set-cookie" not in answer.headers and await state_of(site) == before


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, FOREIGN[3]])
@each(UNSAFE)
async def test_another_site_cannot_act_for_an_administrator(people, enter, site, bare_browser, endpoint, headers):
    """Whatever changes anything is refused, with all cookies in place."""
    root, victim = await enter("root"), await enter("maria")
    client = await bare_browser()
    cookies = with_cookies(session=root.cookies[SESSION])
    before = await state_of(site)
    answer = await ask(client, endpoint, id=people.maria.id, sid=victim.sid, headers=headers | cookies)
    assert answer.status_code == 403 and answer.headers["content-type"].startswith("text/plain")
    assert await state_of(site) == before


# --- who has an account ---


def listen_in(site, monkeypatch):
    """Note every call of the database, and of the engine's that a sign-in makes."""
    calls = []

    def noting(name, method):
        async def noted(*args, **kwargs):
            calls.append(name)
            return await method(*args, **kwargs)

        return noted

    for name in dir(type(site.database)):
        if not name.startswith("_") and name not in ("open", "close"):
            monkeypatch.setattr(site.database, name, noting(name, getattr(site.database, name)))
    for name in ("generation", "sessions_of", "sign_in", "revoke"):
        monkeypatch.setattr(site.auth, name, noting(f"auth.{name}", getattr(site.auth, name)))
    return calls


async def test_an_unknown_name_costs_the_same_work_as_a_known_one(make_site, counting, browser, monkeypatch):
    """Unknown, disabled and wrong password: one look at a password by today's settings, and the same calls."""
    site = make_site(hasher=counting)
    async with site.lifespan():
        await site.accounts.add("Maria", PASSWORD, is_admin=False, by=None)
        otto = await site.accounts.add("Otto", PASSWORD, is_admin=False, by=None)
        await site.accounts.change(otto.id, is_disabled=True, by=None)
        client = await browser(app=build_app(site, https=True, opens=False))
        calls = listen_in(site, monkeypatch)
        work, answers = {}, []
        for name, password in (
            ("maria", "wrong password"),
            ("nobody", PASSWORD),
            ("otto", PASSWORD),
            ("otto", "wrong password"),
        ):
            calls.clear()
            counting.seen.clear()
            answer = await try_to_enter(client, password, name=name)
            assert len(counting.seen) == 1, name
            today = extract_parameters(await site.passwords.hash("anything"))
            assert extract_parameters(counting.seen[0]) == today, name
            work[name, password] = list(calls)
            answers.append((answer.status_code, answer.content, sorted(answer.headers.items())))
    assert all(found == work["maria", "wrong password"] for found in work.values()), work
    assert all(answer == answers[0] for answer in answers) and answers[0][0] == 401


# --- what is somebody else's ---


@each(OF_SOMEBODY)
async def test_what_is_anothers_is_not_there(people, enter, site, endpoint):
    """With another's id or sid: 404, or 403 where only administrators go; and nothing happens."""
    otto, maria = await enter("otto"), await enter("maria")
    before = await state_of(site)
    answer = await ask(otto, endpoint, id=people.maria.id, sid=maria.sid)
    assert answer.status_code == (403 if endpoint.who == "admin" else 404)
    nothing = await ask(otto, endpoint)
    assert (nothing.status_code, nothing.content) == (answer.status_code, answer.content)
    assert await state_of(site) == before
    assert (await maria.get("/api/session")).status_code == 200


@each([one for one in OF_SOMEBODY if "{sid}" in one.path])
async def test_a_sid_under_another_account_is_not_there(people, enter, site, endpoint):
    """An administrator, too, ends a session only where it is."""
    root, maria, otto = await enter("root"), await enter("maria"), await enter("otto")
    before = await state_of(site)
    for sid in (maria.sid, maria.cookies[SESSION]):
        assert (await ask(root, endpoint, id=people.otto.id, sid=sid)).status_code == 404
    assert await state_of(site) == before
    assert (await otto.get("/api/session")).status_code == 200


@each(ADMIN)
async def test_administration_is_not_for_ordinary_people(people, enter, browser, site, endpoint):
    """403 for those signed in, 401 for those who are not; nothing happens and nothing is told."""
    otto, stranger, maria = await enter("otto"), await browser(), await enter("maria")
    before = await state_of(site)
    for client, status in ((otto, 403), (stranger, 401)):
        answer = await ask(client, endpoint, id=people.maria.id, sid=maria.sid)
        assert answer.status_code == status
        assert people.maria.id not in answer.text and maria.sid not in answer.text
    own = await ask(otto, endpoint, id=people.otto.id, sid=otto.sid)
    assert own.status_code == 403
    assert await state_of(site) == before


@each(GUARDED)
async def test_without_a_session_there_is_only_the_sign_in(people, browser, enter, site, endpoint):
    """A cookie of our own making opens nothing."""
    maria, stranger = await enter("maria"), await browser()
    before = await state_of(site)
    for value in (secrets.token_urlsafe(32), maria.sid, "", "null", maria.cookies[SESSION][:-1] + "!"):
        answer = await ask(stranger, endpoint, id=people.maria.id, sid=maria.sid, headers=with_cookies(session=value))
        assert answer.status_code == 401
    assert await state_of(site) == before


# --- hosts and addresses ---


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"{HOST}.evil.example",
        f"{HOST}:444",
        f"{HOST}@evil.example",
        "",
        f"{HOST},evil.example",
        f"{HOST}.",
    ],
)
async def test_another_host_is_not_served(people, browser, host):
    """What is asked of a host that we are not is answered by 421, even when a header names ours."""
    client = await browser()
    spoofed = {"host": host, "x-forwarded-host": HOST, "x-original-host": HOST, "forwarded": f"host={HOST}"}
    for method, path in (("GET", "/api/session"), ("POST", "/api/sign-in"), ("GET", "/sign-in"), ("GET", "/api/no")):
        answer = await client.request(method, path, json=SIGN_IN if method == "POST" else None, headers=spoofed)
        assert answer.status_code == 421 and "set-cookie" not in answer.headers


async def test_a_host_in_another_header_changes_nothing(people, browser):
    """No answer repeats a host that somebody made up."""
    client = await browser()
    spoofed = {"x-forwarded-host": "evil.example", "x-forwarded-proto": "http", "forwarded": "host=evil.example"}
    for path in ("/", "/api/session", "/sign-in", "/api/openapi.json", "/devices"):
        answer = await client.get(path, headers=spoofed)
        assert "evil.example" not in answer.text and "evil.example" not in str(answer.headers)


CLAIMS = {
    "x-real-ip": "6.6.6.6",
    "forwarded": "for=6.6.6.6",
    "cf-connecting-ip": "6.6.6.6",
    "true-client-ip": "6.6.6.6",
}


@pytest.mark.parametrize(
    ("peer", "forwarded", "seen"),
    [
        ("192.0.2.7", "6.6.6.6", "192.0.2.7"),
        ("192.0.2.7", "10.9.9.9", "192.0.2.7"),
        ("10.9.9.9", "6.6.6.6, 198.51.100.9", "198.51.100.9"),
        ("10.9.9.9", "6.6.6.6, nonsense", "10.9.9.9"),
        ("10.9.9.9", None, "10.9.9.9"),
    ],
)
async def test_the_address_in_the_trail_is_not_the_visitors_to_choose(people, browser, site, peer, forwarded, seen):
    """It is the peer's, or what a trusted proxy says of its own peer."""
    client = await browser(address=peer)
    headers = CLAIMS | ({"x-forwarded-for": forwarded} if forwarded else {})
    assert (await client.post("/api/sign-in", json=SIGN_IN, headers=headers)).status_code == 200
    await try_to_enter(client, headers=headers)
    entries = await site.database.trail(limit=2)
    assert [(entry.event.value, entry.device.ip) for entry in entries] == [("sign_in_failed", seen), ("sign_in", seen)]
    assert (await site.auth.sessions_of(people.maria.id))[0].device.ip == seen


async def fail_often(clients, *, headers=lambda number: {}, times=100):
    """Wrong passwords for ever other names, taking turns."""
    found = []
    for batch in range(0, times, 20):
        tries = [
            try_to_enter(clients[number % len(clients)], name=f"name {number}", headers=headers(number))
            for number in range(batch, min(batch + 20, times))
        ]
        found += [answer.status_code for answer in await asyncio.gather(*tries)]
    return found


async def test_a_made_up_address_does_not_escape_the_limit(people, browser):
    """One who claims another address at each try is still one."""
    client = await browser(address="192.0.2.66")
    assert await fail_often([client], headers=lambda number: {"x-forwarded-for": f"6.6.6.{number}"}) == [401] * 100
    for headers in ({"x-forwarded-for": "9.9.9.9"}, {}):
        assert (await try_to_enter(client, name="other", headers=headers)).status_code == 429
    assert (await try_to_enter(await browser(address="192.0.2.67"), name="other")).status_code == 401


async def test_addresses_of_one_ipv6_network_count_as_one(people, browser):
    """A household has 2**64 of them, so they share a count; the next household has its own."""
    clients = [await browser(address=f"2001:db8:0:7::{number:x}:1") for number in range(10)]
    assert await fail_often(clients) == [401] * 100
    assert (await try_to_enter(await browser(address="2001:db8:0:7:ffff::9"), name="other")).status_code == 429
    assert (await try_to_enter(await browser(address="2001:db8:0:8::1"), name="other")).status_code == 401


async def test_an_ipv4_address_in_ipv6_clothes_counts_as_itself(people, browser):
    """A socket that listens on both families must not give everybody two counts, or all of them one."""
    assert await fail_often([await browser(address="::ffff:192.0.2.66")]) == [401] * 100
    assert (await try_to_enter(await browser(address="192.0.2.66"), name="other")).status_code == 429
    assert (await try_to_enter(await browser(address="::ffff:192.0.2.67"), name="other")).status_code == 401


# --- the set-up ---


@pytest.mark.both
async def test_of_twenty_set_ups_at_once_one_succeeds(make_site, browser):
    """Two processes, one code, twenty who have it: one account, one administrator, one session."""
    async with contextlib.AsyncExitStack() as stack:
        sites = [make_site(), make_site()]
        for site in sites:
            await stack.enter_async_context(site.lifespan())
        code = await sites[0].desk.new_code()
        apps = itertools.cycle([build_app(site, https=True, opens=False) for site in sites])
        clients = [await browser(app=next(apps)) for _ in range(20)]
        answers = await asyncio.gather(
            *(
                client.post("/api/set-up", json={"code": code, "username": f"Root {number}", "password": PASSWORD})
                for number, client in enumerate(clients)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19
        users = await sites[1].database.users(limit=50)
        assert len(users) == 1 and users[0].is_admin
        assert len(await sites[1].auth.sessions_of(users[0].id)) == 1


async def test_set_up_codes_cannot_be_guessed_at_once(site, browser, counting):
    """Forty wrong codes in parallel cost the right one its worth, and no password is hashed for them."""
    code, client, hashed = await site.desk.new_code(), await browser(), []
    real = site.passwords.hash
    site.passwords.hash = lambda password: hashed.append(password) or real(password)
    wanted = {"username": "Eve", "password": PASSWORD}
    guesses = [wanted | {"code": secrets.token_hex(16)} for _ in range(40)]
    answers = await asyncio.gather(*(client.post("/api/set-up", json=guess) for guess in guesses))
    assert {answer.status_code for answer in answers} == {403} and hashed == []
    assert (await client.post("/api/set-up", json=wanted | {"code": code})).status_code == 403


# --- guessing passwords ---


@pytest.mark.both
async def test_forty_guesses_at_once_are_forty_guesses(two, browser, counting, clock):
    """Over two processes, forty addresses and three spellings at most ten are looked at; then one in 30 seconds."""
    spellings = itertools.cycle(["maria", "MARIA", "\uff2d\uff41\uff52\uff49\uff41"])
    clients = [await browser(address=f"192.0.2.{number}", app=two.apps[number % 2]) for number in range(40)]
    counting.seen.clear()

    async def all_at_once():
        tries = [try_to_enter(client, name=next(spellings)) for client in clients]
        return sorted([answer.status_code for answer in await asyncio.gather(*tries)])

    assert await all_at_once() == [401] * 10 + [429] * 30
    assert len(counting.seen) == 10
    for _ in range(3):
        clock.advance(29)
        refused = await try_to_enter(clients[0], PASSWORD)
        assert refused.status_code == 429 and refused.headers["retry-after"] == "1", "the right one waits as well"
        clock.advance(1)
        assert await all_at_once() == [401] + [429] * 39
    assert len(counting.seen) == 13


async def test_a_name_that_nobody_has_is_slowed_down_alike(two, browser):
    """Else the eleventh answer would say who has an account."""
    found = {}
    for name in ("maria", "nobody"):
        clients = [await browser(address=f"198.51.100.{number}", app=two.apps[number % 2]) for number in range(12)]
        answers = [await try_to_enter(client, name=name) for client in clients]
        found[name] = [(answer.status_code, answer.content, answer.headers.get("retry-after")) for answer in answers]
    assert found["maria"] == found["nobody"] and found["maria"][-1][0] == 429


async def test_right_passwords_do_not_count(two, browser):
    """Who signs in often is not slowed down."""
    client = await browser(app=two.apps[0])
    for _ in range(12):
        assert (await try_to_enter(client, PASSWORD, headers={"cookie": ""})).status_code == 200


async def locked_out(app, browser):
    """Strangers guess until nobody new may try Maria's password."""
    for number in range(10):
        assert (await try_to_enter(await browser(address=f"203.0.113.{number}", app=app))).status_code == 401
    assert (await try_to_enter(await browser(address="203.0.113.99", app=app), PASSWORD)).status_code == 429


async def device_cookie(client, name="maria"):
    """Sign in and return what marks the browser from then on."""
    assert (await try_to_enter(client, PASSWORD, name=name)).status_code == 200
    return client.cookies[DEVICE]


async def test_a_stranger_who_guesses_does_not_lock_the_owner_out(two, browser):
    """A browser of a former sign-in has a count of its own, in every process."""
    mark = with_cookies(device=await device_cookie(await browser(app=two.apps[0])))
    await locked_out(two.apps[0], browser)
    at_home, elsewhere = await browser(app=two.apps[1]), await browser(app=two.apps[0])
    assert (await try_to_enter(at_home, PASSWORD, headers=mark)).status_code == 200
    for number in range(10):
        client = (at_home, elsewhere)[number % 2]
        client.cookies.clear()
        assert (await try_to_enter(client, headers=mark)).status_code == 401
    for client in (at_home, elsewhere):
        client.cookies.clear()
        assert (await try_to_enter(client, PASSWORD, headers=mark)).status_code == 429, "its own count is full, too"


async def test_failures_in_a_known_browser_do_not_slow_others_down(two, browser):
    """The owner's own mistakes are not counted for the name."""
    mark = with_cookies(device=await device_cookie(await browser(app=two.apps[0])))
    client = await browser(app=two.apps[0])
    for _ in range(10):
        assert (await try_to_enter(client, headers=mark)).status_code == 401
    assert (await try_to_enter(await browser(app=two.apps[0]), PASSWORD)).status_code == 200


async def test_no_other_device_cookie_helps(two, browser):
    """Another's, a made-up one, a changed one, a differently written one: they are no browser of Maria's."""
    await two.sites[0].accounts.add("Otto", PASSWORD, is_admin=False, by=None)
    others = await device_cookie(await browser(app=two.apps[0]), "otto")
    own = await device_cookie(await browser(app=two.apps[0]))
    await locked_out(two.apps[0], browser)
    raw = base64.urlsafe_b64decode(own + "=")
    changed = base64.urlsafe_b64encode(bytes([raw[0] ^ 1]) + raw[1:]).decode().rstrip("=")
    spliced = base64.urlsafe_b64encode(raw[:16] + base64.urlsafe_b64decode(others + "=")[16:]).decode().rstrip("=")
    for value in (others, secrets.token_urlsafe(32), changed, spliced, own[:-2], own + "AAAA", "", "=", "A" * 43):
        client = await browser(app=two.apps[0])
        assert (await try_to_enter(client, PASSWORD, headers=with_cookies(device=value))).status_code == 429, value
    client = await browser(app=two.apps[0])
    twice = {"cookie": f"{DEVICE}={own}; {DEVICE}={own}"}
    assert (await try_to_enter(client, PASSWORD, headers=twice)).status_code == 429


async def test_a_device_cookie_written_otherwise_has_no_count_of_its_own(two, browser):
    """The last letter of its text has spare bits, and padding may follow: that makes no fresh ten tries."""
    own = await device_cookie(await browser(app=two.apps[0]))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    place = alphabet.index(own[-1]) & ~3
    spellings = [own[:-1] + alphabet[place + spare] for spare in range(4)] + [own + "="]
    client = await browser(app=two.apps[0])
    for number in range(10):
        mark = with_cookies(device=spellings[number % len(spellings)])
        assert (await try_to_enter(client, headers=mark)).status_code == 401
    for spelling in spellings:
        refused = await try_to_enter(client, PASSWORD, headers=with_cookies(device=spelling))
        assert refused.status_code == 429, spelling


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/session/fresh", {"password": "wrong password"}),
        ("/api/password", {"current_password": "wrong password", "new_password": "another good one"}),
    ],
)
async def test_a_stolen_session_does_not_help_to_guess_the_password(people, enter, browser, path, body):
    """In one session ten wrong ones, then one in 30 seconds; the owner in another session is not slowed down."""
    owner, thief = await enter("maria"), await enter("maria")
    answers = await asyncio.gather(*(thief.post(path, json=body) for _ in range(30)))
    assert sorted([answer.status_code for answer in answers]) == [403] * 10 + [429] * 20
    right = {key: PASSWORD if value == "wrong password" else value for key, value in body.items()}
    assert (await thief.post(path, json=right)).status_code == 429
    assert (await owner.post(path, json=right)).status_code == 200


# --- sessions that somebody plants ---


async def test_a_planted_token_is_never_adopted(people, enter, browser):
    """A sign-in gives a new token; the one that came with it opens nothing afterwards."""
    otto = await enter("otto")
    for planted in (secrets.token_urlsafe(32), otto.cookies[SESSION]):
        victim = await browser()
        answer = await victim.post("/api/sign-in", json=SIGN_IN, headers=with_cookies(session=planted))
        (given,) = tokens_set_by(answer)
        assert given != planted
        attacker = await browser()
        assert (await attacker.get("/api/session", headers=with_cookies(session=planted))).status_code == 401
        mine = await attacker.get("/api/session", headers=with_cookies(session=given))
        assert mine.json()["sub"] == people.maria.id


async def test_a_planted_token_does_not_survive_the_set_up(site, browser):
    """The first sign-in of all is like any other."""
    planted, client = secrets.token_urlsafe(32), await browser()
    wanted = {"code": await site.desk.new_code(), "username": "Root", "password": PASSWORD}
    answer = await client.post("/api/set-up", json=wanted, headers=with_cookies(session=planted))
    assert answer.status_code == 200 and tokens_set_by(answer) != [planted]
    stranger = await browser()
    assert (await stranger.get("/api/session", headers=with_cookies(session=planted))).status_code == 401


@pytest.mark.parametrize(
    ("path", "body"), [("/api/session/fresh", shapes.Fresh), ("/api/password", shapes.NewPassword)]
)
async def test_a_stolen_token_ends_when_its_owner_gives_the_password(people, enter, browser, path, body):
    """From then on the session goes by another token."""
    owner, thief = await enter("maria"), await browser()
    stolen = with_cookies(session=owner.cookies[SESSION])
    assert (await thief.get("/api/session", headers=stolen)).status_code == 200
    assert (await owner.post(path, json=BODIES[body])).status_code == 200
    assert (await thief.get("/api/session", headers=stolen)).status_code == 401
    assert (await owner.get("/api/session")).status_code == 200


# --- administrators who are none any more ---


@pytest.mark.both("long")
@each(ADMIN)
async def test_a_captured_cookie_of_a_former_administrator_opens_nothing(two, browser, endpoint):
    """After the demotion every address of administrators is closed to it, in every process at once."""
    before, here, there = two.sites[0], await browser(app=two.apps[0]), await browser(app=two.apps[1])
    await before.accounts.change(two.maria.id, is_admin=True, by=None)
    (token,) = tokens_set_by(await try_to_enter(here, PASSWORD))
    captured = with_cookies(session=token)
    for client in (here, there):
        client.cookies.clear()
        assert (await client.get("/api/users", headers=captured)).status_code == 200
    await before.accounts.change(two.maria.id, is_admin=False, by=None)
    found = await state_of(before)
    for client in (there, here):
        assert (await ask(client, endpoint, id=two.maria.id, headers=captured)).status_code == 403
    assert await state_of(before) == found


async def test_two_administrators_cannot_demote_each_other(two, browser):
    """At once, in two processes: one of them stays."""
    root = (await two.sites[0].database.user_named("root")).id
    await two.sites[0].accounts.change(two.maria.id, is_admin=True, by=None)
    clients = [await browser(app=app) for app in two.apps]
    for client, name in zip(clients, ("maria", "root"), strict=True):
        assert (await try_to_enter(client, PASSWORD, name=name)).status_code == 200
    answers = await asyncio.gather(
        clients[0].patch(f"/api/users/{root}", json={"admin": False}),
        clients[1].patch(f"/api/users/{two.maria.id}", json={"disabled": True}),
    )
    assert [answer.status_code for answer in answers].count(200) == 1
    users = await two.sites[0].database.users(limit=5)
    assert len([user for user in users if user.is_admin and not user.is_disabled]) == 1


# --- a sign-in that is overtaken ---


def held(site, monkeypatch):
    """Let nobody past the look at a password until told to."""
    seen, go, real = asyncio.Event(), asyncio.Event(), site.passwords.is_right

    async def is_right(known, password):
        found = await real(known, password)
        seen.set()
        await go.wait()
        return found

    monkeypatch.setattr(site.passwords, "is_right", is_right)
    return seen, go


OVERTAKING = {
    "reset": lambda site, user: site.accounts.reset_password(user.id, "set by the admin", by=None),
    "disable": lambda site, user: site.accounts.change(user.id, is_disabled=True, by=None),
    "end all": lambda site, user: site.auth.revoke_user(user.id),
    "end everyone": lambda site, user: site.auth.revoke_everyone(),
    "demote": lambda site, user: site.accounts.change(user.id, is_admin=False, by=None),
}


@pytest.mark.both("long")
@pytest.mark.parametrize("by", OVERTAKING)
@pytest.mark.parametrize("process", [0, 1])
async def test_a_sign_in_that_is_overtaken_does_not_get_in(two, browser, monkeypatch, by, process):
    """While the password is looked at the account changes: refused, or signed in as what they are by then."""
    site, app, maria = two.sites[0], two.apps[0], two.maria
    await site.accounts.change(maria.id, is_admin=True, by=None)
    seen, go = held(site, monkeypatch)
    client = await browser(app=app)
    asked = asyncio.create_task(try_to_enter(client, PASSWORD))
    await asyncio.wait_for(seen.wait(), 10)
    await OVERTAKING[by](two.sites[process], maria)
    go.set()
    answer = await asked
    live = await two.sites[1].auth.sessions_of(maria.id)
    if by == "demote" and answer.status_code == 200:
        assert answer.json()["roles"] == []
    else:
        assert answer.status_code == 401 and tokens_set_by(answer) == [] and live == []
    assert all(session.claims["roles"] == [] for session in live)
    assert (await client.get("/api/users")).status_code in (401, 403)


async def test_a_password_that_is_replaced_meanwhile_does_not_renew_a_session(people, enter, site, monkeypatch):
    """Giving the old password once more, while an administrator sets a new one, gives no new token."""
    maria = await enter("maria")
    seen, go = held(site, monkeypatch)
    asked = asyncio.create_task(maria.post("/api/session/fresh", json={"password": PASSWORD}))
    await asyncio.wait_for(seen.wait(), 10)
    await site.accounts.reset_password(people.maria.id, "set by the admin", by=None)
    go.set()
    answer = await asked
    assert answer.status_code == 401 and tokens_set_by(answer) == []
    assert await site.auth.sessions_of(people.maria.id) == []


async def test_of_two_changes_of_a_password_at_once_one_counts(people, enter, browser, site, monkeypatch):
    """The owner's and a thief's: the second finds another password than the one it looked at."""
    owner, thief = await enter("maria"), await enter("maria")
    seen, go = held(site, monkeypatch)
    asked = [
        asyncio.create_task(client.post("/api/password", json={"current_password": PASSWORD, "new_password": new}))
        for client, new in ((owner, "the owner's choice"), (thief, "the thief's choice"))
    ]
    await asyncio.wait_for(seen.wait(), 10)
    go.set()
    answers = await asyncio.gather(*asked)
    assert [answer.status_code for answer in answers].count(200) == 1
    assert len(await site.auth.sessions_of(people.maria.id)) <= 1


# --- a crash at the wrong moment ---


@pytest.mark.both("long")
@pytest.mark.parametrize("error", [StoreUnavailable("gone"), RuntimeError("a bug")])
@pytest.mark.parametrize("change", ["disable", "reset", "password", "demote"])
async def test_a_crash_before_the_sessions_end_is_made_good(site, people, enter, make_site, monkeypatch, change, error):
    """The account is changed, then everything breaks: who opens the database next ends the sessions."""
    await site.accounts.change(people.maria.id, is_admin=True, by=None)
    phone, laptop, root = await enter("maria"), await enter("maria"), await enter("root")

    async def breaks(*args, **kwargs):
        raise error

    monkeypatch.setattr(site.auth, "update_claims" if change == "demote" else "revoke_user", breaks)
    path = f"/api/users/{people.maria.id}"
    if change == "password":
        answer = await laptop.post("/api/password", json=BODIES[shapes.NewPassword])
    else:
        wanted = {"disable": {"disabled": True}, "reset": {"password": "set by the admin"}, "demote": {"admin": False}}
        answer = await root.patch(path, json=wanted[change])
    assert answer.status_code in (500, 503) and tokens_set_by(answer) == []
    second = make_site()
    async with second.lifespan():
        assert await second.database.duties() == []
        left = await second.auth.sessions_of(people.maria.id)
        kept = {"password": [laptop.sid], "demote": sorted([phone.sid, laptop.sid])}.get(change, [])
        assert sorted(session.sid for session in left) == kept
    status = {"demote": 403}.get(change, 401)
    assert (await phone.get("/api/users" if change == "demote" else "/api/session")).status_code == status


# --- what must not be told ---


def watch(client, answers):
    """Keep every answer that *client* gets."""

    async def keep(answer):
        await answer.aread()
        answers.append(answer)

    client.event_hooks["response"].append(keep)
    return client


async def stored_behind(database):
    """All that a database keeps elsewhere than in files of ours."""
    if not isinstance(database, PostgresDatabase):
        return b""
    tables = await database._all("SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace", database.s)
    kept = [await database._all(f"TABLE {database.s}.{row[0]}") for row in tables if row[0] in KEPT]
    assert len(kept) == len(KEPT)
    return repr([[tuple(row) for row in rows] for rows in kept]).encode()


async def test_no_secret_is_in_a_log_a_body_the_trail_or_the_file(site, browser, caplog, tmp_path, monkeypatch):
    """Tokens, passwords and the set-up code, over a whole story with mistakes and faults."""
    caplog.set_level(logging.DEBUG)
    answers = []
    code = await site.desk.new_code()
    root = watch(await browser(), answers)
    typed = {"code": code, "username": "Root", "password": PASSWORD}
    await root.post("/api/set-up", json=typed | {"code": "0" * 31 + "7"})
    await root.post("/api/set-up", json=typed | {"password": "short"})
    await root.post("/api/set-up", json=typed)
    await root.post("/api/set-up", json=typed)
    added = (await root.post("/api/users", json={"username": "Maria", "password": "maria's own secret"})).json()
    maria = watch(await browser(), answers)
    await maria.post("/api/sign-in", json={"username": "a password by mistake", "password": "maria's own secret"})
    await maria.post("/api/sign-in", json={"username": "maria", "password": "maria's wrong guess"})
    await maria.post("/api/sign-in", json={"username": "maria", "password": "maria's own secret"})
    await maria.post("/api/sign-in", content=b'{"username":"maria","password":"maria\'s broken json')
    headers = {"content-type": "application/json"}
    await maria.post("/api/sign-in", content=b'{"password":"maria\'s broken json",', headers=headers)
    await maria.post("/api/sign-in", json={"username": "maria", "password": ["maria's list of one"]})
    await maria.post("/api/sign-in", json=SIGN_IN, headers={"sec-fetch-site": "cross-site"})
    await maria.post("/api/session/fresh", json={"password": "maria's own secret"})
    change = {"current_password": "maria's own secret", "new_password": "maria's next secret"}
    await maria.post("/api/password", json=change | {"current_password": "maria's wrong guess"})
    await maria.post("/api/password", json=change | {"new_password": "password1"})
    await maria.post("/api/password", json=change)
    path = f"/api/users/{added['id']}"
    await root.patch(path, json={"password": "set by the admin"})
    await root.patch(path, json={"password": "tiny!"})
    await maria.post("/api/sign-in", json={"username": "maria", "password": "set by the admin"})
    await root.patch(path, json={"admin": True})
    await root.delete(f"{path}/sessions")

    async def breaks(*args, **kwargs):
        raise StoreUnavailable("gone")

    async def fails(*args, **kwargs):
        raise RuntimeError("a bug")

    for broken in (breaks, fails):
        with monkeypatch.context() as patch:
            patch.setattr(site.database, "begin_try", broken)
            await maria.post("/api/sign-in", json={"username": "maria", "password": "set by the admin"})
        with monkeypatch.context() as patch:
            patch.setattr(site.auth, "sign_in", broken)
            await maria.post("/api/sign-in", json={"username": "maria", "password": "set by the admin"})
        with monkeypatch.context() as patch:
            patch.setattr(site.accounts, "do_duties", broken)
            looking = asyncio.create_task(site._look_after())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
    told = (await root.get("/api/audit?limit=199")).text
    await root.delete("/api/everyone/sessions")

    assert {answer.status_code for answer in answers} >= {200, 201, 204, 401, 403, 409, 415, 422, 500, 503}
    secret = {PASSWORD, code, code.replace("-", ""), "a password by mistake", "set by the admin", "tiny!", "password1"}
    secret |= {f"maria's {rest}" for rest in ("own secret", "wrong guess", "next secret", "broken json", "list of one")}
    tokens = {token for answer in answers for token in tokens_set_by(answer)}
    assert len(tokens) >= 5
    secret |= tokens | {root.cookies[DEVICE], maria.cookies[DEVICE]}
    logged = "\n".join(f"{logging.Formatter().format(record)} {record.__dict__}" for record in caplog.records)
    assert "upkeep failed" in logged and "cross-site" in logged
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    stored += await stored_behind(site.database)
    assert b"Maria" in stored
    for text in secret:
        assert text not in logged
        assert text not in told
        assert text.encode() not in stored
        assert not any(text in answer.text for answer in answers)


ENDS_ONESELF = {"sign_out", "end_session", "end_sessions", "end_sessions_of", "end_session_of", "end_everyone"}


@each(OF_PEOPLE)
async def test_only_a_sign_out_clears_the_browser_and_no_body_holds_a_token(people, enter, browser, site, endpoint):
    """Whatever is asked by whomever, rightly or not; what clears is what has ended the visitor's own session."""
    name = endpoint.handler.__name__
    root, otto, maria, stranger = await enter("root"), await enter("otto"), await enter("maria"), await browser()
    tokens = {client.cookies[SESSION] for client in (root, otto, maria)}
    for client, ident, sid in (
        (stranger, people.maria.id, maria.sid),
        (otto, people.maria.id, maria.sid),
        (otto, people.otto.id, "nothing"),
        (root, people.maria.id, maria.sid),
        (root, people.root.id, root.sid),
    ):
        answer = await ask(client, endpoint, id=ident, sid=sid)
        tokens |= set(tokens_set_by(answer))
        assert not any(token in answer.text for token in tokens)
        clears = "clear-site-data" in answer.headers
        assert not clears or (name in ENDS_ONESELF and answer.status_code == 204)
        if clears:
            assert any(field.startswith(f"{SESSION}=;") for field in answer.headers.get_list("set-cookie"))
            assert (await client.get("/api/session")).status_code == 401


@pytest.mark.parametrize("path", ["/api/sign-in", "/sign-in"])
async def test_a_failed_sign_in_clears_nothing(people, browser, path):
    """Somebody else's mistake must not empty a browser."""
    client = await browser()
    for kind in ({"json": SIGN_IN | {"password": "wrong"}}, {"data": {"name": "maria", "password": "wrong"}}, {}):
        answer = await client.post(path, **kind)
        assert answer.status_code >= 400 and "clear-site-data" not in answer.headers
        assert tokens_set_by(answer) == []


# --- headers that somebody else writes ---

SPLITTING = [
    "Eve\r\nX-Evil: 1",
    "Eve\nSet-Cookie: a=b",
    "Eve\r\n\r\n<script>",
    "Eve\u2028X-Evil: 1",
    "Eve\x85X-Evil: 1",
]


@pytest.mark.parametrize("name", SPLITTING, ids=ascii)
async def test_a_name_cannot_write_headers(people, enter, browser, name):
    """Such a name is refused for accounts, and no answer to any other use of it has a header more."""
    root, stranger = await enter("root"), await browser()
    answers = [
        await root.post("/api/users", json={"username": name, "password": PASSWORD}),
        await try_to_enter(stranger, name=name),
        await stranger.post("/sign-in", data={"name": name, "password": "x", "next": f"/{name}"}),
        await stranger.get("/sign-in", params={"next": f"/{name}"}),
        await root.get("/api/users", params={"query": name, "after": name}),
        await root.get("/api/audit", params={"user": name}),
        await root.patch(f"/api/users/{name.encode().hex()}%0d%0aX-Evil:%201", json={"admin": True}),
        await root.delete("/api/sessions/x%0d%0aX-Evil:%201"),
        await stranger.get("/devices%0d%0aX-Evil:%201"),
        await stranger.get("/api/session", headers={"user-agent": ascii(name)}),
    ]
    assert [answer.status_code for answer in answers[:3]] == [422, 401, 401]
    for answer in answers:
        assert "x-evil" not in answer.headers
        assert not any("\r" in field or "\n" in field for pair in answer.headers.multi_items() for field in pair)
        assert not any(field.startswith("a=b") for field in answer.headers.get_list("set-cookie"))


# --- pages ---

ELSEWHERE = [
    "https://evil.example",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "\n//evil.example",
    " //evil.example",
    "javascript:alert(1)",
    "evil.example",
    "/%0d%0aLocation:https://evil.example\r\n",
    "http:/evil.example",
    "/" + "a" * 3000,
]


@pytest.mark.parametrize("after", ELSEWHERE, ids=ascii)
async def test_a_sign_in_leads_nowhere_else(people, browser, enter, after):
    """What is not a path of this origin is not followed: not after a sign-in, not when signed in, not in the form."""
    client = await browser()
    shown = await client.get("/sign-in", params={"next": after})
    assert shown.status_code == 200 and "evil.example" not in shown.text
    answer = await client.post("/sign-in", data={"name": "maria", "password": PASSWORD, "next": after})
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    again = await client.get("/sign-in", params={"next": after})
    assert again.status_code == 303 and again.headers["location"] == "/"
    fresh = await client.post("/fresh", data={"password": PASSWORD, "next": after})
    assert fresh.status_code == 303 and fresh.headers["location"].partition("?")[0] == "/"


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/password", "/devices/end-others"])
async def test_another_site_cannot_use_the_forms(people, enter, bare_browser, site, path, headers):
    """Not even with the cookies of somebody who is signed in."""
    maria, other, client = await enter("maria"), await enter("maria"), await bare_browser()
    before = await state_of(site)
    form = {"name": "otto", "password": PASSWORD, "current": PASSWORD, "new": "another good one"}
    cookies = with_cookies(session=maria.cookies[SESSION])
    answer = await client.post(path, data=form, headers=headers | cookies)
    assert answer.status_code == 403 and "set-cookie" not in answer.headers
    assert await state_of(site) == before
    assert (await other.get("/api/session")).status_code == 200


@pytest.mark.parametrize("token", [None, "", "x", "anothers"])
async def test_an_old_browser_needs_its_own_form_token(people, enter, bare_browser, site, token):
    """A browser that says nothing of where a form comes from is believed by the token in the form alone."""
    maria, client = await enter("maria"), await bare_browser()
    attacker = await bare_browser()
    page = (await attacker.get("/sign-in")).text
    anothers = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    assert anothers
    form = {"name": "otto", "password": PASSWORD}
    if token is not None:
        form["csrf_token"] = anothers if token == "anothers" else token
    answer = await client.post("/sign-in", data=form, headers=with_cookies(session=maria.cookies[SESSION]))
    assert answer.status_code == 403
    assert await site.auth.sessions_of(people.otto.id) == []
    own = await attacker.post("/sign-in", data=form | {"csrf_token": anothers})
    assert own.status_code == 303, "with the token of its own form it may"
