"""coatcheck backup and coatcheck restore."""

import hashlib
import json
import stat
from pathlib import Path

import pytest

from coatcheck import Reason, Refused, StoreUnusable
from coatcheck.server import backup as files
from coatcheck.server.database.base import Entry, Event, Table
from coatcheck.server.database.sqlite import SQLiteDatabase

PASSWORD = "a long passphrase 9"


def exported(with_database):
    """Everything that belongs into a backup."""
    return with_database(lambda database: database.export())


def signed(lines):
    """A whole file of these lines."""
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    trailer = {"rows": len(lines) - 1, "sha256": hashlib.sha256(body).hexdigest()}
    return body + json.dumps(trailer, separators=(",", ":")).encode() + b"\n"


@pytest.fixture
def people(add):
    """An administrator and somebody else."""
    add("root", admin=True)
    add("maria")


@pytest.fixture
def kept(cli, people):
    """A backup of them."""
    ran = cli("backup", "kept.backup", "--json")
    assert ran.code == 0
    assert ran.json["rows"] == 4
    return Path("kept.backup")


def test_there_and_back(cli, kept, with_database):
    """On a new machine everything is as it was, and one entry tells of it."""
    before = exported(with_database)
    elsewhere = "sqlite:///elsewhere.db"
    ran = cli("restore", kept, "--yes", "--store", elsewhere, "--database", elsewhere, "--json")
    assert (ran.code, ran.json["rows"], ran.json["accounts"]) == (0, 4, 2)

    async def look(_):
        database = SQLiteDatabase("elsewhere.db")
        await database.open()
        try:
            return await database.export(), await database.is_set_up()
        finally:
            await database.close()

    after, is_set_up = with_database(look)
    assert is_set_up
    assert after[0] == before[0]
    assert after[1].rows[:-1] == before[1].rows
    assert Event.RESTORED in after[1].rows[-1]


def test_the_file_is_whole_private_and_of_one_piece(kept, place):
    """Mode 0600, no draft beside it, plain lines, no control characters."""
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [path.name for path in place.iterdir() if "backup" in path.name] == ["kept.backup"]
    text = kept.read_bytes()
    assert text.isascii()
    header = json.loads(text.splitlines()[0])
    assert header["coatcheck_backup"] == 1
    assert header["tables"]["users"][:2] == ["id", "name"]


def test_no_session_is_in_it(cli, people, sign_in):
    """Nor a token, nor its digest, nor the secret."""
    session, token = sign_in("maria")
    assert cli("backup", "kept.backup").code == 0
    text = Path("kept.backup").read_text()
    digest = hashlib.sha256(token.encode())
    for hidden in (session.sid, token, digest.hexdigest(), Path("coatcheck.db-secret").read_text().strip(), PASSWORD):
        assert hidden not in text


def test_a_file_that_is_there_stays(cli, kept):
    """Unless --force says so; a link is not followed."""
    before = kept.read_bytes()
    ran = cli("backup", kept)
    assert ran.code == 1
    assert "--force" in ran.err
    assert kept.read_bytes() == before
    Path("link").symlink_to("nowhere")
    assert cli("backup", "link").code == 1
    assert not Path("nowhere").exists()
    assert cli("backup", kept, "--force").code == 0


def test_a_folder_that_is_not_there(cli, people):
    """One line, and the path."""
    ran = cli("backup", "no/such/folder/file")
    assert ran.code == 1
    assert "No such file or directory" in ran.err


def test_restore_brings_no_session_back(cli, kept, sign_in, check):
    """Who signed in before, or since, signs in again."""
    tokens = [sign_in("maria")[1], sign_in("root")[1]]
    assert cli("restore", kept, "--yes").code == 0
    assert [check(token) for token in tokens] == [Refused(Reason.REVOKED)] * 2
    assert cli("sessions", "list", "--json").json == []
    assert cli("audit", "--event", "restored", "--json").json[0]["actor"] == "command"


def test_restore_brings_nobody_back(cli, add, people, with_database):
    """Disabled, demoted, or with a new password since the backup: that stays. Who came since is gone."""
    add("eve", "second", admin=True)
    cli("backup", "kept.backup")
    cli("users", "disable", "maria")
    cli("users", "demote", "eve")
    cli("users", "enable", "eve")
    add("later")
    password = "UPDATE users SET password = 'newer', password_at = password_at + 5 WHERE name = 'root'"
    with_database(lambda database: database._run(lambda: database._do(password)))
    assert cli("restore", "kept.backup", "--yes").code == 0
    users = {user["name"]: user for user in cli("users", "list", "--json").json}
    assert sorted(users) == ["eve", "maria", "root", "second"]
    assert users["maria"]["is_disabled"] is True
    assert users["eve"]["is_admin"] is False
    assert users["root"]["is_admin"] is True
    assert "newer" in [row[3] for row in exported(with_database)[0].rows]


