"""
Connections to PostgreSQL: few, opened when needed, waited for within bounds. Floor 6; may import: floors 0 to 2.

Rules of this module:

1. A step is one transaction. It begins by taking the lock of what it decides about; each statement sees what was
   committed before it (READ COMMITTED), so what it reads after the lock is so until it commits.
2. What is repeated, once, has certainly left nothing behind: a read, or a write whose COMMIT was not sent. Where the
   connection breaks at the COMMIT, nobody can tell; that is said.
3. Waiting has an end on both sides: here, and at the server, where a process that was stopped in the middle of a step
   must not hold a lock for ever.
4. No text of the driver or of the server gets into an error: they quote values, and may quote the password.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg

from coatcheck.errors import Forked, NotOpen, StoreUnavailable, StoreUnusable
from coatcheck.server.database._postgres_url import Place, wrong_url

T = TypeVar("T")
Step = Callable[[Any], Awaitable[T]]

MOST_CONNECTIONS = 8
WAIT_S = 5.0
_IDLE_S = 300.0
_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_WHICH = "the database (PostgreSQL)"

_SAID = {
    "25006": "it takes no writes; it may be a standby",
    "25P03": "this process was stopped for too long in the middle of a step",
    "28000": "it refuses this user",
    "28P01": "it refuses this user or the password",
    "3D000": "there is no such database",
    "40001": "others changed the same at the same moment",
    "40P01": "others changed the same at the same moment",
    "42501": "the user lacks a right",
    "42P01": "its tables are gone",
    "53100": "its disk is full",
    "53300": "it has no connection left",
    "55P03": "others hold what is needed for too long",
    "57014": "it did not answer in time",
    "57P01": "it is shutting down",
    "57P02": "it crashed",
    "57P03": "it is starting or shutting down",
}
_LOST = {"25006", "25P03", "40001", "40P01", "57P01", "57P02", "57P03", "57P05"}
"""Where trying once more, on another connection, may help. Beside these all that begin with 08."""

_REMEDIES = {
    "28000": "look at pg_hba.conf, and whether the server asks for TLS",
    "28P01": "give the password in the URL of COATCHECK_DATABASE, in PGPASSWORD or in ~/.pgpass",
    "3D000": "make it: createdb --encoding=UTF8",
    "42501": "grant it, as docs/how-to/postgresql.md says, or let its owner run coatcheck migrate",
}


def _state_of(error: Exception) -> str:
    return getattr(error, "sqlstate", None) or ""


def _said(error: Exception) -> str:
    """Say what *error* means, in words of our own."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, socket.gaierror):
        return "its host is not known"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens at its address"
    if isinstance(error, FileNotFoundError):
        return "there is no such socket, or a file that its URL names is missing"
    if isinstance(error, ssl.SSLError):
        return "TLS failed; its certificate may not be the one that is expected"
    state = _state_of(error)
    if state in _SAID:
        return _SAID[state]
    if _is_loss(error):
        return "the connection broke"
    return f"error {state}" if state else type(error).__name__


def unavailable(error: Exception, *, is_in_doubt: bool = False) -> StoreUnavailable:
    """Return *error* as ours."""
    doubt = "; it broke at the commit, so what was to be written may be there or not" if is_in_doubt else ""
    return StoreUnavailable(f"{_WHICH}: {_said(error)}{doubt}")


def _is_loss(error: Exception) -> bool:
    if isinstance(error, asyncpg.PostgresError):
        return _state_of(error) in _LOST or _state_of(error).startswith("08")
    # A ValueError of the driver is about what it was given.
    return not isinstance(error, TimeoutError | ValueError)


def begin(wait_s: float) -> str:
    """
    Return what begins a step that writes.

    Each statement sees what was committed before it, whatever the user's settings are; and who falls silent in the
    middle of a step is put out by the server, with the locks that it holds.
    """
    at_server = f"{wait_s * 900:.0f}ms"
    return f"""
        BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
        SET LOCAL statement_timeout = '{at_server}';
        SET LOCAL idle_in_transaction_session_timeout = '{at_server}';
        SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'
    """


