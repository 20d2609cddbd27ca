"""What is durable in PostgreSQL, where, and what becomes of it when another server leads."""

import asyncio
import os

import asyncpg
import pytest
from tests.postgres.calls import PATIENCE_S, STAMP, end, sign_in
from tests.postgres.gates import opened
from tests.servers import postgres

from coatcheck.errors import StoreUnavailable
from coatcheck.records import Record
from coatcheck.stores._postgres_connect import begin
from coatcheck.stores.base import ERA_BITS
from coatcheck.stores.postgres import PostgresStore
from coatcheck.testing.store_contract import make_digest, make_key

pytestmark = pytest.mark.long


async def test_a_commit_that_no_standby_has_is_not_acknowledged(shaken):
    """Somebody cancels the wait for the standby: the revocation is here, perhaps nowhere else, and raises."""
    async with opened(shaken.url()) as (store, _):
        await end(store)
        shaken.psql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'; SELECT pg_reload_conf()")
        try:
            ending = asyncio.create_task(end(store))
            waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            async with asyncio.timeout(PATIENCE_S):
                while not shaken.psql(f"SELECT pg_cancel_backend(pid) FROM ({waiting}) AS waiting"):
                    await asyncio.sleep(0.01)
            with pytest.raises(StoreUnavailable, match="durable"):
                await ending
        finally:
            shaken.psql("ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf()")


@pytest.mark.parametrize(("theirs", "ours"), [("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")])
async def test_commits_wait_for_the_disk_whatever_the_role_says(server, theirs, ours):
    """A weaker setting is set right for our transactions; a stronger one stays."""
    connection = await asyncpg.connect(server.url(socket=True).split("&schema")[0])
    await connection.execute(f"SET synchronous_commit = {theirs}")
    await connection.execute("SET default_transaction_isolation = 'serializable'")
    await connection.execute(begin(5))
    assert await connection.fetchval("SHOW synchronous_commit") == ours
    assert await connection.fetchval("SHOW transaction_isolation") == "read committed"
    await connection.close()


async def test_a_standby_is_refused_and_its_promotion_begins_an_epoch():
    """Never asked while it follows. When it leads: sessions live, nodes must forget, keys are made anew."""
    primary = postgres.start()
    url = primary.url(socket=True)
    async with opened(url) as (store, _):
        await sign_in(store)
        await store.add_key(make_key("k"), newest=None, stamp=STAMP)
        await store.join("n1", label="")
        await store.beat("n1", beat=1, applied=1, epoch=1)
        standby = postgres.standby_of(primary)
        there = standby.url(socket=True, schema=store._s)
    try:
        with pytest.raises(StoreUnavailable, match="standby"):
            await PostgresStore(there).open()
        hosts = f"host={standby.folder},{primary.folder}&port={standby.port},{primary.port}"
        async with opened(f"postgresql://postgres@/postgres?{hosts}&schema={store._s}") as (chosen, _):
            assert (await chosen.tail(0)).epoch == 1
        primary.kill()
        assert standby.psql("SELECT pg_promote()") == "t"
        async with opened(there) as (one, _), opened(there) as (two, _):
            epoch = (await one.tail(0)).epoch
            assert epoch >> ERA_BITS > 0 and (await two.tail(0)).epoch == epoch
            assert await two.keys() == []
            assert isinstance(await two.load(make_digest("a")), Record)
            nodes = await two.nodes()
            assert (nodes.epoch, [row.epoch for row in nodes.rows]) == (epoch, [1])
            assert await two.add_key(make_key("l", epoch=epoch), newest=None, stamp=STAMP) is not None
    finally:
        standby.close()
        primary.close()


async def test_nothing_is_asked_of_a_promoted_server_before_its_epoch(server, url):
    """Whichever connection comes first, whatever it wants: the epoch begins before its first statement."""
    async with opened(url) as (store, _):
        await sign_in(store)
        for call in (lambda: store.load(make_digest("a")), store.nodes, lambda: end(store), lambda: store.tail(0)):
            server.psql(f"UPDATE {store._s}.meta SET timeline = '000000FF'")
            for lane in store._lanes:
                lane._drop_idle()
            before = int(server.psql(f"SELECT epoch FROM {store._s}.meta"))
            await call()
            assert int(server.psql(f"SELECT epoch FROM {store._s}.meta")) >> ERA_BITS > before >> ERA_BITS


async def test_a_server_that_does_not_tell_where_the_log_is(server, caplog):
    """It is warned of, and works; whoever is told more notes it, and from then on a failover is seen."""
    name = f"silent_{os.getpid()}"
    server.psql(f"CREATE ROLE {name} LOGIN")
    server.psql(f"CREATE DATABASE {name} OWNER {name}")
    functions = "pg_control_system(), pg_walfile_name(pg_lsn)"
    server.psql(f"REVOKE EXECUTE ON FUNCTION {functions} FROM public", database=name)
    url = server.url(socket=True, database=name)
    async with opened(url.replace("postgres@", f"{name}@")) as (store, _):
        assert "a failover goes unnoticed" in caplog.text
        await end(store)
        where = f"SELECT system, timeline FROM {store._s}.meta"
        assert server.psql(where, database=name) == "|"
        async with opened(url) as (seeing, _):
            assert (await seeing.tail(0)).epoch == 1
        assert server.psql(where, database=name).endswith("|00000001")
        async with opened(url.replace("postgres@", f"{name}@")) as (blind, _):
            assert (await blind.tail(0)).epoch == 1
    server.psql(f"UPDATE {store._s}.meta SET system = '7'", database=name)
    async with opened(url.replace("postgres@", f"{name}@")) as (blind, _):
        assert (await blind.tail(0)).epoch == 1
    async with opened(url) as (seeing, _):
        assert (await seeing.tail(0)).epoch >> ERA_BITS > 0


@pytest.mark.parametrize("what", ["end", "beat"])
async def test_a_statement_that_is_a_transaction_by_itself_waits_for_the_disk(server, what):
    """Whatever the role's setting is, and each of the settings is there before the commit."""
    url = server.url(socket=True)
    async with opened(url) as (store, gates):
        await sign_in(store)
        await store.join("n1", label="")
        lane = store._ending if what == "end" else store._heart
        await lane.read(lambda connection: connection.execute("SET synchronous_commit = off"))
        gate = gates.before("COMMIT")
        work = end(store) if what == "end" else store.beat("n1", beat=1, applied=0, epoch=1)
        writing = asyncio.create_task(work)
        await gate.reached()
        (connection,) = lane._busy
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
        assert await connection.fetchval("SHOW lock_timeout") == f"{int(lane.wait_s * 1000)}ms".replace("5000ms", "5s")
        gate.open()
        await writing
