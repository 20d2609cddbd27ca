"""Tokens over HTTP: clients, JWKS, OAuth endpoints, and the ways in which tokens end."""

import base64
import re
from pathlib import Path
from urllib.parse import urlencode

import httpx
import jwt as pyjwt
import pytest
from authlib.integrations.httpx_client import AsyncOAuth2Client
from tests.server.commands import command, restored

from coatcheck import Claims, Policy, Reason, Refused, StoreUnavailable, Verifier
from coatcheck.clock import DAY
from coatcheck.server.app import build_app
from coatcheck.server.problems import Problem
from coatcheck.tokens.keys import JWKS_CACHE_S

ROOT = Path(__file__).parent.parent.parent
ORIGIN = "https://auth.example.com"
PASSWORD = "correct horse battery"


@pytest.fixture
def clients(site):
    """Adds clients; returns their secrets."""

    async def add(ident, *audiences, **kwargs):
        _, secret = await site.clients.add(ident, audiences or ("orders",), now=site.clock.now(), **kwargs)
        return secret

    return add


@pytest.fixture
async def program(app):
    """A program: no browser's headers, no cookies kept."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        yield client


@pytest.fixture
def sign_in(program, people):
    """Signs in for tokens."""

    async def do(username="maria", client_id="cli", password=PASSWORD):
        body = {"username": username, "password": password, "mode": "token", "client_id": client_id}
        return await program.post("/api/sign-in", json=body)

    return do


def form(**fields):
    return {"data": fields}


async def test_the_keys_are_published(program, site):
    """With a life that agrees with their schedule, and without anything private."""
    answer = await program.get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == f"public, max-age={JWKS_CACHE_S}" and "pragma" not in answer.headers
    (key,) = answer.json()["keys"]
    assert key["alg"] == "ES256" and key["use"] == "sig" and "d" not in key
    metadata = (await program.get("/.well-known/oauth-authorization-server")).json()
    assert metadata["issuer"] == ORIGIN and metadata["jwks_uri"] == f"{ORIGIN}/.well-known/jwks.json"


@pytest.mark.both
async def test_a_program_signs_in_and_refreshes(site, clients, sign_in, program):
    """Sign-in gives a pair; the pair refreshes; the old one comes back too late and ends everything."""
    await clients("cli", "orders", "billing", is_public=True, may_sign_in=True)
    answer = await sign_in()
    assert answer.status_code == 200 and "set-cookie" not in answer.headers
    pair = answer.json()
    assert isinstance(site.auth.verify(pair["access_token"], audience="billing"), Claims)
    ask = form(grant_type="refresh_token", refresh_token=pair["refresh_token"], client_id="cli", audience="orders")
    second = (await program.post("/oauth/token", **ask)).json()
    assert site.auth.verify(second["access_token"], audience="orders").client_id == "cli"
    assert not site.auth.verify(second["access_token"], audience="billing")
    site.clock.advance(31)
    refused = await program.post("/oauth/token", **ask)
    assert refused.status_code == 400 and refused.json()["error"] == "invalid_grant"
    assert not site.auth.verify(second["access_token"], audience="orders")
    assert [entry.event.value for entry in await site.database.trail(limit=1)] == ["theft"]


async def test_authlib_refreshes_here(app, clients, sign_in):
    """A client library of others' making, with its own idea of the protocol."""
    await clients("cli", is_public=True, may_sign_in=True)
    pair = (await sign_in()).json()
    transport = httpx.ASGITransport(app)
    async with AsyncOAuth2Client(
        "cli", token_endpoint_auth_method="none", transport=transport, base_url=ORIGIN
    ) as client:
        token = await client.refresh_token(f"{ORIGIN}/oauth/token", refresh_token=pair["refresh_token"])
        assert token["refresh_token"] != pair["refresh_token"] and token["token_type"] == "Bearer"
        again = await client.refresh_token(f"{ORIGIN}/oauth/token", refresh_token=token["refresh_token"])
        assert again["access_token"]


