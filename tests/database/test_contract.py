"""Every database of the server keeps the same contract."""

import pytest
from tests.servers import postgres

from coatcheck.server.database.contract import DatabaseContract
from coatcheck.server.database.postgres import PostgresDatabase
from coatcheck.server.database.sqlite import SQLiteDatabase


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
