"""
Access tokens: minted from memory, verified from memory. Floor 3; may import: floors 0 to 2.

Rules of this module:

1. First whether memory may be trusted, then memory.
2. Nothing is signed on the word of an old object: the session must still be the current one in memory.
3. A verified token is remembered by the hash of its whole text, never by its signature (ECDSA's can be altered). Only
   that it is genuine is remembered: times, audience, key and revocations are looked at every time.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from coatcheck.clock import Clock
from coatcheck.decide import lifetime
from coatcheck.errors import InvalidInput
from coatcheck.fleet.cache import Cache
from coatcheck.fleet.keyring import Keyring
from coatcheck.fleet.revoked import Revoked
from coatcheck.fleet.watch import Watch
from coatcheck.policy import Policy
from coatcheck.records import Claims, Reason, Refused, Session
from coatcheck.tokens import access_token
from coatcheck.tokens.keys import Key

_UNSURE = Refused(Reason.UNSURE)
_JTI_BYTES = 16


class Verifying:
    """
    Verifies access tokens from memory.

    Args:
        size: Verified tokens to remember; the oldest goes first, and costs a signature check when it comes back.
    """

    def __init__(self, watch: Watch, keyring: Keyring, clock: Clock, *, issuer: str, size: int) -> None:
        self.watch = watch
        self.keyring = watch.keyring = keyring
        self.revoked = watch.revoked = Revoked()
        self._elapsed = clock.elapsed
        self._issuer = issuer
        self._size = size
        self._known: dict[bytes, Claims] = {}

    def verify(self, token: str, audience: str) -> Claims | Refused:
        """Say what *token* says, if it counts for *audience* now."""
        watch = self.watch
        if not watch.is_sure(self._elapsed()):
            return _UNSURE
        now = watch.now
        try:
            digest = sha256(token.encode("ascii")).digest()
        except (UnicodeEncodeError, AttributeError):
            return Refused(Reason.MALFORMED)
        claims = self._known.get(digest)
        if claims is None:
            found = access_token.verify(token, lambda kid: self._key(kid, now), issuer=self._issuer)
            if isinstance(found, Refused):
                return found
            claims = found
            self._remember(digest, claims)
        elif self._key(claims.kid, now) is None:
            return Refused(Reason.UNKNOWN_KEY)
        reason = access_token.judge(claims, audience=audience, now=now) or self.revoked.why_not(
            claims.sid, claims.version
        )
        return claims if reason is None else Refused(reason)

    def _key(self, kid: str, now: int) -> Key | None:
        return self.keyring.keys.verifier(kid, now)

    def _remember(self, digest: bytes, claims: Claims) -> None:
        while len(self._known) >= self._size:
            with contextlib.suppress(RuntimeError, StopIteration):  # another thread is at it, too
                self._known.pop(next(iter(self._known)), None)
        self._known[digest] = claims


class Minting:
    """Mints access tokens from memory."""

    def __init__(self, verifying: Verifying, cache: Cache, clock: Clock, *, policy: Policy, issuer: str) -> None:
        self._watch = verifying.watch
        self._cache = cache
        self._revoked = verifying.revoked
        self._keyring = verifying.keyring
        self._clock = clock
        self.on_no_key: Callable[[], object] = lambda: None  # hears that no key can sign
        self.policy = policy
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
        now = self._clock.now()
        elapsed = self._clock.elapsed()
        if not self._watch.is_sure(elapsed):
            return _UNSURE
        entry = self._cache.of(session.sid)
        if entry is None or entry.session.version != session.version or elapsed >= entry.reread_at:
            why = self._revoked.why_not(session.sid, session.version)
            return _UNSURE if why is None else Refused(why)
        current = entry.session
        over = lifetime.judge(current, now=now, policy=self.policy)
        if over is not None:
            return Refused(over)
        key = self._keyring.keys.signer_here(now)
        if key is None:
            self.on_no_key()
            return _UNSURE
        most = self.policy.access_s if lifetime_s is None else min(lifetime_s, self.policy.access_s)
        idle_end = current.seen_at + lifetime.idle_s(current, self.policy)
        ends_at = min(now + most, lifetime.ends_at(current, self.policy), idle_end)
        claims = self._claims(current, audience, now=now, ends_at=ends_at, client_id=client_id)
        return access_token.sign(key, {**claims, **(more or {})}), ends_at

    def _claims(
        self, session: Session, audience: Sequence[str], *, now: int, ends_at: int, client_id: str
    ) -> Mapping[str, Any]:
        if session.sub is None:
            raise InvalidInput("session", "has no subject", "renew it with sub= at the sign-in first")
        chosen = self._named(audience)
        claims: dict[str, Any] = {name: session.claims[name] for name in chosen if name in session.claims}
        claims |= {
            "iss": self._issuer,
            "sub": session.sub,
            "aud": audience[0] if len(audience) == 1 else list(audience),
            "exp": ends_at,
            "iat": now,
            "jti": secrets.token_urlsafe(_JTI_BYTES),
            "client_id": client_id,
            "sid": session.sid,
            "ver": session.version,
        }
        if session.auth_time is not None:
            claims["auth_time"] = session.auth_time
        if session.amr:
            claims["amr"] = session.amr
        return claims

    def _named(self, audience: Sequence[str]) -> Sequence[str]:
        """Which of the session's claims all of *audience* may see."""
        chosen = self.policy.access_claims
        first, *others = (chosen.get(one, chosen.get("*", ())) for one in audience)
        return first if not others else sorted(set(first).intersection(*others))
