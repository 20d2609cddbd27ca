"""The middleware under Starlette, as an application uses it: lifespan, pages, forms and WebSockets."""

import warnings

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from coatcheck import Coatcheck, ConfigError, Device, NotOpen, Policy, Refused
from coatcheck.asgi import SessionMiddleware, csrf_token, device
from coatcheck.http.headers import safe_next
from coatcheck.testing import signed_in

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a newer client is asked for than the one that everything else here uses
    from starlette.testclient import TestClient

ORIGIN = "https://app.example.com"
OURS = {"Sec-Fetch-Site": "same-origin"}
AGENT = "Mozilla/5.0"


async def home(request):
    session, refused = request.scope["coatcheck"], request.scope["coatcheck.refused"]
    reason = refused.reason if isinstance(refused, Refused) else None
    return JSONResponse({"sub": session and session.sub, "refused": reason})


async def sign_in(request):
    auth = request.app.state.auth
    form = await request.form()
    session = request.scope["coatcheck"]
    if session is None:
        done = await auth.sign_in(form["name"], device=device(request.scope))
    else:
        done = await auth.renew(
            request.cookies[auth.policy.cookie.name], sub=form["name"], device=device(request.scope)
        )
    response = RedirectResponse(safe_next(form.get("next")), 303)
    response.headers.append("set-cookie", auth.cookie(done))
    return response


async def look_around(request):
    auth = request.app.state.auth
    started = await auth.start({"cart": ["hat"]})
    response = PlainTextResponse("welcome")
    response.headers.append("set-cookie", auth.cookie(started))
    return response


async def cart(request):
    return JSONResponse(await request.app.state.auth.data(request.scope["coatcheck"].sid))


async def sign_out(request):
    auth = request.app.state.auth
    await auth.revoke(request.scope["coatcheck"].sid)
    response = PlainTextResponse("bye")
    response.headers.append("set-cookie", auth.clear_cookie())
    return response


async def form(request):
    return PlainTextResponse(csrf_token(request.scope))


async def live(websocket):
    await websocket.accept()
    session = websocket.scope["coatcheck"]
    await websocket.send_json({"sub": session and session.sub})
    await websocket.close()


ROUTES = [
    Route("/", home),
    Route("/sign-in", sign_in, methods=["POST"]),
    Route("/look-around", look_around),
    Route("/cart", cart),
    Route("/sign-out", sign_out, methods=["POST"]),
    WebSocketRoute("/live", live),
    Mount("/inner", routes=[Route("/form", form), Route("/home", home, methods=["GET", "POST"])]),
]


@pytest.fixture
def closed(url, clock):
    """An engine that the application opens."""
    return Coatcheck(url, clock=clock, policy=Policy(origins=(ORIGIN,)))


@pytest.fixture
def app(closed):
    """The application, with the middleware and the engine's lifespan."""
    middleware = [Middleware(SessionMiddleware, auth=closed, exclude=("/static/",))]
    app = Starlette(routes=ROUTES, middleware=middleware, lifespan=closed.lifespan)
    app.state.auth = closed
    return app


@pytest.fixture
def client(app):
    """A browser at https://app.example.com while the application runs."""
    with TestClient(app, base_url=ORIGIN, headers={"user-agent": AGENT}, client=("203.0.113.9", 5)) as client:
        yield client


def test_a_visit_from_first_look_to_sign_out(client):
    """Look around, sign in, see the cart again, sign out: one session, two tokens, and nothing left at the end."""
    assert client.get("/").json() == {"sub": None, "refused": None}
    client.get("/look-around")
    anonymous = client.cookies["__Host-session"]
    response = client.post("/sign-in", data={"name": "maria", "next": "//evil.example"}, headers=OURS)
    assert response.url == f"{ORIGIN}/"
    assert response.json()["sub"] == "maria"
    token = client.cookies["__Host-session"]
    assert token != anonymous
    assert client.get("/cart").json() == {"cart": ["hat"]}
    assert client.post("/sign-out", headers=OURS).text == "bye"
    assert "__Host-session" not in client.cookies
    client.cookies.set("__Host-session", token)
    assert client.get("/").json() == {"sub": None, "refused": "revoked"}
    client.cookies.set("__Host-session", anonymous)
    assert client.get("/").json()["refused"] == "renewed"


def test_the_device_is_the_requests(client, closed):
    """Address and user agent of the sign-in stand in the list of devices."""
    client.post("/sign-in", data={"name": "maria"}, headers=OURS)
    (session,) = client.portal.call(closed.sessions_of, "maria")
    assert session.device == Device(ip="203.0.113.9", user_agent=AGENT)


def test_another_sites_form_signs_nobody_in(client, closed):
    """403, and no session was begun."""
    response = client.post("/sign-in", data={"name": "eve"}, headers={"Origin": "https://evil.example"})
    assert (response.status_code, "set-cookie" in response.headers) == (403, False)
    assert client.portal.call(closed.sessions_of, "eve") == []


def test_an_old_browsers_form_uses_the_token(client):
    """Made inside a mounted application, found again in the form; without it the form is refused."""
    token = client.get("/inner/form").text
    assert client.post("/sign-in", data={"name": "maria"}).status_code == 403
    assert client.post("/sign-in", data={"name": "maria", "csrf_token": token}).json()["sub"] == "maria"
    assert client.post("/sign-in", data={"name": "maria", "csrf_token": token}).status_code == 403


