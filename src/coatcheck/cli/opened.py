"""
The store and the database, opened for one command. Floor 6; may import: floors 0 to 6.

Rules of this module:

1. A file or a schema that is not there is a mistake, except where accounts begin: sessions ended in a new, empty file
   by mistake would live on where they are.
2. A store in the memory of a server cannot be reached from here, so it is refused.
3. Whoever opens does the duties that somebody left undone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from coatcheck.cli.mistakes import WRONG, Mistake, nobody
from coatcheck.clock import Clock, SystemClock
from coatcheck.engine import Coatcheck
from coatcheck.server import database, names
from coatcheck.server.accounts import Accounts
from coatcheck.server.database.base import Database, User
from coatcheck.server.passwords import Passwords
from coatcheck.server.trail import Trail
from coatcheck.stores import POSTGRES, VALKEY, file_of, migrate

PAGE = 200

make_passwords: Callable[[], Passwords] = Passwords
"""For tests, which cannot wait for each password."""


class _Later(Passwords):
    """
    What :func:`make_passwords` makes, made at the first password.

    Making it takes as long as checking a password, and most commands have none.
    """

    def __init__(self) -> None:  # the pool and the hash of nobody's password are those of the one made later
        self._made: Passwords | None = None

    async def hash(self, password: str) -> str:
        self._made = self._made or make_passwords()
        return await self._made.hash(password)

    def close(self) -> None:
        """End its threads, if there are any."""
        if self._made is not None:
            self._made.close()


@dataclass(frozen=True, slots=True)
class Where:
    """The two URLs of a command."""

    store: str
    database: str

    def check(self, *, may_be_new: bool = False) -> None:
        """Refuse what this command cannot work on."""
        check_url(self.store, "--store", may_be_new=may_be_new)
        check_url(self.database, "--database", may_be_new=may_be_new)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a command works with."""

    auth: Coatcheck
    database: Database
    accounts: Accounts
    clock: Clock

    async def named(self, name: str) -> User:
        """Return the account called *name*; a mistake if there is none."""
        if names.why_not(name) is not None:
            nobody(name)  # what no account can be called is not asked for: it might not even be text
        return await self.database.user_named(name) or nobody(name)

    async def everybody(self) -> AsyncIterator[User]:
        """Yield all accounts in the order of their names."""
        after = ""
        while page := await self.database.users(after=after, limit=PAGE):
            for user in page:
                yield user
            after = page[-1].name


def check_url(url: str, option: str, *, may_be_new: bool = False) -> None:
    """Refuse a URL that leads to memory, or to a file or a schema that is not there."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "memory":
        detail = f"{option}: memory:// is inside the running server, out of reach; name a sqlite:/// file"
        raise Mistake("out_of_reach", detail, exit_code=WRONG)
    if separator and scheme in (*POSTGRES, *VALKEY) and option == "--store" and not may_be_new:
        _check_begun(url)
    if not separator or scheme != "sqlite" or may_be_new:
        return  # what is no URL at all is refused when it is opened
    path = Path(file_of(rest, setting=option))
    if not path.exists():
        detail = f"{option}: there is no file {path}; name the one that the server uses"
        raise Mistake("no_such_file", detail, exit_code=WRONG)


def _check_begun(url: str) -> None:
    """Refuse a store behind a network that nobody has begun. A database of the server sees to that itself."""
    # On a thread, which has a loop of its own: some of those who ask are in one, others are not.
    with ThreadPoolExecutor(1) as thread:
        found = thread.submit(asyncio.run, migrate(url, dry_run=True)).result()
    if found is not None and found.before == 0:
        where = "under the prefix" if url.partition("://")[0] in VALKEY else "in the schema"
        detail = f"--store: there are no sessions {where} {found.schema}; name the store that the server uses"
        raise Mistake("no_such_store", detail, exit_code=WRONG)


def quiet() -> None:
    """Keep what the library logs for operators of servers out of a command's output, which says it itself."""
    logger = logging.getLogger("coatcheck")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


@contextlib.asynccontextmanager
async def opened(where: Where, *, may_be_new: bool = False) -> AsyncIterator[Opened]:
    """Open both, give them, close them."""
    where.check(may_be_new=may_be_new)
    quiet()
    kept = database.from_url(where.database)
    clock = SystemClock()
    async with Coatcheck(where.store, clock=clock) as auth, _open(kept, may_be_new=may_be_new):
        hasher = _Later()
        try:
            accounts = Accounts(auth, kept, hasher, clock)
            await accounts.do_duties()
            yield Opened(auth, kept, accounts, clock)
        finally:
            hasher.close()


@contextlib.asynccontextmanager
async def noting(url: str) -> AsyncIterator[Trail]:
    """Open the audit trail alone."""
    kept = database.from_url(url)
    async with _open(kept, may_be_new=False):
        yield Trail(kept, SystemClock())


@contextlib.asynccontextmanager
async def _open(kept: Database, *, may_be_new: bool) -> AsyncIterator[None]:
    await kept.open(may_be_new=may_be_new)
    try:
        yield
    finally:
        await kept.close()
