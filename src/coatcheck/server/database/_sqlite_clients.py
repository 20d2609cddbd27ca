"""Clients in SQLite. Floor 6; may import: floors 0 to 2."""

from __future__ import annotations

import json

from coatcheck.server.database._rows import CLIENT, client_of
from coatcheck.server.database._sqlite_steps import Steps
from coatcheck.server.database.base import Client, Duty, Outcome, subject_of


class ClientSteps(Steps):
    """See :class:`coatcheck.server.database.base.Database`."""

    async def add_client(self, client: Client) -> Outcome | None:
        def step() -> Outcome | None:
            # Ids are told apart by programs, capital letters included, but read by people.
            if self._do("SELECT 1 FROM clients WHERE lower(id) = lower(?)", (client.id,)).get:
                return Outcome.NAME_TAKEN
            taken = """SELECT 1 FROM clients, json_each(clients.audiences)
                       WHERE is_browser AND NOT is_disabled AND value IN (SELECT value FROM json_each(?))"""
            if client.is_browser and self._do(taken, (json.dumps(client.audiences),)).get:
                return Outcome.AUDIENCE_TAKEN
            flags = (int(client.is_browser), int(client.may_sign_in), int(client.is_disabled))
            row = (client.id, client.secret, json.dumps(client.audiences), *flags, client.created_at)
            self._do("INSERT INTO clients VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            return None

        return await self._run(step)

    async def client(self, ident: str) -> Client | None:
        def step() -> Client | None:
            row = self._do(f"SELECT {CLIENT} FROM clients WHERE id = ?", (ident,)).fetchone()
            return None if row is None else client_of(row)

        return await self._run(step)

    async def clients(self) -> list[Client]:
        select = f"SELECT {CLIENT} FROM clients ORDER BY id"
        return await self._run(lambda: [client_of(row) for row in self._do(select).fetchall()])

    async def set_client_secret(self, ident: str, secret: bytes) -> Outcome | None:
        update = "UPDATE clients SET secret = ? WHERE id = ? RETURNING 1"
        found = await self._run(lambda: self._do(update, (secret, ident)).get)
        return None if found else Outcome.UNKNOWN

    async def disable_client(self, ident: str) -> Duty | Outcome:
        def step() -> Duty | Outcome:
            if not self._do("UPDATE clients SET is_disabled = 1 WHERE id = ? RETURNING 1", (ident,)).get:
                return Outcome.UNKNOWN
            # With a user: a process that does not know of clients' duties must not take it for everybody's.
            return self._leave_duty(subject_of(ident), ends=True, client=ident)

        return await self._run(step)
