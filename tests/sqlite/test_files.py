"""The files of a store: whose they are, what is refused, and what happens when somebody takes them away."""

import asyncio
import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import apsw
import pytest
from neighbour import Neighbour

from coatcheck import Coatcheck, ConfigError, NotOpen, StoreUnavailable, StoreUnusable
from coatcheck.stores import _sqlite_file
from coatcheck.stores._sqlite_file import network_file_system

FILES = ["coatcheck.db", "coatcheck.db-pulse", "coatcheck.db-secret", "coatcheck.db-shm", "coatcheck.db-wal"]
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"
OTHER = "b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXI"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "coatcheck.db"


def make(path):
    """Make a file of ours with a session in it; return the session's token."""

    async def story():
        async with Coatcheck(f"sqlite:///{path}") as auth:
            return (await auth.sign_in("maria")).token.reveal()

    return asyncio.run(story())


def refusal(path):
    """Open the store; return the text of the refusal."""

    async def story():
        async with Coatcheck(f"sqlite:///{path}"):
            pass

    with pytest.raises(StoreUnusable) as caught:
        asyncio.run(story())
    assert caught.value.code == "store_unusable"
    return str(caught.value)


# --- modes ---


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
async def test_every_file_is_its_owners_alone(url, tmp_path, mask):
    """The database, its log, its index, the pulse and the secret are 0600 whatever the umask."""
    before = os.umask(mask)
    try:
        async with Coatcheck(url) as auth:
            await auth.sign_in("maria")
            found = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert found == dict.fromkeys(FILES, 0o600)


@pytest.mark.parametrize("suffix", ["", "-secret"])
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o601])
def test_a_file_open_to_others_is_refused(path, suffix, mode):
    """A database or a secret that others may read is refused, with the command that closes it."""
    token = make(path)
    opened = path.with_name(path.name + suffix)
    opened.chmod(mode)
    said = refusal(path)
    assert str(opened) in said and f"{mode:04o}" in said and said.endswith(f"run: chmod 600 {opened}")
    opened.chmod(0o600)
    assert asyncio.run(is_live(path, token))


async def is_live(path, token):
    async with Coatcheck(f"sqlite:///{path}") as auth:
        return bool(await auth.check(token))


# --- not ours ---


def database(path, *statements):
    """Make a database with SQLite alone."""
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement)
    connection.close()
    path.chmod(0o600)


def text_file(path):
    path.write_text("dear diary\n" * 200)


def short_text_file(path):
    path.write_text("dear diary")


def garbage(path):
    path.write_bytes(bytes(range(256)) * 64)


def another_programs(path):
    database(path, "PRAGMA application_id = 99", "CREATE TABLE theirs (x)", "INSERT INTO theirs VALUES (1)")


def a_nameless_programs(path):
    database(path, "CREATE TABLE theirs (x)")


def newer(path):
    make(path)
    database(path, f"PRAGMA user_version = {len(_sqlite_file.MIGRATIONS) + 1}")


def truncated(path):
    make(path)
    os.truncate(path, 5000)


def headless(path):
    make(path)
    with path.open("r+b") as file:
        file.write(b"\0" * 4096)


NOT_OURS = {
    text_file: "is not a SQLite database",
    short_text_file: "is not a SQLite database",
    garbage: "is not a SQLite database",
    headless: "is not a SQLite database",
    another_programs: "belongs to another program",
    a_nameless_programs: "belongs to another program",
    newer: "upgrade Coatcheck",
    truncated: "damaged",
}


@pytest.mark.parametrize("made", NOT_OURS, ids=lambda made: made.__name__)
def test_what_is_not_ours_is_refused_and_not_touched(path, made):
    """A file of another kind, program or version, or a damaged one, is refused by name; no byte of it changes."""
    made(path)
    path.chmod(0o600)
    before = path.read_bytes()
    said = refusal(path)
    assert str(path) in said and NOT_OURS[made] in said
    assert path.read_bytes() == before


def test_a_file_in_use_by_another_program_is_not_touched(path):
    """Another program's database with a log that is not yet copied back is left as it is."""
    theirs = apsw.Connection(str(path))
    theirs.pragma("journal_mode", "wal")
    theirs.execute("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")
    path.chmod(0o600)
    wal = path.with_name(path.name + "-wal")
    before = path.read_bytes(), wal.read_bytes()
    assert "belongs to another program" in refusal(path)
    assert (path.read_bytes(), wal.read_bytes()) == before
    theirs.close()