async def test_authlib_acts_for_itself_and_pyjwt_verifies(app, clients, site):
    """Client credentials, by Basic; the token's subject is the client, never a person."""
    secret = await clients("worker", "orders", "billing")
    transport = httpx.ASGITransport(app)
    async with AsyncOAuth2Client("worker", secret, transport=transport, base_url=ORIGIN) as client:
        token = await client.fetch_token(f"{ORIGIN}/oauth/token", grant_type="client_credentials")
    (key,) = pyjwt.PyJWKSet.from_dict(site.auth.jwks()).keys
    options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    claims = pyjwt.decode(
        token["access_token"], key, algorithms=["ES256"], audience="billing", issuer=ORIGIN, options=options
    )
    assert claims["sub"] == "client:worker" and claims["client_id"] == "worker"
    sessions = await site.auth.sessions_of("client:worker")
    assert len(sessions) == 1
    await site.clients.disable("worker")
    assert not site.auth.verify(token["access_token"], audience="orders")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"client_id": "worker"},
        {"client_id": "worker", "client_secret": "wrong"},
        {"client_id": "nobody", "client_secret": "wrong"},
        {"client_id": "page"},
        {"client_id": "gone"},
        {"client_id": "cli", "client_secret": "a public client has none"},
    ],
)
@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke", "/oauth/introspect"])
async def test_who_is_no_client_gets_nothing(program, clients, site, path, fields):
    """Unknown, wrong secret, without it, a browser's, disabled: one answer."""
    await clients("worker")
    await clients("page", is_browser=True)
    await clients("cli", is_public=True)
    await clients("gone", is_public=True)
    await site.clients.disable("gone")
    answer = await program.post(path, data={"grant_type": "client_credentials", "token": "x", **fields})
    assert answer.status_code == 401 and answer.json()["error"] == "invalid_client"
    assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("data", "status", "error"),
    [
        ({}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": ["refresh_token", "refresh_token"]}, 400, "invalid_request"),
        ({"grant_type": "refresh_token"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, 400, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "ccr1_" + "A" * 70}, 400, "invalid_grant"),
        ({"grant_type": "client_credentials", "audience": "billing"}, 400, "invalid_target"),
        ({"grant_type": "client_credentials", "resource": ["orders", "billing"]}, 400, "invalid_target"),
    ],
)
async def test_bad_requests_have_the_rfcs_names(program, clients, data, status, error):
    """RFC 6749, section 5.2, and RFC 8707."""
    secret = await clients("worker", "orders")
    answer = await program.post("/oauth/token", data=data, auth=("worker", secret))
    assert answer.status_code == status and answer.json()["error"] == error
    assert answer.headers["cache-control"] == "no-store"


URLENCODED = {"content-type": "application/x-www-form-urlencoded"}
ASK = "grant_type=client_credentials"


@pytest.mark.parametrize("more", ["&client_secret=x", "&client_id=other", "&client_id=worker&client_secret=x"])
async def test_credentials_come_once(program, clients, more):
    """By Basic or in the body (RFC 6749, sections 2.3 and 5.2): which of two would count, nobody could tell."""
    secret = await clients("worker")
    await clients("other", is_public=True)
    send = {"headers": URLENCODED, "auth": ("worker", secret)}
    answer = await program.post("/oauth/token", content=ASK + more, **send)
    assert answer.status_code == 400 and answer.json()["error"] == "invalid_request"
    assert (await program.post("/oauth/token", content=f"{ASK}&client_id=worker", **send)).status_code == 200
    both = [("authorization", httpx.BasicAuth("worker", secret)._auth_header)] * 2
    answer = await program.post("/oauth/token", content=ASK, headers=[*URLENCODED.items(), *both])
    assert answer.status_code == 401


async def test_credentials_are_percent_encoded_in_basic(program, clients):
    """RFC 6749, section 2.3.1; a scheme has no case (RFC 9110, section 11.1)."""
    secret = await clients("wor.ker")
    encoded = "".join(f"%{ord(letter):02x}" for letter in f"wor.ker{secret}")
    value = base64.b64encode(f"{encoded[: 3 * 7]}:{encoded[3 * 7 :]}".encode()).decode()
    for scheme in ("Basic", "basic", "BASIC"):
        headers = URLENCODED | {"authorization": f"{scheme} {value}"}
        assert (await program.post("/oauth/token", content=ASK, headers=headers)).status_code == 200


