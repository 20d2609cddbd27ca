"""
Keys from an issuer's JWKS, for who hears no revocations. Floor 3; may import: floors 0 to 2.

Rules of this module:

1. The address is the issuer's own: ``/.well-known/jwks.json`` there, https (loopback excepted), no redirects. Nothing
   in a token says where keys come from (RFC 8725, section 3.10).
2. Size and time are bounded. A failed fetch keeps the keys that are there.
3. An unknown ``kid`` asks for a fetch, at most one in ten seconds, whoever makes up how many.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import urllib.error
import urllib.request
from hashlib import sha256
from typing import Any

from joserfc.errors import JoseError

from coatcheck.clock import Clock, SystemClock
from coatcheck.errors import StoreUnavailable
from coatcheck.fleet.verified import Verified
from coatcheck.records import Claims, KeyRow, Reason, Refused
from coatcheck.tokens import access_token, keys
from coatcheck.tokens.keys import JWKS_CACHE_S, Key

log = logging.getLogger("coatcheck")

LONGEST = 64 * 1024
TIMEOUT_S = 5.0
PAUSE_S = 10.0
_MOST_KEYS = 100


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow none: the answer then counts as the error that it is here."""


class Jwks:
    """The keys of one issuer, fetched."""

    def __init__(self, issuer: str, clock: Clock, *, size: int) -> None:
        self._issuer = issuer
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self.known = Verified(size)
        self._wanted = asyncio.Event()
        self._elapsed = SystemClock().elapsed  # the network takes its own time, whatever clock a test gives us
        # No proxy from the environment, no cookies, no redirects: one request, one answer.
        self._opener = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))

    async def fetch(self) -> None:
        """
        Get the keys.

        Raises:
            StoreUnavailable: The issuer does not answer, or not with a JWK set.
        """
        found = await asyncio.to_thread(self._fetch)
        self._keys = found
        self.known.keep(found)

    def _fetch(self) -> dict[str, Key]:
        url = self._issuer.rstrip("/") + "/.well-known/jwks.json"
        try:
            request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310  checked issuer
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                raw = self._read(answer)
            listed = json.loads(raw)["keys"]
            usable = {key.kid: key for jwk in listed[:_MOST_KEYS] if (key := _key(jwk)) is not None}
            if not isinstance(listed, list) or not usable:
                raise ValueError
        except (OSError, urllib.error.URLError, http.client.HTTPException) as error:
            raise StoreUnavailable(f"{url} does not answer ({type(error).__name__})") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise StoreUnavailable(f"{url} is not a JWK set") from None
        return usable

    def _read(self, answer: Any) -> bytes:
        # The timeout is for each part; an issuer that says a little at a time is not waited for, either.
        raw, until = b"", self._elapsed() + TIMEOUT_S
        while part := answer.read1(LONGEST):
            raw += part
            if len(raw) > LONGEST:
                raise StoreUnavailable(f"the key set of {self._issuer} is above {LONGEST} bytes")
            if self._elapsed() >= until:
                raise StoreUnavailable(f"the key set of {self._issuer} takes longer than {TIMEOUT_S:.0f} s")
        return raw

    async def keep_fetching(self) -> None:
        """Fetch again before others' caches would, and when an unknown key was met."""
        while True:
            await asyncio.sleep(PAUSE_S)
            try:
                async with asyncio.timeout(JWKS_CACHE_S - PAUSE_S):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            try:
                await self.fetch()
            except StoreUnavailable as error:
                log.warning("an issuer's keys could not be fetched; those at hand stay", extra={"why": str(error)})

    def verify(self, token: str, audience: str) -> Claims | Refused:
        """Say what *token* says, if it counts for *audience* now. Revocations are not known here."""
        try:
            digest = sha256(token.encode("ascii")).digest()
        except (UnicodeEncodeError, AttributeError):
            return Refused(Reason.MALFORMED)
        claims = self.known.get(digest)
        # The key, too: another thread may have verified with it while it was being removed.
        if claims is None or claims.kid not in self._keys:
            found = access_token.verify(token, self._keys.get, issuer=self._issuer)
            if isinstance(found, Refused):
                if found.reason is Reason.UNKNOWN_KEY:
                    self._wanted.set()
                return found
            claims = found
            self.known.add(digest, claims)
        reason = access_token.judge(claims, audience=audience, now=self._clock.now())
        return claims if reason is None else Refused(reason)


def _key(jwk: Any) -> Key | None:
    """Return the key in *jwk*; None when it is of no use here."""
    if not isinstance(jwk, dict):
        return None
    alg, kid = jwk.get("alg"), jwk.get("kid")
    if alg not in keys.ALGORITHMS or not isinstance(kid, str) or jwk.get("use", "sig") != "sig" or "d" in jwk:
        return None
    plain = {name: jwk[name] for name in ("kty", "crv", "x", "y") if name in jwk}
    row = KeyRow(kid=kid, alg=alg, public=json.dumps(plain).encode(), sealed=b"", epoch=0, published_at=0, signs_from=0)
    try:
        return keys.public_only(row)
    except (JoseError, ValueError, TypeError, AttributeError):
        return None
