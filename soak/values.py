"""
The rules about values: a read shows what was written last, or something written beside it. Pure.

Every write of claims has a value of its own. A key of the data has one writer, whose values rise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from soak.history import Op
from soak.ledger import Finding, Ledger

_ByKey = defaultdict[tuple[str, str], list[Op]]


def _replaced(ledger: Ledger, shown: Op, writes: Iterable[Op], read: Op) -> Op | None:
    """Return a write that came after *shown* and had returned before *read* began."""
    return next((write for write in writes if shown.precedes(write) and _acknowledged(ledger, write, read)), None)


def _acknowledged(ledger: Ledger, known: Op, read: Op) -> bool:
    return known.outcome == "ok" and known.end < read.begin and not ledger.undone(known, read)


def claims(ledger: Ledger) -> Iterator[Finding]:
    """A check shows the claims that were written last."""
    updates: defaultdict[str, list[Op]] = defaultdict(list)
    wrote: dict[str, Op] = {}
    for op in ledger.of("sign_in", "claims"):
        if op.outcome != "refused":
            wrote[op.claims] = op
            if op.kind == "claims":
                updates[op.sub].append(op)
    for check in ledger.of("check"):
        if check.outcome != "ok" or check.token not in ledger.issued:
            continue
        shown = wrote.get(check.claims)
        if shown is None or shown.begin > check.end:
            yield Finding(rule="old_value", text="a check showed claims that nobody had written", ops=(check,))
            continue
        if ledger.torn(check.sid):
            continue
        update = _replaced(ledger, shown, updates[ledger.born[check.sid].sub], check)
        if update is not None:
            text = "a check showed claims that had been replaced before it began"
            yield Finding(rule="old_value", text=text, ops=(shown, update, check))


def data(ledger: Ledger) -> Iterator[Finding]:
    """Data show every acknowledged write of every key."""
    writes: _ByKey = defaultdict(list)
    removals: _ByKey = defaultdict(list)
    shows: _ByKey = defaultdict(list)
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for op in ledger.of("write_data"):
        # Where a store was put back, a write may have been done before its refusal is of what is there now.
        if op.outcome != "refused" or ledger.forgotten(op, op):
            for key in op.data:
                writes[op.sid, key].append(op)
                keys[op.sid].add(key)
            for key in op.gone:
                removals[op.sid, key].append(op)
    for read in ledger.of("read_data"):
        if read.outcome == "ok":
            for key in keys[read.sid] | set(read.data):
                at = (read.sid, key)
                yield from _key(ledger, key, read, writes=writes[at], removals=removals[at], shows=shows[at])
                if key in read.data:
                    shows[at].append(read)


def _key(
    ledger: Ledger, key: str, read: Op, *, writes: list[Op], removals: list[Op], shows: list[Op]
) -> Iterator[Finding]:
    if key not in read.data:
        began = [removal for removal in removals if removal.begin < read.end]
        for known in [*writes, *shows]:  # what was read once had happened, whatever its writer heard of it
            if _acknowledged(ledger, known, read) and all(removal.precedes(known) for removal in began):
                yield Finding(rule="lost_update", text=f"data key {key} is not there any more", ops=(known, read))
                break
        return
    shown = next((write for write in writes if write.data[key] == read.data[key]), None)
    if shown is None or shown.begin > read.end:
        text = f"data key {key} has a value that nobody had written"
        yield Finding(rule="lost_update", text=text, ops=(read,))
        return
    later = _replaced(ledger, shown, [*writes, *removals], read)
    if later is not None:
        text = f"data key {key} has a value that had been replaced, or removed, before the reading began"
        yield Finding(rule="lost_update", text=text, ops=(shown, later, read))
