"""
Backups: accounts and the audit trail in one file. Floor 6; may import: floors 0 to 2.

The file is JSON, one value per line, UTF-8 with everything above ASCII escaped:

    {"coatcheck_backup": 1, "made_at": "2026-01-31T12:00:00Z", "tables": {"users": ["id", "name", …], "audit": […]}}
    ["users", ["J3s…", "maria", …]]
    …
    {"rows": 1, "sha256": "…"}

Rules of this module:

1. The last line tells the number of rows and the SHA-256 of every byte before it. A file that was cut, altered or
   joined is refused as a whole, before anything is changed. That finds accidents, not malice: whoever can write the
   file can also write the sum. Keep it where the database would be safe: it holds the hashes of passwords.
2. Sessions, limits and the secret are not in it. After a restore everybody signs in again.
3. It is written beside its place with mode 0600, synced, and only then gets its name: a backup is whole or not there.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from coatcheck.errors import CoatcheckError
from coatcheck.server.database.base import Event, Table

VERSION = 1
KNOWN = ("users", "audit")
_NEEDED = {
    "users": {"id", "name", "name_key", "password", "is_admin", "is_disabled", "created_at", "password_at"},
    "audit": {"number", "at", "event", "detail"},
}
_LINE_LONGEST = 1024 * 1024
_STEP = 1000
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)

Advance = Callable[[int], None]


class BackupError(CoatcheckError):
    """A backup cannot be written or read. The text says why and what to do."""

    code = "backup"


def _line(value: Any) -> bytes:
    # Escaped: the file can be looked at in a terminal, whatever user agents put into the audit trail.
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"


# --- writing ---


def write(
    path: Path, tables: Sequence[Table], *, made_at: str, force: bool = False, advance: Advance | None = None
) -> int:
    """
    Write *tables* to the new file *path*; return the number of rows.

    Args:
        made_at: The time, ISO 8601. force: whether a file that is there may be replaced. advance: told of progress.

    Raises:
        BackupError: The file is there already, or cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        if not force and os.path.lexists(path):
            raise FileExistsError
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                rows = _write_lines(file, tables, made_at, advance)
                file.flush()
                os.fsync(file.fileno())
            _name(draft, path, force=force)
        finally:
            draft.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except FileExistsError:
        raise BackupError(f"{path} is there already; choose another name, or add --force to replace it") from None
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror}") from None
    return rows


def _write_lines(file: BinaryIO, tables: Sequence[Table], made_at: str, advance: Advance | None) -> int:
    digest, rows = hashlib.sha256(), 0
    columns = {table.name: list(table.columns) for table in tables}
    for line in _lines({"coatcheck_backup": VERSION, "made_at": made_at, "tables": columns}, tables):
        digest.update(line)
        file.write(line)
        rows += 1
        if advance is not None and rows % _STEP == 0:
            advance(_STEP)
    rows -= 1  # the header
    file.write(_line({"rows": rows, "sha256": digest.hexdigest()}))
    return rows


def _lines(header: Any, tables: Sequence[Table]) -> Iterator[bytes]:
    yield _line(header)
    for table in tables:
        for row in table.rows:
            yield _line([table.name, list(row)])


def _name(draft: Path, path: Path, *, force: bool) -> None:
    if not force:
        try:
            # A link, not a rename: a rename would replace what somebody put there since we looked.
            os.link(draft, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # A USB stick, say. The name is taken with an empty file, which no restore accepts, until the next line.
            path.touch(0o600, exist_ok=False)
        else:
            return
    draft.replace(path)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)  # the name too must survive a power cut
    finally:
        os.close(handle)


# --- reading ---


class Backup:
    """
    A backup that was read and found whole.

    Attributes:
        made_at: When it was made, as the file says. tables: what is in it. rows: how many rows in all.
    """

    def __init__(self, made_at: str, tables: list[Table]) -> None:
        self.made_at = made_at
        self.tables = tables
        self.rows = sum(len(table.rows) for table in tables)

    def count(self, name: str) -> int:
        """Return the number of rows of one table."""
        return sum(len(table.rows) for table in self.tables if table.name == name)


def read(path: Path) -> Backup:
    """
    Read *path* and check all of it.

    Raises:
        BackupError: It is no backup, not whole, or of a version that is not known here.
    """
    try:
        with path.open("rb") as file:
            return _read(file, path)
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}") from None


def _read(file: BinaryIO, path: Path) -> Backup:
    first = file.readline(_LINE_LONGEST)
    header = _value(first)
    if not isinstance(header, dict) or "coatcheck_backup" not in header:
        raise BackupError(f"{path} is not a backup of Coatcheck; name a file that coatcheck backup wrote")
    if header["coatcheck_backup"] != VERSION:
        raise BackupError(f"{path} is of a version that is not known here; upgrade Coatcheck")
    digest, line, lines = hashlib.sha256(first), b"", []
    while following := file.readline(_LINE_LONGEST):
        if line:
            digest.update(line)
            lines.append(line)
        line = following
    trailer = {"rows": len(lines), "sha256": digest.hexdigest()}
    # Compared byte by byte: what does not end exactly like this was cut or altered.
    if line != _line(trailer):
        raise BackupError(f"{path} was cut or altered since it was written; nothing was changed; use another backup")
    tables = _tables(header.get("tables"), lines)
    if tables is None or not isinstance(header.get("made_at"), str):
        raise BackupError(f"{path} holds what this version does not know; nothing was changed; upgrade Coatcheck")
    return Backup(header["made_at"], tables)


def _value(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _tables(columns: Any, lines: list[bytes]) -> list[Table] | None:
    """Return the tables, or None when they are not what this version writes and reads."""
    if not isinstance(columns, dict) or sorted(columns) != sorted(KNOWN):
        return None
    tables = {}
    for name, names in columns.items():
        is_list = isinstance(names, list) and all(isinstance(column, str) for column in names)
        if not is_list or len(set(names)) < len(names) or not _NEEDED[name] <= set(names):
            return None
        tables[name] = Table(name, tuple(names), [])
    for line in lines:
        match _value(line):
            case [str(name), list(row)] if name in tables and _fits(tables[name], row):
                tables[name].rows.append(tuple(row))
            case _:
                return None
    return list(tables.values())


def _fits(table: Table, row: list[Any]) -> bool:
    if len(row) != len(table.columns) or not all(value is None or type(value) in (str, int) for value in row):
        return False
    if table.name != "audit":
        return True
    # An entry that cannot be shown would make the whole trail unreadable.
    named = dict(zip(table.columns, row, strict=True))
    return named["event"] in set(Event) and isinstance(_value(str(named["detail"]).encode()), dict)
