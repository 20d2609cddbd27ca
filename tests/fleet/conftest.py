import pytest
from tests.fleet.fleet import LEASE_S, Fleet, SharedMemory
from tests.servers import postgres, valkey

from coatcheck.stores.postgres import PostgresStore, migrate
from coatcheck.stores.valkey import ValkeyStore

STORES = ["memory", "postgres", pytest.param("valkey", marks=pytest.mark.long), "valkey-cluster"]


@pytest.fixture(params=STORES)
async def fleet(request, monkeypatch):
    """A fleet over a dict that is used like a store behind a network, and over real stores behind one."""
    if request.param == "memory":
        shared = SharedMemory()
        fleet = Fleet(monkeypatch, lambda: shared)
    elif request.param.startswith("valkey"):
        url = valkey.shared("cluster" if request.param == "valkey-cluster" else "single").url(lease_s=LEASE_S)
        fleet = Fleet(monkeypatch, lambda: ValkeyStore(url))
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
