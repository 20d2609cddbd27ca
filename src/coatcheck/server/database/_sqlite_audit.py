"""The audit trail in SQLite. Floor 6; may import: floors 0 to 2."""

from __future__ import annotations

import json
from collections.abc import Sequence

from coatcheck.server.database._rows import entry_of
from coatcheck.server.database._sqlite_steps import Steps
from coatcheck.server.database.base import Entry, Event

_ENTRY = "number, at, event, actor, user, sid, ip, user_agent, detail"


class AuditSteps(Steps):
    """See :class:`coatcheck.server.database.base.Database`."""

    async def note(self, entry: Entry, *, most_per_minute: int | None = None) -> None:
        await self._run(lambda: self._note(entry, most_per_minute))

    def _note(self, entry: Entry, most_per_minute: int | None) -> None:
        if most_per_minute is not None:
            recent = (
                "SELECT count(*) FROM (SELECT at FROM audit WHERE event = ? ORDER BY number DESC LIMIT ?) WHERE at > ?"
            )
            if self._do(recent, (entry.event.value, most_per_minute, entry.at - 60)).get >= most_per_minute:
                return self._suppress(entry)
        self._insert(entry)

    def _suppress(self, entry: Entry) -> None:
        select = "SELECT number, detail FROM audit WHERE event = 'suppressed' AND at > ? ORDER BY number DESC"
        for number, text in self._do(select, (entry.at - 60,)).fetchall():
            detail = json.loads(text)
            if detail.get("event") == entry.event.value:
                detail["count"] += 1
                self._do("UPDATE audit SET detail = ? WHERE number = ?", (json.dumps(detail), number))
                return
        detail = {"event": entry.event.value, "count": 1}
        self._insert(Entry(at=entry.at, event=Event.SUPPRESSED, detail=detail))

    def _insert(self, entry: Entry) -> None:
        row = (
            entry.at,
            entry.event.value,
            entry.actor,
            entry.user,
            entry.sid,
            entry.device.ip,
            entry.device.user_agent,
        )
        self._do(
            "INSERT INTO audit (at, event, actor, user, sid, ip, user_agent, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, json.dumps(dict(entry.detail))),
        )

    async def trail(
        self, *, events: Sequence[Event] = (), user: str | None = None, before: int | None = None, limit: int
    ) -> list[Entry]:
        select = f"""SELECT {_ENTRY} FROM audit
                     WHERE (?1 = '[]' OR event IN (SELECT value FROM json_each(?1)))
                       AND (?2 IS NULL OR user = ?2 OR actor = ?2) AND (?3 IS NULL OR number < ?3)
                     ORDER BY number DESC LIMIT ?4"""
        values = (json.dumps([event.value for event in events]), user, before, limit)
        return await self._run(lambda: [entry_of(row) for row in self._do(select, values).fetchall()])
