import pytest
from tests.fleet.fleet import LEASE_S, Fleet, SharedMemory
from tests.servers import postgres, valkey

from coatcheck.stores.postgres import PostgresStore, migrate
from coatcheck.stores.valkey import ValkeyStore

SHORT = {"test_live.py": {"memory", "postgres"}}  # the others are among the long ones there
STORES = ["memory", "postgres", "valkey", pytest.param("valkey-cluster", marks=pytest.mark.long)]


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


def pytest_collection_modifyitems(items):
    """Each hazard is tried on every kind of store at once; what builds on them, on some of them."""
    for item in items:
        short = SHORT.get(item.path.name)
        param = item.callspec.params.get("fleet") if hasattr(item, "callspec") else None
        if short is not None and param is not None and param not in short:
            item.add_marker(pytest.mark.long)
