"""
One running server: the engine, the database and the people behind the desk. Floor 6; may import: floors 0 to 5.

Everything that answers requests gets a :class:`Site` and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Sequence

import msgspec
from starlette.requests import Request

from coatcheck import Coatcheck, CoatcheckError, Policy, Reason, Refused, Session
from coatcheck.asgi import device
from coatcheck.clock import Clock, SystemClock
from coatcheck.http import cookie
from coatcheck.server.accounts import Accounts
from coatcheck.server.clients import Clients
from coatcheck.server.database.base import Database
from coatcheck.server.desk import Desk
from coatcheck.server.office import Office
from coatcheck.server.passwords import Passwords
from coatcheck.server.trail import KEPT_S, Trail
from coatcheck.server.visitor import DEVICE_COOKIE, Visitor

log = logging.getLogger("coatcheck.server")

UPKEEP_S = 60.0
_BATCH = 500


# Clients prove who they are by their own credentials there, and programs send forms without any browser's headers.
OAUTH_PATHS = ("/oauth/token", "/oauth/revoke", "/oauth/introspect")


def policy_for(policy: Policy, origins: tuple[str, ...]) -> Policy:
    """Return *policy* as the server under *origins* needs it."""
    exempt = (*policy.csrf.exempt, *OAUTH_PATHS)
    return dataclasses.replace(policy, origins=origins, csrf=dataclasses.replace(policy.csrf, exempt=exempt))


class Site:
    """
    What requests are answered with.

    Args:
        auth: An engine, not yet open. database: not yet open.

        hasher: For tests, which cannot wait for each password.
    """

    def __init__(
        self, auth: Coatcheck, database: Database, *, clock: Clock | None = None, hasher: Passwords | None = None
    ) -> None:
        self.auth = auth
        self.database = database
        self.clock = clock or SystemClock()
        self.passwords = hasher or Passwords()
        self.accounts = Accounts(auth, database, self.passwords, self.clock)
        self.trail: Trail = self.accounts.trail
        self.desk = Desk(auth, database, self.passwords, self.accounts)
        self.clients = Clients(auth, database, self.accounts)
        self.office = Office(auth, database, self.accounts, self.desk)
        self._is_set_up = False

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Open everything, look after it, close everything."""
        async with self.auth:
            await self.database.open()
            try:
                await self.accounts.do_duties()
                upkeep = asyncio.create_task(self._look_after(), name="coatcheck-server-upkeep")
                try:
                    yield
                finally:
                    upkeep.cancel()
                    await asyncio.gather(upkeep, return_exceptions=True)
            finally:
                await self.database.close()
                self.passwords.close()

    async def _look_after(self) -> None:
        while True:
            try:
                await self.accounts.do_duties()
                await self.sweep()
            except CoatcheckError as error:
                log.warning("upkeep failed and is tried again", extra={"code": error.code})
            except Exception:
                log.exception("upkeep failed and is tried again")  # a fault of ours; the task goes on
            await asyncio.sleep(UPKEEP_S)

    async def sweep(self) -> int:
        """Remove from the database what is past its time; return how many rows."""
        total = 0
        while gone := await self.database.sweep(now=self.clock.now(), audit_s=KEPT_S, limit=_BATCH):
            total += gone
        return total

    async def is_set_up(self) -> bool:
        """Say whether there is, or ever was, an account. Once there was one, nobody is asked any more."""
        self._is_set_up = self._is_set_up or await self.database.is_set_up()
        return self._is_set_up

    def visitor(self, request: Request) -> Visitor:
        """Return who sent *request*."""
        session: Session | None = request.scope["coatcheck"]
        refused = request.scope.get("coatcheck.refused")
        sent = request.headers.getlist("cookie")
        fields = [field.encode("latin-1") for field in sent]
        token = cookie.find_in(fields, self.auth.policy.cookie.name.encode()) if session else None
        known = cookie.find_in(fields, DEVICE_COOKIE.encode())
        return Visitor(
            session=session if session is not None and session.sub is not None else None,
            was_ended=isinstance(refused, Refused) and refused.reason == Reason.REVOKED,
            token=token.decode("latin-1") if token else None,
            device=device(request.scope),
            known=known.decode("latin-1") if known else None,
        )

    async def access_token(
        self, session: Session, *, audience: Sequence[str], client_id: str
    ) -> tuple[str, int] | Refused:
        """Return an access token for *session* and the seconds that it lives: no longer than the session."""
        token = await self.auth.fresh_token(session, audience=audience, client_id=client_id)
        if isinstance(token, Refused):
            return token
        claims = self.auth.verify(token, audience=audience[0])
        return claims if isinstance(claims, Refused) else (token, claims.expires_at - claims.issued_at)

    async def current(self, visitor: Visitor) -> Visitor:
        """
        Return *visitor* as they are now: a body may have been long in coming, a password long in hashing.

        Whoever was demoted or signed out meanwhile is so here, too.
        """
        if visitor.token is None:
            return visitor
        found = await self.auth.check(visitor.token, touch=False)
        return msgspec.structs.replace(visitor, session=found if isinstance(found, Session) else None)