def test_the_log_another_program_left_behind_is_not_touched(tmp_path):
    """A log that a killed program left beside its database is neither copied back nor removed."""
    theirs = apsw.Connection(str(tmp_path / "live.db"))
    theirs.pragma("journal_mode", "wal")
    theirs.execute("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")
    for suffix in ("", "-wal"):
        shutil.copy(tmp_path / f"live.db{suffix}", tmp_path / f"left.db{suffix}")
        (tmp_path / f"left.db{suffix}").chmod(0o600)
    theirs.close()
    before = {name: (tmp_path / name).read_bytes() for name in ("left.db", "left.db-wal")}
    assert "belongs to another program" in refusal(tmp_path / "left.db")
    assert {name: (tmp_path / name).read_bytes() for name in before if (tmp_path / name).exists()} == before


def test_places_that_cannot_hold_a_store_are_refused(tmp_path):
    """A folder that is not there, a folder in place of the file, and a device are named and refused."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name, said in (("no/such.db", "there is no folder"), ("folder", "not a regular file"), ("fifo", "not a regul")):
        text = refusal(tmp_path / name)
        assert said in text and str((tmp_path / name).parent) in text
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["fifo", "folder"]


def test_a_link_leads_to_the_file_and_its_companions(tmp_path):
    """Through a symbolic link the same store is used: log, pulse and secret lie beside the real file."""
    (tmp_path / "real").mkdir()
    token = make(tmp_path / "real" / "coatcheck.db")
    (tmp_path / "link.db").symlink_to(tmp_path / "real" / "coatcheck.db")
    assert asyncio.run(is_live(tmp_path / "link.db", token))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link.db", "real"]


def test_a_pulse_that_is_a_link_is_refused(path, tmp_path):
    """Nobody can point the pulse at a file of somebody else."""
    make(path)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    pulse = path.with_name(path.name + "-pulse")
    pulse.unlink()
    pulse.symlink_to(victim)
    assert str(pulse) in refusal(path)
    assert victim.read_text() == "precious"


AS_NOBODY = """
import asyncio, os, sys, tempfile
from coatcheck import Coatcheck, StoreUnusable
async def open_and_close(path):
    try:
        async with Coatcheck(f"sqlite:///{path}"):
            return "opened"
    except StoreUnusable as error:
        return error
