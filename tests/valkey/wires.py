"""
Open wires for tests, and calls that go through them.

    async with opened(server.url()) as wire:
        await put(wire, "v")
"""

import asyncio
import contextlib

import pytest

from coatcheck.stores import _valkey_calls
from coatcheck.stores._valkey_url import parse
from coatcheck.stores._valkey_wire import Purpose, Script, Wire

PATIENCE_S = 30
SET = Script("set", "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])")
BOTH = Script("both", "redis.call('SET', KEYS[1], ARGV[1]) redis.call('SET', KEYS[2], ARGV[1]) return 1")
ADD = Script("add", "return redis.call('INCR', KEYS[1])")
FAIL = Script("fail", "return redis.call('INCR', KEYS[1], ARGV[1])")
BAD = Script("bad", "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('INCR', KEYS[1])")
SCRIPTS = (SET, BOTH, ADD, FAIL, BAD)


@contextlib.asynccontextmanager
async def opened(url):
    """Give an open wire."""
    wire = Wire(parse(url), SCRIPTS)
    await wire.open()
    try:
        yield wire
    finally:
        await wire.close()


async def put(wire, value, key=b"{k}", *, purpose=Purpose.WRITES, durable=True, **how):
    """Write *value*; return what is there then."""
    return (await wire.run(SET, [key], [value], purpose=purpose, durable=durable, **how)).value


async def get(wire, key=b"{k}", **how):
    """Read."""
    return (await wire.command("GET", key, key=key, **how)).value


async def add(wire, key=b"{n}", *, purpose=Purpose.WRITES, durable=True, **how):
    """Count by one; return the new number."""
    return (await wire.run(ADD, [key], [], purpose=purpose, durable=durable, **how)).value


async def until(true):
    """Ask again and again until it is true."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.005)


class Naps:
    """The naps between the tries of calls: how many there were, and an event at each."""

    def __init__(self, nap):
        self._nap = nap
        self.count = 0
        self.came = asyncio.Event()

    async def __call__(self, naps):
        self.count += 1
        self.came.set()
        await self._nap(naps)

    async def some(self, number=1):
        """Wait until calls have been tried again so many times from now on."""
        for _ in range(number):
            self.came.clear()
            await asyncio.wait_for(self.came.wait(), PATIENCE_S)


@pytest.fixture
def naps(monkeypatch):
    """What calls do between their tries."""
    found = Naps(_valkey_calls.nap)
    monkeypatch.setattr(_valkey_calls, "nap", found)
    return found


@pytest.fixture
def quick(monkeypatch):
    """Calls that wait for a second at most."""
    monkeypatch.setattr(_valkey_calls, "WAIT_S", 1.0)