@pytest.mark.parametrize("name", ["grant_type", "client_id", "client_secret", "refresh_token", "token"])
@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke", "/oauth/introspect"])
async def test_a_parameter_comes_once(program, clients, path, name):
    """RFC 6749, section 3.2; two readers of one request could each believe another value."""
    fields = {"client_id": "worker", "client_secret": await clients("worker"), "token": "x"}
    fields |= {"grant_type": "refresh_token", "refresh_token": "x"}
    if name in (("token",) if path == "/oauth/token" else ("grant_type", "refresh_token")):
        return  # not read there
    answer = await program.post(path, content=urlencode([*fields.items(), (name, fields[name])]), headers=URLENCODED)
    assert answer.status_code == 400 and answer.json()["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", '{"grant_type":"client_credentials"}'),
        ("multipart/form-data; boundary=x", "--x--"),
        ("text/plain", ASK),
        ("", ASK),
        (URLENCODED["content-type"], "grant_type=%ff"),
        (URLENCODED["content-type"], "grant_type=\u00e9"),
        (URLENCODED["content-type"], "&".join(["a=1"] * 51)),
    ],
)
async def test_a_body_of_another_kind_is_a_bad_request(program, clients, kind, body):
    """Only the one that the RFCs name is read; what cannot be decoded is not guessed at."""
    secret = await clients("worker")
    answer = await program.post(
        "/oauth/token", content=body.encode(), headers={"content-type": kind}, auth=("worker", secret)
    )
    assert answer.status_code == 400 and answer.json()["error"] == "invalid_request"


async def test_credentials_in_the_address_do_not_count(program, clients):
    """They would stand in logs (RFC 6749, section 2.3.1)."""
    secret = await clients("worker")
    url = f"/oauth/token?client_id=worker&client_secret={secret}"
    assert (await program.post(url, content=ASK, headers=URLENCODED)).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("GET", "/oauth/token", "", 405, "invalid_request"),
        ("POST", "/oauth/token", "a" * 70_000, 413, "invalid_request"),
        ("GET", "/oauth/nothing", "", 404, "invalid_request"),
        ("GET", "/.well-known/nothing", "", 404, "invalid_request"),
    ],
)
async def test_programs_are_told_in_json(program, method, path, body, status, error):
    """Also by what answers before or instead of a handler; nothing of it is kept by caches."""
    answer = await program.request(method, path, content=body, headers=URLENCODED)
    assert answer.status_code == status and answer.json() == {"error": error}
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [(StoreUnavailable("planted"), 503, "temporarily_unavailable"), (RuntimeError("planted"), 500, "server_error")],
)
async def test_a_fault_is_told_in_json_and_says_nothing(program, clients, site, monkeypatch, fault, status, error):
    """Come back later, or a fault of ours; in neither case what it is, and no grant is said to be invalid."""
    secret = await clients("worker")

    async def fails(*args, **kwargs):
        raise fault

    monkeypatch.setattr(site.auth, "refresh", fails)
    fields = {"grant_type": "refresh_token", "refresh_token": "x"}
    answer = await program.post("/oauth/token", data=fields, auth=("worker", secret))
    assert answer.status_code == status and answer.json() == {"error": error}
    assert ("retry-after" in answer.headers) == (status == 503)


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke", "/oauth/introspect"])
async def test_memory_that_is_unsure_is_told_as_such(program, clients, site, monkeypatch, path):
    """503 with when to come back: neither "inactive" nor a grant that a client would throw away."""
    secret = await clients("worker")

    async def refresh(*args, **kwargs):
        return Refused(Reason.UNSURE)

    monkeypatch.setattr(site.auth, "refresh", refresh)
    monkeypatch.setattr(site.auth, "verify", lambda *args, **kwargs: Refused(Reason.UNSURE))
    fields = {"grant_type": "refresh_token", "refresh_token": "x", "token": "x"}
    answer = await program.post(path, data=fields, auth=("worker", secret))
    assert answer.status_code == 503 and answer.json()["error"] == "temporarily_unavailable"
    assert answer.headers["retry-after"] == "5"


async def test_a_client_without_a_secret_does_not_act_for_itself(program, clients, site):
    """Anybody could be that client (RFC 6749, section 4.4)."""
    await clients("cli", is_public=True)
    answer = await program.post("/oauth/token", **form(grant_type="client_credentials", client_id="cli"))
    assert answer.status_code == 400 and answer.json()["error"] == "unauthorized_client"
    assert await site.auth.sessions_of("client:cli") == []


