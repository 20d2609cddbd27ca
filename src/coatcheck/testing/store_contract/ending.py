"""Sessions end, and nothing brings them back. Floor 5; may import: floors 0 to 4."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from coatcheck.records import Ended, Kind, Reason, Record
from coatcheck.stores.base import MOVED, Seen, Store
from coatcheck.testing.store_contract.making import make_digest, make_record, make_stamp
from coatcheck.testing.store_contract.playing import Playing


class Ending(Playing):
    """Sessions end, and nothing brings them back."""

    def test_ended_is_remembered_for_a_while(self) -> None:
        """The reason outlives the session until its time has come; then the token is merely unknown."""

        async def story(store: Store) -> None:
            await self.put(store, "a")
            await store.end("a", of=None, kind=Kind.REVOKED, note="lost phone", stamp=make_stamp(5, keep_s=10))
            assert await store.load(make_digest("a")) == Ended(Reason.REVOKED)
            assert await store.load_sid("a") is None
            await self.sweep_all(store, now=14)
            assert await store.load(make_digest("a")) == Ended(Reason.REVOKED)
            await self.sweep_all(store, now=15)
            assert await store.load(make_digest("a")) is None

        self.play(story)

    def test_ending_again_appends_again(self) -> None:
        """Ending what is ended, or was never there, gives a position to wait for: an earlier call may still wait."""

        async def story(store: Store) -> None:
            await self.put(store, "a")
            ends = [
                await store.end(sid, of=of, kind=Kind.REVOKED, note="", stamp=make_stamp())
                for sid, of in (("a", "maria"), ("a", "maria"), ("a", None), ("never", None))
            ]
            assert ends == [1, 2, 3, 4]

        self.play(story)

    def test_only_the_owner_ends(self) -> None:
        """With *of*, another subject's session stays, and so does one that never was; nothing is announced."""

        async def story(store: Store) -> None:
            await self.put(store, "a")
            await self.put(store, "cart", sub=None)
            for sid in ("a", "cart", "never"):
                assert await store.end(sid, of="eve", kind=Kind.REVOKED, note="", stamp=make_stamp()) is None
            assert (await store.tail(0)).head == 0
            assert isinstance(await store.load(make_digest("a")), Record)

        self.play(story)

    def test_renew_cannot_bring_back(self) -> None:
        """A slow renewal of a session that was ended, renewed or changed meanwhile writes nothing."""

        async def story(store: Store) -> None:
            await self.put(store, "ended", "renewed", "changed", sub="x")
            await store.end("ended", of=None, kind=Kind.REVOKED, note="", stamp=make_stamp())
            first = replace(make_record("renewed", sub="x", version=2), digest=make_digest("first"))
            await store.renew(make_digest("renewed"), first, generation=None, most=9, stamp=make_stamp())
            await store.change_claims("x", {"k": 1}, [], limit=99, stamp=make_stamp())
            head = (await store.tail(0)).head
            for name in ("ended", "renewed", "changed"):
                late = replace(make_record(name, sub="x", version=2), digest=make_digest("late " + name))
                args = make_digest(name), late
                assert await store.renew(*args, generation=None, most=9, stamp=make_stamp()) is None
                assert await store.load(late.digest) is None
            assert (await store.tail(0)).head == head

        self.play(story)

    def test_no_write_brings_back_what_was_ended(self) -> None:
        """Data, claims and activity of an ended session go nowhere."""

        async def story(store: Store) -> None:
            await self.put(store, "a")
            await store.end("a", of=None, kind=Kind.REVOKED, note="", stamp=make_stamp())
            assert await store.change_data("a", {"k": 1}, [], limit=99, stamp=make_stamp()) is None
            await store.change_claims("maria", {"k": 1}, [], limit=99, stamp=make_stamp())
            assert await store.touch([Seen("a", 0, 5)]) == ["a"]
            assert await store.load(make_digest("a")) == Ended(Reason.REVOKED)
            assert await store.load_sid("a") is None

        self.play(story)

    def test_the_oldest_session_makes_room(self) -> None:
        """At one more than allowed the oldest is ended and announced; other subjects do not count."""

        async def story(store: Store) -> None:
            await self.put(store, "a", "b")
            await self.put(store, "x", sub="bob")
            made = make_record("c")
            assert await store.create(made, generation=None, most=2, stamp=make_stamp()) == (await store.tail(0)).head
            assert await store.create(make_record("y", sub="eve"), generation=None, most=2, stamp=make_stamp()) is None
            assert [session.sid for session in await store.load_subject("maria")] == ["c", "b"]
            assert await store.load(make_digest("a")) == Ended(Reason.REVOKED)
            assert [change.sid for change in (await store.tail(0)).changes] == ["a"]
            assert isinstance(await store.load(make_digest("x")), Record)

        self.play(story)

    def test_sign_in_against_a_moved_generation_adds_nothing(self) -> None:
        """Ending a subject's sessions, changing the claims, or ending everyone's: a sign-in under way is refused."""

        async def story(store: Store) -> None:
            async def late(sub: str, generation: int) -> object:
                return await store.create(
                    make_record(f"{sub}{generation}", sub=sub), generation=generation, most=9, stamp=make_stamp()
                )

            ends: list[Callable[[], Awaitable[int]]] = [
                lambda: store.end_subject("maria", keep=None, note="", stamp=make_stamp()),
                lambda: store.change_claims("maria", {}, [], limit=99, stamp=make_stamp()),
                lambda: store.end_everyone(note="", stamp=make_stamp()),
            ]
            for end in ends:
                before = await store.generation("maria")
                await end()
                assert await late("maria", before) == MOVED
                assert await store.generation("maria") > before
            assert await store.load_subject("maria") == []
            assert await late("bob", await store.generation("bob")) != MOVED

        self.play(story)

    def test_a_subjects_end_keeps_one(self) -> None:
        """*keep* stays, the others end, and *keep* saves nobody else's session."""

        async def story(store: Store) -> None:
            await self.put(store, "a", "b", "c")
            await self.put(store, "x", sub="bob")
            await store.end_subject("maria", keep="b", note="", stamp=make_stamp())
            assert [session.sid for session in await store.load_subject("maria")] == ["b"]
            await store.end_subject("maria", keep="x", note="", stamp=make_stamp())
            assert await store.load_subject("maria") == []
            assert isinstance(await store.load(make_digest("x")), Record)

        self.play(story)

    def test_everyones_end(self) -> None:
        """Nothing from before opens anything, whatever is swept; what begins afterwards lives."""

        async def story(store: Store) -> None:
            await self.put(store, "a", "b")
            await store.end_everyone(note="", stamp=make_stamp())
            for name in ("a", "b"):
                assert await store.load(make_digest(name)) == Ended(Reason.REVOKED)
                assert await store.load_sid(name) is None
                assert await store.change_data(name, {"k": 1}, [], limit=99, stamp=make_stamp()) is None
            assert await store.load_subject("maria") == []
            await self.sweep_all(store, now=0)
            await self.put(store, "later")
            assert [session.sid for session in await store.load_subject("maria")] == ["later"]
            assert isinstance(await store.load(make_digest("later")), Record)
            assert not isinstance(await store.load(make_digest("a")), Record)

        self.play(story)
