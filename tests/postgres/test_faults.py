"""What goes wrong around PostgreSQL: bounded, said in words, and never in half."""

import asyncio
import contextlib
import gc
import os

import asyncpg
import pytest
from tests.postgres.calls import PATIENCE_S, STAMP, end, put, renew, sign_in
from tests.postgres.gates import opened
from tests.servers.wire import COMMIT, Wire

from coatcheck.errors import CoatcheckError, Forked, StoreUnavailable
from coatcheck.records import Record
from coatcheck.stores import _postgres_lanes
from coatcheck.stores import _postgres_migrate as migrating
from coatcheck.stores import postgres as module
from coatcheck.stores._postgres_connect import begin
from coatcheck.stores.base import Seen
from coatcheck.stores.postgres import PostgresStore
from coatcheck.testing.store_contract import make_digest, make_family, make_key
from coatcheck.values import decode


@pytest.fixture
def quick(monkeypatch):
    """Calls that wait for half a second at most."""
    monkeypatch.setattr(module, "WAIT_S", 0.5)
    monkeypatch.setattr(module, "PATIENT_S", 0.5)


@pytest.mark.parametrize("mode", ["immediate", "fast"])
async def test_a_restart_of_the_server_is_seen_by_nobody(shaken, mode):
    """Every call works the first time afterwards; what was acknowledged is there."""
    async with opened(shaken.url()) as (store, _):
        await sign_in(store)
        await store.join("n1", label="")
        calls = [
            lambda: store.load(make_digest("a")),
            lambda: put(store, "k"),
            lambda: store.beat("n1", beat=1, applied=0, epoch=1),
            store.nodes,
            lambda: end(store, "b"),
        ]
        for call in calls:
            await call()
        for position, call in enumerate(calls, 1):
            shaken.restart(mode)
            assert await call() is not None, position
        assert decode((await store.load_sid("a")).data) == {"k": 1}


@pytest.mark.parametrize(
    ("call", "outcome"),
    [
        (end, 2),
        (lambda store: store.end_subject("maria", keep=None, note="", stamp=STAMP), 2),
        (lambda store: store.drop_key("k", stamp=STAMP), 2),
        (lambda store: store.join("n1", label=""), 2.0),
        (lambda store: put(store, "k"), None),
        (renew, None),
        (lambda store: store.change_claims("maria", {"k": 1}, [], limit=99, stamp=STAMP), None),
        (lambda store: sign_in(store, "b"), None),
        (lambda store: store.add_key(make_key("k"), newest=None, stamp=STAMP), None),
        (lambda store: store.add_family(make_family("f", "a")), None),
        (lambda store: store.rotate_family(make_family("g", "a").id, generation=1, now=5), None),
    ],
    ids=[
        "end",
        "end_subject",
        "drop_key",
        "join",
        "put",
        "renew",
        "claims",
        "sign_in",
        "add_key",
        "add_family",
        "rotate",
    ],
)
async def test_a_commit_whose_answer_is_lost(server, call, outcome):
    """What may be done twice is; of anything else nobody says that it failed or was done, and it is done once."""
    url = server.url()
    async with Wire(server.port) as wire, opened(url) as (direct, _):
        await sign_in(direct)
        await direct.add_family(make_family("g", "a"))
        async with opened(url.replace(f":{server.port}/", f":{wire.port}/")) as (store, _):
            wire.cut_after(COMMIT)
            if outcome is None:
                with pytest.raises(StoreUnavailable):
                    await call(store)
            else:
                # The first line was appended, too, by the first commit.
                assert await call(store) in (outcome, 1)
        head = (await direct.tail(0)).head
        assert head <= 2
        generation = await direct.family(make_family("g", "a").id)
        assert generation is None or generation.generation <= 2


async def test_what_was_not_committed_is_tried_again(server):
    """A connection lost before the commit was sent: whatever it was, it did not happen, and is done now, once."""
    async with Wire(server.port) as wire, opened(server.url()) as (direct, _):
        await sign_in(direct)
        url = server.url(schema=direct._s).replace(f":{server.port}/", f":{wire.port}/")
        async with opened(url) as (store, _):
            wire.cut_after(b"SET data")
            assert await put(store, "k") == 1
        assert decode((await direct.load_sid("a")).data) == {"k": 1}


async def test_a_server_that_stands_still_is_unavailable(shaken, quick):
    """Every call ends in bounded time, says so, and works when the server goes on."""
    async with opened(shaken.url()) as (store, _):
        await sign_in(store)
        await store.join("n1", label="")
        calls = [
            lambda: store.load(make_digest("a")),
            lambda: put(store, "k"),
            lambda: store.beat("n1", beat=1, applied=0, epoch=1),
            store.nodes,
            lambda: end(store, "b"),
            lambda: store.reset_keys(stamp=STAMP),
            lambda: store.touch([Seen("a", 0, 5)]),
            lambda: store.sweep(now=0, limit=9),
        ]
        shaken.pause()
        try:
            async with asyncio.timeout(PATIENCE_S):
                opening = PostgresStore(shaken.url()).open()
                faults = await asyncio.gather(*(call() for call in calls), opening, return_exceptions=True)
        finally:
            shaken.resume()
        assert [(type(fault), "no answer" in str(fault)) for fault in faults] == [(StoreUnavailable, True)] * len(
            faults
        )
        for call in calls:
            assert await call() is not None


async def test_a_look_at_the_tables_waits_no_longer_than_a_call(shaken, monkeypatch):
    """Each command takes one first; the patience of a migration is for those who migrate."""
    monkeypatch.setattr(migrating, "WAIT_S", 3.0)
    monkeypatch.setattr(migrating, "LOOK_S", 0.5)
    shaken.pause()
    try:
        with pytest.raises(StoreUnavailable, match=r"no answer for 0\.5 s"):
            await migrating.migrate(shaken.url(), dry_run=True)
    finally:
        shaken.resume()


