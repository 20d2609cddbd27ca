"""
Where sessions are kept. Floor 2; a store imports floor 0 only: never a token, never a policy.

Read :mod:`coatcheck.stores.base` first: it is the contract, in prose. Drivers are imported only in their own file.
"""

from __future__ import annotations

from coatcheck.errors import ConfigError
from coatcheck.stores.base import EmbeddedStore, FleetStore, Migration

POSTGRES = ("postgresql", "postgres")
VALKEY = ("valkey", "valkeys", "redis", "rediss")
SHARED = ("sqlite", *POSTGRES, *VALKEY)
"""Schemes of stores that other processes can open."""

_KNOWN = (
    'use "sqlite:///coatcheck.db" (absolute: "sqlite:////var/lib/coatcheck.db"), '
    '"postgresql://USER:PASSWORD@HOST/DATABASE", "valkey://USER:PASSWORD@HOST" or "memory://"'
)


def from_url(url: str) -> EmbeddedStore | FleetStore:
    """
    Return the store that *url* names; it is opened later.

    Raises:
        ConfigError: No such kind of store, or the address makes no sense for it.
    """
    if not isinstance(url, str):
        raise ConfigError("store", f"is {type(url).__name__}, not a URL", _KNOWN)
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "memory":
        from coatcheck.stores.memory import MemoryStore

        if rest:
            raise ConfigError("store", "memory:// takes nothing behind it", 'write "memory://"')
        return MemoryStore()
    if separator and scheme == "sqlite":
        from coatcheck.stores.sqlite import SQLiteStore

        return SQLiteStore(file_of(rest))
    if separator and scheme in POSTGRES:
        return _postgres(url)
    if separator and scheme in VALKEY:
        return _valkey(url)
    # The URL may hold a password, so only its scheme is shown.
    raise ConfigError("store", f"{ascii(scheme[:32]) if separator else 'the text'} is not a known kind of URL", _KNOWN)


def _postgres(url: str) -> FleetStore:
    try:
        from coatcheck.stores.postgres import PostgresStore
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        remedy = 'run: pip install "coatcheck[postgres]"'
        raise ConfigError("store", "the driver for PostgreSQL is not installed", remedy) from None
    return PostgresStore(url)


def _valkey(url: str) -> FleetStore:
    try:
        from coatcheck.stores.valkey import ValkeyStore
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "redis":
            raise
        remedy = 'run: pip install "coatcheck[valkey]"'
        raise ConfigError("store", "the driver for Valkey and Redis is not installed", remedy) from None
    return ValkeyStore(url)


async def migrate(url: str, *, lease_s: float | None = None, dry_run: bool = False) -> Migration | None:
    """
    Make the store that *url* names, or bring it up to date, and change its lease: what an operator does beforehand.

    Args:
        dry_run: Change nothing, and say what would be done.

    Returns:
        None for a store in this process, which is brought up to date when it is opened.

    Raises:
        ConfigError: *url* or *lease_s* makes no sense. StoreUnusable: it may not be done. StoreUnavailable: no answer.
    """
    if from_url(url).is_embedded:
        return None
    if url.partition("://")[0] in POSTGRES:
        from coatcheck.stores import postgres

        return await postgres.migrate(url, lease_s=lease_s, dry_run=dry_run)
    from coatcheck.stores import valkey

    return await valkey.migrate(url, lease_s=lease_s, dry_run=dry_run)


def file_of(rest: str, *, setting: str = "store") -> str:
    """
    Return the file that a SQLite URL names after its ``sqlite://``.

    Raises:
        ConfigError: It names none.
    """
    if not rest.startswith("/") or len(rest) < 2:
        raise ConfigError(setting, "a SQLite URL has three slashes and a file name", _KNOWN)
    if not rest.isprintable():
        raise ConfigError(setting, "the file name holds characters that cannot be printed", _KNOWN)
    if "?" in rest or "#" in rest or "\0" in rest:
        raise ConfigError(setting, "a SQLite URL takes no options", _KNOWN)
    if rest[1:] == ":memory:":
        raise ConfigError(setting, "SQLite in memory is not offered", 'use "memory://"')
    return rest[1:]
