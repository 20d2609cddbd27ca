"""
Looks at an installation of ours, and gathers what the checks read. Floor 6; may import: floors 0 to 6.

Rules of this module:

1. Nothing is made or changed: no secret, no key, no table. A store whose tables are older, or whose file is open to
   others, is not opened at all; what can be known of it all the same is looked at.
2. A store is opened as ``coatcheck fleet`` opens it. No engine is: that would make keys and a secret.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec

from coatcheck.cli.opened import check_url, quiet
from coatcheck.clock import DAY, SystemClock
from coatcheck.errors import ConfigError, StoreUnusable
from coatcheck.policy import Policy
from coatcheck.records import KeyRow, Session
from coatcheck.secret import RootSecret, account_file
from coatcheck.server import database as databases
from coatcheck.stores import POSTGRES, VALKEY, file_of, from_url
from coatcheck.stores.base import EmbeddedStore, FleetStore
from coatcheck.stores.look import Look
from coatcheck.stores.look import look as look_at_store

FORGOTTEN_S = DAY
"""What was over for so long, and is there still, nobody sweeps: a server does so every minute."""

_BESIDE = ("", "-wal", "-shm", "-pulse", "-secret")
_MOST_ACCOUNTS = 500
_PAGE = 200
_HERE = ("", "localhost", "127.0.0.1", "[::1]", "::1")


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """
    A way to a server.

    Attributes:
        option: By which it was given. hosts: those that are not this machine. is_clear: whether passwords and sessions
            travel in the clear. is_trusting: whether any certificate does.
    """

    option: str
    hosts: tuple[str, ...]
    is_clear: bool
    is_trusting: bool


class Ours(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was seen of an installation.

    Attributes:
        links: To stores and databases behind a network. files: path -> mode, of what only we may read. folders: the
            same, of where they are.

        store: What the store says of itself; None where it is too open to be asked. database: migrations of the
            accounts that were made, and that there are.

        is_open: Whether the store could be opened. unusable: why it must not be used.

        skew_s: How far the store's clock is ahead; None where it is this machine's. oldest_s: for how long the oldest
            line of the log is of no use any more.

        keys: Signing keys. secret: what is wrong with it; empty where nothing is. secret_ids: what it is known by.
            values: how many values it has. is_given: whether it comes from a variable. is_lost: whether the one that
            writes was declared lost.

        sessions: Of people; None where they were not asked for. policy: what they are to keep.
    """

    now: int
    links: tuple[Link, ...] = ()
    files: dict[str, int] = {}
    folders: dict[str, int] = {}
    store: Look | None = None
    database: tuple[int, int] | None = None
    is_embedded: bool = True
    is_open: bool = False
    unusable: str | None = None
    skew_s: float | None = None
    oldest_s: int | None = None
    keys: tuple[KeyRow, ...] | None = None
    secret: str | None = None
    secret_ids: tuple[str, ...] = ()
    is_given: bool = False
    is_lost: bool = False
    sessions: tuple[Session, ...] | None = None
    policy: Policy | None = None


def look(store: str, database: str, policy: Policy | None) -> Ours:
    """
    Return what is to be seen.

    Raises:
        Mistake: There is nothing at a URL. CoatcheckError: a URL makes no sense, or a store does not answer.
    """
    quiet()
    kept = from_url(store)
    databases.from_url(database)
    return asyncio.run(_look(store, database, policy, kept))


async def _look(url: str, database: str, policy: Policy | None, kept: EmbeddedStore | FleetStore) -> Ours:
    now = SystemClock().now()
    if url.partition("://")[0] not in VALKEY:  # one that is refused is asked all the same
        check_url(url, "--store")
    check_url(database, "--database")
    files = _modes(_files(url, database, kept))
    seen = Ours(
        now=now,
        is_embedded=kept.is_embedded,
        links=tuple(link for link in (_link(url, "--store"), _link(database, "--database")) if link is not None),
        files=files,
        folders=_modes({str(Path(path).parent) for path in files}),
        policy=policy,
    )
    seen = _with_secret(seen, kept)
    if url.startswith("sqlite:") and any(mode & 0o077 for mode in seen.files.values()):
        return seen
    found = await look_at_store(url, over_since=now - FORGOTTEN_S)
    migrated = await databases.from_url(database).migrate(dry_run=True)
    seen = msgspec.structs.replace(seen, store=found, database=(migrated.before, migrated.after))
    if found.before < found.after:
        return seen
    try:
        if url.partition("://")[0] in VALKEY:
            check_url(url, "--store")
        await kept.open()
    except StoreUnusable as error:
        return msgspec.structs.replace(seen, unusable=str(error))
    try:
        seen = await _inside(seen, kept)
        is_current = migrated.before == migrated.after
        return await _with_sessions(seen, kept, database) if policy is not None and is_current else seen
    finally:
        await kept.close()


