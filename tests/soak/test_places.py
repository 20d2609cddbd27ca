"""What can be done to a store and a process: a disk that fills up, a clock that is set."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from soak.places import Clocks, SmallDisk

ROOT = Path(__file__).parent.parent.parent
CLOCKS = "import time as t; print(t.time(), t.monotonic(), t.clock_gettime(t.CLOCK_BOOTTIME))"


@pytest.mark.parametrize("offset_s", [3600, -86400, 0])
def test_a_clock_that_is_set_moves_nothing_else(tmp_path, offset_s):
    """The wall clock of one process is set; what counts the time that passes, suspend included, stays true."""
    clocks = Clocks(tmp_path)
    if clocks.missing:
        pytest.skip(clocks.missing)
    environment = clocks.environment("one")
    clocks.set("one", offset_s)
    before = time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
    wall_before = time.time()
    said = subprocess.run(
        [sys.executable, "-c", CLOCKS], env={**os.environ, **environment}, capture_output=True, check=True
    )
    wall, *passed = map(float, said.stdout.split())
    after = time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
    assert all(low <= there <= high for low, there, high in zip(before, passed, after, strict=True))
    assert wall_before + offset_s - 1 <= wall <= time.time() + offset_s + 1


FILL = """
import pathlib, sys
from soak.places import SmallDisk
disk = SmallDisk(pathlib.Path(sys.argv[1]) / "disk", megabytes=2)
if disk.missing:
    sys.exit(disk.missing)
file = (disk.folder / "file").open("wb", buffering=0)
file.write(b"a" * 4096)
disk.fill()
try:
    file.write(b"b" * 8192)
except OSError as error:
    print(error.errno, flush=True)
disk.free()
print(file.write(b"c" * 8192), flush=True)
sys.stdin.read()
"""


def test_a_small_disk_fills_up_and_leaves_nothing(tmp_path):
    """A write on the full disk fails, one after it was freed does not; nobody outside the process sees the disk."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", FILL, tmp_path]
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        first = process.stdout.readline()
        if not first:
            pytest.skip(process.communicate()[1].strip())
        assert (int(first), int(process.stdout.readline())) == (errno.ENOSPC, 8192)
        assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
        assert list((tmp_path / "disk").iterdir()) == []


def test_where_there_is_no_small_disk_it_is_said(tmp_path, monkeypatch):
    """Who may not mount is told so, and gets an ordinary folder."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    disk = SmallDisk(tmp_path / "disk", megabytes=2)
    assert "root" in disk.missing and disk.folder.is_dir()
    disk.close()
