"""Signing keys. Floor 5; may import: floors 0 to 4."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from coatcheck.records import Kind
from coatcheck.stores.base import Store
from coatcheck.testing.store_contract.making import make_key, make_stamp
from coatcheck.testing.store_contract.playing import Playing


class Keys(Playing):
    """Signing keys."""

    def test_a_key_comes_out_as_it_went_in(self) -> None:
        """Every field is read back; the store numbers them, and they come in the order of making."""

        async def story(store: Store) -> None:
            epoch = (await store.tail(0)).epoch
            assert await store.keys() == []
            await store.add_key(make_key("z", epoch, signs_from=9, seal_id="s2"), newest=None, stamp=make_stamp())
            await store.add_key(make_key("a", epoch, signs_from=5, seal_id=""), newest="z", stamp=make_stamp())
            rows = await store.keys()
            assert [replace(row, number=0) for row in rows] == [
                make_key("z", epoch, signs_from=9, seal_id="s2"),
                make_key("a", epoch, signs_from=5, seal_id=""),
            ]
            assert 0 < rows[0].number < rows[1].number

        self.play(story)

    def test_a_key_is_added_only_after_the_newest(self) -> None:
        """Of many that add at once after the same key one does; the others write nothing and announce nothing."""

        async def story(store: Store) -> None:
            epoch = (await store.tail(0)).epoch
            adds = [store.add_key(make_key(f"k{n}", epoch), newest=None, stamp=make_stamp()) for n in range(10)]
            assert sorted(await asyncio.gather(*adds), key=str) == [1] + [None] * 9
            (first,) = await store.keys()
            for stale in (None, "another"):
                assert await store.add_key(make_key("late", epoch), newest=stale, stamp=make_stamp()) is None
            assert await store.add_key(make_key("next", epoch), newest=first.kid, stamp=make_stamp()) == 2
            assert await store.add_key(make_key("late", epoch), newest=first.kid, stamp=make_stamp()) is None
            assert [row.kid for row in await store.keys()] == [first.kid, "next"]
            assert (await store.tail(0)).head == 2

        self.play(story)

    def test_the_newest_key_is_the_one_made_last(self) -> None:
        """Not the one that signs last; and when it was dropped, the one before it."""

        async def story(store: Store) -> None:
            epoch = (await store.tail(0)).epoch
            await store.add_key(make_key("far", epoch, signs_from=99), newest=None, stamp=make_stamp())
            await store.add_key(make_key("near", epoch, signs_from=5), newest="far", stamp=make_stamp())
            assert await store.add_key(make_key("x", epoch), newest="far", stamp=make_stamp()) is None
            await store.drop_key("near", stamp=make_stamp())
            assert await store.add_key(make_key("x", epoch), newest="near", stamp=make_stamp()) is None
            assert await store.add_key(make_key("x", epoch), newest="far", stamp=make_stamp()) is not None

        self.play(story)

    def test_a_key_of_another_epoch_is_refused(self) -> None:
        """A key made before everyone's end, and stored after it, would outlive what it was made for."""

        async def story(store: Store) -> None:
            epoch = (await store.tail(0)).epoch
            for other in (epoch - 1, epoch + 1):
                assert await store.add_key(make_key("x", other), newest=None, stamp=make_stamp()) is None
            await store.end_everyone(note="", stamp=make_stamp())
            assert await store.add_key(make_key("x", epoch), newest=None, stamp=make_stamp()) is None
            assert await store.add_key(make_key("x", epoch + 1), newest=None, stamp=make_stamp()) is not None

        self.play(story)

    def test_keys_are_announced(self) -> None:
        """Adding and dropping one each append a line; so does dropping one that is not there."""

        async def story(store: Store) -> None:
            epoch = (await store.tail(0)).epoch
            writes: list[Callable[[], Awaitable[int | None]]] = [
                lambda: store.add_key(make_key("a", epoch), newest=None, stamp=make_stamp()),
                lambda: store.drop_key("a", stamp=make_stamp()),
                lambda: store.drop_key("a", stamp=make_stamp()),
                lambda: store.drop_key("never", stamp=make_stamp()),
            ]
            assert [await write() for write in writes] == [1, 2, 3, 4]
            assert [(change.kind, change.sid) for change in (await store.tail(0)).changes] == [(Kind.KEYS, None)] * 4
            assert await store.keys() == []

        self.play(story)

    def test_keys_end_with_everyones_sessions(self) -> None:
        """What they have signed is worth nothing afterwards, and the next key is the first of its epoch."""

        async def story(store: Store) -> None:
            epoch = (await store.tail(0)).epoch
            await store.add_key(make_key("old", epoch), newest=None, stamp=make_stamp())
            await store.end_everyone(note="", stamp=make_stamp())
            assert await store.keys() == []
            assert await store.add_key(make_key("x", epoch + 1), newest="old", stamp=make_stamp()) is None
            assert await store.add_key(make_key("new", epoch + 1), newest=None, stamp=make_stamp()) is not None
            assert [row.kid for row in await store.keys()] == ["new"]

        self.play(story)
