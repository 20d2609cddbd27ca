"""
Ends of single sessions in PostgreSQL, many in one statement. Floor 2; may import: floor 0.

What :meth:`coatcheck.stores._postgres_steps.Steps.end` does in four steps is one here, for what is the rule: the
session is there, and nobody else is at it. While one statement is under way, whoever comes next waits for the following
one and shares it, and its commit. One caller alone waits for nobody.

Rules of this module:

1. Every caller has a line and a position of its own. The head moves last, after all locks on sessions are held.
2. A session that is locked by somebody else, is not there, or is another subject's is left out, and its caller goes the
   long way: nobody waits for what another caller's session waits for.
3. The statement is committed when it is answered; it may be done twice, since what was ended before is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg

from coatcheck.errors import CoatcheckError
from coatcheck.records import ENDED, Kind, Reason
from coatcheck.stores._postgres_connect import alone
from coatcheck.stores._postgres_lanes import Connection, Lane
from coatcheck.stores._postgres_parts import AGAIN
from coatcheck.stores.base import Stamp

MOST = 64
Line = tuple[str, str | None, str, str, int, int, int]
"""sid, of, kind, note, and what the stamp says."""

_Done = asyncio.Future[int | None]


class Ends:
    """
    Ends sessions of one store.

    Args:
        schema: where the tables are. channel: on which others are told of new lines.
    """

    def __init__(self, lane: Lane, schema: str, channel: str) -> None:
        self._lane = lane
        self._channel = channel
        self._waiting: list[tuple[Line, _Done]] = []
        self._group: Sequence[_Done] = ()
        self._call: asyncio.Future[dict[int, int]] | None = None
        self._task: asyncio.Task[None] | None = None
        s = schema
        self._statement = f"""
            WITH settings AS MATERIALIZED (SELECT {alone(lane.wait_s)}),
                 lines AS MATERIALIZED (
                     SELECT unnested.* FROM settings, unnest(
                         $1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[]
                     ) WITH ORDINALITY AS unnested (name, whose, kind, note, forget_token, at, forget_change, number)),
                 held AS (SELECT number, sid FROM {s}.sessions JOIN lines ON sid = name
                          WHERE whose IS NULL OR sub = whose ORDER BY id FOR UPDATE OF sessions SKIP LOCKED),
                 gone AS (DELETE FROM {s}.sessions USING held WHERE sessions.sid = held.sid
                          RETURNING held.number, digest, sessions.sid, sub),
                 kept AS (INSERT INTO {s}.ended
                          SELECT digest, sid, sub, '{Reason.REVOKED.value}', note, forget_token
                          FROM gone JOIN lines USING (number) {AGAIN}),
                 places AS (SELECT number, row_number() OVER (ORDER BY number) AS place FROM gone),
                 moved AS (UPDATE {s}.log SET head = head + many.n FROM (SELECT count(*) AS n FROM gone) AS many
                           WHERE many.n > 0 RETURNING head - many.n AS before),
                 added AS (INSERT INTO {s}.changes (position, kind, sid, version, at, forget_after)
                           SELECT before + place, kind, name, {ENDED}, at, forget_change
                           FROM moved, places JOIN lines USING (number))
            SELECT number, before + place, pg_notify($8, '') FROM moved, places"""

    async def end(self, sid: str, *, of: str | None, kind: Kind, note: str, stamp: Stamp) -> int | None:
        """Return the position of the line that ends the session; None, and nothing happened, if that is not so easy."""
        line = (sid, of, kind.value, note, stamp.forget_token, stamp.now, stamp.forget_change)
        done: _Done = asyncio.get_running_loop().create_future()
        self._waiting.append((line, done))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="coatcheck-ends")
        try:
            return await done
        finally:
            if self._call is not None and all(each.cancelled() for each in self._group):
                self._call.cancel()  # nobody wants it any more

    async def _run(self) -> None:
        while self._waiting:
            wanted = [(line, done) for line, done in self._waiting if not done.done()]
            group, self._waiting = wanted[:MOST], wanted[MOST:]
            if group:
                await self._answer([line for line, _ in group], [done for _, done in group])

    async def _answer(self, lines: Sequence[Line], group: Sequence[_Done]) -> None:
        work = self._lane.alone(lambda connection: self._end(connection, lines))
        self._group, self._call = group, asyncio.ensure_future(work)
        try:
            await asyncio.wait([self._call])
            fault = None if self._call.cancelled() else self._call.exception()
            positions = {} if self._call.cancelled() or fault else self._call.result()
        finally:
            self._call.cancel()
            self._group, self._call = (), None
        for number, done in enumerate(group, 1):
            if done.done():
                continue
            if fault is not None:
                done.set_exception(_copy(fault))
            else:
                done.set_result(positions.get(number))

    async def _end(self, connection: Connection, lines: Sequence[Line]) -> dict[int, int]:
        columns: list[Any] = [list(column) for column in zip(*lines, strict=True)]
        try:
            rows = await connection.fetch(self._statement, *columns, self._channel)
        except asyncpg.DataError:
            return {}  # one of them holds what cannot be stored: each hears for itself
        return {number: position for number, position, _ in rows}


def _copy(error: BaseException) -> BaseException:
    # Each its own: one that is raised in several tasks gathers the tracebacks of all.
    return type(error)(*error.args) if isinstance(error, CoatcheckError) else error
