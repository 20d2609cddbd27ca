"""What is done to the processes of a soak, and when."""

import pytest

from soak.faults import KINDS, OF_STORE, STORE, plan

EVERYTHING = sorted(KINDS)


def made(seed="1", duration_s=120.0, kinds=EVERYTHING, engines=4):
    return plan(seed, duration_s=duration_s, engines=engines, verifiers=1, kinds=kinds, lease_s=2.0)


def test_a_seed_is_a_plan():
    """The same seed does the same at the same times, another one something else."""
    assert made("7") == made("7") != made("8")


@pytest.mark.parametrize("seed", range(20))
def test_each_kind_comes_before_any_comes_again(seed):
    """Two minutes hold every kind; twenty seconds hold at least three, whatever the seed and the store."""
    found = [fault.kind for fault in made(str(seed))]
    assert sorted(set(found)) == EVERYTHING
    for kinds in (EVERYTHING, ["clock", "disk", "flood", "kill", "pause"]):
        assert len({fault.kind for fault in made(str(seed), duration_s=20.0, kinds=kinds)}) >= 3


@pytest.mark.parametrize("seed", range(20))
def test_nobody_has_two_faults_at_once(seed):
    """A process has one fault at a time, and so has the store; all are over before the end."""
    busy = {}
    for fault in made(str(seed)):
        assert fault.at_s >= busy.get(fault.target, 0.0)
        assert (fault.target == STORE) == (fault.kind in OF_STORE)
        busy[fault.target] = fault.at_s + fault.for_s
        assert busy[fault.target] <= 118.5


def test_only_an_engine_is_flooded():
    """A verifier checks no session tokens."""
    assert {fault.target for fault in made(kinds=["flood"])} <= {0, 1, 2, 3}


def test_nothing_to_do_is_a_plan():
    """Where no fault can be done, none is."""
    assert made(kinds=[]) == []
