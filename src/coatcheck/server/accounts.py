"""
What can be done to accounts, by an administrator or at the command line. Floor 6; may import: floors 0 to 5.

Rules of this module:

1. First the account, then the sessions. A sign-in that read the account before is refused by its generation; one that
   reads it afterwards finds the change.
2. Between the two stands a duty in the database. Whoever finds one does it (:meth:`Accounts.do_duties`), so that a
   crash in between ends no session less.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from coatcheck import Coatcheck
from coatcheck.clock import Clock
from coatcheck.server import names, passwords, problems
from coatcheck.server.database.base import Database, Duty, Event, Outcome, User
from coatcheck.server.passwords import Busy, Passwords
from coatcheck.server.problems import Problem
from coatcheck.server.trail import Trail
from coatcheck.server.visitor import Visitor

Still = Callable[[], Awaitable[Problem | None]]

PROBLEMS = {
    Outcome.UNKNOWN: problems.NOT_FOUND,
    Outcome.NAME_TAKEN: problems.NAME_TAKEN,
    Outcome.LAST_ADMIN: problems.LAST_ADMIN,
    Outcome.WRONG_CODE: problems.WRONG_CODE,
    Outcome.SET_UP_ALREADY: problems.SET_UP_ALREADY,
    Outcome.CHANGED_MEANWHILE: problems.CHANGED_MEANWHILE,
    Outcome.AUDIENCE_TAKEN: problems.AUDIENCE_TAKEN,
}


def claims_of(user: User) -> dict[str, Any]:
    """Return what the sessions of *user* say of them."""
    return {"name": user.name, "roles": ["admin"] if user.is_admin else []}


def why_not(name: str, password: str) -> Problem | None:
    """Say what is wrong with the name or the password of a new account."""
    wrong = names.why_not(name)
    if wrong is not None:
        return problems.invalid("username", f"{wrong[0].upper()}{wrong[1:]}.")
    return why_not_password(password, name)


def why_not_password(password: str, name: str) -> Problem | None:
    """Say what is wrong with a new password."""
    wrong = passwords.why_not(password, name)
    return None if wrong is None else problems.invalid("password", f"{wrong[0].upper()}{wrong[1:]}.")


class Accounts:
    """
    The accounts of one database, kept in step with their sessions.

    Args:
        auth: An open engine. database: open.
    """

    def __init__(self, auth: Coatcheck, database: Database, hasher: Passwords, clock: Clock) -> None:
        self._auth = auth
        self._database = database
        self._passwords = hasher
        self._setting_claims = asyncio.Lock()
        self.clock = clock
        self.trail = Trail(database, clock)

    def new_user(self, name: str, *, is_admin: bool) -> User:
        """Return an account that nobody has yet."""
        now = self.clock.now()
        return User(id=secrets.token_urlsafe(16), name=name, is_admin=is_admin, created_at=now, password_at=now)

    async def add(
        self, name: str, password: str, *, is_admin: bool, by: Visitor | None, still: Still | None = None
    ) -> User | Problem:
        """
        Add an account.

        Args:
            still: Asked once more after the password was hashed, which takes long: says why it may not be done now.
        """
        wrong = why_not(name, password)
        if wrong is not None:
            return wrong
        hashed = await self._hashed(password, still)
        if isinstance(hashed, Problem):
            return hashed
        user = self.new_user(name, is_admin=is_admin)
        outcome = await self._database.add_user(user, hashed)
        if outcome is not None:
            return PROBLEMS[outcome]
        await self.trail.note(Event.USER_ADDED, by, user=user.id, name=name, admin=is_admin)
        return user

    async def _hashed(self, password: str, still: Still | None) -> str | Problem:
        try:
            hashed = await self._passwords.hash(password)
        except Busy:
            return problems.BUSY
        refusal = None if still is None else await still()
        return hashed if refusal is None else refusal

    async def change(
        self, ident: str, *, is_admin: bool | None = None, is_disabled: bool | None = None, by: Visitor | None
    ) -> User | Problem:
        """Promote or demote, disable or enable. In force everywhere when it returns."""
        changed = await self._database.change_user(ident, is_admin=is_admin, is_disabled=is_disabled)
        if isinstance(changed, Outcome):
            return PROBLEMS[changed]
        before, after = changed.before, changed.user
        try:
            for was, now, yes, no in (
                (before.is_admin, after.is_admin, Event.PROMOTED, Event.DEMOTED),
                (before.is_disabled, after.is_disabled, Event.DISABLED, Event.ENABLED),
            ):
                if was != now:
                    await self.trail.note(yes if now else no, by, user=ident)
        finally:
            # Whether or not it could be noted: nobody stays signed in for want of a line in the trail.
            await self.do_duty(changed.duty)
        return after

    async def reset_password(
        self, ident: str, password: str, *, by: Visitor | None, still: Still | None = None
    ) -> User | Problem:
        """Set somebody's password. All their sessions have ended when it returns. still: as for :meth:`add`."""
        known = await self._database.user(ident)
        if known is None:
            return problems.NOT_FOUND
        wrong = why_not_password(password, known[0].name)
        if wrong is not None:
            return wrong
        hashed = await self._hashed(password, still)
        if isinstance(hashed, Problem):
            return hashed
        changed = await self._database.set_password(ident, hashed, now=self.clock.now())
        if isinstance(changed, Outcome):
            return PROBLEMS[changed]
        # Noted first: should the duty fail now, the change has been made all the same, and it will be done.
        try:
            await self.trail.note(Event.PASSWORD_RESET, by, user=ident)
        finally:
            await self.do_duty(changed.duty)
        return changed.user

    async def do_duty(self, duty: Duty) -> None:
        """Bring the sessions of an account, or of a client, in line with it."""
        if not await self._database.is_due(duty.number):
            return  # somebody else has done it; once more, it would end what began since
        if duty.client is not None:
            await self._auth.revoke_client(duty.client, reason="client disabled")
        if duty.user is None:
            await self._auth.revoke_everyone(reason="accounts replaced")
        elif duty.ends:
            await self._auth.revoke_user(duty.user, keep=duty.keep, reason="account changed")
        else:
            await self._set_claims(duty.user)
        await self._database.done(duty.number)

    async def _set_claims(self, ident: str) -> None:
        # One at a time: between the look at an account and the change of its claims another change must not fit in.
        async with self._setting_claims:
            done = None
            # Another process may have fitted one in. Whoever changes the claims last looks at the account last.
            while (known := await self._database.user(ident)) is not None and known[0] != done:
                await self._auth.update_claims(ident, set=claims_of(known[0]))
                done = known[0]

    async def do_duties(self) -> None:
        """Do what somebody left undone."""
        failed: Exception | None = None
        for duty in await self._database.duties():
            try:
                await self.do_duty(duty)
            except Exception as error:
                failed = error  # the others are not held up by it
        if failed is not None:
            raise failed
