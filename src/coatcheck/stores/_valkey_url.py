"""
What a Valkey URL says. Floor 2; may import: floor 0.

Rules of this module:

1. A URL may hold passwords. No error and no repr shows any part of one but user, hosts, database and prefix; and where
   it cannot be taken apart with certainty, nothing of it.
2. An option that is not known is refused, and one that does not go with the others.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

import msgspec

from coatcheck.errors import ConfigError
from coatcheck.secret import Secret

PREFIX = "coatcheck"
PORT, SENTINEL_PORT = 6379, 26379
LEASE_LEAST_S, LEASE_MOST_S = 0.5, 60.0

Mode: TypeAlias = Literal["single", "sentinel", "cluster"]
Host: TypeAlias = tuple[str, int]

_KNOWN = (
    'use "valkey://USER:PASSWORD@HOST:6379/0", "valkey://HOST,HOST,HOST?cluster=true", '
    '"valkey://HOST,HOST,HOST/0?sentinel=NAME" or "valkey:///0?socket=/run/valkey.sock"; valkeys:// with TLS'
)
_ESCAPE = "write characters such as @ / ? # : in the user or password as %40 %2F %3F %23 %3A"
_SCHEMES = {"valkey": False, "redis": False, "valkeys": True, "rediss": True}
_OPTIONS = (
    "cluster",
    "sentinel",
    "sentinel_user",
    "sentinel_password",
    "socket",
    "tls_ca",
    "tls_cert",
    "tls_key",
    "prefix",
    "durability",
    "lease_s",
)
_HOST = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\[\]:@\s%]*)(?::(\d{1,5}))?")
_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,48}")
_SENTINEL = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DECIMAL = re.compile(r"\d{1,2}(\.\d{1,6})?", re.ASCII)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """
    A Valkey URL, taken apart.

    Attributes:
        hosts: The server; or the sentinels; or some nodes of the cluster. socket: instead of them, a path.

        master: The name that the sentinels have for the primary. durability: on how many replicas a change must be on
            disk; None is all that there are.

        lease_s: For a store that is made now. shown: for people; holds no password.

        identity: What it leads to: hosts, database and prefix.
    """

    hosts: tuple[Host, ...]
    socket: str = ""
    mode: Mode = "single"
    master: str = ""
    user: str | None = None
    password: Secret | None = None
    sentinel_user: str | None = None
    sentinel_password: Secret | None = None
    database: int = 0
    tls: bool = False
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    prefix: str = PREFIX
    durability: int | None = None
    lease_s: float | None = None
    shown: str
    identity: str

    def __repr__(self) -> str:
        return f"Settings({self.shown!r})"


def parse(url: str, *, setting: str = "store") -> Settings:
    """
    Take *url* apart.

    Args:
        setting: What the URL was given as, for the error.

    Raises:
        ConfigError: It makes no sense; says what, and shows nothing that could be a password.
    """
    if not url.isprintable():
        raise ConfigError(setting, "the URL holds characters that cannot be printed", _KNOWN)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigError(setting, "the URL cannot be taken apart", _ESCAPE) from None
    if parts.scheme not in _SCHEMES:
        raise ConfigError(setting, "the URL is none of Valkey", _KNOWN)
    user, password, where = _who_and_where(parts, setting)
    options = _options(parts.query, setting)
    mode = _mode(options, setting)
    hosts = tuple(_host(text, SENTINEL_PORT if mode == "sentinel" else PORT, setting) for text in where.split(","))
    database = _database(parts.path, setting)
    tls = _SCHEMES[parts.scheme]
    _check_tls(options, tls, setting)
    _check_together(options, mode, hosts if where else (), database, setting)
    prefix = options.get("prefix", PREFIX)
    if not _PREFIX.fullmatch(prefix):
        raise ConfigError(setting, "the prefix of the URL is no plain name", "use at most 48 letters, digits, _ and -")
    return Settings(
        hosts=hosts,
        socket=options.get("socket", ""),
        mode=mode,
        master=options.get("sentinel", ""),
        user=user,
        password=password,
        sentinel_user=options.get("sentinel_user"),
        sentinel_password=Secret(options["sentinel_password"]) if "sentinel_password" in options else None,
        database=database,
        tls=tls,
        tls_ca=options.get("tls_ca"),
        tls_cert=options.get("tls_cert"),
        tls_key=options.get("tls_key"),
        prefix=prefix,
        durability=_durability(options.get("durability"), setting),
        lease_s=_lease(options.get("lease_s"), setting),
        shown=_shown(parts.scheme, user, where, database, options),
        identity=_identity(hosts, mode, database, options, prefix),
    )


def _who_and_where(parts: SplitResult, setting: str) -> tuple[str | None, Secret | None, str]:
    """Return user, password and hosts. An unescaped / or @ in a password would make it look like something else."""
    credentials, _, hosts = parts.netloc.rpartition("@")
    ambiguous = "@" in credentials or "@" in parts.path or "@" in parts.query or parts.fragment
    if ambiguous or credentials.count(":") > 1:
        raise ConfigError(setting, "the URL is ambiguous", _ESCAPE)
    user, colon, password = credentials.partition(":")
    try:
        return (
            unquote(user, errors="strict") or None,
            Secret(unquote(password, errors="strict")) if colon else None,
            hosts,
        )
    except UnicodeDecodeError:
        raise ConfigError(setting, "the user or the password in the URL is no UTF-8", _ESCAPE) from None


def _host(text: str, port: int, setting: str) -> Host:
    found = _HOST.fullmatch(text)
    if not found or not 0 < int(found[2] or port) < 65536:
        raise ConfigError(setting, "the host or the port in the URL makes no sense", _ESCAPE)
    return found[1].strip("[]") or "localhost", int(found[2] or port)


def _options(query: str, setting: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict") if query else []
    except ValueError:
        raise ConfigError(setting, "what stands after the ? of the URL is no list of options", _ESCAPE) from None
    options = dict(pairs)
    if len(options) != len(pairs):
        raise ConfigError(setting, "an option of the URL is given twice", "give each once")
    for name, value in pairs:
        if name not in _OPTIONS:
            known = ", ".join(_OPTIONS)
            raise ConfigError(setting, f"the URL has an option {name[:32]!a} that is not known", f"known: {known}")
        if not value or not value.isprintable():
            raise ConfigError(setting, f"{name} in the URL is empty, or cannot be printed", "give it a value")
    return options


def _mode(options: dict[str, str], setting: str) -> Mode:
    cluster = options.get("cluster", "false")
    if cluster not in ("true", "false"):
        raise ConfigError(setting, "cluster in the URL is neither true nor false", "write cluster=true")
    if cluster == "true" and "sentinel" in options:
        raise ConfigError(setting, "the URL names a cluster and a sentinel", "give one of cluster and sentinel")
    if "sentinel" in options and not _SENTINEL.fullmatch(options["sentinel"]):
        remedy = "write sentinel=NAME as in: sentinel monitor NAME …"
        raise ConfigError(setting, "sentinel in the URL is no name of a primary", remedy)
    return "cluster" if cluster == "true" else "sentinel" if "sentinel" in options else "single"


def _database(path: str, setting: str) -> int:
    text = path.removeprefix("/")
    if text and not (text.isascii() and text.isdigit() and len(text) < 6):
        raise ConfigError(setting, "what stands after the / of the URL is no number of a database", _ESCAPE)
    return int(text or 0)


def _check_together(options: dict[str, str], mode: Mode, hosts: tuple[Host, ...], database: int, setting: str) -> None:
    if mode == "cluster" and database:
        raise ConfigError(setting, "the URL names a database of a cluster", "write /0, or nothing")
    if mode == "single" and len(hosts) > 1:
        remedy = "write cluster=true or sentinel=NAME behind a ?, or name one server"
        raise ConfigError(setting, "the URL names several hosts, and not what they are", remedy)
    if "socket" in options and (mode != "single" or hosts):
        remedy = 'write "valkey:///0?socket=/run/valkey.sock", with no host, cluster or sentinel'
        raise ConfigError(setting, "the URL names a socket and something that does not go with it", remedy)
    if "socket" in options and not options["socket"].startswith("/"):
        raise ConfigError(setting, "socket in the URL is no absolute path", "write socket=/run/valkey.sock")
    if mode != "sentinel" and any(name.startswith("sentinel_") for name in options):
        raise ConfigError(setting, "the URL has a sentinel's user or password, but no sentinel", "write sentinel=NAME")


def _check_tls(options: dict[str, str], tls: bool, setting: str) -> None:
    if tls and "socket" in options:
        raise ConfigError(setting, "the URL names a socket and TLS", "write valkey:// (or redis://)")
    if not tls and any(name.startswith("tls_") for name in options):
        raise ConfigError(setting, "the URL has options of TLS, but no TLS", "write valkeys:// (or rediss://)")
    if ("tls_cert" in options) != ("tls_key" in options):
        raise ConfigError(setting, "the URL names one of tls_cert and tls_key", "give both, or none")


def _durability(text: str | None, setting: str) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 3):
        remedy = "give how many replicas must have a change on disk, 0 to 99, or leave it out: all of them"
        raise ConfigError(setting, "durability in the URL is no number of replicas", remedy)
    return int(text)


def _lease(text: str | None, setting: str) -> float | None:
    if text is None:
        return None
    if not _DECIMAL.fullmatch(text) or not LEASE_LEAST_S <= float(text) <= LEASE_MOST_S:
        remedy = f"give {LEASE_LEAST_S:g} to {LEASE_MOST_S:g} seconds"
        raise ConfigError(setting, "lease_s in the URL is no length of a lease", remedy)
    return float(text)


def _shown(scheme: str, user: str | None, where: str, database: int, options: dict[str, str]) -> str:
    asked = {name: value for name, value in options.items() if name != "sentinel_password"}
    query = urlencode(asked, safe="/")
    path = f"/{database}" if database or not where else ""
    return f"{scheme}://{f'{user}@' if user else ''}{where}{path}{'?' * bool(query)}{query}"


def _identity(hosts: tuple[Host, ...], mode: Mode, database: int, options: dict[str, str], prefix: str) -> str:
    where = options.get("socket") or ",".join(shown_host(host) for host in hosts)
    what = "cluster" if mode == "cluster" else f"{options['sentinel']}/{database}" if mode == "sentinel" else database
    return f"valkey://{where}/{what}?prefix={prefix}"


def shown_host(host: Host) -> str:
    """Return a host with its port, as it stands in a URL."""
    name, port = host
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
