"""What all commands have in common: help, exit codes, errors, terminals, Ctrl-C."""

import json
import os
import pty
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from coatcheck import Refused
from coatcheck import cli as package
from coatcheck.cli import app, main, output

ROOT = Path(__file__).parent.parent.parent
COMMANDS = [
    ("serve",),
    ("users", "add"),
    ("users", "list"),
    ("users", "passwd"),
    ("users", "disable"),
    ("users", "enable"),
    ("users", "promote"),
    ("users", "demote"),
    ("sessions", "list"),
    ("sessions", "revoke"),
    ("clients", "add"),
    ("clients", "list"),
    ("clients", "rotate-secret"),
    ("clients", "disable"),
    ("keys", "list"),
    ("keys", "rotate"),
    ("keys", "revoke"),
    ("keys", "reset"),
    ("token", "decode"),
    ("token", "verify"),
    ("choose",),
    ("tools",),
    ("fleet",),
    ("migrate",),
    ("audit",),
    ("compare",),
    ("doctor",),
    ("sweep",),
    ("backup",),
    ("restore",),
    ("panic",),
]
WITHOUT_STORE = (("choose",), ("token", "decode"), ("tools",))
WITHOUT_DATABASE = (*WITHOUT_STORE, ("compare",), ("fleet",), ("keys", "list"), ("token", "verify"))
ON_A_STORE = {
    "users list": (),
    "users passwd": ("x",),
    "users disable": ("x",),
    "sessions list": (),
    "sessions revoke": ("--everyone",),
    "clients add": ("x", "--audience", "y"),
    "clients list": (),
    "clients rotate-secret": ("x",),
    "clients disable": ("x",),
    "keys list": (),
    "keys rotate": (),
    "keys revoke": ("x",),
    "keys reset": ("--secret-lost", "--yes"),
    "token verify": ("--issuer", "https://auth.example.com", "--audience", "x"),
    "fleet": (),
    "audit": (),
    "doctor": (),
    "sweep": (),
    "backup": ("file",),
    "panic": ("--yes",),
}


def every_command(group, path=()):
    """The commands that there are."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, (*path, name))
        else:
            yield (*path, name)


def test_no_command_is_forgotten_here():
    """A new one is tested and documented like the others."""
    assert sorted(every_command(typer.main.get_command(app.app))) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_a_sentence_and_examples(command):
    """And names the options that all have."""
    ran = CliRunner().invoke(app.app, [*command, "--help"], prog_name="coatcheck")
    assert ran.exit_code == 0
    assert "Examples:" in ran.output
    assert f"coatcheck {' '.join(command)}" in ran.output.partition("Examples:")[2]
    sentence = ran.output.splitlines()[2].strip()
    assert sentence[0].isupper()
    assert command in WITHOUT_STORE or "--store" in ran.output
    assert command in WITHOUT_DATABASE or "COATCHECK_DATABASE" in ran.output
    assert command == ("serve",) or "--json" in ran.output


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_option_is_documented(command):
    """The reference names each command, each option and each example's command."""
    page = (ROOT / "docs" / "reference" / "command.md").read_text()
    found = typer.main.get_command(app.app)
    for name in command:
        found = found.commands[name]
    assert f"coatcheck {' '.join(command)}" in page
    options = [option for parameter in found.params for option in parameter.opts if option.startswith("--")]
    assert [option for option in options if f"`{option}" not in page] == []


def test_the_entry_point_is_the_command():
    """What is installed as `coatcheck`."""
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"] == {
        "coatcheck": "coatcheck.cli:main"
    }


@pytest.mark.parametrize("args", [(), ("users",), ("sessions",), ("clients",), ("keys",), ("token",)])
def test_nothing_to_do_shows_the_help(capsys, args):
    """On stderr, with the exit code of wrong usage."""
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Commands:" in err


@pytest.mark.parametrize("args", [("no-such",), ("users", "no-such"), ("--no-such",), ("users", "add"), ("backup",)])
def test_wrong_usage(cli, args):
    """One line, with the help to read."""
    ran = cli(*args)
    assert (ran.code, ran.out) == (2, "")
    assert "--help" in ran.err
    assert cli(*args, "--json").error["code"] == "usage"


@pytest.mark.parametrize("command", ON_A_STORE, ids=str)
def test_a_file_that_is_not_there_is_not_made(cli, place, command):
    """Nothing that was ended or listed in an empty file by mistake passes for done."""
    ran = cli(*command.split(), *ON_A_STORE[command], "--json")
    assert ran.code == 2
    assert ran.error["code"] == "no_such_file"
    assert "--store" in ran.error["detail"]
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("command", ON_A_STORE, ids=str)
def test_a_store_in_memory_is_out_of_reach(cli, command):
    """It is in another process; said instead of done to an empty one."""
    ran = cli(*command.split(), *ON_A_STORE[command], "--store", "memory://")
    assert ran.code == 2
    assert "--store: memory://" in ran.err


