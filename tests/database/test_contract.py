"""Every database of the server keeps the same contract."""

import pytest

from coatcheck.server.database.contract import DatabaseContract
from coatcheck.server.database.sqlite import SQLiteDatabase


class TestSQLiteDatabase(DatabaseContract):
    """One file, several processes."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path

    def make_database(self, place):
        return SQLiteDatabase(str(self.folder / f"{place}.db"))
