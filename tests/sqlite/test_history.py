"""The checker itself: it finds what is planted, and nothing else."""

import pytest
from history import History, Op, load, save

SIGN_IN = Op(kind="sign_in", begin=10, end=20, sid="s", sub="maria", token="t", claims="born")


def check(begin, end, **fields):
    """A check of the planted session, accepted unless said otherwise."""
    return Op(
        **{
            "kind": "check",
            "begin": begin,
            "end": end,
            "sid": "s",
            "token": "t",
            "accepted": True,
            "claims": "born",
            "process": 1,
            "warm": True,
            **fields,
        }
    )


ENDS = {
    "revoke": {"kind": "revoke", "sid": "s"},
    "renew": {"kind": "renew", "sid": "s", "sub": "maria", "token": "t", "fresh": "t2"},
    "revoke_user": {"kind": "revoke_user", "sub": "maria"},
    "revoke_everyone": {"kind": "revoke_everyone"},
}


@pytest.mark.parametrize("end", ENDS)
def test_a_stale_acceptance_is_found(end):
    """A check that began after an end returned, and was accepted, is a fault; one that began before is not."""
    ended = Op(begin=30, end=40, **ENDS[end])
    assert History([SIGN_IN, ended, check(41, 42)]).faults() != []
    assert History([SIGN_IN, ended, check(39, 60)]).faults() == []
    assert History([SIGN_IN, ended, check(41, 42, accepted=False)]).faults() == []


@pytest.mark.parametrize("end", ["revoke", "revoke_user", "revoke_everyone"])
def test_a_session_that_came_back_under_a_new_token_is_found(end):
    """A renewal that ran beside a revocation must not save the session."""
    renewed = Op(begin=25, end=60, **ENDS["renew"])
    ended = Op(begin=30, end=40, **ENDS[end])
    assert History([SIGN_IN, renewed, ended, check(61, 62, token="t2")]).faults() != []


@pytest.mark.parametrize("end", ["revoke_user", "revoke_everyone"])
def test_a_sign_in_beside_an_end_may_go_either_way(end):
    """Whoever signs in while a subject is revoked may be in or out; whoever does so afterwards is in."""
    beside = Op(begin=15, end=40, **ENDS[end])
    for accepted in (True, False):
        assert History([SIGN_IN, beside, check(41, 42, accepted=accepted)]).faults() == []
    before = Op(begin=1, end=5, **ENDS[end])
    assert History([SIGN_IN, before, check(41, 42)]).faults() == []
    assert History([SIGN_IN, before, check(41, 42, accepted=False)]).faults() != []


@pytest.mark.parametrize("end", ENDS)
def test_a_lost_sign_in_is_found(end):
    """A refusal of what was acknowledged and nobody had begun to end is a fault."""
    ended = Op(begin=30, end=40, **ENDS[end])
    assert History([SIGN_IN, check(21, 29, accepted=False)]).faults() != []
    assert History([SIGN_IN, ended, check(21, 29, accepted=False)]).faults() != []
    assert History([SIGN_IN, ended, check(21, 31, accepted=False)]).faults() == []


def test_a_lost_renewal_is_found():
    """The token of an acknowledged renewal opens the session, too."""
    renewed = Op(begin=30, end=40, **ENDS["renew"])
    assert History([SIGN_IN, renewed, check(41, 42, token="t2", accepted=False)]).faults() != []
    assert History([SIGN_IN, renewed, check(41, 42, token="t2")]).faults() == []


def test_old_claims_are_found():
    """A check that began after an update returned shows that update, or one that may have come after it."""
    first = Op(kind="claims", begin=30, end=40, sub="maria", claims="first")
    second = Op(kind="claims", begin=50, end=60, sub="maria", claims="second")
    beside = Op(kind="claims", begin=35, end=55, sub="maria", claims="beside")
    assert History([SIGN_IN, first, check(41, 42)]).faults() != []
    assert History([SIGN_IN, first, second, check(61, 62, claims="first")]).faults() != []
    assert History([SIGN_IN, first, second, beside, check(61, 62, claims="beside")]).faults() == []
    assert History([SIGN_IN, first, check(39, 42)]).faults() == []
    assert History([SIGN_IN, first, check(41, 42, claims="first")]).faults() == []


def test_a_lost_key_is_found():
    """A key whose write returned is in every later reading of the data."""
    write = Op(kind="write_data", begin=30, end=40, sid="s", keys=("a",))
    assert History([SIGN_IN, write, Op(kind="read_data", begin=41, end=42, sid="s", keys=("b",))]).faults() != []
    assert History([SIGN_IN, write, Op(kind="read_data", begin=41, end=42, sid="s", keys=("a", "b"))]).faults() == []
    assert History([SIGN_IN, write, Op(kind="read_data", begin=39, end=42, sid="s")]).faults() == []


def test_only_what_met_memory_counts():
    """A revocation counts as contested when another process was answering for the session from memory."""
    ended = Op(begin=30, end=40, **ENDS["revoke"])
    assert History([SIGN_IN, ended, check(35, 36)]).contested() == 1
    assert History([SIGN_IN, ended, check(25, 26)]).contested(within_ns=5) == 1
    assert History([SIGN_IN, ended, check(24, 26)]).contested(within_ns=5) == 0
    for fields in ({"process": 0}, {"warm": False}, {"accepted": False}):
        assert History([SIGN_IN, ended, check(35, 36, **fields)]).contested() == 0


def test_a_clean_history_has_no_fault_and_survives_the_disk(tmp_path):
    """Nothing is found where nothing is wrong, and what is saved is what is loaded."""
    ops = [
        SIGN_IN,
        check(21, 22),
        Op(kind="claims", begin=23, end=24, sub="maria", claims="first"),
        check(25, 26, claims="first"),
        Op(kind="write_data", begin=27, end=28, sid="s", keys=("a",)),
        Op(kind="read_data", begin=29, end=30, sid="s", keys=("a",)),
        Op(begin=31, end=40, **ENDS["renew"]),
        check(32, 33, claims="first"),
        check(41, 42, accepted=False),
        check(41, 42, token="t2", claims="first"),
        Op(begin=50, end=60, **ENDS["revoke"]),
        check(61, 62, token="t2", accepted=False),
    ]
    save(ops, tmp_path / "ops")
    assert load(tmp_path / "ops") == ops
    assert History(ops).faults() == []
