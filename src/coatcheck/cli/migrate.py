"""
``coatcheck migrate``: make the tables in PostgreSQL, or bring them up to date; change the lease. Floor 6; may import:
floors 0 to 6.

Rules of this module:

1. It is the only way in which tables that are there are changed: opening a store never does that to a database which
   other processes, of another version, are using.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from coatcheck import stores
from coatcheck.cli.mistakes import WRONG, Mistake
from coatcheck.cli.opened import quiet
from coatcheck.cli.options import DEFAULT_URL, DatabaseUrl, Json, Store, examples
from coatcheck.cli.output import Output
from coatcheck.cli.users import output
from coatcheck.server import database as databases
from coatcheck.stores import VALKEY, from_url
from coatcheck.stores.base import LEASE_MOST_S

EXAMPLES = examples(
    "coatcheck migrate --store postgresql://owner@db/app --dry-run",
    "coatcheck migrate --store postgresql://owner@db/app --lease-s 5",
    "coatcheck migrate --store postgresql://owner@db/app --database postgresql://owner@db/app",
    "coatcheck migrate --store valkey://db1,db2,db3?cluster=true --lease-s 5",
)


def migrate(
    *,
    lease_s: Annotated[
        float | None,
        typer.Option(
            "--lease-s",
            metavar="SECONDS",
            min=0.2,
            max=LEASE_MOST_S,
            help="Change the lease of the store; only while no server runs on it.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, only say what would be done.")] = False,
    store: Store = DEFAULT_URL,
    database: DatabaseUrl = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """
    Make the tables in PostgreSQL, of sessions and of accounts, or bring them up to date.

    Run it before the new version is started. Only one runs at a time, and each step is done as a whole or not at all.
    Valkey has no tables: there it only changes the lease. What is in a SQLite file is left alone: that is brought up to
    date when it is opened.
    """
    # Both are looked at first: what is no URL is refused, in its own words, before anything is done.
    has_store, accounts = not from_url(store).is_embedded, databases.from_url(database)
    has_accounts = not database.startswith("sqlite:")
    if not has_store and (lease_s is not None or not has_accounts):
        detail = "--store: only PostgreSQL is migrated by hand; a SQLite file is when it is opened"
        raise Mistake("nothing_to_migrate", detail, exit_code=WRONG)
    quiet()
    out = output(as_json)
    done: dict[str, Any] = {"dry_run": dry_run, "store": None, "database": None}
    found = asyncio.run(stores.migrate(store, lease_s=lease_s, dry_run=dry_run))
    if found is not None:
        done["store"] = {
            "schema": found.schema,
            "before": found.before,
            "after": found.after,
            "lease_s": found.lease_s,
        }
        if store.partition("://")[0] in VALKEY:
            _tell_of_valkey(out, is_there=found.before > 0)
        else:
            _tell(out, "sessions", found.before, found.after, dry_run)
        out.say(f"The lease {'would be' if dry_run and lease_s else 'is'} {found.lease_s:g} s.")
    if has_accounts:
        made = asyncio.run(accounts.migrate(dry_run=dry_run))
        done["database"] = {"before": made.before, "after": made.after}
        _tell(out, "accounts", made.before, made.after, dry_run)
    out.document(done)


def _tell_of_valkey(out: Output, *, is_there: bool) -> None:
    out.say("Valkey keeps no tables: there is nothing to migrate.")
    if not is_there:
        out.say("No sessions were ever kept here; the first server begins the store.")


def _tell(out: Output, what: str, before: int, after: int, dry_run: bool) -> None:
    if before == after:
        out.say(f"The tables of {what} are up to date.")
        return
    done = "made" if not before else f"brought from version {before} to {after}"
    out.say(f"The tables of {what} {'would be' if dry_run else 'were'} {done}.")
