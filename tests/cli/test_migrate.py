"""coatcheck migrate."""

import asyncio
from pathlib import Path

import pytest
from tests.servers import postgres

from coatcheck.stores import from_url


@pytest.fixture
def url():
    """The URL of a database without tables of ours."""
    return postgres.shared().url()


def test_it_makes_the_tables_once(cli, url):
    """First it says what it would do, then it does it, then there is nothing to do; sessions and accounts alike."""
    where = ("migrate", "--store", url, "--database", url.replace("schema=", "schema=accounts_"))
    would = cli(*where, "--dry-run")
    assert would.out.splitlines()[::2] == [
        "The tables of sessions would be made.",
        "The tables of accounts would be made.",
    ]
    document = cli(*where, "--dry-run", "--json").json
    assert (document["store"]["before"], document["database"]["before"], document["dry_run"]) == (0, 0, True)
    assert cli(*where).out.count("were made") == 2
    again = cli(*where)
    assert (again.code, again.out.count("are up to date")) == (0, 2)


def test_either_may_be_in_a_file(cli, url):
    """Which is left alone, even if it is not there."""
    assert cli("migrate", "--store", url, "--json").json["database"] is None
    assert cli("migrate", "--database", url, "--json").json["store"] is None
    ran = cli("migrate", "--database", url, "--lease-s", "5", "--json")
    assert (ran.code, ran.error["code"]) == (2, "nothing_to_migrate")
    assert list(Path().iterdir()) == []


def test_it_changes_the_lease_while_nobody_holds_one(cli, url):
    """A node's row is in the way; what was asked for is then not done."""
    assert cli("migrate", "--store", url, "--lease-s", "5", "--dry-run", "--json").json["store"]["lease_s"] == 5
    assert cli("migrate", "--store", url, "--json").json["store"]["lease_s"] == 2
    assert cli("migrate", "--store", url, "--lease-s", "0.5", "--json").json["store"]["lease_s"] == 0.5

    async def join():
        store = from_url(url)
        await store.open()
        assert await store.join("n1", label="") == 0.5
        await store.close()

    asyncio.run(join())
    refused = cli("migrate", "--store", url, "--lease-s", "5", "--json")
    assert (refused.code, refused.error["code"]) == (2, "store_unusable")
    assert "stop all servers" in refused.error["detail"]
    assert cli("migrate", "--store", url, "--json").json["store"]["lease_s"] == 0.5


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
