"""
Coatcheck by itself: what its import, its command, its memory, its checks and its revocations cost, each beside what
it cannot do without. The scripts that measure it can be run one by one: ``fleet.py``, ``server.py``.
"""

import json
import mmap
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import _starting
import apsw
from _measure import ratio, rounds

HERE = Path(__file__).resolve().parent
STORES = ("sqlite", "postgres", "valkey")
PARTS = ("warm", "cold", "memory", "barrier")


def measure(stores, *, is_quick, tick=lambda: None):
    """Return all of it."""
    found = {"starting": _starting.measure(rounds=5 if is_quick else 25, tick=tick)}
    parts = PARTS[:2] if is_quick else PARTS
    for store in STORES:
        wanted = [word for part in parts for word in ("--only", part)]
        found[store] = _said_by("fleet.py", "--quick", "--store", store, *wanted)[store]
        tick()
    found |= _said_by("server.py", "--quick", "--only", "sign-in")
    found["pulse"] = _pulse()
    return found


def _pulse():
    """Asking SQLite whether another process has written, beside reading a number from a mapped file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pulse")
        path.write_bytes(bytes(8))
        with path.open("r+b") as file, mmap.mmap(file.fileno(), 8) as mapped:
            number = memoryview(mapped).cast("Q")
            connection = apsw.Connection(f"{folder}/asked.db")
            times = rounds(
                {"data_version": lambda: connection.pragma("data_version"), "mapped": lambda: number[0]},
                count=100, repeat=1000,
            )  # fmt: skip
            connection.close()
            number.release()
    return {"ratio": ratio(times, "data_version", "mapped"), "data_version_us": min(times["data_version"])}


def _said_by(script, *words):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "found.json")
        environment = {**os.environ, "PYTHONPATH": f"{HERE.parent / 'src'}{os.pathsep}{HERE.parent}"}
        command = [sys.executable, str(HERE / script), *words, "--json", str(path)]
        done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{script}: {done.stderr[-2000:]}")
        return json.loads(path.read_text(encoding="utf-8"))
