"""
From the URL of a PostgreSQL database to what the driver is given. Floor 6; may import: floors 0 to 2.

The URL may hold a password, so nothing of it is ever shown: a password with an ``@`` in it would stand where the host
should.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from coatcheck.errors import ConfigError
from coatcheck.secret import Secret

DEFAULT_SCHEMA = "coatcheck_server"
WRITE = f'write "postgresql://USER@HOST/DATABASE", with "?schema=…" for another schema than {DEFAULT_SCHEMA}'
_SCHEMA = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where the tables are.

    Attributes:
        dsn: For the driver. It knows the variables and files of PostgreSQL's own programs, too: ``PGPASSWORD``,
            ``~/.pgpass``, ``PGSSLMODE``, ….

        schema: Its name, which needs no quotes.
    """

    dsn: Secret
    schema: str


def place_of(url: str) -> Place:
    """
    Return the place that *url* names.

    Raises:
        ConfigError: It names none.
    """
    try:
        parts = urlsplit(url)
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise wrong_url() from None
    if parts.fragment or parts.netloc.count("@") > 1:
        raise ConfigError(
            "database",
            "the URL holds a character that means something else there",
            "write % and two hexadecimal digits for it: %23 for #, %2F for /, %3F for ?, %40 for @",
        )
    schemas = [value for name, value in options if name == "schema"] or [DEFAULT_SCHEMA]
    if len(schemas) != 1 or not _SCHEMA.fullmatch(schemas[0]):
        raise ConfigError(
            "database", "schema= is no name", "use small letters, digits and _, 63 at most, not beginning with pg_"
        )
    options = [(name, value) for name, value in options if name != "schema"]
    if "application_name" not in dict(options):
        options.append(("application_name", "coatcheck"))
    query = urlencode(options, quote_via=quote)
    return Place(Secret(urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))), schemas[0])


def wrong_url() -> ConfigError:
    """Return what to say of a URL that the driver cannot use."""
    return ConfigError("database", "the URL, or a variable or file that PostgreSQL's programs read, is wrong", WRITE)
