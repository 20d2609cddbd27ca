"""
How a connection to PostgreSQL is made. Floor 2; may import: floor 0.

Rules of this module:

1. Never a standby. What it answers may be old.
2. A connection keeps no state between transactions: each one says itself what it needs (:func:`begin`). So a pooler
   that hands on connections in between does no harm. Where none is named, the default isolation of a connection is set
   besides, for statements that are transactions by themselves (:func:`alone`): a stricter one would do no harm, but
   would make them fail more often.
3. Whoever connects looks where the log is now (:class:`coatcheck.stores._postgres_nodes.Whereabouts`), before anything
   else is asked. A server that was promoted or restored may have lost the end of the log.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from coatcheck.errors import StoreUnavailable, StoreUnusable
from coatcheck.stores._postgres_lanes import Connection
from coatcheck.stores._postgres_url import Settings

log = logging.getLogger("coatcheck")
_DEFAULTS = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE"


def begin(wait_s: float) -> str:
    """
    Return the statement that begins a write.

    READ COMMITTED, whatever the role's default is: each statement sees what was committed before it. The commit waits
    for the disk, and for the standbys that the server is told to wait for; a stronger setting of the server stays.
    Whoever holds a lock and falls silent is put out by the server: nobody stops a fleet by standing still.
    """
    bound, silence = int(wait_s * 1000), int(wait_s * 400)  # so that who waits behind somebody silent still succeeds
    return (
        f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT {alone(wait_s)}, "
        f"set_config('statement_timeout', '{bound}', true), "
        f"set_config('idle_in_transaction_session_timeout', '{silence}', true)"
    )


def alone(wait_s: float) -> str:
    """
    Return what a statement selects that is a transaction by itself: how durable its commit is, how long it may wait.

    The settings count until the transaction ends, and they are looked at when it waits for a lock and when it commits.
    """
    durable = "CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END"
    return (
        f"set_config('synchronous_commit', {durable}, true) AS durable, "
        f"set_config('lock_timeout', '{int(wait_s * 1000)}', true) AS bound"
    )


class PlainConnection(asyncpg.Connection):  # type: ignore[misc]
    """
    A connection that remembers warnings.

    Attributes:
        warned: Whether the server warned. At a commit it does so when it was cancelled while it waited for a standby:
            the commit happened here, and perhaps nowhere else.

        idle_since: When it was last used, by the clock of the event loop.
    """

    warned = False
    idle_since = 0.0

    def _process_log_message(self, fields: Any, last_query: Any) -> None:
        if fields.get("V") == "WARNING":
            self.warned = True
        super()._process_log_message(fields, last_query)


class Connector:
    """
    Makes connections of one store.

    Attributes:
        arrived: Is called with each new connection before it is used. connection_class: what is made.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.arrived: Callable[[Connection], Awaitable[None]] | None = None
        self.connection_class = PlainConnection

    async def connect(self) -> Connection:
        """Make a connection. How long that may take, the caller bounds."""
        connection = await self._connect()
        try:
            if await connection.fetchval("SELECT pg_is_in_recovery()"):  # a pooler may have said what is not so
                raise StoreUnavailable("PostgreSQL: the server is a standby; name the primary")
            if not self._settings.pgbouncer:
                await connection.execute(_DEFAULTS)
            if self.arrived is not None:
                await self.arrived(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _connect(self) -> Connection:
        named = "application_name=" in self._settings.dsn
        try:
            return await asyncpg.connect(
                self._settings.dsn,
                connection_class=self.connection_class,
                server_settings=None if named else {"application_name": "coatcheck"},
                statement_cache_size=0 if self._settings.pgbouncer else 200,
                max_cached_statement_lifetime=0,
                target_session_attrs="primary",
            )
        except (asyncpg.InterfaceError, ssl.SSLError):
            raise  # some of them are ValueErrors, too
        except (ValueError, LookupError, OverflowError):
            # What becomes of a host or a port that makes no sense. The text would quote it.
            raise StoreUnusable("PostgreSQL: the URL cannot be used; look at host, port and options") from None


async def warn_if_careless(connection: Connection) -> None:
    """Tell the log of a server that may lose what it acknowledged."""
    if await connection.fetchval("SELECT current_setting('fsync') = 'off'"):
        log.warning("PostgreSQL runs with fsync=off: a crash of its machine loses sessions and revocations")