@pytest.mark.parametrize(
    ("option", "url"),
    [
        ("--store", "nonsense"),
        ("--store", "sqlite://one-slash"),
        ("--store", "mysql://user:hidden@host/db"),
        ("--store", "postgresql://user:hidden@host/db?nonsense=1"),
        ("--database", "mysql://user:hidden@host/db"),
        ("--database", "postgresql://user:hidden@host:x/db"),
        ("--database", "postgresql://user:hid#den@host/db"),
        ("--database", "postgresql://user:hidden@host/db?schema=A"),
        ("--database", "sqlite:///"),
    ],
)
def test_urls_that_name_nothing(cli, add, option, url):
    """The option is named; what might be a password is not shown."""
    add("maria")
    ran = cli("users", "list", option, url)
    assert ran.code == 2
    assert ran.err.startswith(f"error: {option}: ")
    assert "hid" not in ran.err


def test_a_file_that_is_not_ours(cli, place):
    """Left alone."""
    Path("coatcheck.db").write_bytes(b"something else" * 100)
    before = Path("coatcheck.db").read_bytes()
    assert cli("users", "list").code == 2
    assert Path("coatcheck.db").read_bytes() == before


def test_hostile_names_in_errors(cli, add):
    """What was typed is repeated without what would steer a terminal."""
    add("maria")
    ran = cli("users", "disable", "\x1b[2J[red]x[/red]\nnext")
    assert ran.code == 1
    assert ran.err.startswith(r"error: NAME: nobody is called \x1b[2J[red]x[/red]\nnext;")


def test_a_fault_of_ours_is_one_line(cli, add, monkeypatch):
    """Its kind only: its text might hold anything. COATCHECK_DEBUG shows it."""
    add("maria")

    def fail(*args):
        raise ZeroDivisionError("hidden")

    monkeypatch.setattr("coatcheck.cli.users.document", fail)
    ran = cli("users", "list", "--json")
    assert (ran.code, ran.error["code"]) == (2, "fault")
    assert "hidden" not in ran.err
    monkeypatch.setenv("COATCHECK_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["users", "list"])


def test_a_missing_package_is_named(monkeypatch, capsys):
    """The library alone does not bring what the command needs."""
    for name in [name for name in sys.modules if name.startswith("coatcheck.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "typer", None)
    for name in vars(package).copy():
        if hasattr(package, name) and f"coatcheck.cli.{name}" in sys.modules:
            monkeypatch.delattr(package, name)
    assert main(["--version"]) == 2
    assert "pip install 'coatcheck[server]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("maria", "maria"),
        ("Ünal 東京", "Ünal 東京"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\r\nb\x7f\x9b", r"a\r\nb\x7f\x9b"),
        ("\u202eevil\u200b", r"\u202eevil\u200b"),
        ("\udc80", r"\udc80"),
    ],
)
def test_text_that_could_steer_a_terminal_is_escaped(text, expected):
    """Controls, line ends, bidi marks, what is invisible, what is broken."""
    assert output.shown(text) == expected


@pytest.mark.parametrize(
    ("ago_s", "expected"),
    [
        (0, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (7200, "2 hours ago"),
        (86400 * 3, "3 days ago"),
        (86400 * 400, "1 year ago"),
        (-3600, "in 1 hour"),
    ],
)
def test_times_as_people_say_them(ago_s, expected):
    """One unit is enough."""
    assert output.relative(10**9 - ago_s, 10**9) == expected


# --- as a program ---


def test_the_program(program, place):
    """Exit codes, streams and a password from a pipe, without a terminal."""
    ran = program("--version")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.startswith(b"coatcheck ")
    ran = program("users", "add", "root", "--admin", "--password-stdin", stdin=b"a long passphrase 9\n")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"root can sign in now.\n", b"")
    ran = program("users", "demote", "root", "--json")
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert json.loads(ran.stderr)["error"]["code"] == "last_admin"
    ran = program("sessions", "revoke", "--everyone", env={"FORCE_COLOR": "1"})
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"Everybody's sessions have ended.\n", b"")


def test_a_reader_that_has_gone(program, with_database, place):
    """As with head: no traceback, no complaint."""

    async def nothing(database):
        pass

    with_database(nothing)
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "coatcheck.cli", "users", "list"]
    ran = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=60)
    os.close(write)
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_an_output_that_cannot_be_written(with_database, place):
    """What did not get there is told."""

    async def nothing(database):
        pass

    with_database(nothing)
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "coatcheck.cli", "users", "list"]
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert ran.returncode == 2
    assert ran.stderr.startswith(b"error: stdout: ")


