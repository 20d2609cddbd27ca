"""What FastAPI adds to the story: dependencies, step-up, bearer tokens, the OpenAPI description, others' code."""

import types
import warnings
from typing import Annotated

import httpx
import pytest
from authlib.integrations.starlette_client import OAuth
from fastapi import Depends, FastAPI, Request, WebSocket
from starlette.websockets import WebSocketDisconnect

from coatcheck import Coatcheck, ConfigError, Policy, Session, Verifier
from coatcheck.fastapi import AccessClaims, CurrentSession, MaybeSession, SessionMiddleware, require, sign_in, sign_out
from coatcheck.testing import signed_in

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

ORIGIN = "https://app.example.com"
LIVE = "wss://app.example.com/live"
OURS = {"sec-fetch-site": "same-origin"}


@pytest.fixture(params=["cookie", "hybrid"])
def policy(request):
    """Both ways in which a browser's session is carried."""
    return Policy(origins=(ORIGIN,), mode=request.param, access_claims={"*": ("roles", "plan", "level")})


@pytest.fixture
def url(tmp_path):
    """A store that a verifier can share."""
    return f"sqlite:///{tmp_path}/coatcheck.db"


@pytest.fixture
async def auth(url, clock, policy):
    """An engine that can mint tokens."""
    async with Coatcheck(url, policy=policy, clock=clock, issuer=ORIGIN) as engine:
        yield engine


def build(auth, **options):
    """An application with one route of each kind."""
    app = FastAPI()
    app.add_middleware(SessionMiddleware, auth=auth, **options)

    @app.get("/me")
    async def me(session: CurrentSession):
        return session.sub

    @app.get("/maybe")
    def maybe(session: MaybeSession):
        return session and session.sub

    @app.get("/fresh", dependencies=[require(fresh_s=300)])
    async def fresh():
        return "fresh"

    @app.get("/depends")
    async def depends(session: Annotated[Session, Depends(require(amr=("otp",), claim={"plan": "pro"}))]):
        return session.sub

    @app.get("/orders")
    async def orders(claims: AccessClaims):
        return claims.sub

    @app.post("/in")
    async def come(request: Request, session: MaybeSession):
        await sign_in(request, "maria", amr=("pwd",), claims={"roles": ["admin", 7]})
        return [request.user.identity, request.auth.scopes]

    @app.post("/out")
    async def go(request: Request):
        await sign_out(request)
        return request.user.is_authenticated

    @app.websocket("/live")
    async def live(websocket: WebSocket, session: CurrentSession):
        await websocket.accept()
        await websocket.send_text(session.sub)
        await websocket.close()

    return app


@pytest.fixture
async def browser(auth):
    """A browser at the application."""
    transport = httpx.ASGITransport(app=build(auth))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=OURS) as client:
        yield client


async def test_the_request_is_theirs_from_the_sign_in_on(browser, auth):
    """User and scopes in the very request, and again none after the sign-out."""
    assert (await browser.post("/in")).json() == ["maria", ["authenticated", "admin"]]
    assert (await browser.get("/me")).json() == (await browser.get("/maybe")).json() == "maria"
    assert (await browser.post("/out")).json() is False
    assert (await browser.get("/maybe")).json() is None
    assert await auth.sessions_of("maria") == []


async def test_another_middlewares_user_stays(auth):
    """Who says further out whose request it is, goes on saying it; the session is there all the same."""
    app = build(auth)

    class Theirs:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            scope["user"] = scope["auth"] = types.SimpleNamespace(identity="theirs", scopes=["theirs"])
            await self.app(scope, receive, send)

    app.add_middleware(Theirs)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ORIGIN, headers=OURS) as client:
        assert (await client.post("/in")).json() == ["theirs", ["theirs"]]
        assert (await client.get("/me")).json() == "maria"


async def test_a_password_that_changes_meanwhile(auth, policy):
    """The generation was read before it was checked: refused, whether the browser has a session already or not."""
    app = build(auth)

    @app.post("/slow-in")
    async def slow(request: Request, ended: bool = False):
        generation = await auth.generation("maria")
        if ended:
            await auth.revoke_user("maria")
        return bool(await sign_in(request, "maria", generation=generation))

    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=OURS) as client:
        for _ in range(2):
            assert (await client.post("/slow-in?ended=true")).json() is False
            assert await auth.sessions_of("maria") == []
            assert (await client.post("/slow-in")).json() is True
            assert (await client.post("/slow-in")).json() is True, "step-up"
            assert len(await auth.sessions_of("maria")) == 1


async def test_fresh_is_a_matter_of_time(browser, auth, clock):
    """Up to the last second; a step-up begins it anew, a stranger's session is not asked for it."""
    answer = await browser.get("/fresh")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Cookie realm="coatcheck"')
    await browser.post("/in")
    clock.advance(300)
    assert (await browser.get("/fresh")).status_code == 200
    clock.advance(1)
    answer = await browser.get("/fresh")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == (
        'Cookie realm="coatcheck", error="insufficient_user_authentication", '
        'error_description="Sign in again to do this", max_age="300"'
    )
    await browser.post("/in")
    assert (await browser.get("/fresh")).status_code == 200


