"""What opening, closing and sweeping promise. Floor 6; may import: floors 0 to 2."""

from __future__ import annotations

import asyncio
import hashlib
import secrets

from coatcheck.errors import NotOpen, StoreUnusable
from coatcheck.server.database.base import Bucket, Database, Entry, Event
from coatcheck.server.database.contract._play import Play, make_user

CODE = hashlib.sha256(b"the right code").digest()
WRONG = hashlib.sha256(b"another").digest()


class Opening(Play):
    """Tests of what all subjects have in common."""

    def test_what_was_kept_is_there_again(self) -> None:
        """Closed and opened once more, everything is as it was."""

        async def story(first: Database, second: Database) -> None:
            await first.add_user(make_user("Maria"), "hash")
            await first.close()
            await first.close()
            assert await second.user("id of Maria") == (make_user("Maria"), "hash")
            await first.open()
            assert await first.user("id of Maria") == (make_user("Maria"), "hash")

        self.play_two(story)

    def test_a_closed_one_answers_nothing(self) -> None:
        """Before it is opened, and after it was closed."""

        async def story(database: Database) -> None:
            await database.close()
            try:
                await database.is_set_up()
            except NotOpen:
                return
            raise AssertionError("a closed database answered")

        self.play(story)

    def test_opened_by_several_at_once(self) -> None:
        """Each finds the whole of it, whoever made it."""
        place = secrets.token_hex(6)

        async def whole() -> None:
            databases = [self.make_database(place) for _ in range(4)]
            await asyncio.gather(*(database.open() for database in databases))
            try:
                assert await databases[0].add_user(make_user("Maria"), "hash") is None
                assert [await database.is_set_up() for database in databases] == [True] * 4
            finally:
                for database in databases:
                    await database.close()

        asyncio.run(whole())

    def test_where_there_must_be_something_nothing_is_made(self) -> None:
        """Whoever expects accounts is told that there are none, however often it asks."""
        place = secrets.token_hex(6)

        async def whole() -> None:
            for _ in range(2):
                try:
                    await self.make_database(place).open(may_be_new=False)
                except StoreUnusable:
                    continue
                raise AssertionError("there was nothing, and it was opened")
            for may_be_new in (True, False):
                database = self.make_database(place)
                await database.open(may_be_new=may_be_new)
                await database.close()

        asyncio.run(whole())

    def test_a_migration_tells_what_it_did(self) -> None:
        """From nothing to the newest version; and then nothing more, whatever is kept."""
        place = secrets.token_hex(6)

        async def whole() -> None:
            first = await self.make_database(place).migrate()
            assert first.before == 0 < first.after
            database = self.make_database(place)
            await database.open(may_be_new=False)
            await database.add_user(make_user("Maria"), "hash")
            await database.close()
            second = await self.make_database(place).migrate()
            assert second.before == second.after == first.after
            await database.open()
            assert await database.user_named("Maria") == make_user("Maria")
            await database.close()

        asyncio.run(whole())

    def test_a_sweep_takes_what_is_past_its_time(self) -> None:
        """And no more than it was told of each kind; what still counts stays."""
        bucket = Bucket("a", free=4, span_s=3600, pace_s=30)

        async def story(database: Database) -> None:
            for number in range(5):
                await database.note(Entry(at=10 + number, event=Event.SIGN_IN))
            await database.add_code(CODE, ends_at=5000, tries=9)
            await database.add_code(WRONG, ends_at=4000, tries=9)
            for now in (100, 1000):
                await database.begin_try([bucket] * 3, now=now)
            assert await database.sweep(now=50, audit_s=90, limit=2) == 0
            assert await database.sweep(now=4000, audit_s=3987, limit=2) == 2 + 1 + 2
            assert await database.sweep(now=4000, audit_s=3987, limit=2) == 2 + 0 + 1
            assert await database.sweep(now=4000, audit_s=3987, limit=2) == 0
            assert [entry.at for entry in await database.trail(limit=9)] == [14]
            assert await database.check_code(CODE, now=4000) is None
            assert await database.begin_try([bucket], now=4000) == 0, "three are left"
            assert await database.begin_try([bucket], now=4000) == 30

        self.play(story)

    def test_sweeps_at_once_are_one_sweep(self) -> None:
        """Every running server sweeps; together they take each row once."""

        async def story(first: Database, second: Database) -> None:
            for at in range(40):
                await first.note(Entry(at=at, event=Event.SIGN_IN))

            async def sweep(database: Database) -> int:
                total = 0
                while gone := await database.sweep(now=100, audit_s=80, limit=3):
                    total += gone
                return total

            totals = await asyncio.gather(*(sweep(database) for database in (first, second) * 2))
            assert sum(totals) == 21
            assert [entry.at for entry in await first.trail(limit=99)] == list(range(39, 20, -1))

        self.play_two(story)
