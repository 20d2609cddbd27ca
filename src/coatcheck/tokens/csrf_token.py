"""
The signed token of a form, for browsers without Fetch Metadata. Floor 1; may import: floor 0.

Rules of this module:

1. A token is bound to one session, or to one anonymous browser: an attacker's own token is worth nothing elsewhere.
2. Two tokens for one binding differ, so that compression of a page tells nothing about them (BREACH).
3. Comparison takes the same time for every text.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections.abc import Iterable

_SALT_BYTES = 16
_TOKEN = re.compile(r"[A-Za-z0-9_-]{64}", re.ASCII)  # 16 bytes of salt and 32 of HMAC-SHA256


def _signed(key: bytes, salt: bytes, binding: str) -> str:
    mac = hmac.digest(key, b"coatcheck csrf 1\0" + salt + binding.encode("utf-8", "replace"), "sha256")
    return base64.urlsafe_b64encode(salt + mac).decode("ascii")


def make(key: bytes, binding: str) -> str:
    """Return a token of 64 characters for *binding*: a ``sid``, or the value of the anonymous CSRF cookie."""
    return _signed(key, secrets.token_bytes(_SALT_BYTES), binding)


def is_genuine(keys: Iterable[bytes], binding: str, text: str) -> bool:
    """Say whether *text* was made with one of *keys* for this very *binding*."""
    if not _TOKEN.fullmatch(text):
        return False
    salt = base64.urlsafe_b64decode(text)[:_SALT_BYTES]
    return any(hmac.compare_digest(_signed(key, salt, binding), text) for key in keys)
