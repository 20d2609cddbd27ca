"""
The ``Authorization`` field: find a bearer token in it. Floor 1; may import: floor 0.

Rules of this module:

1. Two fields, or one that is no bearer credential, are told apart from none at all: who sends a bad credential is not
   anonymous (RFC 6750, section 3.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

LONGEST = 8 * 1024 + 16
_USUAL = b"Bearer "
_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
_BEARER = re.compile(rb"bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)


class Unusable:
    """There is a credential, and it cannot be used."""


UNUSABLE = Unusable()


def fields_in(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the values of ``Authorization`` in *headers*, whose names are in lower case."""
    return [value for name, value in headers if name == b"authorization"]


def usual(fields: Sequence[bytes]) -> bytes | None:
    """Return what follows ``Bearer`` in the one field there is, not looked into; None: only :func:`find` can tell."""
    if len(fields) == 1 and fields[0].startswith(_USUAL) and len(fields[0]) <= LONGEST:
        return fields[0][len(_USUAL) :]
    return None


def find(fields: Sequence[bytes]) -> str | Unusable | None:
    """
    Return the bearer token in *fields*, the values of ``Authorization``; None when there is none.

    A field of another scheme (``Basic``) is not ours and counts as none.
    """
    if not fields:
        return None
    token = usual(fields)
    # By one call: the expression looks at one character after the other.
    if token and not token.translate(None, _CHARACTERS):
        return token.decode("ascii")
    ours = [field for field in fields if field.lower().startswith(b"bearer")]
    if not ours:
        return None
    match = _BEARER.fullmatch(ours[0]) if len(fields) == 1 and len(ours[0]) <= LONGEST else None
    return UNUSABLE if match is None else match[1].decode("ascii")
