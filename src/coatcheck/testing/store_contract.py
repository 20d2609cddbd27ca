"""
The store contract as tests: inherit :class:`StoreContract`, and your store is tested like ours. Floor 5; may import:
floors 0 to 4.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from coatcheck.errors import AlreadyExists, InvalidInput
from coatcheck.records import Digest, Ended, Kind, Reason, Record, Session
from coatcheck.stores.base import MOVED, EmbeddedStore, Seen, Stamp
from coatcheck.values import decode, decode_frozen, encode


def make_digest(name: str) -> Digest:
    """Return the digest that stands for *name* in a test."""
    return Digest(hashlib.sha256(name.encode()).digest())


def make_record(name: str, *, sub: str | None = "maria", **fields: Any) -> Record:
    """Return a record whose ``sid`` and digest are made of *name*; *fields* are those of the session."""
    defaults: dict[str, Any] = {"created_at": 0, "seen_at": 0, "expires_at": 1000, "idle_s": 100}
    return Record(digest=make_digest(name), session=Session(sid=name, sub=sub, **(defaults | fields)))


def make_stamp(now: int = 0, *, keep_s: int = 1000) -> Stamp:
    """Return a stamp whose traces are kept for *keep_s* seconds."""
    return Stamp(now=now, forget_change=now + keep_s, forget_token=now + keep_s)


class StoreContract:
    """
    What every store promises (:mod:`coatcheck.stores.base`), as tests for pytest.

    A subclass gives :meth:`make_store`; each test gets a fresh, open store, closed at its end.
    """

    def make_store(self) -> EmbeddedStore:
        """Return a new, empty store."""
        raise NotImplementedError

    def play(self, story: Callable[[EmbeddedStore], Awaitable[None]]) -> None:
        """Run the coroutine function *story* with a fresh store, in an event loop of its own."""

        async def whole() -> None:
            store = self.make_store()
            await store.open()
            try:
                await story(store)
            finally:
                await store.close()

        asyncio.run(whole())

    async def put(self, store: EmbeddedStore, *names: str, most: int = 100, **fields: Any) -> None:
        """Create one record for each name."""
        for name in names:
            await store.create(make_record(name, **fields), generation=None, most=most, stamp=make_stamp())

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

        async def story(store: EmbeddedStore) -> None:
            await store.create(record, generation=None, most=9, stamp=make_stamp())
            assert await store.load(record.digest) == record
            assert await store.load_sid("a") == record
            assert await store.load_subject("maria") == [record.session]

        self.play(story)

    def test_unknown_is_an_answer(self) -> None:
        """What was never there is None, or an empty list; not an error."""

        async def story(store: EmbeddedStore) -> None:
            assert await store.load(make_digest("a")) is None
            assert await store.load_sid("a") is None
            assert await store.load_subject("maria") == []
            assert await store.change_data("a", {"k": 1}, [], limit=99, stamp=make_stamp()) is None
            assert await store.touch([Seen("a", 0, 5)]) == ["a"]

        self.play(story)

    def test_create_never_overwrites(self) -> None:
        """Nobody inherits a session: a digest or a sid that exists is refused."""

        async def story(store: EmbeddedStore) -> None:
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

    def test_sign_in_appends_nothing(self) -> None:
        """Nobody can hold a session before it exists, so its beginning is not announced; nor is activity."""

        async def story(store: EmbeddedStore) -> None:
            before = store.pulse[0]
            await self.put(store, "a")
            await store.touch([Seen("a", 0, 5)])
            assert (await store.tail(0)).head == 0
            assert store.pulse[0] == before

        self.play(story)

    def test_every_change_is_announced(self) -> None:
        """What somebody may hold in memory changes only with a line in the log and a new pulse, in order."""

        async def story(store: EmbeddedStore) -> None:
            await self.put(store, "a", "b", "c")
            pulses = [store.pulse[0]]
            renewed = replace(make_record("a", version=2), digest=make_digest("a2"))
            stamp = make_stamp()
            positions = []
            writes: list[Callable[[], Awaitable[Any]]] = [
                lambda: store.change_data("a", {"k": 1}, [], limit=99, stamp=stamp),
                lambda: store.renew(make_digest("a"), renewed, generation=None, most=9, stamp=stamp),
                lambda: store.change_claims("maria", {"k": 1}, [], limit=99, stamp=stamp),
                lambda: store.end("b", of=None, kind=Kind.REVOKED, note="", stamp=stamp),
                lambda: store.end_subject("maria", keep="a", note="", stamp=stamp),
                lambda: store.end_everyone(note="", stamp=stamp),
            ]
            for write in writes:
                positions.append(await write())
                pulses.append(store.pulse[0])
            assert positions == [1, 2, 5, 6, 7, 8]
            assert len(set(pulses)) == 7
            tail = await store.tail(0)
            assert store.tail_now(0) == tail
            assert (tail.head, tail.trimmed, tail.epoch) == (8, 0, 2)
            told = [(change.position, change.kind, change.sid) for change in tail.changes]
            assert told[:2] == [(1, Kind.DATA, "a"), (2, Kind.RENEWED, "a")]
            assert sorted(told[2:5]) == sorted((at, Kind.CLAIMS, told[at - 1][2]) for at in (3, 4, 5))
            assert {sid for _, _, sid in told[2:5]} == {"a", "b", "c"}
            assert told[5:] == [(6, Kind.REVOKED, "b"), (7, Kind.REVOKED, "c"), (8, Kind.EVERYONE, None)]
            assert [change.position for change in (await store.tail(7)).changes] == [8]

        self.play(story)

    def test_ended_is_remembered_for_a_while(self) -> None:
        """The reason outlives the session until its time has come; then the token is merely unknown."""

        async def story(store: EmbeddedStore) -> None:
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

        async def story(store: EmbeddedStore) -> None:
            await self.put(store, "a")
            ends = [
                await store.end(sid, of=of, kind=Kind.REVOKED, note="", stamp=make_stamp())
                for sid, of in (("a", "maria"), ("a", "maria"), ("a", None), ("never", None))
            ]
            assert ends == [1, 2, 3, 4]

        self.play(story)

    def test_only_the_owner_ends(self) -> None:
        """With *of*, another subject's session stays, and so does one that never was; nothing is announced."""

        async def story(store: EmbeddedStore) -> None:
            await self.put(store, "a")
            await self.put(store, "cart", sub=None)
            for sid in ("a", "cart", "never"):
                assert await store.end(sid, of="eve", kind=Kind.REVOKED, note="", stamp=make_stamp()) is None
            assert (await store.tail(0)).head == 0
            assert isinstance(await store.load(make_digest("a")), Record)

        self.play(story)

    def test_renew_moves_the_row_to_the_new_digest(self) -> None:
        """The old digest says *renewed*, the new one opens, and the data in the row stay."""

        async def story(store: EmbeddedStore) -> None:
            await self.put(store, "a")
            await store.change_data("a", {"cart": 1}, [], limit=99, stamp=make_stamp())
            fresh = replace(make_record("a", version=2), digest=make_digest("a2"))
            await store.renew(make_digest("a"), fresh, generation=None, most=9, stamp=make_stamp())
            assert await store.load(make_digest("a")) == Ended(Reason.RENEWED)
            found = await store.load(make_digest("a2"))
            assert isinstance(found, Record) and decode(found.data) == {"cart": 1} and found.session.version == 2

        self.play(story)

    def test_renew_cannot_bring_back(self) -> None:
        """A slow renewal of a session that was ended, renewed or changed meanwhile writes nothing."""

        async def story(store: EmbeddedStore) -> None:
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

        async def story(store: EmbeddedStore) -> None:
            await self.put(store, "a")
            await store.end("a", of=None, kind=Kind.REVOKED, note="", stamp=make_stamp())
            assert await store.change_data("a", {"k": 1}, [], limit=99, stamp=make_stamp()) is None
            await store.change_claims("maria", {"k": 1}, [], limit=99, stamp=make_stamp())
            assert await store.touch([Seen("a", 0, 5)]) == ["a"]
            assert await store.load(make_digest("a")) == Ended(Reason.REVOKED)
            assert await store.load_sid("a") is None

        self.play(story)

    def test_claims_change_in_all_sessions_of_the_subject(self) -> None:
        """Versions rise, other subjects stay as they are, too large a claim changes nothing at all."""

        async def story(store: EmbeddedStore) -> None:
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

        async def story(store: EmbeddedStore) -> None:
            await self.put(store, "a")
            writes = [store.change_data("a", {f"k{n}": n}, [], limit=9999, stamp=make_stamp()) for n in range(50)]
            await asyncio.gather(*writes)
            await store.change_data("a", {"k0": "new"}, ["k1", "k0", "absent"], limit=9999, stamp=make_stamp())
            found = await store.load_sid("a")
            assert found is not None
            expected = {f"k{n}": n for n in range(50) if n != 1} | {"k0": "new"}
            assert decode(found.data) == expected

        self.play(story)

    def test_the_oldest_session_makes_room(self) -> None:
        """At one more than allowed the oldest is ended and announced; other subjects do not count."""

        async def story(store: EmbeddedStore) -> None:
            await self.put(store, "a", "b")
            await self.put(store, "x", sub="bob")
            await self.put(store, "c", most=2)
            assert [session.sid for session in await store.load_subject("maria")] == ["c", "b"]
            assert await store.load(make_digest("a")) == Ended(Reason.REVOKED)
            assert [change.sid for change in (await store.tail(0)).changes] == ["a"]
            assert isinstance(await store.load(make_digest("x")), Record)

        self.play(story)

    def test_sign_in_against_a_moved_generation_adds_nothing(self) -> None:
        """Ending a subject's sessions, changing the claims, or ending everyone's: a sign-in under way is refused."""

        async def story(store: EmbeddedStore) -> None:
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

        async def story(store: EmbeddedStore) -> None:
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

        async def story(store: EmbeddedStore) -> None:
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

    def test_activity_moves_forward_only(self) -> None:
        """A span is taken where it joins what the row says; an older one, and one with a gap before it, are not."""

        async def story(store: EmbeddedStore) -> None:
            await self.put(store, "a")
            assert await store.touch([Seen("a", 0, 50)]) == []
            assert await store.touch([Seen("a", 0, 40)]) == ["a"]
            assert await store.touch([Seen("a", 60, 70)]) == ["a"]
            assert await store.touch([Seen("a", 50, 300)]) == []
            found = await store.load_sid("a")
            assert found is not None and found.session.seen_at == 300

        self.play(story)

    def test_sweep_is_bounded_and_takes_only_what_is_over(self) -> None:
        """Past the absolute end or idle: gone, no more than asked at a time. At its last second a session is over."""

        async def story(store: EmbeddedStore) -> None:
            await self.put(store, "old1", "old2", "old3", idle_s=10)
            await self.put(store, "absolute", expires_at=10)
            await self.put(store, "lives", idle_s=11)
            assert await store.sweep(now=9, limit=2) == 0
            assert [await store.sweep(now=10, limit=2) for _ in range(3)] == [2, 2, 0]
            assert [session.sid for session in await store.load_subject("maria")] == ["lives"]

        self.play(story)

    def test_a_trimmed_log_says_so(self) -> None:
        """The log is trimmed from its old end; a reader that is behind can tell what it missed."""

        async def story(store: EmbeddedStore) -> None:
            for at, keep_s in enumerate((5, 50, 5)):
                stamp = make_stamp(at, keep_s=keep_s)
                await store.end(f"s{at}", of=None, kind=Kind.REVOKED, note="", stamp=stamp)
            await self.sweep_all(store, now=20)
            tail = await store.tail(0)
            # The third is over too, but it stands behind the second: no gap.
            assert (tail.trimmed, tail.head, [change.position for change in tail.changes]) == (1, 3, [2, 3])
            await self.sweep_all(store, now=60)
            tail = await store.tail(3)
            assert (tail.trimmed, tail.head, tail.changes) == (3, 3, ())
            assert await store.end("s9", of=None, kind=Kind.REVOKED, note="", stamp=make_stamp(60)) == 4

        self.play(story)

    async def sweep_all(self, store: EmbeddedStore, *, now: int) -> None:
        """Sweep until nothing is left to sweep."""
        while await store.sweep(now=now, limit=2):
            pass
