"""Everything about access and refresh tokens that an engine holds. Floor 3; may import: floors 0 to 2."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import Any

from coatcheck.clock import Clock
from coatcheck.errors import CoatcheckError
from coatcheck.fleet.minting import Minting, Verifying
from coatcheck.fleet.refreshing import Refreshing
from coatcheck.stores.base import Stamp, Store

log = logging.getLogger("coatcheck")


class Tokens:
    """
    Minting, verifying, refreshing, and the keys for it.

    Args:
        stamp: Returns the times to give to a write that happens now.
    """

    def __init__(
        self, store: Store, minting: Minting, verifying: Verifying, *, clock: Clock, stamp: Callable[[], Stamp]
    ) -> None:
        self._store = store
        self._clock = clock
        self._stamp = stamp
        self.minting = minting
        self.verifying = verifying
        self.keyring = verifying.keyring
        self.refreshing = Refreshing(store, minting, clock)
        self._mending: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """
        Make the keys that are missing.

        Raises:
            ConfigError: The secret opens none of those that are there, or was declared lost.
        """
        await self.keyring.check()
        loop = asyncio.get_running_loop()
        # Somebody ended everyone's sessions, and the keys with them, who makes no keys. Called from any thread.
        self.minting.on_no_key = functools.partial(loop.call_soon_threadsafe, self._mend)
        await self.upkeep()
        await self.keyring.admit()

    def _mend(self) -> None:
        if self._mending is None or self._mending.done():
            self._mending = asyncio.ensure_future(self._upkeep_quietly())

    async def _upkeep_quietly(self) -> None:
        try:
            await self.upkeep()
            # Another process may have made a key, which this one cannot open.
            await self.keyring.tell_if_lost(self._clock.now())
        except CoatcheckError as error:
            log.warning("no key can sign, and none can be made now", extra={"code": error.code})

    async def upkeep(self) -> None:
        """Let the keys move on, and forget revocations that concern no living token any more."""
        now = self._clock.now()
        await self.keyring.ensure(now=now, stamp=self._stamp())
        self.verifying.revoked.forget(self._clock.elapsed())

    async def rotate(self) -> str:
        """See :meth:`coatcheck.Coatcheck.rotate_keys`."""
        return await self.keyring.rotate(now=self._clock.now(), stamp=self._stamp())

    async def revoke(self, kid: str) -> int:
        """See :meth:`coatcheck.Coatcheck.revoke_key`."""
        return await self.keyring.revoke(kid, now=self._clock.now(), stamp=self._stamp())

    def key_states(self) -> dict[str, str]:
        """See :meth:`coatcheck.Coatcheck.key_states`."""
        self.verifying.watch.is_sure(self._clock.elapsed())
        return self.keyring.keys.states(self._clock.now())

    def jwks(self) -> dict[str, Any]:
        """Return the public keys, as they stand in the store now if that can be told."""
        self.verifying.watch.is_sure(self._clock.elapsed())
        return self.keyring.jwks(self._clock.now())
