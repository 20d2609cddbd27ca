"""Who may pass, and as whom: each rule of the front door, in this process."""

import base64
import contextlib
import json
import re
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher

from coatcheck import Claims, Coatcheck, ConfigError, Policy, Reason, Refused, StoreUnavailable, Verifier
from coatcheck.cli import main
from coatcheck.server import database, run
from coatcheck.server.app import build_app
from coatcheck.server.front_door import build_front_door
from coatcheck.server.passwords import Passwords
from coatcheck.server.settings import Settings, audiences, front_door_address
from coatcheck.server.site import Site, policy_for

SITE = "https://auth.example.com"
AUDIENCES = {"orders.example.com": "orders", "reports.example.com:8443": "reports", "auth.example.com": "home"}
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
async def site(tmp_path, clock):
    """A server without listeners."""
    url = f"sqlite:///{tmp_path}/coatcheck.db"
    auth = Coatcheck(url, policy=policy_for(Policy(), (SITE,)), issuer=SITE, clock=clock)
    site = Site(auth, database.from_url(url), clock=clock, hasher=Passwords(CHEAP))
    async with site.lifespan():
        yield site


@pytest.fixture
async def proxy(site):
    """A client of the front door that has nothing to say of its own, and is taken for nginx."""
    async with a_proxy(site, "nginx") as client:
        yield client


@contextlib.asynccontextmanager
async def a_proxy(site, name):
    """A client of a front door that is configured for the proxy of that name."""
    door = build_front_door(site, audiences=AUDIENCES, sign_in_url=f"{SITE}/sign-in", proxy=name)
    transport = httpx.ASGITransport(app=door)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as client:
        client.headers.clear()
        yield client


@pytest.fixture
async def maria(site):
    """Somebody who is signed in."""
    return await site.auth.sign_in("maria", claims={"roles": ["member"], "mail": "m@example.com"})


@pytest.fixture
def ask(proxy, maria):
    """Ask as nginx does for Maria's GET of the orders; None leaves a header out."""

    async def do(client_method="GET", **more):
        said = {
            "x-original-method": "GET",
            "x-original-host": "orders.example.com",
            "x-original-uri": "/list?page=2",
            "cookie": f"__Host-session={maria.token.reveal()}",
        }
        said |= {name.replace("_", "-"): value for name, value in more.items()}
        headers = [
            (name, one)
            for name, value in said.items()
            if value is not None
            for one in ([value] if isinstance(value, str) else value)
        ]
        return await proxy.request(client_method, "/forward-auth", headers=headers)

    return do


def says(answer):
    """The claims in the answer's token, unverified."""
    part = answer.headers["authorization"].removeprefix("Bearer ").split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=="))


async def test_signed_in(ask, site, maria):
    """200, nothing in the body, a token for that upstream alone, for a minute, kept by nobody."""
    answer = await ask()
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["cache-control"] == "no-store"
    claims = site.auth.verify(answer.headers["authorization"].removeprefix("Bearer "), audience="orders")
    assert isinstance(claims, Claims)
    assert (claims.sub, claims.sid, claims.audience) == ("maria", maria.session.sid, ("orders",))
    assert claims.expires_at - claims.issued_at == 60
    async with Verifier(SITE, audience="reports", feed=site.auth) as other:
        assert other.verify(answer.headers["authorization"].removeprefix("Bearer ")) == Refused(Reason.WRONG_AUDIENCE)


async def test_identity_is_in_the_token_only(ask):
    """No header beside it names anybody."""
    answer = await ask()
    assert sorted(answer.headers) == ["authorization", "cache-control", "content-length"]


async def test_it_counts_as_activity(ask, site, clock, maria):
    """Who works behind the door is not idle."""
    clock.advance(13 * 86400)
    assert (await ask()).status_code == 200
    clock.advance(13 * 86400)
    assert (await ask()).status_code == 200


@pytest.mark.parametrize(
    ("host", "audience"),
    [("orders.example.com", "orders"), ("Reports.Example.com:8443", "reports"), ("auth.example.com", "home")],
)
async def test_the_audience_is_the_upstreams(ask, host, audience):
    """By the host that the visitor asked for, in any case of letters."""
    assert says(await ask(x_original_host=host))["aud"] == audience


