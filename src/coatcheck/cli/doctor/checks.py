"""
What a check is, and what came of it. Floor 6; may import: nothing of ours.

Rules of this module:

1. The id of a check is stable: scripts and tickets name it.
2. A check says three things: what was seen, why it matters, what to do. What was seen never holds the value of a
   cookie, a token or a password.
3. A check that found nothing to look at did not pass.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

import msgspec

S = TypeVar("S")

Said = Sequence[str] | None
"""What a check has seen that is wrong, a sentence each; None where there was nothing to look at."""

_MOST_SAID = 5


class Level(enum.StrEnum):
    """How much a finding matters."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def weight(self) -> int:
        """Higher is worse."""
        return {"low": 1, "medium": 2, "high": 3}[self.value]


class Status(enum.StrEnum):
    """What became of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_SEEN = "not_seen"


class Check(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """
    One check.

    Attributes:
        id: Stable. level: of a finding. asvs: the requirement of OWASP ASVS 5.0 that it stands for.

        why: Why it matters. fix: what to do. look: the check itself.
    """

    id: str
    level: Level
    asvs: str
    why: str
    fix: str
    look: Callable[[S], Said]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """
    What came of a check.

    Attributes:
        seen: What was wrong, a sentence each; empty where it passed.
    """

    id: str
    level: Level
    asvs: str
    why: str
    fix: str
    status: Status
    seen: tuple[str, ...] = ()


class Checks(Generic[S]):
    """The checks of one kind, in the order in which they were written."""

    def __init__(self) -> None:
        self.all: list[Check[S]] = []

    def add(
        self, ident: str, level: Level, *, asvs: str, why: str, fix: str
    ) -> Callable[[Callable[[S], Said]], Callable[[S], Said]]:
        """Make the function below it a check."""

        def keep(look: Callable[[S], Said]) -> Callable[[S], Said]:
            self.all.append(Check(id=ident, level=level, asvs=asvs, why=why, fix=fix, look=look))
            return look

        return keep


def run(checks: Iterable[Check[S]], seen: S) -> list[Result]:
    """Run *checks* on what was *seen*."""
    return [_result(check, check.look(seen)) for check in checks]


def _result(check: Check[S], said: Said) -> Result:
    status = Status.NOT_SEEN if said is None else Status.FAILED if said else Status.PASSED
    found = list(dict.fromkeys(said or ()))  # the same on several pages is said once
    if len(found) > _MOST_SAID:
        found[_MOST_SAID:] = [f"and {len(found) - _MOST_SAID} more of the kind"]
    return Result(
        id=check.id,
        level=check.level,
        asvs=check.asvs,
        why=check.why,
        fix=check.fix,
        status=status,
        seen=tuple(found),
    )
