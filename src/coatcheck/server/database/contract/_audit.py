"""What the audit trail promises. Floor 6; may import: floors 0 to 2."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from coatcheck.records import Device
from coatcheck.server.database.base import Database, Entry, Event
from coatcheck.server.database.contract._play import Play


class Audit(Play):
    """Tests of the trail."""

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
