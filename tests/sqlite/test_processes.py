"""Several processes on one file: nobody accepts what was ended, and nothing acknowledged is lost."""

import asyncio
import collections
import multiprocessing

import crowd
import pytest

from soak.checker import check, contested
from soak.history import load

spawn = multiprocessing.get_context("spawn")


def run_crowd(folder, *, processes, revocations, seconds):
    """Let a crowd loose on one file; return what was done, with a last look by a fresh engine."""
    url, gate = f"sqlite:///{folder}/coatcheck.db", spawn.Barrier(processes)
    share = {"processes": processes, "revocations": revocations, "seconds": seconds}
    asyncio.run(crowd.make_file(url))
    crowd_of = [
        spawn.Process(target=crowd.work, args=(number, folder, url, gate), kwargs=share) for number in range(processes)
    ]
    for process in crowd_of:
        process.start()
    for process in crowd_of:
        process.join(seconds + 90)
    for process in crowd_of:
        if process.is_alive():
            process.kill()
    assert [process.exitcode for process in crowd_of] == [0] * processes
    asyncio.run(crowd.final_look(url, folder, load(folder)))
    return load(folder)


def assert_true(ops, *, writes, met):
    """No fault; and enough happened that there could have been one."""
    assert check(ops)[:5] == []
    done = collections.Counter(op.kind for op in ops)
    checks = sum(op.times for op in ops if op.kind == "check")
    assert checks > 10 * writes, done
    assert sum(done.values()) - done["check"] - done["read_data"] > writes, done
    assert done["renew"] and done["claims"] and done["write_data"] and done["revoke_user"], done
    assert contested(ops) >= met, (contested(ops), done)


@pytest.mark.parametrize("processes", [2, 4])
def test_no_process_accepts_what_another_has_ended(tmp_path, processes):
    """Not one check that began after a revocation, renewal or change of claims returned shows what was before."""
    ops = run_crowd(tmp_path, processes=processes, revocations=600 // processes, seconds=60)
    assert_true(ops, writes=1500, met=200)


@pytest.mark.long
def test_no_process_accepts_what_another_has_ended_for_a_minute(tmp_path):
    """The same with four processes for a minute."""
    ops = run_crowd(tmp_path, processes=4, revocations=1_000_000, seconds=60)
    assert_true(ops, writes=5000, met=1000)
