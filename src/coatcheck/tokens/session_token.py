"""
The secret in the cookie. Floor 1; may import: floor 0.

Rules of this module:

1. 32 random bytes from the system, 43 base64url characters (ASVS 7.2.3, 11.5.1). No prefix, no meaning.
2. A token leaves this module as a Secret or as a digest, nothing between.
"""

from __future__ import annotations

import base64
import re
import secrets
from hashlib import sha256

from coatcheck.records import Digest
from coatcheck.secret import Secret

TOKEN_BYTES = 32
TOKEN_CHARACTERS = 43
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_SID_RANDOM_BYTES = 16


def mint() -> Secret:
    """Return a new session token."""
    return Secret(secrets.token_urlsafe(TOKEN_BYTES))


def mint_sid(now: int) -> str:
    """
    Return a new public identifier: the time, 4 bytes, and 128 random bits; 27 base64url characters. Not a credential.

    The time makes identifiers of one hour neighbours in the store's index: sign-ins that are committed together then
    change one page of it, not one each.
    """
    raw = (now & 0xFFFFFFFF).to_bytes(4, "big") + secrets.token_bytes(_SID_RANDOM_BYTES)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def is_well_formed(text: object) -> bool:
    """Say whether *text* is exactly 43 base64url characters."""
    return isinstance(text, str) and _TOKEN.fullmatch(text) is not None


def digest(text: object) -> Digest | None:
    """
    Return the SHA-256 of a token's text, or None when it cannot be one of ours.

    Only the length is looked at, because this runs at every check: a text of the right length with a wrong character
    hashes to something no store holds. Use :func:`is_well_formed` for the reason.
    """
    if type(text) is not str or len(text) != TOKEN_CHARACTERS:
        return None
    # The text is hashed, not the decoded bytes: 43 characters hold 258 bits, so four texts decode to the same bytes.
    # One plain round is right: the input has 256 random bits, and nobody can search that.
    # Not Digest(…): that is a call, and this line is the larger part of a check.
    return sha256(text.encode("utf-8", "surrogatepass")).digest()  # type: ignore[return-value]
