"""
What came of a run: was there a fault, and did enough happen that there could have been one? Pure.

Rules of this module:

1. "Always unsure" is no success: a run that accepted little from memory, ended little, or met few faults has shown
   nothing and says so.
2. A fault is shown by what proves it and by what was done to the processes meanwhile; nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from soak.checker import check, contested
from soak.history import FOREVER, Op
from soak.ledger import ENDINGS, SECOND, Finding

WARM_PER_S = 100
VERIFIED_PER_S = 50
ENDED_PER_S = 10
CONTESTED_PER_S = 1
KINDS = 3
_SHOWN = 5


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """
    The outcome.

    Attributes:
        findings: Every fault. first_s: when the first of them happened, seconds after the beginning.

        shortfalls: What happened too little for a verdict.

        checks, verifies: By their outcome. operations: by kind and outcome.

        unsure: The share of checks and verifications that were answered with "not now".

        faults: By kind. skipped: kinds that could not be done here, and why.
    """

    seed: str
    store: str
    duration_s: float
    findings: list[Finding]
    first_s: float | None
    shortfalls: list[str]
    ended: int
    contested: int
    unsure: float
    checks: dict[str, int]
    verifies: dict[str, int]
    operations: dict[str, int]
    faults: dict[str, int]
    skipped: dict[str, str]
    history: str = ""

    @property
    def is_good(self) -> bool:
        """Whether nothing was found, and enough looked at."""
        return not self.findings and not self.shortfalls


def judge(
    ops: Sequence[Op],
    *,
    seed: str,
    store: str,
    duration_s: float,
    lease_s: float,
    skipped: Mapping[str, str],
    folder: str,
    new_keys: Collection[str] = (),
    in_steps: bool = False,
) -> Report:
    """Judge a history; *new_keys* and *in_steps* are of :func:`soak.checker.check`."""
    looks: dict[str, Counter[str]] = {"check": Counter(), "verify": Counter()}
    operations: Counter[str] = Counter()
    done: Counter[str] = Counter()
    for op in ops:
        if op.kind in looks:
            looks[op.kind][_outcome(op)] += op.times
        elif op.kind == "fault":
            done[op.reason] += 1
        else:
            operations[f"{op.kind} {_outcome(op)}"] += 1
    findings = check(ops, lease_s=lease_s, new_keys=new_keys, in_steps=in_steps)
    ended = sum(1 for op in ops if op.kind in ENDINGS and op.outcome == "ok")
    checks, verifies = looks["check"], looks["verify"]
    unsure = checks["unknown unavailable"] + sum(count["refused unsure"] for count in looks.values())
    met = contested(ops)
    wanted = (
        ("checks accepted from memory", checks["ok from memory"], WARM_PER_S * duration_s),
        ("access tokens accepted", verifies["ok from memory"], VERIFIED_PER_S * duration_s),
        ("revocations acknowledged", ended, ENDED_PER_S * duration_s),
        ("revocations that met memory", met, CONTESTED_PER_S * duration_s),
        ("kinds of fault done", len(done), KINDS),
    )
    return Report(
        seed=seed,
        store=store,
        duration_s=duration_s,
        findings=findings,
        first_s=_first_s(ops, findings),
        shortfalls=[f"{name}: {got}, at least {least:.0f} are needed" for name, got, least in wanted if got < least],
        ended=ended,
        contested=met,
        unsure=unsure / max(1, checks.total() + verifies.total()),
        checks=dict(checks.most_common()),
        verifies=dict(verifies.most_common()),
        operations=dict(sorted(operations.items())),
        faults=dict(sorted(done.items())),
        skipped=dict(skipped),
        history=folder,
    )


def _first_s(ops: Iterable[Op], findings: Sequence[Finding]) -> float | None:
    begun = min((op.begin for op in ops if op.kind == "open" and not op.process.startswith("prepare")), default=0)
    return None if not findings else round((findings[0].ops[-1].begin - begun) / SECOND, 1)


def _outcome(op: Op) -> str:
    if op.outcome == "ok" and op.kind in ("check", "verify"):
        return "ok from memory" if op.warm else "ok from the store"
    return f"{op.outcome} {op.reason}".strip()


def lines(report: Report, ops: Iterable[Op]) -> list[str]:
    """Return the report as text."""
    said = [
        f"{report.store}, {report.duration_s:g} s, seed {report.seed}",
        f"  checks     {_counts(report.checks)}",
        f"  verifies   {_counts(report.verifies)}",
        f"  unsure     {report.unsure:.2%}",
        f"  ended      {report.ended}, of which {report.contested} met another process's memory",
        f"  operations {_counts(report.operations)}",
        f"  faults     {_counts(report.faults)}",
        *(f"  skipped    {kind}: {why}" for kind, why in report.skipped.items()),
    ]
    if report.findings:
        kinds = _counts(dict(Counter(finding.rule for finding in report.findings)))
        said.append(f"FOUND {len(report.findings)} ({kinds}), the first after {report.first_s:g} s")
        said.append(f"the history is in {report.history}")
        injected = [op for op in ops if op.kind == "fault"]
        for finding in report.findings[:_SHOWN]:
            said += ["", *excerpt(finding, injected)]
    said += [f"TOO LITTLE: {shortfall}" for shortfall in report.shortfalls]
    if report.is_good:
        said.append("nothing found")
    return said


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def excerpt(finding: Finding, injected: Iterable[Op]) -> list[str]:
    """
    Return what proves a finding, and what was done to the processes in it at the time, in milliseconds.

    Args:
        injected: The faults that were done.
    """
    begin = min(op.begin for op in finding.ops)
    end = max(op.end if op.end < FOREVER else op.begin for op in finding.ops)
    who = {op.process for op in finding.ops} | {"store"}
    beside = [op for op in injected if op.process in who and op.begin <= end and op.end >= begin]
    said = [f"{finding.rule}: {finding.text}"]
    for op in sorted([*finding.ops, *beside], key=lambda op: op.begin):
        until = f"{(op.end - begin) / 1e6:.3f}" if op.end < FOREVER else "never"
        said.append(f"  {(op.begin - begin) / 1e6:12.3f} to {until:>12}  {op.process:>6}  {_told(op)}")
    return said


def _told(op: Op) -> str:
    fields = msgspec.structs.asdict(op)
    left = {
        name: value for name, value in fields.items() if name not in _LEFT_OUT and value not in ("", 0, (), {}, False)
    }
    return f"{op.kind} " + " ".join(f"{name}={value}" for name, value in left.items())


_LEFT_OUT = frozenset({"kind", "begin", "end", "process", "times", "since", "until"})
