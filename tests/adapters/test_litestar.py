"""What Litestar adds to the story: the plugin, guards, dependencies, WebSockets."""

import httpx
import pytest
from litestar import Litestar, Request, WebSocket, get, post, websocket
from litestar.testing import AsyncTestClient, TestClient

from coatcheck import Coatcheck, ConfigError, Policy, StoreUnavailable
from coatcheck.litestar import CurrentSession, MaybeSession, Sessions, require, session_info, sign_in, signed_in
from coatcheck.testing import ManualClock

ORIGIN = "https://app.example.com"
OURS = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def clock():
    """Time that moves when told to."""
    return ManualClock()


@pytest.fixture
def engine(tmp_path, clock):
    """An engine that the application opens."""
    return Coatcheck(f"sqlite:///{tmp_path}/coatcheck.db", policy=Policy(origins=(ORIGIN,)), clock=clock)


@get("/me")
async def me(session: CurrentSession) -> str:
    return session.sub


@get("/maybe")
async def maybe(maybe_session: MaybeSession) -> str:
    return maybe_session.sub if maybe_session else "nobody"


@get("/guarded", guards=[signed_in])
async def guarded(request: Request) -> dict[str, str]:
    return {"sub": session_info(request.scope)["sub"], "user": request.user.identity, "scope": request.auth.scopes[0]}


@get("/fresh", guards=[require(fresh_s=300)])
async def fresh() -> str:
    return "fresh"


@get("/down")
async def down() -> str:
    raise StoreUnavailable("down")


@post("/in", status_code=200)
async def come(request: Request) -> str:
    await sign_in(request, "maria", amr=("pwd",))
    return "in"


@websocket("/live", guards=[signed_in])
async def live(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(socket.scope["coatcheck"].sub)
    await socket.close()


HANDLERS = [me, maybe, guarded, fresh, down, come, live]


async def test_from_anonymous_to_stale(engine, clock):
    """401 and what is missing, the session in all three forms, and a sign-in that is too old."""
    app = Litestar(HANDLERS, plugins=[Sessions(engine)])
    async with AsyncTestClient(app, base_url=ORIGIN) as client:
        client.headers.update(OURS)
        for path in ("/me", "/guarded", "/fresh"):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Cookie realm="coatcheck"'), path
        assert (await client.get("/maybe")).text == "nobody"
        assert (await client.post("/in")).status_code == 200
        assert (await client.get("/me")).text == (await client.get("/maybe")).text == "maria"
        assert (await client.get("/guarded")).json() == {"sub": "maria", "user": "maria", "scope": "authenticated"}
        clock.advance(300)
        assert (await client.get("/fresh")).status_code == 200
        clock.advance(1)
        answer = await client.get("/fresh")
        assert answer.status_code == 401
        assert 'error="insufficient_user_authentication"' in answer.headers["www-authenticate"]
        answer = await client.get("/down")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_a_websocket_is_guarded_too(engine):
    """An anonymous handshake is not accepted."""
    app = Litestar(HANDLERS, plugins=[Sessions(engine)])
    with TestClient(app, base_url=ORIGIN) as client:
        client.headers.update(OURS)
        with pytest.raises(Exception), client.websocket_connect("wss://app.example.com/live"):  # noqa: B017, PT011
            pass
        client.post("/in")
        cookie = {"cookie": f"__Host-session={client.cookies['__Host-session']}"}
        with client.websocket_connect("wss://app.example.com/live", headers=cookie) as socket:
            assert socket.receive_text() == "maria"


async def test_a_mistake_in_the_set_up_lets_nobody_in():
    """Without the plugin a guard raises, whoever asks; and wrong options are refused where they are written."""
    app = Litestar([guarded], debug=False)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ORIGIN) as client:
        assert (await client.get("/guarded")).status_code == 500
    with pytest.raises(ConfigError, match="exclude"):
        Sessions(Coatcheck("memory://"), exclude="static")
    with pytest.raises(ConfigError, match="fresh_s"):
        require(fresh_s=0)
