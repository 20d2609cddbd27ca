"""The blocking engine over forks, and at the end of a program that has closed nothing."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.fleet.fleet import SECRET
from tests.servers import postgres, valkey

from coatcheck import blocking


def play(story, url):
    """Play a story of ``forks.py`` in a process of its own; return what it found, and what it complained of."""
    script = Path(__file__).with_name("forks.py")
    # A story has threads of its own, of which Python warns at a fork.
    quiet = ["-W", "error::ResourceWarning", "-W", "ignore:This process:DeprecationWarning"]
    command = [sys.executable, *quiet, script, story, url]
    env = {**os.environ, "COATCHECK_SECRET": SECRET}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "fsync=off" not in line]  # as servers of tests run
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return found[0] if len(found) == 1 else found, said


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.long),
        pytest.param("valkey", marks=pytest.mark.long),
    ]
)
def url(request, tmp_path):
    """The URL of an empty store that processes can share."""
    return {
        "sqlite": lambda: f"sqlite:///{tmp_path}/coatcheck.db",
        "postgresql": lambda: postgres.shared("18").url(),
        "valkey": lambda: valkey.shared().url(),
    }[request.param]()


def test_an_engine_that_was_in_use_before_a_fork(url):
    """The child opens it anew and sees all there is; what it ends has ended in the parent, and the other way."""
    found, said = play("used", url)
    assert found == {
        "child": {"sees": [True, True], "token": True},
        "exit": 0,
        "parent": [False, True, True],
        "ended": False,
    }
    assert said == []


def test_an_engine_that_was_only_built_before_a_fork(url):
    """As with gunicorn's preload: what each child began, the parent sees."""
    found, said = play("built", url)
    assert found == [[True, 0]] * 3
    assert said == []


def test_a_fork_while_threads_are_in_the_middle_of_calls(url):
    """They wait for the fork, and go on; no call fails, and nothing that was acknowledged is lost."""
    found, said = play("busy", url)
    assert found == {"statuses": [[True, 0]] * 5, "faults": [], "lost": 0}
    assert said == []


@pytest.mark.long
@pytest.mark.parametrize("start", [lambda: postgres.shared("18").url(), lambda: valkey.shared().url()])
def test_no_two_processes_are_one_node(start):
    """Before the fork the parent leaves; the child joins under a name of its own, and leaves at its end."""
    found, _ = play("nodes", start())
    (before,), (accepted, (in_child,)), (after,) = found["before"], found["child"], found["after"]
    assert accepted
    assert len({before, in_child, after}) == 3


def test_memory_cannot_be_shared(tmp_path):
    """The child is refused with words; the parent has everything still."""
    found, _ = play("memory", "memory://")
    assert found == {"child": "forked", "exit": 0, "parent": True}


@pytest.mark.parametrize("story", ["left_open", "left_open_in_a_thread"])
def test_a_program_that_ends_without_closing(tmp_path, story):
    """It ends at once and complains of nothing; the engine was closed, down to its store, which needs a thread."""
    path = tmp_path / "coatcheck.db"
    (token, closed), said = play(story, f"sqlite:///{path}")
    assert closed == "closed"
    assert said == []
    assert not path.with_name(path.name + "-wal").exists()
    with blocking.Coatcheck(f"sqlite:///{path}") as auth:
        assert auth.check(token)
    with contextlib.closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
