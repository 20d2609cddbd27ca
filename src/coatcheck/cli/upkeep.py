"""
``coatcheck sweep``, ``backup`` and ``restore``. Floor 6; may import: floors 0 to 6.

Rules of a restore:

1. The whole file is read and checked before anything is touched.
2. Sessions end before and after the accounts are replaced: nobody is let in by an account that is no more, even if this
   process dies in between.
3. The replacement is one transaction: all of it, or nothing.
4. What was taken from an account since the backup is not given back, unless that is asked for.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from coatcheck.cli import ask
from coatcheck.cli.mistakes import WRONG, Mistake
from coatcheck.cli.opened import Where, opened
from coatcheck.cli.options import DEFAULT_URL, DatabaseUrl, Json, Store, Yes, examples
from coatcheck.cli.output import Output, iso, shown
from coatcheck.cli.users import output
from coatcheck.server import backup as files
from coatcheck.server.database import from_url
from coatcheck.server.database.base import Database, Event, Portable
from coatcheck.server.trail import KEPT_S

SWEEP_EXAMPLES = examples("coatcheck sweep", "coatcheck sweep --json")
BACKUP_EXAMPLES = examples("coatcheck backup monday.backup", "coatcheck backup --force latest.backup")
RESTORE_EXAMPLES = examples("coatcheck restore monday.backup", "coatcheck restore monday.backup --yes")

_BATCH = 500


def sweep(*, store: Store = DEFAULT_URL, database: DatabaseUrl = DEFAULT_URL, as_json: Json = False) -> None:
    """Remove what is past its time, as a running server does by itself."""
    out = output(as_json)
    sessions, rows = asyncio.run(_sweep(Where(store, database), out))
    out.say(f"Removed {sessions} rows of sessions and {rows} rows of limits, codes and the audit trail.")
    out.document({"store": sessions, "database": rows})


async def _sweep(where: Where, out: Output) -> tuple[int, int]:
    async with opened(where) as here:
        with out.progress("Sweeping") as advance:
            sessions = await here.auth.sweep()
            advance(sessions)
            rows = 0
            while gone := await here.database.sweep(now=here.clock.now(), audit_s=KEPT_S, limit=_BATCH):
                rows += gone
                advance(gone)
        return sessions, rows


# --- backup ---


def _portable(database: Database) -> Portable:
    """Return *database*, if its backups are this command's business."""
    if isinstance(database, Portable):
        return database
    detail = (
        "--database: PostgreSQL has programs of its own, which take along what sessions are there: back up with "
        "pg_dump; restore with pg_restore while all servers are stopped, then run coatcheck panic, which ends what had "
        "ended since"
    )
    raise Mistake("not_portable", detail, exit_code=WRONG)


def backup(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    store: Store = DEFAULT_URL,
    database: DatabaseUrl = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Write accounts and the audit trail to one file, while servers run.

    Sessions and the secret are not in it: after a restore everybody signs in again. The file holds the hashes of
    passwords; only you can read it, and it wants to be kept like the database.
    """
    out = output(as_json)
    _portable(from_url(database))
    made_at, rows = asyncio.run(_backup(Where(store, database), file, force, out))
    out.say(f"{shown(str(file))} holds accounts and audit trail, {rows} rows. Sessions are not in it.")
    out.document({"file": str(file), "rows": rows, "made_at": made_at})


async def _backup(where: Where, file: Path, force: bool, out: Output) -> tuple[str, int]:
    async with opened(where) as here:
        made_at = iso(here.clock.now())
        tables = await _portable(here.database).export()
        with out.progress("Writing", sum(len(table.rows) for table in tables)) as advance:
            return made_at, files.write(file, tables, made_at=made_at, force=force, advance=advance)


# --- restore ---


def restore(
    *,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="What coatcheck backup wrote.", show_default=False, exists=True),
    ],
    as_it_was: Annotated[
        bool,
        typer.Option("--as-it-was", help="Give back, too, what was taken from accounts since the backup."),
    ] = False,
    yes: Yes = False,
    store: Store = DEFAULT_URL,
    database: DatabaseUrl = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Put a backup in the place of all accounts and of the audit trail.

    Everybody's sessions end. An account that was disabled or demoted since the backup, or got a new password, stays so;
    --as-it-was takes the backup as it is.
    """
    out, where = output(as_json), Where(store, database)
    where.check(may_be_new=True)
    _portable(from_url(database))
    found = files.read(file)
    people = found.count("users")
    ask.confirm(
        f"All accounts and the audit trail are replaced by the backup of {shown(found.made_at)} ({people} accounts), "
        "and everybody's sessions end.",
        yes=yes,
        as_json=as_json,
    )
    asyncio.run(_restore(where, found, as_it_was, out))
    out.say(f"Restored the backup of {shown(found.made_at)}: {people} accounts. Everybody signs in again.")
    out.document({"file": str(file), "made_at": found.made_at, "rows": found.rows, "accounts": people})


async def _restore(where: Where, found: files.Backup, as_it_was: bool, out: Output) -> None:
    async with opened(where, may_be_new=True) as here:
        with out.progress("Restoring", found.rows) as advance:
            # Before, too: should this process die after the replacement, no session outlives its account.
            await here.auth.revoke_everyone(reason="restore")
            outcome = await _portable(here.database).replace(found.tables, as_it_was=as_it_was)
            if outcome is not None:
                raise Mistake(
                    outcome.value,
                    "--as-it-was: all administrators of the backup were disabled or demoted since, and nobody would be "
                    "left; sessions have ended, but nothing was replaced; coatcheck users enable or promote one first, "
                    "or add this option",
                )
            # After, too: a sign-in between the two read the old accounts.
            await here.auth.revoke_everyone(reason="restore")
            advance(found.rows)
        await here.accounts.trail.note(
            Event.RESTORED, None, made_at=found.made_at, rows=found.rows, as_it_was=as_it_was
        )
