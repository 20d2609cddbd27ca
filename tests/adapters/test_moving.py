"""The how-tos for those who move: they begin with the old library and end with ours, and nobody is signed out."""

import re
import sys
import types

import httpx
import pytest
from tests.adapters import django_site
from tests.serving import ROOT

from coatcheck import Refused

# isort: split
from django.contrib.auth import get_user_model, login
from django.contrib.sessions.backends.db import SessionStore as OldSessions
from django.contrib.sessions.models import Session as OldSession
from django.core.cache import cache
from django.db import connections
from django.test import Client, RequestFactory, override_settings
from django.urls import path
from rest_framework.decorators import api_view
from rest_framework.response import Response
from rest_framework_simplejwt.tokens import RefreshToken as OldRefreshToken

ORIGIN = django_site.ORIGIN
OURS = {"sec-fetch-site": "same-origin"}


def blocks(page):
    """The programs of a how-to."""
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/how-to" / page).read_text(), re.MULTILINE | re.DOTALL)


async def test_from_starlettes_sessions(tmp_path, monkeypatch):
    """Signed in before, recognised while moving, with the data, and afterwards by our cookie alone."""
    monkeypatch.chdir(tmp_path)
    before, moving, after = blocks("move-from-starlette-sessions.md")
    names = {"SECRET_KEY": "of tests", "ORIGIN": ORIGIN}
    exec(before, names)
    maria = httpx.Cookies()

    def client_of(app):
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url=ORIGIN, headers=OURS, cookies=maria.jar
        )

    async with client_of(names["app"]) as client:
        await client.post("/sign-in")
        assert (await client.get("/me")).json() == {"sub": "maria", "theme": "dark"}
        maria = client.cookies
    stolen = maria["session"]
    exec(moving, names)
    auth = names["auth"]
    async with auth:
        async with client_of(names["app"]) as client:
            assert (await client.get("/me")).json() == {"sub": "maria", "theme": "dark"}
            maria = client.cookies
            assert set(maria) == {"__Host-session"}
        exec(after, names)
        async with client_of(names["app"]) as client:
            assert (await client.get("/me")).json() == {"sub": "maria", "theme": "dark"}
            client.cookies.set("session", stolen)
            await auth.revoke_user("maria")
            assert (await client.get("/me")).json()["sub"] is None
            await client.post("/sign-in")
            assert (await client.get("/me")).json()["sub"] == "maria"


async def test_from_starsessions(tmp_path, monkeypatch):
    """Signed in before, recognised while moving, with the data; the old session is gone, and ours is what counts."""
    monkeypatch.chdir(tmp_path)
    before, moving = blocks("move-from-starsessions.md")
    names = {"ORIGIN": ORIGIN}
    exec(before, names)

    def client_of(cookies):
        transport = httpx.ASGITransport(app=names["app"])
        return httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=OURS, cookies=cookies)

    async with client_of({}) as client:
        await client.post("/sign-in")
        assert (await client.get("/me")).json() == {"sub": "maria", "theme": "dark"}
        old = client.cookies["session"]
    exec(moving, names)
    async with names["auth"] as auth:
        async with client_of({"session": old}) as client:
            for _ in range(2):
                assert (await client.get("/me")).json() == {"sub": "maria", "theme": "dark"}
            await auth.revoke_user("maria")
            assert (await client.get("/me")).json() == {"sub": None, "theme": None}
            await client.post("/sign-in")
            assert (await client.get("/me")).json() == {"sub": "maria", "theme": "dark"}
        async with client_of({"session": old}) as thief:
            assert (await thief.get("/me")).json() == {"sub": None, "theme": None}


