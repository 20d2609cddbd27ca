"""
What several processes did, and what of it must never be. Knows nothing of Coatcheck; times are of one clock that all
processes share (``time.monotonic_ns``).

An operation *precedes* another when it returned before the other began. Everything else is concurrent, and either order
of the two is right. So a fault found here is a fault however the processes were scheduled.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

ENDINGS = ("revoke", "revoke_user", "revoke_everyone")


@dataclass(frozen=True, kw_only=True)
class Op:
    """
    One operation of one process.

    Attributes:
        kind: ``sign_in``, ``renew``, ``claims``, ``write_data``, ``read_data``, ``check`` or one of :data:`ENDINGS`.

        begin, end: When it was called and when it returned, nanoseconds.

        token: What was checked, or given by a sign-in, or replaced by a renewal. fresh: what the renewal gave.

        accepted: Of a check. warm: answered from memory.

        claims: What a check showed, or a sign-in or an update wrote; every write has a value of its own.

        keys: Data keys written, or found.

        times: A worker folds equal checks into the first and the last of them; this says how many they were.
    """

    kind: str
    begin: int
    end: int
    process: int = 0
    sid: str = ""
    sub: str = ""
    token: str = ""
    fresh: str = ""
    accepted: bool = False
    warm: bool = False
    claims: str = ""
    keys: tuple[str, ...] = ()
    times: int = 1

    def precedes(self, other: Op) -> bool:
        """Say whether this returned before *other* began."""
        return self.end < other.begin


def save(ops, path):
    """Write *ops* to the file *path*."""
    Path(path).write_text("".join(json.dumps(asdict(op)) + "\n" for op in ops))


def load(*paths):
    """Return the operations in the files *paths*."""
    lines = [line for path in paths for line in Path(path).read_text().splitlines()]
    return [Op(**{**fields, "keys": tuple(fields["keys"])}) for fields in map(json.loads, lines)]


class History:
    """Operations, sorted by what they are about."""

    def __init__(self, ops):
        self.ops = list(ops)
        self.born = {op.sid: op for op in self.ops if op.kind == "sign_in"}
        self.issued = {op.token: op for op in self.ops if op.kind == "sign_in"}
        self.issued |= {op.fresh: op for op in self.ops if op.kind == "renew"}
        self.checks = [op for op in self.ops if op.kind == "check"]
        self._by_sid = defaultdict(list)
        self._by_sub = defaultdict(list)
        self._everyone = [op for op in self.ops if op.kind == "revoke_everyone"]
        self._renewed = {op.token: op for op in self.ops if op.kind == "renew"}
        for op in self.ops:
            if op.kind == "revoke":
                self._by_sid[op.sid].append(op)
            elif op.kind == "revoke_user":
                self._by_sub[op.sub].append(op)

    def endings(self, token):
        """Every operation that ends *token*, or may have: all but those that returned before its session began."""
        issue = self.issued[token]
        ends = [*self._by_sid[issue.sid], *self._by_sub[issue.sub], *self._everyone]
        if token in self._renewed:
            ends.append(self._renewed[token])
        return [end for end in ends if not end.precedes(self.born[issue.sid])]

    def certain_endings(self, token):
        """Those of :meth:`endings` that began after the session did: whatever the order, they ended it."""
        born = self.born[self.issued[token].sid]
        return [end for end in self.endings(token) if born.precedes(end)]

    def faults(self):
        """Return one sentence for each operation that must never be."""
        return [*self._stale(), *self._lost(), *self._old_claims(), *self._lost_keys()]

    def _stale(self):
        for check in self.checks:
            if check.accepted:
                for end in self.certain_endings(check.token):
                    if end.precedes(check):
                        late = (check.begin - end.end) / 1e6
                        yield f"accepted {late:.3f} ms after {end.kind} returned: {check}"
                        break

    def _lost(self):
        for check in self.checks:
            if not check.accepted and self.issued[check.token].precedes(check):
                if not any(end.begin < check.end for end in self.endings(check.token)):
                    yield f"refused, and nobody had ended it: {check}"

    def _old_claims(self):
        updates = defaultdict(list)
        for op in self.ops:
            if op.kind == "claims":
                updates[op.sub].append(op)
        wrote = {op.claims: op for op in self.ops if op.kind in ("sign_in", "claims")}
        for check in self.checks:
            if check.accepted:
                for update in updates[self.issued[check.token].sub]:
                    if update.precedes(check) and wrote[check.claims].precedes(update):
                        yield f"showed claims from before {update}: {check}"
                        break

    def _lost_keys(self):
        reads = defaultdict(list)
        for op in self.ops:
            if op.kind == "read_data":
                reads[op.sid].append(op)
        for write in self.ops:
            if write.kind == "write_data":
                for read in reads[write.sid]:
                    if write.precedes(read) and not set(write.keys) <= set(read.keys):
                        yield f"data keys of {write} are not in {read}"

    def contested(self, *, within_ns=20_000_000):
        """
        Count the endings of one session that met memory: another process had answered for it from memory not longer
        than *within_ns* before, or while it was being ended.
        """
        warm = defaultdict(list)
        for check in self.checks:
            if check.accepted and check.warm:
                warm[check.sid].append(check)
        return sum(
            any(
                check.process != end.process and end.begin - within_ns <= check.begin <= end.end
                for check in warm[end.sid]
            )
            for end in self.ops
            if end.kind == "revoke"
        )
