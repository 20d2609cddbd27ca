"""What clients promise. Floor 6; may import: floors 0 to 2."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from coatcheck.server.database.base import Client, Database, Duty, Outcome
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
        """Capital letters apart; added by two processes at the same moment."""

        async def story(first: Database, second: Database) -> None:
            adding = [
                database.add_client(make_client(ident))
                for database, ident in zip((first, second) * 5, ("cli", "cli", "Cli", "CLI", "clI") * 2, strict=True)
            ]
            outcomes = await asyncio.gather(*adding)
            assert outcomes.count(None) == 1 and outcomes.count(Outcome.NAME_TAKEN) == 9
            assert len(await first.clients()) == 1

        self.play_two(story)

    def test_pages_get_tokens_for_an_audience_in_one_name(self) -> None:
        """Of browser clients that are not disabled; also when many are added at once."""

        def page(ident: str, *audiences: str) -> Client:
            return make_client(ident, secret=None, is_browser=True, audiences=audiences)

        async def story(first: Database, second: Database) -> None:
            assert await first.add_client(make_client("worker", audiences=("orders",))) is None
            adding = [
                database.add_client(page(f"page-{number}", f"own-{number}", "orders"))
                for number, database in enumerate((first, second) * 4)
            ]
            outcomes = await asyncio.gather(*adding)
            assert outcomes.count(None) == 1 and outcomes.count(Outcome.AUDIENCE_TAKEN) == 7
            (kept,) = [client for client in await first.clients() if client.is_browser]
            assert await second.add_client(page("another", "elsewhere")) is None
            assert await second.add_client(make_client("second-worker", audiences=("orders",))) is None
            assert await second.add_client(page("late", "orders")) == Outcome.AUDIENCE_TAKEN
            await first.disable_client(kept.id)
            assert await second.add_client(page("late", "orders")) is None

        self.play_two(story)
