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
from django.db import connections
from django.test import Client, RequestFactory, override_settings

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
