"""Access tokens, refresh tokens and signing keys of an engine. Floor 4; may import: floors 0 to 3."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from coatcheck import arguments
from coatcheck.engine.life import Life
from coatcheck.errors import ConfigError
from coatcheck.fleet.feeding import Feeding
from coatcheck.fleet.tokens import Tokens
from coatcheck.records import Claims, Receipt, Refused, Session, TokenPair
from coatcheck.secret import Secret, revealed

log = logging.getLogger("coatcheck")


class TokenMethods(Life):
    """Tokens that carry their truth with them, and can be taken back. See :class:`coatcheck.Coatcheck`."""

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
        return sid if isinstance(sid, Refused) else await self._end(sid, of=None, note="refresh token revoked")

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
        await self.in_force()
        return kid

    async def revoke_key(self, kid: str) -> Receipt:
        """
        Accept nothing more that this key has signed, here and everywhere. Another takes its place.

        Raises:
            ConfigError: As :meth:`rotate_keys`, when another would have to take its place. The key stays.
        """
        tokens = self._with_tokens()
        epoch = await self._memory.epoch()
        position = await tokens.revoke(arguments.kid(kid))
        log.warning("signing key revoked", extra={"kid": kid})
        return await self._in_force(position, epoch)

    async def reset_keys(self) -> int:
        """
        Remove every signing key and every refresh token: their secret is lost, or in the wrong hands.

        Every secret that was in use on this store is declared lost, for ever: engines that are open make nothing with
        it any more (``unsure``), and none opens with it. Sessions and their cookies stay. Call it on an engine without
        an issuer, since one with it refuses a wrong secret; the next engine with an issuer, and a new secret, makes new
        keys. Returns how many families of refresh tokens ended.
        """
        self._check_open()
        epoch = await self._memory.epoch()
        done = await self._store.reset_keys(stamp=self._stamp())
        log.warning("signing keys and refresh tokens reset; every secret that was in use is declared lost")
        await self._in_force(done.position, epoch)
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
