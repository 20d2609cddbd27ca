"""Sessions: begin them, check them, change them, end them. Floor 4; may import: floors 0 to 3."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, overload

from msgspec.structs import replace

from coatcheck import arguments
from coatcheck.decide import begin
from coatcheck.engine.tokens import TokenMethods
from coatcheck.errors import InvalidInput
from coatcheck.http import cookie
from coatcheck.records import (
    Device,
    Digest,
    Reason,
    Receipt,
    Record,
    Refused,
    Session,
    SignedIn,
)
from coatcheck.secret import Secret, revealed
from coatcheck.stores.base import Moved
from coatcheck.tokens import session_token
from coatcheck.values import checked, checked_keys, decode, fitted

log = logging.getLogger("coatcheck")

_TRIES = 8

_digest_of = session_token.digest

_MALFORMED, _UNKNOWN = Refused(Reason.MALFORMED), Refused(Reason.UNKNOWN)
_REVOKED = Refused(Reason.REVOKED)


class Coatcheck(TokenMethods):
    """
    Sessions: begin them, check them, change them, end them.

    Use it as ``async with Coatcheck("sqlite:///coatcheck.db") as auth``, or give :attr:`lifespan` to the application.
    One engine belongs to one event loop and one process.

    Args:
        store: ``sqlite:///FILE`` (absolute: ``sqlite:////FILE``), or ``memory://``.

        policy: How long sessions live and who is let in at the door.

        issuer: The https URL that names this service in tokens. Not needed for sessions alone.

        secret: One or more base64url values of at least 32 bytes; the first writes, all read. Left out:
            ``COATCHECK_SECRET``, ``COATCHECK_SECRET_FILE``, else a 0600 file beside the SQLite file; for a store behind
            a network a 0600 file of this account, so give one when several machines share the store; for memory://
            random.

        clock: For tests: :class:`coatcheck.testing.ManualClock`.

        on_store_call: Called with the name of each call of the store, and how many seconds it took.

    Raises:
        ConfigError: A setting is wrong.
    """

    # --- beginning ---

    @overload
    async def sign_in(
        self,
        sub: str,
        *,
        claims: Mapping[str, Any] | None = ...,
        amr: Iterable[str] = ...,
        device: Device | None = ...,
        idle_s: int | None = ...,
        absolute_s: int | None = ...,
        persistent: bool = ...,
        generation: None = ...,
    ) -> SignedIn: ...

    @overload
    async def sign_in(
        self,
        sub: str,
        *,
        claims: Mapping[str, Any] | None = ...,
        amr: Iterable[str] = ...,
        device: Device | None = ...,
        idle_s: int | None = ...,
        absolute_s: int | None = ...,
        persistent: bool = ...,
        generation: int,
    ) -> SignedIn | Refused: ...

    async def sign_in(
        self,
        sub: str,
        *,
        claims: Mapping[str, Any] | None = None,
        amr: Iterable[str] = (),
        device: Device | None = None,
        idle_s: int | None = None,
        absolute_s: int | None = None,
        persistent: bool = True,
        generation: int | None = None,
    ) -> SignedIn | Refused:
        """
        Begin a session for *sub*, who has just proved who they are. Durable when it returns.

        Args:
            sub: Whose session; 1 to 255 characters, an identifier that is never given to somebody else.

            claims: JSON to have at hand at every check, 8 KiB at most: ``{"roles": ["admin"]}``.

            amr: How they proved it (RFC 8176): ``("pwd", "otp")``.

            idle_s, absolute_s: Seconds; never above the policy's, which hold where these are left out.

            persistent: False: the cookie goes when the browser window closes.

            generation: From :meth:`generation`, read before the password was checked. Refused (``revoked``) when the
                subject's sessions were ended, or the claims changed, in the meantime.

        Raises:
            InvalidInput: An argument cannot be used; it is named.
        """
        self._check_open()
        digest, token = self._mint()
        now = self.clock.now()
        session = begin.new_session(
            session_token.mint_sid(now),
            arguments.subject(sub),
            now=now,
            policy=self.policy,
            claims=claims,
            amr=amr,
            device=device,
            idle_s=idle_s,
            absolute_s=absolute_s,
            persistent=persistent,
        )
        record = Record(digest=digest, session=session)
        epoch = await self._memory.epoch()
        with self._memory.writing() as fill:
            created = await self._store.create(
                record,
                generation=arguments.whole(generation, "generation"),
                most=self.policy.sessions_per_subject,
                stamp=self._stamp(),
            )
            if isinstance(created, Moved):
                return _REVOKED
            self._memory.keep_written(record, fill)
        if created is not None:  # one session too many was ended for it
            await self._in_force(created, epoch)
        return SignedIn(session, token)

    async def start(
        self, data: Mapping[str, Any] | None = None, *, device: Device | None = None, persistent: bool = True
    ) -> SignedIn:
        """
        Begin a session without a subject: a cart, a flash message. Stored at its first write, so at once with *data*.

        At the sign-in, :meth:`renew` with ``sub=`` turns it into a signed-in session under a new token.
        """
        self._check_open()
        raw = fitted(checked(data or {}, field="data"), limit=self.policy.data_bytes, field="data")
        digest, token = self._mint()
        now = self.clock.now()
        session = begin.new_session(
            session_token.mint_sid(now), None, now=now, policy=self.policy, device=device, persistent=persistent
        )
        record = Record(digest=digest, session=session, data=raw)
        if raw == b"{}":
            await self._memory.add_unstored(record)
        else:
            await self._store.create(record, generation=None, most=1, stamp=self._stamp())
        return SignedIn(session, token)

    def _mint(self) -> tuple[Digest, Secret]:
        token = session_token.mint()
        return _digest(token.reveal()), token

    # --- checking ---

    def check_now(self, token: str | Secret, *, touch: bool = True) -> Session | Refused | None:
        """
        Answer from memory, in a few microseconds, without waiting for anything.

        Args:
            touch: Whether this counts as activity.

        Returns:
            None when only the store can tell: then ``await check(token)``.
        """
        digest = _digest_of(token if type(token) is str else revealed(token))
        if digest is None:
            return _MALFORMED
        found = self._memory.recall(digest, touch)
        if found is None and not session_token.is_well_formed(revealed(token)):
            return _MALFORMED
        return found

    async def check(self, token: str | Secret, *, touch: bool = True) -> Session | Refused:
        """
        Say whose session *token* opens.

        Raises:
            StoreUnavailable: Memory does not know, and the store cannot be asked.
        """
        found = self.check_now(token, touch=touch)
        return await self._memory.ask(_digest(revealed(token)), touch) if found is None else found

    # --- changing ---

    async def renew(
        self,
        token: str | Secret,
        *,
        sub: str | None = None,
        claims: Mapping[str, Any] | None = None,
        amr: Iterable[str] | None = None,
        device: Device | None = None,
        generation: int | None = None,
    ) -> SignedIn | Refused:
        """
        Give the session a new token: sign-in of a started session, step-up, any change of privilege (ASVS 7.2.4).

        The ``sid`` and the data stay, the version rises, the old token is refused (``renewed``) everywhere when this
        returns. What is not given stays as it is.

        Args:
            sub: Signs a started session in; its lifetime begins anew. Another subject's session is not changed.

            amr: Given: the subject has just proved who they are, so ``auth_time`` is now.

        Raises:
            InvalidInput: *sub* is not the session's own, or another argument cannot be used.

            BarrierIncomplete: The renewal is committed, so the old token is over, and nobody has the new one: who held
                it signs in again. Asking once more with the old token does not bring it.
        """
        self._check_open()
        old = session_token.digest(revealed(token))
        if old is None:
            return _MALFORMED
        await self._memory.store_unstored(old, self._stamp())
        for _ in range(_TRIES):
            found = await self._store.load(old)
            if not isinstance(found, Record):
                return _UNKNOWN if found is None else Refused(found.reason)
            reason = self._memory.why_over(found.session)
            if reason is not None:
                return Refused(reason)
            session = begin.renewed(
                found.session,
                now=self.clock.now(),
                policy=self.policy,
                sub=sub,
                claims=claims,
                amr=amr,
                device=device,
            )
            digest, fresh = self._mint()
            epoch = await self._memory.epoch()
            renewed = await self._store.renew(
                old,
                replace(found, digest=digest, session=session),
                generation=arguments.whole(generation, "generation"),
                most=self.policy.sessions_per_subject,
                stamp=self._stamp(),
            )
            if isinstance(renewed, Moved):
                return _REVOKED
            if renewed is not None:
                await self._in_force(renewed, epoch)
                return SignedIn(session, fresh)
            # Somebody else changed it since we read: look again.
        return Refused(Reason.UNSURE)

    async def update_claims(
        self, sub: str, *, set: Mapping[str, Any] | None = None, unset: Iterable[str] = ()
    ) -> Receipt:
        """
        Change the claims in all sessions of *sub*: promotion and demotion, in force everywhere when this returns.

        Args:
            set: Claims to add or replace. unset: names of claims to remove; a name in both is set.

        Raises:
            InvalidInput: Not JSON, or more than 8 KiB; the claim is named. No session was changed.
        """
        self._check_open()
        change, gone = checked(set or {}, field="set"), checked_keys(unset, field="unset")
        epoch = await self._memory.epoch()
        position = await self._store.change_claims(
            arguments.subject(sub), change, gone, limit=arguments.CLAIMS_BYTES, stamp=self._stamp()
        )
        return await self._in_force(position, epoch)

    async def data(self, sid: str) -> dict[str, Any] | Refused:
        """Return the session's data, a copy of the caller's own."""
        self._check_open()
        if not arguments.is_sid(sid):
            return _UNKNOWN
        record = await self._memory.find_unstored(sid) or await self._store.load_sid(sid)
        if record is None:
            return _UNKNOWN
        reason = self._memory.why_over(record.session)
        return decode(record.data) if reason is None else Refused(reason)

    async def update_data(
        self, sid: str, *, set: Mapping[str, Any] | None = None, unset: Iterable[str] = (), wait: bool = True
    ) -> Receipt | Refused:
        """
        Change keys of the session's data. Parallel changes of other keys all survive.

        Args:
            set: Keys to add or replace, JSON. unset: keys to remove; a key in both is set.

            wait: Whether to wait until no process has the old data; on an embedded store none ever has.

        Raises:
            InvalidInput: Not JSON, or more than the policy's ``data_bytes`` in all; the key is named. Nothing changed.
        """
        self._check_open()
        change, gone = checked(set or {}, field="set"), checked_keys(unset, field="unset")
        if not arguments.is_sid(sid):
            return _UNKNOWN
        stamp = self._stamp()
        await self._memory.store_unstored(sid, stamp)
        epoch = await self._memory.epoch()
        position = await self._store.change_data(sid, change, gone, limit=self.policy.data_bytes, stamp=stamp)
        if position is None:
            return _UNKNOWN
        if not wait:
            return Receipt(position=position, nodes=0, waited_s=0.0)
        return await self._memory.barrier.wait(position, epoch=epoch, of_data=True)

    # --- ending ---

    @overload
    async def revoke(self, sid: str, *, of: None = ..., reason: str = ...) -> Receipt: ...

    @overload
    async def revoke(self, sid: str, *, of: str, reason: str = ...) -> Receipt | Refused: ...

    async def revoke(self, sid: str, *, of: str | None = None, reason: str = "") -> Receipt | Refused:
        """
        End one session. When this returns no process accepts it, nor anything made from it.

        Args:
            of: Only if the session is this subject's; another's gives ``Refused("unknown")`` and nothing happens.

            reason: For the record, 200 characters at most.
        """
        self._check_open()
        note = arguments.note(reason)
        if of is not None and not arguments.is_sid(sid):
            return _UNKNOWN
        if of is None:  # with it, what has no subject is not hers
            await self._memory.discard_unstored(arguments.sid(sid, "sid"))
        return await self._end(sid, of=of, note=note)

    async def revoke_user(self, sub: str, *, keep: str | None = None, reason: str = "") -> Receipt:
        """End all sessions of *sub*, but the one with the ``sid`` *keep*. Sign-ins under way are refused."""
        self._check_open()
        note = arguments.note(reason)
        kept = None if keep is None else arguments.sid(keep, "keep")
        epoch = await self._memory.epoch()
        position = await self._store.end_subject(arguments.subject(sub), keep=kept, note=note, stamp=self._stamp())
        log.info("sessions of a subject revoked", extra={"sub": sub, "reason": note})
        return await self._in_force(position, epoch)

    async def revoke_client(self, client_id: str, *, reason: str = "") -> Receipt:
        """
        End what was made for a client: its refresh tokens, the access tokens they gave, the sessions they own.

        Another session that has refresh tokens of it goes on, with a higher version: all access tokens made from it are
        refused (``renewed``), and whoever may have one gets another. What is made for the client afterwards counts, so
        give it nothing more before you call this.
        """
        self._check_open()
        client, note = arguments.client_id(client_id), arguments.note(reason)
        epoch = await self._memory.epoch()
        position = await self._store.end_client(client, note=note, stamp=self._stamp())
        log.info("sessions and refresh tokens of a client revoked", extra={"client_id": client, "reason": note})
        return await self._in_force(position, epoch)

    async def revoke_everyone(self, *, reason: str = "") -> Receipt:
        """End every session there is."""
        self._check_open()
        note = arguments.note(reason)
        epoch = await self._memory.epoch()
        position = await self._store.end_everyone(note=note, stamp=self._stamp())
        log.warning("everyone's sessions revoked", extra={"reason": note})
        receipt = await self._in_force(position, epoch)
        if self._tokens is not None:
            await self._tokens.upkeep()  # their tokens' keys went with them
        return receipt

    # --- looking ---

    async def sessions_of(self, sub: str) -> list[Session]:
        """Return the live sessions of *sub*, the newest first."""
        self._check_open()
        found = [
            self._memory.seen.overlay(session) for session in await self._store.load_subject(arguments.subject(sub))
        ]
        return [session for session in found if self._memory.why_over(session) is None]

    async def generation(self, sub: str) -> int:
        """Return the subject's generation, to be given to :meth:`sign_in` after the password was checked."""
        self._check_open()
        return await self._store.generation(arguments.subject(sub))

    # --- at the door ---

    def cookie(self, signed_in: SignedIn) -> str:
        """Return the ``Set-Cookie`` value that carries *signed_in*."""
        session = signed_in.session
        max_age_s = session.expires_at - self.clock.now() if session.persistent else None
        return cookie.write(self.policy.cookie, signed_in.token.reveal(), max_age_s=max_age_s)

    def clear_cookie(self) -> str:
        """Return the ``Set-Cookie`` value that deletes the session cookie."""
        return cookie.write(self.policy.cookie, "", max_age_s=0)

    def derived_keys(self, label: str) -> tuple[bytes, ...]:
        """Return the keys that the secret gives for one use; for the adapters (:meth:`RootSecret.keys`)."""
        self._check_open()
        return self._secret.keys(label)


def _digest(text: str) -> Digest:
    digest = session_token.digest(text)
    if digest is None:
        raise InvalidInput("token", "is not a session token", "give the token of a SignedIn")
    return digest
