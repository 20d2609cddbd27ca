"""What clients promise. Floor 6; may import: floors 0 to 2."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from coatcheck.server.database.base import Database, Duty, Outcome
from coatcheck.server.database.contract._play import Play, make_client


class Clients(Play):
    """Tests of clients."""

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
            first, second = await database.disable_client("nightly"), await database.disable_client("nightly")
            assert isinstance(first, Duty) and isinstance(second, Duty)
            assert first == Duty(number=first.number, user="client:nightly", ends=True, client="nightly")
            assert await database.duties() == [first, second]
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
