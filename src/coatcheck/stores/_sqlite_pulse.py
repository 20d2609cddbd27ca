"""
The pulse: one number, mapped by every process, that says "something changed". Floor 2; may import: floor 0.

A process that commits a change writes a fresh random number here before its call returns. A reader compares the number
with the one it saw before it last read the log: a tenth of a microsecond, instead of several for asking SQLite.

Rules of this module:

1. Random, not counted: two processes that count at once can write the same number twice, and a reader that looked
   before the first and after the second would see no change.
2. The writer beats after its commit and before its call returns, so who sees the number finds the change.
3. The file may be deleted under us. Readers look for that each time their trust in the pulse runs out
   (``coatcheck.fleet.watch.BACKSTOP_S``); whoever makes a new file lets that time pass before using it, and so does
   everyone who finds a file that is not marked as ready.
"""

from __future__ import annotations

import mmap
import os
import secrets
import time
from pathlib import Path

from coatcheck.errors import StoreUnusable

_SIZE = mmap.PAGESIZE
_READY = 1
SETTLE_S = 0.15
"""Longer than readers trust the pulse of a file that is gone."""


class Pulse:
    """One mapping of the file. ``view[0]`` is the number."""

    def __init__(self, path: Path) -> None:
        """Map the file; make it if need be."""
        self._path = path
        self._handle = -1
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            # Allocated, not only sized: storing into a page that the full disk cannot back would kill the process.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._handle, 0, _SIZE)
            else:  # macOS
                os.ftruncate(self._handle, _SIZE)
            self._map = mmap.mmap(self._handle, _SIZE)
        except OSError as error:
            if self._handle >= 0:
                os.close(self._handle)
            raise StoreUnusable(f"{path} cannot be used ({error.strerror})") from None
        # Eight aligned bytes are stored at once. Were they not, a torn number would only be one more difference.
        self.view = memoryview(self._map).cast("Q")

    def settle(self, *, alone: bool = False) -> None:
        """
        Before the first beat on a file that nobody has marked as ready: let those notice who still map a deleted one.

        Args:
            alone: Nobody else can have the database open (it was made just now), so there is nobody to wait for.
        """
        if not self.view[_READY]:
            if not alone:
                time.sleep(SETTLE_S)
            self.view[_READY] = 1

    def is_current(self) -> bool:
        """Say whether the mapped file is still the one at its path."""
        try:
            ours, there = os.fstat(self._handle), os.stat(self._path, follow_symlinks=False)
        except OSError:
            return False
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    def beat(self) -> None:
        """Write a number that was never here."""
        self.view[0] = secrets.randbits(64)

    def close(self) -> None:
        """Let go of the file. It is unmapped when nobody reads it any more: a check may do so in another thread."""
        self.view = memoryview(bytes(_SIZE)).cast("Q")
        del self._map
        os.close(self._handle)
