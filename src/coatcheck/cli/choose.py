"""
``coatcheck choose``: cookie, JWT or hybrid? Floor 6; may import: floors 0 to 6.

Rules of this module:

1. It asks what the page ``/tools/choose`` asks, from the same data, and says the same (:mod:`coatcheck.tools.guide`).
2. Options answer, a terminal is asked for what is left, and without a terminal it is said which option is missing.
3. Questions go to stderr, so stdout holds the verdict only.
"""

from __future__ import annotations

import sys
import textwrap
from typing import Annotated, Any

import typer

from coatcheck.cli.mistakes import WRONG, Mistake
from coatcheck.cli.options import Json, examples
from coatcheck.cli.users import output
from coatcheck.tools import guide

EXAMPLES = examples(
    "coatcheck choose",
    "coatcheck choose --backends one --clients browsers --sign-out instant",
    "coatcheck choose --backends many --verify alone --clients programs --sign-out delay --rotation yes --json",
)
_WIDTH = 88
_TRIES = 3
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def _option(name: str) -> Any:
    question = next(one for one in guide.data()["questions"] if one["id"] == name)
    words = "|".join(one["id"] for one in question["answers"])
    return typer.Option(_flag(name), metavar=words, help=question["text"], show_default=False)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


_FRAMEWORKS = "|".join(one["id"] for one in guide.data()["frameworks"])


def choose(
    *,
    backends: Annotated[str | None, _option("backends")] = None,
    verify: Annotated[str | None, _option("verify")] = None,
    clients: Annotated[str | None, _option("clients")] = None,
    sign_out: Annotated[str | None, _option("sign_out")] = None,
    feed: Annotated[str | None, _option("feed")] = None,
    rotation: Annotated[str | None, _option("rotation")] = None,
    requests: Annotated[
        int, typer.Option("--requests", metavar="NUMBER", help="Requests a day, for the bytes on the wire.")
    ] = guide.data()["bandwidth"]["usual"],
    framework: Annotated[
        str, typer.Option("--framework", metavar=_FRAMEWORKS, help="Whose starting code to show.")
    ] = "starlette",
    as_json: Json = False,
) -> None:
    """
    Answer a handful of questions: session cookies, JWTs, or both?

    It asks for what no option answers. The page /tools/choose asks the same in a browser. An answer to a question that
    does not arise is not counted.
    """
    given = {
        "backends": backends,
        "verify": verify,
        "clients": clients,
        "sign_out": sign_out,
        "feed": feed,
        "rotation": rotation,
    }
    answers = {name: value for name, value in given.items() if value is not None}
    _check(answers, requests, framework)
    verdict = _asked(answers, as_json=as_json)
    out = output(as_json)
    out.document(_document(verdict, requests, framework))
    out.say(_words(verdict, requests, framework))


def _check(answers: dict[str, str], requests: int, framework: str) -> None:
    for question in guide.data()["questions"]:
        possible = [one["id"] for one in question["answers"]]
        if question["id"] in answers and answers[question["id"]] not in possible:
            raise Mistake("usage", f"{_flag(question['id'])}: is one of {', '.join(possible)}", exit_code=WRONG)
    if framework not in _FRAMEWORKS.split("|"):
        known = _FRAMEWORKS.replace("|", ", ")
        raise Mistake("usage", f"--framework: is one of {known}", exit_code=WRONG)
    most = guide.data()["bandwidth"]["most"]
    if not 0 <= requests <= most:
        raise Mistake("usage", f"--requests: is a number from 0 to {most}", exit_code=WRONG)


def _asked(answers: dict[str, str], *, as_json: bool) -> guide.Verdict:
    """Ask until there is a verdict."""
    while (verdict := guide.decide(answers)) is None:
        kept = guide.counted(answers)
        name = next(name for name in guide.asked(answers) if name not in kept)
        question = next(one for one in guide.data()["questions"] if one["id"] == name)
        if as_json or not sys.stdin.isatty():
            possible = ", ".join(one["id"] for one in question["answers"])
            detail = f"{_flag(name)}: is missing, and nobody can be asked; add it: one of {possible}"
            raise Mistake("not_answered", detail, exit_code=WRONG)
        answers[name] = _ask(question)
    return verdict


def _ask(question: dict[str, Any]) -> str:
    """Return the answer of the person at the terminal: a number, or the word that the option takes."""
    answers = question["answers"]
    lines = [f"{number}  {one['text']}" for number, one in enumerate(answers, 1)]
    sys.stderr.write(f"\n{question['text']}\n{textwrap.fill(question['help'], _WIDTH)}\n")
    sys.stderr.write("".join(f"  {line}\n" for line in lines))
    words = {str(number): one["id"] for number, one in enumerate(answers, 1)} | {
        one["id"]: one["id"] for one in answers
    }
    for _ in range(_TRIES):
        sys.stderr.write(f"1 to {len(answers)}: ")
        sys.stderr.flush()
        typed = sys.stdin.readline()
        if not typed:
            break
        if typed.strip().lower() in words:
            return str(words[typed.strip().lower()])
    raise Mistake("not_answered", f"{_flag(question['id'])}: no answer was given", exit_code=WRONG)


def _document(verdict: guide.Verdict, requests: int, framework: str) -> dict[str, Any]:
    each = guide.bytes_per_request()
    return {
        "verdict": verdict.verdict,
        "rule": verdict.rule,
        "answers": verdict.answers,
        "reasons": verdict.reasons,
        "gives_up": verdict.gives_up,
        "requests_a_day": requests,
        "bytes_per_request": each,
        "bytes_a_day": {name: size * requests for name, size in each.items()},
        "framework": framework,
        "code": guide.starting_code(verdict.verdict, framework),
    }


def _words(verdict: guide.Verdict, requests: int, framework: str) -> str:
    said = guide.data()
    chosen = said["verdicts"][verdict.verdict]
    parts = [
        f"{chosen['title']}.\n{textwrap.fill(chosen['text'], _WIDTH)}",
        "Because\n" + _list(verdict.reasons),
        "What you give up\n" + _list(verdict.gives_up),
        f"On the wire, {requests:,} requests a day\n" + _bandwidth(requests, verdict.verdict),
        textwrap.fill(said["honesty"], _WIDTH),
        _code(verdict.verdict, framework),
    ]
    return "\n\n".join(parts)


def _list(sentences: list[str]) -> str:
    return "\n".join(
        textwrap.fill(one, _WIDTH, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False)
        for one in sentences
    )


def _bandwidth(requests: int, chosen: str) -> str:
    verdicts = guide.data()["verdicts"]
    lines = []
    for name, size in guide.bytes_per_request().items():
        mark, short = ">" if name == chosen else " ", verdicts[name]["short"]
        lines.append(f"{mark:>3} {short:<8}{size:>5} bytes each{size_of(size * requests):>12} a day")
    return "\n".join(lines)


def size_of(count: int) -> str:
    """Return a number of bytes as people say it: three digits, and the unit of 1,000 (as the page does)."""
    index = 0
    while index < len(_UNITS) - 1 and count >= 1000 ** (index + 1):
        index += 1
    # In whole numbers, rounded down: so that Python and JavaScript cannot differ in a last digit.
    tenths = count * 10 // 1000**index
    return f"{tenths // 10}{f'.{tenths % 10}' if index and tenths < 1000 else ''} {_UNITS[index]}"


def _code(verdict: str, framework: str) -> str:
    code = guide.starting_code(verdict, framework)
    name = guide.framework(framework)["name"]
    return f"To start with, in {name}:\n\n" + textwrap.indent(code, "    ").rstrip("\n")
