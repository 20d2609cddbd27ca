"""coatcheck users."""

import getpass

import pytest

from coatcheck import Reason, Refused
from coatcheck.server.passwords import Passwords

PASSWORD = "a long passphrase 9"


def test_the_first_account_ends_the_set_up(cli, add, with_database):
    """Somebody locked out, or an installer, needs no code."""
    add("root", admin=True)
    (user,) = cli("users", "list", "--json").json
    assert user["name"] == "root"
    assert user["is_admin"] is True
    assert user["is_disabled"] is False
    assert user["created_at"].endswith("Z")
    assert with_database(lambda database: database.is_set_up())


def test_the_password_is_the_one_that_was_typed(add, with_database):
    """What stdin held, but for the end of the line."""
    add("maria", password=" pässword with spaces ")

    async def hashed(database):
        user = await database.user_named("maria")
        return (await database.user(user.id))[1]

    known = with_database(hashed)
    hasher = Passwords()._hasher
    assert hasher.verify(known, " pässword with spaces ")


def test_add_answers_in_json(cli):
    """One object, and nothing beside it."""
    ran = cli("users", "add", "maria", "--json", "--password-stdin", stdin=PASSWORD + "\r\n")
    assert set(ran.json) == {"id", "name", "is_admin", "is_disabled", "created_at", "password_at"}
    assert ran.err == ""


@pytest.mark.parametrize(
    ("name", "stdin", "expected"),
    [
        ("maria", PASSWORD, (1, "Somebody has that name")),
        ("MARIA", PASSWORD, (1, "Somebody has that name")),
        ("", PASSWORD, (1, "NAME: ")),
        (" bob", PASSWORD, (1, "NAME: ")),
        ("bob\x1b[31m", PASSWORD, (1, "NAME: ")),
        ("bob", "short", (1, "password: ")),
        ("bob", "password1", (1, "among the commonest")),
        ("bob", "", (2, "stdin holds no line")),
        ("bob", b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe", (1, "not UTF-8")),
    ],
)
def test_what_cannot_be_added(cli, add, name, stdin, expected):
    """Each is told in one line that names the field, and nobody was added."""
    add("maria")
    ran = cli("users", "add", name, "--password-stdin", stdin=stdin)
    assert ran.code == expected[0]
    assert expected[1] in ran.err
    assert ran.err.startswith("error: ")
    assert [user["name"] for user in cli("users", "list", "--json").json] == ["maria"]


def test_a_taken_name_is_told_before_the_password_is_asked_for(cli, add, monkeypatch):
    """Nobody types twice for nothing."""
    add("maria")
    monkeypatch.setattr(getpass, "getpass", lambda prompt: pytest.fail("asked"))
    assert cli("users", "add", "maria", is_tty=True).code == 1


def test_the_password_is_asked_for_twice(cli, monkeypatch):
    """At a terminal, unseen; two that differ are refused."""
    typed = iter([PASSWORD, PASSWORD, PASSWORD, "another passphrase"])
    monkeypatch.setattr(getpass, "getpass", lambda prompt: next(typed))
    assert cli("users", "add", "maria", is_tty=True).code == 0
    ran = cli("users", "add", "bob", is_tty=True)
    assert ran.code == 1
    assert "not the same" in ran.err


def test_the_end_of_input_at_the_question(cli, monkeypatch):
    """Ctrl-D is no password."""

    def end(prompt):
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", end)
    ran = cli("users", "add", "maria", is_tty=True)
    assert ran.code == 2
    assert "none was given" in ran.err


def test_without_a_terminal_it_says_which_option(cli):
    """A script does not hang."""
    ran = cli("users", "add", "maria")
    assert ran.code == 2
    assert "--password-stdin" in ran.err


def test_passwd_ends_all_sessions(cli, add, sign_in, check):
    """Whoever knows the old password is out."""
    add("maria")
    _, token = sign_in("maria")
    ran = cli("users", "passwd", "maria", "--password-stdin", stdin="quite another passphrase\n")
    assert ran.code == 0
    assert "quite another" not in ran.out
    assert check(token) == Refused(Reason.REVOKED)
    (entry,) = cli("audit", "--event", "password_reset", "--json").json
    assert (entry["actor"], entry["user"]) == ("command", "maria")


def test_disable_and_enable(cli, add, sign_in, check):
    """Out at once; enabling brings no session back."""
    add("root", admin=True)
    add("maria")
    _, token = sign_in("maria")
    assert cli("users", "disable", "maria", "--json").json["is_disabled"] is True
    assert check(token) == Refused(Reason.REVOKED)
    assert cli("users", "enable", "maria", "--json").json["is_disabled"] is False
    assert check(token) == Refused(Reason.REVOKED)
    assert cli("users", "enable", "maria").code == 0  # once more does no harm
    events = [entry["event"] for entry in cli("audit", "--user", "maria", "--json").json]
    assert events == ["enabled", "disabled", "user_added"]


def test_promote_and_demote_reach_sessions_under_way(cli, add, sign_in, check):
    """The claims say so at the next check."""
    add("root", admin=True)
    add("maria")
    _, token = sign_in("maria")
    assert cli("users", "promote", "maria", "--json").json["is_admin"] is True
    assert list(check(token).claims["roles"]) == ["admin"]
    assert cli("users", "demote", "MARIA").code == 0
    assert list(check(token).claims["roles"]) == []


@pytest.mark.parametrize("command", ["disable", "demote"])
def test_the_last_administrator_stays(cli, add, command):
    """Nobody would be left who can let anybody in."""
    add("root", admin=True)
    ran = cli("users", command, "root", "--json")
    assert ran.code == 1
    assert ran.error["code"] == "last_admin"
    assert ran.out == ""


@pytest.mark.parametrize("command", ["passwd", "disable", "enable", "promote", "demote"])
def test_nobody_has_that_name(cli, add, command):
    """Exit code 1, and what to look at."""
    add("maria")
    ran = cli("users", command, "bob")
    assert ran.code == 1
    assert "nobody is called bob; coatcheck users list" in ran.err


def test_many_accounts_are_listed_page_by_page(cli, add, monkeypatch):
    """None is lost at the seams."""
    monkeypatch.setattr("coatcheck.cli.opened.PAGE", 2)
    add("eve", "bob", "Dan", "carol", "alice")
    names = [user["name"] for user in cli("users", "list", "--json").json]
    assert names == ["alice", "bob", "carol", "Dan", "eve"]


def test_the_list_can_be_read_when_piped(cli, add):
    """Plain columns, no boxes, no colours; times in full."""
    add("root", admin=True)
    ran = cli("users", "list")
    heading, line = ran.out.splitlines()
    assert heading.split() == ["name", "role", "state", "added", "password", "set"]
    assert line.startswith("root  administrator")
    assert ran.out.isascii()
    assert "\x1b" not in ran.out
    assert "Z" in line


def test_an_empty_list_says_what_to_do(cli, with_database):
    """A server that is not set up yet."""

    async def nothing(database):
        pass

    with_database(nothing)
    ran = cli("users", "list", "--store", "sqlite:///coatcheck.db")
    assert ran.code == 0
    assert "users add NAME --admin" in ran.out
    assert cli("users", "list", "--json").json == []
