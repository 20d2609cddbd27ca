"""
The audit trail in PostgreSQL. Floor 6; may import: floors 0 to 2.

Whoever writes first takes the next number from the one row of ``audit_head``, and holds it until the commit. So the
numbers are those of the commits, without a gap: nobody who has read up to one finds a lower one later.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from coatcheck.server.database._postgres_steps import Steps, is_nowhere, kept
from coatcheck.server.database._rows import entry_of
from coatcheck.server.database.base import Entry, Event

_ENTRY = "number, at, event, actor, account, sid, ip, user_agent, detail"


class AuditSteps(Steps):
    """See :class:`coatcheck.server.database.base.Database`."""

    async def note(self, entry: Entry, *, most_per_minute: int | None = None) -> None:
        async def step(connection: Any) -> None:
            if most_per_minute is None or await self._is_below(connection, entry, most_per_minute):
                await self._insert(connection, entry)
            else:
                await self._suppress(connection, entry)

        await self._link.write(step)

    async def _is_below(self, connection: Any, entry: Entry, most: int) -> bool:
        # Before the counting: who writes at the same moment is counted, or counts us.
        await connection.execute(f"SELECT 1 FROM {self.s}.audit_head FOR UPDATE")
        recent = f"""SELECT count(*) FROM (
                         SELECT at FROM {self.s}.audit WHERE event = $1 ORDER BY number DESC LIMIT $2
                     ) AS newest WHERE at > $3"""
        return bool(await connection.fetchval(recent, entry.event.value, most, entry.at - 60) < most)

    async def _suppress(self, connection: Any, entry: Entry) -> None:
        select = f"""SELECT number, detail FROM {self.s}.audit WHERE event = 'suppressed' AND at > $1
                     ORDER BY number DESC"""
        for number, text in await connection.fetch(select, entry.at - 60):
            detail = json.loads(text)
            if detail.get("event") == entry.event.value:
                detail["count"] += 1
                update = f"UPDATE {self.s}.audit SET detail = $2 WHERE number = $1"
                await connection.execute(update, number, json.dumps(detail))
                return
        detail = {"event": entry.event.value, "count": 1}
        await self._insert(connection, Entry(at=entry.at, event=Event.SUPPRESSED, detail=detail))

    async def _insert(self, connection: Any, entry: Entry) -> None:
        insert = f"""WITH head AS (UPDATE {self.s}.audit_head SET number = number + 1 RETURNING number)
                     INSERT INTO {self.s}.audit ({_ENTRY}) SELECT number, $1, $2, $3, $4, $5, $6, $7, $8 FROM head"""
        texts = (entry.actor, entry.user, entry.sid, entry.device.ip, entry.device.user_agent)
        await connection.execute(insert, entry.at, entry.event.value, *map(kept, texts), json.dumps(dict(entry.detail)))

    async def trail(
        self, *, events: Sequence[Event] = (), user: str | None = None, before: int | None = None, limit: int
    ) -> list[Entry]:
        if is_nowhere(user):
            return []
        # Only what is asked for stands in the statement: so each question finds its index.
        asked = [
            ("event = ANY({}::text[])", [event.value for event in events] or None),
            ("(account = {0} OR actor = {0})", user),
            ("number < {}", before),
        ]
        conditions, values = ["true"], []
        for condition, value in asked:
            if value is not None:
                values.append(value)
                conditions.append(condition.format(f"${len(values)}"))
        select = f"""SELECT {_ENTRY} FROM {self.s}.audit WHERE {" AND ".join(conditions)}
                     ORDER BY number DESC LIMIT ${len(values) + 1}"""
        return [entry_of(row) for row in await self._all(select, *values, limit)]
