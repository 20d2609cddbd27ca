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
from coatcheck.records import ENDED, Digest, Ended, Family, KeyRow, Kind, Node, Reason, Record, Session
from coatcheck.stores.base import MOVED, EmbeddedStore, Reset, Seen, Stamp
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


def make_key(kid: str, *, epoch: int = 1, signs_from: int = 0, seal_id: str = "s1") -> KeyRow:
    """Return a signing key that signs nothing."""
    return KeyRow(
        kid=kid,
        alg="ES256",
        public=b"public",
        sealed=b"sealed " + kid.encode(),
        epoch=epoch,
        published_at=3,
        signs_from=signs_from,
        seal_id=seal_id,
    )


def make_family(name: str, sid: str, **fields: Any) -> Family:
    """Return the first generation of a family whose id is made of *name*."""
    defaults: dict[str, Any] = {
        "client_id": "cli",
        "audiences": ("orders", "bílling"),
        "generation": 1,
        "nonce": make_digest("nonce of " + name),
        "key_id": "s1",
        "rotated_at": 7,
        "expires_at": 1000,
    }
    return Family(id=make_digest(name)[:16], sid=sid, **(defaults | fields))


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

    # --- signing keys ---

    def test_a_key_comes_out_as_it_went_in(self) -> None:
        """Every field is read back, also at once; the store numbers them, and they come in the order of making."""

        async def story(store: EmbeddedStore) -> None:
            assert await store.keys() == [] == store.keys_now()
            await store.add_key(make_key("z", signs_from=9, seal_id="s2"), newest=None, stamp=make_stamp())
            await store.add_key(make_key("a", signs_from=5, seal_id=""), newest="z", stamp=make_stamp())
            rows = await store.keys()
            assert [replace(row, number=0) for row in rows] == [
                make_key("z", signs_from=9, seal_id="s2"),
                make_key("a", signs_from=5, seal_id=""),
            ]
            assert 0 < rows[0].number < rows[1].number
            assert store.keys_now() == rows

        self.play(story)

    def test_a_key_is_added_only_after_the_newest(self) -> None:
        """Of many that add at once after the same key one does; the others write nothing and announce nothing."""

        async def story(store: EmbeddedStore) -> None:
            adds = [store.add_key(make_key(f"k{n}"), newest=None, stamp=make_stamp()) for n in range(10)]
            assert sorted(await asyncio.gather(*adds), key=str) == [1] + [None] * 9
            (first,) = await store.keys()
            for stale in (None, "another"):
                assert await store.add_key(make_key("late"), newest=stale, stamp=make_stamp()) is None
            assert await store.add_key(make_key("next"), newest=first.kid, stamp=make_stamp()) == 2
            assert await store.add_key(make_key("late"), newest=first.kid, stamp=make_stamp()) is None
            assert [row.kid for row in await store.keys()] == [first.kid, "next"]
            assert (await store.tail(0)).head == 2

        self.play(story)

    def test_the_newest_key_is_the_one_made_last(self) -> None:
        """Not the one that signs last; and when it was dropped, the one before it."""

        async def story(store: EmbeddedStore) -> None:
            await store.add_key(make_key("far", signs_from=99), newest=None, stamp=make_stamp())
            await store.add_key(make_key("near", signs_from=5), newest="far", stamp=make_stamp())
            assert await store.add_key(make_key("x"), newest="far", stamp=make_stamp()) is None
            await store.drop_key("near", stamp=make_stamp())
            assert await store.add_key(make_key("x"), newest="near", stamp=make_stamp()) is None
            assert await store.add_key(make_key("x"), newest="far", stamp=make_stamp()) is not None

        self.play(story)

    def test_a_key_of_another_epoch_is_refused(self) -> None:
        """A key made before everyone's end, and stored after it, would outlive what it was made for."""

        async def story(store: EmbeddedStore) -> None:
            for epoch in (0, 2):
                assert await store.add_key(make_key("x", epoch=epoch), newest=None, stamp=make_stamp()) is None
            await store.end_everyone(note="", stamp=make_stamp())
            assert await store.add_key(make_key("x", epoch=1), newest=None, stamp=make_stamp()) is None
            assert await store.add_key(make_key("x", epoch=2), newest=None, stamp=make_stamp()) is not None

        self.play(story)

    def test_keys_are_announced(self) -> None:
        """Adding and dropping one each append a line and move the pulse; so does dropping one that is not there."""

        async def story(store: EmbeddedStore) -> None:
            pulses = [store.pulse[0]]
            writes: list[Callable[[], Awaitable[int | None]]] = [
                lambda: store.add_key(make_key("a"), newest=None, stamp=make_stamp()),
                lambda: store.drop_key("a", stamp=make_stamp()),
                lambda: store.drop_key("a", stamp=make_stamp()),
                lambda: store.drop_key("never", stamp=make_stamp()),
            ]
            for write in writes:
                assert await write() == len(pulses)
                pulses.append(store.pulse[0])
            assert len(set(pulses)) == 5
            assert [(change.kind, change.sid) for change in (await store.tail(0)).changes] == [(Kind.KEYS, None)] * 4
            assert await store.keys() == []

        self.play(story)

    def test_keys_end_with_everyones_sessions(self) -> None:
        """What they have signed is worth nothing afterwards, and the next key is the first of its epoch."""

        async def story(store: EmbeddedStore) -> None:
            await store.add_key(make_key("old"), newest=None, stamp=make_stamp())
            await store.end_everyone(note="", stamp=make_stamp())
            assert await store.keys() == [] == store.keys_now()
            assert await store.add_key(make_key("x", epoch=2), newest="old", stamp=make_stamp()) is None
            assert await store.add_key(make_key("new", epoch=2), newest=None, stamp=make_stamp()) is not None
            assert [row.kid for row in await store.keys()] == ["new"]

        self.play(story)

    # --- secrets ---

    def test_a_secret_is_admitted_by_who_saw_the_newest_key(self) -> None:
        """Whoever looked before the last key was added looks again. Once more is no mistake; nothing is announced."""

        async def story(store: EmbeddedStore) -> None:
            assert not await store.admit_secret("s1", newest="never")
            assert await store.admit_secret("s1", newest=None)
            await store.add_key(make_key("a"), newest=None, stamp=make_stamp())
            assert not await store.admit_secret("s1", newest=None)
            assert not await store.admit_secret("s2", newest=None)
            for ident in ("s2", "s2", "s1"):
                assert await store.admit_secret(ident, newest="a")
                assert not await store.is_lost(ident)
            assert (await store.tail(0)).head == 1

        self.play(story)

    def test_a_reset_removes_keys_and_families_in_one_line(self) -> None:
        """Their number is told, readers look at the log, and the sessions stay; also when nothing is left to remove."""

        async def story(store: EmbeddedStore) -> None:
            await self.put(store, "a", "b")
            for name in ("a", "b"):
                assert await store.add_family(make_family(name, name))
            await store.add_key(make_key("k"), newest=None, stamp=make_stamp())
            await store.add_key(make_key("l"), newest="k", stamp=make_stamp())
            pulses = [store.pulse[0]]
            for position, families in ((3, 2), (4, 0)):
                assert await store.reset_keys(stamp=make_stamp()) == Reset(position=position, families=families)
                pulses.append(store.pulse[0])
                assert await store.keys() == [] == store.keys_now()
                assert await store.family(make_family("a", "a").id) is None
            assert len(set(pulses)) == 3
            assert [(change.kind, change.sid) for change in (await store.tail(2)).changes] == [(Kind.KEYS, None)] * 2
            assert await store.load_sid("a") is not None

        self.play(story)

    def test_a_reset_loses_every_secret_that_is_known(self) -> None:
        """Those that were admitted, those that seal keys, those that made families; no other, and not the unnamed."""

        async def story(store: EmbeddedStore) -> None:
            await self.put(store, "a")
            await store.admit_secret("admitted", newest=None)
            await store.add_key(make_key("k", seal_id="seals"), newest=None, stamp=make_stamp())
            await store.add_key(make_key("l", seal_id=""), newest="k", stamp=make_stamp())
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

        async def story(store: EmbeddedStore) -> None:
            await self.put(store, "a")
            await store.admit_secret("s1", newest=None)
            await store.reset_keys(stamp=make_stamp())
            head = (await store.tail(0)).head
            for _ in range(2):
                assert not await store.admit_secret("s1", newest=None)
                assert await store.add_key(make_key("k"), newest=None, stamp=make_stamp()) is None
                assert not await store.add_family(make_family("f", "a"))
                assert (await store.keys(), (await store.tail(0)).head) == ([], head)
                assert await store.family(make_family("f", "a").id) is None
                await self.sweep_all(store, now=99)
            assert await store.admit_secret("s2", newest=None)
            assert await store.add_key(make_key("l", seal_id="s2"), newest=None, stamp=make_stamp()) is not None
            assert await store.add_family(make_family("f", "a", key_id="s2"))
            assert await store.add_key(make_key("k"), newest="l", stamp=make_stamp()) is None
            await store.end_everyone(note="", stamp=make_stamp())
            assert await store.is_lost("s1") and not await store.is_lost("s2")
            assert await store.add_key(make_key("k", epoch=2), newest=None, stamp=make_stamp()) is None

        self.play(story)

    def test_a_reset_and_keys_at_once(self) -> None:
        """Whatever comes before the reset is removed by it, whatever comes after is refused."""

        async def story(store: EmbeddedStore) -> None:
            await self.put(store, "a")
            await store.admit_secret("s1", newest=None)

            async def make(n: int) -> None:
                for _ in range(n):
                    await asyncio.sleep(0)
                newest = [None, *(row.kid for row in await store.keys())][-1]
                await store.add_key(make_key(f"k{n}"), newest=newest, stamp=make_stamp())
                await store.add_family(make_family(f"f{n}", "a"))

            async def reset() -> None:
                await asyncio.sleep(0)
                await store.reset_keys(stamp=make_stamp())

            await asyncio.gather(*(make(n) for n in range(5)), reset(), *(make(n) for n in range(5, 10)))
            assert await store.keys() == []
            assert (await store.reset_keys(stamp=make_stamp())).families == 0

        self.play(story)

    # --- refresh tokens ---

    def test_a_family_comes_out_as_it_went_in(self) -> None:
        """Every field is read back; nothing is announced, since memory holds no families."""

        async def story(store: EmbeddedStore) -> None:
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

        async def story(store: EmbeddedStore) -> None:
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

        async def story(store: EmbeddedStore) -> None:
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

        async def story(store: EmbeddedStore) -> None:
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

        async def story(store: EmbeddedStore) -> None:
            await self.put(store, "a")
            await store.add_family(make_family("f", "a"))
            renewed = replace(make_record("a", version=2), digest=make_digest("a2"))
            await store.renew(make_digest("a"), renewed, generation=None, most=9, stamp=make_stamp())
            assert await store.family(make_family("f", "a").id) == make_family("f", "a")

        self.play(story)

    def test_what_is_a_clients_ends_with_it(self) -> None:
        """Its families, the sessions they own; another session of its goes on with a higher version, and no more."""

        async def story(store: EmbeddedStore) -> None:
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
            pulse, generation, head = store.pulse[0], await store.generation("maria"), (await store.tail(0)).head
            before = await store.load_sid("shared")
            assert before is not None
            assert await store.end_client("cli", note="", stamp=make_stamp()) == head + 2
            assert store.pulse[0] != pulse
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
        """Nothing is named, and yet readers look at the log: somebody else may have ended it and not told them yet."""

        async def story(store: EmbeddedStore) -> None:
            await self.put(store, "a", "b")
            await store.add_family(make_family("f", "a", owns_session=True))
            await store.add_family(make_family("g", "b", client_id="app", owns_session=True))
            await store.end("a", of=None, kind=Kind.REVOKED, note="", stamp=make_stamp())
            for client in ("cli", "cli", "never"):
                pulse = store.pulse[0]
                assert await store.end_client(client, note="", stamp=make_stamp()) == 1
                assert store.pulse[0] != pulse
            await store.end_everyone(note="", stamp=make_stamp())
            assert await store.end_client("app", note="", stamp=make_stamp()) == 2

        self.play(story)

    def test_a_renewal_that_a_clients_end_overtakes(self) -> None:
        """It was made of the version before: nothing is written, and whoever renews looks again."""

        async def story(store: EmbeddedStore) -> None:
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

        async def story(store: EmbeddedStore) -> None:
            await self.put(store, "a", expires_at=2000, idle_s=2000)
            for n in range(3):
                await store.add_family(make_family(f"f{n}", "a", expires_at=50))
            await store.add_family(make_family("lives", "a", expires_at=51))
            assert await store.sweep(now=49, limit=2) == 0
            assert [await store.sweep(now=50, limit=2) for _ in range(3)] == [2, 1, 0]
            assert await store.family(make_family("f0", "a").id) is None
            assert await store.family(make_family("lives", "a").id) is not None

        self.play(story)

    # --- nodes ---

    def test_a_node_is_what_it_said(self) -> None:
        """It joins knowing nothing; from then on its row says what its last beat said, and nothing else moves it."""

        async def story(store: EmbeddedStore) -> None:
            assert (await store.nodes()).rows == ()
            assert await store.join("n1", label="host 1") > 0
            await store.end("x", of=None, kind=Kind.REVOKED, note="", stamp=make_stamp())
            nodes = await store.nodes()
            assert nodes.rows == (Node(id="n1", label="host 1", beat=0, applied=0, epoch=0),)
            assert (nodes.head, nodes.epoch) == (1, (await store.tail(0)).epoch)
            assert await store.beat("n1", beat=7, applied=1, epoch=1) == await store.tail(1)
            assert (await store.nodes()).rows == (Node(id="n1", label="host 1", beat=7, applied=1, epoch=1),)

        self.play(story)

    def test_a_late_join_acknowledges_nothing(self) -> None:
        """A join that arrives again says 0, whatever the head is by then."""

        async def story(store: EmbeddedStore) -> None:
            await store.join("n1", label="")
            await store.end("x", of=None, kind=Kind.REVOKED, note="", stamp=make_stamp())
            await store.beat("n1", beat=1, applied=1, epoch=1)
            await store.join("n1", label="")
            assert [(row.beat, row.applied, row.epoch) for row in (await store.nodes()).rows] == [(0, 0, 0)]

        self.play(story)

    def test_a_node_without_a_row_is_told(self) -> None:
        """Its beat brings nothing into being; it must join anew."""

        async def story(store: EmbeddedStore) -> None:
            assert await store.beat("n1", beat=1, applied=0, epoch=0) is None
            assert (await store.nodes()).rows == ()
            await store.join("n1", label="")
            await store.leave("n1")
            await store.leave("n1")
            assert await store.beat("n1", beat=1, applied=0, epoch=0) is None

        self.play(story)

    def test_a_row_is_dropped_only_while_it_stands_still(self) -> None:
        """One that moved since it was looked at stays."""

        async def story(store: EmbeddedStore) -> None:
            for name in ("n1", "n2"):
                await store.join(name, label="")
            await store.beat("n1", beat=1, applied=0, epoch=0)
            assert not await store.drop_node("n1", beat=0)
            assert await store.drop_node("n1", beat=1)
            assert not await store.drop_node("n1", beat=1)
            assert [row.id for row in (await store.nodes()).rows] == ["n2"]

        self.play(story)

    async def sweep_all(self, store: EmbeddedStore, *, now: int) -> None:
        """Sweep until nothing is left to sweep."""
        while await store.sweep(now=now, limit=2):
            pass
