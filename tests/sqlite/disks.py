"""A disk that is watched, breaks, fills up, and loses its power: an apsw VFS over the real one."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict

import apsw


def _kind(name):
    """``db``, ``wal``, … of a file name as SQLite gives it."""
    text = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
    return text.rpartition("-")[2] if text.endswith(("-wal", "-journal", "-shm")) else "db"


class WatchedDisk(apsw.VFS):
    """
    Register by making one; pass its ``name`` as ``vfs=``.

    Attributes:
        syncs: How often each kind of file was synced. writes: the same of writes.

        broken: ``(operation, kind of file)`` -> the error to raise there.

        on_sync: Called with the kind of file before each sync.

        durable: What each kind of file holds for certain: its content at its last sync.

        unsynced: What was written to each kind since, in order: ``(offset, bytes)``.
    """

    def __init__(self, name):
        self.name = name
        self.syncs, self.writes = Counter(), Counter()
        self.broken = {}
        self.on_sync = lambda kind: None
        self.durable, self.unsynced = {}, defaultdict(list)
        self.lock = threading.RLock()
        super().__init__(name, "")

    def xOpen(self, name, flags):  # noqa: N802  SQLite's name
        return _WatchedFile(self, name, flags)

    def after_power_cut(self, kind, chance):
        """
        Return what is left of a file when the power goes now.

        Args:
            chance: Decides which writes since the last sync arrive, in whole or in part, and which do not.
        """
        with self.lock:
            left = bytearray(self.durable.get(kind, b""))
            for offset, written in self.unsynced[kind]:
                arrived = written[: chance.choice([0, len(written), chance.randrange(len(written) + 1)])]
                left.extend(bytes(max(0, offset + len(arrived) - len(left))) if arrived else b"")
                left[offset : offset + len(arrived)] = arrived
            return bytes(left)


class _WatchedFile(apsw.VFSFile):
    def __init__(self, disk, name, flags):
        self._disk = disk
        self._kind = _kind(name)
        super().__init__("", name, flags)

    def _may(self, operation):
        error = self._disk.broken.get((operation, self._kind))
        if error is not None:
            raise error

    def xWrite(self, data, offset):  # noqa: N802
        self._may("write")
        with self._disk.lock:
            self._disk.writes[self._kind] += 1
            super().xWrite(data, offset)
            self._disk.unsynced[self._kind].append((offset, bytes(data)))

    def xTruncate(self, size):  # noqa: N802
        # A log is cut short only when everything in it has been copied and synced, so nothing may hang on it.
        super().xTruncate(size)

    def xSync(self, flags):  # noqa: N802
        self._disk.on_sync(self._kind)
        self._may("sync")
        super().xSync(flags)
        with self._disk.lock:
            self._disk.syncs[self._kind] += 1
            self._disk.durable[self._kind] = self.xRead(self.xFileSize(), 0)
            self._disk.unsynced[self._kind].clear()
