"""coatcheck doctor on our own installation, in files."""

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
from tests.doctor import site as sites


def ids(document, status="failed"):
    """The checks of that status."""
    return [one["id"] for part in document["looked_at"] for one in part["checks"] if one["status"] == status]


def test_our_own_installation(cli, add, place):
    """What a first start has made passes, and nothing is made or changed by looking."""
    add("maria")
    before = {path.name: path.read_bytes() for path in place.iterdir() if not path.name.endswith(("-shm", "-wal"))}
    document = cli("doctor", "--json").json
    assert ids(document) == []
    assert {"file-modes", "folder-modes", "migrations", "store-usable", "sweep-running", "secret-usable"} <= set(
        ids(document, "passed")
    )
    after = {path.name: path.read_bytes() for path in place.iterdir() if not path.name.endswith(("-shm", "-wal"))}
    assert after.keys() == before.keys()
    assert after["coatcheck.db-secret"] == before["coatcheck.db-secret"]


def test_a_site_and_our_own(cli, add):
    """Both are looked at when both are named."""
    add("maria")
    with sites.served() as site:
        document = cli("doctor", site.url, "--store", "sqlite:///coatcheck.db", "--json").json
        assert [part["target"] for part in document["looked_at"]] == [site.url, "our installation"]
        assert len(cli("doctor", site.url, "--json").json["looked_at"]) == 1


@pytest.mark.parametrize("name", ["coatcheck.db", "coatcheck.db-secret"])
def test_a_file_that_others_may_read(cli, add, place, name):
    """Is told; the store is not opened, and nothing is said twice."""
    add("maria")
    (place / name).chmod(0o644)
    ran = cli("doctor", "--json")
    assert ids(ran.json) == ["file-modes"]
    assert cli("doctor").err == "error: 1 check found something; the worst is high\n"


def test_a_folder_that_others_may_write_to(cli, add, place):
    """Is told; a sticky one is not."""
    add("maria")
    place.chmod(0o777)
    assert ids(cli("doctor", "--json").json) == ["folder-modes"]
    place.chmod(0o1777)
    assert ids(cli("doctor", "--json").json) == []


@pytest.mark.parametrize(
    ("what", "older", "newest"),
    [
        ("sessions", "PRAGMA user_version = 3", "PRAGMA user_version"),
        ("accounts", "UPDATE server SET schema = 2", "SELECT schema FROM server"),
    ],
)
def test_tables_of_an_earlier_version(cli, add, what, older, newest):
    """Are told, and are not brought up to date by looking."""
    add("maria")
    with contextlib.closing(sqlite3.connect("coatcheck.db")) as connection, connection:
        connection.execute(older)
        before = connection.execute(newest).fetchone()
    found = cli("doctor", "--json").json
    (told,) = [one for one in found["looked_at"][0]["checks"] if one["status"] == "failed"]
    assert told["id"] == "migrations" and what in told["seen"][0]
    with contextlib.closing(sqlite3.connect("coatcheck.db")) as connection, connection:
        assert connection.execute(newest).fetchone() == before


def test_tables_of_a_later_version(cli, add):
    """No server of this version starts on them; that is told in the words that it would use."""
    add("maria")
    with contextlib.closing(sqlite3.connect("coatcheck.db")) as connection, connection:
        connection.execute("PRAGMA user_version = 99")
    ran = cli("doctor", "--json")
    assert ids(ran.json) == ["store-usable"]
    assert "upgrade Coatcheck" in ran.out


def test_sessions_that_nobody_swept(cli, add, sign_in):
    """What was over for days and is there still is told."""
    add("maria")
    sign_in("maria")
    with contextlib.closing(sqlite3.connect("coatcheck.db")) as connection, connection:
        connection.execute("UPDATE sessions SET expires_at = 1000, seen_at = 900")
    assert ids(cli("doctor", "--json").json) == ["sweep-running"]
    assert cli("sweep").code == 0
    assert ids(cli("doctor", "--json").json) == []


def test_a_key_that_signs_for_ever(cli, add, with_keys):
    """A key without a successor is told, a day after it should have had one at the latest."""
    with_keys()
    assert "key-schedule" in ids(cli("doctor", "--json").json, "passed")
    with contextlib.closing(sqlite3.connect("coatcheck.db")) as connection, connection:
        connection.execute("UPDATE keys SET signs_from = signs_from - 40 * 86400")
    assert ids(cli("doctor", "--json").json) == ["key-schedule"]


@pytest.fixture
def with_keys(cli, add):
    """Make an account, and a signing key."""

    def make():
        add("maria")
        assert cli("keys", "rotate").code == 0

    return make


def test_another_secret_than_the_servers(cli, with_keys, monkeypatch):
    """Is told before a server starts with it; so is one that was declared lost, an older value, and a broken one."""
    with_keys()
    monkeypatch.setenv("COATCHECK_SECRET", "B" * 43)
    assert ids(cli("doctor", "--json").json) == ["secret-fits"]
    old = Path("coatcheck.db-secret").read_text().strip()
    monkeypatch.setenv("COATCHECK_SECRET", f"{old} {'B' * 43}")
    assert ids(cli("doctor", "--json").json) == ["secret-old"]
    monkeypatch.setenv("COATCHECK_SECRET", "hidden")
    ran = cli("doctor", "--json")
    assert ids(ran.json) == ["secret-usable"]
    assert "hidden" not in ran.out + ran.err
    monkeypatch.delenv("COATCHECK_SECRET")
    assert cli("keys", "reset", "--secret-lost", "--yes").code == 0
    assert ids(cli("doctor", "--json").json) == ["secret-lost"]


def test_sessions_beyond_the_policy(cli, add, sign_in):
    """Sessions of the everyday policy are more than the careful one allows, and that is asked for."""
    add("maria")
    sign_in("maria")
    assert ids(cli("doctor", "--json").json) == []
    assert "policy" in ids(cli("doctor", "--policy", "everyday", "--json").json, "passed")
    assert ids(cli("doctor", "--policy", "careful", "--json").json) == ["policy"]


def test_a_file_that_is_no_store(cli, place):
    """Exit code 2, or a finding: never a traceback, and the file stays."""
    Path("coatcheck.db").write_bytes(b"something else" * 100)
    Path("coatcheck.db").chmod(0o600)
    assert cli("doctor").code in (1, 2)
    assert Path("coatcheck.db").read_bytes() == b"something else" * 100


def test_json_is_one_document(cli, add):
    """Each check has the same members."""
    add("maria")
    document = json.loads(cli("doctor", "--json").out)
    members = {"id", "level", "status", "asvs", "seen", "why", "fix"}
    assert all(set(one) == members for part in document["looked_at"] for one in part["checks"])
