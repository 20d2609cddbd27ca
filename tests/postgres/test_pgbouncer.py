"""Behind a pooler that hands each transaction to another connection of the server."""

import asyncio

import pytest
from tests.servers import pgbouncer, postgres

from coatcheck.records import Kind, Record
from coatcheck.stores.base import ERA_BITS
from coatcheck.stores.postgres import PostgresStore
from coatcheck.testing.store_contract import make_digest, make_key, make_record, make_stamp

STAMP = make_stamp()


@pytest.fixture(scope="module")
def server():
    """The server of the whole run."""
    return postgres.shared()


@pytest.fixture(scope="module")
def pooler(server):
    """The port of a PgBouncer before it."""
    with pgbouncer.before(server) as port:
        yield port


@pytest.fixture
async def store(server, pooler):
    """A store behind it."""
    store = PostgresStore(server.url(pgbouncer="true").replace(f":{server.port}/", f":{pooler}/"))
    await store.open()
    yield store
    await store.close()


@pytest.mark.long
async def test_statements_of_many_do_not_get_mixed_up(store):
    """What is prepared on one connection of the server is not run on another, where another was prepared."""
    for name in ("a", "b", "c"):
        await store.create(make_record(name, sub=name), generation=None, most=9, stamp=STAMP)
    await store.join("n1", label="")

    async def load(name):
        found = await store.load(make_digest(name))
        assert isinstance(found, Record) and found.session.sid == name

    async def listed(name):
        assert [session.sid for session in await store.load_subject(name)] == [name]

    async def beat(n):
        assert (await store.beat("n1", beat=n, applied=0, epoch=1)).epoch == 1

    async def end(n):
        assert await store.end(f"x{n}", of=None, kind=Kind.REVOKED, note="", stamp=STAMP)

    async def many(n):
        for name in ("a", "b", "c"):
            await asyncio.gather(
                load(name), listed(name), beat(n), end(n), store.keys(), store.nodes(), store.generation(name)
            )

    await asyncio.gather(*(many(n) for n in range(60)))


@pytest.mark.long
async def test_a_failover_behind_the_pooler_is_seen(store, server):
    """Its connections outlive the server behind it: who beats, joins or waits looks where the log is, each time."""
    await store.join("n1", label="")
    calls = [
        lambda: store.beat("n1", beat=1, applied=0, epoch=1),
        store.nodes,
        lambda: store.join("n1", label=""),
    ]
    for number, call in enumerate(calls):
        before = (await store.tail(0)).epoch
        await store.add_key(make_key(f"k{number}", epoch=before), newest=None, stamp=STAMP)
        server.psql(f"UPDATE {store._s}.meta SET timeline = '000000FF'")
        await call()
        after = (await store.tail(0)).epoch
        assert after >> ERA_BITS > before >> ERA_BITS and await store.keys() == []
