"""Where the ready-made server keeps accounts, limits and the audit trail. Floor 6; may import: floors 0 to 2."""

from __future__ import annotations

from coatcheck.errors import ConfigError
from coatcheck.server.database.base import Database


def from_url(url: str) -> Database:
    """
    Return the database that *url* names, not yet open.

    Raises:
        ConfigError: No such kind of database.
    """
    from coatcheck.server.database.sqlite import SQLiteDatabase
    from coatcheck.stores import file_of

    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        return SQLiteDatabase(file_of(rest, setting="database"))
    # The URL may hold a password, so it is not shown.
    raise ConfigError("database", "is not a known kind of URL", 'write "sqlite:///coatcheck.db"')
