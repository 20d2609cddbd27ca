"""
``coatcheck migrate``: make the tables in PostgreSQL, or bring them up to date. Floor 6; may import: floors 0 to 6.

Rules of this module:

1. It is the only way in which tables that are there are changed: opening a store never does that to a database which
   other processes, of another version, are using.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from coatcheck.cli.mistakes import WRONG, Mistake
from coatcheck.cli.opened import quiet
from coatcheck.cli.options import DEFAULT_URL, Json, Store, examples
from coatcheck.cli.users import output
from coatcheck.stores import from_url
from coatcheck.stores.base import LEASE_MOST_S

EXAMPLES = examples(
    "coatcheck migrate --store postgresql://owner@db/app --dry-run",
    "coatcheck migrate --store postgresql://owner@db/app --lease-s 5",
)


def migrate(
    *,
    store: Store = DEFAULT_URL,
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
    as_json: Json = False,
) -> None:
    """
    Make the tables of a PostgreSQL store, or bring them up to date.

    Run it before the new version is started. Only one runs at a time, and each step is done as a whole or not at all.
    """
    if from_url(store).is_embedded:  # refuses what is no store, in its own words
        detail = "--store: only PostgreSQL is migrated by hand; a SQLite file is when it is opened"
        raise Mistake("nothing_to_migrate", detail, exit_code=WRONG)
    from coatcheck.stores import postgres

    quiet()
    out = output(as_json)
    done = asyncio.run(postgres.migrate(store, lease_s=lease_s, dry_run=dry_run))
    would = "would be" if dry_run else "were" if done.after - done.before != 1 else "was"
    if done.after == done.before:
        out.say(f"The tables in the schema {done.schema} are up to date.")
    else:
        count = done.after - done.before
        out.say(f"{count} migration{'s' * (count != 1)} of the schema {done.schema} {would} run.")
    out.say(f"The lease {'would be' if dry_run and lease_s else 'is'} {done.lease_s:g} s.")
    out.document(
        {
            "schema": done.schema,
            "before": done.before,
            "after": done.after,
            "lease_s": done.lease_s,
            "dry_run": dry_run,
        }
    )
