"""The command on accounts in PostgreSQL; the sessions are in a file, or there, too."""

import asyncio

import pytest
from tests.servers import postgres
from tests.servers.postgres import PASSWORD as OF_THE_SERVER

from coatcheck import Coatcheck, Reason, Refused
from coatcheck.server.database import from_url, migrate
from coatcheck.server.database.base import Migrated

URL = "sqlite:///coatcheck.db"
PASSWORD = "a long passphrase 9"


@pytest.fixture
def place_of_accounts():
    """The URL of a new database; it holds a password."""
    return postgres.shared().url()


@pytest.fixture
def cli(cli, place_of_accounts, monkeypatch):
    """The command, which finds the URL in its environment; the password in it is never shown."""
    monkeypatch.setenv("COATCHECK_DATABASE", place_of_accounts)

    def run(*args, **kwargs):
        ran = cli(*args, **kwargs)
        assert OF_THE_SERVER not in ran.out + ran.err
        assert "pass-word" not in ran.out + ran.err
        return ran

    return run


async def sign_in(place, name):
    """Begin a session of somebody; return its token."""
    database = from_url(place)
    await database.open()
    try:
        user = await database.user_named(name)
        async with Coatcheck(URL) as auth:
            return (await auth.sign_in(user.id)).token.reveal()
    finally:
        await database.close()


async def check(token):
    async with Coatcheck(URL) as auth:
        return await auth.check(token)


def test_a_day_of_an_operator(cli, add, place_of_accounts):
    """Accounts, clients, keys, the trail and the sweep; what ends sessions has ended them when it returns."""
    add("root", admin=True)
    add("maria")
    assert [user["name"] for user in cli("users", "list", "--json").json] == ["maria", "root"]
    assert cli("users", "add", "MARIA", "--password-stdin", stdin=PASSWORD + "\n", is_tty=True).code == 1
    token = asyncio.run(sign_in(place_of_accounts, "maria"))
    assert [one["user"] for one in cli("sessions", "list", "--json").json] == ["maria"]
    assert cli("users", "disable", "maria").code == 0
    assert asyncio.run(check(token)) == Refused(Reason.REVOKED)
    assert cli("users", "demote", "root", "--json").error["code"] == "last_admin"
    assert cli("users", "promote", "maria").code == cli("users", "enable", "maria").code == 0
    assert cli("users", "passwd", "maria", "--password-stdin", stdin="another good passphrase\n").code == 0

    secret = cli("clients", "add", "nightly", "--audience", "billing", "--json").json["secret"]
    assert cli("clients", "rotate-secret", "nightly", "--json").json["secret"] != secret
    assert cli("clients", "disable", "nightly").code == 0
    assert [client["is_disabled"] for client in cli("clients", "list", "--json").json] == [True]

    assert cli("keys", "rotate").code == 0
    assert cli("sweep", "--json").json["database"] == 0
    told = cli("audit", "--json").json
    assert [entry["event"] for entry in told] == [
        *("keys", "client_disabled", "client_secret", "client_added"),
        *("password_reset", "enabled", "promoted", "disabled", "user_added", "user_added"),
    ]
    assert {entry["user"] for entry in cli("audit", "--user", "maria", "--json").json} == {"maria"}


def test_panic(cli, add, place_of_accounts):
    """Everybody is out, and it is in the trail."""
    add("root", admin=True)
    token = asyncio.run(sign_in(place_of_accounts, "root"))
    assert cli("panic", "--yes").code == 0
    assert asyncio.run(check(token)) == Refused(Reason.REVOKED)
    assert cli("audit", "--event", "panic", "--json").json[0]["actor"] == "command"


def test_panic_while_it_is_away(cli, add, monkeypatch, place_of_accounts):
    """What matters is done nevertheless, and is said."""
    add("root", admin=True)
    token = asyncio.run(sign_in(place_of_accounts, "root"))
    monkeypatch.setenv("COATCHECK_DATABASE", "postgresql://u:hidden@127.0.0.1:9/d")
    ran = cli("panic", "--yes")
    assert ran.code == 2
    assert "everything was done" in ran.err and "nobody listens" in ran.err
    assert "hidden" not in ran.err
    assert asyncio.run(check(token)) == Refused(Reason.REVOKED)


