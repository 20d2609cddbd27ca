"""
Who is at the door, as far as the server can tell. Floor 6; may import: floors 0 to 5.

The *device cookie* marks a browser in which somebody signed in before. It opens nothing: it only keeps that browser's
count of wrong passwords apart, so that a stranger who guesses cannot lock its owner out.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from ipaddress import IPv6Address, ip_address

import msgspec

from coatcheck.records import Device, Session

DEVICE_COOKIE = "__Host-coatcheck-device"
_RANDOM, _MAC = 16, 16


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """
    One request's visitor.

    Attributes:
        session: Who they are, if they are signed in. token: what opened it. was_ended: what came was ended by somebody.

        device: Address and user agent. known: the device cookie as it came.
    """

    session: Session | None = None
    token: str | None = None
    was_ended: bool = False
    device: Device = Device()
    known: str | None = None


def make_device_cookie(key: bytes, user: str) -> str:
    """Return a device cookie for a browser in which *user* has just signed in."""
    mark = secrets.token_bytes(_RANDOM)
    return base64.urlsafe_b64encode(mark + _mac(key, mark, user)).decode().rstrip("=")


def mark_of(keys: tuple[bytes, ...], user: str, text: str | None) -> str | None:
    """Return the mark of the browser in which *user* signed in before; None for any other browser, or another user."""
    try:
        raw = base64.b64decode((text or "") + "=" * (-len(text or "") % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    mark, mac = raw[:_RANDOM], raw[_RANDOM:]
    if len(raw) == _RANDOM + _MAC and any(hmac.compare_digest(_mac(key, mark, user), mac) for key in keys):
        return mark.hex()
    return None


def _mac(key: bytes, mark: bytes, user: str) -> bytes:
    return hmac.digest(key, b"coatcheck device 1" + mark + user.encode(), "sha256")[:_MAC]


def network_of(address: str | None) -> str:
    """Return the part of an address that one household or one machine has: all of IPv4, the first 64 bits of IPv6."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(IPv6Address(int(parsed) >> 64 << 64)) + "/64"
    return str(parsed)


def hidden(key: bytes, name: str) -> str:
    """Return a keyed hash of a name that nobody has: it may be a password, typed into the wrong field."""
    return hmac.new(key, b"coatcheck name 1" + name.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:16]
