"""
Access tokens: minted from memory, verified from memory. Floor 3; may import: floors 0 to 2.

Rules of this module:

1. First whether memory may be trusted, then memory.
2. Nothing is signed on the word of an old object: the session must still be the current one in memory.
3. Of a remembered token only that it is genuine is remembered: times, audience, key and revocations are looked at every
   time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from coatcheck.clock import Clock
from coatcheck.decide import lifetime
from coatcheck.errors import InvalidInput
from coatcheck.fleet.cache import Cache
from coatcheck.fleet.keyring import Keyring
from coatcheck.fleet.revoked import Revoked
from coatcheck.fleet.trust import Trust
from coatcheck.fleet.verified import Verified
from coatcheck.policy import Policy
from coatcheck.records import Claims, Reason, Refused, Session
from coatcheck.tokens import access_token, base64url

_UNSURE = Refused(Reason.UNSURE)
_JTI_BYTES = 16


class Verifying:
    """
    Verifies access tokens from memory.

    Args:
        size: Verified tokens to remember; the oldest goes first, and costs a signature check when it comes back.
    """

    def __init__(self, watch: Trust, keyring: Keyring, clock: Clock, *, issuer: str, size: int) -> None:
        self.watch = watch
        self.keyring = watch.knowledge.keyring = keyring
        self.revoked = watch.knowledge.revoked = Revoked()
        self._elapsed = clock.elapsed
        self._issuer = issuer
        self.known = Verified(size)

    def verify(self, token: str, audience: str) -> Claims | Refused:
        """Say what *token* says, if it counts for *audience* now."""
        try:
            digest = sha256(token.encode("ascii")).digest()
        except (UnicodeEncodeError, AttributeError):
            return Refused(Reason.MALFORMED)
        known = self.recall(digest, audience)
        if known is not None:
            return known
        now, keys = self.watch.now, self.keyring.keys
        claims = access_token.verify(token, lambda kid: keys.verifier(kid, now), issuer=self._issuer)
        if isinstance(claims, Refused):
            return claims
        self.known.add(digest, claims)
        return self._judge(claims, audience, now)

    def recall(self, digest: bytes, audience: str) -> Claims | Refused | None:
        """Say the same of the token whose text has the SHA-256 *digest*; None where it was not met before."""
        watch = self.watch
        elapsed = self._elapsed()
        # Watch.is_sure(), written out: this runs at every request.
        if (elapsed >= watch.ask_at or watch.pulse[0] != watch.seen) and not watch.catch_up(elapsed):
            return _UNSURE
        claims = self.known.get(digest)
        if claims is None:
            return None
        now = watch.now
        if self.keyring.keys.verifier(claims.kid, now) is None:
            return Refused(Reason.UNKNOWN_KEY)
        return self._judge(claims, audience, now)

    def _judge(self, claims: Claims, audience: str, now: int) -> Claims | Refused:
        reason = access_token.judge(claims, audience=audience, now=now) or self.revoked.why_not(
            claims.sid, claims.version
        )
        return claims if reason is None else Refused(reason)


class Minting:
    """Mints access tokens from memory."""

    def __init__(self, verifying: Verifying, cache: Cache, clock: Clock, *, policy: Policy, issuer: str) -> None:
        self._watch = verifying.watch
        self._cache = cache
        self._revoked = verifying.revoked
        self._keyring = verifying.keyring
        self._elapsed = clock.elapsed
        self.on_no_key: Callable[[], object] = lambda: None  # hears that no key can sign
        self.policy = policy
        self._chosen = dict(policy.access_claims)
        self._others = self._chosen.get("*", ())
        self._issuer = issuer

    def mint(
        self,
        session: Session,
        audience: Sequence[str],
        *,
        lifetime_s: int | None,
        client_id: str,
        more: Mapping[str, Any] | None = None,
    ) -> tuple[str, int] | Refused:
        """
        Return a token for *audience*, and when it ends.

        Raises:
            InvalidInput: The token would be too long; the largest claim is named.
        """
        elapsed = self._elapsed()
        if not self._watch.is_sure(elapsed):
            return _UNSURE
        now = self._watch.now
        entry = self._cache.of(session.sid)
        if entry is None or entry.session.version != session.version or elapsed >= entry.reread_at:
            why = self._revoked.why_not(session.sid, session.version)
            return _UNSURE if why is None else Refused(why)
        current, policy = entry.session, self.policy
        ends_at = min(entry.ends_at, current.seen_at + entry.idle_s)
        if now >= ends_at and (over := lifetime.judge(current, now=now, policy=policy)) is not None:
            return Refused(over)
        key = self._keyring.keys.signer_here(now)
        if key is None:
            self.on_no_key()
            return _UNSURE
        most = policy.access_s if lifetime_s is None else min(lifetime_s, policy.access_s)
        ends_at = min(now + most, ends_at)
        claims = self._claims(current, audience, now=now, ends_at=ends_at, client_id=client_id)
        if more is not None:
            claims |= more
        return access_token.sign(key, claims), ends_at

    def _claims(
        self, session: Session, audience: Sequence[str], *, now: int, ends_at: int, client_id: str
    ) -> dict[str, Any]:
        if session.sub is None:
            raise InvalidInput("session", "has no subject", "renew it with sub= at the sign-in first")
        # One dict and plain statements: another dict to merge, and a comprehension, would cost more than the signing's
        # conversions. The session's claims come first, so that none of them takes the place of another.
        claims: dict[str, Any] = {}
        for name in self._named(audience):
            if name in session.claims:
                claims[name] = session.claims[name]
        claims["iss"] = self._issuer
        claims["sub"] = session.sub
        claims["aud"] = audience[0] if len(audience) == 1 else audience
        claims["exp"] = ends_at
        claims["iat"] = now
        claims["jti"] = base64url.encode(os.urandom(_JTI_BYTES))
        claims["client_id"] = client_id
        claims["sid"] = session.sid
        claims["ver"] = session.version
        if session.auth_time is not None:
            claims["auth_time"] = session.auth_time
        if session.amr:
            claims["amr"] = session.amr
        return claims

    def _named(self, audience: Sequence[str]) -> Sequence[str]:
        """Which of the session's claims all of *audience* may see."""
        chosen, others = self._chosen, self._others
        if len(audience) == 1:
            return chosen.get(audience[0], others)
        first, *rest = (chosen.get(one, others) for one in audience)
        return sorted(set(first).intersection(*rest))