@pytest.mark.parametrize(
    "said",
    [
        {"x_original_host": "evil.example"},
        {"x_original_host": None},
        {"x_original_host": None, "host": "orders.example.com"},
        {"x_original_host": "reports.example.com"},
        {"x_original_host": ["orders.example.com", "auth.example.com"]},
        {"x_original_host": None, "x_forwarded_host": "orders.example.com"},
        {"x_original_host": ["orders.example.com", "orders.example.com"]},
        {"x_original_host": "orders.example.com, auth.example.com"},
        {"x_original_host": "orders.example.com."},
    ],
)
async def test_a_host_that_is_not_configured(ask, said):
    """Refused, signed in or not; so is one that is said twice and differently."""
    answer = await ask(**said)
    assert answer.status_code == 403
    assert "authorization" not in answer.headers


POST = {"x_original_method": "POST"}
WS = {"x_original_upgrade": "websocket"}
OURS, SIBLING = "https://orders.example.com", "https://reports.example.com:8443"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        # Fetch Metadata decides where it is.
        (POST | {"sec_fetch_site": "same-origin"}, 200),
        (POST | {"sec_fetch_site": "none"}, 200),
        (POST | {"sec_fetch_site": "same-site"}, 403),
        (POST | {"sec_fetch_site": "cross-site"}, 403),
        (POST | {"sec_fetch_site": "cross-site", "origin": OURS}, 403),
        (POST | {"sec_fetch_site": ["same-origin", "cross-site"]}, 403),
        # Then the origin, which is configured, and this upstream's own.
        (POST | {"origin": OURS}, 200),
        (POST | {"origin": "http://orders.example.com"}, 403),
        (POST | {"origin": SIBLING}, 403),
        (POST | {"origin": SITE}, 403),
        (POST | {"origin": "null"}, 403),
        (POST | {"origin": "https://evil.example", "x_forwarded_proto": "https"}, 403),
        (POST | {"origin": [OURS, "https://evil.example"]}, 403),
        # Then what a form could send: there is no form token here.
        (POST, 403),
        (POST | {"content_type": "application/x-www-form-urlencoded"}, 403),
        (POST | {"content_type": "text/plain;charset=utf-8"}, 403),
        (POST | {"content_type": "application/json"}, 200),
        ({"x_original_method": "DELETE"}, 200),
        ({"x_original_method": "DELETE", "sec_fetch_site": "cross-site"}, 403),
        # Paths that the server itself exempts are nothing special at an upstream.
        (POST | {"x_original_uri": "/oauth/token", "sec_fetch_site": "cross-site"}, 403),
        # Reading is safe, from anywhere.
        ({"sec_fetch_site": "cross-site"}, 200),
        ({"x_original_method": "HEAD", "sec_fetch_site": "cross-site"}, 200),
        # Not said, or said twice and differently: unsafe.
        ({"x_original_method": None, "sec_fetch_site": "cross-site"}, 403),
        ({"x_original_method": None}, 403),
        ({"x_original_method": ""}, 403),
        ({"x_original_method": "get", "sec_fetch_site": "cross-site"}, 403),
        ({"x_original_method": ["GET", "POST"]}, 403),
        ({"x_original_method": ["GET", "GET"]}, 403),
        ({"x_original_method": "GET, POST"}, 403),
        ({"client_method": "POST"}, 403),
        ({"client_method": "POST", "x_original_method": "POST", "sec_fetch_site": "same-origin"}, 200),
        # What another proxy would say is the visitor's own here: it neither helps nor harms.
        ({"x_original_method": None, "x_forwarded_method": "GET"}, 403),
        (POST | {"x_forwarded_method": "GET", "sec_fetch_site": "cross-site"}, 403),
        ({"x_forwarded_method": "POST", "sec_fetch_site": "cross-site"}, 200),
        ({"x_original_method": None, "x_http_method_override": "GET"}, 403),
        # A handshake is a GET, and judged as if it were not.
        (WS | {"origin": OURS}, 200),
        (WS | {"origin": "https://evil.example"}, 403),
        (WS | {"origin": SIBLING}, 403),
        (WS | {"sec_fetch_site": "cross-site"}, 403),
        (WS | {"sec_fetch_site": "same-origin", "origin": OURS}, 200),
        (WS, 200),
        # Even where the proxy was not told to say so.
        ({"sec_websocket_key": "x", "origin": "https://evil.example"}, 403),
        ({"sec_fetch_mode": "websocket", "origin": "https://evil.example"}, 403),
        ({"upgrade": "WebSocket", "origin": "https://evil.example"}, 403),
        ({"upgrade": "h2c, websocket", "origin": "https://evil.example"}, 403),
        ({"sec_fetch_mode": ["cors", "websocket"], "origin": "https://evil.example"}, 403),
        # Whoever says that it is one, is believed.
        ({"sec_websocket_key": "x", "origin": "https://evil.example", "sec_fetch_mode": "cors"}, 403),
        ({"upgrade": "websocket", "origin": "https://evil.example", "sec_fetch_mode": "cors"}, 403),
        (WS | {"origin": "https://evil.example", "sec_fetch_mode": "cors"}, 403),
        # An Origin is what every handshake has, and of GETs hardly another, unless a current browser says so.
        ({"origin": "https://evil.example"}, 403),
        ({"origin": OURS}, 200),
        ({"origin": "https://evil.example", "sec_fetch_mode": "cors", "sec_fetch_site": "cross-site"}, 200),
    ],
)
async def test_who_sent_it(ask, said, status):
    """CSRF is judged here, by what the proxy says of the visitor's request."""
    answer = await ask(**said)
    assert answer.status_code == status
    assert ("authorization" in answer.headers) == (status == 200)


