"""Everything about access and refresh tokens that an engine holds. Floor 3; may import: floors 0 to 2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coatcheck.clock import Clock
from coatcheck.fleet.minting import Minting, Verifying
from coatcheck.fleet.refreshing import Refreshing
from coatcheck.stores.base import Stamp, Store


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

    async def open(self) -> None:
        """
        Make the keys that are missing.

        Raises:
            ConfigError: The secret opens none of those that are there.
        """
        self.keyring.load(await self._store.keys())
        self.keyring.check()
        await self.upkeep()

    async def upkeep(self) -> None:
        """Let the keys move on, and forget revocations that concern no living token any more."""
        now = self._clock.now()
        await self.keyring.ensure(now=now, stamp=self._stamp())
        self.verifying.revoked.forget(now)

    async def rotate(self) -> str:
        """See :meth:`coatcheck.Coatcheck.rotate_keys`."""
        return await self.keyring.rotate(now=self._clock.now(), stamp=self._stamp())

    async def revoke(self, kid: str) -> int:
        """See :meth:`coatcheck.Coatcheck.revoke_key`."""
        position = await self._store.drop_key(kid, stamp=self._stamp())
        await self.upkeep()
        return position

    def jwks(self) -> dict[str, Any]:
        """Return the public keys, as they stand in the store now if that can be told."""
        self.verifying.watch.is_sure(self._clock.elapsed())
        return self.keyring.jwks(self._clock.now())
