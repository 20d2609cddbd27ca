"""
The rows of nodes, the log as they read it, and where the log is, in PostgreSQL. Floor 2; may import: floor 0.

Rules of this module:

1. A beat is two transactions: first the row, committed; only then the tail, in a later snapshot. One statement that
   does both would read too early under READ COMMITTED.
2. A join holds the row with the lease until its own row is to be seen: the lease never changes under a node.
3. Where the log went to another server or timeline, its end may be lost, and positions may be given out twice. The
   first who sees it begins a new epoch before anything else is asked, and revokes the signing keys.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any

import asyncpg

from coatcheck.records import Change, Kind, Node, Nodes, Tail
from coatcheck.stores._postgres_connect import alone
from coatcheck.stores._postgres_lanes import Connection
from coatcheck.stores.base import next_era

log = logging.getLogger("coatcheck")
MOST_CHANGES = 5_000


# The counter never goes back: a heartbeat or a join that arrives late would make a living row look as it did long ago.
_SAID = "beat = greatest(beat, $2), applied = $3, epoch = $4"


class NodeRows:
    """The nodes of one store."""

    def __init__(self, schema: str) -> None:
        self._s = schema

    async def join(self, connection: Connection, node: str, label: str) -> float:
        lease_s = await connection.fetchval(f"SELECT lease_s FROM {self._s}.meta FOR SHARE")
        await connection.execute(
            f"INSERT INTO {self._s}.nodes VALUES ($1, $2, 0, 0, 0) "
            "ON CONFLICT (id) DO UPDATE SET label = excluded.label, applied = 0, epoch = 0",
            node,
            label.replace("\0", "\ufffd"),
        )
        return float(lease_s)

    async def beat(self, connection: Connection, node: str, beat: int, applied: int, epoch: int) -> bool:
        status = await connection.execute(
            f"UPDATE {self._s}.nodes SET {_SAID} WHERE id = $1", node, beat, applied, epoch
        )
        return bool(status == "UPDATE 1")

    def beat_alone(self, wait_s: float) -> str:
        """Return the statement of :meth:`beat`, as a transaction by itself that returns a row where there is one."""
        return (
            f"UPDATE {self._s}.nodes SET {_SAID} "
            f"FROM (SELECT {alone(wait_s)}) AS settings WHERE id = $1 RETURNING durable, bound"
        )

    async def leave(self, connection: Connection, node: str) -> None:
        await connection.execute(f"DELETE FROM {self._s}.nodes WHERE id = $1", node)

    async def drop(self, connection: Connection, node: str, beat: int) -> bool:
        status = await connection.execute(f"DELETE FROM {self._s}.nodes WHERE id = $1 AND beat = $2", node, beat)
        return bool(status == "DELETE 1")

    async def all(self, connection: Connection) -> Nodes:
        rows = await connection.fetch(
            f"SELECT meta.epoch, head, lease_s, id, label, beat, applied, nodes.epoch "
            f"FROM {self._s}.meta CROSS JOIN {self._s}.log LEFT JOIN {self._s}.nodes ON true ORDER BY id"
        )
        nodes = tuple(
            Node(id=ident, label=label, beat=beat, applied=applied, epoch=epoch)
            for _, _, _, ident, label, beat, applied, epoch in rows
            if ident is not None
        )
        epoch, head, lease_s = rows[0][:3]
        return Nodes(epoch=epoch, head=head, lease_s=lease_s, rows=nodes)

    async def tail(self, connection: Connection, after: int) -> Tail:
        # One statement, so one snapshot: read apart, a trim between the two would leave an unnoticed gap.
        news = (
            f"SELECT position, kind, sid, version, forget_after FROM {self._s}.changes "
            "WHERE position > $1 ORDER BY position LIMIT $2"
        )
        rows: list[Any] = await connection.fetch(
            f"SELECT epoch, trimmed, head, news.* FROM {self._s}.meta CROSS JOIN {self._s}.log "
            f"LEFT JOIN LATERAL ({news}) AS news ON true ORDER BY position",
            after,
            MOST_CHANGES,
        )
        changes = tuple(
            Change(position=position, kind=Kind(kind), sid=sid, version=version, forget_after=until)
            for _, _, _, position, kind, sid, version, until in rows
            if position is not None
        )
        epoch, trimmed, head = rows[0][:3]
        return Tail(epoch=epoch, trimmed=trimmed, head=head, changes=changes)


class Whereabouts:
    """
    On which server, and on which of its timelines, the log is.

    Args:
        schema: Where the tables are. channel: on which nodes are told.
    """

    def __init__(self, schema: str, channel: str) -> None:
        self._s = schema
        self._channel = channel
        self.system = self.timeline = "NULL::text"

    async def learn(self, connection: Connection) -> None:
        """Find out what the server is willing to say about itself."""
        self.system = await _what_works(connection, "(SELECT system_identifier::text FROM pg_control_system())")
        self.timeline = await _what_works(connection, "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)")
        if "NULL" in self.timeline:
            log.warning(
                "PostgreSQL does not tell its timeline: a failover goes unnoticed; see docs/reference/stores.md"
            )

    async def is_elsewhere(self, connection: Connection) -> bool:
        """Say whether the log is on another server or timeline than it was."""
        # Where one of them is not known the comparison is null, and the other decides.
        elsewhere = f"coalesce(system <> {self.system}, false) OR coalesce(timeline <> {self.timeline}, false)"
        return bool(await connection.fetchval(f"SELECT {elsewhere} FROM {self._s}.meta"))

    async def note(self, connection: Connection) -> None:
        """Note where the log is, where that was not known so far: a role may see what another did not."""
        for column, known in (("system", self.system), ("timeline", self.timeline)):
            await connection.execute(
                f"UPDATE {self._s}.meta SET {column} = {known} WHERE {column} IS NULL AND {known} IS NOT NULL"
            )

    async def begin_epoch(self, connection: Connection) -> None:
        """
        Begin a new epoch here, unless somebody has done so already. Sessions live on; nodes forget what they hold.

        Which revocations were lost nobody knows. What is signed with the keys of before may be revoked and forgotten.
        """
        await connection.execute(f"SELECT 1 FROM {self._s}.meta FOR UPDATE")
        if not await self.is_elsewhere(connection):
            return
        epoch = await connection.fetchval(f"SELECT epoch FROM {self._s}.meta")
        await connection.execute(
            f"UPDATE {self._s}.meta SET epoch = $1, system = coalesce({self.system}, system), "
            f"timeline = coalesce({self.timeline}, timeline)",
            next_era(epoch, draw=secrets.randbelow(2**18)),
        )
        await connection.execute(f"DELETE FROM {self._s}.keys")
        await connection.execute("SELECT pg_notify($1, '')", self._channel)
        log.warning("PostgreSQL was promoted or restored: a new epoch begins, and new signing keys are made")


async def _what_works(connection: Connection, expression: str) -> str:
    try:
        await connection.fetchval(f"SELECT {expression}")
    except asyncpg.PostgresError:
        return "NULL::text"  # not every managed service answers this
    return expression