class Visit:
    """A visitor's request, and what each proxy makes of it when it asks the front door."""

    def __init__(self, method="GET", host="orders.example.com", uri="/list?page=2", **headers):
        self.method, self.host, self.uri = method, host, uri
        self.headers = [(name.replace("_", "-"), value) for name, value in headers.items()]

    def question(self, proxy):
        """The question's method, path and headers, after each proxy's own manual or source."""
        if proxy == "nginx":  # proxy_set_header; it passes on what it is told to
            told = ("cookie", "origin", "sec-fetch-site", "sec-fetch-mode", "content-type")
            passed = [pair for pair in self.headers if pair[0] in told]
            upgrade = [("x-original-upgrade", value) for name, value in self.headers if name == "upgrade"]
            ours = [("x-original-method", self.method), ("x-original-host", self.host), ("x-original-uri", self.uri)]
            return "GET", "/forward-auth", [*passed, *upgrade, *ours]
        if proxy == "envoy":  # ext_authz: by the visitor's method, for its path behind the prefix, at its host
            told = ("cookie", "origin", "sec-fetch-site", "sec-fetch-mode", "content-type", "sec-websocket-key")
            passed = [pair for pair in self.headers if pair[0] in (*told, "authorization")]
            return self.method, f"/forward-auth{self.uri}", [("host", self.host), *passed, ("content-length", "0")]
        # forwardAuth, forward_auth: all that the visitor sent, but for what they set; Traefik drops hop-by-hop headers.
        ours = {"x-forwarded-method": self.method, "x-forwarded-host": self.host, "x-forwarded-uri": self.uri}
        ours |= {"x-forwarded-proto": "https", "x-forwarded-for": "192.0.2.7"}
        dropped = {"connection", "upgrade", "te", "trailer"} if proxy == "traefik" else set()
        passed = [pair for pair in self.headers if pair[0] not in ours and pair[0] not in dropped]
        query = f"?{self.uri.partition('?')[2]}" if proxy == "caddy" and "?" in self.uri else ""
        return "GET", f"/forward-auth{query}", [*passed, *ours.items()]

    async def by(self, proxy, client):
        """The front door's answer."""
        method, path, headers = self.question(proxy)
        return await client.request(method, path, headers=headers)


PROXIES = ["nginx", "caddy", "traefik", "envoy"]
FORGED = {
    "x_original_method": "GET",
    "x_original_host": "auth.example.com",
    "x_original_uri": "/",
    "x_forwarded_method": "GET",
    "x_forwarded_host": "auth.example.com",
    "x_forwarded_uri": "/",
    "x_http_method_override": "GET",
}
HANDSHAKE = {"connection": "Upgrade", "upgrade": "websocket", "sec_websocket_key": "x", "sec_websocket_version": "13"}
EVIL = "https://evil.example"


