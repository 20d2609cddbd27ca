"""
Access tokens at the door: as bearer, and in a cookie beside the session's. Floor 5; may import: floors 0 to 4.

Rules of this module:

1. A bearer and a cookie together: the bearer alone decides, and a bad one is 401.
2. The access token in the cookie counts only beside the very session cookie that it was minted for. So whoever replaces
   or deletes the session cookie has replaced or deleted both.
3. A session that has ended gets no new token, and its old one is refused.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from hashlib import sha256
from typing import Any

from coatcheck.engine import Coatcheck
from coatcheck.http import bearer, cookie
from coatcheck.policy import CookiePolicy
from coatcheck.records import Claims, Reason, Refused, Session
from coatcheck.tokens import base64url
from coatcheck.values import frozen

Scope = MutableMapping[str, Any]

ACCESS_COOKIE = "__Host-access"
BINDING = "th"
"""Claim that binds the token in the cookie to the session cookie beside it."""

_POLICY = CookiePolicy(name=ACCESS_COOKIE)
_NAME = ACCESS_COOKIE.encode()
_BINDING_BYTES = 16


def session_of(claims: Claims) -> Session:
    """Return the session that an accepted access token speaks of, as far as the token tells."""
    said = claims.all
    auth_time = said.get("auth_time")
    return Session(
        sid=claims.sid,
        sub=claims.sub,
        claims=frozen({name: value for name, value in said.items() if name not in _OWN}),
        created_at=claims.issued_at,
        auth_time=auth_time if type(auth_time) is int else None,
        seen_at=claims.issued_at,
        expires_at=claims.expires_at,
        idle_s=max(1, claims.expires_at - claims.issued_at),
        version=claims.version,
    )


_OWN = frozenset({"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "auth_time", "sid", "ver", BINDING})


def find_bearer(scope: Scope, auth: Coatcheck, audience: str) -> Claims | Refused | None:
    """Judge the bearer token of a request; None when there is none."""
    fields = [value for name, value in scope["headers"] if name == b"authorization"]
    found = bearer.find(fields)
    if found is None:
        return None
    if isinstance(found, bearer.Unusable):
        return Refused(Reason.MALFORMED)
    return auth.verify(found, audience=audience)


async def find_pair(sent: bytes, token: bytes, auth: Coatcheck, audience: str) -> tuple[Session | Refused, str | None]:
    """
    Judge a session cookie with the access token beside it.

    Args:
        sent: All of the request's cookies. token: the session cookie's value.

    Returns:
        The session, and the ``Set-Cookie`` value of a fresh access token where one is needed.
    """
    binding = _binding(token)
    beside = cookie.find(sent, _NAME)
    if beside is not None:
        claims = auth.verify(beside.decode("latin-1"), audience=audience)
        if isinstance(claims, Claims) and claims.all.get(BINDING) == binding:
            return session_of(claims), None
    session = await auth.check(token.decode("latin-1"))
    if isinstance(session, Refused) or session.sub is None:
        return session, None
    fresh = auth.bound_token(session, audience=audience, claim=BINDING, value=binding)
    if isinstance(fresh, Refused):
        return session, None  # the session counts now; the token comes with a later response
    return session, cookie.write(_POLICY, fresh, max_age_s=auth.policy.access_s)


def _binding(token: bytes) -> str:
    # Not the digest that the store has: what is in a token is no help to who has read the database, or the other way.
    return base64url.encode(sha256(b"coatcheck access cookie 1" + token).digest()[:_BINDING_BYTES])
