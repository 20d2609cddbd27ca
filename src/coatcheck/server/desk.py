"""
What people do here: set up, sign in, sign out, look at their devices, change their password. Floor 6; may import:
floors 0 to 5.

The JSON interface and the pages both call this, so they cannot differ. It knows no HTTP.

Rules of this module:

1. An answer is a value or a :class:`Problem`; what a person must not learn has one answer for all cases.
2. A try is counted as failed before the password is looked at, and taken back if it was right: many tries at once count
   as many.
3. The generation is read before the account. A sign-in that a change of password, or the end of the account's sessions,
   overtakes is refused.
4. Whoever ends what has been ended already waits until that is in force everywhere: it may be under way, or have been
   answered by 503.
"""

from __future__ import annotations

import hashlib
import secrets

import msgspec

from coatcheck import Coatcheck, Refused, Session, SignedIn
from coatcheck.clock import HOUR, MINUTE, Clock
from coatcheck.server import problems
from coatcheck.server.accounts import PROBLEMS, Accounts, claims_of, why_not, why_not_password
from coatcheck.server.database.base import Bucket, Database, Event, Outcome, User
from coatcheck.server.names import NAME_LONGEST, name_key
from coatcheck.server.passwords import Busy, Passwords
from coatcheck.server.problems import Problem
from coatcheck.server.trail import Trail
from coatcheck.server.visitor import Visitor, hidden, make_device_cookie, mark_of, network_of

FRESH_S = 15 * MINUTE
"""How long after somebody proved who they are they need not do so again, seconds."""

SPAN_S = 15 * MINUTE
ACCOUNT_FREE, ACCOUNT_PACE_S = 10, 30
ADDRESS_FREE, ADDRESS_PACE_S = 100, 5
CODE_TRIES, CODE_S = 10, HOUR
_KEY_LABEL = "coatcheck server 1"


class Entered(msgspec.Struct, frozen=True):
    """
    Somebody who has just signed in.

    Attributes:
        device_cookie: To be set, when this browser has none for them.
    """

    signed_in: SignedIn
    device_cookie: str | None = None


