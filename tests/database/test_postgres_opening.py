"""What the server's database in PostgreSQL refuses at its opening, and what it says then."""

import asyncio
import importlib
import os
import socket
import sys
from pathlib import Path

import pytest
from tests.servers import postgres
from tests.servers.postgres import PASSWORD

from coatcheck import ConfigError, Forked, StoreUnavailable, StoreUnusable
from coatcheck.clock import SystemClock
from coatcheck.server import database
from coatcheck.server.database import _postgres_schema, from_url, migrate
from coatcheck.server.database.base import Migrated
from coatcheck.server.database.contract._play import make_user
from coatcheck.server.database.postgres import PostgresDatabase
from coatcheck.server.tls import self_signed

LATER = "ALTER TABLE users ADD COLUMN later integer NOT NULL DEFAULT 7"


@pytest.fixture
def _a_later_version(monkeypatch):
    monkeypatch.setattr(_postgres_schema, "MIGRATIONS", (*_postgres_schema.MIGRATIONS, LATER))


def tables(server, schema):
    """The names of what there is in a schema."""
    return server.psql(f"SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('{schema}')").split()


# --- the driver and the URL ---


def test_without_its_driver_it_says_what_to_install(monkeypatch):
    """One line, and the command."""
    for name in [name for name in sys.modules if "_postgres_" in name or name.endswith("database.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    monkeypatch.delattr(database, "postgres", raising=False)
    with pytest.raises(ConfigError, match=r'pip install "coatcheck\[postgres\]"'):
        from_url("postgresql://h/d")
    monkeypatch.undo()
    importlib.import_module("coatcheck.server.database.postgres")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@h/d?schema=",
        "postgresql://u:hunter2@h/d?schema=Capital",
        "postgresql://u:hunter2@h/d?schema=pg_mine",
        "postgresql://u:hunter2@h/d?schema=a-b",
        "postgresql://u:hunter2@h/d?schema=a%22b",
        "postgresql://u:hunter2@h/d?schema=" + "x" * 64,
        "postgresql://u:hunter2@h/d?schema=a&schema=b",
        "postgresql://u:hunter2@h/d?schema",
        "postgresql://u:hunter2#@h/d",
        "postgresql://u:hunter2@x@h/d",
        "postgresql://u:hunter2@[h/d",
        "mysql://u:hunter2@h/d",
    ],
)
def test_a_url_that_names_nothing(url):
    """It is refused before anything is connected; nothing of it is shown."""
    with pytest.raises(ConfigError) as refused:
        from_url(url)
    assert refused.value.setting == "database"
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "rest",
    ["h:99999999/d", "h/d?sslmode=hunter2", "h,,hunter2/d", ".h/d", "h:hunter2/d", "/d?host=h&port=hunter2", "h/d?x=y"],
)
async def test_a_url_that_the_driver_cannot_read(rest):
    """It is told in words of our own, at the opening at the latest."""
    with pytest.raises((ConfigError, StoreUnusable)) as refused:
        await PostgresDatabase(f"postgresql://u:hunter2@{rest}").open()
    assert "hunter2" not in str(refused.value)


def test_it_does_not_show_its_url():
    """It may hold a password."""
    kept = PostgresDatabase("postgresql://u:hunter2@h/d?schema=mine")
    assert repr(kept) == "PostgresDatabase('postgresql://u@h/d?schema=mine')"
    assert "hunter2" not in f"{vars(kept)} {vars(kept._link)} {kept._settings}"


async def test_the_socket_and_the_password_file(server, make, tmp_path, monkeypatch):
    """A password need not be in the URL: PGPASSWORD and ~/.pgpass are known, and the socket needs none."""
    schema = server.url().rpartition("=")[2]
    first = await make(server.url(socket=True, schema=schema))
    await first.add_user(make_user("Maria"), "hash")
    bare = f"postgresql://postgres@127.0.0.1:{server.port}/postgres?schema={schema}"
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert await (await make(bare)).is_set_up()
    monkeypatch.delenv("PGPASSWORD")
    passwords = tmp_path / "pgpass"
    passwords.touch(0o600)
    passwords.write_text(f"127.0.0.1:{server.port}:*:postgres:{PASSWORD}\n")
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    assert await (await make(bare)).is_set_up()
    monkeypatch.setenv("PGPASSFILE", "/nowhere")
    with pytest.raises(StoreUnusable, match="does not let this role in"):
        await make(bare)


