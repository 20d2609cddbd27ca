"""Shared caches: one visitor's page, or one visitor's cookie, is served to everybody (CVE-2023-30861)."""

import pytest
from tests.attacks.visitors import SAME_ORIGIN, App, ask, browser, door_of, with_cookie

from coatcheck import ConfigError
from coatcheck.asgi import SessionMiddleware


@pytest.fixture
def url():
    """The door does not depend on the store."""
    return "memory://"


class SharedCache:
    """The simplest cache of RFC 9111: keeps what it may, keyed by what Vary names."""

    def __init__(self, app):
        self.app, self.kept = app, []

    async def get(self, path, headers=None):
        headers = {name.lower(): value for name, value in (headers or {}).items()}
        for kept_path, kept_headers, answer in self.kept:
            names = [name.strip().lower() for field in answer.all("vary") for name in field.split(",")]
            if kept_path == path and all(kept_headers.get(name) == headers.get(name) for name in names):
                return answer
        answer = await ask(self.app, path=path, headers=headers)
        control = ",".join(answer.all("cache-control")).lower()
        if not any(word in control for word in ("no-store", "private", "no-cache")):
            self.kept.append((path, headers, answer))
        return answer


PATHS = ["/", "/public", "/form", "/sign-in"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("cookie", ["none", "good", "bad"])
async def test_no_answer_may_be_kept_by_a_shared_cache(door, path, cookie):
    """Whatever the application says, with a session or without: Vary has Cookie, and the answer is private."""
    done = await door.auth.sign_in("maria")
    headers = {"none": {}, "good": with_cookie(done.token), "bad": with_cookie("x")}[cookie]
    answer = await ask(door, path=path, headers=headers)
    control = [part.strip() for part in answer.one("cache-control").split(",")]
    assert answer.one("vary") == "Cookie"
    assert {"private", "no-store"} & set(control)
    assert not {"public", "s-maxage=600"} & set(control)
    if answer.all("set-cookie"):
        assert control == ["no-store"]


async def test_a_cache_in_front_mixes_nobody_up(door):
    """Maria, bob and a visitor ask for the same page through one cache: each gets their own."""
    cache = SharedCache(door)
    maria, bob = await door.auth.sign_in("maria"), await door.auth.sign_in("bob")
    for path in ("/", "/public"):
        for who, headers in (("maria", with_cookie(maria.token)), (None, {}), ("bob", with_cookie(bob.token))):
            assert (await cache.get(path, headers)).json["sub"] == who
    assert cache.kept == []


async def test_the_cache_of_the_test_does_mix_up_without_the_door(auth):
    """The simulation can fail: an answer that says "public" is kept and given to the next one."""
    cache = SharedCache(App(auth))
    first = await cache.get("/public")
    assert await cache.get("/public", {"cookie": "another"}) is first


async def test_what_the_application_says_is_kept_where_it_is_safe(auth):
    """Its Vary is extended, its own no-store and private stay, and a page may be kept by its visitor's browser."""

    async def app(scope, receive, send):
        headers = [(b"vary", b"Accept-Encoding"), (b"cache-control", b"private, max-age=60"), (b"x-own", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    answer = await ask(SessionMiddleware(app, auth=auth))
    assert answer.one("vary") == "Accept-Encoding, Cookie"
    assert answer.one("cache-control") == "private, max-age=60"
    assert answer.one("x-own") == "1"


async def test_a_response_without_headers_is_shaped_too(auth):
    """ASGI lets an application leave them out."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    answer = await ask(SessionMiddleware(app, auth=auth))
    assert (answer.one("vary"), answer.one("cache-control")) == ("Cookie", "private, no-cache")


async def test_a_cookie_set_by_the_application_is_never_stored(auth):
    """Of its own or ours, whatever it says about caching; every Set-Cookie stays a field of its own."""

    async def app(scope, receive, send):
        headers = [(b"set-cookie", b"a=1"), (b"cache-control", b"public, max-age=600"), (b"set-cookie", b"b=2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    answer = await ask(SessionMiddleware(app, auth=auth))
    assert answer.one("cache-control") == "no-store"
    assert answer.all("set-cookie") == ["a=1", "b=2"]


async def test_our_own_refusals_are_stored_nowhere(door, monkeypatch):
    """403, 421 and 503 are answers to one request."""
    done = await door.auth.sign_in("maria")
    door.auth._memory._cache.drop()

    async def down(digest):
        from coatcheck import StoreUnavailable

        raise StoreUnavailable("down")

    monkeypatch.setattr(door.auth._store, "load", down)
    answers = [
        await ask(door, "POST", headers={"Sec-Fetch-Site": "cross-site"}),
        await ask(door, host="evil.example"),
        await ask(door, headers=with_cookie(done.token)),
    ]
    assert [answer.status for answer in answers] == [403, 421, 503]
    for answer in answers:
        assert (answer.one("cache-control"), answer.one("vary")) == ("no-store", "Cookie")
        assert answer.all("set-cookie") == []


# --- excluded paths ---


@pytest.fixture
def with_static(auth):
    """The middleware with a folder that does not depend on the visitor."""
    return door_of(auth, exclude=("/static/", "/assets/"))


@pytest.mark.parametrize("path", ["/static/a.css", "/assets/b/c.js", "/static/"])
async def test_an_excluded_path_knows_no_visitor(with_static, path):
    """No session is looked up, and nothing is added: all caches may keep it."""
    done = await with_static.auth.sign_in("maria")
    answer = await ask(with_static, path=path, headers=with_cookie(done.token))
    assert answer.json == {"sub": None, "sid": None, "refused": None}
    assert answer.all("vary") == answer.all("cache-control") == []


@pytest.mark.parametrize("path", ["/static", "/Static/a", "/x/static/a", "/statics/a", "//static/a", "/"])
async def test_what_is_not_excluded_is_as_ever(with_static, path):
    """A prefix is a prefix, to the letter."""
    done = await with_static.auth.sign_in("maria")
    answer = await ask(with_static, path=path, headers=with_cookie(done.token))
    assert answer.json["sub"] == "maria"
    assert answer.one("vary") == "Cookie"


async def test_an_unsafe_request_to_an_excluded_path_is_judged(with_static):
    """Excluding a path is no way around the CSRF check."""
    path = "/static/upload"
    for refused in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}):
        assert (await ask(with_static, "POST", path, refused)).status == 403
    assert (await ask(with_static, "POST", path, SAME_ORIGIN)).status == 200


@pytest.mark.parametrize("exclude", ["/static/", ("static/",), ("",), ("/ok/", "no")])
def test_exclude_is_a_list_of_prefixes(auth, exclude):
    """A single text would be read letter by letter, and exclude everything."""
    with pytest.raises(ConfigError) as refused:
        SessionMiddleware(App(auth), auth=auth, exclude=exclude)
    assert refused.value.setting == "exclude"


async def test_through_a_real_client(door):
    """Httpx over https: sign-in, then a page; the session cookie comes once and is not repeated by later answers."""
    async with browser(door) as client:
        first = await client.post("/sign-in", headers=SAME_ORIGIN)
        assert first.headers["cache-control"] == "no-store"
        second = await client.get("/public")
        assert second.json()["sub"] == "maria"
        assert "set-cookie" not in second.headers
        assert second.headers["vary"] == "Cookie"
