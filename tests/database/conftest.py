"""Real servers for the tests of the server's database."""

import pytest
from tests.servers import postgres

from coatcheck.server.database._postgres_link import WAIT_S
from coatcheck.server.database.postgres import PostgresDatabase


@pytest.fixture
def server():
    """The PostgreSQL of the whole run: tests share it, each with a schema of its own."""
    return postgres.shared()


@pytest.fixture
def own_server():
    """A PostgreSQL for one test, which may do anything to it."""
    mine = postgres.start()
    yield mine
    mine.close()


@pytest.fixture
async def make():
    """Opens databases, and closes them at the end."""
    opened = []

    async def open_one(url, *, wait_s=WAIT_S, **kwargs):
        database = PostgresDatabase(url, wait_s=wait_s)
        await database.open(**kwargs)
        opened.append(database)
        return database

    yield open_one
    for database in opened:
        await database.close()
