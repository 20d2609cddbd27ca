"""
``coatcheck panic``: for the day of a breach. Floor 6; may import: floors 0 to 6.

Rules of this module:

1. What is most urgent comes first: everyone out, then the new secret, then the audit trail. What fails later undoes
   nothing of it, and the message says what was done.
2. It works even if the old secret cannot be used: neither its file nor its variable is read, only looked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from coatcheck.cli import ask
from coatcheck.cli.mistakes import WRONG, Mistake
from coatcheck.cli.opened import check_url, noting, quiet
from coatcheck.cli.options import DEFAULT_URL, DatabaseUrl, Json, Store, Yes, examples
from coatcheck.cli.output import Output, shown
from coatcheck.cli.users import output
from coatcheck.engine import Coatcheck
from coatcheck.errors import CoatcheckError
from coatcheck.secret import SECRET_BYTES, account_file
from coatcheck.server.database.base import Event
from coatcheck.stores import from_url

EXAMPLES = examples("coatcheck panic", "coatcheck panic --yes --store sqlite:////var/lib/coatcheck.db --database …")
VARIABLES = ("COATCHECK_SECRET", "COATCHECK_SECRET_FILE")

_NEXT = """
Do this now:
  1. Restart every server: until then it works with the old secret, which it holds in memory, and gives no tokens.
  2. If your servers get COATCHECK_SECRET or COATCHECK_SECRET_FILE, put a new value there before you restart them.
  3. Change the passwords that may be known: coatcheck users passwd NAME.
  4. Look for accounts and administrators that should not be: coatcheck users list, coatcheck audit."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the secret comes from: a file of ours, or a *variable* that only its owner can change."""

    file: Path | None = None
    variable: str | None = None


def panic(
    *, yes: Yes = False, store: Store = DEFAULT_URL, database: DatabaseUrl = DEFAULT_URL, as_json: Json = False
) -> None:
    """End everybody's sessions and make a new secret, on the day of a breach. Afterwards, restart all servers."""
    check_url(store, "--store")
    out = output(as_json)
    ask.confirm("Everybody's sessions end, and a new secret is made.", yes=yes, as_json=as_json)
    fresh = secrets.token_urlsafe(SECRET_BYTES)
    asyncio.run(_everyone_out(store, fresh))
    out.say("Everybody's sessions have ended, in every running server.")
    place = _place(store)
    if place.file is not None:
        _replace(place.file, fresh)
    _tell_of_secret(place, fresh, out)
    out.say(_NEXT)
    out.document(
        {
            "everyone_ended": True,
            "secret_file": None if place.file is None else str(place.file),
            "new_secret": None if place.variable is None else fresh,
            "put_it_into": place.variable,
        }
    )
    _note(database, place)


async def _everyone_out(store: str, fresh: str) -> None:
    """
    End all sessions, and declare lost what secrets there were: a server that runs must make no keys with an old one.

    With the new secret, so that an old one in a bad state hinders nothing.
    """
    quiet()
    async with Coatcheck(store, secret=fresh) as auth:
        await auth.revoke_everyone(reason="panic")
        await auth.reset_keys()


def _place(store: str) -> Place:
    """Say where the servers of this store get their secret, as far as it can be known here."""
    for variable in VARIABLES:
        if variable in os.environ:
            return Place(variable=variable)
    kept = from_url(store)
    path: Path | None = getattr(kept, "path", None)
    if path is not None:
        return Place(file=path.with_name(path.name + "-secret"))
    identity: str | None = getattr(kept, "identity", None)
    if identity is not None and (of_account := account_file(identity)).exists():
        return Place(file=of_account)
    return Place(variable=VARIABLES[0])


def _replace(path: Path, fresh: str) -> None:
    """Write the new secret over the old one: whole, synced, 0600."""
    real = Path(os.path.realpath(path))  # a link stays a link
    draft = real.with_name(f"{real.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, f"{fresh}\n".encode("ascii"))
            os.fsync(handle)
        finally:
            os.close(handle)
        draft.replace(real)
        folder = os.open(real.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        detail = f"the secret file {path} cannot be written ({error.strerror}); everybody's sessions have ended, but "
        raise Mistake(
            "secret_not_written", f"{detail}the old secret is still there: make it writable and repeat", exit_code=WRONG
        ) from None


def _tell_of_secret(place: Place, fresh: str, out: Output) -> None:
    if place.file is not None:
        out.say(f"A new secret is in {shown(str(place.file))}.")
        return
    where = "the variable COATCHECK_SECRET"
    if place.variable == "COATCHECK_SECRET_FILE":
        where = f"the file {shown(os.environ['COATCHECK_SECRET_FILE'])} (COATCHECK_SECRET_FILE)"
    out.say(f"\nThe secret comes from {where}, which this command cannot change.\nPut this there instead, alone:\n")
    out.say(f"    {fresh}\n\nIt is shown only now.")


def _note(database: str, place: Place) -> None:
    """Write it down. What matters is done: a database in a bad state is told of, no more."""
    try:
        check_url(database, "--database")
        asyncio.run(_write_down(database, place))
    except (CoatcheckError, Mistake) as error:
        detail = f"everything was done, but it could not be written into the audit trail: {error}"
        raise Mistake("not_noted", detail, exit_code=WRONG) from None


async def _write_down(database: str, place: Place) -> None:
    async with noting(database) as trail:
        await trail.note(Event.PANIC, None, secret="replaced" if place.file is not None else "to be replaced by hand")
