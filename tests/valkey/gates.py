"""
Stopping a store between two steps, so that tests play one interleaving and no other.

    async with opened(url) as (store, gates):
        gate = gates.before("append")          # the next script of this name waits here; or a command: "SMEMBERS"
        gate = gates.after("append")           # it was done; its answer waits here
        writing = asyncio.create_task(store.end(…))
        await gate.reached()
        …                                      # what others do in between
        gate.open()                            # or gates.crash(): the process ends where it stands
        await writing
"""

import asyncio
import contextlib

from coatcheck.errors import CoatcheckError, StoreUnavailable
from coatcheck.stores.valkey import ValkeyStore

PATIENCE_S = 20
READS = {"here", "read", "look", "pointed", "listed", "read_family", "read_client", "tail", "keys", "clients"}


class Crash(StoreUnavailable):
    """Nothing more is sent by this process."""


class Gate:
    """
    Holds the first call of a name.

    Args:
        skip: So many are let through before.
    """

    def __init__(self, name, skip):
        self.name = name
        self.skip = skip
        self._reached, self._open = asyncio.Event(), asyncio.Event()
        self.is_used = False

    async def pass_through(self):
        if self.skip:
            self.skip -= 1
            return
        self.is_used = True
        self._reached.set()
        await self._open.wait()

    async def reached(self):
        """Wait until a call has come here."""
        await asyncio.wait_for(self._reached.wait(), PATIENCE_S)

    def open(self):
        """Let it go on."""
        self._open.set()


class Gates:
    """All gates of one store; the names of all calls it made; and its end."""

    def __init__(self, store):
        self._wire = store._wire
        self._run, self._command = store._wire.run, store._wire.command
        self._before, self._after = [], []
        self.ran = []
        self._has_crashed = False
        self._wire.run, self._wire.command = self.run, self.command

    def before(self, name, *, skip=0):
        """Return a gate before the next call of *name*; where it is empty, of any that writes."""
        self._before.append(Gate(name, skip))
        return self._before[-1]

    def after(self, name, *, skip=0):
        """Return a gate behind the next call of *name*: it was done, and nobody knows it yet."""
        self._after.append(Gate(name, skip))
        return self._after[-1]

    def crash(self):
        """From now on nothing is sent: what stands at a gate is not done, what was done is not heard of."""
        self._has_crashed = True
        self.open()

    def open(self):
        for gate in (*self._before, *self._after):
            gate.open()

    async def run(self, script, keys, args, **how):
        return await self._pass(script.name, lambda: self._run(script, keys, args, **how))

    async def command(self, *words, **how):
        return await self._pass(words[0], lambda: self._command(*words, **how))

    async def _pass(self, name, call):
        await self._look(self._before, name)
        self.ran.append(name)
        reply = await call()
        await self._look(self._after, name)
        return reply

    async def _look(self, gates, name):
        for gate in gates:
            is_any = not gate.name and name.islower() and name not in READS
            if (is_any or gate.name == name) and not gate.is_used:
                await gate.pass_through()
        if self._has_crashed:
            raise Crash("the process has ended")


@contextlib.asynccontextmanager
async def opened(url):
    """Give an open store, and its gates."""
    store = ValkeyStore(url)
    gates = Gates(store)
    await store.open()
    try:
        yield store, gates
    finally:
        gates.open()
        await store.close()


async def play(gate, first, second):
    """Run *first* up to the gate, then *second* to its end, then *first* to its; return what both return."""
    one = asyncio.create_task(first)
    await gate.reached()
    other = await asyncio.gather(second, return_exceptions=True)
    gate.open()
    return await asyncio.gather(one, return_exceptions=True), other


async def crash_at(gates, gate, work):
    """Run *work* up to the gate, and end the process there."""
    task = asyncio.create_task(work)
    await gate.reached()
    gates.crash()
    with contextlib.suppress(CoatcheckError):
        await task