@pytest.mark.parametrize("value", ["Basic !!", "Basic " + base64.b64encode(b"no colon").decode(), "Bearer x"])
async def test_broken_credentials_are_401(program, value):
    """Never a traceback."""
    headers = {"authorization": value}
    answer = await program.post("/oauth/token", data={"grant_type": "client_credentials"}, headers=headers)
    assert answer.status_code == 401


async def test_another_clients_token_is_left_alone(program, clients, sign_in, site):
    """Revoking it: 200, and nothing happens. Refreshing it: refused, and nothing happens."""
    await clients("cli", is_public=True, may_sign_in=True)
    await clients("other", is_public=True)
    pair = (await sign_in()).json()
    for token in (pair["refresh_token"], pair["access_token"]):
        assert (await program.post("/oauth/revoke", **form(token=token, client_id="other"))).status_code == 200
    ask = form(grant_type="refresh_token", refresh_token=pair["refresh_token"], client_id="other")
    assert (await program.post("/oauth/token", **ask)).json()["error"] == "invalid_grant"
    assert site.auth.verify(pair["access_token"], audience="orders")


@pytest.mark.parametrize("which", ["refresh_token", "access_token"])
async def test_a_client_revokes_its_own(program, clients, sign_in, site, which):
    """Either token ends both."""
    await clients("cli", is_public=True, may_sign_in=True)
    pair = (await sign_in()).json()
    assert (await program.post("/oauth/revoke", **form(token=pair[which], client_id="cli"))).status_code == 200
    assert not site.auth.verify(pair["access_token"], audience="orders")
    ask = form(grant_type="refresh_token", refresh_token=pair["refresh_token"], client_id="cli")
    assert (await program.post("/oauth/token", **ask)).status_code == 400


async def test_introspection_is_for_ones_own_audience(program, clients, sign_in, site):
    """Others learn that it is not active, whatever it is."""
    await clients("cli", "orders", is_public=True, may_sign_in=True)
    orders, billing = await clients("orders-api", "orders"), await clients("billing-api", "billing")
    token = (await sign_in()).json()["access_token"]
    told = await program.post("/oauth/introspect", **form(token=token), auth=("orders-api", orders))
    assert told.json()["active"] is True and told.json()["client_id"] == "cli"
    told = await program.post("/oauth/introspect", **form(token=token), auth=("billing-api", billing))
    assert told.json() == {"active": False}
    await site.auth.revoke(site.auth.verify(token, audience="orders").sid)
    told = await program.post("/oauth/introspect", **form(token=token), auth=("orders-api", orders))
    assert told.json() == {"active": False}


async def test_a_client_without_a_secret_learns_nothing_by_introspection(program, clients, sign_in, site):
    """Not even of its own token: anybody can call themselves by its name (RFC 7662, section 2.1)."""
    await clients("cli", "orders", is_public=True, may_sign_in=True)
    token = (await sign_in()).json()["access_token"]
    for asked in (token, "x"):
        told = await program.post("/oauth/introspect", **form(token=asked, client_id="cli"))
        assert told.status_code == 401 and told.json()["error"] == "invalid_client"
        assert "active" not in told.json() and "www-authenticate" in told.headers


async def test_no_claim_answers_for_introspection(program, clients, make_site, people, tmp_path):
    """A session's own "active" or "token_type" is not taken for what RFC 7662 means by it."""
    site = make_site(policy=Policy(access_claims={"*": ("active", "token_type")}))
    async with site.lifespan():
        secret = await clients("orders-api", "orders")
        session = (await site.auth.sign_in("maria", claims={"active": False, "token_type": "none"})).session
        token = site.auth.access_token(session, audience="orders")
        transport = httpx.ASGITransport(build_app(site, https=True, opens=False))
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            told = await client.post("/oauth/introspect", **form(token=token), auth=("orders-api", secret))
    assert (told.json()["active"], told.json()["token_type"]) == (True, "Bearer")


