"""What every part of the contract stands on. Floor 6; may import: floors 0 to 2."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from coatcheck.server.database.base import Changed, Client, Database, Outcome, User

Story = Callable[[Database], Awaitable[None]]
StoryOfTwo = Callable[[Database, Database], Awaitable[None]]


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


class Play:
    """Plays a story with fresh, open databases, which are closed at its end."""

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
