"""
``coatcheck users``: accounts. Floor 6; may import: floors 0 to 6.

What is changed here is in force in every running server when the command returns.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from coatcheck.cli import ask
from coatcheck.cli.mistakes import refuse
from coatcheck.cli.opened import Where, opened
from coatcheck.cli.options import DEFAULT_URL, DatabaseUrl, Json, Name, PasswordStdin, Store, examples
from coatcheck.cli.output import Output, iso, shown
from coatcheck.clock import SystemClock
from coatcheck.server import names, problems
from coatcheck.server.database.base import User
from coatcheck.server.problems import Problem

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Add and change the accounts of people.")


def output(as_json: bool) -> Output:
    """Return what this command speaks through."""
    return Output(as_json=as_json, now=SystemClock().now())


def document(user: User) -> dict[str, Any]:
    """Return an account as JSON."""
    return {
        "id": user.id,
        "name": user.name,
        "is_admin": user.is_admin,
        "is_disabled": user.is_disabled,
        "created_at": iso(user.created_at),
        "password_at": iso(user.password_at),
    }


def _done(user: User | Problem, what: str, as_json: bool) -> None:
    """Tell how it ended."""
    if isinstance(user, Problem):
        refuse(user)
    out = output(as_json)
    out.say(f"{shown(user.name)} {what}")
    out.document(document(user))


@app.command(
    "add",
    epilog=examples(
        "coatcheck users add maria",
        "coatcheck users add root --admin --store sqlite:////var/lib/coatcheck.db --database …",
        "pass show maria | coatcheck users add maria --password-stdin",
    ),
)
def add(
    *,
    name: Name,
    admin: Annotated[bool, typer.Option("--admin", help="Make it an administrator.")] = False,
    password_stdin: PasswordStdin = False,
    store: Store = DEFAULT_URL,
    database: DatabaseUrl = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Add an account. Asks for its password. The first account ends the set-up of a new server."""
    where = Where(store, database)
    asyncio.run(_check_new(where, name))
    password = ask.password(shown(name), from_stdin=password_stdin)
    _done(asyncio.run(_add(where, name, password, admin)), "can sign in now.", as_json)


async def _check_new(where: Where, name: str) -> None:
    """Refuse a name before its password is asked for."""
    wrong = names.why_not(name)
    if wrong is not None:
        refuse(problems.invalid("username", wrong))
    async with opened(where, may_be_new=True) as here:
        if await here.database.user_named(name) is not None:
            refuse(problems.NAME_TAKEN)


async def _add(where: Where, name: str, password: str, admin: bool) -> User | Problem:
    async with opened(where, may_be_new=True) as here:
        return await here.accounts.add(name, password, is_admin=admin, by=None)


@app.command("list", epilog=examples("coatcheck users list", "coatcheck users list --json | jq '.[].name'"))
def list_users(*, store: Store = DEFAULT_URL, database: DatabaseUrl = DEFAULT_URL, as_json: Json = False) -> None:
    """Show all accounts, in the order of their names."""
    users = asyncio.run(_list(Where(store, database)))
    out = output(as_json)
    out.document([document(user) for user in users])
    rows = [
        (
            user.name,
            "administrator" if user.is_admin else "",
            "disabled" if user.is_disabled else "",
            out.time(user.created_at),
            out.time(user.password_at),
        )
        for user in users
    ]
    columns = ("name", "role", "state", "added", "password set")
    out.table(columns, rows, empty="There is no account yet; coatcheck users add NAME --admin adds the first.")


async def _list(where: Where) -> list[User]:
    async with opened(where) as here:
        return [user async for user in here.everybody()]


@app.command(
    "passwd",
    epilog=examples("coatcheck users passwd maria", "coatcheck users passwd maria --password-stdin < new-password"),
)
def passwd(
    *,
    name: Name,
    password_stdin: PasswordStdin = False,
    store: Store = DEFAULT_URL,
    database: DatabaseUrl = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Set a new password and end all sessions of the account. Asks for the password."""
    where = Where(store, database)
    user = asyncio.run(_find(where, name))
    password = ask.password(shown(user.name), from_stdin=password_stdin)
    changed = asyncio.run(_reset(where, user, password))
    _done(changed, "has a new password, and all their sessions have ended.", as_json)


async def _find(where: Where, name: str) -> User:
    async with opened(where) as here:
        return await here.named(name)


async def _reset(where: Where, user: User, password: str) -> User | Problem:
    async with opened(where) as here:
        return await here.accounts.reset_password(user.id, password, by=None)


@app.command("disable", epilog=examples("coatcheck users disable maria"))
def disable(
    *, name: Name, store: Store = DEFAULT_URL, database: DatabaseUrl = DEFAULT_URL, as_json: Json = False
) -> None:
    """Keep an account from signing in, and end all its sessions."""
    changed = asyncio.run(_change(Where(store, database), name, is_disabled=True))
    _done(changed, "cannot sign in any more, and all their sessions have ended.", as_json)


@app.command("enable", epilog=examples("coatcheck users enable maria"))
def enable(
    *, name: Name, store: Store = DEFAULT_URL, database: DatabaseUrl = DEFAULT_URL, as_json: Json = False
) -> None:
    """Let a disabled account sign in again."""
    changed = asyncio.run(_change(Where(store, database), name, is_disabled=False))
    _done(changed, "can sign in again.", as_json)


@app.command("promote", short_help="Make somebody an administrator.", epilog=examples("coatcheck users promote maria"))
def promote(
    *, name: Name, store: Store = DEFAULT_URL, database: DatabaseUrl = DEFAULT_URL, as_json: Json = False
) -> None:
    """Make somebody an administrator, in sessions under way too."""
    changed = asyncio.run(_change(Where(store, database), name, is_admin=True))
    _done(changed, "is an administrator now.", as_json)


@app.command("demote", short_help="Take that back.", epilog=examples("coatcheck users demote maria"))
def demote(
    *, name: Name, store: Store = DEFAULT_URL, database: DatabaseUrl = DEFAULT_URL, as_json: Json = False
) -> None:
    """Make somebody no administrator any more, in sessions under way too."""
    changed = asyncio.run(_change(Where(store, database), name, is_admin=False))
    _done(changed, "is no administrator any more.", as_json)


async def _change(
    where: Where, name: str, *, is_admin: bool | None = None, is_disabled: bool | None = None
) -> User | Problem:
    async with opened(where) as here:
        user = await here.named(name)
        return await here.accounts.change(user.id, is_admin=is_admin, is_disabled=is_disabled, by=None)
