"""Clients in PostgreSQL. Floor 6; may import: floors 0 to 2."""

from __future__ import annotations

import json
from typing import Any

from coatcheck.server.database._postgres_steps import Steps, is_nowhere
from coatcheck.server.database._rows import CLIENT, client_of
from coatcheck.server.database.base import Client, Outcome


class ClientSteps(Steps):
    """See :class:`coatcheck.server.database.base.Database`."""

    async def add_client(self, client: Client) -> Outcome | None:
        insert = f"""INSERT INTO {self.s}.clients ({CLIENT}) VALUES ($1, $2, $3, $4, $5, $6, $7)
                     ON CONFLICT (id) DO NOTHING RETURNING 1"""
        flags = (client.is_browser, client.may_sign_in, client.is_disabled)
        row = (client.id, client.secret, json.dumps(client.audiences), *flags, client.created_at)
        return None if await self._do(insert, *row) else Outcome.NAME_TAKEN

    async def client(self, ident: str) -> Client | None:
        if is_nowhere(ident):
            return None
        row = await self._one(f"SELECT {CLIENT} FROM {self.s}.clients WHERE id = $1", ident)
        return None if row is None else client_of(row)

    async def clients(self) -> list[Client]:
        return [client_of(row) for row in await self._all(f"SELECT {CLIENT} FROM {self.s}.clients ORDER BY id")]

    async def set_client_secret(self, ident: str, secret: bytes) -> Outcome | None:
        return await self._change_client("secret = $2", ident, secret)

    async def disable_client(self, ident: str) -> Outcome | None:
        return await self._change_client("is_disabled = true", ident)

    async def _change_client(self, change: str, ident: str, *values: Any) -> Outcome | None:
        update = f"UPDATE {self.s}.clients SET {change} WHERE id = $1 RETURNING 1"
        return None if not is_nowhere(ident) and await self._do(update, ident, *values) else Outcome.UNKNOWN
