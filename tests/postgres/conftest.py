"""Real servers for the tests of the PostgreSQL store."""

from urllib.parse import parse_qsl, urlsplit

import asyncpg
import pytest
from tests.postgres import gates
from tests.servers import postgres


@pytest.fixture(params=["18", pytest.param("15", marks=pytest.mark.long)])
def server(request):
    """The server of the whole run: tests share it, each with a schema of its own."""
    return postgres.shared(request.param)


@pytest.fixture
def own_server():
    """A server for one test, which may do anything to it."""
    mine = postgres.start()
    yield mine
    mine.close()


@pytest.fixture
def url(server):
    """The URL of a store that is empty, and this test's alone."""
    return server.url(socket=True)


@pytest.fixture
async def others(url):
    """Who waits for a lock in this test's store."""
    options = dict(parse_qsl(urlsplit(url).query))
    watcher = await asyncpg.connect(host=options["host"], port=options["port"], user="postgres", database="postgres")
    yield gates.Others(watcher, options["schema"])
    await watcher.close()


@pytest.fixture(scope="module")
def shaken():
    """A server that is stopped, paused and killed by the tests of a module, and goes on."""
    mine = postgres.start(deadlock_timeout="10ms")
    yield mine
    mine.close()
