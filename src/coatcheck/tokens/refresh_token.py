"""
The rotating token of a client that cannot hold a cookie. Floor 1; may import: floor 0.

    ccr1_ + base64url( body ‖ HMAC-SHA256(k, "coatcheck refresh 1" ‖ body ‖ nonce) )
    body = family, 16 bytes ‖ generation, 4 bytes

Rules of this module:

1. A successor is derived, never stored: whoever rotates twice from one generation gets the same text.
2. *k* comes from the secret and the nonce from the row, so neither a stolen database nor a stolen secret makes a token.
"""

from __future__ import annotations

import hmac
import re
from typing import NamedTuple

from coatcheck.secret import Secret
from coatcheck.tokens import base64url

PREFIX = "ccr1_"
FAMILY_BYTES, NONCE_BYTES = 16, 32
_TOKEN = re.compile(PREFIX + r"[A-Za-z0-9_-]{70}", re.ASCII)  # 52 bytes
_MOST = 2**32 - 1


class Parsed(NamedTuple):
    """A refresh token taken apart. Whether it is genuine says :func:`is_genuine`."""

    family: bytes
    generation: int
    mac: bytes


def make(key: bytes, family: bytes, generation: int, nonce: bytes) -> Secret:
    """Return the token of *generation*: 75 characters."""
    if not 0 < generation <= _MOST:
        raise ValueError("a generation has four bytes")
    body = family + generation.to_bytes(4, "big")
    return Secret(PREFIX + base64url.encode(body + _mac(key, body, nonce)))


def parse(text: object) -> Parsed | None:
    """Take *text* apart; None when it is not one of ours at all."""
    if not isinstance(text, str) or not _TOKEN.fullmatch(text):
        return None
    raw = base64url.decode(text[len(PREFIX) :])
    if raw is None:
        return None
    return Parsed(raw[:FAMILY_BYTES], int.from_bytes(raw[FAMILY_BYTES : FAMILY_BYTES + 4], "big"), raw[-32:])


def is_genuine(key: bytes, token: Parsed, nonce: bytes) -> bool:
    """Say whether *token* was made with this key and nonce."""
    body = token.family + token.generation.to_bytes(4, "big")
    return hmac.compare_digest(_mac(key, body, nonce), token.mac)


def _mac(key: bytes, body: bytes, nonce: bytes) -> bytes:
    return hmac.digest(key, b"coatcheck refresh 1" + body + nonce, "sha256")
