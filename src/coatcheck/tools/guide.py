"""
Cookie, JWT or hybrid: from answers to a verdict. Floor 6; may import: its own room.

Questions, rules, verdicts, figures and code are data, in ``pages/choose/guide.mjs`` and ``code.mjs``, which the page
``/tools/choose`` uses, too. ``decide.mjs`` beside them does there what this module does here; a test holds the two to
one answer for every combination of answers.

Rules of this module:

1. An answer to a question that is not asked does not count.
2. Nothing is decided here that the data does not say.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Mapping
from typing import Any

from coatcheck.tools.build import PAGES

FILES = {"GUIDE": PAGES / "choose" / "guide.mjs", "OWN_CODE": PAGES / "choose" / "code.mjs"}

Answers = Mapping[str, str]
When = list[dict[str, list[str]]]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """
    What to take.

    Attributes:
        verdict: ``cookie``, ``jwt`` or ``hybrid``. rule: which one of the data said so.

        answers: Those that counted. reasons, gives_up: sentences.
    """

    verdict: str
    rule: str
    answers: dict[str, str]
    reasons: list[str]
    gives_up: list[str]


@functools.cache
def data() -> dict[str, Any]:
    """Return all that the data file says."""
    return _read("GUIDE")


@functools.cache
def own_code() -> dict[str, Any]:
    """Return the starting code of frameworks that share it with no other."""
    return _read("OWN_CODE")


def _read(name: str) -> dict[str, Any]:
    text = FILES[name].read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.partition(f"export const {name} = ")[2].rstrip().removesuffix(";"))
    return found


def holds(when: When | None, answers: Answers) -> bool:
    """Say whether a condition holds: one of its parts, with all of its answers. No condition always holds."""
    return when is None or any(all(answers.get(name) in wanted for name, wanted in part.items()) for part in when)


def counted(answers: Answers) -> dict[str, str]:
    """Return the answers that count, in the order of the questions: those to questions that are asked."""
    kept: dict[str, str] = {}
    for question in data()["questions"]:
        given = answers.get(question["id"])
        if given in [one["id"] for one in question["answers"]] and holds(question.get("asked"), kept):
            kept[question["id"]] = str(given)
    return kept


def asked(answers: Answers) -> list[str]:
    """Return the questions that are asked; one that depends on an open one is not, until that is answered."""
    kept = counted(answers)
    return [question["id"] for question in data()["questions"] if holds(question.get("asked"), kept)]


def decide(answers: Answers) -> Verdict | None:
    """Say what to take, why, and what one gives up; None while a question is open."""
    kept = counted(answers)
    if any(name not in kept for name in asked(answers)):
        return None
    rule = next(rule for rule in data()["rules"] if holds(rule["when"], kept))

    def said(name: str) -> list[str]:
        found = (one for one in data()[name] if rule["verdict"] in one["for"])
        return [one["text"] for one in found if holds(one.get("when"), kept)]

    return Verdict(rule["verdict"], rule["id"], kept, said("reasons"), said("gives_up"))


def bytes_per_request() -> dict[str, int]:
    """Return the bytes that each way adds to a request."""
    measured = data()["measured"]
    return {
        name: sum(len(part["line"]) + measured[part["of"]] for part in parts)
        for name, parts in data()["carried"].items()
    }


def framework(name: str) -> dict[str, Any]:
    """Return what is known about a framework."""
    found: dict[str, Any] = next(one for one in data()["frameworks"] if one["id"] == name)
    return found


def starting_code(verdict: str, name: str) -> str:
    """Return the starting code: the framework's own, or what those of one kind share with its names put in."""
    found = framework(name)
    pieces = {**data()["pieces"], "import": found.get("import"), "app": found.get("app")}
    lines: list[str] = []
    for line in own_code().get(name, data()["code"])[verdict]:
        slot = re.fullmatch(r"\{(\w+)\}", line)
        lines += pieces[slot[1]] if slot else [line]
    return "".join(f"{line}\n" * (2 if _around_function(lines, index) else 1) for index, line in enumerate(lines))


def _around_function(lines: list[str], index: int) -> bool:
    """Say whether an empty line stands where Python's readers are used to two."""
    if lines[index] or not 0 < index < len(lines) - 1:
        return False
    return lines[index + 1].startswith(("def ", "async def ", "@")) or lines[index - 1].startswith("    ")
