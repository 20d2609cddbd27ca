"""
The whole server in this process: the application, its database, and a clock that tests move.

The database is a file. In the long run it is PostgreSQL, too, for each story; of those that tell many cases of one rule
for those marked ``both("long")``. Tests marked ``both`` always have both, and in the long run their store there, too.
"""

import contextlib
from types import SimpleNamespace

import httpx
import pytest
from argon2 import PasswordHasher
from tests.servers import postgres

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
SECRET = "A" * 43


def pytest_generate_tests(metafunc):
    """Run each test that has a server on both kinds of databases."""
    if "places" not in metafunc.fixturenames:
        return
    both = metafunc.definition.get_closest_marker("both")
    is_short = both is not None and not both.args
    kinds = ["sqlite"]
    if both is not None or metafunc.definition.get_closest_marker("parametrize") is None:
        kinds.append(pytest.param("postgres", marks=[] if is_short else [pytest.mark.long]))
    if is_short:
        kinds.append(pytest.param("all-postgres", marks=[pytest.mark.long]))
    metafunc.parametrize("places", kinds, indirect=True)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def places(request, tmp_path):
    """The URLs of a new store and a new database, once for each kind."""
    file = f"sqlite:///{tmp_path}/coatcheck.db"
    if request.param == "sqlite":
        return file, file
    url = postgres.shared().url()
    return (url if request.param == "all-postgres" else file), url


@pytest.fixture
def make_site(places, clock):
    """Makes servers on one store and one database, as several processes are."""
    store, kept = places

    def make(**kwargs):
        policy = policy_for(kwargs.pop("policy", Policy()), (ORIGIN,))
        secret = None if store.startswith("sqlite") else SECRET  # a file has one beside it
        auth = Coatcheck(store, policy=policy, issuer=ORIGIN, clock=clock, secret=secret)
        site = Site(auth, database.from_url(kept), clock=clock, hasher=Passwords(kwargs.pop("hasher", CHEAP)))
        site.options = ("--store", store, "--database", kept)
        return site

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
