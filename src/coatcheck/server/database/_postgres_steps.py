"""How a step on the server's PostgreSQL database is done. Floor 6; may import: floors 0 to 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coatcheck.server.database._postgres_link import Link
from coatcheck.server.database._rows import duty_of
from coatcheck.server.database.base import Duty

DUTY = "number, account, ends, keep, client"


class Steps:
    """
    What the methods of every subject stand on.

    Attributes:
        s: The schema, as it stands in statements. Tables are always named with it: a setting of the connection would
            not outlast a pooler between us and the server.
    """

    _link: Link
    s: str

    async def _all(self, statement: str, *values: Any) -> Sequence[Any]:
        rows: Sequence[Any] = await self._link.read(lambda connection: connection.fetch(statement, *values))
        return rows

    async def _one(self, statement: str, *values: Any) -> Any:
        """Return one row, or None."""
        return await self._link.read(lambda connection: connection.fetchrow(statement, *values))

    async def _do(self, statement: str, *values: Any) -> Any:
        """Return the first value of what a statement that writes returns, if it does."""
        return await self._link.write(lambda connection: connection.fetchval(statement, *values))

    async def _lock(self, connection: Any) -> bool:
        """
        Keep others from changing accounts, and from adding clients, until this step is committed.

        So these steps follow one another: of two first administrators there is one, and of the last two one stays.

        Returns:
            Whether the set-up is over.
        """
        return bool(await connection.fetchval(f"SELECT set_up FROM {self.s}.server FOR UPDATE"))

    async def _leave_duty(
        self, connection: Any, user: str | None, *, ends: bool, keep: str | None = None, client: str | None = None
    ) -> Duty:
        insert = f"INSERT INTO {self.s}.duties (account, ends, keep, client) VALUES ($1, $2, $3, $4) RETURNING {DUTY}"
        return duty_of(await connection.fetchrow(insert, user, ends, keep, client))


def is_nowhere(text: str | None) -> bool:
    """Say whether no row can hold *text*: PostgreSQL keeps no null characters."""
    return text is not None and "\0" in text


def kept(text: str | None) -> str | None:
    """Return *text* as PostgreSQL can keep it."""
    return None if text is None else text.replace("\0", "\ufffd")