class _Attempt:
    """How far an attempt got."""

    is_connected = False
    is_committing = False

    def may_be_repeated(self, error: Exception) -> bool:
        """Say whether *error* may have been the fault of an old connection, and nothing was written."""
        stale = isinstance(error, asyncpg.InvalidCachedStatementError)
        return self.is_connected and not self.is_committing and (stale or _is_loss(error))


async def _leave(connection: Any) -> None:
    """Do not reset a connection between two steps: a step leaves nothing behind but its transaction."""


class Link:
    """
    The connections of one process to one database.

    Args:
        place: Where.

        wait_s: How long a step may take in all.
    """

    def __init__(self, place: Place, *, wait_s: float) -> None:
        self._place = place
        self._wait_s = wait_s
        self._pool: Any = None
        self._pid = 0
        self._under_way: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Get ready. Nothing is connected yet."""
        self._pid = os.getpid()
        self._pool = await asyncpg.create_pool(
            self._place.dsn.reveal(),
            min_size=0,
            max_size=MOST_CONNECTIONS,
            max_inactive_connection_lifetime=_IDLE_S,
            reset=_leave,
        )

    async def close(self) -> None:
        """Let go of all connections, when the steps under way have ended."""
        pool, self._pool = self._pool, None
        if pool is None or self._pid != os.getpid():
            return
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=2 * self._wait_s)
        try:
            async with asyncio.timeout(self._wait_s):
                await pool.close()
        except Exception:
            pool.terminate()  # whatever hinders a farewell: what matters is committed

    async def alone(self, work: Step[T], *, within_s: float) -> T:
        """
        Do *work* on a connection of its own: the look at the beginning, and migrations.

        Raises:
            ConfigError: The URL is wrong.

            StoreUnusable: The server refuses this user, or lacks what is needed.

            StoreUnavailable: It does not answer.
        """
        try:
            async with asyncio.timeout(within_s):
                connection = await self._connect()
                try:
                    return await work(connection)
                finally:
                    connection.terminate()  # and with it what was begun and not committed
        except _FAULTS as error:
            remedy = _REMEDIES.get(_state_of(error))
            if remedy is not None:
                raise StoreUnusable(f"{_WHICH}: {_said(error)}; {remedy}") from None
            raise unavailable(error) from None

    async def _connect(self) -> Any:
        try:
            return await asyncpg.connect(self._place.dsn.reveal(), timeout=self._wait_s)
        except (asyncpg.PostgresError, OSError):
            raise
        except (ValueError, LookupError, OverflowError):
            # What the driver says of a URL that it cannot read. Its text quotes the URL.
            raise wrong_url() from None

    async def read(self, step: Step[T]) -> T:
        """Do a step that is one statement and changes nothing."""
        return await self._shielded(step, writes=False)

    async def write(self, step: Step[T]) -> T:
        """Do a step in a transaction, which is committed if *step* returns."""
        return await self._shielded(step, writes=True)

    async def _shielded(self, step: Step[T], *, writes: bool) -> T:
        if self._pool is None:
            raise NotOpen("the database is not open")
        if self._pid != os.getpid():
            raise Forked("the database was opened before fork(); open it in each process, after the fork")
        # A caller that goes away does not leave a step half awaited.
        task = asyncio.ensure_future(self._attempts(step, writes=writes))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def _attempts(self, step: Step[T], *, writes: bool) -> T:
        for is_last in (False, True):
            attempt = _Attempt()
            try:
                async with asyncio.timeout(self._wait_s):
                    return await self._attempt(step, attempt, writes=writes)
            except _FAULTS as error:
                if is_last or not attempt.may_be_repeated(error):
                    raise unavailable(error, is_in_doubt=attempt.is_committing) from None
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, step: Step[T], attempt: _Attempt, *, writes: bool) -> T:
        pool = self._pool
        connection = await pool.acquire()
        try:
            attempt.is_connected = True
            if writes:
                await connection.execute(begin(self._wait_s))
            result = await step(connection)
            if writes:
                attempt.is_committing = True
                if await connection.execute("COMMIT") != "COMMIT":
                    raise AssertionError("a step went on after one of its statements had failed")
        except BaseException:
            connection.terminate()  # what was begun ends with it; and nobody knows what is still under way there
            raise
        finally:
            # What was committed is so, whatever becomes of the connection afterwards.
            with contextlib.suppress(Exception):
                await pool.release(connection)
        return result
