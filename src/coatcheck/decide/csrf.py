"""
Did one of our own pages send this request? Floor 1; may import: floor 0.

Rules of this module:

1. Judged by request, not by credential: sign-in too (ASVS 3.5.1 to 3.5.3).
2. The public origins are configured. Nothing is ever built from the Host header.
3. ``same-site`` is not ``same-origin``: a sibling subdomain is not trusted.
"""

from __future__ import annotations

import enum

from coatcheck.policy import Policy

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FORM_TYPES = frozenset({"", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})


class Verdict(enum.Enum):
    """What to do with a request."""

    PASS = "pass"
    REFUSE = "refuse"
    NEED_TOKEN = "need_token"  # only a signed token can tell


def judge(
    policy: Policy,
    *,
    method: str,
    path: str,
    sec_fetch_site: str | None,
    origin: str | None,
    content_type: str | None,
    websocket: bool = False,
) -> Verdict:
    """
    Judge one request by its headers (Fetch Metadata first, then Origin, as Go's ``CrossOriginProtection`` does).

    Args:
        method: As sent; anything but GET, HEAD and OPTIONS is unsafe.

        path: Decoded path, compared exactly with ``policy.csrf.exempt``.

        websocket: A handshake is a GET, carries cookies, and is judged like an unsafe request.
    """
    if (method in _SAFE and not websocket) or path in policy.csrf.exempt:
        return Verdict.PASS
    if origin is not None and origin in policy.csrf.trusted_origins:
        return Verdict.PASS
    if sec_fetch_site is not None:
        return Verdict.PASS if sec_fetch_site in ("same-origin", "none") else Verdict.REFUSE
    if origin is not None:
        return Verdict.PASS if origin in policy.origins else Verdict.REFUSE
    # Neither header: not a current browser. What an old one could send from another site is a form, and a form knows no
    # other unsafe method than POST; a handshake it would have sent with an Origin.
    if method != "POST":
        return Verdict.PASS
    media_type = (content_type or "").partition(";")[0].strip().lower()
    return Verdict.NEED_TOKEN if media_type in _FORM_TYPES else Verdict.PASS
