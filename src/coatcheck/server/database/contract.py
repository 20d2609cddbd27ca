"""
The contract of the server's database as tests: inherit :class:`DatabaseContract`, and a new kind is tested like ours.
Floor 6; may import: floors 0 to 2.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from msgspec.structs import replace

from coatcheck.errors import NotOpen
from coatcheck.records import Device
from coatcheck.server.database.base import Bucket, Changed, Client, Database, Duty, Entry, Event, Outcome, User

Story = Callable[[Database], Awaitable[None]]
StoryOfTwo = Callable[[Database, Database], Awaitable[None]]

MINUTE = 60
CODE = hashlib.sha256(b"the right code").digest()
WRONG = hashlib.sha256(b"another").digest()


def make_user(name: str, *, is_admin: bool = False, **fields: Any) -> User:
    """Return an account whose id is made of *name*."""
    defaults: dict[str, Any] = {"id": f"id of {name}", "created_at": 5, "password_at": 7}
    return User(name=name, is_admin=is_admin, **(defaults | fields))


def make_client(ident: str, **fields: Any) -> Client:
    """Return a client with a secret."""
    defaults: dict[str, Any] = {"secret": hashlib.sha256(b"secret").digest(), "audiences": ("orders",), "created_at": 3}
    return Client(id=ident, **(defaults | fields))


def changed(found: Changed | Outcome) -> Changed:
    """Return *found*, which must be a change."""
    assert isinstance(found, Changed), found
    return found


class DatabaseContract:
    """
    What every database of the server promises (:mod:`coatcheck.server.database.base`), as tests for pytest.

    A subclass gives :meth:`make_database`; each test gets a fresh, open one, closed at its end.
    """

    def make_database(self, place: str) -> Database:
        """Return a database, not open. The same *place* is the same database; that of a new one is empty."""
        raise NotImplementedError

    def play(self, story: Story) -> None:
        """Run the coroutine function *story* with a fresh database, in an event loop of its own."""
        asyncio.run(self._play([self.make_database(secrets.token_hex(6))], story))

    def play_two(self, story: StoryOfTwo) -> None:
        """The same with one database that two processes have open."""
        place = secrets.token_hex(6)
        asyncio.run(self._play([self.make_database(place), self.make_database(place)], story))

    async def _play(self, databases: Sequence[Database], story: Callable[..., Awaitable[None]]) -> None:
        opened: list[Database] = []
        try:
            for database in databases:
                await database.open()
                opened.append(database)
            await story(*databases)
        finally:
            for database in opened:
                await database.close()

    # --- opening ---

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

    # --- set-up ---

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

    # --- accounts ---

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

    # --- clients ---

    def test_clients(self) -> None:
        """In and out, in the order of their ids; another secret; disabled."""
        nightly = make_client("nightly", audiences=("orders", "bílling"))
        page = make_client("Page", secret=None, is_browser=True)
        phone = make_client("phone", secret=None, may_sign_in=True, is_disabled=True, created_at=2**40)

        async def story(database: Database) -> None:
            for client in (phone, nightly, page):
                assert await database.add_client(client) is None
            assert await database.add_client(make_client("nightly", secret=None)) == Outcome.NAME_TAKEN
            assert await database.clients() == [page, nightly, phone]
            assert await database.client("nightly") == nightly
            assert await database.set_client_secret("nightly", b"another") is None
            assert await database.client("nightly") == replace(nightly, secret=b"another")
            assert await database.disable_client("nightly") is None
            assert await database.disable_client("nightly") is None
            assert await database.client("nightly") == replace(nightly, secret=b"another", is_disabled=True)
            assert await database.client("phone") == phone

        self.play(story)

    def test_of_many_clients_with_one_id_there_is_one(self) -> None:
        """Added by two processes at the same moment."""

        async def story(first: Database, second: Database) -> None:
            adding = [database.add_client(make_client("cli")) for database in (first, second) * 5]
            outcomes = await asyncio.gather(*adding)
            assert outcomes.count(None) == 1 and outcomes.count(Outcome.NAME_TAKEN) == 9

        self.play_two(story)

    # --- limits ---

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

    # --- audit ---

    def test_an_entry_is_read_back_as_it_was(self) -> None:
        """Every field, whatever text is in it."""
        detail = {"why": '\n"\0\u2028\x1b\\', "many": [1, None, {"é": True}], "number": 2**53}
        entries = [
            Entry(number=1, at=5, event=Event.PANIC),
            Entry(
                number=2,
                at=2**40,
                event=Event.SIGN_IN,
                actor="a",
                user="u",
                sid="s",
                device=Device(ip="2001:db8::1", user_agent="Mozilla/5.0 \u202e \U0001f600"),
                detail=detail,
            ),
        ]

        async def story(database: Database) -> None:
            for entry in entries:
                await database.note(replace(entry, number=0))
            assert await database.trail(limit=9) == entries[::-1]
            await database.note(Entry(at=1, event=Event.SIGN_IN, device=Device(user_agent="a\0b")))
            (latest,) = await database.trail(limit=1)
            assert latest.device.user_agent is not None and latest.device.user_agent.startswith("a")

        self.play(story)

    def test_the_trail_is_told_newest_first(self) -> None:
        """Of some kinds, of one account whether it did it or had it done, in parts."""

        async def story(database: Database) -> None:
            await database.note(Entry(at=1, event=Event.SIGN_IN, actor="maria", user="maria"))
            await database.note(Entry(at=1, event=Event.DISABLED, actor="root", user="maria"))
            await database.note(Entry(at=1, event=Event.SIGN_IN_FAILED, user="otto"))
            await database.note(Entry(at=0, event=Event.PROMOTED, actor="command", user="root"))

            async def numbers(**choice: Any) -> list[int]:
                return [entry.number for entry in await database.trail(**({"limit": 9} | choice))]

            assert await numbers() == [4, 3, 2, 1]
            assert await numbers(limit=2) == [4, 3] and await numbers(before=3, limit=1) == [2]
            assert await numbers(before=1) == [] and await numbers(before=2**53) == [4, 3, 2, 1]
            assert await numbers(user="maria") == [2, 1] and await numbers(user="root") == [4, 2]
            assert await numbers(events=[Event.SIGN_IN, Event.SIGN_IN_FAILED]) == [3, 1]
            assert await numbers(events=[Event.SIGN_IN, Event.DISABLED], user="root", before=4) == [2]
            assert await numbers(events=[Event.THEFT]) == [] and await numbers(user="nobody") == []

        self.play(story)

    def test_numbers_are_those_of_the_writing(self) -> None:
        """One after the other without a gap, by several processes too; and what was swept gives none back."""

        async def story(first: Database, second: Database) -> None:
            entry = Entry(at=1, event=Event.SIGN_IN)
            await asyncio.gather(*(database.note(entry) for database in (first, second) * 10))
            assert [entry.number for entry in await first.trail(limit=99)] == list(range(20, 0, -1))
            while await first.sweep(now=1000, audit_s=10, limit=7):
                pass
            assert await first.trail(limit=9) == []
            await second.note(entry)
            assert [entry.number for entry in await first.trail(limit=9)] == [21]

        self.play_two(story)

    def test_what_strangers_cause_is_counted_above_a_rate(self) -> None:
        """In one line a minute for each kind; other kinds, and what has no rate, are kept."""

        async def story(database: Database) -> None:
            async def note(event: Event, at: int, most: int | None = 3) -> None:
                await database.note(Entry(at=at, event=event, user="x"), most_per_minute=most)

            for _ in range(5):
                await note(Event.SIGN_IN_FAILED, 100)
            await note(Event.SET_UP_FAILED, 100)
            await note(Event.SIGN_IN_FAILED, 159)
            told = [(entry.event, dict(entry.detail), entry.user) for entry in await database.trail(limit=99)]
            assert told == [
                (Event.SET_UP_FAILED, {}, "x"),
                (Event.SUPPRESSED, {"event": "sign_in_failed", "count": 3}, None),
                *[(Event.SIGN_IN_FAILED, {}, "x")] * 3,
            ]
            await note(Event.SIGN_IN_FAILED, 160)
            await note(Event.SIGN_IN_FAILED, 160, most=None)
            assert [entry.at for entry in await database.trail(events=[Event.SIGN_IN_FAILED], limit=2)] == [160, 160]

        self.play(story)

    def test_many_strangers_at_once_stay_below_the_rate(self) -> None:
        """Kept and counted are together what there was."""

        async def story(first: Database, second: Database) -> None:
            entry = Entry(at=100, event=Event.SIGN_IN_FAILED)
            await asyncio.gather(*(database.note(entry, most_per_minute=5) for database in (first, second) * 10))
            kept = await first.trail(events=[Event.SIGN_IN_FAILED], limit=99)
            (suppressed,) = await first.trail(events=[Event.SUPPRESSED], limit=99)
            assert len(kept) == 5 and suppressed.detail["count"] == 15

        self.play_two(story)

    # --- upkeep ---

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