# --- files and links ---


def _files(store: str, database: str, kept: EmbeddedStore | FleetStore) -> list[str]:
    found: list[str] = []
    for url, option in ((store, "store"), (database, "database")):
        if url.startswith("sqlite://"):
            path = os.path.realpath(file_of(url.partition("://")[2], setting=option))
            found += [path + end for end in _BESIDE]
    if (given := os.environ.get("COATCHECK_SECRET_FILE")) is not None:
        found.append(os.path.realpath(given))
    elif not kept.is_embedded:
        found.append(str(account_file(kept.identity)))
    return found


def _modes(paths: Sequence[str] | set[str]) -> dict[str, int]:
    found = {}
    for path in paths:
        try:
            found[path] = stat.S_IMODE(Path(path).stat().st_mode)
        except OSError:
            continue  # it is not there, which the store itself knows to say
    return found


def _link(url: str, option: str) -> Link | None:
    """Return where a URL leads over a network. It was taken apart before by whoever it is for."""
    parts = urlsplit(url)
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if parts.scheme in POSTGRES:
        names = asked.get("host") or parts.netloc.rpartition("@")[2]
        mode = asked.get("sslmode") or os.environ.get("PGSSLMODE") or "prefer"
        is_clear = mode not in ("require", "verify-ca", "verify-full")
        is_trusting = mode in ("require", "verify-ca")
    elif parts.scheme in VALKEY:
        names = "" if "socket" in asked else parts.netloc.rpartition("@")[2]
        is_clear, is_trusting = parts.scheme in ("valkey", "redis"), False
    else:
        return None
    hosts = tuple(name for name in (_without_port(text) for text in names.split(",")) if not _is_here(name))
    return Link(option=option, hosts=hosts, is_clear=is_clear and bool(hosts), is_trusting=is_trusting and bool(hosts))


def _without_port(text: str) -> str:
    return text.partition("]")[0] + "]" if text.startswith("[") else text.partition(":")[0]


def _is_here(host: str) -> bool:
    return host in _HERE or host.startswith("/")


# --- the secret ---


def _with_secret(seen: Ours, kept: EmbeddedStore | FleetStore) -> Ours:
    is_given = "COATCHECK_SECRET" in os.environ or "COATCHECK_SECRET_FILE" in os.environ
    try:
        secret = RootSecret.from_environment() or _own(kept)
    except (ConfigError, StoreUnusable) as error:
        return msgspec.structs.replace(seen, secret=str(error), is_given=is_given)
    if secret is None:
        return msgspec.structs.replace(seen, is_given=is_given)
    # By these names keys and refresh tokens know what made them; from one of them nothing can be found.
    ids = tuple(key.hex()[:16] for key in secret.keys("refresh key ids 1"))
    return msgspec.structs.replace(seen, secret="", secret_ids=ids, is_given=is_given)


def _own(kept: EmbeddedStore | FleetStore) -> RootSecret | None:
    """Read the secret that nobody gave, where there is one; none is made."""
    if kept.is_embedded:
        store_file = getattr(kept, "path", None)
        path = None if store_file is None else store_file.with_name(store_file.name + "-secret")
    else:
        path = account_file(kept.identity)
    if path is None or not path.exists() or stat.S_IMODE(path.stat().st_mode) & 0o077:
        return None  # one that others may read is told of as a file
    return RootSecret.beside(path)


# --- what the store holds ---


async def _inside(seen: Ours, kept: EmbeddedStore | FleetStore) -> Ours:
    clock = SystemClock()
    before = clock.wall()
    theirs = await kept.wall()
    skew_s = None if theirs is None else theirs - (before + clock.wall()) / 2
    changes = (await kept.tail(0)).changes
    return msgspec.structs.replace(
        seen,
        is_open=True,
        skew_s=skew_s,
        oldest_s=max(0, seen.now - changes[0].forget_after) if changes else 0,
        keys=tuple(await kept.keys()),
        is_lost=bool(seen.secret_ids) and await kept.is_lost(seen.secret_ids[0]),
    )


async def _with_sessions(seen: Ours, kept: EmbeddedStore | FleetStore, url: str) -> Ours:
    """Read the sessions of people, some hundreds of them at most: the store has no list of all."""
    database = databases.from_url(url)
    await database.open(may_be_new=False)
    sessions: list[Session] = []
    try:
        after, count = "", 0
        while count < _MOST_ACCOUNTS and (page := await database.users(after=after, limit=_PAGE)):
            for user in page:
                sessions += await kept.load_subject(user.id)
            after, count = page[-1].name, count + len(page)
    finally:
        await database.close()
    return msgspec.structs.replace(seen, sessions=tuple(sessions))
