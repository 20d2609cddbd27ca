"""
Programs that are given tokens. Floor 6; may import: floors 0 to 5.

Rules of this module:

1. A secret is 32 random bytes, shown once, and kept as SHA-256: what has 256 random bits needs no slow hash.
2. A client that acts for itself has a session of its own, whose subject is ``client:`` and its id. Who signs in through
   one has a session that it owns. So disabling a client is a revocation like any other, in force everywhere when it
   returns.
3. What no client could use is refused when it is added, with the remedy, and not when its first request fails.
4. What is made for a client is looked at once more after it was made: the client may have been disabled meanwhile, by
   somebody who did not find it yet.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence

from coatcheck import Coatcheck, Reason, Refused, Session, TokenPair
from coatcheck.server import problems
from coatcheck.server.accounts import PROBLEMS, Accounts
from coatcheck.server.database.base import Client, Database, Event, Outcome, subject_of
from coatcheck.server.problems import Problem
from coatcheck.server.visitor import Visitor

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_AUDIENCE = re.compile(r"[!-~]{1,255}", re.ASCII)
MOST_AUDIENCES = 16
AUDIENCES_BYTES = 700
"""All audiences of a client together: a token has 2,048 bytes at most, in base64, and has more to say than these."""

_OURS = frozenset({"browser"})
"""``client_id`` of tokens that no client asked for: a client of that name could revoke what they belong to."""


def why_not(
    ident: str, audiences: Sequence[str], *, is_public: bool, is_browser: bool, may_sign_in: bool
) -> Problem | None:
    """Say what is wrong with a new client."""
    if not _ID.fullmatch(ident):
        rule = "An id has 1 to 64 letters, digits, dots, hyphens and underscores, and begins with a letter or a digit"
        return problems.invalid("id", f"{rule}; choose a name, not an address.")
    if ident.lower() in _OURS and not is_browser:
        return problems.invalid("id", "That is the client_id of tokens that no client asked for; choose another.")
    wrong = _why_not_audiences(audiences)
    if wrong is not None:
        return problems.invalid("audience", wrong)
    if is_browser and is_public:
        return problems.invalid("public", "A browser client has no secret anyway; leave out one of the two.")
    if is_browser and may_sign_in:
        detail = "Pages sign in with a cookie, never for tokens; leave it out, or add a public client for programs."
        return problems.invalid("sign_in", detail)
    if may_sign_in and not is_public:
        detail = "People sign in through clients without a secret only; add a public client for it."
        return problems.invalid("sign_in", detail)
    return None


def _why_not_audiences(audiences: Sequence[str]) -> str | None:
    if not 1 <= len(audiences) <= MOST_AUDIENCES:
        return f"There are {len(audiences)}; name 1 to {MOST_AUDIENCES}, or spread them over several clients."
    for audience in audiences:
        if not _AUDIENCE.fullmatch(audience):
            return "Each has 1 to 255 visible ASCII characters; name it as the service does that verifies the token."
        if "," in audience:
            return "Each is one name, without commas; give several one by one."
        if "*" in audience:
            return "Each is one name, exactly; there are no wildcards, so name every service."
    if len(set(audiences)) < len(audiences):
        return "One of them is there twice; name each once."
    if sum(map(len, audiences)) > AUDIENCES_BYTES:
        too_many = f"Together they are longer than {AUDIENCES_BYTES} characters, and would not fit into a token"
        return f"{too_many}; shorten them, or spread them over several clients."
    return None


class Clients:
    """The clients of one database."""

    def __init__(self, auth: Coatcheck, database: Database, accounts: Accounts) -> None:
        self._auth = auth
        self._database = database
        self._accounts = accounts
        self._trail = accounts.trail

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
        wrong = why_not(ident, audiences, is_public=is_public, is_browser=is_browser, may_sign_in=may_sign_in)
        if wrong is not None:
            return wrong
        secret = None if is_public or is_browser else secrets.token_urlsafe(32)
        client = Client(
            id=ident,
            secret=None if secret is None else _digest(secret),
            audiences=tuple(audiences),
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
        """
        Give a client no more tokens, and end those that it has, for itself and for others, when this returns.

        Sessions of people who signed in through it end, too. A session that a browser has goes on; only what the client
        was given for it ends.
        """
        duty = await self._database.disable_client(ident)
        if isinstance(duty, Outcome):
            return PROBLEMS[duty]
        try:
            await self._trail.note(Event.CLIENT_DISABLED, by, client=ident)
        finally:
            # Whether or not it could be noted, as with accounts.
            await self._accounts.do_duty(duty)
        return await self._database.client(ident) or problems.NOT_FOUND

    async def authenticated(self, ident: str, secret: str | None) -> Client | None:
        """Return the client that this is: a confidential one by its secret, a public one by its id alone."""
        client = await self._database.client(ident) if _ID.fullmatch(ident) else None
        if client is None or client.is_disabled or client.is_browser:
            return None
        if client.secret is None:
            return client if secret is None else None
        return client if secret is not None and hmac.compare_digest(_digest(secret), client.secret) else None

    async def signs_in(self, ident: str) -> Client | None:
        """Return the client, if people may sign in through it: a public one that is registered for it."""
        client = await self.authenticated(ident, None)
        return client if client is not None and client.may_sign_in else None

    async def begin(self, client: Client, session: Session) -> TokenPair | Problem:
        """Give tokens for a session that somebody has just begun through *client*. Without them, the session ends."""
        pair = await self._auth.issue_refresh(
            session, client_id=client.id, audience=client.audiences, owns_session=True
        )
        if isinstance(pair, TokenPair) and await self.signs_in(client.id) is not None:
            return pair
        await self._auth.revoke(session.sid, reason="no tokens were given for it")
        if isinstance(pair, TokenPair):
            return problems.WRONG_CLIENT
        return problems.UNAVAILABLE if pair.reason is Reason.UNSURE else problems.ENDED_MEANWHILE

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
        sub = subject_of(client.id)
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
