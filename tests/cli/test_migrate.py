"""coatcheck migrate."""

import asyncio

import pytest
from tests.servers import postgres

from coatcheck.stores import from_url


@pytest.fixture
def url():
    """The URL of a database without tables of ours."""
    return postgres.shared().url()


def test_it_makes_the_tables_once(cli, url):
    """First it says what it would do, then it does it, then there is nothing to do."""
    would = cli("migrate", "--store", url, "--dry-run")
    assert (would.code, would.out.split()[:2], would.out.count("would be")) == (0, ["1", "migration"], 1)
    assert cli("migrate", "--store", url, "--dry-run", "--json").json["before"] == 0
    assert "1 migration of the schema" in cli("migrate", "--store", url).out
    assert "up to date" in cli("migrate", "--store", url).out


def test_it_changes_the_lease_while_nobody_holds_one(cli, url):
    """A node's row is in the way; what was asked for is then not done."""
    assert cli("migrate", "--store", url, "--lease-s", "5", "--dry-run", "--json").json["lease_s"] == 5
    assert cli("migrate", "--store", url, "--json").json["lease_s"] == 2
    assert cli("migrate", "--store", url, "--lease-s", "0.5", "--json").json["lease_s"] == 0.5

    async def join():
        store = from_url(url)
        await store.open()
        assert await store.join("n1", label="") == 0.5
        await store.close()

    asyncio.run(join())
    refused = cli("migrate", "--store", url, "--lease-s", "5", "--json")
    assert (refused.code, refused.error["code"]) == (2, "store_unusable")
    assert "stop all servers" in refused.error["detail"]
    assert cli("migrate", "--store", url, "--json").json["lease_s"] == 0.5


@pytest.mark.parametrize("lease", ["0.1", "61", "nan", "x"])
def test_a_lease_that_makes_no_sense_is_refused(cli, url, lease):
    """0.2 to 60 seconds."""
    ran = cli("migrate", "--store", url, "--lease-s", lease)
    assert ran.code == 2 and "--lease-s" in ran.err


def test_there_is_nothing_to_migrate_in_a_file(cli):
    """SQLite is brought up to date when it is opened."""
    ran = cli("migrate", "--store", "sqlite:///x.db", "--json")
    assert (ran.code, ran.error["code"]) == (2, "nothing_to_migrate")


def test_an_unreachable_database_is_told_without_its_password(cli):
    """One line, which says what to look at."""
    ran = cli("migrate", "--store", "postgresql://me:hidden-word@127.0.0.1:9/x", "--json")
    assert (ran.code, ran.error["code"]) == (2, "store_unavailable")
    assert "nobody listens" in ran.err and "hidden-word" not in ran.err
