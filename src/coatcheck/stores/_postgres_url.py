"""
What a PostgreSQL URL says. Floor 2; may import: floor 0.

Rules of this module:

1. A URL may hold passwords. No error and no repr shows any part of one but user, host, database and schema; and where
   it cannot be taken apart with certainty, nothing of it.
2. An option that is not known is refused. The driver would pass it on to the server as a setting.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import msgspec

from coatcheck.errors import ConfigError

SCHEMA = "coatcheck"
POOL, POOL_MOST = 8, 64

_KNOWN = (
    'use "postgresql://USER:PASSWORD@HOST:5432/DATABASE", or "postgresql://USER@/DATABASE?host=/var/run/postgresql"'
)
_ESCAPE = "write characters such as @ / ? # : in the user or password as %40 %2F %3F %23 %3A"
_OURS = ("schema", "pool", "pgbouncer")
_DRIVERS = (
    "host",
    "port",
    "user",
    "password",
    "dbname",
    "passfile",
    "application_name",
    "sslmode",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslrootcert",
    "sslcrl",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
)
_HOST = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\[\]:@\s]*)(:\d{1,5})?")
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,47}")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """
    A PostgreSQL URL, taken apart.

    Attributes:
        dsn: For the driver; holds the password. shown: for people; holds none.

        identity: What it leads to: hosts, database and schema.

        schema: Where the tables are. pool: how many connections answer reads and sign-ins.

        pgbouncer: Whether a pooler in transaction mode stands between: no prepared statements and no LISTEN then.
    """

    dsn: str
    shown: str
    identity: str
    schema: str
    pool: int
    pgbouncer: bool

    def __repr__(self) -> str:
        return f"Settings({self.shown!r})"


def parse(url: str, *, setting: str = "store", schema: str = SCHEMA) -> Settings:
    """
    Take *url* apart.

    Args:
        setting: What the URL was given as, for the error. schema: the one to use if it names none.

    Raises:
        ConfigError: It makes no sense; says what, and shows nothing that could be a password.
    """
    if not url.isprintable():
        raise ConfigError(setting, "the URL holds characters that cannot be printed", _KNOWN)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigError(setting, "the URL cannot be taken apart", _ESCAPE) from None
    where = _checked_hosts(parts, setting)
    options = _options(parts.query, setting)
    if parts.netloc.rpartition("@")[2] and ("host" in options or "port" in options):
        raise ConfigError(setting, "the URL names a host, or a port, twice", "name it before the / or after the ?")
    ours = {name: options.pop(name) for name in _OURS if name in options}
    schema = ours.get("schema", schema)
    if not _NAME.fullmatch(schema) or schema.startswith("pg_"):
        remedy = "use at most 48 small letters, digits and _, the first no digit, and not pg_ at the beginning"
        raise ConfigError(setting, "the schema of the URL is no plain name", remedy)
    asked = {"schema": schema} if "schema" in ours else {}
    shown = {name: value for name, value in options.items() if name in ("host", "port", "dbname", "user")} | asked
    hosts = options.get("host") or where.rpartition("@")[2]
    database = options.get("dbname") or parts.path.removeprefix("/")
    return Settings(
        identity=f"postgresql://{hosts}/{database}?schema={schema}",
        dsn=_joined(parts.netloc, parts.path, urlencode(options)),
        shown=_joined(where, parts.path, urlencode(shown, safe="/")),
        schema=schema,
        pool=_whole(ours.get("pool", str(POOL)), setting),
        pgbouncer=_flag(ours.get("pgbouncer", "false"), setting),
    )


def _joined(netloc: str, path: str, query: str) -> str:
    return f"postgresql://{netloc}{path or '/'}{'?' * bool(query)}{query}"


def _checked_hosts(parts: SplitResult, setting: str) -> str:
    """Return user and hosts without the password. An unescaped / or @ in it would make it look like something else."""
    credentials, _, hosts = parts.netloc.rpartition("@")
    if "@" in credentials or "@" in parts.path or parts.fragment or credentials.count(":") > 1:
        raise ConfigError(setting, "the URL is ambiguous", _ESCAPE)
    if not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        raise ConfigError(setting, "the host or the port in the URL makes no sense", _ESCAPE)
    user = credentials.partition(":")[0]
    return f"{user}@{hosts}" if user else hosts


def _options(query: str, setting: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise ConfigError(setting, "what stands after the ? of the URL is no list of options", _ESCAPE) from None
    options = dict(pairs)
    if len(options) != len(pairs):
        raise ConfigError(setting, "an option of the URL is given twice", "give each once")
    for name in options:
        if name not in _OURS and name not in _DRIVERS:
            known = ", ".join((*_OURS, *_DRIVERS))
            raise ConfigError(setting, f"the URL has an option {name[:32]!a} that is not known", f"known: {known}")
    return options


def _whole(text: str, setting: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= POOL_MOST:
        raise ConfigError(setting, "pool in the URL is no number of connections", f"give 1 to {POOL_MOST}")
    return int(text)


def _flag(text: str, setting: str) -> bool:
    known: dict[str, Any] = {"true": True, "false": False}
    if text not in known:
        raise ConfigError(setting, "pgbouncer in the URL is neither true nor false", "write pgbouncer=true")
    return bool(known[text])
