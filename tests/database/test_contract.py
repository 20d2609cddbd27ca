"""Every database of the server keeps the same contract."""

import pytest
from tests.servers import pgbouncer, postgres

from coatcheck.server.database.contract import DatabaseContract
from coatcheck.server.database.postgres import PostgresDatabase
from coatcheck.server.database.sqlite import SQLiteDatabase


@pytest.fixture(scope="module")
def pooler():
    """The port of a PgBouncer before the server of the whole run."""
    with pgbouncer.before(postgres.shared()) as port:
        yield port


class TestSQLiteDatabase(DatabaseContract):
    """One file, several processes."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path

    def make_database(self, place):
        return SQLiteDatabase(str(self.folder / f"{place}.db"))


class TestPostgresDatabase(DatabaseContract):
    """One server, several machines."""

    version = "18"

    @pytest.fixture(autouse=True)
    def _server(self):
        self.server = postgres.shared(self.version)

    def make_database(self, place):
        return PostgresDatabase(self.server.url(schema=f"d_{place}"))


@pytest.mark.long
class TestOlderPostgresDatabase(TestPostgresDatabase):
    """The oldest that is tested."""

    version = "15"


@pytest.mark.long
class TestPostgresDatabaseBehindAPooler(TestPostgresDatabase):
    """One that hands each transaction to another connection of the server."""

    @pytest.fixture(autouse=True)
    def _pooler(self, pooler):
        self.port = pooler

    def make_database(self, place):
        url = self.server.url(schema=f"d_{place}", pgbouncer="true")
        return PostgresDatabase(url.replace(f":{self.server.port}/", f":{self.port}/"))
