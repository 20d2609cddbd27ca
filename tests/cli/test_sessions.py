"""coatcheck sessions."""

import asyncio
import sys

import pytest

from coatcheck import Coatcheck, Device, Reason, Refused
from coatcheck.server.database import from_url

URL = "sqlite:///coatcheck.db"
NO_SUCH = "awUFOp88M2Mj0gyINfJ3Q-aKLJ8"


def test_everybodys_sessions_are_listed(cli, add, sign_in):
    """By account, with where and when."""
    add("maria", "bob")
    first, second = sign_in("maria")[0], sign_in("bob", "Safari", "2001:db8::1")[0]
    found = cli("sessions", "list", "--json").json
    assert [entry["user"] for entry in found] == ["bob", "maria"]
    assert [entry["sid"] for entry in found] == [second.sid, first.sid]
    assert set(found[0]) == {
        "sid",
        "user",
        "user_id",
        "ip",
        "user_agent",
        "seen_at",
        "created_at",
        "expires_at",
    }
    assert found[0]["ip"] == "2001:db8::1"
    (only,) = cli("sessions", "list", "--user", "MARIA", "--json").json
    assert only["sid"] == first.sid
    assert first.sid in cli("sessions", "list").out


def test_nobody_is_signed_in(cli, add):
    """Told, and an empty list in JSON."""
    add("maria")
    assert cli("sessions", "list").out == "Nobody is signed in.\n"
    assert cli("sessions", "list", "--json").json == []


def test_no_token_is_shown(cli, add, sign_in):
    """There is none to show, and the digest stays inside too."""
    add("maria")
    _, token = sign_in("maria")
    for args in (("sessions", "list"), ("sessions", "list", "--json"), ("audit", "--json"), ("users", "list")):
        assert token not in cli(*args).out


def test_one_session_ends(cli, add, sign_in, check):
    """That one, and no other."""
    add("maria")
    session, token = sign_in("maria")
    _, other = sign_in("maria")
    ran = cli("sessions", "revoke", session.sid)
    assert (ran.code, ran.out) == (0, "That session has ended.\n")
    assert check(token) == Refused(Reason.REVOKED)
    assert not isinstance(check(other), Refused)
    (entry,) = cli("audit", "--event", "session_ended", "--json").json
    assert (entry["sid"], entry["actor"]) == (session.sid, "command")


def test_a_session_that_there_is_not(cli, add):
    """What was wanted is so; it is told apart, and leaves no trace in the audit trail."""
    add("maria")
    ran = cli("sessions", "revoke", NO_SUCH, "--json")
    assert (ran.code, ran.json) == (0, {"sid": NO_SUCH, "was_live": False})
    assert cli("audit", "--event", "session_ended", "--json").json == []


def test_a_sid_that_is_none(cli, add):
    """Mistyped, or a token by mistake: that is not repeated."""
    add("maria")
    ran = cli("sessions", "revoke", "not-a-sid-but-perhaps-a-token", "--json")
    assert ran.code == 2
    assert ran.error["code"] == "invalid_input"
    assert "perhaps" not in ran.err


def test_all_of_an_account(cli, add, sign_in, check):
    """How many is told; others stay."""
    add("maria", "bob")
    tokens = [sign_in("maria")[1] for _ in range(3)]
    _, other = sign_in("bob")
    assert cli("sessions", "revoke", "--user", "maria", "--json").json["ended"] == 3
    assert [check(token) for token in tokens] == [Refused(Reason.REVOKED)] * 3
    assert not isinstance(check(other), Refused)
    (entry,) = cli("audit", "--event", "session_ended", "--user", "maria", "--json").json
    assert entry["detail"] == {"all": "all"}
    assert cli("sessions", "revoke", "--user", "nobody").code == 1


def test_everyone(cli, add, sign_in, check):
    """All of them."""
    add("maria", "bob")
    tokens = [sign_in("maria")[1], sign_in("bob")[1]]
    assert cli("sessions", "revoke", "--everyone", "--json").json == {"everyone": True}
    assert all(isinstance(check(token), Refused) for token in tokens)
    assert len(cli("audit", "--event", "everyone_ended", "--json").json) == 1


@pytest.mark.parametrize(
    "args", [(), (NO_SUCH, "--everyone"), ("--user", "maria", "--everyone"), (NO_SUCH, "--user", "maria")]
)
def test_one_of_three(cli, add, sign_in, check, args):
    """What is said twice, or not at all, ends nothing."""
    add("maria")
    _, token = sign_in("maria")
    assert cli("sessions", "revoke", *args).code == 2
    assert not isinstance(check(token), Refused)


async def test_a_running_server_refuses_at_once(cli_ready):
    """The command is another process, and when it has ended the server's memory knows."""
    user = cli_ready
    async with Coatcheck(URL) as auth:
        signed_in = await auth.sign_in(user.id, device=Device())
        token = signed_in.token.reveal()
        assert not isinstance(auth.check_now(token), Refused)
        command = [sys.executable, "-m", "coatcheck.cli", "sessions", "revoke", signed_in.session.sid]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        assert (process.returncode, out) == (0, b"That session has ended.\n")
        assert await auth.check(token) == Refused(Reason.REVOKED)


@pytest.fixture
async def cli_ready(place):
    """An account, made without the command."""
    from coatcheck.server.database.base import User

    user = User(id="U" * 22, name="maria", created_at=1, password_at=1)
    database = from_url(URL)
    await database.open()
    await database.add_user(user, "no hash")
    await database.close()
    return user