@pytest.mark.parametrize("proxy_name", PROXIES)
@pytest.mark.parametrize(
    ("visit", "status"),
    [
        (Visit(), 200),
        (Visit(sec_fetch_site="cross-site"), 200),
        (Visit("HEAD"), 200),
        (Visit("POST", sec_fetch_site="same-origin"), 200),
        (Visit("POST", sec_fetch_site="cross-site"), 403),
        (Visit("POST", sec_fetch_site="cross-site", **FORGED), 403),
        (Visit("POST", origin=OURS), 200),
        (Visit("POST", origin=EVIL), 403),
        (Visit("POST", origin=EVIL, **FORGED), 403),
        (Visit("POST", content_type="application/x-www-form-urlencoded"), 403),
        (Visit("POST", content_type="application/json"), 200),
        (Visit("PUT", origin=EVIL, **FORGED), 403),
        (Visit(uri="/live", origin=OURS, **HANDSHAKE), 200),
        (Visit(uri="/live", origin=EVIL, **HANDSHAKE), 403),
        (Visit(uri="/live", origin=EVIL, **HANDSHAKE, **FORGED), 403),
        (Visit(uri="/live", sec_fetch_mode="websocket", sec_fetch_site="cross-site", origin=EVIL, **HANDSHAKE), 403),
        (Visit(host="evil.example"), 403),
        (Visit(host="evil.example", **FORGED), 403),
        (Visit(host="auth.example.com", origin=OURS, method="POST"), 403),
    ],
)
async def test_each_proxy_in_its_own_way(site, maria, proxy_name, visit, status):
    """A visitor who says by another proxy's headers what was asked gains nothing by it."""
    visit = Visit(
        visit.method, visit.host, visit.uri, cookie=f"__Host-session={maria.token.reveal()}", **dict(visit.headers)
    )
    async with a_proxy(site, proxy_name) as client:
        answer = await visit.by(proxy_name, client)
    assert answer.status_code == status
    assert ("authorization" in answer.headers) == (status == 200)
    if status == 200:
        assert says(answer)["aud"] == AUDIENCES[visit.host]


@pytest.mark.parametrize("proxy_name", PROXIES)
async def test_each_proxy_says_where_to_go_after_the_sign_in(site, proxy_name):
    """Path and query, by whichever way they came."""
    async with a_proxy(site, proxy_name) as client:
        for uri, after in (("/list?page=2", "/list%3Fpage%3D2"), ("/", "/"), ("//evil.example", "/")):
            answer = await Visit(host="auth.example.com", uri=uri).by(proxy_name, client)
            assert answer.headers["x-sign-in"] == f"{SITE}/sign-in?next={after}"


@pytest.mark.parametrize("asks", PROXIES)
@pytest.mark.parametrize("configured", PROXIES)
async def test_a_proxy_that_was_not_configured_gets_nothing_unsafe_through(site, maria, configured, asks):
    """Whoever forgot --proxy is told by refusals; what another proxy's headers claim is never believed."""
    if (configured, asks) in (("caddy", "traefik"), ("traefik", "caddy")) or configured == asks:
        return  # one way
    cookie = f"__Host-session={maria.token.reveal()}"
    async with a_proxy(site, configured) as client:
        for visit in (Visit("POST", origin=EVIL, cookie=cookie), Visit("POST", origin=EVIL, cookie=cookie, **FORGED)):
            assert (await visit.by(asks, client)).status_code in (403, 404)
        assert (await Visit(cookie=cookie).by(asks, client)).status_code in (403, 404)


@pytest.mark.parametrize("proxy_name", ["caddy", "traefik"])
@pytest.mark.parametrize("method", [None, "", ["GET", "GET"], ["GET", "POST"], "get", "GET, GET"])
async def test_a_method_that_is_not_said_is_unsafe(site, maria, proxy_name, method):
    """Also where X-Forwarded-Method counts."""
    _, path, headers = Visit(cookie=f"__Host-session={maria.token.reveal()}").question(proxy_name)
    headers = [pair for pair in headers if pair[0] != "x-forwarded-method"]
    said = [] if method is None else [method] if isinstance(method, str) else method
    headers += [("x-forwarded-method", one) for one in said]
    async with a_proxy(site, proxy_name) as client:
        assert (await client.get(path, headers=headers)).status_code == 403


@pytest.mark.parametrize("proxy_name", ["nginx", "caddy", "traefik"])
async def test_only_envoy_asks_for_other_paths(site, proxy_name):
    """404 for what is behind the path of the question."""
    async with a_proxy(site, proxy_name) as client:
        assert (await client.get("/forward-auth/list", headers={"host": "orders.example.com"})).status_code == 404
    async with a_proxy(site, "envoy") as client:
        for path in ("/list", "/", "/forward-authx", "/x/forward-auth"):
            assert (await client.get(path, headers={"host": "orders.example.com"})).status_code == 404


