"""
Who a program is, by HTTP Basic (RFC 7617, and RFC 6749, section 2.3.1). Floor 6; may import: nothing of ours.

Rules of this module:

1. What cannot be read is never shown.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from urllib.parse import unquote_plus

CHALLENGE = {"www-authenticate": 'Basic realm="coatcheck"'}


def credentials(fields: Sequence[str]) -> tuple[str, str] | None:
    """
    Return id and secret from the ``Authorization`` fields of a request; None when there are none.

    Raises:
        ValueError: There are several, or another scheme, or it cannot be read; says which.
    """
    if not fields:
        return None
    scheme, _, text = fields[0].partition(" ")
    if scheme.lower() != "basic" or len(fields) > 1:
        raise ValueError("Give the client's credentials once, as Basic.")
    try:
        ident, colon, secret = base64.b64decode(text.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        colon = ""
    if not colon:
        raise ValueError("The credentials cannot be read.")
    return unquote_plus(ident), unquote_plus(secret)
