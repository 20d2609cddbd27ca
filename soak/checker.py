"""
What must never be in a history. Pure; knows nothing of Coatcheck.

Rules of this module:

1. A fault is one however the processes were scheduled (:mod:`soak.ledger`), and is told with what proves it.
2. A refusal that only says "not now" (``unsure``, or the store cannot be asked) is never a fault, and never an
   acceptance. How many there were is for :mod:`soak.report`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from soak import values
from soak.faults import ANEW
from soak.history import FOREVER, Op
from soak.ledger import SECOND, Finding, Ledger

#: What accepts, and what of: a token, a version of a session, the session itself.
ACCEPTS = {
    "check": ("token", "version"),
    "renew": ("token",),
    "verify": ("version",),
    "mint": ("version",),
    "issue_refresh": ("version",),
    "refresh": ("session",),
    "read_data": ("session",),
    "write_data": ("session",),
}
_FINAL = frozenset({"revoked", "renewed", "unknown"})
# Access tokens live by the calendar, and so do the keys; after revoke_everyone there are other keys.
_BY_CALENDAR = frozenset({"expired", "not_yet_valid", "unknown_key"})


def check(
    ops: Iterable[Op],
    *,
    lease_s: float = 0.1,
    late_s: float = 15.0,
    new_keys: Collection[str] = (),
    in_steps: bool = False,
) -> list[Finding]:
    """
    Return everything in *ops* that must never be. The arguments are those of :class:`Ledger`, and two more.

    Args:
        new_keys: Kinds of faults after which the keys may be others, and access tokens of before be refused.

        in_steps: An ending is written before it is said, and may be read, and be lost with a server, before it is
            acknowledged: so a check that was refused proves no ending.
    """
    ledger = Ledger(ops, lease_s=lease_s, late_s=late_s)
    rules = (_crashed, _stale, _begun_before_an_end, _anew, _successors, values.claims, values.data)
    found = [finding for rule in rules for finding in rule(ledger)]
    found += [*_lost(ledger, new_keys), *_back(ledger, ["verify"] if in_steps else ["check", "verify"])]
    return sorted(found, key=lambda finding: finding.ops[-1].begin)


def _crashed(ledger: Ledger) -> Iterator[Finding]:
    """Raised what no caller is told to expect."""
    for op in ledger.of("crash"):
        yield Finding(rule="crash", text=op.note, ops=(op,))


def _stale(ledger: Ledger) -> Iterator[Finding]:
    """Accepted, though it began after an ending had returned."""
    for op in ledger.of(*ACCEPTS):
        if op.outcome != "ok":
            continue
        if _given(ledger, op) is None:
            yield Finding(rule="unasked", text=f"{op.kind} accepted what was never given to anybody", ops=(op,))
            continue
        for what in ACCEPTS[op.kind]:
            end = ledger.first_in_force("session" if what == "version" and not op.version else what, op)
            if end is not None and ledger.in_force(end) < op.begin:
                late_ms = (op.begin - ledger.in_force(end)) / 1e6
                text = f"{op.kind} accepted, and began {late_ms:.3f} ms after {end.kind} was in force everywhere"
                yield Finding(rule="stale", text=text, ops=(ledger.born[op.sid], end, op))
                break


def _begun_before_an_end(ledger: Ledger) -> Iterator[Finding]:
    """Signed in with a generation that had moved since."""
    for op in ledger.of("sign_in"):
        if op.until and op.outcome == "ok":
            for end in ledger.moves(op.sub):
                if op.until < end.begin and ledger.in_force(end) < op.begin and not ledger.undone(end, op):
                    text = f"sign_in accepted a generation from before {end.kind}"
                    yield Finding(rule="stale", text=text, ops=(end, op))
                    break


def _back(ledger: Ledger, kinds: Iterable[str]) -> Iterator[Finding]:
    """Refused for good, and accepted when everybody must have known it."""
    gone: dict[tuple[str, str], Op] = {}
    looks = list(ledger.of(*kinds))
    for op in sorted(looks, key=lambda op: op.end):
        if op.outcome == "refused" and op.reason in _FINAL:
            gone.setdefault((op.kind, op.token), op)
    for op in looks:
        refused = gone.get((op.kind, op.token))
        if op.outcome != "ok" or refused is None or ledger.undone(refused, op):
            continue
        if refused.end + ledger.lease < op.begin:
            text = f"{op.kind} accepted what had been refused ({refused.reason}) longer than a lease before"
            yield Finding(rule="back", text=text, ops=(refused, op))


def _anew(ledger: Ledger) -> Iterator[Finding]:
    """Accepted, though the store whose key it is signed with has been put back since."""
    for back in ledger.backs:
        if back.reason in ANEW:
            for op in ledger.of("verify"):
                if op.outcome == "ok" and op.token in ledger.jwts and ledger.jwts[op.token].end < back.since:
                    if back.end + ledger.lease < op.begin:
                        text = "verify accepted an access token from before the store was put back"
                        yield Finding(rule="stale", text=text, ops=(ledger.jwts[op.token], back, op))


def _lost(ledger: Ledger, new_keys: Collection[str]) -> Iterator[Finding]:
    """Refused, and nobody can have ended it."""
    rekeyed = [op for op in ledger.of("fault") if op.reason in new_keys]
    clocks = [op.begin for op in ledger.of("fault") if op.reason in ("clock", "store_clock")]
    keys = [*clocks, *(op.begin for op in ledger.everyone())]
    first: dict[tuple[object, ...], int] = {}
    for op in ledger.of("sign_in", *ACCEPTS):
        if op.outcome != "refused" or op.reason == "unsure":
            continue
        if op.kind == "verify" and op.reason in _BY_CALENDAR:
            if any(begin < op.end for begin in (keys if op.reason == "unknown_key" else clocks)):
                continue
        given = _given(ledger, op)
        if given is None and op.kind != "sign_in":
            continue  # made up
        if ledger.forgotten(op if given is None else given, op):
            continue
        if op.kind == "sign_in" and op.since and ledger.meets(op, rekeyed):
            continue  # with another epoch, generations of before are over
        if op.reason == "unknown_key" and given is not None and ledger.near(op, rekeyed, given.begin):
            continue
        key = (op.kind, op.sid or op.sub, op.token, op.since, op.reason == "reused")
        if key not in first:
            first[key] = min((cause.begin for cause in _causes(ledger, op, given)), default=FOREVER)
        if first[key] >= op.end:
            text = f"{op.kind} refused ({op.reason}), and nobody had ended it"
            yield Finding(rule="lost", text=text, ops=(op,) if given is None else (given, op))


def _given(ledger: Ledger, op: Op) -> Op | None:
    """Return what gave out what *op* presented; None when nothing did."""
    where = {
        "check": ledger.issued,
        "renew": ledger.issued,
        "verify": ledger.jwts,
        "refresh": ledger.refreshes,
    }.get(op.kind)
    return ledger.born.get(op.sid) if where is None else where.get(op.token)


def _causes(ledger: Ledger, op: Op, given: Op | None) -> Iterator[Op]:
    """Return all that may be why *op* was refused."""
    if given is None:
        if op.since:
            yield from (cause for cause in ledger.moves(op.sub) if ledger.latest(cause) >= op.since)
        return
    if op.reason == "reused":  # said only while the session is there: somebody else must have spent the token
        yield from (other for other in ledger.presented[op.token] if other.outcome != "refused")
        return
    yield from ledger.endings(given.sid)
    if op.kind in ("check", "renew"):
        yield from ledger.replacements(op.token)
    elif op.kind in ("verify", "mint", "issue_refresh"):
        since = given.begin if op.kind == "verify" else op.since
        yield from (cause for cause in ledger.raises(given.sid) if ledger.latest(cause) >= since)


def _successors(ledger: Ledger) -> Iterator[Finding]:
    """A refresh token has one successor, and is spent when that one is used."""
    for presented in list(ledger.presented.values()):
        answers = [op for op in presented if op.outcome == "ok"]
        for op in answers:
            if op.fresh != answers[0].fresh:
                text = "one refresh token got two successors"
                yield Finding(rule="two_successors", text=text, ops=(answers[0], op))
            for later in ledger.presented.get(op.fresh, ()):
                if later.outcome == "ok" and later.precedes(op) and not ledger.undone(later, op):
                    text = "a refresh token was accepted after its successor had been used"
                    yield Finding(rule="spent", text=text, ops=(later, op))
                    break


def contested(ops: Iterable[Op], *, within_s: float = 0.02) -> int:
    """
    Count the endings of one session that met memory: another process had answered for it from memory not longer than
    *within_s* before, or while it was being ended.
    """
    warm: defaultdict[str, list[Op]] = defaultdict(list)
    ends = []
    for op in ops:
        if op.kind == "check" and op.outcome == "ok" and op.warm:
            warm[op.sid].append(op)
        elif op.kind == "revoke":
            ends.append(op)
    within = int(within_s * SECOND)
    return sum(
        any(op.process != end.process and end.begin - within <= op.begin <= end.end for op in warm[end.sid])
        for end in ends
    )
