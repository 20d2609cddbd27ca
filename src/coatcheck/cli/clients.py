"""
``coatcheck clients``: programs that are given tokens. Floor 6; may import: floors 0 to 6.

A secret is printed when it is made, and never again: only its SHA-256 is kept.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, NoReturn

import typer

from coatcheck.cli.mistakes import Mistake
from coatcheck.cli.opened import Opened, Where, opened
from coatcheck.cli.options import DEFAULT_URL, DatabaseUrl, Json, Store, examples
from coatcheck.cli.output import Output, iso, shown
from coatcheck.cli.users import output
from coatcheck.server.clients import Clients
from coatcheck.server.database.base import Client
from coatcheck.server.problems import NAME_TAKEN, Problem

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Add and change programs that are given tokens.")

Ident = Annotated[str, typer.Argument(metavar="ID", help="The client_id of the program.", show_default=False)]

_FIELDS = {"id": "ID", "audience": "--audience", "public": "--public", "sign_in": "--sign-in"}


def _document(client: Client) -> dict[str, Any]:
    """Return a client as JSON, without what is kept of its secret."""
    return {
        "id": client.id,
        "audiences": list(client.audiences),
        "is_public": client.secret is None,
        "is_browser": client.is_browser,
        "may_sign_in": client.may_sign_in,
        "is_disabled": client.is_disabled,
        "created_at": iso(client.created_at),
    }


def _clients(here: Opened) -> Clients:
    return Clients(here.auth, here.database, here.accounts)


def _unknown(ident: str) -> NoReturn:
    detail = f"ID: there is no client {shown(ident)}; coatcheck clients list shows which there are"
    raise Mistake("not_found", detail)


def _refuse(problem: Problem, ident: str) -> NoReturn:
    if problem == NAME_TAKEN:
        is_there = f"there is a client {shown(ident)} already (capital letters do not count)"
        raise Mistake(problem.code, f"ID: {is_there}; choose another id")
    field = _FIELDS.get(problem.field or "", problem.field)
    raise Mistake(problem.code, f"{field}: {problem.detail}" if field else problem.detail)


async def _known(here: Opened, ident: str) -> Client:
    """Return the client called so; a mistake if there is none."""
    # No id has other characters, and what is no text at all cannot even be asked for.
    return (await here.database.client(ident) if ident.isascii() else None) or _unknown(ident)


def _tell_secret(secret: str, out: Output) -> None:
    out.say(f"\nIts secret, shown only now:\n\n    {secret}\n")


@app.command(
    "add",
    epilog=examples(
        "coatcheck clients add nightly-report --audience billing",
        "coatcheck clients add phone-app --audience api --public --sign-in",
        "coatcheck clients add pages --audience api --browser",
    ),
)
def add(
    *,
    ident: Ident,
    audience: Annotated[
        list[str],
        typer.Option(
            "--audience", metavar="A", help="Whom its tokens may be for; can be repeated.", show_default=False
        ),
    ],
    public: Annotated[
        bool, typer.Option("--public", help="It gets no secret, since it cannot keep one: an app on people's devices.")
    ] = False,
    browser: Annotated[
        bool, typer.Option("--browser", help="Pages of the server's origin get tokens in its name, for their cookie.")
    ] = False,
    sign_in: Annotated[
        bool, typer.Option("--sign-in", help="People may sign in through it with name and password.")
    ] = False,
    store: Store = DEFAULT_URL,
    database: DatabaseUrl = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Add a client. Prints its secret, which is shown only now."""
    adding = _add(Where(store, database), ident, audience, is_public=public, is_browser=browser, may_sign_in=sign_in)
    client, secret = asyncio.run(adding)
    out = output(as_json)
    out.say(f"{shown(client.id)} can get tokens for {shown(', '.join(client.audiences))}.")
    if secret is not None:
        _tell_secret(secret, out)
    elif not client.is_browser and not client.may_sign_in:
        out.say("It can only renew refresh tokens that an application issues for it: people cannot sign in through it,")
        out.say("since --sign-in was not given, and without a secret it cannot act for itself.")
    out.document({**_document(client), "secret": secret})


