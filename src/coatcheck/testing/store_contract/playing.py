"""How a test of the contract is played. Floor 5; may import: floors 0 to 4."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from coatcheck.stores.base import Store
from coatcheck.testing.store_contract.making import make_record, make_stamp


class Playing:
    """What all parts of the contract stand on."""

    def make_store(self) -> Store:
        """Return a new, empty store."""
        raise NotImplementedError

    def play(self, story: Callable[[Store], Awaitable[None]]) -> None:
        """Run the coroutine function *story* with a fresh store, in an event loop of its own."""

        async def whole() -> None:
            store = self.make_store()
            await store.open()
            try:
                await story(store)
            finally:
                await store.close()

        asyncio.run(whole())

    async def put(self, store: Store, *names: str, most: int = 100, **fields: Any) -> None:
        """Create one record for each name."""
        for name in names:
            await store.create(make_record(name, **fields), generation=None, most=most, stamp=make_stamp())

    async def sweep_all(self, store: Store, *, now: int) -> None:
        """Sweep until nothing is left to sweep."""
        while await store.sweep(now=now, limit=2):
            pass
