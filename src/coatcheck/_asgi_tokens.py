"""
Access tokens at the door: as bearer, and in a cookie beside the session's. Floor 5; may import: floors 0 to 4.

Rules of this module:

1. A bearer and a cookie together: the bearer alone decides, and a bad one is 401.
2. The access token in the cookie counts only beside the very session cookie that it was minted for. So whoever replaces
   or deletes the session cookie has replaced or deleted both.
3. A session that has ended gets no new token, and its old one is refused.
4. Whether a request was answered by the session or by the token beside it, the application is told the same.
5. Activity is noted when the session is asked. So the token in the cookie lives for a small part of the idle time, or
   whoever is active would be idle.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from coatcheck.decide import lifetime
from coatcheck.engine import Coatcheck
from coatcheck.http import bearer, cookie
from coatcheck.policy import CookiePolicy
from coatcheck.records import Claims, Reason, Refused, Session
from coatcheck.tokens import base64url
from coatcheck.values import frozen

if TYPE_CHECKING:
    from coatcheck._door import Auth

Scope = MutableMapping[str, Any]

ACCESS_COOKIE = "__Host-access"
BINDING = "th"
"""Claim that binds the token in the cookie to the session cookie beside it."""

SESSION_ENDS = "sxp"
"""Claim of the same token: when the session ends at the latest."""

_POLICY = CookiePolicy(name=ACCESS_COOKIE)
_NAME = ACCESS_COOKIE.encode()
_BINDING_BYTES = 16
_IDLE_PARTS = 10
_TRIES = 3


def session_of(claims: Claims) -> Session:
    """Return the session that an accepted access token speaks of, as far as the token tells."""
    said = claims.all
    auth_time = said.get("auth_time")
    ends_at = said.get(SESSION_ENDS)
    return Session(
        sid=claims.sid,
        sub=claims.sub,
        claims=frozen({name: value for name, value in said.items() if name not in _OWN}),
        amr=tuple(said.get("amr", ())),
        created_at=claims.issued_at,
        auth_time=auth_time if type(auth_time) is int else None,
        seen_at=claims.issued_at,
        expires_at=ends_at if type(ends_at) is int else claims.expires_at,
        idle_s=max(1, claims.expires_at - claims.issued_at),
        version=claims.version,
    )


class Sessions:
    """
    The sessions that accepted tokens speak of, so that one is not made anew for every request. From any thread.

    Args:
        size: How many there are at most.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        # By what they were made from, which is the same object as long as its token is remembered, and is kept here so
        # that no other can come to its place in memory.
        self._made: dict[int, tuple[Claims, Session]] = {}

    def of(self, claims: Claims) -> Session:
        """Return the session; *claims* have just been accepted."""
        found = self._made.get(id(claims))
        if found is not None:
            return found[1]
        session = session_of(claims)
        if len(self._made) >= self._size:
            self._made.clear()
        self._made[id(claims)] = claims, session
        return session


_OWN = frozenset({"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "auth_time", "amr", "sid", "ver"})
_OWN |= {BINDING, SESSION_ENDS}


def find_bearer(fields: list[bytes], auth: Auth, audience: str) -> Claims | Refused | None:
    """Judge the bearer token in *fields*, the values of ``Authorization``; None when there is none."""
    claims: Claims | Refused | None = None
    token = bearer.usual(fields)
    if token is not None:
        # Perhaps it was met before. Then it has the form of one, or it would not have been accepted.
        claims = auth.recall_token(sha256(token).digest(), audience)
    if claims is None:
        found = bearer.find(fields)
        if found is None:
            return None
        if isinstance(found, bearer.Unusable):
            return Refused(Reason.MALFORMED)
        claims = auth.verify(found, audience=audience)
    # One that is bound to a cookie is another kind of token, with another rule (RFC 8725, section 3.12).
    return Refused(Reason.WRONG_TYPE) if isinstance(claims, Claims) and BINDING in claims.all else claims


def find_beside(sent: bytes, token: bytes, auth: Auth, audience: str, sessions: Sessions) -> Session | None:
    """
    Judge the access token beside a session cookie, from memory; None when it does not count.

    Args:
        sent: All of the request's cookies. token: the session cookie's value. sessions: that were made before.
    """
    beside = cookie.find(sent, _NAME)
    if beside is not None:
        claims = auth.recall_token(sha256(beside).digest(), audience)
        if claims is None:
            claims = auth.verify(beside.decode("latin-1"), audience=audience)
        if isinstance(claims, Claims) and claims.all.get(BINDING) == _binding(token):
            return sessions.of(claims)
    return None


async def ask_session(token: bytes, auth: Coatcheck, audience: str) -> tuple[Session | Refused, str | None]:
    """
    Judge a session cookie that has no access token beside it, or none that counts.

    Returns:
        The session, and the ``Set-Cookie`` value of a fresh access token where one is needed.
    """
    for _ in range(_TRIES):
        session = await auth.check(token.decode("latin-1"))
        if isinstance(session, Refused) or session.sub is None:
            return session, None
        lifetime_s = max(1, lifetime.idle_s(session, auth.policy) // _IDLE_PARTS)
        more = {BINDING: _binding(token), SESSION_ENDS: lifetime.ends_at(session, auth.policy)}
        fresh = auth.bound_token(session, audience=audience, lifetime_s=lifetime_s, more=more)
        claims = fresh if isinstance(fresh, Refused) else auth.verify(fresh, audience=audience)
        if isinstance(fresh, str) and isinstance(claims, Claims):
            return session_of(claims), cookie.write(_POLICY, fresh, max_age_s=claims.expires_at - claims.issued_at)
        # It was changed, or left memory, since it was checked: it is checked again.
    return session, None  # it counts now; the token comes with a later response


async def find_pair(
    sent: bytes, token: bytes, auth: Coatcheck, audience: str, sessions: Sessions
) -> tuple[Session | Refused, str | None]:
    """Judge a session cookie with the access token beside it, see :func:`find_beside` and :func:`ask_session`."""
    session = find_beside(sent, token, auth, audience, sessions)
    return await ask_session(token, auth, audience) if session is None else (session, None)


def _binding(token: bytes) -> str:
    # Not the digest that the store has: what is in a token is no help to who has read the database, or the other way.
    return base64url.encode(sha256(b"coatcheck access cookie 1" + token).digest()[:_BINDING_BYTES])
