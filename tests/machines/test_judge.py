"""The judge itself, on histories with planted faults."""

import dataclasses

import pytest
from tests.machines.judge import History, Op, judge

ENTERED = Op(kind="sign_in", begin=0, end=1, where="nginx", status=200, sid="a", sub="maria")
ENDED = Op(kind="end", begin=2, end=3, where="nginx", status=204, sid="a", sub="maria")
ALL = dataclasses.replace(ENDED, sid="")
LOOKED = Op(kind="session", begin=4, end=5, where="server 1", status=200, sid="a", sub="maria")


def changed(op, **fields):
    return dataclasses.replace(op, **fields)


@pytest.mark.parametrize(
    ("rules", "ops"),
    [
        # what may be
        ([], [ENTERED, LOOKED]),
        ([], [ENTERED, ENDED, changed(LOOKED, status=401)]),
        ([], [ENTERED, ENDED, changed(LOOKED, status=503)]),
        ([], [ENTERED, ENDED, changed(LOOKED, begin=2.9)]),
        ([], [ENTERED, ENDED, changed(LOOKED, begin=1, end=2.1, status=401)]),
        ([], [ENTERED, changed(ENDED, status=503), LOOKED]),
        ([], [ENTERED, changed(ENDED, status=503), changed(LOOKED, status=401)]),
        (["odd"], [ENTERED, changed(ENDED, status=0), changed(LOOKED, status=401)]),
        ([], [ENTERED, changed(ENDED, status=404), LOOKED]),
        ([], [ENTERED, changed(ALL, keep="a"), LOOKED]),
        ([], [ENTERED, ALL, changed(LOOKED, status=401)]),
        ([], [changed(ENTERED, end=2.5), ALL, LOOKED]),
        ([], [changed(ENTERED, end=2.5), ALL, changed(LOOKED, status=401)]),
        ([], [changed(ENTERED, begin=3.5, end=3.7), ALL, LOOKED]),
        # what must not be
        (["stale"], [ENTERED, ENDED, LOOKED]),
        (["stale"], [ENTERED, ENDED, changed(LOOKED, kind="orders", where="service")]),
        (["stale"], [ENTERED, ALL, LOOKED]),
        (["stale"], [ENTERED, changed(ALL, keep="b"), LOOKED]),
        (["stale"], [ENTERED, changed(ENDED, end=9), ENDED, LOOKED]),
        (["lost"], [ENTERED, changed(LOOKED, status=401)]),
        (["lost"], [ENTERED, changed(LOOKED, status=401), changed(ENDED, begin=6, end=7)]),
        (["lost"], [ENTERED, changed(ENDED, status=404), changed(LOOKED, status=401)]),
        (["lost"], [ENTERED, changed(ENDED, sid="b"), changed(LOOKED, status=401)]),
        (["lost"], [ENTERED, changed(ALL, sub="otto"), changed(LOOKED, status=401)]),
        (["lost"], [ENTERED, changed(ALL, keep="a"), changed(LOOKED, status=401)]),
        (["lost"], [changed(ENTERED, begin=3.5, end=3.7), ALL, changed(LOOKED, status=401)]),
        ([], [changed(ENTERED, status=401, note='"code":"ended_meanwhile"')]),
        (["odd"], [changed(ENTERED, status=401, note='"code":"wrong_credentials"')]),
        (["odd"], [ENTERED, changed(LOOKED, status=500)]),
        (["odd"], [ENTERED, changed(LOOKED, status=502)]),
        (["odd"], [ENTERED, changed(LOOKED, status=0)]),
        (["odd"], [ENTERED, changed(ENDED, status=500)]),
    ],
)
def test_what_is_found(rules, ops):
    """Each fault is found, and nothing that may be is called one."""
    history = History()
    history.ops += ops
    assert [finding.rule for finding in judge(history)] == rules
