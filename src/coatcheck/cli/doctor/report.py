"""
Tells what came of the checks. Floor 6; may import: floors 0 to 6.

Findings come first, the worst at the top. What a site says of itself is hostile text, and shown as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coatcheck.cli.doctor.checks import Level, Result, Status
from coatcheck.cli.output import Output, shown


def findings(results: Sequence[Result], least: Level) -> list[Result]:
    """Return what was found that matters at least so much, the worst first."""
    found = [one for one in results if one.status is Status.FAILED and one.level.weight >= least.weight]
    return sorted(found, key=lambda one: -one.level.weight)


def document(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return the results as JSON."""
    return [
        {
            "id": one.id,
            "level": one.level.value,
            "status": one.status.value,
            "asvs": one.asvs,
            "seen": list(one.seen),
            "why": one.why,
            "fix": one.fix,
        }
        for one in results
    ]


def tell(out: Output, of_what: str, results: Sequence[Result], least: Level) -> None:
    """Tell people."""
    found = findings(results, least)
    passed = sum(one.status is Status.PASSED for one in results)
    nothing = sum(one.status is Status.NOT_SEEN for one in results)
    out.say(
        f"{shown(of_what)}: {len(results)} checks, {passed} passed, {len(results) - passed - nothing} found something, "
        f"{nothing} had nothing to look at."
    )
    for one in found:
        out.say(f"\n{one.level.value.upper()}  {one.id}  (ASVS {one.asvs})")
        for sentence in one.seen:
            out.say(f"  seen  {shown(sentence)}")
        out.say(f"  why   {one.why}")
        out.say(f"  fix   {one.fix}")
    unseen = [one.id for one in results if one.status is Status.NOT_SEEN]
    if unseen and out.is_terminal:
        out.say(f"\nNothing to look at: {', '.join(unseen)}")
