"""Clients in PostgreSQL. Floor 6; may import: floors 0 to 2."""

from __future__ import annotations

import json
from typing import Any

from coatcheck.server.database._postgres_steps import Steps, is_nowhere
from coatcheck.server.database._rows import CLIENT, client_of
from coatcheck.server.database.base import Client, Duty, Outcome, subject_of


class ClientSteps(Steps):
    """See :class:`coatcheck.server.database.base.Database`."""

    async def add_client(self, client: Client) -> Outcome | None:
        async def step(connection: Any) -> Outcome | None:
            await self._lock(connection)
            # Ids are told apart by programs, capital letters included, but read by people.
            if await connection.fetchval(f"SELECT 1 FROM {self.s}.clients WHERE lower(id) = lower($1)", client.id):
                return Outcome.NAME_TAKEN
            taken = f"""SELECT 1 FROM {self.s}.clients, json_array_elements_text(audiences::json) AS audience
                        WHERE is_browser AND NOT is_disabled AND audience = ANY($1::text[]) LIMIT 1"""
            if client.is_browser and await connection.fetchval(taken, client.audiences):
                return Outcome.AUDIENCE_TAKEN
            insert = f"INSERT INTO {self.s}.clients ({CLIENT}) VALUES ($1, $2, $3, $4, $5, $6, $7)"
            flags = (client.is_browser, client.may_sign_in, client.is_disabled)
            row = (client.id, client.secret, json.dumps(client.audiences), *flags, client.created_at)
            await connection.execute(insert, *row)
            return None

        return await self._link.write(step)

    async def client(self, ident: str) -> Client | None:
        if is_nowhere(ident):
            return None
        row = await self._one(f"SELECT {CLIENT} FROM {self.s}.clients WHERE id = $1", ident)
        return None if row is None else client_of(row)

    async def clients(self) -> list[Client]:
        return [client_of(row) for row in await self._all(f"SELECT {CLIENT} FROM {self.s}.clients ORDER BY id")]

    async def set_client_secret(self, ident: str, secret: bytes) -> Outcome | None:
        update = f"UPDATE {self.s}.clients SET secret = $2 WHERE id = $1 RETURNING 1"
        return None if not is_nowhere(ident) and await self._do(update, ident, secret) else Outcome.UNKNOWN

    async def disable_client(self, ident: str) -> Duty | Outcome:
        async def step(connection: Any) -> Duty | Outcome:
            update = f"UPDATE {self.s}.clients SET is_disabled = true WHERE id = $1 RETURNING 1"
            if is_nowhere(ident) or not await connection.fetchval(update, ident):
                return Outcome.UNKNOWN
            # With an account: a process that does not know of clients' duties must not take it for everybody's.
            return await self._leave_duty(connection, subject_of(ident), ends=True, client=ident)

        return await self._link.write(step)
