"""Several processes on one file: nobody accepts what was ended, and nothing acknowledged is lost."""

import asyncio
import collections
import multiprocessing

import crowd
import history
import pytest

spawn = multiprocessing.get_context("spawn")


def run_crowd(folder, *, processes, revocations, seconds):
    """Let a crowd loose on one file; return its history, with a last look by a fresh engine."""
    url, gate = f"sqlite:///{folder}/coatcheck.db", spawn.Barrier(processes)
    load = {"processes": processes, "revocations": revocations, "seconds": seconds}
    asyncio.run(crowd.make_file(url))
    crowd_of = [
        spawn.Process(target=crowd.work, args=(number, folder, url, gate), kwargs=load) for number in range(processes)
    ]
    for process in crowd_of:
        process.start()
    for process in crowd_of:
        process.join(seconds + 90)
    for process in crowd_of:
        if process.is_alive():
            process.kill()
    assert [process.exitcode for process in crowd_of] == [0] * processes
    ops = history.load(*(folder / f"ops-{number}" for number in range(processes)))
    return history.History([*ops, *asyncio.run(crowd.final_look(url, ops, processes))])


def assert_true(told, *, writes, contested):
    """No fault; and enough happened that there could have been one."""
    assert told.faults()[:5] == []
    done = collections.Counter(op.kind for op in told.ops)
    checks = sum(op.times for op in told.checks)
    assert checks > 10 * writes, done
    assert sum(done.values()) - done["check"] - done["read_data"] > writes, done
    assert done["renew"] and done["claims"] and done["write_data"] and done["revoke_user"], done
    assert told.contested() >= contested, (told.contested(), done)


@pytest.mark.parametrize("processes", [2, 4])
def test_no_process_accepts_what_another_has_ended(tmp_path, processes):
    """Not one check that began after a revocation, renewal or change of claims returned shows what was before."""
    told = run_crowd(tmp_path, processes=processes, revocations=600 // processes, seconds=60)
    assert_true(told, writes=1500, contested=200)


@pytest.mark.long
def test_no_process_accepts_what_another_has_ended_for_a_minute(tmp_path):
    """The same with four processes for a minute."""
    told = run_crowd(tmp_path, processes=4, revocations=1_000_000, seconds=60)
    assert_true(told, writes=5000, contested=1000)