async def test_from_fastapi_users(tmp_path, monkeypatch):
    """Registered and signed in before, recognised while moving; the accounts go on, and a session can be ended."""
    monkeypatch.chdir(tmp_path)
    before, moving = blocks("move-from-fastapi-users.md")
    module = types.ModuleType("moving_people")
    monkeypatch.setitem(sys.modules, "moving_people", module)  # pydantic looks for what annotations name
    names = vars(module)
    names |= {"ORIGIN": ORIGIN, "SECRET_KEY": "of tests, and long enough for them"}
    exec(before, names)
    maria = {"email": "maria@example.com", "password": "first password"}
    form = {"username": maria["email"], "password": maria["password"]}

    def client_of(cookies):
        transport = httpx.ASGITransport(app=names["app"])
        return httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=OURS, cookies=cookies)

    async with names["lifespan"](None), client_of({}) as client:
        assert (await client.post("/register", json=maria)).status_code == 201
        assert (await client.post("/login", data=form)).status_code == 204
        assert (await client.get("/me")).json() == {"email": maria["email"]}
        old = client.cookies["fastapiusersauth"]
    exec(moving, names)
    async with names["both"](None):
        async with client_of({"fastapiusersauth": old}) as client:
            assert (await client.get("/me")).json() == {"email": maria["email"]}
            ours = {"__Host-session": client.cookies["__Host-session"]}
        async with client_of(ours) as client:
            assert (await client.get("/me")).json() == {"email": maria["email"]}
            sub = (await names["auth"].check(ours["__Host-session"])).sub
            await names["auth"].revoke_user(sub)
            assert (await client.get("/me")).status_code == 401
        async with client_of({}) as client:
            assert (await client.post("/login", data={**form, "password": "wrong"})).status_code == 400
            assert (await client.post("/login", data=form)).status_code == 204
            assert (await client.get("/me")).json() == {"email": maria["email"]}
            assert (await client.post("/logout")).status_code == 204
            assert (await client.get("/me")).status_code == 401
        async with client_of({"fastapiusersauth": old[:-4] + "AAAA"}) as forger:
            assert (await forger.get("/me")).status_code == 401


def bearing(client, token, path="/me", method="get"):
    """Ask with a token; the answer."""
    return getattr(client, method)(path, base_url=ORIGIN, headers={"Authorization": f"Bearer {token}"})


def test_from_flask_jwt_extended(tmp_path, monkeypatch):
    """An old refresh token begins a session, once; from then on everything can be taken back."""
    monkeypatch.chdir(tmp_path)
    before, moving = blocks("move-from-flask-jwt-extended.md")
    names = {"ORIGIN": ORIGIN, "SECRET_KEY": "of tests, and long enough for them", "__name__": "moving"}
    exec(before, names)
    client = names["app"].test_client()
    old = client.post("/sign-in").json
    assert bearing(client, old["access_token"]).json == {"sub": "maria"}
    assert bearing(client, old["refresh_token"], "/refresh", "post").status_code == 200
    exec(moving, names)
    try:
        client = names["app"].test_client()
        assert bearing(client, old["access_token"]).status_code == 401
        assert bearing(client, old["access_token"], "/refresh", "post").status_code == 401
        ours = bearing(client, old["refresh_token"], "/refresh", "post").json
        assert bearing(client, ours["access_token"]).json == {"sub": "maria"}
        assert bearing(client, old["refresh_token"], "/refresh", "post").status_code == 401
        ours = bearing(client, ours["refresh_token"], "/refresh", "post").json
        assert bearing(client, ours["access_token"]).json == {"sub": "maria"}
        names["auth"].revoke_user("maria")
        assert bearing(client, ours["access_token"]).status_code == 401
        assert bearing(client, ours["refresh_token"], "/refresh", "post").status_code == 401
        begun = client.post("/sign-in", base_url=ORIGIN, headers=OURS).json
        assert bearing(client, begun["access_token"]).json == {"sub": "maria"}
    finally:
        names["auth"].close()


def test_from_simplejwt(tmp_path, monkeypatch):
    """An old refresh token begins a session, once; from then on everything can be taken back."""
    module = types.ModuleType("moving_tokens")
    (code,) = blocks("move-from-simplejwt.md")
    exec(code, vars(module))

    @api_view(["GET"])
    def me(request):
        return Response({"sub": request.user.pk}) if request.user else Response({}, status=401)

    module.urlpatterns = [path("token/", module.obtain), path("token/refresh/", module.refresh), path("me/", me)]
    monkeypatch.setitem(sys.modules, "moving_tokens", module)
    maria = get_user_model().objects.create_user("maria", "first password")
    before, later = OldRefreshToken.for_user(maria), OldRefreshToken.for_user(maria)
    client = Client(secure=True)

    def ask_me(token):
        return client.get("/me/", secure=True, headers={"authorization": f"Bearer {token}"})

    def refresh(token):
        return client.post("/token/refresh/", {"refresh": token}, content_type="application/json", secure=True)

    with (
        django_site.site(f"sqlite:///{tmp_path}/coatcheck.db", ISSUER=ORIGIN) as auth,
        override_settings(ROOT_URLCONF="moving_tokens"),
    ):
        assert ask_me(before.access_token).status_code == 401
        assert refresh(str(before.access_token)).status_code == 401
        ours = refresh(str(before)).json()
        assert ask_me(ours["access"]).json() == {"sub": "maria"}
        assert refresh(str(before)).status_code == 401
        ours = refresh(ours["refresh"]).json()
        assert ask_me(ours["access"]).json() == {"sub": "maria"}
        auth.revoke_user("maria")
        assert ask_me(ours["access"]).status_code == 401
        assert refresh(ours["refresh"]).status_code == 401
        for password, status in (("wrong", 401), ("first password", 200)):
            sent = {"username": "maria", "password": password}
            begun = client.post("/token/", sent, content_type="application/json", secure=True)
            assert begun.status_code == status
        assert ask_me(begun.json()["access"]).json() == {"sub": "maria"}
        get_user_model().objects.filter(pk="maria").update(is_active=False)
        assert refresh(str(later)).status_code == 401
    get_user_model().objects.all().delete()
    cache.clear()
    connections.close_all()


