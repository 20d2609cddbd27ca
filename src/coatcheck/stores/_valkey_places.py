"""
Where the primaries are. Floor 2; may import: floor 0.

Three kinds: one server that stays where it is, one that sentinels name, and those of a cluster.

Rules of this module:

1. Whoever says where a primary is may be behind the times: it is asked again when anything went wrong, several are
   asked, and one that knows an older epoch than was heard before is believed only where no other answers.
2. One look at a time, and a few a second at most, however many ask for it. Those who ask ride on the same.
3. All replicas that are configured count, those that do not answer included: what is lost with a primary must be found
   on whichever of them takes its place.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from coatcheck.stores._valkey_connect import Connector
from coatcheck.stores._valkey_disks import Disks
from coatcheck.stores._valkey_faults import Fault, NotDone, Refused, code_of, of_connecting
from coatcheck.stores._valkey_line import Line
from coatcheck.stores._valkey_refuse import parse_info
from coatcheck.stores._valkey_url import Host, Settings

T = TypeVar("T")
SLOTS = 16384
LOOK_GAP_S = 0.2
"""The least time between two looks."""

LOOK_AGAIN_S = 10.0
"""How old a look may be before somebody who writes has a new one made behind his back: replicas may have come."""

_ASK_S = 1.5
_STAGGER_S = 0.25


class Server:
    """
    A primary.

    Attributes:
        host: Where it is. shard: its part of the cluster; empty where there is none, or it was not said.

        replicas: How many are configured, as far as those who name primaries know.

        lines: To it, by purpose. disks: how many replicas must have a change.
    """

    def __init__(self, host: Host, shard: str = "") -> None:
        self.host = host
        self.shard = shard
        self.replicas = 0
        self.lines: dict[str, Line] = {}
        self.disks: Disks

    def __repr__(self) -> str:
        return f"<Valkey at {self.host[0]}:{self.host[1]}>"


class View(msgspec.Struct, kw_only=True):
    """
    What somebody says of where the primaries are.

    Attributes:
        epoch: The higher, the newer. is_sound: whether who says it has a part in the whole.

        primaries: Host, shard, number of replicas and ranges of slots of each; without slots, it gets some soon.

        nodes: All who may be asked the next time.
    """

    epoch: int = 0
    is_sound: bool = True
    primaries: list[tuple[Host, str, int, list[tuple[int, int]]]]
    nodes: list[Host] = []


class Places:
    """
    Where the primaries are, as far as is known.

    Args:
        made: Is told of each new server.

    Attributes:
        servers: All primaries. moved: is called when they are others.

        looked_at: When a look last succeeded, by the clock of the event loop.
    """

    def __init__(self, settings: Settings, connector: Connector, made: Callable[[Server], None]) -> None:
        self.servers: list[Server] = []
        self.moved: Callable[[], None] = lambda: None
        self.looked_at = 0.0
        self._settings = settings
        self._connector = connector
        self._made = made
        self._slots: list[Server | None] = [None] * SLOTS
        self._known: list[Host] = list(settings.hosts)
        self._epoch = -1
        self._began = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._is_closed = False
        self._now = asyncio.get_running_loop().time

    def of(self, slot: int) -> Server | None:
        """Return the primary of *slot*, if one is known."""
        return self._slots[slot]

    def at(self, host: Host) -> Server | None:
        """Return the primary at *host*, if one is known there."""
        return next((server for server in self.servers if server.host == host), None)

    def point(self, slot: int, host: Host) -> None:
        """Note that *host* was said to have *slot*. A host that nobody named as a primary has to be looked for."""
        if (server := self.at(host)) is not None:
            self._slots[slot] = server

    @property
    def primaries(self) -> list[Server]:
        """Those that have slots."""
        used = set(self._slots)
        return [server for server in self.servers if server in used]

    def now(self, server: Server) -> Server | None:
        """Return *server*, or what has taken its place."""
        if server in self.servers:
            return server
        is_known = bool(server.shard) or self._settings.mode != "cluster"
        return next((one for one in self.servers if is_known and one.shard == server.shard), None)

    async def look(self) -> None:
        """
        Look where the primaries are now.

        Raises:
            NotDone: Nobody says it. Refused: nobody may be asked.
        """
        looking = self._begin()
        try:
            await asyncio.shield(looking)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._is_closed and task is not None and not task.cancelling():
                raise NotDone("the store is closed") from None  # the look was cancelled, and not its caller
            raise

    def look_behind(self) -> None:
        """Begin a look if none is under way; nobody waits for it."""
        if not self._is_closed:
            self._begin()

    def _begin(self) -> asyncio.Task[None]:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_soon())
            self._looking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._looking

    async def _look_soon(self) -> None:
        await asyncio.sleep(max(0.0, self._began + LOOK_GAP_S - self._now()))
        self._began = self._now()
        self._take(await self._view())
        self.looked_at = self._now()

    async def _view(self) -> View:
        everything = [(0, SLOTS - 1)]
        return View(primaries=[(host, "", 0, everything) for host in self._settings.hosts])

    def _take(self, view: View) -> None:
        old = {(server.host, server.shard): server for server in self.servers}
        slots: list[Server | None] = [None] * SLOTS
        servers = []
        for host, shard, replicas, ranges in view.primaries:
            server = old.pop((host, shard), None)
            if server is None:
                server = Server(host, shard)
                self._made(server)
            server.replicas = replicas
            servers.append(server)
            for first, last in ranges:
                slots[first : last + 1] = [server] * (last + 1 - first)
        changed = slots != self._slots
        self.servers, self._slots = servers, slots
        self._epoch = max(self._epoch, view.epoch)
        self._known = list(dict.fromkeys((*view.nodes, *self._settings.hosts)))
        for server in old.values():
            for line in server.lines.values():
                line.retire(NotDone("the servers changed again and again"))
        if changed:
            self.moved()

    async def _first_good(self, ask: Callable[[Host], Awaitable[View]]) -> View:
        hosts = random.sample(self._known, len(self._known))
        return await first_good(hosts, ask, lambda view: view.is_sound and view.epoch >= self._epoch)

    async def close(self) -> None:
        """Look no more."""
        self._is_closed = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    def abandon(self) -> list[Any]:
        """In a forked child: give away what is under way, untouched."""
        looking, self._looking = self._looking, None
        return [looking]


async def first_good(
    hosts: Iterable[Host], ask: Callable[[Host], Awaitable[View]], good: Callable[[View], bool]
) -> View:
    """
    Ask one host after the other, the next before the last has answered if that takes long; return the first good view.

    Where none is good, the newest of the others; where there is none, the fault is raised.
    """
    waiting, pending = list(hosts), set[asyncio.Task[View]]()
    views: list[View] = []
    fault: Fault = NotDone("no server is known")
    try:
        while waiting or pending:
            if waiting:
                task = asyncio.create_task(_bounded(ask(waiting.pop())))
                # Whoever fails when another has answered is asked no more: nobody else would hear of it.
                task.add_done_callback(lambda task: task.cancelled() or task.exception())
                pending.add(task)
            done, pending = await asyncio.wait(
                pending, timeout=_STAGGER_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                error = task.exception()
                if error is None:
                    views.append(task.result())
                    if good(views[-1]):
                        return views[-1]
                elif not isinstance(error, Fault):
                    raise error
                elif not isinstance(fault, Refused):
                    fault = error
    finally:
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)
    if not views:
        raise fault
    return max(views, key=lambda view: (view.epoch, view.is_sound))


async def _bounded(asking: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(_ASK_S):
            return await asking
    except TimeoutError:
        raise NotDone("no answer in time") from None


class SentinelPlaces(Places):
    """Sentinels name the primary."""

    async def _view(self) -> View:
        return await self._first_good(self._ask)

    async def _ask(self, host: Host) -> View:
        settings, name = self._settings, self._settings.master
        answers = await self._connector.ask(
            host,
            settings.sentinel_user,
            settings.sentinel_password,
            ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name),
            ("SENTINEL", "MASTER", name),
            ("SENTINEL", "REPLICAS", name),
        )
        return view_of_sentinel(answers)


def view_of_sentinel(answers: Sequence[Any]) -> View:
    """Take apart what a sentinel answers."""
    address, master, replicas = answers
    if address is None or "no such master" in str(master).lower():
        raise Refused("the sentinels know no primary of this name; look at sentinel= in the URL")
    for answer in answers:
        if isinstance(answer, Exception):
            if code_of(answer) == "ERR":
                raise Refused("this is no sentinel; name the sentinels, or take sentinel= out of the URL")
            raise of_connecting(answer)
    told = _pairs(master)
    host = (address[0].decode(), int(address[1]))
    return View(epoch=int(told.get("config-epoch", 0)), primaries=[(host, "", len(replicas), [(0, SLOTS - 1)])])


class ClusterPlaces(Places):
    """Nodes of the cluster name each other."""

    async def _view(self) -> View:
        return await self._first_good(self._ask)

    async def _ask(self, host: Host) -> View:
        settings = self._settings
        asked = (("CLUSTER", "INFO"), ("CLUSTER", "SHARDS"))
        info, shards = await self._connector.ask(host, settings.user, settings.password, *asked)
        for answer in (info, shards):
            if isinstance(answer, Exception):
                if "cluster support disabled" in str(answer):
                    raise Refused("the server is no part of a cluster; take cluster=true out of the URL")
                raise of_connecting(answer)
        return view_of_cluster(parse_info(info), shards, host, tls=settings.tls)


def view_of_cluster(info: dict[str, str], shards: Sequence[Any], asked: Host, *, tls: bool) -> View:
    """
    Take apart what a node of a cluster answers.

    Args:
        asked: Where it was asked, which is where a node is that does not know its own address.
    """
    primaries, known = [], []
    for shard in shards:
        told = _pairs(shard)
        nodes = [_pairs(node) for node in told["nodes"]]
        hosts = [_host_of(node, asked, tls) for node in nodes]
        known += hosts
        masters = [number for number, node in enumerate(nodes) if node["role"] == b"master"]
        if masters:
            # One that failed is still called so, after another has taken its place.
            best = max(masters, key=lambda n: (nodes[n]["health"] == b"online", int(nodes[n]["replication-offset"])))
            bounds = [int(bound) for bound in told["slots"]]
            ranges = list(zip(bounds[::2], bounds[1::2], strict=True))
            primaries.append((hosts[best], told.get("id", b"").decode(), len(nodes) - 1, ranges))
    return View(
        epoch=int(info.get("cluster_current_epoch", 0)),
        is_sound=info.get("cluster_state") == "ok",
        primaries=primaries,
        nodes=known,
    )


def _host_of(node: dict[str, Any], asked: Host, tls: bool) -> Host:
    named = (node.get("endpoint") or b"").decode()
    if named in ("", "?"):
        named = (node.get("ip") or b"").decode() or asked[0]
    return named, int(node["tls-port"] if tls and "tls-port" in node else node["port"])


def _pairs(flat: Sequence[Any]) -> dict[str, Any]:
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def places(settings: Settings, connector: Connector, made: Callable[[Server], None]) -> Places:
    """Return the kind that *settings* ask for."""
    kind = {"single": Places, "sentinel": SentinelPlaces, "cluster": ClusterPlaces}[settings.mode]
    return kind(settings, connector, made)
