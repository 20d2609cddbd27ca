"""What is said about a run."""

import pytest

from soak.history import FOREVER, Op
from soak.report import excerpt, judge, lines

SETTINGS = {"seed": "1", "store": "sqlite", "duration_s": 1.0, "lease_s": 0.1, "skipped": {}, "folder": "there"}


def busy_second():
    """A second in which enough happens."""
    ops = []
    for number in range(10):
        at = 1000 * number
        sid, token = f"s{number}", f"t{number}"
        common, many = {"sid": sid, "version": 1}, {"warm": True, "times": 20, "process": "1.1"}
        ops += [
            Op(kind="sign_in", begin=at, end=at + 1, sub="m", token=token, claims=sid, process="0.1", **common),
            Op(kind="check", begin=at + 2, end=at + 3, token=token, claims=sid, **many, **common),
            Op(kind="mint", begin=at + 4, end=at + 5, since=at + 2, jwt=f"j{number}", process="0.1", **common),
            Op(kind="verify", begin=at + 6, end=at + 7, token=f"j{number}", **many, **common),
            Op(kind="revoke", begin=at + 8, end=at + 9, sid=sid, process="0.1"),
        ]
    done = ("kill", "pause", "flood")
    return [*ops, *(Op(kind="fault", begin=1, end=2, process="0.1", reason=kind) for kind in done)]


def test_a_good_run_is_good():
    """Nothing found, and enough looked at."""
    report = judge(busy_second(), **SETTINGS)
    assert report.is_good and report.ended == 10 and report.checks == {"ok from memory": 200}
    assert lines(report, busy_second())[-1] == "nothing found"


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ("check", "checks accepted from memory: 0"),
        ("verify", "access tokens accepted: 0"),
        ("revoke", "revocations acknowledged: 0"),
        ("fault", "kinds of fault done: 0"),
    ],
)
def test_a_run_in_which_nothing_happened_is_not_good(without, said):
    """Without checks from memory, verifications, revocations or faults a run has shown nothing, and says so."""
    report = judge([op for op in busy_second() if op.kind != without], **SETTINGS)
    assert not report.is_good and not report.findings
    assert any(shortfall.startswith(said) for shortfall in report.shortfalls)


def test_always_unsure_is_not_good():
    """A run in which every check said "not now" has accepted nothing, and its share is told."""
    unsure = [
        Op(kind="check", begin=1, end=2, token="t", outcome="unknown", reason="unavailable", times=30),
        Op(kind="verify", begin=1, end=2, token="j", outcome="refused", reason="unsure", times=10),
    ]
    report = judge(unsure, **SETTINGS)
    assert report.unsure == 1.0 and not report.findings and not report.is_good


def test_a_fault_is_told_with_what_proves_it():
    """The sign-in, the end, the acceptance, and what was done to their processes at the time; where the history is."""
    stale = Op(kind="check", begin=20, end=21, sid="s0", token="t0", claims="s0", version=1, process="1.1")
    other = Op(kind="fault", begin=1, end=30, process="2.1", reason="pause")
    report = judge([*busy_second(), stale, other], **SETTINGS)
    assert not report.is_good
    said = lines(report, [*busy_second(), other])
    assert "FOUND 1 (stale 1), the first after 0 s" in said and "the history is in there" in said
    (finding,) = report.findings
    injected = [op for op in [*busy_second(), other] if op.kind == "fault"]
    kinds = [line.split()[4] for line in excerpt(finding, injected)[1:]]
    assert kinds == ["sign_in", "fault", "fault", "fault", "revoke", "check"], "and nothing of process 2"


def test_what_never_returned_is_told_as_that():
    """An operation of a killed process has no end."""
    lost = Op(kind="crash", begin=5, end=FOREVER, process="0.1", note="hangs")
    report = judge([lost], **SETTINGS)
    assert "never" in excerpt(report.findings[0], [])[1]
