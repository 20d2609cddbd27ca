"""
The command ``coatcheck doctor``. Floor 6; may import: floors 0 to 6.

Rules of this module:

1. Exit codes are for scripts: 0 nothing found, 1 something found, 2 it could not look.
2. It changes nothing: neither at a site, nor in a store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from coatcheck.cli.doctor import report
from coatcheck.cli.doctor.checks import Level, Result, run
from coatcheck.cli.mistakes import REFUSED, WRONG, Mistake
from coatcheck.cli.options import DEFAULT_URL, DatabaseUrl, Json, Store, examples
from coatcheck.cli.output import Output
from coatcheck.cli.serve import POLICIES, PolicyName
from coatcheck.cli.users import output
from coatcheck.clock import SystemClock

EXAMPLES = examples(
    "coatcheck doctor https://shop.example.com",
    "coatcheck doctor https://shop.example.com --response sign-in.txt --at-least medium",
    "curl -si https://shop.example.com/sign-in -d @form | coatcheck doctor --response -",
    "coatcheck doctor --store sqlite:////var/lib/coatcheck.db --policy careful",
)


def doctor(
    context: typer.Context,
    *,
    url: Annotated[
        str | None,
        typer.Argument(metavar="URL", help="A site of any make, its sign-in page best.", show_default=False),
    ] = None,
    response: Annotated[
        list[str] | None,
        typer.Option(
            "--response",
            metavar="FILE",
            help="A saved response, such as that to a sign-in (curl -i); - is stdin. Can be repeated.",
        ),
    ] = None,
    session_name: Annotated[
        str | None,
        typer.Option("--cookie", metavar="NAME", help="The name of its session cookie.", show_default="guessed"),
    ] = None,
    connect: Annotated[
        str | None,
        typer.Option(
            "--connect", metavar="ADDRESS", help="Ask at this address, a private one too, whatever the name leads to."
        ),
    ] = None,
    policy: Annotated[
        PolicyName | None,
        typer.Option("--policy", help="Which policy the sessions in the store are to keep.", show_default=False),
    ] = None,
    at_least: Annotated[Level, typer.Option("--at-least", help="Leave out what matters less.")] = Level.LOW,
    store: Store = DEFAULT_URL,
    database: DatabaseUrl = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """
    Look for what is unsafe: at a site of any make, by GET alone, or without a URL in our own installation.

    It sends no credentials and no forms, follows no redirect to another origin, and changes nothing. The exit code is 1
    if something was found, and 2 if it could not look.
    """
    out = output(as_json)
    wants_site = url is not None or bool(response)
    parts: list[tuple[str, list[Result]]] = []
    if wants_site:
        parts.append(_site(url, response or [], session_name, connect))
    elif session_name is not None or connect is not None:
        raise Mistake("usage", "URL: is missing; --cookie and --connect are about a site", exit_code=WRONG)
    if not wants_site or _was_typed(context, "store", "database", "policy"):
        parts.append(_installation(store, database, policy, out))
    _end(out, parts, at_least)


def _was_typed(context: typer.Context, *names: str) -> bool:
    sources = (context.get_parameter_source(name) for name in names)
    return any(source is not None and source.name == "COMMANDLINE" for source in sources)


def _site(
    url: str | None, files: Sequence[str], session_name: str | None, connect: str | None
) -> tuple[str, list[Result]]:
    from coatcheck.cli.doctor import address, saved  # here: the checks are many, and other commands need none
    from coatcheck.cli.doctor.seen import Seen
    from coatcheck.cli.doctor.site import SITE
    from coatcheck.cli.doctor.visit import visit

    target = None if url is None else address.target(url)
    place = None if connect is None else address.address(connect)
    if target is None and place is not None:
        raise Mistake("usage", "URL: is missing; --connect is about a site", exit_code=WRONG)
    answers = tuple(answer for name in files for answer in saved.read(name))
    if target is None:
        seen = Seen(saved=answers, session_name=session_name, now=SystemClock().now())
    else:
        seen = asyncio.run(visit(target, connect=place, saved=answers, session_name=session_name))
    return seen.origin or "the saved response", run(SITE, seen)


def _installation(store: str, database: str, policy: PolicyName | None, out: Output) -> tuple[str, list[Result]]:
    from coatcheck.cli.doctor.installation import look
    from coatcheck.cli.doctor.ours import OURS

    return "our installation", run(OURS, look(store, database, None if policy is None else POLICIES[policy]))


def _end(out: Output, parts: Sequence[tuple[str, list[Result]]], least: Level) -> None:
    """Tell it, and end with the exit code."""
    for number, (of_what, results) in enumerate(parts):
        if number:
            out.say("")
        report.tell(out, of_what, results, least)
    found = [one for _, results in parts for one in report.findings(results, least)]
    documents: list[dict[str, Any]] = [
        {"target": of_what, "checks": report.document(results)} for of_what, results in parts
    ]
    out.document({"findings": len(found), "looked_at": documents})
    if found:
        worst = max((one.level for one in found), key=lambda level: level.weight)
        detail = f"{len(found)} check{'' if len(found) == 1 else 's'} found something; the worst is {worst.value}"
        raise Mistake("findings", detail, exit_code=REFUSED)
