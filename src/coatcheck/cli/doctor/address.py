"""
Where the doctor may go. Floor 6; may import: floor 0, and the mistakes of the command.

Rules of this module:

1. What was typed decides. A private address is asked only if it was typed as such: as the address itself, as localhost,
   or by ``--connect``. A name that leads to one is refused, so that no name's owner chooses what is asked in a network
   that is not theirs.
2. A name is looked up once. Whatever it leads to later is not asked.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import quote, urlsplit

import msgspec

from coatcheck.cli.mistakes import WRONG, Mistake

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PORTS = {"http": 80, "https": 443}
_WRITE = "write https://auth.example.com"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was typed.

    Attributes:
        host: As it stands in a Host header, without the port; small letters, ASCII.

        path: With the query.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def netloc(self) -> str:
        """Host and port, as browsers write them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port, as browsers write them."""
        return f"{self.scheme}://{self.netloc}"

    @property
    def ip(self) -> Ip | None:
        """The address, if one was typed."""
        return _ip(self.host)

    @property
    def is_localhost(self) -> bool:
        """Whether this machine was typed: browsers trust http there."""
        return self.host == "localhost" or self.host.endswith(".localhost") or bool(self.ip and self.ip.is_loopback)


def _mistake(detail: str) -> Mistake:
    return Mistake("usage", detail, exit_code=WRONG)


def target(url: str) -> Target:
    """
    Take a URL apart.

    Raises:
        Mistake: It is none that can be asked. It is not repeated: it may hold a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _mistake(f"URL: it cannot be taken apart; {_WRITE}") from None
    if parts.scheme not in _PORTS:
        raise _mistake(f"URL: it begins with neither https:// nor http://; {_WRITE}")
    if "@" in parts.netloc:
        raise _mistake(f"URL: it holds a user or a password, and none is sent; {_WRITE}")
    host = _host(parts.hostname or "")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    return Target(
        scheme=parts.scheme,
        host=host,
        port=_PORTS[parts.scheme] if port is None else port,
        path=f"{path}?{query}" if query else path,
    )


def _host(name: str) -> str:
    if _ip(name) is not None:
        return str(_ip(name))
    try:
        found = name.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        found = ""
    if not found or not all(letter.isalnum() or letter in "-._" for letter in found):
        raise _mistake(f"URL: it names no host; {_WRITE}")
    return found


def address(text: str) -> Ip:
    """
    Return the address that ``--connect`` names.

    Raises:
        Mistake: It is none.
    """
    found = _ip(text.removeprefix("[").removesuffix("]"))
    if found is None:
        raise _mistake("--connect: it is no address; write 10.0.0.7, without a port")
    return found


def _ip(text: str) -> Ip | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_public(ip: Ip) -> bool:
    """Say whether an address is one of the internet's; one that hides another is judged by that."""
    if isinstance(ip, ipaddress.IPv6Address):
        hidden = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if hidden is None and ip in _NAT64:
            hidden = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if hidden is not None:
            return is_public(hidden)
    return ip.is_global and not ip.is_multicast
