"""
Cookies: find ours in a request, write ours in a response. Floor 1; may import: floor 0.

Rules of this module:

1. The grammar is RFC 6265bis, section 4.1.1. What does not fit is never written, and never half read.
2. A name that comes twice is nobody's: of two cookies with our name one was tossed, and we cannot tell which.
3. No input is an error. A request is anonymous, or it carries exactly one value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from coatcheck.errors import InvalidInput
from coatcheck.policy import COOKIE_LONGEST_S, CookiePolicy

HEADER_LONGEST = 32 * 1024
_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*", re.ASCII)


def find(header: bytes, name: bytes) -> bytes | None:
    """
    Return the value of the one cookie called *name*, or None.

    Args:
        header: A whole ``Cookie`` field. Longer than 32 KiB: None.

        name: Compared with case: browsers treat ``__host-`` as a prefix too, servers must not take it for ``__Host-``.
    """
    # The usual case first: our name stands there once, at the start of a pair.
    parts = header.split(name + b"=")
    if len(parts) == 2 and (not parts[0] or parts[0].endswith(b"; ")) and len(header) <= HEADER_LONGEST:
        return parts[1].partition(b";")[0].strip(b" \t")
    return _find_among(header, name) if len(parts) > 1 and len(header) <= HEADER_LONGEST else None


def _find_among(header: bytes, name: bytes) -> bytes | None:
    found: bytes | None = None
    for pair in header.split(b";"):
        key, equals, value = pair.partition(b"=")
        if equals and key.lstrip(b" \t") == name:
            if found is not None:
                return None
            found = value.strip(b" \t")
    return found


def find_in(headers: Iterable[bytes], name: bytes) -> bytes | None:
    """Like :func:`find` over several fields, as HTTP/2 may send them (RFC 9113, section 8.2.3)."""
    return find(b";".join(headers), name)


def write(policy: CookiePolicy, value: str, *, max_age_s: int | None) -> str:
    """
    Return a ``Set-Cookie`` value.

    Args:
        value: The cookie's value; empty with ``max_age_s=0`` to delete it.

        max_age_s: Seconds the browser keeps it, at most 400 days; None until its window closes.

    Raises:
        InvalidInput: The value holds a character that no cookie may hold. It is not repeated.
    """
    if not _VALUE.fullmatch(value):
        raise InvalidInput("cookie", "its value holds a character that no cookie may hold", "use base64url text")
    parts = [f"{policy.name}={value}", f"Path={policy.path}"]
    if policy.domain is not None:
        parts.append(f"Domain={policy.domain}")
    if max_age_s is not None:
        parts.append(f"Max-Age={max(0, min(max_age_s, COOKIE_LONGEST_S))}")
    parts.append("HttpOnly")
    if policy.secure:
        parts.append("Secure")
    # Always written out: without it browsers allow cross-site posts for the cookie's first two minutes.
    parts.append(f"SameSite={policy.same_site}")
    return "; ".join(parts)
