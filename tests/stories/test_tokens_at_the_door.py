"""Access tokens through the middleware: as bearer, and in a cookie beside the session's."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from coatcheck import Coatcheck, ConfigError, Policy, StoreUnavailable
from coatcheck.asgi import SessionMiddleware, session_info
from coatcheck.clock import HOUR, MINUTE
from coatcheck.testing import ManualClock

ISSUER = "https://auth.example.com"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture(params=["memory", "sqlite"])
def url(request, tmp_path):
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/coatcheck.db"


@pytest.fixture
def engine(url, clock):
    """Makes an engine of a mode."""

    def make(mode, **kwargs):
        return Coatcheck(url, issuer=ISSUER, policy=Policy(mode=mode, **kwargs), clock=clock)

    return make


async def home(request):
    refused = request.scope["coatcheck.refused"]
    session = request.scope["coatcheck"]
    amr = None if session is None else session.amr
    refused = None if refused is None else refused.reason
    return JSONResponse({"info": session_info(request.scope), "refused": refused, "amr": amr})


def browser(auth, **kwargs):
    """A client with cookies, of an application behind the middleware."""
    app = SessionMiddleware(Starlette(routes=[Route("/", home)]), auth=auth, **kwargs)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://app.example.com")


def bearer(token):
    return {"authorization": f"Bearer {token}"}


async def test_a_bearer_token_signs_in(engine):
    """The application sees whose it is, with the claims that the token carries."""
    async with engine("jwt") as auth, browser(auth, audience="orders") as client:
        s = await auth.sign_in("maria", claims={"roles": ["admin"], "plan": "gold"})
        token = auth.access_token(s.session, audience="orders")
        told = (await client.get("/", headers=bearer(token))).json()["info"]
        assert told["sub"] == "maria" and told["claims"] == {"roles": ["admin"]}
        assert told["auth_time"] == s.session.auth_time
        await auth.revoke(s.session.sid)
        refused = await client.get("/", headers=bearer(token))
        assert refused.status_code == 401 and refused.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("mode", ["jwt", "hybrid"])
@pytest.mark.parametrize(
    "value",
    ["Bearer", "Bearer ", "Bearer a b", "Bearer a.b.c", "bearer \u00e9", "Bearer " + "a" * 9000, "Bearer =", "bearer"],
)
async def test_a_bad_bearer_is_401_whatever_the_cookie(engine, mode, value):
    """It decides alone, so a good cookie beside it lets nobody in."""
    async with engine(mode) as auth, browser(auth) as client:
        s = await auth.sign_in("maria")
        client.cookies.set("__Host-session", s.token.reveal(), domain="app.example.com")
        assert (await client.get("/", headers={"authorization": value.encode("latin-1")})).status_code == 401


async def test_two_bearers_are_none(engine):
    """Which of them was meant, nobody can tell."""
    async with engine("jwt") as auth, browser(auth) as client:
        s = await auth.sign_in("maria")
        token = auth.access_token(s.session, audience=ISSUER)
        fields = [("authorization", f"Bearer {token}"), ("authorization", f"Bearer {token}")]
        assert (await client.get("/", headers=fields)).status_code == 401
        assert (await client.get("/", headers=fields[:1])).status_code == 200


@pytest.mark.parametrize(("mode", "vary"), [("cookie", "Cookie"), ("jwt", "Cookie, Authorization")])
@pytest.mark.parametrize("said", [{}, {"cache-control": "private, max-age=60"}, {"vary": "authorization, Accept"}])
async def test_caches_tell_bearers_apart(engine, mode, vary, said):
    """One browser, two accounts, one after the other: its own cache must not give the second the first one's page."""
    async with engine(mode) as auth:

        async def page(request):
            return JSONResponse({}, headers=said)

        app = SessionMiddleware(Starlette(routes=[Route("/", page)]), auth=auth)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://app.example.com") as client:
            told = {name.strip().lower() for name in (await client.get("/")).headers["vary"].split(",")}
        before = {name.strip().lower() for name in said.get("vary", "").split(",")} - {""}
        assert told == before | {name.strip().lower() for name in vary.split(",")}