def test_as_it_was(cli, people, with_database):
    """Asked for, the backup is taken as it is."""
    cli("backup", "kept.backup")
    before = exported(with_database)
    cli("users", "disable", "maria")
    cli("users", "passwd", "root", "--password-stdin", stdin="quite another passphrase\n")
    assert cli("restore", "kept.backup", "--yes", "--as-it-was").code == 0
    assert exported(with_database)[0] == before[0]


def test_somebody_must_be_left(cli, add, kept):
    """All administrators of the backup were disabled since: nothing is replaced, unless --as-it-was."""
    add("boss", admin=True)
    cli("users", "disable", "root")
    ran = cli("restore", kept, "--yes", "--json")
    assert ran.code == 1
    assert ran.error["code"] == "last_admin"
    assert [user["name"] for user in cli("users", "list", "--json").json] == ["boss", "maria", "root"]
    assert cli("restore", kept, "--yes", "--as-it-was").code == 0


def test_it_is_asked_whether_it_is_meant(cli, kept, sign_in, check):
    """Anything but yes changes nothing; without a terminal, and with --json, --yes answers."""
    _, token = sign_in("maria")
    assert cli("restore", kept).code == 2
    assert cli("restore", kept, "--json", is_tty=True).error["code"] == "not_confirmed"
    assert cli("restore", kept, stdin="y\n", is_tty=True).code == 1
    assert not isinstance(check(token), Refused)
    ran = cli("restore", kept, stdin="yes\n", is_tty=True)
    assert ran.code == 0
    assert "2 accounts" in ran.err


