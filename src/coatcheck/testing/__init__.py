"""
Help for tests: yours, and ours. Floor 5; may import: floors 0 to 4. Public: names here are kept like any other.

- :class:`ManualClock`: time that moves when told to.
- :func:`signed_in`: a client that carries a session.
- :class:`EmbeddedStoreContract`, :class:`FleetStoreContract`: inherit one, give it a store, and your store is tested
  like ours. :class:`StoreContract` is what they have in common.
- :class:`AdapterStory`: inherit it, serve a small application, and your adapter is tested like ours.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Protocol

from coatcheck.engine import Coatcheck
from coatcheck.records import SignedIn
from coatcheck.testing.adapter_story import AdapterStory
from coatcheck.testing.store_contract import EmbeddedStoreContract, FleetStoreContract, StoreContract

__all__ = ["AdapterStory", "EmbeddedStoreContract", "FleetStoreContract", "ManualClock", "StoreContract", "signed_in"]


class ManualClock:
    """
    A clock that stands still until :meth:`advance`.

    Args:
        at: Seconds since 1970 to begin at.
    """

    def __init__(self, at: int = 1_800_000_000) -> None:
        self.at = at
        self._following: list[weakref.WeakMethod[Callable[[float], None]]] = []

    def now(self) -> int:
        """See :meth:`coatcheck.clock.Clock.now`."""
        return self.at

    def elapsed(self) -> float:
        """See :meth:`coatcheck.clock.Clock.elapsed`."""
        return float(self.at)

    def advance(self, seconds: int) -> int:
        """Let *seconds* pass, in which everything went on as usual; return the new time."""
        self.at += seconds
        for method in self._following:
            if (hear := method()) is not None:
                hear(seconds)
        return self.at

    def pause(self, seconds: int) -> int:
        """Let *seconds* pass in which this process stood still: its leases ran out."""
        self.at += seconds
        return self.at

    def on_advance(self, hear: Callable[[float], None]) -> None:
        """Call the method *hear* with the seconds of each :meth:`advance`."""
        self._following.append(weakref.WeakMethod(hear))


class _Cookies(Protocol):
    def set(self, name: str, value: str) -> Any: ...


class _Client(Protocol):
    @property
    def cookies(self) -> _Cookies: ...


async def signed_in(client: _Client, auth: Coatcheck, sub: str = "maria", **kwargs: Any) -> SignedIn:
    """
    Sign *sub* in and give the cookie to *client* (httpx, requests, Starlette's ``TestClient``).

    Use an ``https://`` base URL: these clients do not send Secure cookies back over http.
    """
    started: SignedIn = await auth.sign_in(sub, **kwargs)
    client.cookies.set(auth.policy.cookie.name, started.token.reveal())
    return started
