"""
What administrators do. Floor 6; may import: floors 0 to 5.

Rules of this module:

1. Whether somebody is an administrator says the session, at each call: its claims are in force everywhere as soon as a
   demotion returns.
2. What changes anything needs a password that was entered a short while ago.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from coatcheck import Coatcheck, Refused, Session
from coatcheck.server import problems
from coatcheck.server.accounts import Accounts
from coatcheck.server.database.base import Database, Entry, Event, User
from coatcheck.server.desk import Desk
from coatcheck.server.problems import Problem
from coatcheck.server.trail import Trail
from coatcheck.server.visitor import Visitor

MOST_AT_ONCE = 200


def is_admin(session: Session | None) -> bool:
    """Say whether *session* is an administrator's."""
    return session is not None and "admin" in session.claims.get("roles", ())


class UserInDetail(msgspec.Struct, frozen=True):
    """An account with its live sessions, the one used last first."""

    user: User
    sessions: list[Session]


class Office:
    """The administrators' room."""

    def __init__(self, auth: Coatcheck, database: Database, accounts: Accounts, desk: Desk) -> None:
        self._auth = auth
        self._database = database
        self._accounts = accounts
        self._desk = desk
        self._trail: Trail = accounts.trail

    def may_look(self, visitor: Visitor) -> Problem | None:
        """Say why this visitor may not see administrators' pages."""
        if visitor.session is None:
            return problems.NOT_SIGNED_IN
        return None if is_admin(visitor.session) else problems.NOT_ADMIN

    def may_act(self, visitor: Visitor) -> Problem | None:
        """Say why this visitor may not change anything."""
        refusal = self.may_look(visitor)
        if refusal is None and visitor.session is not None and not self._desk.is_fresh(visitor.session):
            return problems.NOT_FRESH
        return refusal

    async def _may_still_act(self, visitor: Visitor) -> Problem | None:
        found = await self._auth.check(visitor.token or "", touch=False)
        session = None if isinstance(found, Refused) else found
        return self.may_act(msgspec.structs.replace(visitor, session=session))

    # --- looking ---

    async def users(
        self, visitor: Visitor, *, like: str = "", after: str = "", limit: int = 50
    ) -> list[User] | Problem:
        """Return accounts in the order of their names."""
        limit = min(limit, MOST_AT_ONCE)
        return self.may_look(visitor) or await self._database.users(like=like, after=after, limit=limit)

    async def user(self, ident: str, visitor: Visitor) -> UserInDetail | Problem:
        """Return one account with its sessions."""
        refusal = self.may_look(visitor)
        if refusal is not None:
            return refusal
        known = await self._database.user(ident)
        if known is None:
            return problems.NOT_FOUND
        sessions = await self._auth.sessions_of(ident)
        return UserInDetail(known[0], sorted(sessions, key=lambda session: -session.seen_at))

    async def trail(
        self,
        visitor: Visitor,
        *,
        events: Sequence[Event] = (),
        user: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[Entry] | Problem:
        """Return entries of the audit trail, newest first."""
        limit = min(limit, MOST_AT_ONCE)
        return self.may_look(visitor) or await self._database.trail(
            events=events, user=user, before=before, limit=limit
        )

    async def names_of(self, idents: Sequence[str]) -> dict[str, str]:
        """Return the names of accounts, for lists."""
        return await self._database.names_of(idents)

    # --- acting ---

    async def add(self, name: str, password: str, visitor: Visitor, *, is_admin: bool = False) -> User | Problem:
        """Add an account."""
        return self.may_act(visitor) or await self._accounts.add(
            name, password, is_admin=is_admin, by=visitor, still=lambda: self._may_still_act(visitor)
        )

    async def change(
        self, ident: str, visitor: Visitor, *, is_admin: bool | None = None, is_disabled: bool | None = None
    ) -> User | Problem:
        """Promote, demote, disable, enable."""
        return self.may_act(visitor) or await self._accounts.change(
            ident, is_admin=is_admin, is_disabled=is_disabled, by=visitor
        )

    async def reset_password(self, ident: str, password: str, visitor: Visitor) -> User | Problem:
        """Set somebody's password; all their sessions end."""
        return self.may_act(visitor) or await self._accounts.reset_password(
            ident, password, by=visitor, still=lambda: self._may_still_act(visitor)
        )

    async def end(self, ident: str, sid: str, visitor: Visitor) -> Problem | None:
        """End one session of somebody."""
        refusal = self.may_act(visitor)
        if refusal is not None:
            return refusal
        if await self._database.user(ident) is None:
            return problems.NOT_FOUND  # and it may be no id at all, which the library would refuse as such
        # One that has ended already, too: it may not yet be in force everywhere.
        if isinstance(await self._auth.revoke(sid, of=ident, reason="ended by an administrator"), Refused):
            return problems.NOT_FOUND
        await self._trail.note(Event.SESSION_ENDED, visitor, user=ident, sid=sid)
        return None

    async def end_all_of(self, ident: str, visitor: Visitor) -> Problem | None:
        """End all sessions of somebody."""
        refusal = self.may_act(visitor)
        if refusal is not None:
            return refusal
        if await self._database.user(ident) is None:
            return problems.NOT_FOUND
        await self._auth.revoke_user(ident, reason="ended by an administrator")
        await self._trail.note(Event.SESSION_ENDED, visitor, user=ident, all="all")
        return None

    async def end_everyone(self, visitor: Visitor) -> Problem | None:
        """End every session there is, one's own too."""
        refusal = self.may_act(visitor)
        if refusal is not None:
            return refusal
        await self._auth.revoke_everyone(reason="ended by an administrator")
        await self._trail.note(Event.EVERYONE_ENDED, visitor)
        return None