with tempfile.TemporaryDirectory() as folder:
    # Everything is imported now: as nobody, Python's own folders may be out of reach.
    asyncio.run(open_and_close(folder + "/first.db"))
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print(asyncio.run(open_and_close(sys.argv[1])))
"""


@pytest.fixture
def common(tmp_path):
    """A folder that an ordinary user owns and can reach."""
    folder = Path(tempfile.mkdtemp(prefix="coatcheck-"))
    if os.getuid() == 0:
        os.chown(folder, 65534, 65534)
    yield folder
    folder.chmod(0o700)
    shutil.rmtree(folder)


def opened_by_nobody(path):
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, path], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("locked", ["file", "folder", "folder without a file"])
def test_what_is_read_only_is_refused_at_the_start(common, locked):
    """A file or folder that cannot be written is named when the engine opens, not at the first sign-in."""
    path = common / "coatcheck.db"
    if locked != "folder without a file":
        assert opened_by_nobody(path) == "opened"
    before = {entry.name: entry.read_bytes() for entry in common.iterdir()}
    if locked == "file":
        path.chmod(0o400)
    else:
        common.chmod(0o500)
    said = opened_by_nobody(path)
    assert str(path) in said and ("read-only" in said or "Permission denied" in said)
    common.chmod(0o700)
    assert {entry.name: entry.read_bytes() for entry in common.iterdir()} == before


# --- network file systems ---


def mounts(*pairs):
    """Text as in ``/proc/self/mountinfo``: one line per (mount point, kind)."""
    return "".join(
        f"{at} 1 0:{at} / {point} rw,relatime shared:{at} master:1 - {kind} server:/export rw\n"
        for at, (point, kind) in enumerate(pairs, 20)
    )


@pytest.mark.parametrize(
    ("lines", "folder", "kind"),
    [
        ([("/", "ext4")], "/srv/app", None),
        ([("/", "nfs4")], "/srv/app", "nfs4"),
        ([("/", "ext4"), ("/srv", "nfs")], "/srv/app", "nfs"),
        ([("/", "ext4"), ("/srv", "nfs")], "/srv", "nfs"),
        ([("/", "ext4"), ("/srv", "nfs")], "/srvother", None),
        ([("/", "ext4"), ("/srv", "nfs"), ("/srv/app", "xfs")], "/srv/app/data", None),
        ([("/srv/app", "xfs"), ("/srv", "nfs"), ("/", "ext4")], "/srv/app/data", None),
        ([("/", "ext4"), ("/srv/app", "cifs"), ("/srv", "xfs")], "/srv/app/data", "cifs"),
        ([("/", "ext4"), ("/srv", "ext4"), ("/srv", "smb3")], "/srv/app", "smb3"),
        ([("/", "ext4"), ("/srv", "smb3"), ("/srv", "ext4")], "/srv/app", None),
        ([("/", "ext4"), (r"/my\040files", "nfs4")], "/my files/app", "nfs4"),
        ([("/", "ext4"), (r"/a\134b\011c", "9p")], "/a\\b\tc", "9p"),
        ([("/", "overlay"), ("/srv", "fuse.sshfs")], "/srv", "fuse.sshfs"),
        ([("/", "overlay"), ("/srv", "fuse.rclone")], "/srv", "fuse.rclone"),
        ([("/", "overlay"), ("/srv", "fuseblk")], "/srv", None),
        ([("/", "btrfs"), ("/srv", "ceph")], "/srv", "ceph"),
        ([("/", "zfs"), ("/srv", "tmpfs")], "/srv", None),
    ],
)
def test_network_file_systems_are_recognised(tmp_path, lines, folder, kind):
    """The innermost and latest mount over a folder decides; its name may hold escaped characters."""
    table = tmp_path / "mountinfo"
    table.write_text(mounts(*lines))
    assert network_file_system(Path(folder), mounts=str(table)) == kind


def test_where_there_is_no_table_of_mounts_nothing_is_refused(tmp_path):
    """On a system without the table a folder counts as local."""
    assert network_file_system(tmp_path, mounts=str(tmp_path / "none")) is None


def test_a_network_file_system_is_refused(path, monkeypatch):
    """The refusal names the file and the file system; no file is made."""
    monkeypatch.setattr(_sqlite_file, "network_file_system", lambda folder: "nfs4")
    said = refusal(path)
    assert str(path) in said and "nfs4" in said and "local disk" in said
    assert not path.exists()


# --- several at once, at the beginning ---


@pytest.mark.parametrize("processes", [2, 8])
def test_processes_that_make_the_file_at_once_share_it(tmp_path, processes):
    """Whoever comes first makes it; all have one secret and see each other's sessions."""
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(Neighbour()) for _ in range(processes)]
        for number in range(8):
            for one in crowd:
                one.tell("open", f"sqlite:///{tmp_path}/{number}.db")
            keys = [one.hear() for one in crowd]
            assert len(set(keys)) == 1, keys
            assert len(keys[0]) == 64, keys
            tokens = [one.ask("sign_in", "maria")[1] for one in crowd]
            assert [one.ask("check", token) for one in crowd for token in tokens] == [True] * processes**2
            for one in crowd:
                one.tell("close")
            for one in crowd:
                one.hear()
            # Of two that close at once each may take the other for the last, and the log stays for the next to read.
            left = {entry.name.removeprefix(f"{number}.db") for entry in tmp_path.glob(f"{number}.*")}
            assert {"", "-pulse", "-secret"} <= left <= {"", "-pulse", "-secret", "-wal", "-shm"}


# --- taken away while open ---


def delete(path):
    path.unlink()


def rename(path):
    path.rename(path.with_name("moved.db"))


def replace_by_backup(path):
    shutil.copy(path, path.with_name("backup.db"))
    path.with_name("backup.db").rename(path)


def replace_by_nothing(path):
    path.unlink()
    path.touch(0o600)


