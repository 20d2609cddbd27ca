"""
A history, sorted by what it is about, and when things in it count. Pure; knows nothing of Coatcheck.

An operation *precedes* another when it returned before the other began. Everything else is concurrent, and either order
of the two is right; so what is found is a fault however the processes were scheduled.

Rules of this module:

1. *Certain* changes make an acceptance a fault; *possible* ones excuse a refusal. What has an unknown outcome is never
   certain, and possible from its beginning until nothing of it can be under way any more.
2. What is committed, without everybody having said so, is certain a lease later.
3. A store that was put back knows nothing of what was begun before it was there again. What comes later counts,
   whatever it is about; and no access token of before is excused by it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from soak.faults import BACK
from soak.history import FOREVER, Op

SECOND = 1_000_000_000
ENDINGS = frozenset({"revoke", "revoke_user", "revoke_everyone"})
_TELLS_VERSION = frozenset({"sign_in", "renew", "check", "verify", "mint", "issue_refresh", "refresh"})


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """
    A fault.

    Attributes:
        rule: ``stale``, ``unasked``, ``back``, ``lost``, ``spent``, ``two_successors``, ``old_value``, ``lost_update``
            or ``crash``.

        ops: What proves it, and nothing else, the oldest first.
    """

    rule: str
    text: str
    ops: tuple[Op, ...]


class Ledger:
    """
    The index of a history.

    Args:
        lease_s: What a process accepts from memory, it has heard no longer than this ago.

        late_s: What has an unknown outcome happens within this time of its end, or never.

    Attributes:
        born: sid -> its sign-in. issued, jwts, refreshes: token of each kind -> what gave it.

        presented: Refresh token -> who came with it.

        backs: When the store was put back to what it had been.
    """

    def __init__(self, ops: Iterable[Op], *, lease_s: float = 0.1, late_s: float = 15.0) -> None:
        self.ops = sorted(ops, key=lambda op: op.begin)
        self.lease = int(lease_s * SECOND)
        self._late = int(late_s * SECOND)
        self._deaths = {op.process: op.begin for op in self.of("fault") if op.reason == "kill"}
        self._deaths |= {op.process: op.end for op in self.of("fault") if op.reason == "torn"}
        self.backs = [op for op in self.of("fault") if op.reason in BACK]
        self.born = {op.sid: op for op in self.of("sign_in") if op.outcome == "ok"}
        self.issued = {op.token: op for op in self.born.values()}
        self.issued |= {op.fresh: op for op in self.of("renew") if op.fresh}
        self.jwts = {op.jwt: op for op in self.ops if op.jwt}
        self.refreshes = {op.fresh: op for op in self.of("issue_refresh", "refresh") if op.fresh}
        self.presented: defaultdict[str, list[Op]] = defaultdict(list)
        self._ends: defaultdict[str, list[Op]] = defaultdict(list)  # sid, sub, or "" for everyone ->
        self._renewals: defaultdict[str, list[Op]] = defaultdict(list)  # token, sid ->
        self._updates: defaultdict[str, list[Op]] = defaultdict(list)  # sub -> changes of claims
        self._seen: dict[tuple[str, int], Op] = {}  # (sid, version) -> what was the first to return it
        for op in self.of("refresh"):
            self.presented[op.token].append(op)
        for op in self.ops:
            self._index(op)
        self._first: dict[tuple[object, ...], Op | None] = {}

    def of(self, *kinds: str) -> Iterator[Op]:
        """Return the operations of these kinds, by when they began."""
        return (op for op in self.ops if op.kind in kinds)

    def _index(self, op: Op) -> None:
        if op.kind == "refresh":
            # A spent refresh token ends its session; one that others presented, too, may have been spent.
            others = len(self.presented[op.token]) > 1
            if op.reason == "reused" or op.outcome == "committed" or (op.outcome == "unknown" and others):
                self._ends[op.sid].append(op)
        if op.outcome == "refused" and not self.forgotten(op, op):
            return  # where it is forgotten, it may have been done before, and its answer be of what is there now
        if op.kind in ENDINGS:
            self._ends[{"revoke": op.sid, "revoke_user": op.sub}.get(op.kind, "")].append(op)
        elif op.kind == "renew":
            self._renewals[op.token].append(op)
            self._renewals[op.sid].append(op)
        elif op.kind == "claims":
            self._updates[op.sub].append(op)
        if op.kind in _TELLS_VERSION and op.version and op.outcome == "ok":
            first = self._seen.setdefault((op.sid, op.version), op)
            if op.end < first.end:
                self._seen[op.sid, op.version] = op

    # --- when things count ---

    def in_force(self, op: Op) -> int:
        """Return when *op* is in force everywhere; :data:`FOREVER` when that is not certain."""
        if op.outcome == "committed":
            return op.end + self.lease
        return op.end if op.outcome == "ok" or op.reason == "reused" else FOREVER

    def latest(self, op: Op) -> int:
        """Return the latest time at which *op* can have happened, or have been seen not to have."""
        if op.outcome != "unknown":
            return op.end + self.lease if op.outcome == "committed" else op.end
        return min(FOREVER, min(op.end, self._deaths.get(op.process, FOREVER)) + self._late + self.lease)

    def endings(self, sid: str) -> list[Op]:
        """Return all that ended the session *sid*, or may have: not what was over before it began."""
        born = self.born[sid]
        at = [*self._ends[sid], *self._ends[born.sub], *self._ends[""]]
        return [op for op in at if op.keep != sid and self.latest(op) >= born.begin]

    def moves(self, sub: str) -> list[Op]:
        """Return all that raises, or may raise, the generation of *sub*."""
        return [*self._ends[sub], *self._updates[sub], *self._ends[""]]

    def replacements(self, token: str) -> list[Op]:
        """Return the renewals of a session token."""
        return self._renewals[token]

    def raises(self, sid: str) -> list[Op]:
        """Return all that raises, or may raise, the version of *sid*."""
        return [*self._renewals[sid], *self._updates[self.born[sid].sub]]

    def everyone(self) -> list[Op]:
        """Return the ends of everyone's sessions."""
        return self._ends[""]

    def near(self, op: Op, faults: Iterable[Op], since: int) -> bool:
        """Say whether *op* may have come of one of *faults*, which was not long over at *since*."""
        return any(fault.begin < op.end and fault.end + self._late >= since for fault in faults)

    def meets(self, op: Op, faults: Iterable[Op]) -> bool:
        """Say whether one of *faults* was noticed while *op* went on, what it had read before included."""
        return any(fault.begin < op.end and fault.end + self.lease >= op.since for fault in faults)

    # --- stores that were put back ---

    def forgotten(self, before: Op, op: Op) -> bool:
        """Say whether *op* may meet a store that was put back to before *before*."""
        return any(back.since <= op.end and before.begin <= back.end for back in self.backs)

    def undone(self, change: Op, op: Op) -> bool:
        """Say the same of what *op* accepts: an access token of before is never excused."""
        return any(change.begin <= self.backs[number].end for number in self._backs_met(op))

    def torn(self, sid: str) -> bool:
        """Say whether a session may be there without being in the list of its subject, since the store was put back."""
        born = self.born[sid]
        parts = [back for back in self.backs if back.reason == "older_part" or back.begin <= born.end]
        return any(born.begin <= back.end for back in parts)

    def _backs_met(self, op: Op) -> list[int]:
        end = self.jwts[op.token].end if op.kind == "verify" and op.token in self.jwts else op.end
        return [number for number, back in enumerate(self.backs) if back.since <= end]

    # --- what is certain ---

    def first_in_force(self, what: str, op: Op) -> Op | None:
        """
        Return the change that was the first to rule out, for certain, what *op* accepted.

        Args:
            what: What it accepted: a ``token``, a ``version`` of a session, or the ``session`` itself.
        """
        key = (what, op.sid, {"token": op.token, "version": op.version}.get(what), *self._backs_met(op))
        if key not in self._first:
            self._first[key] = self._find_first(what, op)
        return self._first[key]

    def _find_first(self, what: str, op: Op) -> Op | None:
        changes = [end for end in self.endings(op.sid) if self._ends_certainly(end, op.sid)]
        if what == "token":
            changes += self._renewals[op.token]
        elif what == "version":
            changes += [change for change in self.raises(op.sid) if self._raises_certainly(change, op.sid, op.version)]
        changes = [change for change in changes if not self.undone(change, op)]
        first = min(changes, key=self.in_force, default=None)
        return None if first is None or self.in_force(first) == FOREVER else first

    def _ends_certainly(self, end: Op, sid: str) -> bool:
        # Whoever signs in while a subject's sessions end may be in or out.
        if end.kind == "revoke_user" and self.torn(sid):
            return False
        return end.kind not in ("revoke_user", "revoke_everyone") or self.born[sid].precedes(end)

    def _raises_certainly(self, change: Op, sid: str, version: int) -> bool:
        if change.kind == "renew":
            return change.version > version
        if self.torn(sid):
            return False
        seen = self._seen.get((sid, version))
        return seen is not None and seen.precedes(change) and not self.undone(seen, change)