async def test_another_scheme_is_none_of_ours(engine):
    """Basic credentials are the application's own business."""
    async with engine("hybrid") as auth, browser(auth) as client:
        answer = await client.get("/", headers={"authorization": "Basic YTpi"})
        assert answer.status_code == 200 and answer.json()["info"] is None


async def test_in_cookie_mode_a_bearer_is_not_looked_at(engine):
    """Whoever did not ask for tokens gets none."""
    async with engine("cookie") as auth, browser(auth) as client:
        s = await auth.sign_in("maria")
        token = auth.access_token(s.session, audience=ISSUER)
        answer = await client.get("/", headers=bearer(token))
        assert answer.status_code == 200 and answer.json()["info"] is None


async def test_in_jwt_mode_a_cookie_is_not_looked_at(engine):
    """No cookie, no cross-site requests."""
    async with engine("jwt") as auth, browser(auth) as client:
        s = await auth.sign_in("maria")
        client.cookies.set("__Host-session", s.token.reveal(), domain="app.example.com")
        assert (await client.get("/")).json()["info"] is None


async def test_the_token_in_the_cookie_is_renewed_unnoticed(engine, clock):
    """A first response brings it, later ones use it, and when it has run out the next response brings another."""
    async with engine("hybrid") as auth, browser(auth) as client:
        s = await auth.sign_in("maria", claims={"roles": ["admin"]})
        client.cookies.set("__Host-session", s.token.reveal(), domain="app.example.com")
        first = await client.get("/")
        written = first.headers["set-cookie"]
        assert written.startswith("__Host-access=") and {"HttpOnly", "Secure", "SameSite=Lax"} <= set(
            written.split("; ")
        )
        assert "no-store" in first.headers["cache-control"]
        second = await client.get("/")
        assert "set-cookie" not in second.headers
        assert first.json()["info"]["sub"] == second.json()["info"]["sub"] == "maria"
        clock.advance(15 * MINUTE)
        third = await client.get("/")
        assert third.headers["set-cookie"].startswith("__Host-access=") and third.json()["info"]["sub"] == "maria"


async def test_the_application_is_told_the_same_by_the_session_and_by_the_token(engine, clock):
    """Claims, end and all: the session answers the first request, the token the second, the session a later one."""
    async with engine("hybrid", access_claims={"*": ("roles", "plan")}) as auth, browser(auth) as client:
        claims = {"roles": ["admin"], "plan": "gold", "private": 1}
        s = await auth.sign_in("maria", claims=claims, amr=("pwd", "otp"))
        client.cookies.set("__Host-session", s.token.reveal(), domain="app.example.com")
        first, second = await client.get("/"), await client.get("/")
        clock.advance(15 * MINUTE)
        third = await client.get("/")
        assert [("set-cookie" in answer.headers) for answer in (first, second, third)] == [True, False, True]
        assert first.json() == second.json() == third.json()
        assert first.json()["amr"] == ["pwd", "otp"]
        assert first.json()["info"]["expires_at"] == s.session.expires_at
        assert first.json()["info"]["claims"] == {"roles": ["admin"], "plan": "gold"}


async def test_who_is_active_is_not_idle(engine, clock):
    """Though the token answers most requests; and who is not is signed out, a tenth of the time early at most."""
    async with engine("hybrid", idle_s=15 * MINUTE, absolute_s=12 * HOUR) as auth, browser(auth) as client:
        s = await auth.sign_in("maria")
        client.cookies.set("__Host-session", s.token.reveal(), domain="app.example.com")
        for _ in range(30):
            assert (await client.get("/")).json()["info"] is not None
            clock.advance(13 * MINUTE)
        for _ in range(200):
            assert (await client.get("/")).json()["info"] is not None
            clock.advance(29)
        await client.get("/")
        clock.advance(15 * MINUTE)
        assert (await client.get("/")).json()["info"] is None


