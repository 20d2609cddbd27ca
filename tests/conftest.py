"""What every test may ask for."""

import pytest

from coatcheck import Coatcheck, Policy
from coatcheck.testing import ManualClock


@pytest.fixture
def clock():
    """Time that moves when told to."""
    return ManualClock()


@pytest.fixture(params=["memory", "sqlite"])
def url(request, tmp_path):
    """The URL of an empty store, once for each kind."""
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/coatcheck.db"


@pytest.fixture
def policy():
    """The policy of the engine; a test module may put its own here."""
    return Policy(origins=("https://app.example.com",))


@pytest.fixture
async def auth(url, clock, policy):
    """An open engine on each kind of store."""
    async with Coatcheck(url, policy=policy, clock=clock) as engine:
        yield engine
