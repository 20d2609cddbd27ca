"""Refresh tokens. Floor 5; may import: floors 0 to 4."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from coatcheck.records import Kind
from coatcheck.stores.base import Store
from coatcheck.testing.store_contract.making import make_digest, make_family, make_record, make_stamp
from coatcheck.testing.store_contract.playing import Playing


class Families(Playing):
    """Refresh tokens."""

    def test_a_family_comes_out_as_it_went_in(self) -> None:
        """Every field is read back; nothing is announced, since memory holds no families."""

        async def story(store: Store) -> None:
            await self.put(store, "a")
            family = make_family("f", "a")
            assert await store.family(family.id) is None
            assert await store.add_family(family)
            assert await store.family(family.id) == family
            assert await store.family(make_family("other", "a").id) is None
            assert (await store.tail(0)).head == 0

        self.play(story)

    def test_a_family_needs_a_live_session(self) -> None:
        """One that never was, was ended alone, with its subject's, or with everyone's, gets none."""

        async def story(store: Store) -> None:
            assert not await store.add_family(make_family("f", "never"))
            await self.put(store, "a", "b", "c")
            await store.end("a", of=None, kind=Kind.REVOKED, note="", stamp=make_stamp())
            assert not await store.add_family(make_family("f", "a"))
            await store.end_subject("maria", keep="c", note="", stamp=make_stamp())
            assert not await store.add_family(make_family("f", "b"))
            await store.end_everyone(note="", stamp=make_stamp())
            assert not await store.add_family(make_family("f", "c"))
            assert await store.family(make_family("f", "c").id) is None
            assert (await store.reset_keys(stamp=make_stamp())).families == 0

        self.play(story)

    def test_of_many_rotations_one_happens(self) -> None:
        """Ten at once from one generation: one is done. Another generation, or another family: nothing is written."""

        async def story(store: Store) -> None:
            await self.put(store, "a")
            family = make_family("f", "a")
            await store.add_family(family)
            done = await asyncio.gather(*(store.rotate_family(family.id, generation=1, now=20 + n) for n in range(10)))
            assert sorted(done) == [False] * 9 + [True]
            found = await store.family(family.id)
            assert found == replace(family, generation=2, rotated_at=20 + done.index(True))
            for generation in (0, 1, 3):
                assert not await store.rotate_family(family.id, generation=generation, now=50)
            assert not await store.rotate_family(make_digest("x")[:16], generation=2, now=50)
            assert await store.family(family.id) == found

        self.play(story)

    def test_families_end_with_their_session(self) -> None:
        """Whatever ends it: they are not found, and do not rotate, before any sweep."""

        async def story(store: Store) -> None:
            await self.put(store, "a", "b", "c", "d")
            families = {name: make_family(name, name) for name in ("a", "b", "c", "d")}
            for family in families.values():
                assert await store.add_family(family)
            ends: dict[str, Callable[[], Awaitable[Any]]] = {
                "a": lambda: store.end("a", of=None, kind=Kind.REVOKED, note="", stamp=make_stamp()),
                "b": lambda: store.create(make_record("new"), generation=None, most=3, stamp=make_stamp()),
                "c": lambda: store.end_subject("maria", keep="d", note="", stamp=make_stamp()),
                "d": lambda: store.end_everyone(note="", stamp=make_stamp()),
            }
            for name, end in ends.items():
                assert await store.family(families[name].id) is not None
                await end()
                assert await store.family(families[name].id) is None
                assert not await store.rotate_family(families[name].id, generation=1, now=8)

        self.play(story)

    def test_a_renewed_session_keeps_its_families(self) -> None:
        """It is the same session under a new token."""

        async def story(store: Store) -> None:
            await self.put(store, "a")
            await store.add_family(make_family("f", "a"))
            renewed = replace(make_record("a", version=2), digest=make_digest("a2"))
            await store.renew(make_digest("a"), renewed, generation=None, most=9, stamp=make_stamp())
            assert await store.family(make_family("f", "a").id) == make_family("f", "a")

        self.play(story)

    def test_families_are_swept_at_their_end(self) -> None:
        """From the second they expire at, never before, and no more than asked at a time."""

        async def story(store: Store) -> None:
            await self.put(store, "a", expires_at=2000, idle_s=2000)
            for n in range(3):
                await store.add_family(make_family(f"f{n}", "a", expires_at=50))
            await store.add_family(make_family("lives", "a", expires_at=51))
            assert await store.sweep(now=49, limit=2) == 0
            assert [await store.sweep(now=50, limit=2) for _ in range(3)] == [2, 1, 0]
            assert await store.family(make_family("f0", "a").id) is None
            assert await store.family(make_family("lives", "a").id) is not None

        self.play(story)
