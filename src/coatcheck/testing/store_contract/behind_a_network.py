"""What a store behind a network promises besides. Floor 5; may import: floors 0 to 4."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from coatcheck.records import Kind
from coatcheck.stores.base import FleetStore, Store
from coatcheck.testing.store_contract.making import make_stamp
from coatcheck.testing.store_contract.playing import Playing

_PATIENCE_S = 10.0


class BehindANetwork(Playing):
    """Being told of what others append."""

    def make_store(self) -> FleetStore:
        """Return a new, empty store."""
        raise NotImplementedError

    def play_there(self, story: Callable[[FleetStore], Awaitable[None]]) -> None:
        """Run *story* as :meth:`play` does."""
        self.play(cast("Callable[[Store], Awaitable[None]]", story))

    def test_the_store_says_that_it_is_not_embedded(self) -> None:
        """Its readers hold a lease."""
        assert not self.make_store().is_embedded

    def test_whoever_waits_hears_of_a_change(self) -> None:
        """Each time anew, once it has sent its first beat."""

        async def story(store: FleetStore) -> None:
            await store.join("n1", label="")
            for beat in range(1, 4):
                assert await store.beat("n1", beat=beat, applied=0, epoch=1) is not None
                await store.end("x", of=None, kind=Kind.REVOKED, note="", stamp=make_stamp())
                await asyncio.wait_for(store.pushed(), _PATIENCE_S)

        self.play_there(story)