async def test_tokens_that_no_client_has_asked_for_are_no_clients(site, clients):
    """Pages' tokens, also those of the front door, carry the client_id "browser": who had it could revoke them."""
    for kind in ({}, {"is_public": True}):
        refused = await site.clients.add("browser", ("orders",), now=site.clock.now(), **kind)
        assert isinstance(refused, Problem) and refused.field == "id"
    await clients("browser", is_browser=True)


async def test_signing_in_for_tokens_is_off_by_default_and_not_for_pages(program, clients, sign_in, browser, site):
    """Only through a client registered for it, and never from a page."""
    assert (await sign_in()).status_code == 403
    await clients("cli", is_public=True)
    assert (await sign_in()).status_code == 403
    await clients("tool", is_public=True, may_sign_in=True)
    body = {"username": "maria", "password": PASSWORD, "mode": "token", "client_id": "tool"}
    page = await (await browser()).post("/api/sign-in", json=body)
    assert page.status_code == 403 and page.json()["code"] == "not_for_pages"
    from_origin = await program.post("/api/sign-in", json=body, headers={"origin": ORIGIN})
    assert from_origin.status_code == 403
    assert (await sign_in(client_id="tool")).status_code == 200


async def test_a_page_gets_access_tokens_only_for_registered_audiences(people, enter, clients, site):
    """The session cookie goes in, an access token comes out; nothing else is for pages."""
    await clients("page", "orders", is_browser=True)
    await clients("worker", "billing")
    maria = await enter("maria")
    answer = await maria.post("/api/token", json={"audience": "orders"})
    claims = site.auth.verify(answer.json()["access_token"], audience="orders")
    assert claims.sub == people.maria.id and claims.client_id == "page"
    assert set(answer.json()) == {"access_token", "token_type", "expires_in"}
    for audience in ("billing", "nothing"):
        refused = await maria.post("/api/token", json={"audience": audience})
        assert refused.status_code == 403 and refused.json()["code"] == "wrong_audience"


async def test_a_token_is_said_to_live_for_as_long_as_it_does(people, enter, clients, site, program):
    """Near its session's end that is less than the policy's 15 minutes: to a page, and to a client for itself."""
    await clients("page", "orders", is_browser=True)
    maria = await enter("maria")
    secret = await clients("worker", "orders")
    ask = {"data": {"grant_type": "client_credentials"}, "auth": ("worker", secret)}
    for ahead_s in (17 * DAY, 4 * DAY, 100):
        expires_at = (await maria.get("/api/session")).json()["expires_at"]
        site.clock.advance(expires_at - site.clock.now() - ahead_s)
    page = await maria.post("/api/token", json={"audience": "orders"})
    for answer, lives_s in ((page, 100), (await program.post("/oauth/token", **ask), 900)):
        claims = site.auth.verify(answer.json()["access_token"], audience="orders")
        assert answer.json()["expires_in"] == claims.expires_at - site.clock.now() == lives_s


ENDS = {
    "panic": lambda s, maria, root, people: command(s, "panic", "--yes"),
    "restore": lambda s, maria, root, people: restored(s),
    "sign-out": lambda s, maria, root, people: maria.delete("/api/session"),
    "kick": lambda s, maria, root, people: root.delete(f"/api/users/{people.maria.id}/sessions/{maria.sid}"),
    "disabled": lambda s, maria, root, people: root.patch(f"/api/users/{people.maria.id}", json={"disabled": True}),
    "demoted": lambda s, maria, root, people: root.patch(f"/api/users/{people.maria.id}", json={"admin": False}),
    "reset": lambda s, maria, root, people: root.patch(
        f"/api/users/{people.maria.id}", json={"password": "set by the admin"}
    ),
    "password": lambda s, maria, root, people: maria.post(
        "/api/password", json={"current_password": PASSWORD, "new_password": "another good one"}
    ),
    "everyone": lambda s, maria, root, people: root.delete("/api/everyone/sessions"),
    "key": lambda s, maria, root, people: s.auth.revoke_key(s.auth.jwks()["keys"][0]["kid"]),
}


