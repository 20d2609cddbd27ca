"""
Verifier: for services that only check access tokens. Floor 4; may import: floors 0 to 3.

Rules of this module:

1. ``verify`` does no I/O: keys and revocations are already here, or the answer is "no".
2. Where revocations come from is said by whoever makes a verifier. There is no default, since the easy one would accept
   revoked tokens until they expire.
3. Nothing here survives a fork: in the child nobody fetches, and the store's connections are the parent's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import weakref
from collections.abc import AsyncIterator
from typing import Any, Self

from coatcheck import arguments
from coatcheck.clock import Clock, SystemClock
from coatcheck.engine import Coatcheck
from coatcheck.errors import ConfigError, Forked, NotOpen, StoreUnavailable
from coatcheck.fleet.cache import Cache
from coatcheck.fleet.keyring import Keyring
from coatcheck.fleet.knowledge import Knowledge
from coatcheck.fleet.memory import trust_in
from coatcheck.fleet.minting import Verifying
from coatcheck.fleet.unstored import Unstored
from coatcheck.policy import check_issuer
from coatcheck.records import Claims, Refused
from coatcheck.secret import revealed
from coatcheck.stores import SHARED, from_url

log = logging.getLogger("coatcheck")

NONE = "none-accept-until-expiry"
_UPKEEP_S = 60.0
_CACHED_TOKENS = 100_000
_WHERE = f'give the issuer\'s https URL, an engine, a store URL, or "{NONE}"'

Feed = Coatcheck | str
_Check = Any

_open: weakref.WeakSet[Verifier] = weakref.WeakSet()


class Verifier:
    """
    Verifies the access tokens of one issuer for one audience.

    Args:
        issuer: As it stands in the tokens.

        audience: This service.

        feed: Where keys and revocations come from: the https URL of an issuer that runs the ready-made server (with
            ``client_id:client_secret@`` in it, or these in ``COATCHECK_CLIENT_ID`` and ``COATCHECK_CLIENT_SECRET``), an
            engine in this process, the URL of a store, or ``"none-accept-until-expiry"``: keys from the issuer's JWKS,
            and a revoked token is accepted until it ends.

        clock: For tests.
    """

    def __init__(self, issuer: str, *, audience: str, feed: Feed, clock: Clock | None = None) -> None:
        self.issuer = check_issuer(issuer)
        self.audience = arguments.one_audience(audience)
        self._clock: Clock = clock or SystemClock()
        self._store: Any = None
        if isinstance(feed, str) and feed != NONE:
            self._store = _store_of(feed)
        elif isinstance(feed, Coatcheck):
            if feed.issuer != issuer:
                raise ConfigError("feed", "is an engine of another issuer", f"give the engine of {issuer}")
        elif feed != NONE:
            raise ConfigError("feed", f"is {type(feed).__name__}", _WHERE)
        self._feed = None if self._store is not None else feed  # a URL may hold a secret
        self._check: _Check = None
        self._closing = contextlib.AsyncExitStack()

    def __repr__(self) -> str:
        return f"<Verifier of {self.issuer} for {self.audience!a}>"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[dict[str, Any]]:
        """
        Open and close with an application, which has it in its state: ``FastAPI(lifespan=verifier.lifespan)``, then
        ``request.state.verifier``.
        """
        async with self:
            yield {"verifier": self}

    async def open(self) -> None:
        """
        Get the keys, and what was revoked.

        Raises:
            StoreUnavailable: The store, or the issuer, does not answer. ConfigError: the issuer does not know this
                client.
        """
        if self._check is not None:
            raise ConfigError("verifier", "is open already", "open it once")
        async with contextlib.AsyncExitStack() as stack:
            if isinstance(self._feed, Coatcheck):
                check = self._feed.verify
                self._check = lambda token: check(token, audience=self.audience)
            elif self._feed == NONE:
                await self._open_jwks(stack)
            else:
                await self._open_store(stack)
            self._closing = stack.pop_all()
        _open.add(self)

    async def _open_store(self, stack: contextlib.AsyncExitStack) -> None:
        await self._store.open()
        stack.push_async_callback(self._store.close)
        # Of sessions it holds none.
        cache = Cache(1)
        knowledge = Knowledge(cache, Unstored(self._store, cache.lock), self._clock)
        watch = trust_in(self._store, knowledge, self._clock)
        keyring = Keyring(self._store, seals=None, alg="ES256")
        verifying = Verifying(watch, keyring, self._clock, issuer=self.issuer, size=_CACHED_TOKENS)
        await watch.start()
        stack.push_async_callback(watch.leave)
        await watch.be_sure()  # much to learn may have taken longer than a lease
        if not watch.is_sure(self._clock.elapsed()):
            raise StoreUnavailable("the change log cannot be read now")
        stack.callback(watch.stop, NotOpen("the verifier is closed"))
        self._check = lambda token: verifying.verify(token, self.audience)
        upkeep = asyncio.create_task(self._look_after(verifying), name="coatcheck-verifier")
        stack.push_async_callback(_cancelled, upkeep)

    async def _look_after(self, verifying: Verifying) -> None:
        while True:
            await asyncio.sleep(_UPKEEP_S)
            verifying.revoked.forget(self._clock.elapsed())

    async def _open_jwks(self, stack: contextlib.AsyncExitStack) -> None:
        from coatcheck.fleet.fetching import Jwks  # an HTTP client, which most programs that import us do not need

        jwks = Jwks(self.issuer, self._clock, size=_CACHED_TOKENS)
        await jwks.fetch()
        self._check = lambda token: jwks.verify(token, self.audience)
        stack.push_async_callback(_cancelled, asyncio.create_task(jwks.keep_fetching(), name="coatcheck-jwks"))

    async def close(self) -> None:
        """Let go of everything. Calling it again does nothing."""
        _open.discard(self)
        self._check = None
        await self._closing.aclose()

    def _forked(self) -> None:
        def refuse(token: str) -> Claims | Refused:
            raise Forked("the verifier was opened before a fork; open it in each worker, after the fork")

        self._check = refuse
        self._closing = contextlib.AsyncExitStack()  # what there is to close is the parent's
        abandon = getattr(self._store, "abandon", None)
        if abandon is not None:
            abandon()

    def verify(self, jwt: str) -> Claims | Refused:
        """
        Say what an access token says, if it counts here and now.

        Raises:
            NotOpen: Before ``async with``, or after it.
        """
        if self._check is None:
            raise NotOpen('the verifier is not open; use "async with"')
        answer: Claims | Refused = self._check(revealed(jwt))
        return answer


def _store_of(feed: str) -> Any:
    scheme = feed.partition("://")[0]
    if scheme in ("http", "https"):
        from coatcheck.fleet.feed import Feed as IssuerFeed  # as above

        return IssuerFeed(feed)
    if scheme not in SHARED:
        raise ConfigError("feed", "is neither a store that others can share nor a known word", _WHERE)
    return from_url(feed)


def _forked() -> None:
    for verifier in list(_open):
        verifier._forked()  # noqa: SLF001  one module, and no business of users


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
