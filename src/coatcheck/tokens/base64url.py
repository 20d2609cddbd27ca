"""
base64url without padding, in the one form that decodes to its bytes (RFC 4648, sections 3.5 and 5). Floor 1; may
import: nothing.

The last character of a text can carry bits that decoding drops, so several texts decode to the same bytes. Whoever
compares or remembers texts must take one of them only.

Written on ``binascii`` and not on ``base64``, whose checks cost more than the decoding; this runs three times for every
token.
"""

from __future__ import annotations

import binascii

_TO_URL = bytes.maketrans(b"+/", b"-_")
# The letters of plain base64, and its padding, become one that is in neither alphabet, so that they are refused.
_FROM_URL = bytes.maketrans(b"-_+/=", b"+/!!!")
_PADDING = (b"", None, b"==", b"=")  # by the length of the last group; one letter alone stands for nothing
# What the last letter of a text may be, so that it holds no bits which decoding drops.
_LAST = {2: frozenset("AQgw"), 3: frozenset("AEIMQUYcgkosw048")}


def encode(raw: bytes) -> str:
    """Return *raw* as base64url text."""
    return binascii.b2a_base64(raw, newline=False).translate(_TO_URL).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes | None:
    """Return what *text* stands for; None when it is not canonical base64url."""
    rest = len(text) % 4
    padding = _PADDING[rest]
    if padding is None or (rest and text[-1] not in _LAST[rest]):
        return None
    try:
        return binascii.a2b_base64(text.encode("ascii").translate(_FROM_URL) + padding, strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
