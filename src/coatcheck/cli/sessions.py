"""
``coatcheck sessions``: who is signed in, and ending it. Floor 6; may import: floors 0 to 6.

A ``sid`` is public: it opens nothing. No token is ever shown; none is kept anywhere.
"""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any

import typer

from coatcheck.cli.mistakes import WRONG, Mistake
from coatcheck.cli.opened import Where, opened
from coatcheck.cli.options import DEFAULT_URL, DatabaseUrl, Json, Store, examples
from coatcheck.cli.output import iso, shown
from coatcheck.cli.users import output
from coatcheck.records import Refused, Session
from coatcheck.server.database.base import Event, User

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Show who is signed in, and sign people out.")

_SID = re.compile(r"[A-Za-z0-9_-]{27}", re.ASCII)
_REASON = "ended at the command line"


@app.command("list", epilog=examples("coatcheck sessions list", "coatcheck sessions list --user maria --json"))
def list_sessions(
    *,
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="Only those of this account.")] = None,
    store: Store = DEFAULT_URL,
    database: DatabaseUrl = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Show live sessions, by account, the one used last first. Activity shows up to a minute late."""
    found = asyncio.run(_list(Where(store, database), user))
    out = output(as_json)
    out.document([_document(owner, session) for owner, session in found])
    rows = [
        (
            session.sid,
            owner.name,
            session.device.ip or "",
            out.time(session.seen_at),
            out.time(session.created_at),
            out.brief(session.device.user_agent or ""),
        )
        for owner, session in found
    ]
    out.table(("sid", "user", "address", "seen", "created", "device"), rows, empty="Nobody is signed in.")


async def _list(where: Where, name: str | None) -> list[tuple[User, Session]]:
    async with opened(where) as here:
        owners = [user async for user in here.everybody()] if name is None else [await here.named(name)]
        return [
            (owner, session)
            for owner in owners
            for session in sorted(await here.auth.sessions_of(owner.id), key=lambda session: -session.seen_at)
        ]


def _document(owner: User, session: Session) -> dict[str, Any]:
    return {
        "sid": session.sid,
        "user": owner.name,
        "user_id": owner.id,
        "ip": session.device.ip,
        "user_agent": session.device.user_agent,
        "seen_at": iso(session.seen_at),
        "created_at": iso(session.created_at),
        "expires_at": iso(session.expires_at),
    }


@app.command(
    "revoke",
    epilog=examples(
        "coatcheck sessions revoke awUFOp88M2Mj0gyINfJ3Q-aKLJ8",
        "coatcheck sessions revoke --user maria",
        "coatcheck sessions revoke --everyone",
    ),
)
def revoke(
    *,
    sid: Annotated[
        str | None, typer.Argument(metavar="SID", help="The session, as the list shows it.", show_default=False)
    ] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="All sessions of this account.")] = None,
    everyone: Annotated[bool, typer.Option("--everyone", help="All sessions there are.")] = False,
    store: Store = DEFAULT_URL,
    database: DatabaseUrl = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """End one session, all of an account, or all there are. No server accepts them any more when it returns."""
    if [sid is not None, user is not None, everyone].count(True) != 1:
        detail = "SID: say which sessions end: one SID, or --user NAME, or --everyone"
        raise Mistake("usage", detail, exit_code=WRONG)
    where, out = Where(store, database), output(as_json)
    if sid is not None:
        if not _SID.fullmatch(sid):
            # Not repeated: it might be a token. And not "there is no such session", which would be false comfort.
            detail = "SID: has 27 letters, digits, - and _; coatcheck sessions list shows which there are"
            raise Mistake("invalid_input", detail, exit_code=WRONG)
        was_live = asyncio.run(_revoke_one(where, sid))
        known = "That session has ended." if was_live else "No live session has that sid; no server accepts it."
        out.say(known)
        out.document({"sid": sid, "was_live": was_live})
    elif user is not None:
        owner, count = asyncio.run(_revoke_user(where, user))
        out.say(f"All sessions of {shown(owner.name)} have ended ({count}).")
        out.document({"user": owner.name, "user_id": owner.id, "ended": count})
    else:
        asyncio.run(_revoke_everyone(where))
        out.say("Everybody's sessions have ended.")
        out.document({"everyone": True})


async def _revoke_one(where: Where, sid: str) -> bool:
    """End one session; say whether it was live. Whose it was would take a look at every account."""
    async with opened(where) as here:
        was_live = not isinstance(await here.auth.data(sid), Refused)
        # In any case: memory of a server may know what the store has lost.
        await here.auth.revoke(sid, reason=_REASON)
        if was_live:
            await here.accounts.trail.note(Event.SESSION_ENDED, None, sid=sid)
        return was_live


async def _revoke_user(where: Where, name: str) -> tuple[User, int]:
    async with opened(where) as here:
        owner = await here.named(name)
        count = len(await here.auth.sessions_of(owner.id))
        await here.auth.revoke_user(owner.id, reason=_REASON)
        await here.accounts.trail.note(Event.SESSION_ENDED, None, user=owner.id, all="all")
        return owner, count


async def _revoke_everyone(where: Where) -> None:
    async with opened(where) as here:
        await here.auth.revoke_everyone(reason=_REASON)
        await here.accounts.trail.note(Event.EVERYONE_ENDED, None)
