"""Refresh tokens. Floor 5; may import: floors 0 to 4."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from coatcheck.records import ENDED, Ended, Kind, Reason
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
            owner = make_family("owner", "a", client_id="app", owns_session=True)
            assert await store.add_family(owner)
            assert await store.family(owner.id) == owner
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

    def test_what_is_a_clients_ends_with_it(self) -> None:
        """Its families, the sessions they own; another session of its goes on with a higher version, and no more."""

        async def story(store: Store) -> None:
            await self.put(store, "own", "shared", "others")
            await store.change_data("shared", {"k": 1}, [], limit=99, stamp=make_stamp())
            for family in (
                make_family("f1", "own", owns_session=True),
                make_family("f2", "own"),
                make_family("f3", "shared"),
                make_family("f4", "shared"),
                make_family("f5", "shared", client_id="app"),
                make_family("f6", "others", client_id="app", owns_session=True),
            ):
                assert await store.add_family(family)
            generation, head = await store.generation("maria"), (await store.tail(0)).head
            before = await store.load_sid("shared")
            assert before is not None
            assert await store.end_client("cli", note="", stamp=make_stamp()) == head + 2
            told = {(change.kind, change.sid, change.version) for change in (await store.tail(head)).changes}
            assert told == {(Kind.REVOKED, "own", ENDED), (Kind.CLAIMS, "shared", 2)}
            assert await store.load(make_digest("own")) == Ended(Reason.REVOKED)
            after = replace(before, session=replace(before.session, version=2))
            assert await store.load(make_digest("shared")) == await store.load_sid("shared") == after
            assert await store.load_sid("others") == make_record("others")
            assert await store.generation("maria") == generation
            left = [await store.family(make_family(f"f{n}", "").id) is not None for n in range(1, 7)]
            assert left == [False] * 4 + [True] * 2
            assert not await store.rotate_family(make_family("f3", "").id, generation=1, now=8)
            assert (await store.end("own", of="maria", kind=Kind.REVOKED, note="", stamp=make_stamp())) is not None

        self.play(story)

    def test_ending_a_client_that_has_nothing(self) -> None:
        """Nothing is named; the head is told, since somebody else may have ended it and still be waiting."""

        async def story(store: Store) -> None:
            await self.put(store, "a", "b")
            await store.add_family(make_family("f", "a", owns_session=True))
            await store.add_family(make_family("g", "b", client_id="app", owns_session=True))
            await store.end("a", of=None, kind=Kind.REVOKED, note="", stamp=make_stamp())
            for client in ("cli", "cli", "never"):
                assert await store.end_client(client, note="", stamp=make_stamp()) == 1
            await store.end_everyone(note="", stamp=make_stamp())
            assert await store.end_client("app", note="", stamp=make_stamp()) == 2

        self.play(story)

    def test_a_renewal_that_a_clients_end_overtakes(self) -> None:
        """It was made of the version before: nothing is written, and whoever renews looks again."""

        async def story(store: Store) -> None:
            await self.put(store, "a")
            await store.add_family(make_family("f", "a"))
            renewed = replace(make_record("a", version=2), digest=make_digest("a2"))
            await store.end_client("cli", note="", stamp=make_stamp())
            assert await store.renew(make_digest("a"), renewed, generation=None, most=9, stamp=make_stamp()) is None
            renewed = replace(renewed, session=replace(renewed.session, version=3))
            assert await store.renew(make_digest("a"), renewed, generation=None, most=9, stamp=make_stamp()) is not None

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
