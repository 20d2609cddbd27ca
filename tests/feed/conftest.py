import contextlib
import os

import pytest
from tests.feed.issuer import LONG_S, Issuer, Service, set_lease


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch):
    """No setting of this machine."""
    for name in [name for name in os.environ if name.startswith("COATCHECK_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def store(tmp_path):
    """The URL of the store; a module may put another here."""
    return f"sqlite:///{tmp_path}/coatcheck.db"


@pytest.fixture
async def make_issuer(tmp_path, store):
    """Starts servers on one store; the first decides how long a lease is."""
    async with contextlib.AsyncExitStack() as stack:
        is_made = False

        async def make(*, lease_s=None, **kwargs):
            nonlocal is_made
            if not is_made and lease_s is not None:
                await set_lease(store, lease_s)
            is_made = True
            return await stack.enter_async_context(Issuer(tmp_path, store=store, **kwargs))

        yield make


@pytest.fixture
async def issuer(make_issuer):
    """A server whose leases do not run out within a test."""
    return await make_issuer(lease_s=LONG_S)


@pytest.fixture
async def make_service():
    """Makes services that speak the protocol."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(issuer, ident="orders-api", secret=None):
            service = Service(issuer.url, ident, secret or await issuer.client(ident))
            stack.push_async_callback(service.close)
            return service

        yield make


@pytest.fixture
async def service(issuer, make_service):
    return await make_service(issuer)
