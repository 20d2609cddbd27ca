"""
``coatcheck keys``: what access tokens are signed with. Floor 6; may import: floors 0 to 6.

Rules of this module:

1. What is done comes first, then the audit trail: a database in a bad state keeps nobody from revoking a key.
2. No private half is shown; none is ever read here but by the engine.
3. Looking changes nothing: the list needs no secret and makes no key.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import Annotated, Any

import typer

from coatcheck.cli import ask
from coatcheck.cli.mistakes import WRONG, Mistake
from coatcheck.cli.opened import check_url, noting, quiet
from coatcheck.cli.options import DEFAULT_URL, DatabaseUrl, Json, Store, Yes, examples
from coatcheck.cli.output import iso
from coatcheck.cli.users import output
from coatcheck.clock import SystemClock
from coatcheck.engine import Coatcheck
from coatcheck.errors import CoatcheckError
from coatcheck.secret import SECRET_BYTES
from coatcheck.server.database.base import Event
from coatcheck.stores import from_url
from coatcheck.tokens.keys import KeySet, Standing, public_only

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Show and change what access tokens are signed by.")

_ANY_ISSUER = "http://localhost"
"""The issuer is not stored with the keys, only tokens carry it, and here none is made: so any will do."""


@contextlib.asynccontextmanager
async def _signing(store: str) -> AsyncIterator[Coatcheck]:
    """Open an engine that has keys."""
    quiet()
    async with Coatcheck(store, issuer=_ANY_ISSUER) as auth:
        yield auth


def _signer(auth: Coatcheck) -> str | None:
    return next((kid for kid, state in auth.key_states().items() if state == "signing"), None)


@app.command("list", epilog=examples("coatcheck keys list", "coatcheck keys list --json | jq -r '.[].kid'"))
def list_keys(*, store: Store = DEFAULT_URL, as_json: Json = False) -> None:
    """Show the signing keys and their times, the oldest first. Needs no secret, and changes nothing."""
    check_url(store, "--store")
    found = asyncio.run(_list(store))
    out = output(as_json)
    out.document(
        [
            {
                "kid": key.kid,
                "alg": key.alg,
                "state": key.state,
                "published_at": iso(key.published_at),
                "signs_from": iso(key.signs_from),
                "verifies_until": None if key.verifies_until is None else iso(key.verifies_until),
            }
            for key in found
        ]
    )
    rows = [
        (
            key.kid,
            key.alg,
            key.state,
            out.time(key.published_at),
            out.time(key.signs_from),
            "" if key.verifies_until is None else out.time(key.verifies_until),
        )
        for key in found
    ]
    columns = ("kid", "alg", "state", "published", "signs from", "verifies until")
    out.table(columns, rows, empty="There is no key yet; a server makes the first when it starts.")


async def _list(store: str) -> list[Standing]:
    """Read the rows alone: an engine without an issuer knows no keys, and one with it would make some."""
    quiet()
    kept = from_url(store)
    await kept.open()
    try:
        found = KeySet(public_only(row) for row in await kept.keys())
    finally:
        await kept.close()
    # One that is gone counts for nothing, though it may still lie there.
    return [key for key in found.standings(SystemClock().now()) if key.state != "gone"]


@app.command("rotate", epilog=examples("coatcheck keys rotate"))
def rotate(*, store: Store = DEFAULT_URL, database: DatabaseUrl = DEFAULT_URL, as_json: Json = False) -> None:
    """Make a key that signs from now on, in every running server. What is signed stays valid.

    Keys rotate by themselves; this is for doing it sooner.
    """
    check_url(store, "--store")
    kid = asyncio.run(_rotate(store))
    out = output(as_json)
    out.say(f"The key {kid} signs from now on. What is signed stays valid.")
    out.document({"signing": kid})
    _note(database, what="rotated", kid=kid)


async def _rotate(store: str) -> str:
    async with _signing(store) as auth:
        return await auth.rotate_keys()


# A kid may begin with a hyphen: it is none the less no option.
@app.command(
    "revoke",
    epilog=examples("coatcheck keys revoke XUQLAYm0bxGB0xQb"),
    context_settings={"ignore_unknown_options": True},
)
def revoke(
    *,
    kid: Annotated[str, typer.Argument(metavar="KID", help="The key, as the list shows it.", show_default=False)],
    store: Store = DEFAULT_URL,
    database: DatabaseUrl = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Accept nothing more that a key has signed: it is in the wrong hands. Another takes its place.

    Sessions and refresh tokens stay: whoever has one gets new access tokens by it.
    """
    check_url(store, "--store")
    signing = asyncio.run(_revoke(store, kid))
    out = output(as_json)
    out.say(f"Nothing that {kid} has signed is accepted any more. The key {signing} signs now.")
    out.say("A service that reads keys from the JWKS alone follows within about five minutes.")
    out.document({"revoked": kid, "signing": signing})
    _note(database, what="revoked", kid=kid)


async def _revoke(store: str, kid: str) -> str | None:
    async with _signing(store) as auth:
        if kid not in auth.key_states():
            # Not repeated: it might be a token.
            raise Mistake("not_found", "KID: there is no such key; coatcheck keys list shows which there are")
        await auth.revoke_key(kid)
        return _signer(auth)


@app.command("reset", epilog=examples("coatcheck keys reset --secret-lost", "coatcheck keys reset --secret-lost --yes"))
def reset(
    *,
    secret_lost: Annotated[
        bool, typer.Option("--secret-lost", help="Say that the secret they were made with is lost.")
    ] = False,
    yes: Yes = False,
    store: Store = DEFAULT_URL,
    database: DatabaseUrl = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Remove all signing keys and refresh tokens, when their secret is lost. Sessions and their cookies stay.

    Every secret that servers of this store had is refused afterwards: restart them with a new one.
    """
    check_url(store, "--store")
    if not secret_lost:
        detail = (
            "--secret-lost: all keys and refresh tokens go; add it if the secret is lost, or see coatcheck keys rotate"
        )
        raise Mistake("usage", detail, exit_code=WRONG)
    ask.confirm(
        "All signing keys and refresh tokens are removed: programs sign in again, cookies stay.\n"
        "No server gives tokens, or starts, with a secret that was in use until now.",
        yes=yes,
        as_json=as_json,
    )
    families = asyncio.run(_reset(store))
    out = output(as_json)
    out.say(
        f"All signing keys are removed. Refresh tokens have ended ({families} families); sessions and cookies stay."
    )
    out.say("Restart all servers with a new secret, the same for all: the first makes new keys with it.")
    out.say("One that runs goes on checking cookies, and gives no tokens. The secrets they had until now are refused;")
    out.say("where it is the file beside the database, remove that file, and the server makes another.")
    out.document({"reset": True, "families_ended": families})
    _note(database, what="reset", families_ended=families)


async def _reset(store: str) -> int:
    """Remove them, with a secret of the moment: theirs is lost, and none is to be made beside the store."""
    quiet()
    async with Coatcheck(store, secret=secrets.token_urlsafe(SECRET_BYTES)) as auth:
        return await auth.reset_keys()


def _note(database: str, **detail: Any) -> None:
    """Write it down. What matters is done: a database in a bad state is told of, no more."""
    try:
        check_url(database, "--database")
        asyncio.run(_write_down(database, detail))
    except (CoatcheckError, Mistake) as error:
        said = f"it was done, but it could not be written into the audit trail: {error}"
        raise Mistake("not_noted", said, exit_code=WRONG) from None


async def _write_down(database: str, detail: dict[str, Any]) -> None:
    async with noting(database) as trail:
        await trail.note(Event.KEYS, None, **detail)
