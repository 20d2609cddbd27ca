"""
Which SQLite files this process has open. Floor 2; may import: floor 0.

Two of SQLite's rules reach beyond one connection, so they are kept here for all of them:

1. Closing any handle on a file drops every lock that the process holds on it (POSIX). Who wants to look into a file
   that is open here asks first (:func:`is_open`).
2. A file that was open at a fork must not be opened in the child: SQLite remembers that the process holds its locks.
   The child holds none, would never take them, and would lose commits to whoever believes to be alone.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path

from coatcheck.errors import Forked

File = tuple[int, int]
"""Device and inode."""

_one_at_a_time = threading.Lock()
_open_here: Counter[File] = Counter()
_inherited: set[File] = set()


def one_at_a_time() -> threading.Lock:
    """Return the lock for opening and closing, which look at files and at what is open."""
    return _one_at_a_time


def identity(path: Path) -> File | None:
    """Return which file is at *path* now; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_open(path: Path) -> bool:
    """Say whether this process has the file at *path* open."""
    found = identity(path)
    return found is not None and _open_here[found] > 0


def note_open(path: Path) -> File:
    """Count the file at *path* as open; return which one it is."""
    file = identity(path) or (0, 0)
    _open_here[file] += 1
    return file


def note_closed(file: File) -> None:
    """Count *file* as open once less."""
    _open_here[file] -= 1


def check_not_inherited(path: Path) -> None:
    """
    Refuse a file that the parent had open.

    Raises:
        Forked: It had.
    """
    if identity(path) in _inherited:
        raise Forked(f"{path} was open when this process was forked; open it in the workers only, after the fork")


def _forked() -> None:
    global _one_at_a_time  # noqa: PLW0603  a thread of the parent may have held it
    _one_at_a_time = threading.Lock()
    _inherited.update(file for file, count in _open_here.items() if count)
    _open_here.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