def test_ctrl_c_at_the_question(place):
    """Exit code 130, one line, and nobody was added."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "coatcheck.cli", "users", "add", "maria"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(theirs)
    asked = b""
    while b"New password of maria:" not in asked:
        asked += os.read(process.stderr.fileno(), 1024)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 130
    assert out == b""
    assert err.strip() == b"error: interrupted"


def on_a_terminal(*args, env=None):
    """Run the command with a terminal as stdout; return what appears there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "coatcheck.cli", *args],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "160", **(env or {})},
    )
    os.close(theirs)
    text = b""
    try:
        while piece := os.read(ours, 65536):
            text += piece
    except OSError:
        pass  # Linux says so when the other side is closed
    os.close(ours)
    process.wait(timeout=60)
    return text.decode()


def test_on_a_terminal(add, sign_in):
    """Colours, relative times; nothing hostile gets through, markup is text."""
    add("[red]maria")
    session, _ = sign_in("[red]maria", agent="\x1b[2J[bold]Fox[/bold]\x07")
    text = on_a_terminal("sessions", "list")
    assert "\x1b[1m" in text
    assert "\x1b[2J" not in text
    assert "\x07" not in text
    assert r"\x1b[2J[bold]Fox[/bold]\x07" in text
    assert "[red]maria" in text
    assert "just now" in text
    assert session.sid in text
    plain = on_a_terminal("users", "list", env={"NO_COLOR": "1"})
    assert "[red]maria" in plain
    assert "\x1b[3" not in plain


def test_json_on_a_terminal_is_json(add):
    """Nothing is laid out for people."""
    add("maria")
    (user,) = json.loads(on_a_terminal("users", "list", "--json"))
    assert user["name"] == "maria"


def test_progress_on_a_terminal_only(monkeypatch, capsys):
    """Few rows, a pipe or --json: nothing is drawn."""
    quiet = output.Output(as_json=False, now=0)
    with quiet.progress("Writing", 10_000) as advance:
        advance(1000)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    loud = output.Output(as_json=False, now=0)
    with loud.progress("Writing", 10) as advance:
        advance(10)
    assert capsys.readouterr().err == ""
    with loud.progress("Writing", 10_000) as advance:
        advance(10_000)
    out, err = capsys.readouterr()
    assert out == ""
    assert "Writing" in err


def test_a_command_without_a_password_makes_no_hash(cli, add, monkeypatch):
    """It takes as long as a sign-in."""
    add("maria")
    monkeypatch.setattr("coatcheck.cli.opened.make_passwords", lambda: pytest.fail("made"))
    assert cli("users", "list").code == 0
    assert cli("users", "promote", "maria").code == 0


def test_what_is_no_text(cli, add):
    """Bytes of a shell that are no UTF-8 are told like any mistake."""
    add("maria")
    for args in (("users", "disable", "\udcff"), ("users", "add", "\udcff"), ("audit", "--user", "\udcff")):
        ran = cli(*args)
        assert ran.code == 1
        assert ran.err.startswith("error: NAME: ")


def test_a_locale_that_cannot_write_a_name(program, add):
    """It is shown as well as can be."""
    add("Ünal")
    ran = program("users", "list", env={"PYTHONIOENCODING": "ascii"})
    assert ran.returncode == 0
    assert rb"\xdcnal" in ran.stdout


def test_hostile_file_names_in_errors(cli, add):
    """From wherever a text comes, the line it ends up in is one line of plain text."""
    add("maria")
    for args in (("restore", "\x1b[2J\n"), ("backup", "no/\x1b[2J\nsuch"), ("users", "\x1b[2J\n"), ("--\x1b[2J",)):
        ran = cli(*args)
        assert ran.code in (1, 2)
        assert ran.err.endswith("\n")
        assert ran.err[:-1].isprintable()


def test_what_somebody_left_undone_is_done(cli, add, sign_in, check, with_database):
    """A process that died between the account and its sessions: whoever comes next ends them."""
    add("root", admin=True)
    add("maria")
    _, token = sign_in("maria")

    async def die_between(database):
        user = await database.user_named("maria")
        await database.change_user(user.id, is_disabled=True)

    with_database(die_between)
    assert not isinstance(check(token), Refused)
    assert cli("users", "list").code == 0
    assert isinstance(check(token), Refused)
