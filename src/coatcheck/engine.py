"""
Coatcheck: the one object. Floor 4; may import: floors 0 to 3.

It reads the clocks, draws the random values, and puts the lower floors together; it decides nothing itself.

Rules of this module:

1. An expected outcome is a value: a :class:`Session`, a :class:`Receipt`, or a :class:`Refused`. Exceptions are faults.
2. When a method that ends or changes sessions returns, no process accepts the old state.
3. A warm check awaits nothing and touches no disk.
"""

from __future__ import annotations

import asyncio
import logging
import os
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self, overload

from msgspec.structs import replace

from coatcheck import arguments
from coatcheck.clock import DAY, HOUR, Clock, SystemClock
from coatcheck.decide import begin
from coatcheck.errors import CoatcheckError, ConfigError, Forked, InvalidInput, NotOpen
from coatcheck.fleet.feeding import Feeding
from coatcheck.fleet.knowledge import FROM_THE_END
from coatcheck.fleet.memory import Memory
from coatcheck.fleet.timed import timed
from coatcheck.fleet.tokens import Tokens
from coatcheck.http import cookie
from coatcheck.policy import EVERYDAY, Policy, check_issuer
from coatcheck.records import (
    Claims,
    Device,
    Digest,
    Figures,
    Kind,
    Nodes,
    Reason,
    Receipt,
    Record,
    Refused,
    Session,
    SignedIn,
    TokenPair,
)
from coatcheck.secret import RootSecret, Secret, revealed
from coatcheck.stores import from_url
from coatcheck.stores.base import Moved, Stamp
from coatcheck.tokens import session_token
from coatcheck.values import checked, checked_keys, decode, fitted

log = logging.getLogger("coatcheck")

# Longer than any process keeps a session in memory without reading it again, and than any access token lives.
_REMEMBER_CHANGES_S = 2 * HOUR
_REMEMBER_TOKENS_S = DAY  # for the reason that is given; afterwards they are merely unknown
_TRIES = 8

_digest_of = session_token.digest

_MALFORMED, _UNKNOWN = Refused(Reason.MALFORMED), Refused(Reason.UNKNOWN)
_REVOKED = Refused(Reason.REVOKED)

_engines: weakref.WeakSet[Coatcheck] = weakref.WeakSet()