async def test_who_holds_the_log_and_falls_silent_is_put_out(server, url, others):
    """A process that was stopped in the middle of a revocation stops nobody else's."""
    async with opened(url) as (store, _):
        silent = await asyncpg.connect(server.url(socket=True).split("&schema")[0])
        await silent.execute(begin(0.3))
        await silent.execute(f"UPDATE {store._s}.log SET head = head")
        assert await end(store) == 1
        silent.terminate()


async def test_a_lock_that_does_not_come_is_unavailable(server, url, quick):
    """A revocation that waits for somebody says so after its time, and was not done."""
    async with opened(url) as (store, _):
        await sign_in(store)
        holder = await asyncpg.connect(server.url(socket=True).split("&schema")[0])
        await holder.execute(f"BEGIN; UPDATE {store._s}.log SET head = head")
        with pytest.raises(StoreUnavailable):
            await end(store)
        await holder.close()
        assert isinstance(await store.load(make_digest("a")), Record)


async def test_a_connection_that_rested_too_long_is_not_used_again(server, url, monkeypatch):
    """A network may have forgotten it; until then the same one is used again."""
    async with opened(url) as (store, _):
        backend = "SELECT pg_backend_pid()"
        first, again = [(await store._read(backend))[0][0] for _ in range(2)]
        monkeypatch.setattr(_postgres_lanes, "IDLE_MOST_S", 0)
        another = (await store._read(backend))[0][0]
        assert first == again != another
        assert isinstance(await end(store), int)


async def test_an_exhausted_pool_is_unavailable_and_stops_no_heart(server, quick):
    """Reads that hang take their own connections only: beats, revocations and barriers have others."""
    async with opened(server.url(socket=True, pool="1")) as (store, _):
        await store.join("n1", label="")
        await store._reads._free.acquire()
        with pytest.raises(StoreUnavailable, match="all 1 connections were busy"):
            await store.load(make_digest("b"))
        assert await end(store) == 1
        assert await store.beat("n1", beat=1, applied=0, epoch=1) is not None
        assert len((await store.nodes()).rows) == 1
        store._reads._free.release()
        assert await store.load(make_digest("a")) is None


async def test_a_cancelled_call_leaves_nothing_behind(url):
    """Its connection is gone with whatever it had begun; the next call gets another."""
    async with opened(url) as (store, gates):
        await sign_in(store)
        gate = gates.before("COMMIT")
        writing = asyncio.create_task(put(store, "lost"))
        await gate.reached()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert await put(store, "k") == 1
        assert decode((await store.load_sid("a")).data) == {"k": 1}


async def test_a_revocation_goes_on_when_its_caller_is_cancelled(url):
    """It is in a group with others, who do not suffer by it; what waits for the next group is left out."""
    async with opened(url) as (store, gates):
        for name in ("a", "b", "c"):
            await sign_in(store, name)
        gate = gates.before("COMMIT")
        first = asyncio.create_task(end(store, "a"))
        await gate.reached()
        second, third = (asyncio.create_task(end(store, name)) for name in ("b", "c"))
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        gate.open()
        assert await third == 2
        for task in (first, second):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert [session.sid for session in await store.load_subject("maria")] == ["b"]


async def test_transactions_that_lock_each_other_out_are_tried_again(shaken):
    """The server undoes one of the two; if it was ours, it is done afterwards."""
    async with opened(shaken.url()) as (store, _):
        await sign_in(store)
        other = await asyncpg.connect(shaken.url().split("?")[0])
        await other.execute(f"BEGIN; UPDATE {store._s}.log SET head = head")
        ending = asyncio.create_task(end(store))
        async with asyncio.timeout(PATIENCE_S):
            # In a thread: what is looked for only comes to wait if its own side goes on meanwhile.
            look = "SELECT coalesce(wait_event_type, '') FROM pg_stat_activity"
            while "Lock" not in await asyncio.to_thread(shaken.psql, look):
                pass
        with contextlib.suppress(asyncpg.DeadlockDetectedError):
            await other.execute(f"SELECT 1 FROM {store._s}.sessions FOR UPDATE")
        await other.close()
        assert await ending == 1


async def test_a_fork_leaves_the_parents_connections_alone(server):
    """The child is refused; nothing that it does on its way out reaches the parent's connections."""
    name = f"fork_{os.getpid()}"
    backends = f"SELECT pid FROM pg_stat_activity WHERE application_name = '{name}' ORDER BY pid"
    async with opened(server.url(socket=True, application_name=name)) as (store, _):
        await sign_in(store)
        await end(store, "b")
        before = server.psql(backends)
        child = os.fork()
        if not child:
            outcome = 1
            try:
                store.abandon()
                gc.collect()
                try:
                    store._check_usable()
                except Forked:
                    outcome = 0
            finally:
                os._exit(outcome)
        assert os.waitpid(child, 0)[1] == 0
        assert isinstance(await store.load(make_digest("a")), Record)
        assert await end(store, "c") == 2
        assert server.psql(backends) == before and before


async def test_a_closed_store_says_so(url):
    """Calls that are under way come to their end; later ones are refused; it can be opened again."""
    async with opened(url) as (store, gates):
        gate = gates.before("COMMIT")
        writing = asyncio.create_task(end(store))
        await gate.reached()
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)
        with pytest.raises(CoatcheckError):
            await store.load(make_digest("a"))
        gate.open()
        assert await writing == 1
        await closing
        await store.open()
        assert (await store.tail(0)).head == 1
