"""What others do to the servers meanwhile: move slots, flush scripts, end connections, take the memory."""

import asyncio
import contextlib
import itertools

import pytest
from tests.servers import valkey
from tests.valkey.calls import (
    STAMP,
    claim,
    end,
    end_client,
    end_everyone,
    end_subject,
    is_live,
    named,
    put,
    renew,
    sids_of,
    sign_in,
)
from tests.valkey.gates import opened

from coatcheck.errors import StoreUnavailable
from coatcheck.stores import _valkey_calls
from coatcheck.testing.store_contract import make_digest, make_family

pytestmark = pytest.mark.long


@pytest.fixture
def server():
    mine = valkey.start()
    yield mine
    mine.close()


CALLS = [
    is_live,
    sids_of,
    lambda store: store.tail(0),
    lambda store: store.nodes(),
    lambda store: store.beat("n1", beat=1, applied=0, epoch=1),
    lambda store: put(store, x=1),
    lambda store: claim(store, x=1),
    lambda store: store.add_family(make_family("f", "a")),
    lambda store: store.rotate_family(make_digest("f")[:16], generation=1, now=9),
    lambda store: renew(store, version=3),
    end_client,
    end,
    end_subject,
    end_everyone,
    lambda store: store.sweep(now=0, limit=9),
    lambda store: sign_in(store, "n"),
]


@pytest.mark.parametrize(
    "words", [("SCRIPT", "FLUSH"), ("CLIENT", "KILL", "TYPE", "normal"), ("CLIENT", "KILL", "TYPE", "pubsub")]
)
async def test_what_others_do_to_a_server_is_noticed_by_nobody(server, words):
    """Scripts are loaded again, connections are made again: each call works the first time."""
    async with opened(server.url()) as (store, _):
        await sign_in(store)
        await store.join("n1", label="")
        for number, call in enumerate(CALLS):
            server.call(*words)
            with contextlib.suppress(IndexError):
                await asyncio.sleep(0)  # what was closed is told to the loop before anything is sent
                assert await call(store) is not None or number in (13, 15), number


async def test_who_writes_while_connections_are_ended_hears_what_is_so(server):
    """What was acknowledged is so; of the rest everybody hears that nobody knows."""
    async with opened(server.url()) as (store, _):
        for n in range(60):
            await sign_in(store, f"s{n}", most=99)
        done = asyncio.Event()

        async def disturb():
            while not done.is_set():
                await asyncio.to_thread(server.call, "CLIENT", "KILL", "TYPE", "normal")

        disturbing = asyncio.create_task(disturb())
        outcomes = await asyncio.gather(*(end(store, f"s{n}") for n in range(60)), return_exceptions=True)
        done.set()
        await disturbing
        assert all(isinstance(one, int | StoreUnavailable) for one in outcomes), outcomes
        lines = set(await named(store))
        for n, outcome in enumerate(outcomes):
            if isinstance(outcome, int):
                assert f"s{n}" in lines and not await is_live(store, f"s{n}")


async def test_a_server_without_memory_is_said_to_be_so_and_nothing_is_half_done(server, monkeypatch):
    """Each write says so; what is believed is what was; and when there is memory again, all can be done."""
    monkeypatch.setattr(_valkey_calls, "WAIT_S", 1.0)
    async with opened(server.url()) as (store, _):
        await sign_in(store)
        await store.add_family(make_family("f", "a"))
        await store.join("n1", label="")
        head = (await store.tail(0)).head
        server.config(maxmemory="1")
        writes = [
            lambda: sign_in(store, "n"),
            lambda: end(store),
            lambda: end_subject(store),
            lambda: end_everyone(store),
            lambda: claim(store, x=1),
            lambda: put(store, x=1),
            lambda: renew(store),
            lambda: end_client(store),
            lambda: store.reset_keys(stamp=STAMP),
            lambda: store.beat("n1", beat=1, applied=0, epoch=1),
        ]
        for number, write in enumerate(writes):
            with pytest.raises(StoreUnavailable, match="memory"):
                await write()
            assert await is_live(store), number
            assert (await store.tail(0)).head == head
        server.config(maxmemory="0")
        assert await store.load(make_digest("n")) is None
        assert await store.family(make_digest("f")[:16]) is not None
        assert await end_subject(store) == head + 1
        assert not await is_live(store)


