import pytest
from tests.fleet.fleet import Fleet, SharedMemory


@pytest.fixture
async def fleet(monkeypatch):
    """A fleet over a store in memory; tests/postgres runs the same stories over a real one."""
    shared = SharedMemory()
    fleet = Fleet(monkeypatch, lambda: shared)
    yield fleet
    await fleet.close()


@pytest.fixture
async def a(fleet):
    return await fleet.node()


@pytest.fixture
async def b(fleet):
    return await fleet.node()
