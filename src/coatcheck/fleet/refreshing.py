"""
Refresh tokens: issue, rotate, notice theft. Floor 3; may import: floors 0 to 2.

Rules of this module:

1. The verdict is :mod:`coatcheck.decide.refresh`'s. Here it is carried out.
2. The access token is minted before the family is rotated: a store that fails in the middle leaves the presented token
   usable, and one that has rotated without being able to say so gives the same successor within the grace.
3. Of many that present the same token at once, one rotates and all get the same successor.
4. Activity is noted here, and not where an access token is verified. So one that comes from here lives for half of the
   idle time at most: a client that refreshes when its token has ended is not idle by then.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence

from coatcheck.clock import Clock
from coatcheck.decide import lifetime
from coatcheck.decide.refresh import Verdict, judge
from coatcheck.fleet.minting import Minting
from coatcheck.records import Family, Reason, Refused, Session, TokenPair
from coatcheck.secret import Secret
from coatcheck.stores.base import Store
from coatcheck.tokens import refresh_token

log = logging.getLogger("coatcheck")

_TRIES = 8
_REFUSALS = {
    Verdict.NOT_GENUINE: Reason.NOT_GENUINE,
    Verdict.WRONG_CLIENT: Reason.WRONG_CLIENT,
    Verdict.THEFT: Reason.REUSED,
    Verdict.ROLLED_BACK: Reason.REVOKED,
}

Ask = Callable[[str], Awaitable[Session | Refused]]
End = Callable[[str, str], Awaitable[object]]


class Refreshing:
    """
    The refresh tokens of one engine.

    Args:
        keys: By their ids, the one that writes first.

        ask: Returns the live session of a ``sid``, and has memory hold it.

        end: Ends a session, for a reason; returns when it has ended everywhere.
    """

    def __init__(self, store: Store, minting: Minting, clock: Clock) -> None:
        self._store = store
        self._minting = minting
        self._clock = clock
        self._grace_s = minting.policy.refresh_grace_s

    def start(self, keys: Mapping[str, bytes], ask: Ask, end: End) -> None:
        """Begin; the arguments are those of the class."""
        self._keys = keys
        self._ask = ask
        self._end = end

    async def issue(
        self, session: Session, *, client_id: str, audience: Sequence[str], owns_session: bool
    ) -> TokenPair | Refused:
        """Begin a family for *session* and *client_id*."""
        minted = await self.mint(session.sid, session.version, audience, client_id)
        if isinstance(minted, Refused):
            return minted
        key_id, key = next(iter(self._keys.items()))
        family = Family(
            id=secrets.token_bytes(refresh_token.FAMILY_BYTES),
            sid=session.sid,
            client_id=client_id,
            audiences=tuple(audience),
            generation=1,
            nonce=secrets.token_bytes(refresh_token.NONCE_BYTES),
            key_id=key_id,
            rotated_at=self._clock.now(),
            expires_at=session.expires_at,
            owns_session=owns_session,
        )
        if not await self._store.add_family(family):
            # Its session has ended; or else the secret was declared lost meanwhile, which is no fault of the session.
            return Refused(Reason.UNSURE if await self._store.is_lost(key_id) else Reason.REVOKED)
        return self._pair(minted, refresh_token.make(key, family.id, 1, family.nonce))

    async def sid_of(self, token: str, *, client_id: str) -> str | Refused:
        """Return the session that a genuine refresh token of this client belongs to, be it current or spent."""
        parsed = refresh_token.parse(token)
        family = None if parsed is None else await self._store.family(parsed.family)
        if parsed is None or family is None:
            return Refused(Reason.MALFORMED if parsed is None else Reason.UNKNOWN)
        key = self._keys.get(family.key_id)
        if key is None or not refresh_token.is_genuine(key, parsed, family.nonce):
            return Refused(Reason.NOT_GENUINE)
        return family.sid if family.client_id == client_id else Refused(Reason.WRONG_CLIENT)

    async def refresh(self, token: str, *, client_id: str, audience: Sequence[str] | None) -> TokenPair | Refused:
        """Exchange a refresh token for its successor and an access token."""
        parsed = refresh_token.parse(token)
        if parsed is None:
            return Refused(Reason.MALFORMED)
        for _ in range(_TRIES):
            family = await self._store.family(parsed.family)
            if family is None:
                return Refused(Reason.UNKNOWN)
            key = self._keys.get(family.key_id)
            verdict = judge(
                family,
                parsed.generation,
                is_genuine=key is not None and refresh_token.is_genuine(key, parsed, family.nonce),
                client_id=client_id,
                now=self._clock.now(),
                grace_s=self._grace_s,
            )
            if key is None or verdict in _REFUSALS:
                return await self._refuse(verdict, family)
            if audience is not None and not set(audience) <= set(family.audiences):
                return Refused(Reason.WRONG_AUDIENCE)
            minted = await self.mint(family.sid, None, audience or family.audiences, client_id)
            if isinstance(minted, Refused):
                return minted
            generation = family.generation
            if verdict is Verdict.ROTATE:
                now = self._clock.now()
                if not await self._store.rotate_family(family.id, generation=generation, now=now):
                    continue  # somebody else was faster, or the session has ended: look again
                generation += 1
            return self._pair(minted, refresh_token.make(key, family.id, generation, family.nonce))
        return Refused(Reason.UNSURE)

    async def _refuse(self, verdict: Verdict, family: Family) -> Refused:
        if verdict is Verdict.THEFT:
            log.warning("refresh token reused; its session is ended", extra={"sid": family.sid})
            await self._end(family.sid, "refresh token reused")
        elif verdict is Verdict.WRONG_CLIENT:
            log.warning("refresh token presented by another client", extra={"sid": family.sid})
        elif verdict is Verdict.ROLLED_BACK:
            extra = {"sid": family.sid, "code": "store_rolled_back"}
            log.error("a refresh token is newer than the store knows: the store has lost a write", extra=extra)
            await self._end(family.sid, "store rolled back")
        return Refused(_REFUSALS.get(verdict, Reason.NOT_GENUINE))

    async def mint(
        self, sid: str, version: int | None, audience: Sequence[str], client_id: str
    ) -> tuple[str, int] | Refused:
        """Return an access token for a session, asked for in the store first, and when it ends."""
        minted: tuple[str, int] | Refused = Refused(Reason.UNSURE)
        for _ in range(_TRIES):
            session = await self._ask(sid)
            if isinstance(session, Refused):
                return session
            if version is not None and session.version != version:
                return Refused(Reason.RENEWED)
            lifetime_s = max(1, lifetime.idle_s(session, self._minting.policy) // 2)
            minted = self._minting.mint(session, audience, lifetime_s=lifetime_s, client_id=client_id)
            # It was changed while it was read, so it is read again. "Renewed" is no answer to who named no version.
            if not (minted == Refused(Reason.UNSURE) or (version is None and minted == Refused(Reason.RENEWED))):
                break
        return minted

    def _pair(self, minted: tuple[str, int], token: Secret) -> TokenPair:
        access, ends_at = minted
        return TokenPair(access_token=access, refresh_token=token, expires_in=ends_at - self._clock.now())