async def test_the_token_of_the_cookie_is_no_bearer(engine):
    """It counts beside its session cookie and nowhere else: two kinds of token, two rules (RFC 8725, section 3.12)."""
    async with engine("hybrid") as auth, browser(auth) as client:
        s = await auth.sign_in("maria")
        client.cookies.set("__Host-session", s.token.reveal(), domain="app.example.com")
        await client.get("/")
        token = client.cookies["__Host-access"]
        client.cookies.clear()
        assert (await client.get("/", headers=bearer(token))).status_code == 401


@pytest.mark.parametrize("change", ["revoke", "revoke_everyone", "renew", "update_claims"])
async def test_what_ended_gets_no_new_token_and_its_old_one_is_refused(engine, change):
    """At the very next request."""
    async with engine("hybrid") as auth, browser(auth) as client:
        s = await auth.sign_in("maria", claims={"roles": ["admin"]})
        client.cookies.set("__Host-session", s.token.reveal(), domain="app.example.com")
        await client.get("/")
        if change == "revoke":
            await auth.revoke(s.session.sid)
        elif change == "revoke_everyone":
            await auth.revoke_everyone()
        elif change == "renew":
            await auth.renew(s.token)
        else:
            await auth.update_claims("maria", set={"roles": []})
        answer = await client.get("/")
        if change == "update_claims":
            assert answer.json()["info"]["claims"] == {"roles": []}
            assert "set-cookie" in answer.headers
        else:
            assert answer.json()["info"] is None and answer.json()["refused"] in ("revoked", "renewed")
            assert "set-cookie" not in answer.headers


async def test_the_token_counts_only_beside_its_own_session_cookie(engine):
    """Who signs in as somebody else is somebody else, though the old token is still good and still there."""
    async with engine("hybrid") as auth, browser(auth) as client:
        maria, otto = await auth.sign_in("maria"), await auth.sign_in("otto")
        client.cookies.set("__Host-session", maria.token.reveal(), domain="app.example.com")
        await client.get("/")
        client.cookies.set("__Host-session", otto.token.reveal(), domain="app.example.com")
        assert (await client.get("/")).json()["info"]["sub"] == "otto"
        client.cookies.delete("__Host-session")
        assert "__Host-access" in client.cookies
        assert (await client.get("/")).json()["info"] is None


async def test_a_plain_access_token_is_no_access_cookie(engine):
    """A token that was made for a service does not become a browser's session by being put into a cookie."""
    async with engine("hybrid") as auth, browser(auth) as client:
        maria, otto = await auth.sign_in("maria"), await auth.sign_in("otto")
        client.cookies.set("__Host-session", otto.token.reveal(), domain="app.example.com")
        client.cookies.set("__Host-access", auth.access_token(maria.session, audience=ISSUER), domain="app.example.com")
        assert (await client.get("/")).json()["info"]["sub"] == "otto"


async def test_store_down_is_503_and_no_cookie_is_touched(engine, monkeypatch):
    """Who carries a credential is asked to come back; nobody is signed out."""
    async with engine("hybrid") as auth, browser(auth) as client:
        s = await auth.sign_in("maria")

        async def down(*args, **kwargs):
            raise StoreUnavailable("planted")

        monkeypatch.setattr(auth, "check", down)
        client.cookies.set("__Host-session", s.token.reveal(), domain="app.example.com")
        answer = await client.get("/")
        assert answer.status_code == 503 and "retry-after" in answer.headers and "set-cookie" not in answer.headers
        client.cookies.clear()
        assert (await client.get("/")).status_code == 200


@pytest.mark.parametrize("mode", ["jwt", "hybrid"])
def test_a_mode_with_tokens_needs_an_issuer(url, mode):
    """Said when the middleware is built, not at the first request."""
    with pytest.raises(ConfigError, match="issuer"):
        SessionMiddleware(None, auth=Coatcheck(url, policy=Policy(mode=mode)))
