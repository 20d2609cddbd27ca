"""
What becomes of the errors of PostgreSQL and of its driver. Floor 2; may import: floor 0.

Rules of this module:

1. The server's own text stays behind: it can quote what was being written, and where.
2. Every text names a remedy where there is one.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

import asyncpg

from coatcheck.errors import CoatcheckError, StoreUnavailable, StoreUnusable

_MIGRATE = "run: coatcheck migrate"
_LOOK = "look at user and password (in the URL, PGPASSWORD or ~/.pgpass), and at pg_hba.conf"

# By SQLSTATE, or by the first two letters of it.
_SAID = {
    "08": "the connection was lost",
    "22P05": "a text cannot be stored in the encoding of the database; use one with UTF8",
    "25006": "the server is read-only, a standby perhaps; name the primary",
    "25P03": "a transaction stood still for too long and was given up",
    "28": f"the server does not let this role in; {_LOOK}",
    "3D000": "there is no such database; make it (createdb), or name another in the URL",
    "3F000": f"the schema is not there; {_MIGRATE}",
    "40": "transactions stood in each other's way again and again",
    "42501": "the role lacks a right; grant it, or run coatcheck migrate with a role that has it",
    "42703": f"the tables are another version's; {_MIGRATE}",
    "42P01": f"the tables are not there; {_MIGRATE}",
    "53100": "the disk of the server is full",
    "53200": "the server is out of memory",
    "53300": "the server has no connection left; raise max_connections, or lower pool in the URL",
    "55P03": "a lock was not to be had in time",
    "57014": "a statement took too long and was given up",
    "57P01": "the server is shutting down, or an administrator ended the connection",
    "57P02": "the server crashed and is recovering",
    "57P03": "the server is starting up or shutting down",
    "58": "the disk of the server reported an error",
    "XX": "the server reported damage; look at its log",
}
# What no second try mends.
_LASTING = ("28", "3D000", "42501")
_LOST = ("08", "57P01", "57P02", "57P03", "57P05", "25P03")
_TRY_AGAIN = ("40001", "40P01")


def _state(error: BaseException) -> str:
    return str(getattr(error, "sqlstate", None) or "")


def may_be_tried_again(error: BaseException) -> bool:
    """Say whether the server undid the transaction because another stood in its way."""
    return _state(error) in _TRY_AGAIN


def is_lost(error: BaseException) -> bool:
    """Say whether *error* means that the connection is gone, or never came to be: not that a statement failed."""
    if isinstance(error, asyncpg.PostgresError):
        return _state(error).startswith(_LOST) or getattr(error, "severity_en", "") in ("FATAL", "PANIC")
    return isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError)


def fault(error: BaseException, *, opening: bool = False) -> CoatcheckError:
    """
    Return *error* as ours.

    Args:
        opening: Whether this is the opening, where what no second try mends is :class:`StoreUnusable`.
    """
    lasting = opening and (_state(error).startswith(_LASTING) or isinstance(error, asyncpg.ClientConfigurationError))
    return (StoreUnusable if lasting else StoreUnavailable)(f"PostgreSQL: {_said(error)}")


def _said(error: BaseException) -> str:
    state = _state(error)
    for key in (state, state[:2]):
        if key in _SAID:
            return _SAID[key]
    if state:
        return f"error {state}; look at the log of the server"
    for kind, text in _OF_THE_DRIVER:
        if isinstance(error, kind):
            return text
    return f"{type(error).__name__}"


_OF_THE_DRIVER: tuple[tuple[Any, str], ...] = (
    (asyncpg.ClientConfigurationError, "an option of the URL cannot be used (sslmode, a certificate, port, passfile)"),
    (asyncpg.TargetServerAttributeNotMatched, "the server is a standby; name the primary"),
    (socket.gaierror, "the name of the host is not known"),
    (ssl.SSLCertVerificationError, "the certificate of the server is not accepted; look at sslmode and sslrootcert"),
    (ssl.SSLError, "TLS failed; look at sslmode"),
    (ConnectionRefusedError, "nobody listens at this host and port"),
    (FileNotFoundError, "there is no such socket, or no such certificate"),
    (PermissionError, "the socket or a certificate may not be read"),
    (TimeoutError, "no answer in time"),
    (OSError, "the connection was lost, or cannot be made; look at host, port and sslmode"),
    (asyncpg.InterfaceError, "the connection was lost"),
)