class Coatcheck:
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

    def __init__(
        self,
        store: str,
        *,
        policy: Policy = EVERYDAY,
        issuer: str | None = None,
        secret: str | Iterable[str] | None = None,
        clock: Clock | None = None,
        on_store_call: Callable[[str, float], None] | None = None,
    ) -> None:
        if not isinstance(policy, Policy):
            raise ConfigError("policy", f"is {type(policy).__name__}", "give a Policy, such as coatcheck.CAREFUL")
        if issuer is not None:
            check_issuer(issuer)
        self.policy = policy
        self.issuer = issuer
        self._store = from_url(store)
        if on_store_call is not None:
            self._store = timed(self._store, on_store_call)
        self._clock: Clock = SystemClock() if clock is None else clock
        self._given_secret = None if secret is None else RootSecret.parse(secret, setting="secret")
        self._machine = SystemClock()
        self._fault: CoatcheckError | None = None
        self._memory = Memory(self._store, self._clock, policy)
        self._tokens: Tokens | None = None
        #: :meth:`check_now` for the digest of a token: for adapters, which have the token as bytes.
        self.recall: Callable[[Digest], Session | Refused | None] = self._memory.recall
        self._shut(NotOpen('the engine is not open; use "async with", or lifespan=auth.lifespan'))

    def __repr__(self) -> str:
        return f"<Coatcheck on {self._store!r}>"

    # --- opening and closing ---

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Open and close with an application: ``Starlette(lifespan=auth.lifespan)``."""
        async with self:
            yield

    async def open(self) -> None:
        """
        Open the store and start the upkeep.

        Raises:
            ConfigError: The secret is unusable, opens none of the signing keys, or was declared lost. StoreUnusable:
                the store must not be used. StoreUnavailable: it does not answer.
        """
        if self._fault is None:
            raise ConfigError("engine", "is open already", "open one engine per application")
        await self._store.open()
        try:
            self._secret = self._given_secret or RootSecret.from_environment() or self._own_secret()
        except BaseException:
            await self._store.close()
            raise
        try:
            if self.issuer is not None:
                self._tokens = await self._open_tokens(self.issuer)
        except BaseException:
            await self._store.close()
            raise
        try:
            await self._memory.start()
        except BaseException:
            await self._store.close()
            raise
        if self._tokens is not None:
            self._memory.upkeep.also = self._tokens.upkeep
        self._fault = None
        _engines.add(self)

    async def _open_tokens(self, issuer: str) -> Tokens:
        ids = [key.hex()[:16] for key in self._secret.keys("refresh key ids 1")]
        seals = dict(zip(ids, self._secret.keys("signing keys 1"), strict=True))
        keys = dict(zip(ids, self._secret.keys("refresh 1"), strict=True))
        minting, verifying = self._memory.hold_tokens(issuer, seals)
        tokens = Tokens(self._store, minting, verifying, clock=self._clock, stamp=self._stamp)
        tokens.refreshing.start(keys, self._memory.ask_sid, self._end_for)
        await tokens.open()
        return tokens

    async def _end_for(self, sid: str, reason: str) -> None:
        await self.revoke(sid, reason=reason)

    async def close(self) -> None:
        """Write what is still to be written and let go of the store. Calling it again does nothing."""
        if self._fault is not None:
            return
        self._shut(NotOpen("the engine is closed"))
        _engines.discard(self)
        try:
            await self._memory.leave()
        finally:
            # Shielded: a close that is cancelled half-way would leave a thread and open files behind.
            await asyncio.shield(self._store.close())

    def _shut(self, fault: CoatcheckError) -> None:
        self._fault = fault
        self._memory.shut(fault)

    def _forked(self) -> None:
        self._shut(Forked("the engine was opened before a fork; open it in each worker, after the fork"))
        abandon = getattr(self._store, "abandon", None)
        if abandon is not None:
            abandon()

    def _own_secret(self) -> RootSecret:
        if not self._store.is_embedded:
            log.warning("no secret is given; one for this account is used, and other machines cannot know it")
            return RootSecret.of_account(self._store.identity)
        path = getattr(self._store, "path", None)
        return RootSecret.random() if path is None else RootSecret.beside(path.with_name(path.name + "-secret"))

    def _check_open(self) -> None:
        if self._fault is not None:
            raise self._fault

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
        now = self._clock.now()
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
        now = self._clock.now()
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
                now=self._clock.now(),
                policy=self.policy,
                sub=sub,
                claims=claims,
                amr=amr,
                device=device,
            )
            digest, fresh = self._mint()
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
                await self._in_force(renewed)
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
        position = await self._store.change_claims(
            arguments.subject(sub), change, gone, limit=arguments.CLAIMS_BYTES, stamp=self._stamp()
        )
        return await self._in_force(position)

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
        position = await self._store.change_data(sid, change, gone, limit=self.policy.data_bytes, stamp=stamp)
        if position is None:
            return _UNKNOWN
        if not wait:
            return Receipt(position=position, nodes=0, waited_s=0.0)
        return await self._memory.barrier.wait(position, of_data=True)

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
        position = await self._store.end(sid, of=of, kind=Kind.REVOKED, note=note, stamp=self._stamp())
        if position is None:
            return _UNKNOWN
        log.info("session revoked", extra={"sid": sid, "reason": note})
        return await self._in_force(position)

    async def revoke_user(self, sub: str, *, keep: str | None = None, reason: str = "") -> Receipt:
        """End all sessions of *sub*, but the one with the ``sid`` *keep*. Sign-ins under way are refused."""
        self._check_open()
        note = arguments.note(reason)
        kept = None if keep is None else arguments.sid(keep, "keep")
        position = await self._store.end_subject(arguments.subject(sub), keep=kept, note=note, stamp=self._stamp())
        log.info("sessions of a subject revoked", extra={"sub": sub, "reason": note})
        return await self._in_force(position)

    async def revoke_client(self, client_id: str, *, reason: str = "") -> Receipt:
        """
        End what was made for a client: its refresh tokens, the access tokens they gave, the sessions they own.

        Another session that has refresh tokens of it goes on, with a higher version: all access tokens made from it are
        refused (``renewed``), and whoever may have one gets another. What is made for the client afterwards counts, so
        give it nothing more before you call this.
        """
        self._check_open()
        client, note = arguments.client_id(client_id), arguments.note(reason)
        position = await self._store.end_client(client, note=note, stamp=self._stamp())
        log.info("sessions and refresh tokens of a client revoked", extra={"client_id": client, "reason": note})
        return await self._in_force(position)

    async def revoke_everyone(self, *, reason: str = "") -> Receipt:
        """End every session there is."""
        self._check_open()
        note = arguments.note(reason)
        position = await self._store.end_everyone(note=note, stamp=self._stamp())
        log.warning("everyone's sessions revoked", extra={"reason": note})
        receipt = await self._in_force(position)
        if self._tokens is not None:
            await self._tokens.upkeep()  # their tokens' keys went with them
        return receipt

    async def _head(self) -> int:
        return (await self._store.tail(FROM_THE_END)).head

    async def _in_force(self, position: int) -> Receipt:
        return await self._memory.barrier.wait(position)

    # --- tokens that carry their truth with them ---

    def access_token(
        self,
        session: Session,
        *,
        audience: str | Iterable[str],
        lifetime_s: int | None = None,
        client_id: str = "browser",
    ) -> str | Refused:
        """
        Return a signed access token (RFC 9068) for *session*, from memory.

        Args:
            audience: Whom it is for; one or several, 16 at most.

            lifetime_s: Seconds; never above the policy's ``access_s``, and never past the session's end.

            client_id: Who asked for it (RFC 9068, section 2.2).

        Returns:
            Refused when *session* is no longer the current one; ``unsure`` when memory cannot tell: then ``await
            check(token)`` first.

        Raises:
            ConfigError: The engine has no issuer. InvalidInput: an argument cannot be used, or the token would have
                more than 2,048 bytes; the claim is named.
        """
        tokens = self._with_tokens()
        minted = tokens.minting.mint(
            session,
            arguments.audience(audience),
            lifetime_s=arguments.whole(lifetime_s, "lifetime_s"),
            client_id=arguments.client_id(client_id),
        )
        return minted if isinstance(minted, Refused) else minted[0]

    async def fresh_token(
        self, session: Session, *, audience: str | Iterable[str], client_id: str = "browser"
    ) -> str | Refused:
        """Like :meth:`access_token`, for a session that memory may not hold: the store is asked first."""
        tokens = self._with_tokens()
        minted = await tokens.refreshing.mint(
            session.sid, session.version, arguments.audience(audience), arguments.client_id(client_id)
        )
        return minted if isinstance(minted, Refused) else minted[0]

    def bound_token(
        self, session: Session, *, audience: str, lifetime_s: int, more: Mapping[str, Any]
    ) -> str | Refused:
        """Like :meth:`access_token`, with more claims; for the adapters, which bind it to what it travels with."""
        minted = self._with_tokens().minting.mint(
            session, arguments.audience(audience), lifetime_s=lifetime_s, client_id="browser", more=more
        )
        return minted if isinstance(minted, Refused) else minted[0]

    def verify(self, jwt: str, *, audience: str) -> Claims | Refused:
        """
        Say what an access token says, if it counts for *audience* now: genuine, in time, and not revoked. No I/O.

        Raises:
            ConfigError: The engine has no issuer.
        """
        return self._with_tokens().verifying.verify(revealed(jwt), arguments.one_audience(audience))

    async def issue_refresh(
        self, session: Session, *, client_id: str, audience: str | Iterable[str], owns_session: bool = False
    ) -> TokenPair | Refused:
        """
        Begin a family of refresh tokens for *session* and one client that cannot hold a cookie.

        Args:
            audience: Whom its access tokens may be for, from now on.

            owns_session: Whether the session was begun for this client alone: then :meth:`revoke_client` ends it.
        """
        tokens = self._with_tokens()
        return await tokens.refreshing.issue(
            session,
            client_id=arguments.client_id(client_id),
            audience=arguments.audience(audience),
            owns_session=owns_session,
        )

    async def refresh(
        self, refresh_token: str | Secret, *, client_id: str, audience: str | Iterable[str] | None = None
    ) -> TokenPair | Refused:
        """
        Exchange a refresh token for its successor and an access token.

        Two calls at once get the same successor. An older token than the one before is theft: the session ends, and the
        answer is ``reused`` (RFC 9700, section 4.14.2).

        Args:
            audience: Some of those that the family was issued for; left out: all of them.

        Raises:
            StoreUnavailable: The token that was given stays usable.
        """
        tokens = self._with_tokens()
        return await tokens.refreshing.refresh(
            revealed(refresh_token),
            client_id=arguments.client_id(client_id),
            audience=None if audience is None else arguments.audience(audience),
        )

    async def revoke_refresh(self, refresh_token: str | Secret, *, client_id: str) -> Receipt | Refused:
        """End the session that a refresh token of this client belongs to (RFC 7009); another client's ends nothing."""
        tokens = self._with_tokens()
        client = arguments.client_id(client_id)
        sid = await tokens.refreshing.sid_of(revealed(refresh_token), client_id=client)
        return sid if isinstance(sid, Refused) else await self.revoke(sid, reason="refresh token revoked")

    def jwks(self) -> dict[str, Any]:
        """Return the public keys as a JWK set (RFC 7517); cache it for 5 minutes at most."""
        return self._with_tokens().jwks()

    def key_states(self) -> dict[str, str]:
        """Return where each signing key stands, by its ``kid``: ``published``, ``signing``, ``verifying``, ``gone``."""
        return self._with_tokens().key_states()

    async def rotate_keys(self) -> str:
        """
        Make a key that signs from now on, here and everywhere; return its ``kid``. What is signed stays valid.

        Raises:
            ConfigError: The secret was declared lost since this engine was opened.
        """
        kid = await self._with_tokens().rotate()
        await self._in_force(await self._head())
        return kid

    async def revoke_key(self, kid: str) -> Receipt:
        """
        Accept nothing more that this key has signed, here and everywhere. Another takes its place.

        Raises:
            ConfigError: As :meth:`rotate_keys`, when another would have to take its place. The key stays.
        """
        position = await self._with_tokens().revoke(arguments.kid(kid))
        log.warning("signing key revoked", extra={"kid": kid})
        return await self._in_force(position)

    async def reset_keys(self) -> int:
        """
        Remove every signing key and every refresh token: their secret is lost, or in the wrong hands.

        Every secret that was in use on this store is declared lost, for ever: engines that are open make nothing with
        it any more (``unsure``), and none opens with it. Sessions and their cookies stay. Call it on an engine without
        an issuer, since one with it refuses a wrong secret; the next engine with an issuer, and a new secret, makes new
        keys. Returns how many families of refresh tokens ended.
        """
        self._check_open()
        done = await self._store.reset_keys(stamp=self._stamp())
        log.warning("signing keys and refresh tokens reset; every secret that was in use is declared lost")
        await self._in_force(done.position)
        return done.families

    @property
    def feed(self) -> Feeding:
        """What tells services without the store which access tokens to refuse; the ready-made server offers it."""
        self._with_tokens()
        return self._memory.feeding

    def _with_tokens(self) -> Tokens:
        self._check_open()
        if self._tokens is None:
            raise ConfigError("issuer", "is not set, so there are no access tokens", "give issuer=https://…")
        return self._tokens

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
        max_age_s = session.expires_at - self._clock.now() if session.persistent else None
        return cookie.write(self.policy.cookie, signed_in.token.reveal(), max_age_s=max_age_s)

    def clear_cookie(self) -> str:
        """Return the ``Set-Cookie`` value that deletes the session cookie."""
        return cookie.write(self.policy.cookie, "", max_age_s=0)

    def derived_keys(self, label: str) -> tuple[bytes, ...]:
        """Return the keys that the secret gives for one use; for the adapters (:meth:`RootSecret.keys`)."""
        self._check_open()
        return self._secret.keys(label)

    # --- seen from outside ---

    async def fleet(self) -> Nodes:
        """Return who answers from memory, and how far each has come; on an embedded store those on the feed."""
        self._check_open()
        return await self._store.nodes()

    async def clock_skew(self) -> float:
        """Return by how many seconds the store's calendar is ahead of this machine's. No lease depends on either."""
        self._check_open()
        before = self._machine.wall()
        theirs = await self._store.wall()
        return 0.0 if theirs is None else theirs - (before + self._machine.wall()) / 2

    def figures(self) -> Figures:
        """Return what was counted since the engine was opened."""
        memory = self._memory
        return Figures(warm=memory.warm, asked=dict(memory.asked), cached=len(memory), lapses=memory.lapses)

    def on_wait(self, hear: Callable[[float], None]) -> None:
        """Call *hear* with how long each change waited to be in force everywhere, seconds. From the opening on."""
        self._check_open()
        self._memory.barrier.on_wait = hear

    # --- upkeep ---

    async def flush(self) -> None:
        """Write the activity gathered in memory now. It happens by itself; this is for tests and for shutdown."""
        self._check_open()
        await self._memory.seen.flush()

    async def sweep(self) -> int:
        """Remove what is over from the store, in small batches; return how many rows. It happens by itself, too."""
        self._check_open()
        return await self._memory.upkeep.sweep()

    def _stamp(self) -> Stamp:
        now = self._clock.now()
        return Stamp(now=now, forget_change=now + _REMEMBER_CHANGES_S, forget_token=now + _REMEMBER_TOKENS_S)


def _forked() -> None:
    for engine in list(_engines):
        engine._forked()  # noqa: SLF001  one module, and no business of users


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _digest(text: str) -> Digest:
    digest = session_token.digest(text)
    if digest is None:
        raise InvalidInput("token", "is not a session token", "give the token of a SignedIn")
    return digest
