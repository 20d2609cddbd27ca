"""Secrets that were declared lost. Floor 5; may import: floors 0 to 4."""

from __future__ import annotations

import asyncio

from coatcheck.records import Kind
from coatcheck.stores.base import Reset, Store
from coatcheck.testing.store_contract.making import make_family, make_key, make_stamp
from coatcheck.testing.store_contract.playing import Playing


class Secrets(Playing):
    """Secrets that were declared lost."""

    def test_a_secret_is_admitted_by_who_saw_the_newest_key(self) -> None:
        """Whoever looked before the last key was added looks again. Once more is no mistake; nothing is announced."""

        async def story(store: Store) -> None:
            epoch = (await store.tail(0)).epoch
            assert not await store.admit_secret("s1", newest="never")
            assert await store.admit_secret("s1", newest=None)
            await store.add_key(make_key("a", epoch), newest=None, stamp=make_stamp())
            assert not await store.admit_secret("s1", newest=None)
            assert not await store.admit_secret("s2", newest=None)
            for ident in ("s2", "s2", "s1"):
                assert await store.admit_secret(ident, newest="a")
                assert not await store.is_lost(ident)
            assert (await store.tail(0)).head == 1

        self.play(story)

    def test_a_reset_removes_keys_and_families_in_one_line(self) -> None:
        """Their number is told, and the sessions stay; also when nothing is left to remove."""

        async def story(store: Store) -> None:
            epoch = (await store.tail(0)).epoch
            await self.put(store, "a", "b")
            for name in ("a", "b"):
                assert await store.add_family(make_family(name, name))
            await store.add_key(make_key("k", epoch), newest=None, stamp=make_stamp())
            await store.add_key(make_key("l", epoch), newest="k", stamp=make_stamp())
            for position, families in ((3, 2), (4, 0)):
                assert await store.reset_keys(stamp=make_stamp()) == Reset(position=position, families=families)
                assert await store.keys() == []
                assert await store.family(make_family("a", "a").id) is None
            assert [(change.kind, change.sid) for change in (await store.tail(2)).changes] == [(Kind.KEYS, None)] * 2
            assert await store.load_sid("a") is not None

        self.play(story)

    def test_a_reset_loses_every_secret_that_is_known(self) -> None:
        """Those that were admitted, those that seal keys, those that made families; no other, and not the unnamed."""

        async def story(store: Store) -> None:
            epoch = (await store.tail(0)).epoch
            await self.put(store, "a")
            await store.admit_secret("admitted", newest=None)
            await store.add_key(make_key("k", epoch, seal_id="seals"), newest=None, stamp=make_stamp())
            await store.add_key(make_key("l", epoch, seal_id=""), newest="k", stamp=make_stamp())
            await store.add_family(make_family("f", "a", key_id="makes"))
            known = ("admitted", "seals", "makes")
            assert [await store.is_lost(ident) for ident in known] == [False] * 3
            await store.reset_keys(stamp=make_stamp())
            assert [await store.is_lost(ident) for ident in (*known, "", "new")] == [True] * 3 + [False] * 2
            await store.admit_secret("new", newest=None)
            await store.reset_keys(stamp=make_stamp())
            assert [await store.is_lost(ident) for ident in (*known, "new")] == [True] * 4

        self.play(story)

    def test_a_lost_secret_makes_nothing(self) -> None:
        """No key, no family, and it is not admitted again, whatever comes; nothing is announced. Another does."""

        async def story(store: Store) -> None:
            epoch = (await store.tail(0)).epoch
            await self.put(store, "a")
            await store.admit_secret("s1", newest=None)
            await store.reset_keys(stamp=make_stamp())
            head = (await store.tail(0)).head
            for _ in range(2):
                assert not await store.admit_secret("s1", newest=None)
                assert await store.add_key(make_key("k", epoch), newest=None, stamp=make_stamp()) is None
                assert not await store.add_family(make_family("f", "a"))
                assert (await store.keys(), (await store.tail(0)).head) == ([], head)
                assert await store.family(make_family("f", "a").id) is None
                await self.sweep_all(store, now=99)
            assert await store.admit_secret("s2", newest=None)
            assert await store.add_key(make_key("l", epoch, seal_id="s2"), newest=None, stamp=make_stamp()) is not None
            assert await store.add_family(make_family("f", "a", key_id="s2"))
            assert await store.add_key(make_key("k", epoch), newest="l", stamp=make_stamp()) is None
            await store.end_everyone(note="", stamp=make_stamp())
            assert await store.is_lost("s1") and not await store.is_lost("s2")
            assert await store.add_key(make_key("k", epoch + 1), newest=None, stamp=make_stamp()) is None

        self.play(story)

    def test_a_reset_and_keys_at_once(self) -> None:
        """Whatever comes before the reset is removed by it, whatever comes after is refused."""

        async def story(store: Store) -> None:
            epoch = (await store.tail(0)).epoch
            await self.put(store, "a")
            await store.admit_secret("s1", newest=None)

            async def make(n: int) -> None:
                for _ in range(n):
                    await asyncio.sleep(0)
                newest = [None, *(row.kid for row in await store.keys())][-1]
                await store.add_key(make_key(f"k{n}", epoch), newest=newest, stamp=make_stamp())
                await store.add_family(make_family(f"f{n}", "a"))

            async def reset() -> None:
                await asyncio.sleep(0)
                await store.reset_keys(stamp=make_stamp())

            await asyncio.gather(*(make(n) for n in range(5)), reset(), *(make(n) for n in range(5, 10)))
            assert await store.keys() == []
            assert (await store.reset_keys(stamp=make_stamp())).families == 0

        self.play(story)
