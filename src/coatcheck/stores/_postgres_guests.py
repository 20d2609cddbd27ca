"""
Nodes that come through another node: a service on its feed. Floor 2; may import: floor 0.

Rules of this module:

1. Guests have connections of their own. However many heartbeats a process passes on, none of them keeps its own
   waiting.
2. They are woken by the process, so nothing listens here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from coatcheck.records import KeyRow, Tail
from coatcheck.stores._postgres_lanes import Connection, Lane
from coatcheck.stores._postgres_nodes import NodeRows

SIZE = 4


class Guests:
    """
    What a node needs of the store, for somebody else's nodes.

    Args:
        rows: Their rows. here: see :meth:`PostgresStore._here`. keys: reads the keys.

        lane: Returns the connections, while the store is open; raises otherwise.
    """

    def __init__(
        self,
        rows: NodeRows,
        here: Callable[..., Callable[[Connection], Awaitable[Any]]],
        keys: Callable[[Connection], Awaitable[list[KeyRow]]],
        lane: Callable[[], Lane],
    ) -> None:
        self._rows = rows
        self._here = here
        self._keys = keys
        self._lane = lane

    async def join(self, node: str, *, label: str) -> float:
        lease_s: float = await self._lane().write(self._here(self._rows.join, node, label), again=True)
        return lease_s

    async def beat(self, node: str, *, beat: int, applied: int, epoch: int) -> Tail | None:
        is_there = await self._lane().write(self._here(self._rows.beat, node, beat, applied, epoch), again=True)
        return await self.tail(applied) if is_there else None

    async def tail(self, after: int) -> Tail:
        return await self._lane().read(lambda connection: self._rows.tail(connection, after))

    async def keys(self) -> list[KeyRow]:
        return await self._lane().read(self._keys)