@pytest.mark.parametrize(
    "away", [delete, rename, replace_by_backup, replace_by_nothing], ids=lambda away: away.__name__
)
async def test_a_file_taken_away_answers_nothing(path, url, clock, away):
    """When the database is deleted or replaced under an engine, its checks fail, warm and cold; none is answered."""
    async with Coatcheck(url, clock=clock) as auth:
        warm, cold = await auth.sign_in("maria"), await auth.start({"cart": 1})
        assert auth.check_now(warm.token)
        away(path)
        clock.outrun_backstop()
        for token in (warm.token, cold.token, "a" * 43, warm.token):
            assert auth.check_now(token) is None
            with pytest.raises(StoreUnavailable):
                await auth.check(token)


@pytest.mark.parametrize(
    "away", [delete, rename, replace_by_backup, replace_by_nothing], ids=lambda away: away.__name__
)
async def test_a_file_taken_away_acknowledges_nothing(path, url, clock, away):
    """When the database is deleted or replaced under an engine, nothing is written into the file that is gone."""
    async with Coatcheck(url, clock=clock) as auth:
        signed_in = await auth.sign_in("maria")
        away(path)
        clock.outrun_backstop()
        for call in (
            lambda: auth.sign_in("maria"),
            lambda: auth.revoke(signed_in.session.sid),
            lambda: auth.update_data(signed_in.session.sid, set={"a": 1}),
        ):
            with pytest.raises(StoreUnavailable):
                await call()


async def test_the_working_directory_may_change(tmp_path, monkeypatch, clock):
    """A file named relative to the working directory stays the same file after a change of directory."""
    monkeypatch.chdir(tmp_path)
    async with Coatcheck("sqlite:///coatcheck.db", clock=clock) as auth:
        signed_in = await auth.sign_in("maria")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        clock.outrun_backstop()
        assert auth.check_now(signed_in.token)
        await auth.revoke(signed_in.session.sid)
        assert not await auth.check(signed_in.token)
        assert list((tmp_path / "elsewhere").iterdir()) == []


async def test_old_processes_hear_each_other_after_the_pulse_was_deleted(url, path):
    """Two processes that map the same deleted file still tell each other at once."""
    with Neighbour() as old:
        async with Coatcheck(url) as auth:
            old.ask("open", url)
            one, other = await auth.sign_in("maria"), await auth.sign_in("maria")
            for signed_in in (one, other):
                assert auth.check_now(signed_in.token) and old.ask("check", signed_in.token.reveal())
            path.with_name(path.name + "-pulse").unlink()
            await auth.revoke(one.session.sid)
            assert old.ask("check_now", one.token.reveal()) is not True
            assert old.ask("check", one.token.reveal()) is False
            old.ask("revoke", other.session.sid)
            assert not auth.check_now(other.token)


async def test_old_and_new_processes_hear_each_other_after_the_pulse_was_deleted(url, path):
    """Whoever was born after the pulse was deleted tells those who still map it, and is told by them."""
    with Neighbour() as new:
        new.ask("open", f"{url}-warm")  # everything is imported
        new.ask("close")
        async with Coatcheck(url) as auth:
            for _ in range(6):
                by_new, by_old, stays = [await auth.sign_in("maria") for _ in range(3)]
                path.with_name(path.name + "-pulse").unlink()
                opened = asyncio.create_task(new.ask_beside("open", url))
                while not opened.done():  # as a process that never stops checking
                    assert auth.check_now(by_new.token)
                    await asyncio.sleep(0)
                new.ask("revoke", by_new.session.sid)
                assert not auth.check_now(by_new.token)
                assert new.ask("check", by_old.token.reveal()) and new.ask("check_now", by_old.token.reveal())
                await auth.revoke(by_old.session.sid)
                assert new.ask("check_now", by_old.token.reveal()) is not True
                assert await auth.check(stays.token) and new.ask("check", stays.token.reveal())
                new.ask("close")


# --- opening and closing ---


async def test_closing_and_opening_again(url, clock):
    """Closing twice does nothing; a closed engine says so; opened again it knows what it knew."""
    auth = Coatcheck(url, clock=clock)
    with pytest.raises(NotOpen):
        auth.check_now("a" * 43)
    await auth.close()
    for _ in range(3):
        await auth.open()
        signed_in = await auth.sign_in("maria")
        assert auth.check_now(signed_in.token)
        await auth.close()
        await auth.close()
        with pytest.raises(NotOpen):
            auth.check_now(signed_in.token)
        for name, *arguments in (("check", signed_in.token), ("sign_in", "maria"), ("revoke", "s"), ("flush",)):
            with pytest.raises(NotOpen):
                await getattr(auth, name)(*arguments)
    await auth.open()
    assert await auth.check(signed_in.token)
    assert len(await auth.sessions_of("maria")) == 3
    await auth.close()