@pytest.mark.both("long")
@pytest.mark.parametrize("end", ENDS)
async def test_a_captured_token_is_refused_after(people, enter, clients, site, tmp_path, end):
    """However its session ended or changed: here, in another process, and in a service that only verifies."""
    await clients("page", "orders", is_browser=True)
    root = await enter("root")
    await root.patch(f"/api/users/{people.maria.id}", json={"admin": True})
    maria = await enter("maria")
    token = (await maria.post("/api/token", json={"audience": "orders"})).json()["access_token"]
    feed = f"sqlite:///{tmp_path}/coatcheck.db"
    async with Verifier(ORIGIN, audience="orders", feed=feed, clock=site.clock) as verifier:
        assert verifier.verify(token) and site.auth.verify(token, audience="orders")
        await ENDS[end](site, maria, root, people)
        assert not site.auth.verify(token, audience="orders")
        assert not verifier.verify(token)


@pytest.mark.parametrize("end", [name for name in ENDS if name != "sign-out"])
async def test_a_captured_refresh_token_is_refused_after(people, enter, clients, sign_in, program, site, end):
    """However its session ended; where it goes on, the next token says what is true now, under a key that counts."""
    await clients("cli", is_public=True, may_sign_in=True)
    root = await enter("root")
    await root.patch(f"/api/users/{people.maria.id}", json={"admin": True})
    maria, pair = await enter("maria"), (await sign_in()).json()
    before = site.auth.verify(pair["access_token"], audience="orders")
    maria.sid = before.sid  # whose session is kicked
    await ENDS[end](site, maria, root, people)
    assert not site.auth.verify(pair["access_token"], audience="orders")
    ask = form(grant_type="refresh_token", refresh_token=pair["refresh_token"], client_id="cli")
    answer = await program.post("/oauth/token", **ask)
    if end in ("demoted", "key"):
        after = site.auth.verify(answer.json()["access_token"], audience="orders")
        assert (after.kid != before.kid) == (end == "key")
        assert ("admin" in after.all["roles"]) == (end == "key")
    else:
        assert answer.status_code == 400 and answer.json()["error"] == "invalid_grant"


async def test_a_session_cookie_counts_for_nothing_at_the_oauth_addresses(people, enter):
    """They are exempt from the CSRF check, so no cookie may do anything there."""
    maria = await enter("maria")
    for path in ("/oauth/token", "/oauth/revoke", "/oauth/introspect"):
        answer = await maria.post(path, data={"grant_type": "client_credentials", "token": "x"})
        assert answer.status_code == 401


async def test_nothing_of_it_is_logged(program, clients, sign_in, caplog, site):
    """Tokens and secrets are in no log and not in the audit trail."""
    caplog.set_level("DEBUG")
    secret = await clients("worker")
    await clients("cli", is_public=True, may_sign_in=True)
    pair = (await sign_in()).json()
    await program.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=("worker", secret))
    ask = form(grant_type="refresh_token", refresh_token=pair["refresh_token"], client_id="cli")
    await program.post("/oauth/token", **ask)
    told = caplog.text + str(await site.database.trail(limit=100))
    for private in (secret, pair["access_token"], pair["refresh_token"]):
        assert private not in told


async def test_the_addresses_are_those_that_are_told(program, site):
    """By the metadata and by the manual: each answers as what it is, to its method alone; its neighbours do not."""
    path = "/.well-known/oauth-authorization-server"
    metadata = (await program.get(path)).json()
    told = {url.removeprefix(ORIGIN) for name, url in metadata.items() if name.endswith(("_endpoint", "_uri"))}
    manual = (ROOT / "docs" / "reference" / "server.md").read_text()
    documented = re.findall(r"^\| `(GET|POST) (/(?:oauth|\.well-known)/[^`]*)` \|", manual, re.MULTILINE)
    assert {address for _, address in documented} == told | {path}
    # As a form of another site would send it: a client's own credentials count there, and those alone.
    headers = {"sec-fetch-site": "cross-site"}
    for method, address in documented:
        answer = await program.request(method, address, headers=headers, data={"client_id": "nobody"})
        assert answer.status_code == {"GET": 200, "POST": 401}[method], address
        assert answer.json().get("error") == {"GET": None, "POST": "invalid_client"}[method]
        wrong = "POST" if method == "GET" else "GET"
        assert (await program.request(wrong, address, headers={"sec-fetch-site": "same-origin"})).status_code == 405
        for near in (f"{address}/", f"{address}s", address.upper()):
            assert not (await program.get(near)).is_success
            assert (await program.post(near, headers=headers, data={"client_id": "nobody"})).status_code == 403