@pytest.mark.parametrize(
    ("amr", "claims", "status"),
    [
        (("pwd",), {"plan": "pro"}, 401),
        (("otp",), {}, 403),
        (("otp",), {"plan": "free"}, 403),
        (("otp",), {"plan": ["free", "pro"]}, 200),
        (("otp", "pwd"), {"plan": "pro"}, 200),
    ],
)
async def test_methods_and_claims(browser, auth, amr, claims, status):
    """How they proved it is asked for before what they may; within Depends() it is the same."""
    await signed_in(browser, auth, amr=amr, claims=claims)
    assert (await browser.get("/depends")).status_code == status


@pytest.mark.parametrize("wrong", [{"fresh_s": 0}, {"fresh_s": 1.5}, {"amr": (1,)}, {"claim": ""}, {"claim": ("a",)}])
def test_requirements_that_cannot_be_are_refused(wrong):
    """Where they are written, not at the first request."""
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        require(**wrong)


async def test_claims_are_the_same_only_if_they_are(browser, auth):
    """1 is not True, and text is not looked into."""
    app = FastAPI()
    app.add_middleware(SessionMiddleware, auth=auth)

    @app.get("/one", dependencies=[require(claim=("level", 1))])
    async def one():
        return 1

    transport = httpx.ASGITransport(app=app)
    for claims, status in (({"level": 1}, 200), ({"level": True}, 403), ({"level": "123"}, 403), ({}, 403)):
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=OURS) as client:
            await signed_in(client, auth, claims=claims)
            assert (await client.get("/one")).status_code == status, claims


async def test_access_tokens(browser, auth, policy):
    """Beside the cookie or without it; none, a wrong one, another audience's and a revoked one are 401."""
    done = await auth.sign_in("maria")
    jwt = auth.access_token(done.session, audience=ORIGIN)
    answer = await browser.get("/orders")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert (await browser.get("/orders", headers={"authorization": f"Bearer {jwt}"})).json() == "maria"
    other = auth.access_token(done.session, audience="other")
    for wrong in (other, jwt[:-2], "x", ""):
        answer = await browser.get("/orders", headers={"authorization": f"Bearer {wrong}"})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
    await auth.revoke(done.session.sid)
    assert (await browser.get("/orders", headers={"authorization": f"Bearer {jwt}"})).status_code == 401


async def test_the_token_of_the_cookie_is_no_bearer(auth, policy, browser):
    """What is bound to a cookie counts beside it only."""
    done = await signed_in(browser, auth)
    bound = auth.bound_token(done.session, audience=ORIGIN, lifetime_s=60, more={"th": "x"})
    answer = await browser.get("/orders", headers={"authorization": f"Bearer {bound}"})
    assert answer.status_code == 401


async def test_a_service_without_sessions(auth, url, clock):
    """A verifier in the lifespan is all it needs; while it cannot be sure, 503."""
    verifier = Verifier(ORIGIN, audience="orders", feed=url, clock=clock)
    app = FastAPI(lifespan=verifier.lifespan)

    @app.get("/orders")
    def orders(claims: AccessClaims):
        return claims.sub

    done = await auth.sign_in("maria")
    bearer = {"authorization": f"Bearer {auth.access_token(done.session, audience='orders')}"}
    with TestClient(app) as client:
        assert client.get("/orders", headers=bearer).json() == "maria"
        assert client.get("/orders").status_code == 401
        await auth.revoke(done.session.sid)
        assert client.get("/orders", headers=bearer).status_code == 401
        verifier._check = lambda token: __import__("coatcheck").Refused("unsure")
        answer = client.get("/orders", headers=bearer)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_a_mistake_in_the_set_up_lets_nobody_in():
    """Without middleware or verifier every dependency says so, whoever asks."""
    app = FastAPI()

    @app.get("/me")
    async def me(session: MaybeSession):
        return "in"

    @app.get("/orders")
    async def orders(claims: AccessClaims):
        return "in"

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ORIGIN) as client:
        for path, headers in (("/me", {}), ("/orders", {"authorization": "Bearer x"})):
            with pytest.raises(ConfigError, match=r"SessionMiddleware|verifier"):
                await client.get(path, headers=headers)


def test_a_websocket_asks_for_a_session_too(url, policy):
    """An anonymous handshake is closed before it is accepted."""
    auth = Coatcheck(url, policy=policy, issuer=ORIGIN)
    app = build(auth)
    app.router.lifespan_context = auth.lifespan
    with TestClient(app, base_url=ORIGIN, headers=OURS) as client:
        with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect(LIVE):
            pass
        assert (caught.value.code, caught.value.reason) == (1008, "Sign in to do this")
        client.post("/in")
        token = client.cookies["__Host-session"]  # its client does not send Secure cookies over ws://
        with client.websocket_connect(LIVE, headers={"cookie": f"__Host-session={token}"}) as live:
            assert live.receive_text() == "maria"


