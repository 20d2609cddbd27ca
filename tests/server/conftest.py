"""The whole server in this process: the application, its database in a file, and a clock that tests move."""

import contextlib
from types import SimpleNamespace

import httpx
import pytest
from argon2 import PasswordHasher

from coatcheck import Coatcheck, Policy
from coatcheck.server import database
from coatcheck.server.app import build_app
from coatcheck.server.database.base import User
from coatcheck.server.passwords import Passwords
from coatcheck.server.site import Site, policy_for
from coatcheck.testing import ManualClock

ORIGIN = "https://auth.example.com"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "correct horse battery"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def make_site(tmp_path, clock):
    """Makes servers on one file, as several processes are."""

    def make(**kwargs):
        url = f"sqlite:///{tmp_path}/coatcheck.db"
        policy = policy_for(kwargs.pop("policy", Policy()), (ORIGIN,))
        auth = Coatcheck(url, policy=policy, issuer=ORIGIN, clock=clock)
        return Site(auth, database.from_url(url), clock=clock, hasher=Passwords(kwargs.pop("hasher", CHEAP)))

    return make


@pytest.fixture
async def site(make_site):
    site = make_site()
    async with site.lifespan():
        yield site


@pytest.fixture
def app(site):
    return build_app(site, https=True, trusted_proxies=("10.9.9.9",), opens=False)


@pytest.fixture
async def browser(app):
    """Makes browsers, each with its own cookies."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(address="192.0.2.7", app=app, **headers):
            transport = httpx.ASGITransport(app=app, client=(address, 4711), raise_app_exceptions=False)
            headers = {
                "sec-fetch-site": "same-origin",
                "user-agent": "Mozilla/5.0 (X11; Linux) Firefox/140.0",
            } | headers
            return await stack.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers)
            )

        yield make


@pytest.fixture
def add(site):
    """Adds accounts without a password prompt."""

    async def do(name, *, admin=False, password=PASSWORD):
        added = await site.accounts.add(name, password, is_admin=admin, by=None)
        assert isinstance(added, User), added
        return added

    return do


@pytest.fixture
async def people(add):
    """An administrator and two others."""
    return SimpleNamespace(root=await add("Root", admin=True), maria=await add("Maria"), otto=await add("Otto"))


@pytest.fixture
def enter(browser):
    """Signs somebody in, in a browser of their own."""

    async def do(name, password=PASSWORD, **kwargs):
        client = await browser(**kwargs)
        answer = await client.post("/api/sign-in", json={"username": name, "password": password})
        assert answer.status_code == 200, answer.text
        client.sid = answer.json()["sid"]
        return client

    return do
