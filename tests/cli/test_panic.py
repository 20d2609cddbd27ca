"""coatcheck panic."""

import asyncio
import stat
from pathlib import Path

import pytest

from coatcheck import Coatcheck, Reason, Refused
from coatcheck.secret import RootSecret

SECRET = Path("coatcheck.db-secret")
OURS = "A" * 43


@pytest.fixture
def token(add, sign_in):
    """Somebody is signed in."""
    add("root", admin=True)
    return sign_in("root")[1]


def test_everyone_out_and_a_new_secret(cli, token, check):
    """The old secret is in no file any more, the new one is as private, and it is written down."""
    old = SECRET.read_text()
    ran = cli("panic", "--yes", "--json")
    assert ran.code == 0
    assert ran.json["everyone_ended"] is True
    assert ran.json["secret_file"].endswith("coatcheck.db-secret")
    assert ran.json["new_secret"] is None
    new = SECRET.read_text()
    assert new != old
    assert old.strip() not in new
    assert new.strip() not in ran.out
    RootSecret.parse(new, setting="test")
    assert stat.S_IMODE(SECRET.stat().st_mode) == 0o600
    assert check(token) == Refused(Reason.REVOKED)
    assert cli("audit", "--event", "panic", "--json").json[0]["actor"] == "command"


async def test_a_server_that_runs_meanwhile_hinders_none_with_the_new_secret(cli, add):
    """With the secret it holds it makes no key, and so gives no tokens; the next server starts and does."""
    issuer = "https://auth.example.com"
    await asyncio.to_thread(add, "root", admin=True)
    async with Coatcheck("sqlite:///coatcheck.db", issuer=issuer) as running:
        assert (await asyncio.to_thread(cli, "panic", "--yes")).code == 0
        bob = (await running.sign_in("bob")).session
        assert await running.fresh_token(bob, audience="api") == Refused(Reason.UNSURE)
        await running._tokens.upkeep()
        assert await running.fresh_token(bob, audience="api") == Refused(Reason.UNSURE)
        async with Coatcheck("sqlite:///coatcheck.db", issuer=issuer) as restarted:
            assert isinstance(await restarted.fresh_token(bob, audience="api"), str)


def test_what_to_do_next_is_told(cli, token):
    """Restart, passwords; and the new secret is not shown."""
    ran = cli("panic", "--yes")
    assert "Restart every server" in ran.out
    assert "users passwd" in ran.out
    assert SECRET.read_text().strip() not in ran.out


def test_it_is_asked_whether_it_is_meant(cli, token, check):
    """A slip of the finger ends nothing."""
    old = SECRET.read_text()
    assert cli("panic").code == 2
    assert cli("panic", stdin="no\n", is_tty=True).code == 1
    assert SECRET.read_text() == old
    assert not isinstance(check(token), Refused)
    assert cli("panic", stdin="yes\n", is_tty=True).code == 0


def test_an_old_secret_in_a_bad_state_hinders_nothing(cli, token, check):
    """Open to all, or damaged: on such a day that is to be expected."""
    SECRET.chmod(0o644)
    assert cli("panic", "--yes").code == 0
    assert stat.S_IMODE(SECRET.stat().st_mode) == 0o600
    SECRET.write_text("damaged")
    assert cli("panic", "--yes").code == 0
    assert check(token) == Refused(Reason.REVOKED)


def test_a_secret_in_a_variable_is_shown_and_not_changed(cli, token, check, monkeypatch):
    """The command cannot change where it comes from, so it says what goes where."""
    monkeypatch.setenv("COATCHECK_SECRET", OURS)
    old = SECRET.read_text()
    ran = cli("panic", "--yes")
    assert ran.code == 0
    assert "COATCHECK_SECRET" in ran.out
    shown = next(line.strip() for line in ran.out.splitlines() if len(line.strip()) == 43)
    RootSecret.parse(shown, setting="test")
    assert OURS not in ran.out
    assert SECRET.read_text() == old
    document = cli("panic", "--yes", "--json").json
    assert document["put_it_into"] == "COATCHECK_SECRET"
    assert document["secret_file"] is None
    assert document["new_secret"] != shown
    assert check(token) == Refused(Reason.REVOKED)


def test_a_secret_in_a_file_of_somebody(cli, token, monkeypatch):
    """That file is named, and stays as it is."""
    Path("theirs").write_text(OURS)
    monkeypatch.setenv("COATCHECK_SECRET_FILE", "theirs")
    ran = cli("panic", "--yes")
    assert "theirs (COATCHECK_SECRET_FILE)" in ran.out
    assert Path("theirs").read_text() == OURS


def test_a_secret_that_cannot_be_written(cli, token, check, monkeypatch):
    """Everyone is out before; the message says what was done and what was not."""

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("coatcheck.cli.panic.os.write", full)
        ran = cli("panic", "--yes", "--json")
    assert ran.code == 2
    assert ran.error["code"] == "secret_not_written"
    assert "sessions have ended" in ran.error["detail"]
    assert check(token) == Refused(Reason.REVOKED)
    assert [path.name for path in Path().iterdir() if path.name.startswith("coatcheck.db-secret.")] == []


def test_a_linked_secret_stays_a_link(cli, token):
    """Where an operator put it elsewhere, it is written there."""
    SECRET.rename("elsewhere")
    SECRET.symlink_to("elsewhere")
    old = Path("elsewhere").read_text()
    assert cli("panic", "--yes").code == 0
    assert SECRET.is_symlink()
    assert Path("elsewhere").read_text() != old


def test_a_database_that_is_gone(cli, token, check):
    """What matters is done nevertheless, and is said."""
    ran = cli("panic", "--yes", "--database", "sqlite:///no-such.db")
    assert ran.code == 2
    assert "everything was done" in ran.err
    assert "sessions have ended" in ran.out
    assert check(token) == Refused(Reason.REVOKED)
    assert not Path("no-such.db").exists()


def test_a_store_that_is_not_there(cli):
    """Nothing is made, and nobody is told that all is well."""
    ran = cli("panic", "--yes")
    assert ran.code == 2
    assert "--store" in ran.err
    assert list(Path().iterdir()) == []