# --- slots on their way ---


@pytest.fixture
def cluster():
    made = valkey.cluster()
    yield made
    made.close()


def in_one_bucket(store, prefix):
    """Return names of sessions that are all in the same bucket, without end."""
    tag = store._n.row("first")[0]
    return (name for n in itertools.count() if store._n.row(name := f"{prefix}{n}")[0] == tag)


class Ledger:
    """What was acknowledged, and whether it is so."""

    def __init__(self, store, names):
        self._store = store
        self._names = names
        self.live, self.ended = [], []

    async def add(self):
        """Sign somebody in, and end somebody: as far as it is acknowledged."""
        name = next(self._names)
        with contextlib.suppress(StoreUnavailable):
            await sign_in(self._store, name, sub=None)
            self.live.append(name)
        if len(self.live) > 2:
            name = self.live.pop(0)
            with contextlib.suppress(StoreUnavailable):
                await end(self._store, name)
                self.ended.append(name)

    async def check(self):
        lines = set(await named(self._store))
        assert set(self.ended) <= lines
        for name in self.ended:
            assert not await is_live(self._store, name)
        for name in self.live:
            assert await is_live(self._store, name)


async def test_writes_to_a_bucket_that_moves_key_by_key(cluster, monkeypatch):
    """What is acknowledged meanwhile is so afterwards, and what is not, in bounded time."""
    monkeypatch.setattr(_valkey_calls, "WAIT_S", 0.5)
    async with opened(cluster.url()) as (store, _):
        ledger = Ledger(store, in_one_bucket(store, "s"))
        for _ in range(5):
            await ledger.add()
        slot = valkey.slot_of(store._n.row("first")[0].decode())
        source = cluster.primary_of(slot)
        to = next(server for server in cluster.primaries() if server is not source)
        for _ in cluster.moving(slot, to):
            await ledger.add()
            for name in ledger.ended:
                with contextlib.suppress(StoreUnavailable):
                    assert not await is_live(store, name)
        monkeypatch.setattr(_valkey_calls, "WAIT_S", 5.0)
        await ledger.add()
        assert len(ledger.ended) >= 2
        await ledger.check()


async def test_writes_to_a_bucket_that_moves_at_once(cluster):
    """Nobody notices but by the time that it takes."""
    async with opened(cluster.url()) as (store, _):
        ledger = Ledger(store, in_one_bucket(store, "s"))
        slot = valkey.slot_of(store._n.row("first")[0].decode())
        for _ in range(2):
            source = cluster.primary_of(slot)
            to = next(server for server in cluster.primaries() if server is not source)
            moving = asyncio.ensure_future(asyncio.to_thread(cluster.move_slot, slot, to, at_once=True))
            while not moving.done():
                await ledger.add()
            await moving
        await ledger.add()
        await ledger.check()


async def test_home_moves_while_it_is_written_to(cluster):
    """The log, the nodes and the keys come along, and one era begins."""
    async with opened(cluster.url()) as (store, _):
        ledger = Ledger(store, (f"s{n}" for n in itertools.count()))
        await store.join("n1", label="")
        before = (await store.tail(0)).epoch
        slot = valkey.slot_of(store._n.meta.decode())
        source = cluster.primary_of(slot)
        to = next(server for server in cluster.primaries() if server is not source)
        moving = asyncio.ensure_future(asyncio.to_thread(cluster.move_slot, slot, to, at_once=True))
        while not moving.done():
            await ledger.add()
        await moving
        await ledger.add()
        await ledger.check()
        assert (await store.tail(0)).epoch > before
        assert [row.id for row in (await store.nodes()).rows] == ["n1"]
