"""
The change log for nodes that have no store: the issuer's side of a feed. Floor 3; may import: floors 0 to 2.

A service that only verifies joins, sends heartbeats and leaves like any node, through an issuer. All that is known of
it is its row in the store, so any process of the issuer can answer it, and every barrier waits for it.

Rules of this module:

1. (*renew-before-read*) First the row is written, durably, and only then is the log read, from the store: never from
   this process's own memory, which may be behind a change that has returned.
2. An answer that was held is read again, in a fresh snapshot. The node counts its lease from before it asked.
3. What an answer says of keys is read after its part of the log, and goes along with it: who has applied the answer has
   applied both.
4. A row belongs to one *owner*, whose name stands in its id. Nobody reaches another's.
5. (*missing-row-is-told*) A node that lost its place is told. Its row stays: until the node has heard it, it may be
   answering from memory, and a barrier must wait for it. Rows go when their node leaves, or when they have stood still
   for a lease.
6. An owner has :data:`MOST_NODES` nodes at most: counted after the row was written, so that of two who come at once not
   both are one too many.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, UnsetType

from coatcheck.clock import Clock
from coatcheck.errors import InvalidInput, StoreUnavailable
from coatcheck.fleet.hints import Hints
from coatcheck.fleet.lease import BEATS_PER_LEASE
from coatcheck.fleet.news import Line, News, Told
from coatcheck.records import GUEST, Kind, Node, Tail
from coatcheck.stores.base import LEASE_S, EmbeddedStore, FleetStore, Guests
from coatcheck.tokens import keys

log = logging.getLogger("coatcheck")

MOST_NODES = 16
MOST_HELD = 2 * MOST_NODES
PAGE = 2_000
_ROOM_S = 3.0
_TOLD: Mapping[Kind, Told] = {Kind.REVOKED: "revoked", Kind.RENEWED: "renewed", Kind.CLAIMS: "claims"}
_OF_KEYS = frozenset({Kind.KEYS, Kind.EVERYONE})


class Feeding:
    """
    Answers the nodes of one engine's feed.

    Args:
        hints: Where held answers wait.
    """

    def __init__(self, store: EmbeddedStore | FleetStore, hints: Hints, clock: Clock) -> None:
        self._store = store
        self._guests: Guests = store if store.is_embedded else store.guests
        self._hints = hints
        self._clock = clock
        self._lease_s: float | None = None
        self._held: Counter[str] = Counter()
        self._making_room: dict[str, asyncio.Task[bool]] = {}
        self._is_ending = False

    def start(self) -> None:
        """Hold answers from here on."""
        self._is_ending = False

    async def join(self, owner: str, label: str) -> News | None:
        """
        Take in a new node of *owner*, and return every change that is not forgotten, or the first part of them.

        Returns:
            None when *owner* has :data:`MOST_NODES` already, and none of them is dead.
        """
        if len(await self._nodes_of(owner)) >= MOST_NODES and not await self._make_room(owner):
            return None
        node = secrets.token_hex(16)
        self._lease_s = await self._guests.join(_row(owner, node), label=f"{owner}: {label}")
        if len(await self._nodes_of(owner)) > MOST_NODES:
            await self._store.leave(_row(owner, node))  # it was told nothing yet
            return None
        return await self._news(node, await self._guests.tail(0), with_keys=True)

    async def beat(
        self, owner: str, node: str, *, beat: int, applied: int, epoch: int, wait_s: float | None = None
    ) -> News | None:
        """
        Note what *node* says of itself, then return what is new; hold the answer for a while when nothing is.

        Args:
            wait_s: For how long at most. A quarter of the lease is the most there is, and what None means.

        Returns:
            None when it must forget everything and join anew: there is no such row, or its place in the log is lost.
        """
        mark = self._hints.mark()
        tail = await self._guests.beat(_row(owner, node), beat=beat, applied=applied, epoch=epoch)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._hold_s(owner, await self.lease_s(), wait_s)
        self._held[owner] += 1
        try:
            while tail is not None and _is_at(tail, applied, epoch) and not self._is_ending:
                left_s = until - loop.time()
                if left_s <= 0:
                    break
                await self._hints.wait(mark, left_s)
                mark = self._hints.mark()
                tail = await self._guests.tail(applied)
        finally:
            self._held[owner] -= 1
            if not self._held[owner]:
                del self._held[owner]
        if tail is None or not _follows(tail, applied, epoch):
            return None
        return await self._news(node, tail, with_keys=False)

    async def leave(self, owner: str, node: str) -> None:
        """Remove the row of a node that accepts nothing more."""
        await self._store.leave(_row(owner, node))

    async def lease_s(self) -> float:
        """Return the lease, a setting of the store."""
        if self._lease_s is None:
            self._lease_s = (await self._store.nodes()).lease_s
        return self._lease_s

    async def stop(self) -> None:
        """End what runs in the background, and hold no answer any longer: the nodes go elsewhere, or come again."""
        self._is_ending = True
        tasks = list(self._making_room.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._hints.stop()

    def _hold_s(self, owner: str, lease_s: float, wait_s: float | None) -> float:
        if self._held[owner] >= MOST_HELD:
            return 0.0  # more than its nodes can ask for
        most = lease_s / BEATS_PER_LEASE
        return most if wait_s is None else min(wait_s, most)

    async def _news(self, node: str, tail: Tail, *, with_keys: bool) -> News:
        part = tail.changes[:PAGE]
        found: dict[str, Any] | UnsetType = UNSET
        if with_keys or any(change.kind in _OF_KEYS for change in part):
            rows = await self._guests.keys()
            if any(row.epoch != tail.epoch for row in rows):
                raise StoreUnavailable("the change log began a new epoch while it was read")
            found = keys.KeySet(keys.public_only(row) for row in rows).jwks(self._clock.now())
        return News(
            node=node,
            epoch=tail.epoch,
            trimmed=tail.trimmed,
            head=tail.head,
            upto=part[-1].position if part else tail.head,
            changes=[
                Line(position=change.position, kind=_TOLD[change.kind], sid=change.sid, version=change.version)
                for change in part
                if change.kind in _TOLD and change.sid is not None
            ],
            keys=found,
            lease_s=await self.lease_s(),
        )

    # --- counting ---

    async def _nodes_of(self, owner: str) -> list[Node]:
        nodes = await self._store.nodes()
        self._lease_s = nodes.lease_s
        return [node for node in nodes.rows if node.id.startswith(_row(owner, ""))]

    async def _make_room(self, owner: str) -> bool:
        """Drop the dead among the nodes of *owner*; say whether there were any. Takes a lease, and is waited for."""
        task = self._making_room.get(owner)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._drop_dead(owner), name="coatcheck-feed-room")
            self._making_room[owner] = task
            task.add_done_callback(lambda done: self._made_room(owner, done))
        done, _ = await asyncio.wait([task], timeout=_ROOM_S)
        return bool(done) and task.result()

    def _made_room(self, owner: str, done: asyncio.Task[bool]) -> None:
        del self._making_room[owner]
        if not done.cancelled() and (fault := done.exception()) is not None:
            log.warning("dead nodes cannot be dropped now", extra={"owner": owner, "kind": type(fault).__name__})

    async def _drop_dead(self, owner: str) -> bool:
        seen = await self._nodes_of(owner)
        await asyncio.sleep(self._lease_s or LEASE_S)
        # By compare: whoever has said anything since is alive, and stays.
        dropped = [await self._store.drop_node(node.id, beat=node.beat) for node in seen]
        return any(dropped)


def _row(owner: str, node: str) -> str:
    if ":" in owner:
        raise InvalidInput("owner", "holds a colon", "give a client's id")  # or "a" could reach the nodes of "a:b"
    return f"{GUEST}{owner}:{node}"


def _is_at(tail: Tail, applied: int, epoch: int) -> bool:
    # Of a change of data, which concerns no access token, nobody waits for its word.
    last = tail.changes[-1].position if tail.changes else applied
    return (
        tail.epoch == epoch
        and tail.trimmed <= applied
        and last == tail.head
        and all(change.kind is Kind.DATA for change in tail.changes)
    )


def _follows(tail: Tail, applied: int, epoch: int) -> bool:
    return tail.epoch == epoch and tail.trimmed <= applied <= tail.head