class Desk:
    """
    The front desk.

    Args:
        auth: An open engine. database: open.
    """

    def __init__(self, auth: Coatcheck, database: Database, hasher: Passwords, accounts: Accounts) -> None:
        self._auth = auth
        self._database = database
        self._passwords = hasher
        self._accounts = accounts
        self._trail: Trail = accounts.trail
        self._clock: Clock = accounts.clock

    @property
    def _keys(self) -> tuple[bytes, ...]:
        return self._auth.derived_keys(_KEY_LABEL)

    # --- set-up ---

    async def new_code(self) -> str | None:
        """Return a fresh set-up code, good for an hour and ten tries in all; None when the server is set up."""
        if await self._database.is_set_up():
            return None
        code = secrets.token_hex(16)
        await self._database.add_code(_digest(code), ends_at=self._clock.now() + CODE_S, tries=CODE_TRIES)
        return "-".join(code[at : at + 8] for at in range(0, 32, 8))

    async def set_up(self, code: str, name: str, password: str, visitor: Visitor) -> Entered | Problem:
        """Make the first administrator and sign them in. Of many at once, one succeeds."""
        now, digest = self._clock.now(), _digest(code)
        if await self._database.is_set_up():
            return problems.SET_UP_ALREADY
        wrong = why_not(name, password)
        if wrong is not None:
            return wrong
        # Asked before the password is hashed: only who knows the code may have that work done.
        outcome = await self._database.check_code(digest, now=now)
        if outcome is None:
            try:
                hashed = await self._passwords.hash(password)
            except Busy:
                return problems.BUSY
            user = self._accounts.new_user(name, is_admin=True)
            outcome = await self._database.set_up(digest, user, hashed, now=now)
        if outcome is not None:
            await self._trail.note(Event.SET_UP_FAILED, visitor, why=outcome.value)
            return PROBLEMS[outcome]
        await self._trail.note(Event.SET_UP, visitor, actor=user.id, user=user.id)
        return await self._enter(user, visitor, generation=None)

    # --- signing in and out ---

    async def sign_in(self, name: str, password: str, visitor: Visitor) -> Entered | Problem:
        """Check name and password, and begin a session."""
        now, found = self._clock.now(), None
        if len(name) <= NAME_LONGEST:
            found = await self._database.user_named(name)
        buckets = self._buckets(name, found, visitor)
        wait_s = await self._database.begin_try(buckets, now=now)
        if wait_s:
            return problems.too_many(wait_s)
        # Asked for nobody's, too: the answer takes as long.
        generation = await self._auth.generation(found.id if found else "nobody")
        account = await self._database.user(found.id if found else "nobody")
        try:
            is_right = await self._passwords.is_right(account[1] if account else None, password)
        except Busy:
            await self._database.forgive(buckets, now=now)
            return problems.BUSY
        if account is None or not is_right or account[0].is_disabled:
            await self._note_failure(name, account[0] if account else None, is_right, visitor)
            return problems.WRONG_CREDENTIALS
        await self._database.forgive(buckets, now=now)
        user, hashed = account
        if self._passwords.is_outdated(hashed):
            await self._rehash(user, password, hashed)
        return await self._enter(user, visitor, generation=generation)

    def _buckets(self, name: str, user: User | None, visitor: Visitor) -> list[Bucket]:
        mark = mark_of(self._keys, user.id, visitor.known) if user else None
        # By the name as it was typed, whether or not somebody has it: who has an account does not show.
        account = f"browser:{mark}" if mark else f"name:{hidden(self._keys[0], name_key(name[: NAME_LONGEST + 1]))}"
        network = f"network:{network_of(visitor.device.ip)}"
        return [
            Bucket(account, ACCOUNT_FREE, SPAN_S, ACCOUNT_PACE_S),
            Bucket(network, ADDRESS_FREE, SPAN_S, ADDRESS_PACE_S),
        ]

    async def _note_failure(self, name: str, user: User | None, is_right: bool, visitor: Visitor) -> None:
        if user is None:
            detail = {"name_hash": hidden(self._keys[0], name_key(name))}
            await self._trail.note(Event.SIGN_IN_FAILED, visitor, why="unknown name", **detail)
        else:
            why = "disabled" if is_right else "wrong password"
            await self._trail.note(Event.SIGN_IN_FAILED, visitor, user=user.id, why=why)

    async def _rehash(self, user: User, password: str, hashed: str) -> None:
        try:
            await self._database.rehash(user.id, await self._passwords.hash(password), expected=hashed)
        except Busy:
            return  # the next sign-in does it

    async def _enter(self, user: User, visitor: Visitor, *, generation: int | None) -> Entered | Problem:
        claims, device = claims_of(user), visitor.device
        if generation is None:
            signed_in: SignedIn | Refused = await self._auth.sign_in(
                user.id, claims=claims, amr=("pwd",), device=device
            )
        else:
            signed_in = await self._auth.sign_in(
                user.id, claims=claims, amr=("pwd",), device=device, generation=generation
            )
        if isinstance(signed_in, Refused):
            return problems.ENDED_MEANWHILE
        # Every sign-in is a new session with a new token. The one that this browser carried until now is over.
        if visitor.session is not None:
            await self._auth.revoke(visitor.session.sid, reason="signed in again")
        await self._trail.note(Event.SIGN_IN, visitor, actor=user.id, user=user.id, sid=signed_in.session.sid)
        keys = self._keys
        is_known = mark_of(keys, user.id, visitor.known) is not None
        return Entered(signed_in, None if is_known else make_device_cookie(keys[0], user.id))

    async def sign_out(self, visitor: Visitor) -> None:
        """End this session."""
        if visitor.was_ended:
            await self._auth.in_force()
        if visitor.session is not None:
            await self._auth.revoke(visitor.session.sid, reason="signed out")
            await self._trail.note(Event.SIGN_OUT, visitor, user=visitor.session.sub, sid=visitor.session.sid)

    # --- signed in ---

    def is_fresh(self, session: Session) -> bool:
        """Say whether this person proved who they are a short while ago."""
        return session.auth_time is not None and self._clock.now() - session.auth_time < FRESH_S

    async def freshen(self, password: str, visitor: Visitor) -> SignedIn | Problem:
        """Ask for the password once more; the session gets a new token (ASVS 5.0, 7.2.4)."""
        session = _session_of(visitor)
        known = await self._check_own(session, password, visitor)
        if isinstance(known, Problem):
            return known
        renewed = await self._auth.renew(visitor.token or "", amr=("pwd",), device=visitor.device)
        if isinstance(renewed, Refused):
            return problems.ENDED_MEANWHILE
        await self._trail.note(Event.RENEWED, visitor, user=session.sub, sid=session.sid)
        return renewed

    async def change_password(self, current: str, new: str, visitor: Visitor) -> SignedIn | Problem:
        """Change one's own password. Every other session has ended when this returns, and this one has a new token."""
        session = _session_of(visitor)
        sub = session.sub or ""
        known = await self._check_own(session, current, visitor)
        if isinstance(known, Problem):
            return known
        user, hashed = known
        wrong = why_not_password(new, user.name)
        if new == current:
            wrong = problems.invalid("new_password", "The new password is the old one.")
        if wrong is not None:
            return msgspec.structs.replace(wrong, field="new_password")
        try:
            fresh = await self._passwords.hash(new)
        except Busy:
            return problems.BUSY
        changed = await self._database.set_password(
            sub, fresh, now=self._clock.now(), expected=hashed, keep=session.sid
        )
        if isinstance(changed, Outcome):
            return PROBLEMS[changed]
        await self._accounts.do_duty(changed.duty)
        await self._trail.note(Event.PASSWORD_CHANGED, visitor, user=sub, sid=session.sid)
        renewed = await self._auth.renew(visitor.token or "", amr=("pwd",), device=visitor.device)
        return problems.ENDED_MEANWHILE if isinstance(renewed, Refused) else renewed

    async def _check_own(self, session: Session, password: str, visitor: Visitor) -> tuple[User, str] | Problem:
        sub, now = session.sub or "", self._clock.now()
        buckets = [Bucket(f"own:{session.sid}", ACCOUNT_FREE, SPAN_S, ACCOUNT_PACE_S)]
        wait_s = await self._database.begin_try(buckets, now=now)
        if wait_s:
            return problems.too_many(wait_s)
        account = await self._database.user(sub)
        try:
            is_right = await self._passwords.is_right(account[1] if account else None, password)
        except Busy:
            await self._database.forgive(buckets, now=now)
            return problems.BUSY
        if account is None or not is_right:
            await self._trail.note(Event.FRESH_FAILED, visitor, user=sub, sid=session.sid)
            return problems.WRONG_PASSWORD
        await self._database.forgive(buckets, now=now)
        return account

    async def sessions(self, visitor: Visitor) -> list[Session]:
        """Return one's own sessions, this one first, then the one used last."""
        session = _session_of(visitor)
        found = await self._auth.sessions_of(session.sub or "")
        return sorted(found, key=lambda other: (other.sid != session.sid, -other.seen_at))

    async def end(self, sid: str, visitor: Visitor) -> Problem | None:
        """End one of one's own sessions. Another's, and one that there is not, are the same: not found."""
        session = _session_of(visitor)
        sub = session.sub or ""
        if sid != session.sid and not self.is_fresh(session):
            is_live = any(own.sid == sid for own in await self._auth.sessions_of(sub))
            return problems.NOT_FRESH if is_live else problems.NOT_FOUND
        ended = await self._auth.revoke(sid, of=sub, reason="ended from the device list")
        if isinstance(ended, Refused):
            return problems.NOT_FOUND
        await self._trail.note(Event.SESSION_ENDED, visitor, user=sub, sid=sid)
        return None

    async def end_all(self, visitor: Visitor, *, but_this: bool) -> Problem | None:
        """End all of one's own sessions, or all but this one."""
        session = _session_of(visitor)
        if not self.is_fresh(session):
            return problems.NOT_FRESH
        keep = session.sid if but_this else None
        await self._auth.revoke_user(session.sub or "", keep=keep, reason="ended from the device list")
        await self._trail.note(
            Event.SESSION_ENDED, visitor, user=session.sub, sid=keep, all="but this" if keep else "all"
        )
        return None


def _session_of(visitor: Visitor) -> Session:
    if visitor.session is None:
        raise AssertionError("whoever calls this has looked whether there is a session")
    return visitor.session


def _digest(code: str) -> bytes:
    plain = "".join(letter for letter in code.lower() if letter in "0123456789abcdef")
    return hashlib.sha256(plain.encode("ascii")).digest()
