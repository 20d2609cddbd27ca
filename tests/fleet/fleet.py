"""Several nodes over one store, in one event loop, with gates at every call of the store."""

import asyncio
import contextlib
from collections import defaultdict

from msgspec.structs import replace

import coatcheck.engine.life
import coatcheck.records
from coatcheck import Coatcheck, StoreUnavailable
from coatcheck.records import Tail
from coatcheck.stores.memory import MemoryStore
from coatcheck.testing import ManualClock

ISSUER = "https://auth.example.com"
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldCE"
LEASE_S = 1.5


class SharedMemory(MemoryStore):
    """A dict, used as a store behind a network: its readers hold leases."""

    is_embedded = False

    def __init__(self):
        super().__init__()
        self._news = asyncio.Event()

    @property
    def guests(self):
        return self

    async def join(self, node, *, label):
        await super().join(node, label=label)
        return LEASE_S

    async def nodes(self):
        return coatcheck.records.Nodes(
            epoch=self._epoch, head=self._head, lease_s=LEASE_S, rows=tuple(self._nodes.values())
        )

    def _append(self, *args):
        head = super()._append(*args)
        self._news.set()
        self._news = asyncio.Event()
        return head

    async def pushed(self):
        await self._news.wait()


class Gate:
    """Where calls of one method stop: before the store hears of them, or when its answer is on the way."""

    def __init__(self):
        self.arrived = asyncio.Event()
        self._open = asyncio.Event()
        self.fault = None

    async def passed(self):
        self.arrived.set()
        await self._open.wait()
        if self.fault is not None:
            raise self.fault

    def open(self):
        """Let everybody through."""
        self._open.set()

    def lose(self):
        """What stands here is lost: whoever waits for it hears that the store does not answer."""
        self.fault = StoreUnavailable("lost")
        self._open.set()


class Wire:
    """What lies between one node and the store."""

    def __init__(self, inner):
        self.inner = inner
        self.is_embedded = inner.is_embedded
        self._before, self._after = {}, {}
        self.cut = set()
        self.page = None  # at most so many lines of the log in one answer
        self.calls = defaultdict(int)
        self.answers = defaultdict(int)
        self._answer = asyncio.Event()

    def hold(self, name):
        """Stop calls of *name* before the store hears of them."""
        gate = self._before[name] = Gate()
        return gate

    def hold_answer(self, name):
        """Stop the answers of *name*."""
        gate = self._after[name] = Gate()
        return gate

    def release(self, name):
        """Let later calls of *name* through; who stands at a gate goes on standing there."""
        self._before.pop(name, None)
        self._after.pop(name, None)

    async def answered(self, name, count):
        """Wait until *count* calls of *name* were answered in all, and their callers have gone as far as they can."""
        while self.answers[name] < count:
            await self._answer.wait()

    async def listed(self):
        """Wait until the nodes were listed, and looked at, from here on."""
        await self.answered("nodes", self.answers["nodes"] + 2)  # the next answer may be of a list that is older

    def __getattr__(self, name):
        method = getattr(self.inner, name)
        if name in {"open", "close", "tail_now", "keys_now"} or not asyncio.iscoroutinefunction(method):
            return method

        async def call(*args, **kwargs):
            if name in self.cut:
                raise StoreUnavailable(f"{name} is cut")
            self.calls[name] += 1
            if name in self._before:
                await self._before[name].passed()
            answer = await method(*args, **kwargs)
            if self.page is not None and isinstance(answer, Tail):
                answer = replace(answer, changes=answer.changes[: self.page])
            if name in self._after:
                await self._after[name].passed()
            self.answers[name] += 1
            self._answer.set()
            self._answer = asyncio.Event()
            return answer

        return call


class Node(Coatcheck):
    """An engine with its wire."""

    @property
    def wire(self):
        return self._store

    @property
    def lease(self):
        return self._memory._watch

    def freeze(self):
        """Hold up heartbeats from the next one on."""
        return Frozen(self.wire)

    async def beaten(self):
        """Wait until a heartbeat that begins from here on is over."""
        for _ in range(2):
            await self.lease._next_round()


class Frozen:
    """A node whose heartbeats stand still, wherever the next one is."""

    def __init__(self, wire):
        self._wire = wire
        self._gates = {name: wire.hold(name) for name in ("beat", "tail")}

    async def arrived(self):
        """Wait until a heartbeat stands at a gate."""
        waiting = [asyncio.ensure_future(gate.arrived.wait()) for gate in self._gates.values()]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    def thaw(self):
        """Go on."""
        for name, gate in self._gates.items():
            self._wire.release(name)
            gate.open()


class Fleet:
    """Makes nodes over one store."""

    def __init__(self, monkeypatch, make_inner):
        self._monkeypatch = monkeypatch
        self._make_inner = make_inner
        self._stack = contextlib.AsyncExitStack()

    async def node(self, *, clock=None, **options):
        """Open one more node."""
        wire = Wire(self._make_inner())
        self._monkeypatch.setattr(coatcheck.engine.life, "from_url", lambda url: wire)
        node = Node("memory://", issuer=ISSUER, secret=SECRET, clock=clock or ManualClock(), **options)
        await self._stack.enter_async_context(node)
        # The store is this test's and new: nobody holds a lease from before its era.
        node._memory.barrier._settled_at = 0.0
        return node

    async def close(self):
        await self._stack.aclose()
