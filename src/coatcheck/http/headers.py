"""
What else a request says of itself: its host, its client, where to go next. Floor 1; may import: floor 0.

Rules of this module:

1. A header is a claim by whoever sent it. It counts only when a configured proxy sent it.
2. Responses that a session shaped are for one visitor: ``Vary: Cookie``, and never kept by a shared cache.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from coatcheck.errors import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SAFE_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*", re.ASCII)
_NEXT_LONGEST = 2048


def safe_next(text: str | None, *, otherwise: str = "/") -> str:
    r"""
    Return *text* when it is a path of this origin, else *otherwise*. For ``?next=`` after a sign-in.

    ``//host``, ``/\host``, ``https://host``, control characters and backslashes all lead elsewhere in some browser.
    """
    if text is not None and len(text) <= _NEXT_LONGEST and _SAFE_PATH.fullmatch(text):
        return text
    return otherwise


def hosts_of(origins: Iterable[str]) -> frozenset[bytes]:
    """Return the ``Host`` values under which *origins* are asked for."""
    return frozenset(origin.partition("://")[2].encode("ascii") for origin in origins)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """
    Parse the addresses of trusted proxies: ``("10.0.0.0/8", "::1")``.

    Raises:
        ConfigError: One is not an address or a network.
    """
    parsed: list[Network] = []
    for text in texts:
        try:
            parsed.append(ipaddress.ip_network(text))
        except ValueError:
            problem = f"{text!a} is not an address or a network"
            raise ConfigError("trusted_proxies", problem, 'write "10.0.0.0/8" or "127.0.0.1"') from None
    return tuple(parsed)


def client_address(peer: str | None, forwarded_for: Iterable[str], trusted: tuple[Network, ...]) -> str | None:
    """
    Return the address of the client.

    Args:
        peer: Who opened the connection. Believed as it is, unless it is a trusted proxy.

        forwarded_for: ``X-Forwarded-For`` fields. Read from the right; the first that no trusted proxy owns counts,
            since everything left of it was written by that client.

        trusted: The proxies' networks; none means the header is ignored.
    """
    chain = [part.strip() for field in forwarded_for for part in field.split(",")]
    while peer is not None and _is_in(peer, trusted) and chain:
        candidate = chain.pop()
        try:
            peer = str(ipaddress.ip_address(candidate))
        except ValueError:
            return peer
    return peer


def _is_in(address: str, trusted: tuple[Network, ...]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    # A socket that listens on IPv6 shows IPv4 clients as ::ffff:10.0.0.1.
    plain = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(plain in network for network in trusted)


def private(
    headers: Iterable[tuple[bytes, bytes]], *, vary_on: tuple[bytes, ...] = (b"Cookie",)
) -> list[tuple[bytes, bytes]]:
    """
    Return response *headers* made safe for caches: *vary_on* in Vary, and no shared cache may keep the response.

    A response that sets a cookie is kept nowhere. One that says nothing may be kept by its visitor's own browser, if it
    asks again each time. What the application said stays, except permission for shared caches.
    """
    vary: list[bytes] = []
    control: list[bytes] = []
    kept: list[tuple[bytes, bytes]] = []
    sets_cookie = False
    for pair in headers:
        name = pair[0].lower()
        if name == b"vary":
            vary.append(pair[1])
        elif name == b"cache-control":
            control.append(pair[1])
        else:
            sets_cookie = sets_cookie or name == b"set-cookie"
            kept.append(pair)
    kept.append((b"vary", _varied(vary, vary_on)))
    kept.append((b"cache-control", b"no-store" if sets_cookie else _without_shared(control)))
    return kept


def _varied(fields: list[bytes], vary_on: tuple[bytes, ...]) -> bytes:
    names = [name.strip() for field in fields for name in field.split(b",")]
    lowered = {name.lower() for name in names}
    return b", ".join(names if b"*" in lowered else [*names, *(one for one in vary_on if one.lower() not in lowered)])


def _without_shared(fields: list[bytes]) -> bytes:
    if not fields:
        return b"private, no-cache"
    parts = [part.strip() for field in fields for part in field.split(b",") if part.strip()]
    kept = [part for part in parts if not part.lower().startswith((b"public", b"s-maxage"))]
    if not any(part.lower() in (b"private", b"no-store") for part in kept):
        kept.insert(0, b"private")
    return b", ".join(kept)