def test_websockets_have_the_session(client, closed):
    """Signed in, anonymous, revoked; and another site's handshake is closed before it is accepted."""
    with client.websocket_connect("wss://app.example.com/live") as socket:
        assert socket.receive_json() == {"sub": None}
    done = client.portal.call(closed.sign_in, "maria")
    client.cookies.set("__Host-session", done.token.reveal())
    with client.websocket_connect("wss://app.example.com/live", headers={"Origin": ORIGIN}) as socket:
        assert socket.receive_json() == {"sub": "maria"}
    evil = client.websocket_connect("wss://app.example.com/live", headers={"Origin": "https://evil.example"})
    with pytest.raises(WebSocketDisconnect) as closed_with, evil:
        pass
    assert closed_with.value.code == 1008
    client.portal.call(closed.revoke, done.session.sid)
    with client.websocket_connect("wss://app.example.com/live") as socket:
        assert socket.receive_json() == {"sub": None}


def test_the_lifespan_opens_and_closes_the_engine(app, closed):
    """Before and after the application runs, the engine says that it is not open."""
    with pytest.raises(NotOpen):
        closed.check_now("A" * 43)
    with TestClient(app, base_url=ORIGIN) as client:
        assert client.get("/").status_code == 200
        assert closed.check_now("A" * 43) is None
    with pytest.raises(NotOpen):
        closed.check_now("A" * 43)


def test_a_kick_is_felt_at_the_next_request(client, app, closed):
    """Two browsers; one ends the other's session, and that one is out at once."""
    client.post("/sign-in", data={"name": "maria"}, headers=OURS)
    phone = TestClient(app, base_url=ORIGIN)
    phone.portal = client.portal
    kept = client.portal.call(closed.sign_in, "maria")
    phone.cookies.set("__Host-session", kept.token.reveal())
    assert phone.get("/").json()["sub"] == "maria"
    client.portal.call(lambda: closed.revoke(kept.session.sid, of="maria"))
    assert phone.get("/").json() == {"sub": None, "refused": "revoked"}
    assert client.get("/").json()["sub"] == "maria"


async def test_signed_in_gives_a_client_a_session(auth):
    """The helper of coatcheck.testing: sign in, cookie set, over httpx."""
    app = SessionMiddleware(Starlette(routes=ROUTES), auth=auth)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ORIGIN) as client:
        done = await signed_in(client, auth, "bob", claims={"roles": ["admin"]}, amr=("pwd",))
        assert (done.session.sub, done.session.claims) == ("bob", {"roles": ["admin"]})
        assert (await client.get("/")).json()["sub"] == "bob"
        assert (await signed_in(client, auth)).session.sub == "maria"
        assert (await client.get("/")).json()["sub"] == "maria"


async def test_activity_through_the_door_counts(auth, clock):
    """A request is activity: a busy visitor outlives the idle time."""
    app = SessionMiddleware(Starlette(routes=ROUTES), auth=auth)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ORIGIN) as client:
        await signed_in(client, auth, idle_s=100)
        for _ in range(5):
            clock.advance(99)
            assert (await client.get("/")).json()["sub"] == "maria"
        clock.advance(100)
        assert (await client.get("/")).json() == {"sub": None, "refused": "idle"}


@pytest.mark.parametrize("kind", ["lifespan", "webtransport"])
async def test_other_kinds_of_scope_pass_untouched(auth, kind):
    """What is neither HTTP nor a WebSocket goes through as it came, the very same objects."""
    seen = []

    async def app(*given):
        seen.append(given)

    given = {"type": kind}, object(), object()
    await SessionMiddleware(app, auth=auth)(*given)
    assert all(here is there for here, there in zip(seen[0], given, strict=True))
    assert given[0] == {"type": kind}


@pytest.mark.parametrize("helper", [csrf_token, device])
def test_without_the_middleware_its_helpers_say_so(helper):
    """A scope that did not pass the door has no token and no device."""
    with pytest.raises(ConfigError) as refused:
        helper({"type": "http", "headers": []})
    assert refused.value.setting == "middleware"


def test_trusted_proxies_are_networks(closed):
    """A name instead of an address is refused while the program starts."""
    with pytest.raises(ConfigError) as refused:
        SessionMiddleware(home, auth=closed, trusted_proxies=("proxy.internal",))
    assert refused.value.setting == "trusted_proxies"


async def test_a_trusted_proxy_tells_the_address(auth):
    """Behind a configured proxy the client is the one that the proxy saw."""
    seen = []

    async def app(scope, receive, send):
        seen.append(device(scope))
        await PlainTextResponse("")(scope, receive, send)

    door = SessionMiddleware(app, auth=auth, trusted_proxies=("10.0.0.0/8",))
    headers = [("X-Forwarded-For", "127.0.0.1, 198.51.100.1"), ("User-Agent", AGENT)]
    for peer in ("10.0.0.1", "203.0.113.9"):
        transport = httpx.ASGITransport(app=door, client=(peer, 5))
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            await client.get("/", headers=headers)
    assert [each.ip for each in seen] == ["198.51.100.1", "203.0.113.9"]
    assert seen[0].user_agent == AGENT
