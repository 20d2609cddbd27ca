"""What the set-up promises. Floor 6; may import: floors 0 to 2."""

from __future__ import annotations

import asyncio
import hashlib

from coatcheck.server.database.base import Database, Outcome
from coatcheck.server.database.contract._play import Play, make_user

CODE = hashlib.sha256(b"the right code").digest()
WRONG = hashlib.sha256(b"another").digest()


class SetUp(Play):
    """Tests of codes, and of the first account."""

    def test_the_first_account_ends_the_set_up(self) -> None:
        """The right code makes an administrator, once; from then on no code counts."""

        async def story(database: Database) -> None:
            root = make_user("Root", is_admin=True)
            assert not await database.is_set_up()
            await database.add_code(CODE, ends_at=100, tries=9)
            assert await database.check_code(CODE, now=50) is None
            assert await database.set_up(WRONG, root, "hash", now=50) == Outcome.WRONG_CODE
            assert not await database.is_set_up() and await database.user(root.id) is None
            assert await database.set_up(CODE, root, "hash", now=50) is None
            assert await database.is_set_up()
            assert await database.user(root.id) == (root, "hash")
            for digest in (CODE, WRONG):
                assert await database.check_code(digest, now=50) == Outcome.SET_UP_ALREADY
                assert await database.set_up(digest, make_user("Eve"), "x", now=50) == Outcome.SET_UP_ALREADY

        self.play(story)

    def test_an_account_that_was_added_ends_the_set_up_too(self) -> None:
        """At the command line, say."""

        async def story(database: Database) -> None:
            await database.add_code(CODE, ends_at=100, tries=9)
            await database.add_user(make_user("Maria"), "hash")
            assert await database.is_set_up()
            assert await database.set_up(CODE, make_user("Eve"), "x", now=50) == Outcome.SET_UP_ALREADY

        self.play(story)

    def test_a_code_has_its_time_and_its_tries(self) -> None:
        """A wrong one costs every code a try; a right one, that is only asked about, costs nothing."""

        async def story(database: Database) -> None:
            await database.add_code(CODE, ends_at=100, tries=3)
            assert await database.check_code(CODE, now=100) == Outcome.WRONG_CODE, "too late, and a try"
            assert await database.check_code(CODE, now=99) is None
            assert await database.check_code(WRONG, now=99) == Outcome.WRONG_CODE
            assert await database.check_code(CODE, now=99) is None
            assert await database.check_code(WRONG, now=99) == Outcome.WRONG_CODE
            assert await database.check_code(CODE, now=99) == Outcome.WRONG_CODE
            await database.add_code(CODE, ends_at=100, tries=1)
            assert await database.check_code(CODE, now=99) is None, "made anew"

        self.play(story)

    def test_of_many_set_ups_at_once_one_succeeds(self) -> None:
        """Over several processes, with one code and with several."""

        async def story(first: Database, second: Database) -> None:
            await first.add_code(CODE, ends_at=100, tries=9)
            await second.add_code(WRONG, ends_at=100, tries=9)
            tries = [
                database.set_up(code, make_user(f"Root {number}", is_admin=True), "hash", now=50)
                for number, (database, code) in enumerate([(first, CODE), (second, WRONG), (second, CODE)] * 5)
            ]
            outcomes = await asyncio.gather(*tries)
            assert outcomes.count(None) == 1
            assert outcomes.count(Outcome.SET_UP_ALREADY) == len(outcomes) - 1
            assert len(await first.users(limit=99)) == 1

        self.play_two(story)

    def test_guesses_at_once_cost_as_many_tries(self) -> None:
        """Ten wrong codes in parallel leave nothing of ten tries."""

        async def story(first: Database, second: Database) -> None:
            await first.add_code(CODE, ends_at=100, tries=10)
            guesses = [database.check_code(WRONG, now=50) for database in (first, second) * 5]
            assert await asyncio.gather(*guesses) == [Outcome.WRONG_CODE] * 10
            assert await first.check_code(CODE, now=50) == Outcome.WRONG_CODE

        self.play_two(story)