def test_the_proxy_is_one_of_those_that_are_known(monkeypatch):
    """Settings and command know the same names."""
    for name in PROXIES:
        assert Settings(proxy=name).proxy == name
    with pytest.raises(ConfigError, match=r"^--proxy: "):
        Settings(proxy="haproxy")
    seen = []
    monkeypatch.setattr(run, "serve", lambda settings: seen.append(settings) or 0)
    options = ["--front-door", "127.0.0.1:8001", "--upstream", "a.example.com=a"]
    assert [main(["serve", *options, "--proxy", name]) for name in PROXIES] == [0] * len(PROXIES)
    assert [settings.proxy for settings in seen] == PROXIES
    assert main(["serve", *options, "--proxy", "haproxy"]) == 2


@pytest.mark.parametrize(
    "cookies", [None, "", "other=1", "__Host-session=", "__Host-session=nonsense", "__Host-session=%FF", "=;;="]
)
async def test_anonymous(ask, cookies):
    """401, and where to sign in."""
    answer = await ask(cookie=cookies)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Cookie realm="coatcheck"'
    assert answer.headers["x-sign-in"].startswith(f"{SITE}/sign-in?next=")
    assert answer.headers["cache-control"] == "no-store"
    assert "authorization" not in answer.headers


async def test_two_cookies_are_nobodys(ask, maria):
    """One was tossed, and nobody can tell which; in one field or in two."""
    ours = f"__Host-session={maria.token.reveal()}"
    assert (await ask(cookie=f"{ours}; __Host-session=x")).status_code == 401
    assert (await ask(cookie=[ours, "__Host-session=x"])).status_code == 401
    assert (await ask(cookie=["theme=dark", ours])).status_code == 200


async def test_csrf_is_judged_without_a_session_too(ask):
    """By request, not by credential."""
    assert (await ask(cookie=None, x_original_method="POST", sec_fetch_site="cross-site")).status_code == 403


@pytest.mark.parametrize(
    ("host", "uri", "after"),
    [
        ("auth.example.com", "/list?page=2", "/list%3Fpage%3D2"),
        ("auth.example.com", "//evil.example", "/"),
        ("auth.example.com", "/\\evil.example", "/"),
        ("auth.example.com", "https://evil.example/", "/"),
        ("auth.example.com", "/a&next=//evil", "/a%26next%3D//evil"),
        ("auth.example.com", "/" + "a" * 3000, "/"),
        ("auth.example.com", None, "/"),
        ("orders.example.com", "/list", "https%3A//orders.example.com/list"),
        ("orders.example.com", "@evil.example", "https%3A//orders.example.com/"),
        ("reports.example.com:8443", "/", "https%3A//reports.example.com%3A8443/"),
    ],
)
async def test_where_to_go_after_the_sign_in(ask, host, uri, after):
    """A path, or a page of the configured upstream; nowhere else."""
    answer = await ask(cookie=None, x_original_host=host, x_original_uri=uri)
    assert answer.headers["x-sign-in"] == f"{SITE}/sign-in?next={after}"


async def test_revoked_is_out_at_once(ask, site, maria):
    """The very next request."""
    assert (await ask()).status_code == 200
    await site.auth.revoke(maria.session.sid)
    answer = await ask()
    assert (answer.status_code, "authorization" in answer.headers) == (401, False)


async def test_a_cart_is_nobody(ask, site):
    """A session without a subject signs nobody in."""
    started = await site.auth.start({"cart": [1]})
    assert (await ask(cookie=f"__Host-session={started.token.reveal()}")).status_code == 401


async def test_the_store_is_down(ask, site, monkeypatch):
    """Nobody is let in, and nobody is told to sign in."""

    async def check(token, *, touch=True):
        raise StoreUnavailable("gone")

    monkeypatch.setattr(site.auth, "check", check)
    answer = await ask()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.headers["cache-control"] == "no-store"
    assert (await ask(cookie=None)).status_code == 401


@pytest.mark.parametrize(("unsure", "status"), [(1, 200), (2, 503)])
async def test_unsure_is_asked_once_more(ask, site, monkeypatch, unsure, status):
    """Between the check and the signing a session can leave memory."""
    mint, asked = site.auth.access_token, []

    def access_token(*args, **kwargs):
        asked.append(kwargs)
        return Refused(Reason.UNSURE) if len(asked) <= unsure else mint(*args, **kwargs)

    monkeypatch.setattr(site.auth, "access_token", access_token)
    assert (await ask()).status_code == status
    assert len(asked) == 2