# --- servers that cannot be used ---


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("pass-word", "hunter2-word"), "does not let this role in"),
        (("postgres:", "hunter2:"), "does not let this role in"),
        (("/postgres?", "/hunter2?"), "no such database"),
    ],
)
async def test_who_is_refused_is_told_why(server, make, change, said):
    """With what to do, and without what was sent."""
    with pytest.raises(StoreUnusable, match=said) as refused:
        await make(server.url().replace(*change))
    assert "hunter2" not in str(refused.value) and PASSWORD not in str(refused.value)


async def test_nobody_is_there(make):
    """No server, no host, no socket: each is told."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    for where, said in (
        (f"u:hunter2@127.0.0.1:{port}/d", "nobody listens"),
        ("u:hunter2@no.such.host.invalid/d", "the host is not known"),
        ("u:hunter2@/d?host=/no/such/folder", "no such socket"),
    ):
        with pytest.raises(StoreUnavailable, match=said) as refused:
            await make(f"postgresql://{where}")
        assert "hunter2" not in str(refused.value)


async def test_a_database_of_another_encoding_is_refused(server, make):
    """Names would be cut or refused later."""
    server.psql("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    with pytest.raises(StoreUnusable, match="UTF8"):
        await make(server.url(database="latin"))


@pytest.mark.long
async def test_tls(request, make, tmp_path):
    """The certificate that is expected, and no other."""
    own_server = postgres.start("15")  # the one in a wheel knows no TLS
    request.addfinalizer(own_server.close)
    theirs, other = (self_signed(["127.0.0.1"], now=SystemClock().now()) for _ in range(2))
    pem = own_server.put("tls.pem", theirs.decode())
    own_server.configure(ssl="on", ssl_cert_file=f"'{pem}'", ssl_key_file=f"'{pem}'")
    await asyncio.to_thread(own_server.restart, "fast")
    for name, known in (("theirs", theirs), ("other", other)):
        (tmp_path / name).write_bytes(known)
    opened = await make(own_server.url(sslmode="verify-full", sslrootcert=str(tmp_path / "theirs")))
    assert (await opened._one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))[0]
    with pytest.raises(StoreUnavailable, match=r"certificate|TLS"):
        await make(own_server.url(sslmode="verify-full", sslrootcert=str(tmp_path / "other")))


# --- what is there, and what is made ---


async def test_where_there_must_be_something_nothing_is_made(server, make):
    """Sessions ended in a new, empty schema by mistake would live on where they are."""
    url = server.url(schema="never_made")
    with pytest.raises(StoreUnusable, match="name the database that the server uses"):
        await make(url, may_be_new=False)
    assert tables(server, "never_made") == []
    await make(url)
    await make(url, may_be_new=False)


@pytest.mark.usefixtures("_a_later_version")
async def test_a_later_schema_is_refused(server, make, monkeypatch):
    """By an older version of ours, which leaves it alone: to open and to migrate."""
    url = server.url()
    await make(url)
    monkeypatch.undo()
    for attempt in (make(url), migrate(url)):
        with pytest.raises(StoreUnusable, match="has version 2, this version of Coatcheck knows 1; upgrade"):
            await attempt


async def test_an_older_schema_is_changed_by_migrate_alone(server, make, request):
    """A new version that is started somewhere leaves it as it is, for those that still run."""
    url = server.url(schema="older")
    first = await make(url)
    await first.add_user(make_user("Maria"), "hash")
    request.getfixturevalue("_a_later_version")
    for may_be_new in (True, False):
        with pytest.raises(StoreUnusable, match="coatcheck migrate"):
            await make(url, may_be_new=may_be_new)
    assert server.psql("SELECT schema FROM older.server") == "1"
    assert await migrate(url) == Migrated(1, 2)
    assert await migrate(url) == Migrated(2, 2)
    second = await make(url)
    assert await second.user("id of Maria") == (make_user("Maria"), "hash")
    assert server.psql("SELECT later FROM older.users") == "7"


async def test_who_makes_the_tables_changes_none(server, make, request):
    """Others, of an older version, may have made them since we looked."""
    url = server.url(schema="overtaken")
    await make(url)
    request.getfixturevalue("_a_later_version")
    async with PostgresDatabase(url)._link.alone(wait_s=5) as lane:
        assert await _postgres_schema.bring_up(lane, "overtaken", only_new=True) == Migrated(1, 1)
    assert server.psql("SELECT schema FROM overtaken.server") == "1"


async def test_migrate_makes_what_is_not_there(server, make, tmp_path):
    """By the role that may; and in a file."""
    assert await migrate(server.url(schema="by_hand")) == Migrated(0, 1)
    await make(server.url(schema="by_hand"), may_be_new=False)
    file = f"sqlite:///{tmp_path}/made.db"
    made = await migrate(file)
    assert made.before == 0 and await migrate(file) == Migrated(made.after, made.after)


async def test_a_migration_that_fails_changes_nothing(server, make, monkeypatch):
    """One transaction: all of it, or nothing."""
    url = server.url(schema="half")
    await make(url)
    steps = (*_postgres_schema.MIGRATIONS, LATER, "ALTER TABLE nowhere ADD COLUMN x integer")
    monkeypatch.setattr(_postgres_schema, "MIGRATIONS", steps)
    with pytest.raises(StoreUnavailable):
        await migrate(url)
    assert server.psql("SELECT schema FROM half.server") == "1"
    monkeypatch.undo()
    await (await make(url)).add_user(make_user("Maria"), "hash")
    assert "later" not in server.psql("SELECT row_to_json(users) FROM half.users")


async def test_the_rights_that_the_page_names_are_enough(server, make):
    """One role owns the tables, another works with them and can change none."""
    schema = server.url().rpartition("=")[2]
    page = (Path(__file__).parents[2] / "docs/how-to/postgresql.md").read_text()
    statements = page.partition("<!-- rights -->")[2].partition("```sql")[2].partition("```")[0]
    assert "GRANT" in statements
    server.psql(f"CREATE ROLE own_{schema} LOGIN PASSWORD 'x'; CREATE ROLE work_{schema} LOGIN PASSWORD 'x'")
    server.psql(f"GRANT CREATE ON DATABASE postgres TO own_{schema}")
    where = f"x@127.0.0.1:{server.port}/postgres?schema={schema}"
    with pytest.raises(StoreUnusable, match="lacks a right"):
        await make(f"postgresql://work_{schema}:{where}")
    assert await migrate(f"postgresql://own_{schema}:{where}") == Migrated(0, 1)
    with pytest.raises(StoreUnusable, match="lacks a right"):
        await make(f"postgresql://work_{schema}:{where}")
    server.psql(statements.replace("coatcheck_server", schema).replace("coatcheck_app", f"work_{schema}"))
    works = await make(f"postgresql://work_{schema}:{where}")
    await works.add_user(make_user("Maria"), "hash")
    await works.change_user("id of Maria", is_admin=True)
    await works.sweep(now=1, audit_s=1, limit=1)
    with pytest.raises(StoreUnavailable, match="lacks a right"):
        await works._do(f"ALTER TABLE {works.s}.users ADD COLUMN x integer")


async def test_it_is_not_used_after_a_fork(server, make):
    """Two processes would write into one connection."""
    opened = await make(server.url())
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            opened.is_set_up().send(None)
        except Forked:
            os.write(writing, b"refused")
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"refused"
    os.close(reading)


async def test_passwords_are_in_no_log(server, make, caplog):
    """Whatever fails."""
    caplog.set_level("DEBUG")
    opened = await make(server.url())
    with pytest.raises(StoreUnavailable) as failed:
        await opened.trail(before=2**70, limit=1)
    assert str(2**70) not in str(failed.value) and failed.value.__cause__ is None
    assert failed.value.__suppress_context__
    assert PASSWORD not in caplog.text