async def test_the_last_to_close_leaves_no_log_behind(url, tmp_path):
    """After the last engine has closed, everything is in the database: it can be copied as one file."""
    async with Coatcheck(url) as one, Coatcheck(url) as other:
        signed_in = await one.sign_in("maria")
        assert await other.check(signed_in.token)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == FILES[:3]
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / "coatcheck.db", tmp_path / "copy" / "coatcheck.db")
    async with Coatcheck(f"sqlite:///{tmp_path}/copy/coatcheck.db") as auth:
        assert await auth.check(signed_in.token)


# --- the secret ---


async def keys(url):
    async with Coatcheck(url) as auth:
        return auth.derived_keys("test 1")


async def test_the_secret_is_made_once_and_stays(url, path):
    """Without a setting the secret lies beside the database, and a second engine reads the same."""
    first = await keys(url)
    assert len(first) == 1 and await keys(url) == first
    path.with_name(path.name + "-secret").unlink()
    assert await keys(url) != first


async def test_of_several_secrets_the_first_writes_and_all_read(url, path, monkeypatch, tmp_path):
    """Values follow each other, newest first, whichever way they are given."""
    monkeypatch.setenv("COATCHECK_SECRET", SECRET)
    (old,) = await keys(url)
    monkeypatch.setenv("COATCHECK_SECRET", f"{OTHER} {SECRET}")
    new, also = await keys(url)
    assert also == old != new
    monkeypatch.delenv("COATCHECK_SECRET")
    (tmp_path / "secrets").write_text(f"{OTHER}\n{SECRET}\n")
    monkeypatch.setenv("COATCHECK_SECRET_FILE", str(tmp_path / "secrets"))
    assert await keys(url) == (new, old)
    async with Coatcheck(url, secret=[OTHER, SECRET]) as auth:
        assert auth.derived_keys("test 1") == (new, old)
    assert not path.with_name(path.name + "-secret").exists()


@pytest.mark.parametrize("setting", ["COATCHECK_SECRET", "COATCHECK_SECRET_FILE"])
@pytest.mark.parametrize(
    "value", ["", "   ", "hunter2-hunter2", f"{SECRET} short-value", "not/base64+url=" * 4, f"{SECRET}é", "x" * 45]
)
async def test_a_wrong_secret_names_its_setting_and_not_its_value(url, path, monkeypatch, setting, value):
    """An empty, short or malformed secret is a ConfigError that says where it came from and never what it was."""
    if setting == "COATCHECK_SECRET_FILE":
        path.with_name("secrets").write_text(value)
        monkeypatch.setenv(setting, str(path.with_name("secrets")))
    else:
        monkeypatch.setenv(setting, value)
    auth = Coatcheck(url)
    with pytest.raises(ConfigError) as caught:
        await auth.open()
    assert caught.value.setting == setting
    assert str(caught.value).startswith(f"{setting}: ")
    assert not any(word in str(caught.value) for word in value.split())
    assert not any(word in str(caught.value.__cause__) for word in value.split())
    assert not path.with_name(path.name + "-secret").exists()
    monkeypatch.delenv(setting)
    await auth.open()  # the failure left nothing open behind
    await auth.close()


async def test_a_secret_file_that_is_not_there_is_named(url, monkeypatch, tmp_path):
    """The setting and the path are in the message; the fault is not passed over for a secret of our own."""
    monkeypatch.setenv("COATCHECK_SECRET_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"COATCHECK_SECRET_FILE: .*none cannot be read"):
        await keys(url)


@pytest.mark.parametrize("content", ["", "hunter2-hunter2", "é"])
async def test_a_damaged_secret_beside_the_database_is_named(url, path, content):
    """A secret file of ours with a wrong content is refused by its path, and its content is not shown."""
    secret = path.with_name(path.name + "-secret")
    secret.write_text(content)
    secret.chmod(0o600)
    with pytest.raises((ConfigError, StoreUnusable)) as caught:
        await keys(url)
    assert str(secret) in str(caught.value)
    assert not content or content not in str(caught.value)