def altered(text):
    """Every way a file can come back from where it was kept."""
    lines = text.splitlines(keepends=True)
    yield "cut", text[: len(text) // 2]
    yield "without its last byte", text[:-1]
    yield "without its trailer", b"".join(lines[:-1])
    yield "without a row", b"".join(lines[:1] + lines[2:])
    yield "a row twice", b"".join(lines[:2] + lines[1:])
    yield "rows exchanged", b"".join([lines[0], lines[2], lines[1], *lines[3:]])
    yield "one letter", text.replace(b"maria", b"marja")
    yield "something behind it", text + b"x\n"
    yield "two joined", text + text
    yield "empty", b""
    yield "something else", b"SQLite format 3\0"
    yield "not an object", b"[1]\n"
    yield "no end", b"{" * 100_000
    yield "the end of lines changed", text.replace(b"\n", b"\r\n")
    yield "a version to come", text.replace(b'"coatcheck_backup":1', b'"coatcheck_backup":2')


def test_a_cut_or_altered_backup_is_refused(cli, kept, with_database, sign_in, check):
    """Whole, before anything is touched: sessions live on."""
    _, token = sign_in("maria")
    before = exported(with_database)
    for how, text in altered(kept.read_bytes()):
        Path("bad.backup").write_bytes(text)
        ran = cli("restore", "bad.backup", "--yes", "--json")
        assert (ran.code, ran.error["code"]) == (1, "backup"), how
        assert "bad.backup" in ran.error["detail"], how
    assert exported(with_database) == before
    assert not isinstance(check(token), Refused)


def test_a_whole_file_that_holds_something_else_is_refused(cli, kept, with_database):
    """The sum is right, the content is not of this version."""
    header, *rows = [json.loads(line) for line in kept.read_bytes().splitlines()[:-1]]
    before = exported(with_database)
    tables = header["tables"]
    wrong = {
        "an unknown table": [{**header, "tables": {**tables, "more": ["id"]}}],
        "no table": [{**header, "tables": {}}],
        "no columns": [{**header, "tables": {**tables, "users": ["id"]}}],
        "a column twice": [{**header, "tables": {**tables, "users": [*tables["users"], "id"]}}],
        "an unknown column": [{**header, "tables": {**tables, "users": [*tables["users"], "x; DROP TABLE users"]}}],
        "no time": [{**header, "made_at": 1}],
        "a short row": [header, ["users", ["id"]]],
        "a row of no table": [header, ["more", ["id"]]],
        "a value that is a list": [header, ["users", [*rows[0][1][:-1], []]]],
        "a true value": [header, ["users", [*rows[0][1][:-1], True]]],
        "not a row": [header, "row"],
        "an unknown event": [header, ["audit", [9, 1, "no_such", None, None, None, None, None, "{}"]]],
        "a detail that is no JSON": [header, ["audit", [9, 1, "sign_in", None, None, None, None, None, "x"]]],
    }
    for how, lines in wrong.items():
        Path("bad.backup").write_bytes(signed(lines))
        ran = cli("restore", "bad.backup", "--yes")
        assert ran.code in (1, 2), how
    assert exported(with_database) == before


def test_a_restore_that_fails_in_the_middle_changes_no_account(cli, kept, with_database):
    """The database refuses a row: all of the old is still there."""
    header, *rows = [json.loads(line) for line in kept.read_bytes().splitlines()[:-1]]
    before = exported(with_database)
    Path("bad.backup").write_bytes(signed([header, *rows, rows[0]]))  # an id twice
    ran = cli("restore", "bad.backup", "--yes")
    assert ran.code == 2
    assert "do not fit" in ran.err
    assert exported(with_database) == before


def test_sessions_end_before_and_after(cli, kept, monkeypatch, sign_in, check):
    """A process that dies between leaves no session; one that begins between ends, too."""
    _, token = sign_in("maria")

    async def die(self, tables, *, as_it_was):
        raise StoreUnusable("died")

    monkeypatch.setattr(SQLiteDatabase, "replace", die)
    assert cli("restore", kept, "--yes").code == 2
    assert check(token) == Refused(Reason.REVOKED)
    monkeypatch.undo()


def test_a_sign_in_between_ends_too(cli, kept, monkeypatch, check):
    """It read the accounts that were replaced."""
    from coatcheck import Coatcheck

    tokens, replace = [], SQLiteDatabase.replace

    async def slow(self, tables, *, as_it_was):
        outcome = await replace(self, tables, as_it_was=as_it_was)
        async with Coatcheck("sqlite:///coatcheck.db") as auth:
            tokens.append((await auth.sign_in("somebody")).token.reveal())
        return outcome

    monkeypatch.setattr(SQLiteDatabase, "replace", slow)
    assert cli("restore", kept, "--yes").code == 0
    assert check(tokens[0]) == Refused(Reason.REVOKED)


def test_a_file_that_is_not_there(cli, people):
    """Wrong usage."""
    assert cli("restore", "no-such", "--yes").code == 2
    assert cli("restore", ".", "--yes").code in (1, 2)


def test_hostile_text_survives_and_stays_in_its_line(cli, people, with_database):
    """Line ends, quotes and control characters in the trail do not break the file."""
    entry = Entry(at=1, event=Event.SIGN_IN, detail={"why": '\n"\x00\u2028\x1b'})
    with_database(lambda database: database.note(entry))
    before = exported(with_database)
    cli("backup", "kept.backup")
    assert cli("restore", "kept.backup", "--yes").code == 0
    assert exported(with_database)[1].rows[:-1] == before[1].rows


def test_progress_is_told(place):
    """Each thousand rows."""
    steps = []
    table = Table("users", ("id",), [(str(number),) for number in range(2500)])
    assert files.write(place / "many", [table], made_at="now", advance=steps.append) == 2500
    assert steps == [1000, 1000]


def test_a_file_system_without_links(cli, people, monkeypatch):
    """A USB stick: the backup is there, and what was there before stays."""

    def link(*args):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("coatcheck.server.backup.os.link", link)
    assert cli("backup", "kept.backup").code == 0
    assert files.read(Path("kept.backup")).count("users") == 2
    assert cli("backup", "kept.backup").code == 1
    assert sorted(path.name for path in Path().iterdir() if "backup" in path.name) == ["kept.backup"]


def test_a_name_that_is_taken_at_the_last_moment(cli, people, monkeypatch):
    """Nothing that somebody put there meanwhile is lost."""
    write_lines = files._write_lines

    def slow(*args):
        Path("kept.backup").write_text("theirs")
        return write_lines(*args)

    monkeypatch.setattr(files, "_write_lines", slow)
    assert cli("backup", "kept.backup").code == 1
    assert Path("kept.backup").read_text() == "theirs"
