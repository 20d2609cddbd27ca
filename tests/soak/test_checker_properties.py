"""The judge of the soak, on random histories: legal ones pass, and one planted fault is found."""

import itertools
from collections import Counter

from hypothesis import given, settings
from legal import LATE, LEASE, World, plans
from msgspec.structs import replace

from soak.checker import check

SECOND = 1e9
TIMES = {"lease_s": LEASE / SECOND, "late_s": LATE / SECOND}
examples = settings(max_examples=150, deadline=None)


def before(one, other):
    return one.outcome == "ok" and one.end < other.begin


@given(plans())
@examples
def test_legal_histories_pass(plan):
    """Whatever overlaps, gets lost, is late or lags within what is allowed is no fault."""
    assert check(World().run(plan), **TIMES) == []


def flipped(ops, chosen, **fields):
    return [replace(op, **fields) if op is chosen else op for op in ops]


def stale(ops):
    """Refusals that are certain: the session's own end had been acknowledged."""
    given_jwt = {op.jwt: op for op in ops if op.jwt}
    sids = {op.token: op.sid for op in ops if op.kind == "sign_in"} | {op.fresh: op.sid for op in ops if op.fresh}
    versions = {op.token: 1 for op in ops if op.kind == "sign_in"}
    values = [op.claims for op in ops if op.kind == "sign_in"]
    for op in ops:
        if op.outcome == "refused" and op.kind in ("check", "verify", "mint", "refresh", "read_data"):
            sid = op.sid or (given_jwt[op.token].sid if op.kind == "verify" else sids[op.token])
            if any(end.kind == "revoke" and end.sid == sid and before(end, op) for end in ops):
                version = op.version or (
                    given_jwt[op.token].version if op.kind == "verify" else versions.get(op.token, 9)
                )
                more = {"claims": values[0]} if op.kind == "check" else {}
                yield flipped(ops, op, outcome="ok", reason="", sid=sid, version=version, **more)


def lost(ops):
    """Acceptances that nothing at all speaks against."""
    changes = [
        op for op in ops if op.kind in ("revoke", "revoke_user", "revoke_everyone", "renew", "claims", "refresh")
    ]
    for op in ops:
        if op.outcome == "ok" and op.kind in ("check", "verify", "mint", "read_data"):
            if not any(change.begin < op.end for change in changes):
                yield flipped(ops, op, outcome="refused", reason="revoked")


def lost_update(ops):
    """Keys that were read, and had been acknowledged before."""
    for op in ops:
        if op.kind == "read_data" and op.outcome == "ok":
            for key in op.data:
                about = [write for write in ops if write.sid == op.sid and key in (*write.data, *write.gone)]
                if any(before(write, op) for write in about) and not any(write.gone for write in about):
                    left = {name: value for name, value in op.data.items() if name != key}
                    yield flipped(ops, op, data=left)
                    yield flipped(ops, op, data={**op.data, key: 99})


def old_value(ops):
    """Checks that had to show an update."""
    born = {op.sid: op for op in ops if op.kind == "sign_in"}
    for op in ops:
        if op.kind == "check" and op.outcome == "ok":
            at = born[op.sid]
            if any(up.kind == "claims" and up.sub == at.sub and before(at, up) and before(up, op) for up in ops):
                yield flipped(ops, op, claims=at.claims)


def two_successors(ops):
    """A second answer to one refresh token."""
    for op in ops:
        if op.kind == "refresh" and op.outcome == "ok":
            yield [*ops, replace(op, fresh="another", jwt="another")]


PLANTS = {plant.__name__: plant for plant in (stale, lost, lost_update, old_value, two_successors)}


def test_a_planted_fault_is_found():
    """One answer turned into what it must not be is found, wherever in a legal history."""
    found = Counter()

    @given(plans())
    @examples
    def each(plan):
        ops = World().run(plan)
        for rule, plant in PLANTS.items():
            for planted in itertools.islice(plant(ops), 3):
                assert rule in [finding.rule for finding in check(planted, **TIMES)]
                found[rule] += 1

    each()
    # How many of each is up to chance; none would mean that nothing was tried.
    assert all(found[rule] for rule in PLANTS), found
