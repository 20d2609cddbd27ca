"""
Everything between the store and the Valkey servers. Floor 2; may import: floor 0.

A call names a script and keys of one slot. It goes to the primary that has the slot, on a line of its purpose, and
comes back with an answer, or with :class:`StoreUnavailable` in bounded time. From here downwards:

- :mod:`._valkey_calls`: what may be tried again, and how long.
- :mod:`._valkey_places`: where the primaries are.
- :mod:`._valkey_line`: who goes together, on which connection; :mod:`._valkey_disks`: when a change counts.
- :mod:`._valkey_connect`, :mod:`._valkey_refuse`: which server is accepted.

Rules of this module:

1. Nothing is asked of a replica, and nothing counts that is not on as many disks as it must be on.
2. No text holds a password or a value.
3. Nothing here survives a fork (:meth:`Wire.abandon`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any

from redis.asyncio.connection import Connection
from redis.crc import key_slot

from coatcheck.errors import CoatcheckError, Forked, NotOpen, StoreUnavailable, StoreUnusable
from coatcheck.stores import _valkey_calls as calls
from coatcheck.stores._valkey_calls import NO_ANSWER, Call, Calls, Purpose, Reply, nap
from coatcheck.stores._valkey_connect import Connector, Link, Script, Word
from coatcheck.stores._valkey_disks import Disks
from coatcheck.stores._valkey_faults import NotDone, Refused
from coatcheck.stores._valkey_line import Line
from coatcheck.stores._valkey_places import Places, Server, places, view_of_cluster
from coatcheck.stores._valkey_push import POLL_S, Listener
from coatcheck.stores._valkey_url import Settings

__all__ = ["Purpose", "Reply", "Script", "Wire"]

_PACKER = Connection(protocol=2)  # never connected; it knows how commands are written


_SIZES = dict.fromkeys(Purpose, 2) | {Purpose.HEART: 1, Purpose.BARRIER: 1}


class Wire:
    """
    All connections of one store.

    Args:
        scripts: All that are ever run.

    Attributes:
        is_slow_to_sync: Whether each change waits for up to a second, for a disk that is synced once in one.
    """

    def __init__(self, settings: Settings, scripts: Sequence[Script]) -> None:
        self._settings = settings
        self._scripts = scripts
        self._fault: CoatcheckError | None = NotOpen("the store is not open")
        self._most = 0
        self._connector: Connector
        self._places: Places
        self._calls: Calls
        self._listeners: dict[bytes, Listener] = {}

    def __repr__(self) -> str:
        return f"Wire({self._settings.shown!r})"

    @property
    def is_slow_to_sync(self) -> bool:
        return self._connector.is_slow_to_sync

    @property
    def most_replicas(self) -> int:
        """The most replicas that a single server ever had: so many must have a change, also when one is away."""
        return max([self._most, *(server.disks.most for server in self._places.servers)])

    @most_replicas.setter
    def most_replicas(self, number: int) -> None:
        self._most = number

    # --- opening and closing ---

    async def open(self) -> None:
        """
        Find the servers, and look whether each primary may be used.

        Raises:
            StoreUnusable: One must not be, as it is. StoreUnavailable: one does not answer.
        """
        self._now = asyncio.get_running_loop().time
        self._connector = Connector(self._settings, self._scripts)
        self._places = places(self._settings, self._connector, self._made)
        self._places.moved = self._moved
        self._calls = Calls(self._places, self._line, is_single=self._settings.mode == "single")
        said = NO_ANSWER
        try:
            async with asyncio.timeout(calls.WAIT_S):
                for naps in range(1000):
                    try:
                        await self._look_at_all()
                        break
                    except NotDone as fault:
                        said = fault.said
                        await nap(naps)
            self._fault = None
        except Refused as refused:
            raise StoreUnusable(f"Valkey: {refused.said}") from None
        except TimeoutError:
            raise StoreUnavailable(f"Valkey: {said}; tried for {calls.WAIT_S:g} s") from None
        finally:
            if self._fault is not None:
                await self._let_go()

    async def _look_at_all(self) -> None:
        await self._places.look()
        if any(self._places.of(slot) is None for slot in range(16384)):
            raise NotDone("slots of the cluster have no server; look at: valkey-cli --cluster check")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_kept(self._probe(server))) for server in self._places.primaries]
        faults = [fault for task in tasks if (fault := task.result()) is not None]
        for fault in sorted(faults, key=lambda fault: isinstance(fault, NotDone)):
            raise fault  # one that no second try mends, if there is one

    async def _probe(self, server: Server) -> None:
        link = await self._connect(server, is_probing=True)
        self._line(server, Purpose.READS).give(link)

    async def close(self) -> None:
        """Let what is under way come to its end, for as long as a call may take; then let go of all connections."""
        if self._fault is not None:
            return
        self._fault = NotOpen("the store is closed")
        await self._calls.finish()
        await self._let_go()

    async def _let_go(self) -> None:
        await asyncio.gather(*(listener.close() for listener in self._listeners.values()))
        self._listeners.clear()
        await self._places.close()
        lines = [line for server in self._places.servers for line in server.lines.values()]
        links = [link for line in lines for link in line.idle]
        await asyncio.gather(*(line.close() for line in lines))
        await asyncio.gather(*(link.close() for link in links))
        for server in self._places.servers:
            server.lines.clear()

    def abandon(self) -> list[Any]:
        """
        In a forked child: give away the parent's connections, and what uses them, untouched.

        To close one here would say goodbye in the parent's name, and to free one would take it from the parent's loop.
        """
        if isinstance(self._fault, NotOpen):
            return []
        self._fault = Forked("the store was opened before a fork; open it in each worker")
        things = self._places.abandon()
        for server in self._places.servers:
            for line in server.lines.values():
                things += line.abandon()
            server.lines.clear()
        for listener in self._listeners.values():
            things += listener.abandon()
        self._listeners.clear()
        return things

    # --- calls ---

    async def run(
        self,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[Word],
        *,
        purpose: Purpose,
        durable: bool,
        again: bool = True,
        wait_s: float | None = None,
    ) -> Reply:
        """
        Run *script* where its keys are.

        Args:
            keys: All of one slot, and at least one. durable: whether it counts only when it is on the disks.

            again: Whether it may be done twice: it is, when it was sent and not answered.

            wait_s: How long it may take in all.

        Raises:
            StoreUnavailable: It was not done, or nobody knows whether it was, or it is not on as many disks as it must
                be on.
        """
        packed = _PACKER.pack_command("EVALSHA", script.sha, len(keys), *keys, *args)
        return await self._run(Call(packed, purpose, is_durable=durable, again=again), key_slot(keys[0]), wait_s)

    async def command(self, *words: Word, key: bytes, purpose: Purpose = Purpose.READS) -> Reply:
        """Run one command that only reads, where *key* is."""
        call = Call(_PACKER.pack_command(*words), purpose, is_durable=False, again=True)
        return await self._run(call, key_slot(key), None)

    async def everywhere(self, *words: Word) -> list[Reply]:
        """Run one command that may be done twice on every primary."""
        self._check_usable()
        packed = _PACKER.pack_command(*words)

        def there(server: Server) -> Awaitable[Reply]:
            call = Call(packed, Purpose.READS, is_durable=False, again=True)
            return self._calls.run(call, lambda: self._places.now(server))

        return list(await asyncio.gather(*map(there, self._places.primaries)))

    async def together(self, key: bytes, others: Iterable[bytes]) -> list[bytes]:
        """Return those of *others* that are where *key* is, in a cluster, by the word of the server that has it."""
        shards = (await self.command("CLUSTER", "SHARDS", key=key)).value
        slot = key_slot(key)
        for _, _, _, ranges in view_of_cluster({}, shards, ("", 0), tls=False).primaries:
            if any(first <= slot <= last for first, last in ranges):
                return [other for other in others if any(first <= key_slot(other) <= last for first, last in ranges)]
        return []

    async def wall(self, key: bytes) -> float:
        """Return the calendar of the server that has *key*, seconds."""
        seconds, micros = (await self.command("TIME", key=key)).value
        return int(seconds) + int(micros) / 1e6

    async def pushed(self, channel: bytes) -> None:
        """
        Return when something was published in *channel* since this was last called, or may have been.

        A hint: it does not fail; where it cannot tell, it waits.
        """
        if self._fault is not None:
            await asyncio.sleep(POLL_S)
            return
        listener = self._listeners.get(channel)
        if listener is None:
            slot = key_slot(channel)
            listener = Listener(channel, lambda: self._places.of(slot), self._connect)
            self._listeners[channel] = listener
        await listener.pushed()

    def _run(self, call: Call, slot: int, wait_s: float | None) -> Awaitable[Reply]:
        self._check_usable()
        return self._calls.run(call, lambda: self._places.of(slot), slot=slot, wait_s=wait_s)

    # --- servers ---

    def _made(self, server: Server) -> None:
        """Say of a new server how many of its replicas must have a change."""
        settings = self._settings

        def needed(disks: Disks) -> int:
            if settings.durability is not None:
                return settings.durability
            if settings.mode == "cluster":
                return server.replicas
            return max(self._most, disks.most) if settings.mode == "single" else max(server.replicas, disks.connected)

        server.disks = Disks(needed, is_counting=settings.mode != "cluster" and settings.durability is None)

    def _line(self, server: Server, purpose: Purpose) -> Line:
        if purpose not in server.lines:
            server.lines[purpose] = Line(lambda: self._connect(server), server.disks, size=_SIZES[purpose])
        return server.lines[purpose]

    async def _connect(self, server: Server, *, is_probing: bool = False) -> Link:
        link = await self._connector.connect(server.host, is_probing=is_probing)
        if server.shard and link.checked.shard != server.shard:
            link.terminate()
            raise NotDone("the servers changed again and again")
        server.disks.saw(link.checked.replicas, self._now())
        return link

    def _moved(self) -> None:
        for listener in self._listeners.values():
            listener.look()

    def _check_usable(self) -> None:
        if self._fault is not None:
            raise self._fault


async def _kept(work: Awaitable[None]) -> Exception | None:
    """Return what *work* fails with, so that it ends nobody else's."""
    try:
        await work
    except (NotDone, Refused) as fault:
        return fault
    return None