async def test_revoked_between_check_and_signing(ask, site, monkeypatch):
    """No token is signed on the word of an old object."""
    check = site.auth.check

    async def slow(token, *, touch=True):
        session = await check(token, touch=touch)
        await site.auth.revoke(session.sid)
        return session

    monkeypatch.setattr(site.auth, "check", slow)
    assert (await ask()).status_code == 401


@pytest.mark.parametrize("path", ["/", "/forward-auth/", "/forward-auth/x", "/sign-in", "/api/session", "/healthz"])
async def test_nothing_else_is_served(proxy, path):
    """404 for every other path."""
    assert (await proxy.get(path, headers={"x-original-host": "orders.example.com"})).status_code == 404


async def test_not_on_the_public_listener(site, maria):
    """404, whatever comes with it."""
    transport = httpx.ASGITransport(app=build_app(site, https=True, opens=False))
    async with httpx.AsyncClient(transport=transport, base_url=SITE) as browser:
        sent = {"cookie": f"__Host-session={maria.token.reveal()}", "x-original-host": "orders.example.com"}
        answer = await browser.get("/forward-auth", headers=sent | {"x-original-method": "GET"})
    assert answer.status_code == 404
    assert "authorization" not in answer.headers


@pytest.mark.parametrize(
    "door",
    [
        "0.0.0.0:8001",
        "[::]:8001",
        "192.0.2.1:8001",
        "8.8.8.8:8001",
        "169.254.1.1:1",
        "example.com:80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:70000",
        "127.0.0.1:x",
        ":8001",
        "8001",
        "127.0.0.1:-1",
        "127.0.0.1:²",
    ],
)
def test_never_a_public_address(door):
    """Refused before anything starts, by the name of the option."""
    with pytest.raises(ConfigError, match=r"^--front-door: "):
        Settings(front_door=door, upstreams=("a.example.com=a",))


@pytest.mark.parametrize(
    ("door", "address"),
    [
        ("127.0.0.1:8001", ("127.0.0.1", 8001)),
        ("localhost:0", ("127.0.0.1", 0)),
        ("[::1]:8001", ("::1", 8001)),
        ("10.1.2.3:80", ("10.1.2.3", 80)),
        ("[fd00::1]:80", ("fd00::1", 80)),
    ],
)
def test_where_it_listens(door, address):
    """Loopback and private addresses."""
    assert Settings(front_door=door, upstreams=("a.example.com=a",)).front_door == door
    assert front_door_address(door) == address


@pytest.mark.parametrize(
    "upstreams",
    [
        (),
        ("a.example.com",),
        ("=a",),
        ("a.example.com=",),
        ("https://a.example.com=a",),
        ("a.example.com/x=a",),
        ("A.example.com=a",),
        ("a.example.com=a", "a.example.com=b"),
        ("a.example.com=" + "a" * 256,),
        ("a:443=a",),
    ],
)
def test_upstreams_are_checked(upstreams):
    """So is the front door without one."""
    with pytest.raises(ConfigError, match=r"^--upstream: "):
        Settings(front_door="127.0.0.1:8001", upstreams=upstreams)


def test_the_options_of_the_command(monkeypatch):
    """They arrive under their names."""
    seen = []
    monkeypatch.setattr(run, "serve", lambda settings: seen.append(settings) or 0)
    upstreams = ["--upstream", "a.example.com=a", "--upstream", "b.example.com=b"]
    assert main(["serve", "--front-door", "127.0.0.1:8001", *upstreams]) == 0
    assert (seen[0].front_door, seen[0].upstreams) == ("127.0.0.1:8001", ("a.example.com=a", "b.example.com=b"))


def test_upstreams_without_a_front_door():
    """Half of it is a mistake."""
    with pytest.raises(ConfigError, match=r"^--front-door: is missing"):
        Settings(upstreams=("a.example.com=a",))
    assert audiences(("a.example.com=a", "b.example.com:8443=b=c")) == {
        "a.example.com": "a",
        "b.example.com:8443": "b=c",
    }


def test_the_page_shows_what_runs():
    """The configurations of nginx and Caddy in the manual are the example's."""
    root = Path(__file__).parent.parent.parent
    page = (root / "docs/how-to/front-door.md").read_text()
    caddyfile = (root / "examples/front_door/Caddyfile").read_text()
    snippet = re.search(r"^\(behind_the_door\) .*?^}\n", caddyfile, re.DOTALL | re.MULTILINE)[0]
    for text in ((root / "examples/front_door/door.conf").read_text(), snippet):
        assert text.replace("@DOOR@", "8001") in page
