"""
The files of a SQLite store: may we use them, and how are they opened. Floor 2; may import: floor 0.

Rules of this module:

1. Refuse at the start what would fail later: another program's file, a newer schema, a network file system, a file that
   others may read, a folder that cannot be written.
2. A migration is numbered, runs once, in one transaction, under the write lock.
3. Files are 0600. SQLite gives its ``-wal`` and ``-shm`` the mode of the database.
"""

from __future__ import annotations

import os
import random
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path

import apsw

from coatcheck.errors import StoreUnavailable, StoreUnusable

APPLICATION_ID = 0x436F6174  # "Coat", so that file(1) and we recognise a database of ours
LOCK_WAIT_S = 10.0
_SHORTEST_NAP_S, _LONGEST_NAP_S = 0.0002, 0.01
_NETWORK = re.compile(r"nfs\d?|cifs|smb\w*|9p|afs|ceph|lustre|glusterfs|fuse\.(sshfs|glusterfs|ceph\S*|s3fs|rclone)")

_OTHER = "name another file, Coatcheck makes its own"

MIGRATIONS = (
    """
    CREATE TABLE meta (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        epoch INTEGER NOT NULL,    -- rises with each end of everyone's sessions
        bar INTEGER NOT NULL,      -- sessions with an id up to this one were ended with everyone's
        head INTEGER NOT NULL,     -- newest position of the log
        trimmed INTEGER NOT NULL   -- positions up to this one are no longer in the log
    ) STRICT;
    INSERT INTO meta VALUES (1, 1, 0, 0, 0);

    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: the bar of everyone's end relies on it
        digest BLOB NOT NULL UNIQUE,
        sid TEXT NOT NULL UNIQUE,
        sub TEXT,
        claims BLOB NOT NULL,
        amr TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        auth_time INTEGER,
        seen_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        idle_s INTEGER NOT NULL,
        persistent INTEGER NOT NULL,
        ip TEXT,
        user_agent TEXT,
        version INTEGER NOT NULL,
        data BLOB NOT NULL,
        dies_at INTEGER AS (min(expires_at, seen_at + idle_s)) VIRTUAL
    ) STRICT;
    CREATE INDEX sessions_sub ON sessions (sub, id) WHERE sub IS NOT NULL;
    CREATE INDEX sessions_dies_at ON sessions (dies_at);

    CREATE TABLE ended (
        digest BLOB PRIMARY KEY,
        sid TEXT NOT NULL,
        sub TEXT,
        reason TEXT NOT NULL,
        note TEXT NOT NULL,
        forget_after INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX ended_sid ON ended (sid);
    CREATE INDEX ended_forget_after ON ended (forget_after);

    CREATE TABLE subjects (sub TEXT PRIMARY KEY, generation INTEGER NOT NULL) STRICT, WITHOUT ROWID;

    CREATE TABLE changes (
        position INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        sid TEXT,
        at INTEGER NOT NULL,
        forget_after INTEGER NOT NULL
    ) STRICT;
    """,
    """
    -- The least version that counts from here on. Lines from before this column tell of sessions without any JWT.
    ALTER TABLE changes ADD COLUMN version INTEGER NOT NULL DEFAULT 9007199254740992;

    CREATE TABLE keys (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        kid TEXT NOT NULL UNIQUE,
        alg TEXT NOT NULL,
        public BLOB NOT NULL,      -- JWK
        sealed BLOB NOT NULL,      -- the private half, encrypted under the secret
        epoch INTEGER NOT NULL,
        published_at INTEGER NOT NULL,
        signs_from INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE families (
        id BLOB PRIMARY KEY,
        sid TEXT NOT NULL,
        client_id TEXT NOT NULL,
        audiences TEXT NOT NULL,
        generation INTEGER NOT NULL,
        nonce BLOB NOT NULL,
        key_id TEXT NOT NULL,
        rotated_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX families_sid ON families (sid);
    CREATE INDEX families_expires_at ON families (expires_at);
    """,
    """
    -- Values of the secret that make, or made, keys and refresh tokens, by ids from which they cannot be found.
    CREATE TABLE secrets (id TEXT PRIMARY KEY, is_lost INTEGER NOT NULL) STRICT, WITHOUT ROWID;

    ALTER TABLE keys ADD COLUMN seal_id TEXT NOT NULL DEFAULT '';  -- which of them seals it; empty: not known
    """,
    """
    ALTER TABLE meta ADD COLUMN lease_s REAL NOT NULL DEFAULT 2.0;

    -- Who answers from memory without having this file: the verifiers on a server's feed.
    CREATE TABLE nodes (
        id TEXT PRIMARY KEY,
        label TEXT NOT NULL,
        beat INTEGER NOT NULL,
        applied INTEGER NOT NULL,
        epoch INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    """
    -- Whether the session was begun for this client alone. Not known of those that are there, so it is not assumed.
    ALTER TABLE families ADD COLUMN owns_session INTEGER NOT NULL DEFAULT 0;
    """,
)


def prepare(path: Path, *, is_open_here: bool) -> bool:
    """
    Say whether the database *path* was made just now, empty and 0600.

    Args:
        is_open_here: This process has it open already. Then the file itself is not opened and closed once more: closing
            any handle drops all locks that the process holds on a file (POSIX), SQLite's included.

    Raises:
        StoreUnusable: It must not be used; says why and what to do.
    """
    try:
        has_folder = path.parent.is_dir()
    except OSError as error:
        raise StoreUnusable(f"{path} cannot be used ({error.strerror})") from None
    if not has_folder:
        raise StoreUnusable(f"there is no folder {path.parent}; make it first")
    if kind := network_file_system(path.parent):
        raise StoreUnusable(f"{path} is on a network file system ({kind}), where SQLite loses data; use a local disk")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        _check_existing(path)
        if not is_open_here:
            _check_first_page(path)
        return False
    except OSError as error:
        raise StoreUnusable(f"{path} cannot be made ({error.strerror})") from None
    os.close(handle)
    return True


def _check_existing(path: Path) -> None:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise StoreUnusable(f"{path} is not a regular file; name a file")
    if not os.access(path, os.R_OK | os.W_OK) or not os.access(path.parent, os.W_OK):
        raise StoreUnusable(f"{path} or its folder is read-only for this user; sessions must be writable")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise StoreUnusable(f"{path} is open to others (mode {mode:04o}); run: chmod 600 {path}")


def _check_first_page(path: Path) -> None:
    # Read before SQLite opens it: opening another program's database would already tidy up the log it left behind.
    with path.open("rb") as opened:
        start = opened.read(100)
    if not start:
        return
    if not start.startswith(b"SQLite format 3\0") or len(start) < 100:
        raise StoreUnusable(f"{path} is not a SQLite database, or a damaged one; {_OTHER}")
    if int.from_bytes(start[68:72], "big") != APPLICATION_ID:
        raise StoreUnusable(f"{path} belongs to another program; {_OTHER}")


def network_file_system(folder: Path, mounts: str = "/proc/self/mountinfo") -> str | None:
    """Return the kind of network file system *folder* is on; None for a local one, or where that cannot be told."""
    try:
        lines = Path(mounts).read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    kind, longest = "", -1
    for line in lines:
        mount, _, rest = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), mount.split()[4])
        # A later mount over the same point hides the earlier one.
        if len(point) >= longest and folder.is_relative_to(point):
            kind, longest = rest.split()[0], len(point)
    return kind if _NETWORK.fullmatch(kind) else None


def connect(path: Path, *, wait: bool, vfs: str | None = None) -> apsw.Connection:
    """
    Open a connection to an existing file.

    Args:
        wait: Whether it waits for other processes' locks, up to 10 s; without, it fails at once.
    """
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    if wait:
        connection.set_busy_handler(_napping())
    connection.pragma("foreign_keys", True)
    connection.pragma("trusted_schema", False)
    return connection


def _napping() -> Callable[[int], bool]:
    """Return a busy handler with short, uneven naps: SQLite's own grow to 100 ms, and several writers march in step."""
    started = 0.0

    def nap(tries: int) -> bool:
        nonlocal started
        now = time.monotonic()
        if tries == 0:
            started = now
        longest = min(_LONGEST_NAP_S, _SHORTEST_NAP_S * 2 ** min(tries, 10))
        time.sleep(random.uniform(_SHORTEST_NAP_S, longest))  # noqa: S311  spreads load, guards nothing
        return now - started < LOCK_WAIT_S

    return nap


def set_durable(connection: apsw.Connection) -> None:
    """Set what a commit promises, and read it back: a setting that did not take is refused."""
    connection.pragma("synchronous", "FULL")
    connection.pragma("fullfsync", True)  # macOS: fsync alone does not reach the disk
    # A page that changes again before the checkpoint is written to the database once: under load that is most of them.
    connection.pragma("wal_autocheckpoint", 4000)
    connection.pragma("journal_size_limit", 64 * 1024 * 1024)
    if connection.pragma("synchronous") != 2:
        raise StoreUnusable("SQLite does not take PRAGMA synchronous=FULL")


def make_ours(connection: apsw.Connection, path: Path) -> None:
    """
    Bring the schema up to date.

    Raises:
        StoreUnusable: Not a database, another program's, or newer than this code. Nothing was changed.
    """
    try:
        # Marked as ours before anything else, and before there is a -wal, so that the first page says whose it is.
        _in_transaction(connection, lambda: _mark(connection, path))
        _use_wal(connection, path)
        set_durable(connection)
        _in_transaction(connection, lambda: _migrate(connection, path))
    except (apsw.NotADBError, apsw.CorruptError):
        raise StoreUnusable(f"{path} is not a SQLite database, or a damaged one; {_OTHER}") from None
    except apsw.ReadOnlyError:
        raise StoreUnusable(f"{path} is read-only for this user; sessions must be writable") from None
    except apsw.Error as error:
        raise unavailable(error) from None


def _in_transaction(connection: apsw.Connection, step: Callable[[], object]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        step()
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _mark(connection: apsw.Connection, path: Path) -> None:
    _check_ours(connection, path)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _migrate(connection: apsw.Connection, path: Path) -> None:
    done = _check_ours(connection, path)
    for number, script in enumerate(MIGRATIONS[done:], done + 1):
        connection.execute(script)
        connection.execute(f"PRAGMA user_version = {number}")


def _use_wal(connection: apsw.Connection, path: Path) -> None:
    # This one does not ask the busy handler, so the waiting is ours.
    until = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            mode = connection.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if time.monotonic() >= until:
                raise
            time.sleep(_LONGEST_NAP_S)
            continue
        if mode != "wal":
            raise StoreUnusable(f"{path} cannot use write-ahead logging here; use a local disk")
        return


def _check_ours(connection: apsw.Connection, path: Path) -> int:
    ident, version = connection.pragma("application_id"), connection.pragma("user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if tables and ident != APPLICATION_ID:
        raise StoreUnusable(f"{path} belongs to another program; {_OTHER}")
    if version > len(MIGRATIONS):
        problem = f"{path} has schema {version}, this version of Coatcheck knows {len(MIGRATIONS)}"
        raise StoreUnusable(f"{problem}; upgrade Coatcheck")
    return int(version)


_SAID = {
    apsw.BusyError: f"locked by another process for more than {LOCK_WAIT_S:.0f} s",
    apsw.FullError: "the disk is full",
    apsw.ReadOnlyError: "the database is read-only",
    apsw.IOError: "the disk reported an error",
    apsw.CorruptError: "the database is damaged; restore a backup",
    apsw.CantOpenError: "a file cannot be opened",
}


def unavailable(error: apsw.Error) -> StoreUnavailable:
    """Return *error* as ours. SQLite's own text stays behind: it can quote what was being written."""
    said = next((text for kind, text in _SAID.items() if isinstance(error, kind)), type(error).__name__)
    return StoreUnavailable(f"SQLite: {said}")