async def test_the_openapi_description(browser):
    """Which credential each operation takes, by its scheme, so that /docs and generated clients know it."""
    described = (await browser.get("/openapi.json")).json()
    schemes = described["components"]["securitySchemes"]
    assert schemes["session"] | {"description": ""} == {
        "type": "apiKey", "in": "cookie", "name": "__Host-session", "description": "",
    }  # fmt: skip
    assert schemes["access token"]["scheme"] == "bearer"
    assert schemes["access token"]["bearerFormat"] == "JWT"
    operations = {path: found for path, methods in described["paths"].items() for found in methods.values()}
    for path in ("/me", "/maybe", "/fresh", "/depends"):
        assert operations[path]["security"] == [{"session": []}], path
        assert "parameters" not in operations[path]
    assert operations["/orders"]["security"] == [{"access token": []}]


# --- request.session, as others' code uses it ---


async def test_who_signs_in_after_another_sees_nothing_of_theirs(auth):
    """In the very request, too, whatever the application reads and writes after the sign-in."""
    app = build(auth, data=True)

    @app.post("/swap/{sub}")
    async def swap(request: Request, sub: str):
        request.session["before"] = sub
        await sign_in(request, sub)
        seen = dict(request.session)
        request.session["after"] = sub
        return seen

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ORIGIN, headers=OURS) as client:
        assert (await client.post("/swap/maria")).json() == {"before": "maria"}
        assert (await client.post("/swap/jorge")).json() == {}
        (session,) = await auth.sessions_of("jorge")
        assert await auth.data(session.sid) == {"after": "jorge"}


@pytest.fixture
def with_data(auth):
    """An application whose session is changed in every way that a dict can be."""
    app = build(auth, data=True)

    @app.post("/change")
    async def change(request: Request, what: str):
        session = request.session
        {
            "nested": lambda: session.setdefault("list", []).append(len(session["list"])),
            "pop": lambda: session.pop("list", None),
            "clear": session.clear,
            "date": lambda: session.update(when=__import__("datetime").date.today()),
            "large": lambda: session.update(much="x" * 100_000),
            "same": lambda: session.update(list=session.get("list")),
        }[what]()
        return dict(session)

    return app


async def test_changes_inside_a_value_are_noticed(with_data, auth):
    """As in Starlette's own: a list in the session that grows, and goes."""
    writes = []
    update = auth.update_data

    async def noted(*args, **kwargs):
        writes.append(kwargs)
        return await update(*args, **kwargs)

    auth.update_data = noted
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=with_data), base_url=ORIGIN, headers=OURS) as client:
        assert (await client.post("/change?what=nested")).json() == {"list": [0]}
        assert (await client.post("/change?what=nested")).json() == {"list": [0, 1]}
        assert (await client.post("/change?what=same")).json() == {"list": [0, 1]}
        assert writes == [{"set": {"list": [0, 1]}, "unset": [], "wait": False}]
        assert (await client.post("/change?what=clear")).json() == {}
        assert (await client.post("/change?what=nested")).json() == {"list": [0]}


@pytest.mark.parametrize(("what", "named"), [("date", "'when'"), ("large", "'much'")])
async def test_what_cannot_be_kept_is_named_and_not_half_written(with_data, auth, what, named):
    """The request fails where the value is, with its key, and the data stay."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=with_data), base_url=ORIGIN, headers=OURS) as client:
        await client.post("/change?what=nested")
        with pytest.raises(Exception, match=named):
            await client.post(f"/change?what={what}")
        assert (await client.post("/change?what=same")).json() == {"list": [0]}


async def test_authlibs_sign_in_with_another_service(auth, monkeypatch):
    """It keeps state and nonce in request.session between two requests, as written for Starlette's middleware."""
    oauth = OAuth()
    oauth.register(
        "other",
        client_id="us",
        client_secret="ours",
        authorize_url="https://other.example/authorize",
        access_token_url="https://other.example/token",
    )
    app = build(auth, data=True)

    @app.get("/login")
    async def login(request: Request):
        return await oauth.other.authorize_redirect(request, f"{ORIGIN}/back")

    @app.get("/back")
    async def back(request: Request):
        return await oauth.other.authorize_access_token(request)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ORIGIN, headers=OURS) as client:
        answer = await client.get("/login")
        assert answer.status_code == 302
        state = httpx.URL(answer.headers["location"]).params["state"]

        async def fetch(*args, **kwargs):
            return {"access_token": "theirs"}

        monkeypatch.setattr(oauth.other, "fetch_access_token", fetch)
        with pytest.raises(Exception, match="mismatching_state"):
            await client.get("/back?code=x&state=other")
        assert (await client.get(f"/back?code=x&state={state}")).json() == {"access_token": "theirs"}
