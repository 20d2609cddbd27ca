"""Real processes, real faults: nobody accepts what was ended, and nothing acknowledged is lost."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from coatcheck import Coatcheck, ConfigError

ROOT = Path(__file__).parent.parent.parent


def has_postgres():
    try:
        Coatcheck("postgresql://postgres@127.0.0.1/none")
    except ConfigError:
        return False
    return True


STORE = "postgres" if has_postgres() else "sqlite"


def soak(folder, *arguments, wait_s):
    """Run it; return what it says."""
    command = [sys.executable, "-m", "soak", "--json", "--folder", folder, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=wait_s)
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert (report["findings"][:3], report["shortfalls"]) == ([], []), report["history"]
    assert done.returncode == 0
    return report


@pytest.mark.long
def test_twenty_seconds_of_faults(tmp_path):
    """Four engines and a verifier on one store, through at least three kinds of fault and 200 revocations."""
    report = soak(tmp_path, "--store", STORE, "--seed", "make test", wait_s=400)
    assert len(report["faults"]) >= 3 and report["ended"] >= 200
    assert report["checks"]["ok from memory"] >= 2000 and report["verifies"]["ok from memory"] >= 1000
    assert list(tmp_path.iterdir()) == [], "what is good leaves nothing"


@pytest.mark.long
@pytest.mark.parametrize("store", sorted({"sqlite", STORE}))
def test_two_minutes_of_all_faults(tmp_path, store):
    """The same for two minutes, with every kind of fault that this machine lets us do."""
    report = soak(tmp_path, "--store", store, "--duration", "120", wait_s=900)
    print(report["skipped"])
    assert len(report["faults"]) >= (5 if store == "sqlite" else 10)


def test_an_interrupted_run_leaves_nothing(tmp_path):
    """After Ctrl-C no process, no file and no mount of it is left, and the exit code is the shell's for that."""
    command = [sys.executable, "-m", "soak", "--store", "sqlite", "--folder", tmp_path]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
        there = psutil.Process(process.pid)
        while len(children := there.children(recursive=True)) < 5 or not list(tmp_path.glob("*/history/board")):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(60) == 130
        finally:
            process.kill()
        assert process.stderr.read() == b"interrupted\n"
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--faults", "plague"], "no such kind of fault: plague"),
        (["--duration", "1"], "nothing to see"),
        (["--store", "oracle"], "invalid choice"),
    ],
)
def test_mistakes_are_named(arguments, said):
    """A wrong argument is told before anything starts."""
    done = subprocess.run([sys.executable, "-m", "soak", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and said in done.stderr
