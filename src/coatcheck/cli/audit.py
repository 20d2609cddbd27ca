"""``coatcheck audit``: what happened. Floor 6; may import: floors 0 to 6."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from coatcheck.cli.opened import Where, opened
from coatcheck.cli.options import DEFAULT_URL, DatabaseUrl, Json, Store, examples
from coatcheck.cli.output import iso
from coatcheck.cli.users import output
from coatcheck.server.database.base import Entry, Event
from coatcheck.server.trail import COMMAND

EXAMPLES = examples(
    "coatcheck audit",
    "coatcheck audit --user maria --event sign_in --event sign_in_failed",
    "coatcheck audit --limit 1000 --json",
)


def audit(
    *,
    event: Annotated[
        list[Event] | None,
        typer.Option("--event", metavar="EVENT", help=f"Only these; can be repeated: {', '.join(Event)}."),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="Only what this account did, or was done to it.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="How many at most.")] = 50,
    store: Store = DEFAULT_URL,
    database: DatabaseUrl = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Show the audit trail, newest first. It is kept for 90 days."""
    entries, names = asyncio.run(_read(Where(store, database), event or (), user, limit))
    out = output(as_json)
    out.document([_document(entry, names) for entry in entries])
    rows = [
        (
            out.time(entry.at),
            entry.event.value,
            _who(entry.actor, names),
            names.get(entry.user or "", entry.user or ""),
            entry.device.ip or "",
            entry.sid or "",
            _detail(entry),
        )
        for entry in entries
    ]
    columns = ("time", "event", "by", "account", "address", "sid", "detail")
    out.table(columns, rows, empty="There is nothing like that in the audit trail.")


async def _read(
    where: Where, events: Sequence[Event], name: str | None, limit: int
) -> tuple[list[Entry], dict[str, str]]:
    async with opened(where) as here:
        ident = None if name is None else (await here.named(name)).id
        entries = await here.database.trail(events=events, user=ident, limit=limit)
        people = {ident for entry in entries for ident in (entry.actor, entry.user) if ident is not None}
        return entries, await here.database.names_of(sorted(people))


def _who(actor: str | None, names: dict[str, str]) -> str:
    """Return who did it. A name in quotes is that of an account, so nobody passes for the command line."""
    if actor is None:
        return "a visitor"
    return "command line" if actor == COMMAND else f'"{names[actor]}"' if actor in names else actor


def _detail(entry: Entry) -> str:
    return ", ".join(
        f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in entry.detail.items()
    )


def _document(entry: Entry, names: dict[str, str]) -> dict[str, Any]:
    return {
        "number": entry.number,
        "at": iso(entry.at),
        "event": entry.event.value,
        "actor": entry.actor,
        "actor_name": names.get(entry.actor or ""),
        "user_id": entry.user,
        "user": names.get(entry.user or ""),
        "sid": entry.sid,
        "ip": entry.device.ip,
        "user_agent": entry.device.user_agent,
        "detail": dict(entry.detail),
    }