def test_backups_are_the_business_of_others(cli, add, place):
    """It says by what, and what to do after a restore; nothing is written and nobody's session ends."""
    add("root", admin=True)
    (place / "monday.backup").touch()
    before = sorted(path.name for path in place.iterdir())
    for command in ("backup new", "restore monday.backup --yes"):
        ran = cli(*command.split(), "--json")
        assert (ran.code, ran.error["code"]) == (2, "not_portable"), command
        for word in ("--database", "pg_dump", "pg_restore", "coatcheck panic"):
            assert word in ran.error["detail"], command
    assert sorted(path.name for path in place.iterdir()) == before
    assert cli("audit", "--event", "restored", "--json").json == []


def test_where_there_are_no_accounts_nothing_is_made(cli, add, monkeypatch):
    """A slip in the name of the schema is said, and leaves nothing behind."""
    add("root", admin=True)
    wrong = postgres.shared().url()
    monkeypatch.setenv("COATCHECK_DATABASE", wrong)
    for command in ("users list", "audit", "clients list", "users disable root"):
        ran = cli(*command.split())
        assert ran.code == 2, command
        assert "no accounts of Coatcheck in the schema" in ran.err, command
    assert asyncio.run(migrate(wrong)) == Migrated(0, 1)


def test_a_database_that_refuses(cli, add, monkeypatch, place_of_accounts):
    """One line, with what to do."""
    add("root", admin=True)
    monkeypatch.setenv("COATCHECK_DATABASE", place_of_accounts.replace("pass-word", "hidden"))
    ran = cli("users", "list")
    assert ran.code == 2
    assert "~/.pgpass" in ran.err and "hidden" not in ran.err


# --- sessions there, too ---


@pytest.fixture
def all_there(monkeypatch, place_of_accounts, tmp_path):
    """Both have one URL, and no secret is given: there is one for this account of the machine."""
    monkeypatch.setenv("COATCHECK_STORE", place_of_accounts)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return place_of_accounts


def test_one_url_for_both(cli, add, all_there, monkeypatch):
    """What ends sessions has ended them when it returns; panic changes the secret where it is kept."""
    monkeypatch.setattr("tests.cli.test_postgres.URL", all_there)
    add("root", admin=True)
    add("maria")
    token = asyncio.run(sign_in(all_there, "maria"))
    assert cli("users", "disable", "maria").code == 0
    assert asyncio.run(check(token)) == Refused(Reason.REVOKED)
    token = asyncio.run(sign_in(all_there, "root"))
    assert [one["user"] for one in cli("sessions", "list", "--json").json] == ["root"]
    assert cli("keys", "rotate").code == 0
    ran = cli("panic", "--yes", "--json")
    assert ran.code == 0, ran.err
    assert "/state/coatcheck/secret-" in ran.json["secret_file"] and ran.json["new_secret"] is None
    assert asyncio.run(check(token)) == Refused(Reason.REVOKED)
    assert cli("keys", "rotate").code == 0, "with the new secret"
    assert cli("audit", "--event", "panic", "--json").json[0]["actor"] == "command"


def test_panic_where_the_secret_is_elsewhere(cli, add, all_there, tmp_path, monkeypatch):
    """Other machines keep it, so it is shown."""
    add("root", admin=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    ran = cli("panic", "--yes", "--json")
    assert (ran.json["secret_file"], ran.json["put_it_into"]) == (None, "COATCHECK_SECRET")
    assert len(ran.json["new_secret"]) == 43


def test_where_there_are_no_sessions_nothing_is_made(cli, add, all_there, monkeypatch):
    """Sessions ended in a new, empty schema by mistake would live on where they are."""
    add("root", admin=True)
    wrong = postgres.shared().url(schema="sessions_never_made")
    monkeypatch.setenv("COATCHECK_STORE", wrong)
    for command in ("sessions list", "panic --yes", "keys list", "keys rotate", "users list", "fleet"):
        ran = cli(*command.split(), "--json")
        assert (ran.code, ran.error["code"]) == (2, "no_such_store"), command
    assert postgres.shared().psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'sessions_never_made'") == "0"
