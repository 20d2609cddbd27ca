"""What is written down survives whatever happens to the process that wrote it."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from soak.history import FOREVER, Op, Recorder, load


def test_what_is_written_is_what_is_loaded(tmp_path):
    """An operation comes back as it returned; one that was begun only comes back with an unknown outcome."""
    recorder = Recorder(tmp_path, "0.1")
    begun = recorder.start("revoke", sid="s")
    done = recorder.start("sign_in", sub="maria", claims="1").done(sid="s", token="t", version=1)
    noted = recorder.note("read_data", done.begin, sid="s", data={"a": 1})
    other = recorder.note("fault", done.begin, process="3.2", reason="kill")
    recorder.close()
    unknown = Op(kind="revoke", begin=begun.op.begin, end=FOREVER, process="0.1", outcome="unknown", sid="s")
    assert sorted(load(tmp_path), key=lambda op: op.kind) == [other, noted, unknown, done]


def test_equal_operations_are_folded_without_loss_of_what_counts(tmp_path):
    """Of many equal checks the one that returned first, the one that began last, and their number are kept."""
    recorder = Recorder(tmp_path, "0.1")
    key = ("check", "ok", "", "s", "t", 1, "born", True)
    for begin, end in ((10, 14), (11, 12), (20, 21), (15, 16)):
        recorder.fold(begin, end, *key)
    recorder.fold(17, 18, "check", "refused", "revoked", "", "t", 0, "", False)
    recorder.close()
    first, last, refused = load(tmp_path)
    assert (first.begin, first.end, first.times) == (11, 12, 4)
    assert (last.begin, last.end, last.times) == (15, 16, 0)
    assert (first.kind, first.sid, first.token, first.version, first.claims, first.warm) == (
        "check",
        "s",
        "t",
        1,
        "born",
        True,
    )
    assert (refused.outcome, refused.reason, refused.times, refused.begin) == ("refused", "revoked", 1, 17)


def test_a_torn_last_line_is_no_fault_and_any_other_is(tmp_path):
    """A kill in the middle of a line loses that line; a line that cannot be read elsewhere is told."""
    recorder = Recorder(tmp_path, "0.1")
    whole = recorder.note("revoke", 1, sid="s")
    recorder.close()
    path = tmp_path / "ops-0.1"
    good = path.read_bytes()
    path.write_bytes(good + good[:20])
    assert load(tmp_path) == [whole]
    path.write_bytes(good + good[:20] + b"\n" + good)
    with pytest.raises(ValueError, match=r"ops-0\.1"):
        load(tmp_path)


def test_a_killed_process_leaves_all_it_did(tmp_path):
    """Everything up to a SIGKILL is there: lines, folds, and what was under way."""
    victim = """
        import pathlib, sys
        from soak.history import Recorder
        recorder = Recorder(pathlib.Path(sys.argv[1]), "0.1")
        for number in range(1, 1001):
            recorder.fold(number, number + 1, "check", "ok", "", "s", "t", 1, "", True)
        recorder.start("revoke", sid="s")
        print("ready", flush=True)
        sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(victim), str(tmp_path)]
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        os.kill(process.pid, signal.SIGKILL)
    ops = {(op.kind, op.times): op for op in load(tmp_path)}
    assert ops["check", 1000].begin == 1 and ops["check", 0].begin == 1000
    assert ops["revoke", 1].outcome == "unknown" and ops["revoke", 1].end == FOREVER
