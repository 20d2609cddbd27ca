"""
Looks into a SQLite file without changing it. Floor 2; may import: floor 0.

Opening a store brings its tables up to date; whoever only wants to know asks here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw

from coatcheck.stores import _sqlite_file as file


def value(name: str, statement: str, values: Sequence[Any] = (), *, needs: str | None = None) -> int:
    """
    Return the number that *statement* selects in the file *name*.

    Args:
        needs: A table; 0 where there is none.

    Raises:
        StoreUnavailable: It cannot be read now.
    """
    try:
        connection = apsw.Connection(os.path.realpath(name), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(int(file.LOCK_WAIT_S * 1000))
            there = "SELECT count(*) FROM sqlite_schema WHERE name = ?"
            if needs is not None and not connection.execute(there, (needs,)).get:
                return 0
            found: Any = connection.execute(statement, tuple(values)).get
            return int(found)
        finally:
            connection.close()
    except apsw.Error as error:
        raise file.unavailable(error) from None


def version(name: str) -> tuple[int, int]:
    """Return which migration of a store the file *name* has seen, and how many there are."""
    return value(name, "PRAGMA user_version"), len(file.MIGRATIONS)


def over(name: str, *, since: int) -> int:
    """Return how many sessions were over before *since*, and are there still."""
    ours = Path(os.path.realpath(name))
    return value(str(ours), "SELECT count(*) FROM sessions WHERE dies_at < ?", (since,), needs="sessions")
