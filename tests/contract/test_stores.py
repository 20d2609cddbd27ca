"""Every store keeps the same contract."""

import pytest
from tests.servers import pgbouncer, postgres, valkey

from coatcheck.stores.memory import MemoryStore
from coatcheck.stores.postgres import PostgresStore
from coatcheck.stores.sqlite import SQLiteStore
from coatcheck.stores.valkey import ValkeyStore
from coatcheck.testing import EmbeddedStoreContract, FleetStoreContract


@pytest.fixture(scope="module")
def pooler():
    """The port of a PgBouncer before the shared server."""
    with pgbouncer.before(postgres.shared()) as port:
        yield port


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


class TestPostgresStore(FleetStoreContract):
    """One database, many machines."""

    def make_store(self):
        return PostgresStore(postgres.shared().url(socket=True))


@pytest.mark.long
class TestPostgresStoreOn15(FleetStoreContract):
    """The oldest version that is promised."""

    def make_store(self):
        return PostgresStore(postgres.shared("15").url(socket=True))


@pytest.mark.long
class TestPostgresStoreBehindPgBouncer(FleetStoreContract):
    """Each transaction on another connection of the server: nothing of ours may rest on one."""

    @pytest.fixture(autouse=True)
    def _pooler(self, pooler):
        self.port = pooler

    def make_store(self):
        here = postgres.shared()
        return PostgresStore(here.url(pgbouncer="true").replace(f":{here.port}/", f":{self.port}/"))


class TestValkeyStore(FleetStoreContract):
    """One server, with everything in it."""

    def make_store(self):
        return ValkeyStore(valkey.shared("single").url())


@pytest.mark.long
class TestValkeyClusterStore(FleetStoreContract):
    """Three primaries, each with a replica: what belongs together is in different places."""

    def make_store(self):
        return ValkeyStore(valkey.shared("cluster").url())
