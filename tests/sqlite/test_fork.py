"""An engine that was opened before fork(): refused in the child, unharmed in the parent."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def play(tmp_path):
    """Play a story of ``forks.py`` in a process of its own and return what it found."""

    def played(story):
        script = Path(__file__).with_name("forks.py")
        done = subprocess.run([sys.executable, script, story, tmp_path], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return played


def test_every_call_in_the_child_is_refused_and_the_parent_loses_nothing(play):
    """In the child each call raises Forked; after its full shutdown every commit of the parent is there."""
    found = play("refused")
    assert found["exit"] == 0
    assert len(found["child"]) > 15
    assert {name: said for name, said in found["child"].items() if said != "forked"} == {}
    assert found["same wal"]
    assert found["live in the parent"] == found["live after reopening"] == [True] * 3
    assert found["ended in the parent"] == found["ended after reopening"] == [False]


def test_a_verifier_in_the_child_is_refused(play):
    """Its keys and revocations came over the parent's connections; in the parent it goes on."""
    found = play("verifier")
    assert found == {"child": {"store": "forked", "engine": "forked"}, "exit": 0, "parent": [True, True]}


@pytest.mark.parametrize("story", ["outlived", "outlived_by_a_verifier"])
def test_a_child_that_outlives_the_parents_engine_removes_nobodys_commits(play, story):
    """What the child inherited is never closed: closing would remove the log of a process that was killed."""
    found = play(story)
    assert found["exit"] == 0
    assert found["live"] == [True] * 3


def test_a_child_cannot_open_what_the_parent_had_open(play):
    """SQLite takes the parent's locks for the child's, who would lose commits: so the child is refused, for good."""
    found = play("own_engine")
    assert found["while the parent has it open"] == found["after the parent closed it"] == "forked"
    assert found["live"] == [True, True]
    assert found["exit"] == 0


def test_engines_opened_after_the_fork_work_together(play):
    """Parent and child each have an engine on one file, and end each other's sessions."""
    found = play("forked_first")
    assert found["child sees"] == [True, True]
    assert found["parent sees"] == [True, True]
    assert found["child sees after the parent revoked"] == [False, True]
    assert found["parent sees after the child revoked"] == [False, False]
    assert found["others at the end"] == [True, True]
    assert found["exit"] == 0
