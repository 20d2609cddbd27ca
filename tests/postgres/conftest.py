"""Real servers for the tests of the PostgreSQL store."""

import pytest
from tests.servers import postgres


@pytest.fixture
def server():
    """The server of the whole run: tests share it, each with a schema of its own."""
    return postgres.shared()


@pytest.fixture
def own_server():
    """A server for one test, which may do anything to it."""
    mine = postgres.start()
    yield mine
    mine.close()
