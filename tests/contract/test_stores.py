"""Every store keeps the same contract."""

import pytest

from coatcheck.stores.memory import MemoryStore
from coatcheck.stores.sqlite import SQLiteStore
from coatcheck.testing import EmbeddedStoreContract


class TestMemoryStore(EmbeddedStoreContract):
    """The reference implementation."""

    def make_store(self):
        return MemoryStore()


class TestSQLiteStore(EmbeddedStoreContract):
    """One file, several processes."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path

    def make_store(self):
        return SQLiteStore(str(self.folder / "coatcheck.db"))
