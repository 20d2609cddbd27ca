"""
What was asked and answered, each with its interval on one clock, and what of it must not have been.

Rules of this module:

1. An interval is too wide, never too narrow: it begins before the request is sent and ends after its answer was read.
   So what is called stale was stale.
2. An ending counts from its return when it was acknowledged; it may count from its begin whatever came of it.
"""

from __future__ import annotations

import collections
import dataclasses
import time

now = time.monotonic

ANSWERS = {
    "sign_in": (200, 401, 429, 503),
    "session": (200, 401, 503),
    "devices": (200, 401, 503),
    "token": (200, 401, 503),
    "orders": (200, 401, 503),
    "end": (204, 401, 404, 503),
}
"""By kind, what may come back; anything else is a fault of the server."""

ACCEPTED = ("session", "devices", "token", "orders")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """
    One request.

    Attributes:
        kind: A key of :data:`ANSWERS`. where: who was asked: ``nginx``, ``server 0``, …, ``service``.

        status: 0 when no answer came.

        sid: The session that asked; for an *end*, the one that was to end. sub: whose; an *end* without *sid* is of all
            sessions of *sub*, but for the one that it *keep* s.

        note: What else was said.
    """

    kind: str
    begin: float
    end: float
    where: str
    status: int
    sid: str = ""
    sub: str = ""
    keep: str = ""
    note: str = ""


class History:
    """All that happened."""

    def __init__(self) -> None:
        self.ops: list[Op] = []

    def add(self, op: Op) -> Op:
        """Note one more; return it."""
        self.ops.append(op)
        return op

    def of(self, kind: str, *statuses: int) -> list[Op]:
        """Return the operations of a kind, with these statuses only if there are any."""
        return [op for op in self.ops if op.kind == kind and (not statuses or op.status in statuses)]


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be; ``rule`` is ``stale``, ``lost`` or ``odd``."""

    rule: str
    op: Op
    end: Op | None = None


def judge(history: History, *, new_keys: bool = False) -> list[Finding]:
    """
    Return what must not have been.

    *stale*: accepted, though an ending had returned before it was asked. *lost*: refused for good, and nobody had begun
    to end it. *odd*: an answer that this address never gives.

    Args:
        new_keys: The keys may have become others meanwhile, and access tokens of before be refused for that.
    """
    born = {op.sid: op for op in history.of("sign_in", 200)}
    by_sid: collections.defaultdict[str, list[Op]] = collections.defaultdict(list)
    by_sub: collections.defaultdict[str, list[Op]] = collections.defaultdict(list)
    for end in history.of("end"):
        if end.sid:
            by_sid[end.sid].append(end)
        else:
            by_sub[end.sub].append(end)
    found = []
    for op in history.ops:
        # The passwords are all right: only an ending of all sessions meanwhile may turn a sign-in away.
        is_wrong = op.kind == "sign_in" and op.status == 401 and "ended_meanwhile" not in op.note
        if op.status not in ANSWERS[op.kind] or is_wrong:
            found.append(Finding("odd", op))
        if op.kind not in ACCEPTED:
            continue
        began = born[op.sid]
        ends = [*by_sid[op.sid], *(end for end in by_sub[began.sub] if end.keep != op.sid)]
        if op.status == 200:
            known = [e for e in ends if e.status == 204 and e.end < op.begin and (e.sid or began.end < e.begin)]
            if known:
                found.append(Finding("stale", op, min(known, key=lambda end: end.end)))
        elif op.status == 401 and new_keys and op.note == "unknown_key":
            continue
        elif op.status == 401 and not any(
            e.begin < op.end and (e.sid or began.begin < e.end) and e.status not in (401, 404) for e in ends
        ):
            found.append(Finding("lost", op))
    return found
