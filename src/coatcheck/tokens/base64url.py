"""
base64url without padding, in the one form that decodes to its bytes (RFC 4648, sections 3.5 and 5). Floor 1; may
import: nothing.

The last character of a text can carry bits that decoding drops, so several texts decode to the same bytes. Whoever
compares or remembers texts must take one of them only.
"""

from __future__ import annotations

import base64
import binascii


def encode(raw: bytes) -> str:
    """Return *raw* as base64url text."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes | None:
    """Return what *text* stands for; None when it is not canonical base64url."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if encode(raw) == text else None
