"""coatcheck doctor on an installation whose sessions are in PostgreSQL, or in Valkey."""

import asyncio

import pytest
from tests.servers import postgres, valkey
from tests.servers.postgres import PASSWORD as OF_POSTGRES
from tests.servers.valkey import PASSWORD as OF_VALKEY
from tests.servers.valkey_process import until

from coatcheck import Coatcheck
from coatcheck.cli.doctor import installation
from coatcheck.cli.doctor.checks import Status, run
from coatcheck.cli.doctor.ours import OURS
from coatcheck.stores.look import Look

SECRET = "A" * 43


@pytest.fixture
def look(cli, add, monkeypatch):
    """What the doctor says of a store: the ids of the checks that failed, and of those that passed."""
    add("maria")
    monkeypatch.setenv("COATCHECK_SECRET", SECRET)

    def ask(url):
        ran = cli("doctor", "--store", url, "--json")
        assert OF_POSTGRES not in ran.out + ran.err and OF_VALKEY not in ran.out + ran.err
        checks = ran.json["looked_at"][0]["checks"]
        return [[one["id"] for one in checks if one["status"] == status] for status in ("failed", "passed")]

    return ask


def begin(url):
    """Begin a store, with a session and a key."""

    async def go():
        async with Coatcheck(url, issuer="https://auth.example.com", secret=SECRET) as auth:
            await auth.sign_in("maria")

    asyncio.run(go())


@pytest.fixture(scope="module")
def single():
    """A Valkey of our own, which is configured."""
    server = valkey.start()
    yield server
    server.close()


def test_sessions_in_postgresql(look):
    """The server of the tests runs without fsync, and lets in its superuser; that is said, and nothing else."""
    url = postgres.shared().url()
    begin(url)
    failed, passed = look(url)
    assert set(failed) <= {"postgres-fsync", "postgres-role"} and "postgres-fsync" in failed
    assert {"clock-skew", "key-schedule", "secret-fits", "migrations", "sweep-running", "store-usable"} <= set(passed)


def test_nothing_has_begun_in_postgresql(cli, add):
    """A store that nobody has begun is a mistake, as with every command."""
    add("maria")
    assert cli("doctor", "--store", postgres.shared().url(), "--json").error["code"] == "no_such_store"


def test_sessions_in_valkey(look, single):
    """A server that keeps what it acknowledges passes."""
    url = single.url()
    begin(url)
    failed, passed = look(url)
    assert failed == []
    assert {"valkey-log", "valkey-fsync", "valkey-eviction", "valkey-durability", "store-usable"} <= set(passed)


@pytest.mark.parametrize(
    ("setting", "bad", "good", "ident"),
    [
        ("maxmemory-policy", "allkeys-lru", "noeviction", "valkey-eviction"),
        ("appendfsync", "everysec", "always", "valkey-fsync"),
        ("appendfsync", "no", "always", "valkey-fsync"),
        ("appendonly", "no", "yes", "valkey-log"),
    ],
)
def test_a_careless_valkey(look, single, setting, bad, good, ident):
    """Is told by the check that says what to do, and by no other, though the store refuses it."""
    url = single.url()
    begin(url)
    single.call("CONFIG", "SET", setting, bad)
    try:
        assert look(url)[0] == [ident]
    finally:
        single.call("CONFIG", "SET", setting, good)
        until(lambda: single.info("persistence")["aof_rewrite_in_progress"] == 0, "the log is not written anew")


def test_a_cluster(look):
    """Each primary is asked; with fewer replicas than there are, that is told."""
    cluster = valkey.shared("cluster")
    url = cluster.url()
    begin(url)
    assert look(url)[0] == []
    assert look(f"{url}&durability=0")[0] == ["valkey-durability"]


@pytest.mark.parametrize(
    ("url", "clear", "trusting"),
    [
        ("postgresql://u:p@db.example/app", True, False),
        ("postgresql://u:p@db.example/app?sslmode=disable", True, False),
        ("postgresql://u:p@db.example/app?sslmode=require", False, True),
        ("postgresql://u:p@db.example/app?sslmode=verify-full", False, False),
        ("postgresql://u:p@localhost,db.example:5433/app", True, False),
        ("postgresql://u:p@localhost/app", False, False),
        ("postgresql://u:p@/app?host=/var/run/postgresql", False, False),
        ("postgresql://u:p@[::1]:5432/app", False, False),
        ("postgresql://u:p@[2001:db8::1]:5432/app", True, False),
        ("valkey://u:p@cache.example:6379/0", True, False),
        ("redis://a.example,b.example?cluster=true", True, False),
        ("valkeys://u:p@cache.example", False, False),
        ("valkey://127.0.0.1:6379", False, False),
        ("valkey:///0?socket=/run/valkey.sock", False, False),
    ],
)
def test_links_in_the_clear(monkeypatch, url, clear, trusting):
    """A link to another machine is to be TLS that looks at the certificate; one on this machine need not."""
    monkeypatch.delenv("PGSSLMODE", raising=False)
    link = installation._link(url, "--store")
    found = {one.id: one.status for one in run(OURS, installation.Ours(now=0, links=(link,)))}
    assert (found["link-clear"] is Status.FAILED, found["link-certificate"] is Status.FAILED) == (clear, trusting)
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert url.startswith(("valkey", "redis")) or "sslmode" in url or not installation._link(url, "").is_clear


@pytest.mark.parametrize(
    ("skew_s", "status"), [(None, "not_seen"), (3.0, "passed"), (-30.0, "failed"), (30.0, "failed")]
)
def test_the_clock_of_the_store(skew_s, status):
    """A few seconds are nothing; more is told, whichever way."""
    found = {one.id: one.status for one in run(OURS, installation.Ours(now=0, skew_s=skew_s))}
    assert found["clock-skew"] == status


def test_a_log_that_nobody_trims():
    """Lines of no use for more than a day are told."""
    for oldest_s, status in ((0, Status.PASSED), (80_000, Status.PASSED), (200_000, Status.FAILED)):
        found = {one.id: one.status for one in run(OURS, installation.Ours(now=0, is_open=True, oldest_s=oldest_s))}
        assert found["sweep-running"] is status


def test_a_store_for_many_machines_wants_a_secret():
    """Where none is given, each machine would make its own."""
    for is_given, status in ((True, Status.PASSED), (False, Status.FAILED)):
        found = run(OURS, installation.Ours(now=0, is_embedded=False, is_given=is_given))
        assert {one.id: one.status for one in found}["secret-shared"] is status


@pytest.mark.parametrize(
    ("said", "ident"),
    [
        ({"fsync": "off", "is_superuser": "false"}, "postgres-fsync"),
        ({"fsync": "on", "is_superuser": "true"}, "postgres-role"),
    ],
)
def test_what_postgresql_says(said, ident):
    """A server that forgets, and a role that may do everything, are told apart."""
    found = run(OURS, installation.Ours(now=0, store=Look(before=1, after=1, servers=({"server": "x", **said},))))
    assert [one.id for one in found if one.status is Status.FAILED] == [ident]