async def _add(
    where: Where, ident: str, audiences: list[str], *, is_public: bool, is_browser: bool, may_sign_in: bool
) -> tuple[Client, str | None]:
    async with opened(where) as here:
        added = await _clients(here).add(
            ident,
            audiences,
            now=here.clock.now(),
            is_public=is_public,
            is_browser=is_browser,
            may_sign_in=may_sign_in,
        )
        if isinstance(added, Problem):
            _refuse(added, ident)
        return added


@app.command("list", epilog=examples("coatcheck clients list", "coatcheck clients list --json | jq -r '.[].id'"))
def list_clients(*, store: Store = DEFAULT_URL, database: DatabaseUrl = DEFAULT_URL, as_json: Json = False) -> None:
    """Show all clients, in the order of their ids. Never their secrets."""
    clients = asyncio.run(_list(Where(store, database)))
    out = output(as_json)
    out.document([_document(client) for client in clients])
    rows = [
        (
            client.id,
            ", ".join(client.audiences),
            "browser" if client.is_browser else "public" if client.secret is None else "confidential",
            "yes" if client.may_sign_in else "",
            "disabled" if client.is_disabled else "",
            out.time(client.created_at),
        )
        for client in clients
    ]
    columns = ("id", "audiences", "kind", "sign-in", "state", "created")
    out.table(columns, rows, empty="There is no client yet; coatcheck clients add ID --audience A adds one.")


async def _list(where: Where) -> list[Client]:
    async with opened(where) as here:
        return await here.database.clients()


@app.command("rotate-secret", epilog=examples("coatcheck clients rotate-secret nightly-report"))
def rotate_secret(
    *, ident: Ident, store: Store = DEFAULT_URL, database: DatabaseUrl = DEFAULT_URL, as_json: Json = False
) -> None:
    """Give a client another secret, shown only now. The old one is refused when this returns."""
    client, secret = asyncio.run(_rotate(Where(store, database), ident))
    out = output(as_json)
    stays = " It stays disabled." if client.is_disabled else ""
    out.say(f"{shown(client.id)} has another secret, and the old one is refused.{stays}")
    _tell_secret(secret, out)
    out.document({**_document(client), "secret": secret})


async def _rotate(where: Where, ident: str) -> tuple[Client, str]:
    async with opened(where) as here:
        client = await _known(here, ident)
        if client.secret is None:
            raise Mistake("no_secret", f"ID: {shown(ident)} is a public or a browser client, which has no secret")
        secret = await _clients(here).rotate_secret(ident)
        if isinstance(secret, Problem):
            _refuse(secret, ident)
        return client, secret


@app.command("disable", epilog=examples("coatcheck clients disable nightly-report"))
def disable(
    *, ident: Ident, store: Store = DEFAULT_URL, database: DatabaseUrl = DEFAULT_URL, as_json: Json = False
) -> None:
    """Give a client no more tokens, and end those that it has, everywhere.

    Who signed in through it is signed out when this returns. Sessions of browsers go on.
    """
    client = asyncio.run(_disable(Where(store, database), ident))
    out = output(as_json)
    out.say(f"{shown(client.id)} gets no more tokens, and those that it has are refused.")
    if client.may_sign_in:
        out.say("People who signed in through it are signed out.")
    if client.is_browser:
        out.say("Pages keep the access tokens they have until those end, within minutes.")
    out.document(_document(client))


async def _disable(where: Where, ident: str) -> Client:
    async with opened(where) as here:
        disabled = await _clients(here).disable((await _known(here, ident)).id)
        if isinstance(disabled, Problem):
            _refuse(disabled, ident)
        return await _known(here, ident)
