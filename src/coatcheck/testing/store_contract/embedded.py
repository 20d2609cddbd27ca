"""What a store inside the process promises besides. Floor 5; may import: floors 0 to 4."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from msgspec.structs import replace

from coatcheck.records import Kind
from coatcheck.stores.base import EmbeddedStore, Seen, Store
from coatcheck.testing.store_contract.making import make_digest, make_key, make_record, make_stamp
from coatcheck.testing.store_contract.playing import Playing


class Embedded(Playing):
    """The pulse, and what is read at once."""

    def make_store(self) -> EmbeddedStore:
        """Return a new, empty store."""
        raise NotImplementedError

    def play_here(self, story: Callable[[EmbeddedStore], Awaitable[None]]) -> None:
        """Run *story* as :meth:`play` does."""
        self.play(cast("Callable[[Store], Awaitable[None]]", story))

    def test_the_store_says_that_it_is_embedded(self) -> None:
        """Its readers look at the pulse and hold no lease."""
        assert self.make_store().is_embedded

    def test_every_change_moves_the_pulse(self) -> None:
        """When the write returns, a reader of the pulse knows that it must look, and finds the change at once."""

        async def story(store: EmbeddedStore) -> None:
            await self.put(store, "a", "b", "c")
            renewed = replace(make_record("a", version=2), digest=make_digest("a2"))
            stamp = make_stamp()

            async def reset() -> int:
                return (await store.reset_keys(stamp=stamp)).position

            writes: list[Callable[[], Awaitable[Any]]] = [
                lambda: store.change_data("a", {"k": 1}, [], limit=99, stamp=stamp),
                lambda: store.renew(make_digest("a"), renewed, generation=None, most=9, stamp=stamp),
                lambda: store.change_claims("maria", {"k": 1}, [], limit=99, stamp=stamp),
                lambda: store.end("b", of=None, kind=Kind.REVOKED, note="", stamp=stamp),
                lambda: store.end("b", of=None, kind=Kind.REVOKED, note="", stamp=stamp),
                lambda: store.end_subject("maria", keep="a", note="", stamp=stamp),
                lambda: store.end_subject("maria", keep="a", note="", stamp=stamp),
                lambda: store.end_client("cli", note="", stamp=stamp),
                lambda: store.add_key(make_key("k"), newest=None, stamp=stamp),
                lambda: store.drop_key("k", stamp=stamp),
                lambda: store.drop_key("k", stamp=stamp),
                reset,
                reset,
                lambda: store.end_everyone(note="", stamp=stamp),
            ]
            for write in writes:
                before = store.pulse[0]
                position = await write()
                assert store.pulse[0] != before
                tail = store.tail_now(0)
                assert tail is not None and tail.head == position and tail == await store.tail(0)

        self.play_here(story)

    def test_what_nobody_can_hold_leaves_the_pulse_alone(self) -> None:
        """A sign-in and activity make nobody look."""

        async def story(store: EmbeddedStore) -> None:
            before = store.pulse[0]
            await self.put(store, "a")
            await store.touch([Seen("a", 0, 5)])
            assert store.pulse[0] == before

        self.play_here(story)

    def test_keys_are_read_at_once(self) -> None:
        """Those that are there now, of this epoch only."""

        async def story(store: EmbeddedStore) -> None:
            assert store.keys_now() == []
            await store.add_key(make_key("a"), newest=None, stamp=make_stamp())
            found = store.keys_now()
            assert found is not None and found == await store.keys() and [row.kid for row in found] == ["a"]
            await store.end_everyone(note="", stamp=make_stamp())
            assert store.keys_now() == []

        self.play_here(story)
