"""What limits promise. Floor 6; may import: floors 0 to 2."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from coatcheck.server.database.base import Bucket, Database
from coatcheck.server.database.contract._play import Play


class Limits(Play):
    """Tests of limits."""

    def test_some_are_free_and_then_it_slows_down(self) -> None:
        """Each failure counts for its span; what is refused counts nothing."""
        bucket = Bucket("name:x", free=3, span_s=900, pace_s=30)

        async def story(database: Database) -> None:
            assert [await database.begin_try([bucket], now=100) for _ in range(3)] == [0, 0, 0]
            assert await database.begin_try([bucket], now=100) == 30
            assert await database.begin_try([bucket], now=129) == 1
            assert await database.begin_try([bucket], now=130) == 0
            assert await database.begin_try([bucket], now=130) == 30
            assert await database.begin_try([bucket], now=20) == 30, "never above the pace, whatever the clock does"
            assert await database.begin_try([bucket], now=1029) == 0
            assert await database.begin_try([bucket], now=1030) == 0, "the three at 100 are past, the one at 130 too"
            assert await database.begin_try([replace(bucket, key="name:y")], now=130) == 0

        self.play(story)

    def test_one_full_count_is_enough(self) -> None:
        """Then none of the others counts."""
        small, large = Bucket("a", free=1, span_s=900, pace_s=30), Bucket("b", free=2, span_s=900, pace_s=5)

        async def story(database: Database) -> None:
            assert await database.begin_try([small, large], now=100) == 0
            assert [await database.begin_try([small, large], now=100) for _ in range(5)] == [30] * 5
            assert await database.begin_try([large], now=100) == 0
            assert await database.begin_try([large], now=100) == 5
            assert await database.begin_try([], now=100) == 0

        self.play(story)

    def test_many_at_once_are_counted_as_many(self) -> None:
        """Over two processes, and whichever count stands first."""
        name, network = (Bucket(key, free=10, span_s=900, pace_s=30) for key in ("name:x", "network:y"))

        async def story(first: Database, second: Database) -> None:
            tries = [
                database.begin_try(buckets, now=100)
                for database in (first, second)
                for buckets in ([name, network], [network, name]) * 10
            ]
            waits = await asyncio.gather(*tries)
            assert waits.count(0) == 10 and waits.count(30) == 30

        self.play_two(story)

    def test_what_was_right_is_taken_back(self) -> None:
        """One for one, also when many are taken back at once."""
        one, other = Bucket("a", free=8, span_s=900, pace_s=30), Bucket("b", free=99, span_s=900, pace_s=30)

        async def story(first: Database, second: Database) -> None:
            for _ in range(3):
                begun = await asyncio.gather(*(first.begin_try([one, other], now=100) for _ in range(8)))
                assert begun == [0] * 8
                assert await first.begin_try([one], now=100) == 30
                await asyncio.gather(*(database.forgive([other, one], now=100) for database in (first, second) * 4))
            await first.forgive([one], now=100)
            await first.begin_try([one], now=100)
            await first.forgive([one], now=99)
            begun = await asyncio.gather(*(second.begin_try([one], now=100) for _ in range(8)))
            assert sorted(begun) == [0] * 7 + [30], "the one of another second stays"

        self.play_two(story)