def test_from_flask_session(tmp_path, monkeypatch):
    """Signed in before, recognised while moving, with the data; the old session is gone, and ours is what counts."""
    monkeypatch.chdir(tmp_path)
    before, moving = blocks("move-from-flask-session.md")
    names = {"ORIGIN": ORIGIN, "__name__": "moving"}

    def client_of(app, cookies=()):
        client = app.test_client()
        for name, value in cookies:
            client.set_cookie(name, value, domain="app.example.com")
        return client

    def me(client):
        return client.get("/me", base_url=ORIGIN, headers=OURS).json

    exec(before, names)
    client = client_of(names["app"])
    client.post("/sign-in", base_url=ORIGIN)
    assert me(client) == {"sub": "maria", "theme": "dark"}
    old = client.get_cookie("session", domain="app.example.com").value
    exec(moving, names)
    try:
        client = client_of(names["app"], [("session", old)])
        for _ in range(2):
            assert me(client) == {"sub": "maria", "theme": "dark"}
        assert client.get_cookie("session", domain="app.example.com") is None
        assert me(client_of(names["app"], [("session", old)])) == {"sub": None, "theme": None}
        names["auth"].revoke_user("maria")
        assert me(client)["sub"] is None
        client.post("/sign-in", base_url=ORIGIN, headers=OURS)
        assert me(client) == {"sub": "maria", "theme": "dark"}
    finally:
        names["auth"].close()


@pytest.fixture
def moving(tmp_path, monkeypatch):
    """A project while it moves; gives a way to begin an old session, and the engine."""
    module = types.ModuleType("moving_project")
    (code,) = blocks("move-from-djangos-sessions.md")
    exec(code, vars(module))
    monkeypatch.setitem(sys.modules, "moving_project", module)
    middleware = list(django_site.settings.MIDDLEWARE)
    middleware.insert(3, "moving_project.MoveSessions")
    maria = get_user_model().objects.create_user("maria", "first password")

    def begin():
        """Log Maria in, as it was before."""
        request = RequestFactory().get("/")
        request.session = OldSessions()
        login(request, maria, "django.contrib.auth.backends.ModelBackend")
        request.session["theme"] = "dark"
        request.session.save()
        client = Client(secure=True, headers=OURS)
        client.cookies["sessionid"] = request.session.session_key
        return client

    with (
        django_site.site(f"sqlite:///{tmp_path}/coatcheck.db") as auth,
        override_settings(MIDDLEWARE=middleware, ROOT_URLCONF="tests.adapters.django_urls"),
    ):
        yield begin, maria, auth
    get_user_model().objects.all().delete()
    OldSession.objects.all().delete()
    connections.close_all()


def test_from_djangos_engines(moving):
    """The user and the data come along, the old session is gone in both places, and ours is the one that counts."""
    begin, _, auth = moving
    client = begin()
    assert client.get("/whoami", secure=True).json()["sub"] == "maria"
    assert client.cookies["sessionid"].value == ""
    assert OldSession.objects.count() == 0
    del client.cookies["sessionid"]
    assert client.get("/whoami", secure=True).json()["sub"] == "maria"
    assert client.get("/data", secure=True).json() == {"theme": "dark"}
    auth.revoke_user("maria")
    assert client.get("/whoami", secure=True).json()["sub"] is None
    assert isinstance(auth.check(client.cookies["__Host-session"].value), Refused)


@pytest.mark.parametrize("what", ["password", "inactive", "deleted", "unknown"])
def test_an_old_session_that_no_longer_counts_brings_nobody_in(moving, what):
    """A password changed since, a user who is no more, a cookie that somebody made up."""
    begin, maria, _ = moving
    client = begin()
    if what == "password":
        maria.set_password("second password")
        maria.save()
    elif what == "inactive":
        get_user_model().objects.filter(pk="maria").update(is_active=False)
    elif what == "deleted":
        maria.delete()
    else:
        client.cookies["sessionid"] = "x" * 32
    assert client.get("/whoami", secure=True).json()["sub"] is None
