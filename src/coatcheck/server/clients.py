"""
Programs that are given tokens. Floor 6; may import: floors 0 to 5.

Rules of this module:

1. A secret is 32 random bytes, shown once, and kept as SHA-256: what has 256 random bits needs no slow hash.
2. A client that acts for itself has a session of its own, whose subject is ``client:`` and its id. So disabling it is a
   revocation like any other, in force everywhere when it returns.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence

from coatcheck import Coatcheck, Reason, Refused, Session
from coatcheck.server import problems
from coatcheck.server.accounts import PROBLEMS
from coatcheck.server.database.base import Client, Database, Event
from coatcheck.server.problems import Problem
from coatcheck.server.trail import Trail
from coatcheck.server.visitor import Visitor

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_AUDIENCE = re.compile(r"[!-~]{1,255}", re.ASCII)
_BROWSER = "browser"  # the client in tokens that no client has asked for
MOST_AUDIENCES = 16


def subject_of(client: Client) -> str:
    """Return whose sessions a client's own are. No account has such an id."""
    return f"client:{client.id}"


class Clients:
    """The clients of one database."""

    def __init__(self, auth: Coatcheck, database: Database, trail: Trail) -> None:
        self._auth = auth
        self._database = database
        self._trail = trail

    async def add(
        self,
        ident: str,
        audiences: Sequence[str],
        *,
        now: int,
        is_public: bool = False,
        is_browser: bool = False,
        may_sign_in: bool = False,
        by: Visitor | None = None,
    ) -> tuple[Client, str | None] | Problem:
        """Add a client; return it and its secret, which is nowhere else. None for a public or a browser client."""
        if not _ID.fullmatch(ident):
            return problems.invalid("id", "An id has 1 to 64 letters, digits, dots, hyphens and underscores.")
        if ident == _BROWSER and not is_browser:
            return problems.invalid("id", "Access tokens for pages carry that name, so it is no other client's.")
        if not 1 <= len(set(audiences)) <= MOST_AUDIENCES or not all(map(_AUDIENCE.fullmatch, audiences)):
            return problems.invalid("audience", f"Name one to {MOST_AUDIENCES} audiences, without spaces.")
        secret = None if is_public or is_browser else secrets.token_urlsafe(32)
        client = Client(
            id=ident,
            secret=None if secret is None else _digest(secret),
            audiences=tuple(dict.fromkeys(audiences)),
            is_browser=is_browser,
            may_sign_in=may_sign_in,
            created_at=now,
        )
        outcome = await self._database.add_client(client)
        if outcome is not None:
            return PROBLEMS[outcome]
        await self._trail.note(Event.CLIENT_ADDED, by, client=ident, audiences=list(client.audiences))
        return client, secret

    async def rotate_secret(self, ident: str, *, by: Visitor | None = None) -> str | Problem:
        """Give a client another secret; return it. The old one is refused from now on."""
        client = await self._database.client(ident)
        if client is None or client.secret is None:
            return problems.NOT_FOUND
        secret = secrets.token_urlsafe(32)
        await self._database.set_client_secret(ident, _digest(secret))
        await self._trail.note(Event.CLIENT_SECRET, by, client=ident)
        return secret

    async def disable(self, ident: str, *, by: Visitor | None = None) -> Client | Problem:
        """Give a client no more tokens. Those that it has for itself are refused when this returns."""
        client = await self._database.client(ident)
        if client is None:
            return problems.NOT_FOUND
        await self._database.disable_client(ident)
        await self._auth.revoke_user(subject_of(client), reason="client disabled")
        await self._trail.note(Event.CLIENT_DISABLED, by, client=ident)
        return client

    async def authenticated(self, ident: str, secret: str | None) -> Client | None:
        """Return the client that this is: a confidential one by its secret, a public one by its id alone."""
        client = await self._database.client(ident) if _ID.fullmatch(ident) else None
        if client is None or client.is_disabled or client.is_browser:
            return None
        if client.secret is None:
            return client if secret is None else None
        return client if secret is not None and hmac.compare_digest(_digest(secret), client.secret) else None

    async def browser_client(self, audience: str) -> Client | None:
        """Return the client in whose name pages get tokens for *audience*."""
        return next(
            (
                client
                for client in await self._database.clients()
                if client.is_browser and not client.is_disabled and audience in client.audiences
            ),
            None,
        )

    async def own_session(self, client: Client, *, now: int, for_s: int) -> Session | Refused:
        """Return a session of the client's own that lives for *for_s* seconds at least; make one if there is none."""
        sub = subject_of(client)
        # Before the client is looked at again: disabling it meanwhile then refuses the sign-in.
        generation = await self._auth.generation(sub)
        fresh = await self._database.client(client.id)
        if fresh is None or fresh.is_disabled:
            return Refused(Reason.REVOKED)
        for session in await self._auth.sessions_of(sub):
            if session.expires_at >= now + for_s:
                return session
        signed_in = await self._auth.sign_in(sub, generation=generation)
        return signed_in if isinstance(signed_in, Refused) else signed_in.session


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
