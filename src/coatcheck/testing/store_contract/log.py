"""The change log, and the sweep. Floor 5; may import: floors 0 to 4."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from coatcheck.records import Kind
from coatcheck.stores.base import Seen, Store
from coatcheck.testing.store_contract.making import make_digest, make_record, make_stamp
from coatcheck.testing.store_contract.playing import Playing


class Log(Playing):
    """The change log, and the sweep."""

    def test_sign_in_appends_nothing(self) -> None:
        """Nobody can hold a session before it exists, so its beginning is not announced; nor is activity."""

        async def story(store: Store) -> None:
            await self.put(store, "a")
            await store.touch([Seen("a", 0, 5)])
            assert (await store.tail(0)).head == 0

        self.play(story)

    def test_every_change_is_announced(self) -> None:
        """What somebody may hold in memory changes only with a line in the log, in order."""

        async def story(store: Store) -> None:
            await self.put(store, "a", "b", "c")
            first = (await store.tail(0)).epoch
            renewed = replace(make_record("a", version=2), digest=make_digest("a2"))
            stamp = make_stamp()
            writes: list[Callable[[], Awaitable[Any]]] = [
                lambda: store.change_data("a", {"k": 1}, [], limit=99, stamp=stamp),
                lambda: store.renew(make_digest("a"), renewed, generation=None, most=9, stamp=stamp),
                lambda: store.change_claims("maria", {"k": 1}, [], limit=99, stamp=stamp),
                lambda: store.end("b", of=None, kind=Kind.REVOKED, note="", stamp=stamp),
                lambda: store.end_subject("maria", keep="a", note="", stamp=stamp),
                lambda: store.end_everyone(note="", stamp=stamp),
            ]
            assert [await write() for write in writes] == [1, 2, 5, 6, 7, 8]
            tail = await store.tail(0)
            assert (tail.head, tail.trimmed, tail.epoch) == (8, 0, first + 1)
            told = [(change.position, change.kind, change.sid) for change in tail.changes]
            assert told[:2] == [(1, Kind.DATA, "a"), (2, Kind.RENEWED, "a")]
            assert sorted(told[2:5]) == sorted((at, Kind.CLAIMS, told[at - 1][2]) for at in (3, 4, 5))
            assert {sid for _, _, sid in told[2:5]} == {"a", "b", "c"}
            assert told[5:] == [(6, Kind.REVOKED, "b"), (7, Kind.REVOKED, "c"), (8, Kind.EVERYONE, None)]
            assert [change.position for change in (await store.tail(7)).changes] == [8]

        self.play(story)

    def test_sweep_is_bounded_and_takes_only_what_is_over(self) -> None:
        """Past the absolute end or idle: gone, no more than asked at a time. At its last second a session is over."""

        async def story(store: Store) -> None:
            await self.put(store, "old1", "old2", "old3", idle_s=10)
            await self.put(store, "absolute", expires_at=10)
            await self.put(store, "lives", idle_s=11)
            assert await store.sweep(now=9, limit=2) == 0
            assert [await store.sweep(now=10, limit=2) for _ in range(3)] == [2, 2, 0]
            assert [session.sid for session in await store.load_subject("maria")] == ["lives"]

        self.play(story)

    def test_a_trimmed_log_says_so(self) -> None:
        """The log is trimmed from its old end; a reader that is behind can tell what it missed."""

        async def story(store: Store) -> None:
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
