"""Where the ready-made server keeps accounts, limits and the audit trail. Floor 6; may import: floors 0 to 2."""

from __future__ import annotations

from coatcheck.errors import ConfigError
from coatcheck.server.database.base import Database, Migrated
from coatcheck.stores import POSTGRES, VALKEY, file_of

_KNOWN = 'write "sqlite:///coatcheck.db" or "postgresql://USER@HOST/DATABASE"'


def from_url(url: str) -> Database:
    """
    Return the database that *url* names, not yet open.

    Raises:
        ConfigError: No such kind of database, or its driver is not installed.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        from coatcheck.server.database.sqlite import SQLiteDatabase

        return SQLiteDatabase(file_of(rest, setting="database"))
    if separator and scheme in POSTGRES:
        try:
            from coatcheck.server.database.postgres import PostgresDatabase
        except ModuleNotFoundError as error:
            if error.name != "asyncpg":
                raise
            problem, remedy = "PostgreSQL needs a driver", 'pip install "coatcheck[postgres]"'
            raise ConfigError("database", problem, remedy) from None
        return PostgresDatabase(url)
    if separator and scheme in VALKEY:
        raise ConfigError("database", "Valkey and Redis keep sessions, and no accounts", _KNOWN)
    # The URL may hold a password, so it is not shown.
    raise ConfigError("database", "is not a known kind of URL", _KNOWN)


async def migrate(url: str) -> Migrated:
    """
    Make the tables of the database that *url* names, or bring them up to date, while nobody of another version uses it.

    Raises:
        ConfigError: There is no such kind of database.

        StoreUnusable: It is of a later version, or the user lacks a right.

        StoreUnavailable: It does not answer. Nothing was changed.
    """
    return await from_url(url).migrate()
