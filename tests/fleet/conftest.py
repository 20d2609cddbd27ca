import pytest
from tests.fleet.fleet import LEASE_S, Fleet, SharedMemory
from tests.servers import postgres

from coatcheck.stores.postgres import PostgresStore, migrate


@pytest.fixture(params=["memory", "postgres"])
async def fleet(request, monkeypatch):
    """A fleet over a dict that is used like a store behind a network, and over a real PostgreSQL."""
    if request.param == "memory":
        shared = SharedMemory()
        fleet = Fleet(monkeypatch, lambda: shared)
    else:
        url = postgres.shared().url()
        await migrate(url, lease_s=LEASE_S)
        fleet = Fleet(monkeypatch, lambda: PostgresStore(url))
    yield fleet
    await fleet.close()


@pytest.fixture
async def a(fleet):
    return await fleet.node()


@pytest.fixture
async def b(fleet):
    return await fleet.node()
