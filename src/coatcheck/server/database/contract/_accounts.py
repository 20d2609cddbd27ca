"""What accounts and their duties promise. Floor 6; may import: floors 0 to 2."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from coatcheck.server.database.base import Changed, Database, Duty, Outcome
from coatcheck.server.database.contract._play import Play, changed, make_user


class Accounts(Play):
    """Tests of accounts."""

    def test_what_goes_in_comes_out(self) -> None:
        """An account is read back equal, by its id and by its name, with every field it had."""
        user = make_user("Zoë \U00020000", is_admin=True, is_disabled=True, created_at=2**40, password_at=2**41)

        async def story(database: Database) -> None:
            assert await database.add_user(user, "$argon2id$é") is None
            assert await database.user(user.id) == (user, "$argon2id$é")
            assert await database.user_named(user.name) == user
            assert await database.users(limit=9) == [user]

        self.play(story)

    def test_unknown_is_an_answer(self) -> None:
        """What was never there is None, or nothing, or an outcome; not an error."""

        async def story(database: Database) -> None:
            assert await database.user("nobody") is None
            assert await database.user_named("nobody") is None
            assert await database.users(limit=9) == [] and await database.trail(limit=9) == []
            assert await database.change_user("nobody", is_admin=True) == Outcome.UNKNOWN
            assert await database.set_password("nobody", "x", now=1) == Outcome.UNKNOWN
            await database.rehash("nobody", "x", expected="y")
            assert await database.client("nobody") is None and await database.clients() == []
            assert await database.set_client_secret("nobody", b"x") == Outcome.UNKNOWN
            assert await database.disable_client("nobody") == Outcome.UNKNOWN
            await database.done(7)
            assert await database.duties() == [] and not await database.is_due(7)

        self.play(story)

    def test_hostile_text_is_not_there(self) -> None:
        """Null characters and quotes in what is asked for: nobody has such a name, and nothing fails."""

        async def story(database: Database) -> None:
            await database.add_user(make_user("Maria"), "hash")
            for text in (
                "Maria\0",
                "\0",
                "'",
                '"; DROP TABLE users; --',
                "%",
                "_aria",
                "M%",
                "\\",
                "x" * 5000,
                "\ufffd",
            ):
                assert await database.user(text) is None and await database.user_named(text) is None
                assert await database.users(like=text, limit=9) == []
                assert await database.names_of([text]) == {}
                assert await database.trail(user=text, limit=9) == []
                assert await database.client(text) is None
                assert await database.change_user(text, is_admin=True) == Outcome.UNKNOWN
            assert await database.users(after="M\0", limit=9) == [make_user("Maria")]
            assert await database.users(after="maria\0", limit=9) == []

        self.play(story)

    def test_names_are_one_whatever_the_letters(self) -> None:
        """Capitals and look-alike forms make no other name."""

        async def story(database: Database) -> None:
            await database.add_user(make_user("Maria"), "hash")
            for name in ("Maria", "MARIA", "\uff2d\uff41\uff52\uff49\uff41"):
                assert await database.add_user(make_user(name, id="another"), "x") == Outcome.NAME_TAKEN
                assert await database.user_named(name) == make_user("Maria")
            assert await database.user("another") is None

        self.play(story)

    def test_of_many_accounts_with_one_name_there_is_one(self) -> None:
        """Added by two processes at the same moment."""

        async def story(first: Database, second: Database) -> None:
            adding = [
                database.add_user(make_user("Maria", id=f"m{number}"), "hash")
                for number, database in enumerate((first, second) * 8)
            ]
            outcomes = await asyncio.gather(*adding)
            assert outcomes.count(None) == 1 and outcomes.count(Outcome.NAME_TAKEN) == 15
            assert len(await first.users(limit=99)) == 1

        self.play_two(story)

    def test_lists_are_in_the_order_of_names(self) -> None:
        """By code points, so every database has the same order; in parts, none twice and none missing."""
        names = ["_", "a", "a-b", "A c", "ab", "z", "Ä", "é", "ñ", "\u0416", "\U00010400", "a b", "1", "10", "2"]

        async def story(database: Database) -> None:
            for name in names:
                await database.add_user(make_user(name), "hash")
            whole = [user.name for user in await database.users(limit=99)]
            assert whole == sorted(names, key=str.casefold)
            parts: list[str] = []
            while page := await database.users(after=parts[-1] if parts else "", limit=4):
                parts += [user.name for user in page]
            assert parts == whole
            assert [user.name for user in await database.users(like="A", limit=99)] == ["a", "a b", "A c", "a-b", "ab"]
            assert [user.name for user in await database.users(like="É", limit=99)] == ["é"]
            assert [user.name for user in await database.users(like="_", limit=99)] == ["_"]
            assert [user.name for user in await database.users(like="a", after="a c", limit=1)] == ["a-b"]

        self.play(story)

    def test_names_of_accounts(self) -> None:
        """As many as exist."""

        async def story(database: Database) -> None:
            await database.add_user(make_user("Maria"), "hash")
            await database.add_user(make_user("Otto"), "hash")
            found = await database.names_of(["id of Otto", "nobody", "id of Maria", "id of Otto"])
            assert found == {"id of Otto": "Otto", "id of Maria": "Maria"}
            assert await database.names_of([]) == {}

        self.play(story)

    def test_a_change_leaves_its_duty(self) -> None:
        """It tells what was, what is, and what is still to be done; and that is there until it is done."""

        async def story(database: Database) -> None:
            await database.add_user(make_user("Root", is_admin=True), "hash")
            maria = make_user("Maria")
            await database.add_user(maria, "hash")
            admin = replace(maria, is_admin=True)
            first = changed(await database.change_user(maria.id, is_admin=True))
            assert (first.before, first.user) == (maria, admin)
            assert (first.duty.user, first.duty.ends, first.duty.keep) == (maria.id, False, None)
            second = changed(await database.change_user(maria.id, is_disabled=True))
            assert (second.before, second.user) == (admin, replace(admin, is_disabled=True))
            assert second.duty.ends
            third = changed(await database.set_password(maria.id, "new", now=9, keep="phone"))
            assert third.user.password_at == 9 and await database.user(maria.id) == (third.user, "new")
            assert (third.duty.user, third.duty.ends, third.duty.keep) == (maria.id, True, "phone")
            assert await database.duties() == [first.duty, second.duty, third.duty]
            await database.done(second.duty.number)
            await database.done(second.duty.number)
            assert await database.duties() == [first.duty, third.duty]
            assert await database.is_due(first.duty.number) and not await database.is_due(second.duty.number)
            enabled = changed(await database.change_user(maria.id, is_disabled=False))
            assert not enabled.duty.ends and enabled.duty.number > third.duty.number

        self.play(story)

    def test_a_number_of_a_duty_is_not_given_again(self) -> None:
        """Else whoever is still at the old one would take away another's."""

        async def story(database: Database) -> None:
            await database.add_user(make_user("Maria"), "hash")
            done: list[Duty] = []
            for _ in range(3):
                duty = changed(await database.change_user("id of Maria", is_admin=True)).duty
                assert duty.number not in [earlier.number for earlier in done]
                await database.done(duty.number)
                done.append(duty)

        self.play(story)

    def test_the_last_administrator_stays(self) -> None:
        """One who is disabled does not count; and what was refused changed nothing."""

        async def story(database: Database) -> None:
            root = make_user("Root", is_admin=True)
            await database.add_user(root, "hash")
            await database.add_user(make_user("Gone", is_admin=True, is_disabled=True), "hash")
            assert await database.change_user(root.id, is_admin=False) == Outcome.LAST_ADMIN
            assert await database.change_user(root.id, is_disabled=True) == Outcome.LAST_ADMIN
            assert await database.user(root.id) == (root, "hash") and await database.duties() == []
            changed(await database.change_user("id of Gone", is_disabled=False))
            changed(await database.change_user(root.id, is_admin=False))
            assert await database.change_user("id of Gone", is_admin=False) == Outcome.LAST_ADMIN

        self.play(story)

    def test_of_all_administrators_who_are_demoted_at_once_one_stays(self) -> None:
        """Whichever process does it."""

        async def story(first: Database, second: Database) -> None:
            people = [make_user(f"Root {number}", is_admin=True) for number in range(6)]
            for user in people:
                await first.add_user(user, "hash")
            demoting = [
                database.change_user(user.id, is_admin=False)
                for user, database in zip(people, (first, second) * 3, strict=True)
            ]
            outcomes = await asyncio.gather(*demoting)
            assert outcomes.count(Outcome.LAST_ADMIN) == 1
            assert [user.is_admin for user in await first.users(limit=9)].count(True) == 1
            assert len(await first.duties()) == 5

        self.play_two(story)

    def test_of_two_new_passwords_at_once_one_counts(self) -> None:
        """Both looked at the same old one."""

        async def story(first: Database, second: Database) -> None:
            await first.add_user(make_user("Maria"), "old")
            setting = [
                database.set_password("id of Maria", f"new {number}", now=number, expected="old")
                for number, database in enumerate((first, second) * 3)
            ]
            outcomes = await asyncio.gather(*setting)
            assert outcomes.count(Outcome.CHANGED_MEANWHILE) == 5
            (winner,) = [outcome for outcome in outcomes if isinstance(outcome, Changed)]
            assert await first.user("id of Maria") == (winner.user, f"new {winner.user.password_at}")
            assert await second.duties() == [winner.duty]

        self.play_two(story)

    def test_changes_of_one_account_at_once_all_count(self) -> None:
        """Neither writes over what the other changed, and each tells what it found."""

        async def story(first: Database, second: Database) -> None:
            await first.add_user(make_user("Root", is_admin=True), "hash")
            await first.add_user(make_user("Maria"), "hash")
            await asyncio.gather(
                first.change_user("id of Maria", is_admin=True),
                second.change_user("id of Maria", is_disabled=True),
                second.set_password("id of Maria", "new", now=9),
            )
            found = await first.user("id of Maria")
            assert found == (make_user("Maria", is_admin=True, is_disabled=True, password_at=9), "new")
            assert len(await first.duties()) == 3

        self.play_two(story)

    def test_a_better_hash_of_the_same_password(self) -> None:
        """It takes the place of the one it was made for, and leaves nothing to do."""

        async def story(database: Database) -> None:
            await database.add_user(make_user("Maria"), "old")
            await database.rehash("id of Maria", "lost", expected="another")
            assert await database.user("id of Maria") == (make_user("Maria"), "old")
            await database.rehash("id of Maria", "better", expected="old")
            assert await database.user("id of Maria") == (make_user("Maria"), "better")
            assert await database.duties() == []

        self.play(story)
