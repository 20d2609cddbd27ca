"""Real servers for the tests of the Valkey store."""

import pytest
from tests.servers import valkey
from tests.valkey.gates import opened


@pytest.fixture(params=["single", pytest.param("cluster", marks=pytest.mark.long)])
def server(request):
    """The servers of the whole run: tests share them, each with a prefix of its own."""
    return valkey.shared(request.param)


@pytest.fixture
def url(server):
    """The URL of a store that is empty, and this test's alone."""
    return server.url()


@pytest.fixture
async def two(url):
    """Two stores in one place: the first with gates."""
    async with opened(url) as (first, gates), opened(url) as (second, _):
        yield first, gates, second
