"""
What is done to the processes of a run, and when. Pure: the same seed gives the same plan.

Rules of this module:

1. Each kind comes once before any comes again.
2. A process has one fault at a time, and so has the store; a process and the store may have theirs at once.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import msgspec

STORE = -1
_BEGIN_S = 1.5
_TAIL_S = 2.0
_REST_S = 0.5

#: kind -> (shortest and longest in seconds, added leases, what it is)
KINDS: dict[str, tuple[float, float, float, str]] = {
    "kill": (0.0, 0.0, 0.0, "SIGKILL; a new process takes its place"),
    "pause": (0.3, 1.5, 1.0, "SIGSTOP for longer than the lease, then SIGCONT"),
    "cut": (0.3, 2.0, 0.0, "every connection broken, and none made"),
    "deaf": (0.3, 1.2, 0.7, "requests arrive, answers do not"),
    "mute": (0.3, 1.2, 0.7, "requests do not arrive, answers do"),
    "hold": (0.2, 1.2, 0.7, "requests and answers are held back, then all delivered"),
    "slow": (1.0, 3.0, 0.0, "requests and answers take longer, on one connection more than on the other"),
    "late": (2.0, 4.0, 1.0, "now and then an answer is held back, and after it nothing more gets through"),
    "flood": (1.0, 2.0, 0.0, "made-up session tokens, as fast as they can be made up"),
    "clock": (1.0, 3.0, 0.0, "the wall clock of a process is set, and set back"),
    "store_clock": (1.0, 3.0, 0.0, "the wall clock of the store is set, and set back"),
    "restart": (0.0, 0.0, 0.0, "the server of the store is stopped as in a crash, and started again"),
    "disk": (0.7, 1.5, 0.0, "the store's disk is full"),
    "torn": (0.1, 0.4, 0.0, "a process is killed that has changed a row, and cannot reach the log"),
    "failover": (0.5, 2.0, 0.0, "the primary is killed, a replica takes its place, and it comes back as a replica"),
    "deposed": (0.5, 2.5, 0.0, "a replica is promoted, and the old primary goes on answering those not moved yet"),
    "replicas": (0.5, 1.5, 0.0, "replicas are stopped, then the primary is killed, and one of them takes its place"),
    "store_pause": (0.5, 3.5, 0.0, "SIGSTOP for the primary, for longer than its peers wait for it, then SIGCONT"),
    "migrate": (1.0, 3.0, 0.0, "slots of the cluster move from one server to another, that of the log too"),
    "older": (1.0, 3.0, 0.0, "the store is put back to what it was some seconds ago"),
    "older_part": (1.0, 3.0, 0.0, "the same with one server of a cluster"),
    "empty": (0.0, 0.5, 0.0, "the store loses everything"),
}
OF_STORE = frozenset({"store_clock", "restart", "disk", "failover", "deposed", "replicas", "store_pause", "migrate"})
#: What was acknowledged may be lost by these, by those of ANEW the keys for certain.
BACK = frozenset({"older", "older_part", "empty"})
ANEW = frozenset({"older", "empty"})
OF_STORE |= BACK
OF_ENGINES = frozenset({"flood", "torn"})
_LATE_S = {"slow": (0.02, 0.15), "late": (0.8, 1.4)}
_STEPS_S = (5, 90, 3600, 86_400, 3 * 86_400)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """
    One thing that is done.

    Attributes:
        at_s: After the beginning. for_s: how long.

        target: The number of a process, or :data:`STORE`.

        by: Seconds by which a clock is set, or by which an answer is late (of ``slow``, in the mean).
    """

    at_s: float
    kind: str
    target: int
    for_s: float = 0.0
    by: float = 0.0


def plan(
    seed: str, *, duration_s: float, engines: int, verifiers: int, kinds: Sequence[str], lease_s: float
) -> list[Fault]:
    """
    Return what is to be done, by when.

    Args:
        engines, verifiers: How many; the verifiers have the numbers after the engines'.

        kinds: Of :data:`KINDS`, those that can be done here.
    """
    chance = random.Random(f"faults {seed}")
    gap_s = min(2.0, (duration_s - _BEGIN_S - _TAIL_S) / (len(kinds) + 1)) if kinds else 0.0
    free = dict.fromkeys(range(STORE, engines + verifiers), 0.0)
    found, at_s = [], _BEGIN_S
    for kind in _endless(kinds, chance):
        shortest, longest, leases, _ = KINDS[kind]
        for_s = round(chance.uniform(shortest, longest) + leases * lease_s, 2)
        most = engines if kind in OF_ENGINES else engines + verifiers
        targets = [STORE] if kind in OF_STORE else sorted(range(most), key=lambda _: chance.random())
        target = min(targets, key=lambda one: max(free[one], at_s))  # the first that is free, else the one soonest free
        begin_s = max(at_s, free[target])
        if begin_s + for_s > duration_s - _TAIL_S:
            break
        free[target] = begin_s + for_s + _REST_S
        found.append(Fault(at_s=round(begin_s, 2), kind=kind, target=target, for_s=for_s, by=_by(kind, chance)))
        at_s += chance.uniform(0.5, 1.5) * gap_s
    return sorted(found, key=lambda fault: fault.at_s)


def _endless(kinds: Sequence[str], chance: random.Random) -> Iterator[str]:
    while kinds:
        yield from chance.sample(sorted(kinds), len(kinds))


def _by(kind: str, chance: random.Random) -> float:
    if kind in ("clock", "store_clock"):
        return chance.choice((1, -1)) * chance.choice(_STEPS_S)
    return round(chance.uniform(*_LATE_S.get(kind, (0.0, 0.0))), 3)
