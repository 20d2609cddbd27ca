"""
Keys from an issuer's JWKS, for who hears no revocations. Floor 3; may import: floors 0 to 2.

Rules of this module:

1. The address is the issuer's own: ``/.well-known/jwks.json`` there, https (loopback excepted), no redirects. Nothing
   in a token says where keys come from (RFC 8725, section 3.10).
2. Size and time are bounded. A failed fetch keeps the keys that are there.
3. An unknown ``kid`` asks for a fetch, at most one in ten seconds, whoever makes up how many.
4. Which key a remembered token was verified with is looked at every time: another key under the same ``kid`` is another
   key.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http
import http.client
import json
import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

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


class Jwks:
    """The keys of one issuer, fetched."""

    def __init__(self, issuer: str, clock: Clock, *, size: int) -> None:
        self._issuer = issuer
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self.known = Verified(size)
        self._wanted = asyncio.Event()
        self._want: Callable[[], object] = self._wanted.set
        self._elapsed = SystemClock().elapsed  # the network takes its own time, whatever clock a test gives us

    async def fetch(self) -> None:
        """
        Get the keys.

        Raises:
            StoreUnavailable: The issuer does not answer, or not with a JWK set.
        """
        # An event is its loop's, and tokens are verified in any thread.
        self._want = functools.partial(asyncio.get_running_loop().call_soon_threadsafe, self._wanted.set)
        before, found = self._keys, await asyncio.to_thread(self._fetch)
        # The same key is the same object: what was verified with it stays remembered, and nothing else does.
        for kid, key in before.items():
            if kid in found and found[kid].row == key.row:
                found[kid] = key
        self._keys = found
        self.known.keep({kid for kid, key in found.items() if before.get(kid) is key})

    def _fetch(self) -> dict[str, Key]:
        url = self._issuer.rstrip("/") + "/.well-known/jwks.json"
        try:
            listed = json.loads(self._get(url))["keys"]
            usable = keys_in(listed[:_MOST_KEYS])
            if not isinstance(listed, list) or not usable:
                raise ValueError
        except (OSError, http.client.HTTPException) as error:
            raise StoreUnavailable(f"{url} does not answer ({type(error).__name__})") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise StoreUnavailable(f"{url} is not a JWK set") from None
        return usable

    def _get(self, url: str) -> bytes:
        """Return what is there. One request, one answer: no proxy from the environment, no cookies, no redirects."""
        split = urlsplit(url)
        kind = http.client.HTTPSConnection if split.scheme == "https" else http.client.HTTPConnection
        connection = kind(split.hostname or "", split.port, timeout=TIMEOUT_S)
        until = self._elapsed() + TIMEOUT_S
        with contextlib.closing(connection):
            connection.connect()
            # The timeout is for each part; who says a little at a time, head or body, is not waited for either.
            late = threading.Timer(TIMEOUT_S, _hang_up, [connection.sock])
            late.start()
            try:
                connection.request("GET", split.path, headers={"Accept": "application/json"})
                answer = connection.getresponse()
                raw = answer.read(LONGEST + 1)
            finally:
                late.cancel()
        if answer.status != http.HTTPStatus.OK:
            raise StoreUnavailable(f"{url} answers {answer.status}")
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
            except Exception:
                # A fault of ours. Without this task a key that the issuer has taken back would count for ever.
                log.exception("an issuer's keys could not be fetched; those at hand stay")

    def verify(self, token: str, audience: str) -> Claims | Refused:
        """Say what *token* says, if it counts for *audience* now. Revocations are not known here."""
        try:
            digest = sha256(token.encode("ascii")).digest()
        except (UnicodeEncodeError, AttributeError):
            return Refused(Reason.MALFORMED)
        keys = self._keys
        claims = self.known.get(digest)
        if claims is None or claims.kid not in keys:
            found = access_token.verify(token, keys.get, issuer=self._issuer)
            if isinstance(found, Refused):
                if found.reason is Reason.UNKNOWN_KEY and not self._wanted.is_set():
                    self._want()
                return found
            claims = found
            self.known.add(digest, claims)
            if keys is not self._keys:
                self.known.keep(())  # other keys came meanwhile: this may be the work of one that is gone
        reason = access_token.judge(claims, audience=audience, now=self._clock.now())
        return claims if reason is None else Refused(reason)


def _hang_up(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def keys_in(listed: list[Any]) -> dict[str, Key]:
    """Return those of use here, by their ``kid``. Of two under one name nobody can tell which is meant: neither is."""
    found = [key for jwk in listed if (key := _key(jwk)) is not None]
    times = Counter(jwk["kid"] for jwk in listed if isinstance(jwk, dict) and isinstance(jwk.get("kid"), str))
    return {key.kid: key for key in found if times[key.kid] == 1}


def _key(jwk: Any) -> Key | None:
    """Return the key in *jwk*; None when it is of no use here."""
    from joserfc.errors import JoseError

    if not isinstance(jwk, dict):
        return None
    alg, kid = jwk.get("alg"), jwk.get("kid")
    if alg not in keys.ALGORITHMS or not isinstance(kid, str) or "d" in jwk:
        return None
    # What a key is for (RFC 7517, sections 4.2 and 4.3).
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    plain = {name: jwk[name] for name in ("kty", "crv", "x", "y") if name in jwk}
    row = KeyRow(kid=kid, alg=alg, public=json.dumps(plain).encode(), sealed=b"", epoch=0, published_at=0, signs_from=0)
    try:
        return keys.public_only(row)
    except (JoseError, ValueError, TypeError, AttributeError):
        return None
