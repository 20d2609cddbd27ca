"""Sessions come, change and are read back. Floor 5; may import: floors 0 to 4."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from coatcheck.errors import AlreadyExists, InvalidInput
from coatcheck.records import Ended, Reason, Record
from coatcheck.stores.base import Seen, Store
from coatcheck.testing.store_contract.making import make_digest, make_record, make_stamp
from coatcheck.testing.store_contract.playing import Playing
from coatcheck.values import decode, decode_frozen, encode


class Sessions(Playing):
    """Sessions come, change and are read back."""

    def test_what_goes_in_comes_out(self) -> None:
        """A record is read back equal, by its digest and by its sid, with every field it had."""
        record = make_record(
            "a",
            claims=decode_frozen(encode({"roles": ["admin"], "name": "Märia"})),
            amr=("pwd", "otp"),
            auth_time=7,
            persistent=False,
            version=3,
        )
        record = replace(record, data=encode({"cart": [1, None, {"é": 1.5}]}))

        async def story(store: Store) -> None:
            await store.create(record, generation=None, most=9, stamp=make_stamp())
            assert await store.load(record.digest) == record
            assert await store.load_sid("a") == record
            assert await store.load_subject("maria") == [record.session]

        self.play(story)

    def test_unknown_is_an_answer(self) -> None:
        """What was never there is None, or an empty list; not an error."""

        async def story(store: Store) -> None:
            assert await store.load(make_digest("a")) is None
            assert await store.load_sid("a") is None
            assert await store.load_subject("maria") == []
            assert await store.change_data("a", {"k": 1}, [], limit=99, stamp=make_stamp()) is None
            assert await store.touch([Seen("a", 0, 5)]) == ["a"]

        self.play(story)

    def test_create_never_overwrites(self) -> None:
        """Nobody inherits a session: a digest or a sid that exists is refused."""

        async def story(store: Store) -> None:
            await self.put(store, "a")
            twin = replace(make_record("b"), digest=make_digest("a"))
            for record in (make_record("a", sub="eve"), twin):
                try:
                    await store.create(record, generation=None, most=9, stamp=make_stamp())
                except AlreadyExists:
                    continue
                raise AssertionError("an existing session was overwritten")
            found = await store.load(make_digest("a"))
            assert isinstance(found, Record) and found.session.sub == "maria" and found.session.sid == "a"

        self.play(story)

    def test_renew_moves_the_row_to_the_new_digest(self) -> None:
        """The old digest says *renewed*, the new one opens, and the data in the row stay."""

        async def story(store: Store) -> None:
            await self.put(store, "a")
            await store.change_data("a", {"cart": 1}, [], limit=99, stamp=make_stamp())
            fresh = replace(make_record("a", version=2), digest=make_digest("a2"))
            await store.renew(make_digest("a"), fresh, generation=None, most=9, stamp=make_stamp())
            assert await store.load(make_digest("a")) == Ended(Reason.RENEWED)
            found = await store.load(make_digest("a2"))
            assert isinstance(found, Record) and decode(found.data) == {"cart": 1} and found.session.version == 2

        self.play(story)

    def test_claims_change_in_all_sessions_of_the_subject(self) -> None:
        """Versions rise, other subjects stay as they are, too large a claim changes nothing at all."""

        async def story(store: Store) -> None:
            await self.put(store, "a", "b", claims=decode_frozen(b'{"roles":["admin"],"name":"M"}'))
            await self.put(store, "other", sub="bob")
            await store.change_claims("maria", {"roles": []}, ["name"], limit=99, stamp=make_stamp())
            for session in await store.load_subject("maria"):
                assert (session.claims, session.version) == ({"roles": []}, 2)
            assert (await store.load_subject("bob"))[0].version == 1
            try:
                await store.change_claims("maria", {"big": "x" * 99}, [], limit=99, stamp=make_stamp())
            except InvalidInput as error:
                assert "big" in str(error)
            else:
                raise AssertionError("claims past the limit were taken")
            assert {session.version for session in await store.load_subject("maria")} == {2}

        self.play(story)

    def test_parallel_changes_of_other_keys_survive(self) -> None:
        """Fifty requests that each set a key of their own: fifty keys."""

        async def story(store: Store) -> None:
            await self.put(store, "a")
            writes = [store.change_data("a", {f"k{n}": n}, [], limit=9999, stamp=make_stamp()) for n in range(50)]
            await asyncio.gather(*writes)
            await store.change_data("a", {"k0": "new"}, ["k1", "k0", "absent"], limit=9999, stamp=make_stamp())
            found = await store.load_sid("a")
            assert found is not None
            expected = {f"k{n}": n for n in range(50) if n != 1} | {"k0": "new"}
            assert decode(found.data) == expected

        self.play(story)

    def test_activity_moves_forward_only(self) -> None:
        """A span is taken where it joins what the row says; an older one, and one with a gap before it, are not."""

        async def story(store: Store) -> None:
            await self.put(store, "a")
            assert await store.touch([Seen("a", 0, 50)]) == []
            assert await store.touch([Seen("a", 0, 40)]) == ["a"]
            assert await store.touch([Seen("a", 60, 70)]) == ["a"]
            assert await store.touch([Seen("a", 50, 300)]) == []
            found = await store.load_sid("a")
            assert found is not None and found.session.seen_at == 300

        self.play(story)
