"""The command on sessions in Valkey; the accounts are in a file."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from tests.servers import valkey
from tests.servers.valkey import PASSWORD as OF_THE_SERVER

from coatcheck import Coatcheck, Reason, Refused
from coatcheck.server.database import from_url
from coatcheck.stores import from_url as store_of

pytestmark = pytest.mark.long


@pytest.fixture(params=["single", "cluster"])
def sessions(request):
    """The URL of a store that nobody has begun."""
    return valkey.shared(request.param).url()


@pytest.fixture
def there(sessions, monkeypatch, tmp_path):
    """The commands find it in their environment; no secret is given: there is one for this account of the machine."""
    monkeypatch.setenv("COATCHECK_STORE", sessions)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return sessions


def sign_in(url, name):
    """Begin a session of somebody; return its token."""

    async def begin():
        database = from_url("sqlite:///coatcheck.db")
        await database.open()
        try:
            user = await database.user_named(name)
            async with Coatcheck(url) as auth:
                return (await auth.sign_in(user.id)).token.reveal()
        finally:
            await database.close()

    return asyncio.run(begin())


def check(url, token):
    async def ask():
        async with Coatcheck(url) as auth:
            return await auth.check(token)

    return asyncio.run(ask())


def with_store(url, work):
    """Call something with the open store."""

    async def call():
        store = store_of(url)
        await store.open()
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(call())


def test_a_day_of_an_operator(cli, add, there):
    """Sessions, keys, the sweep and the trail; what ends sessions has ended them when it returns."""
    add("root", admin=True)
    add("maria")
    token = sign_in(there, "maria")
    assert [one["user"] for one in cli("sessions", "list", "--json").json] == ["maria"]
    assert cli("users", "disable", "maria").code == 0
    assert check(there, token) == Refused(Reason.REVOKED)
    token = sign_in(there, "root")
    assert cli("sessions", "revoke", "--user", "root", "--json").json["ended"] == 1
    assert check(there, token) == Refused(Reason.REVOKED)
    token = sign_in(there, "root")
    assert cli("sessions", "revoke", "--everyone").code == 0
    assert check(there, token) == Refused(Reason.REVOKED)
    assert cli("keys", "rotate").code == 0
    assert [key["state"] for key in cli("keys", "list", "--json").json][-1] == "signing"
    swept = cli("sweep", "--json")
    assert swept.code == 0 and set(swept.json) == {"store", "database"}
    assert cli("audit", "--event", "everyone_ended", "--json").json[0]["actor"] == "command"


def test_the_fleet(cli, add, there):
    """Who answers from memory is shown, with the lag."""
    add("root", admin=True)
    sign_in(there, "root")
    with_store(there, lambda store: store.join("a" * 32, label="orders 1"))
    found = cli("fleet", "--wait", "0", "--json").json
    assert [(node["label"], node["state"]) for node in found["nodes"]] == [("orders 1", "silent")]
    assert found["lease_s"] == 2.0


def test_panic(cli, add, there):
    """Everybody is out; the secret is changed where it is kept; the old one makes nothing any more."""
    add("root", admin=True)
    token = sign_in(there, "root")
    assert cli("keys", "rotate").code == 0
    ran = cli("panic", "--yes", "--json")
    assert ran.code == 0, ran.err
    assert "/state/coatcheck/secret-" in ran.json["secret_file"] and ran.json["new_secret"] is None
    assert check(there, token) == Refused(Reason.REVOKED)
    assert cli("keys", "rotate").code == 0, "with the new secret"
    assert cli("audit", "--event", "panic", "--json").json[0]["actor"] == "command"


def test_a_backup_is_of_the_database_and_a_restore_ends_sessions(cli, add, there):
    """What is in Valkey is not in it."""
    add("root", admin=True)
    token = sign_in(there, "root")
    assert cli("backup", "monday.backup").code == 0
    assert token not in Path("monday.backup").read_text()
    assert check(there, token)
    assert cli("restore", "monday.backup", "--yes").code == 0
    assert check(there, token) == Refused(Reason.REVOKED)
    assert [user["name"] for user in cli("users", "list", "--json").json] == ["root"]


def test_there_is_nothing_to_migrate(cli, sessions):
    """It says so, and is content; the lease can be changed while nobody holds one."""
    ran = cli("migrate", "--store", sessions, "--dry-run")
    assert ran.code == 0
    assert "nothing to migrate" in ran.out and "No sessions were ever kept here" in ran.out
    asked = cli("migrate", "--store", sessions, "--lease-s", "5", "--dry-run", "--json").json
    assert (asked["store"]["before"], asked["store"]["lease_s"], asked["database"]) == (0, 5, None)
    assert cli("migrate", "--store", sessions, "--dry-run", "--json").json["store"] == asked["store"] | {"lease_s": 2}
    assert "The lease is 0.5 s." in cli("migrate", "--store", sessions, "--lease-s", "0.5").out
    assert with_store(sessions, lambda store: store.join("n1", label="")) == 0.5
    refused = cli("migrate", "--store", sessions, "--lease-s", "5", "--json")
    assert (refused.code, refused.error["code"]) == (2, "store_unusable")
    assert "stop all servers" in refused.error["detail"]
    told = cli("migrate", "--store", sessions)
    assert "The lease is 0.5 s." in told.out and "No sessions" not in told.out


def test_where_no_sessions_ever_were_nothing_is_ended(cli, add, monkeypatch, there):
    """A slip in the prefix is said, and leaves nothing behind: sessions would live on where they are."""
    add("root", admin=True)
    monkeypatch.setenv("COATCHECK_STORE", there.replace("prefix=t_", "prefix=wrong_"))
    for command in ("sessions list", "panic --yes", "keys list", "keys rotate", "users list", "fleet", "sweep"):
        ran = cli(*command.split(), "--json")
        assert (ran.code, ran.error["code"]) == (2, "no_such_store"), command
        assert "under the prefix" in ran.error["detail"]
    assert cli("migrate", "--dry-run", "--json").json["store"]["before"] == 0


def test_it_keeps_no_accounts(cli, monkeypatch):
    """One URL for both, as on PostgreSQL, is refused with what to write."""
    monkeypatch.setenv("COATCHECK_DATABASE", "redis://:hidden-word@127.0.0.1:9")
    for command in ("users add maria --password-stdin", "migrate", "serve --port 0 --metrics-port 0"):
        ran = cli(*command.split(), stdin="a long passphrase 9\n")
        assert ran.code == 2, command
        assert "no accounts" in ran.err and "postgresql://" in ran.err and "hidden-word" not in ran.err


def test_an_unreachable_server_is_told_without_its_password(cli):
    """One line, which says what to look at, within a call's time."""
    for command in ("migrate --lease-s 2", "fleet", "sessions list", "panic --yes"):
        ran = cli(*command.split(), "--store", "valkey://me:hidden-word@127.0.0.1:9", "--json")
        assert (ran.code, ran.error["code"]) == (2, "store_unavailable"), command
        assert "nobody listens" in ran.err and "hidden-word" not in ran.err


def test_a_server_that_refuses_is_told_without_the_password(cli, add):
    """A wrong password, and one that is missing."""
    with contextlib.closing(valkey.start(password=True)) as server:
        add("root", admin=True)
        for where in (
            server.url().replace("pass-word", "hidden-word"),
            server.url().replace(server.place(), "valkey://" + server.address),
        ):
            ran = cli("sessions", "list", "--store", where, "--json")
            assert (ran.code, ran.error["code"]) == (2, "store_unusable")
            assert "password" in ran.err
            assert "hidden-word" not in ran.err and OF_THE_SERVER not in ran.err
