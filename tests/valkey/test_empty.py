"""A server that has lost all, or some, of what it had: nobody goes on as if nothing had happened."""

import pytest
from tests.fleet.fleet import ISSUER, SECRET
from tests.servers import valkey
from tests.valkey.calls import STAMP, end, end_everyone, is_live, sign_in, sweep_all
from tests.valkey.gates import opened
from tests.valkey.test_failover import persist

from coatcheck import Coatcheck
from coatcheck.stores.base import ERA_BITS
from coatcheck.testing.store_contract import make_key

pytestmark = pytest.mark.long


@pytest.fixture
def server():
    mine = valkey.start()
    yield mine
    mine.close()


def flush(server):
    server.call("FLUSHALL")


def begin_anew(server):
    server.kill()
    server.put_back()


def put_back(server):
    server.kill()
    server.put_back()


@pytest.mark.parametrize("lose", [flush, begin_anew])
async def test_an_empty_server_is_a_new_era(server, lose):
    """Nothing of before counts: neither sessions nor keys nor nodes; and the era is later than the one before."""
    async with opened(server.url(prefix="p")) as (store, _):
        await sign_in(store)
        await store.join("n1", label="")
        epoch = (await store.tail(0)).epoch
        await store.add_key(make_key("k", epoch), newest=None, stamp=STAMP)
        await end(store, "b")
        lose(server)
        tail = await persist(lambda: store.tail(0))
        assert tail.epoch >> ERA_BITS > epoch >> ERA_BITS and tail.head == 0
        assert await store.beat("n1", beat=1, applied=1, epoch=epoch) is None
        assert not await is_live(store) and await store.keys() == [] and (await store.nodes()).rows == ()
        assert await store.add_key(make_key("k", epoch), newest=None, stamp=STAMP) is None
        assert [await end(store, "b"), await end(store, "b")] == [1, 2]
        await sign_in(store)
        assert await is_live(store)


async def test_an_older_server_is_a_new_era(server):
    """A copy of before is put back: its sessions are there, its keys are not; positions go on from where it was."""
    async with opened(server.url(prefix="p")) as (store, _):
        await sign_in(store)
        epoch = (await store.tail(0)).epoch
        await store.add_key(make_key("k", epoch), newest=None, stamp=STAMP)
        server.call("SAVE")
        await sign_in(store, "later")
        head = await end(store, "later")
        put_back(server)
        tail = await persist(lambda: store.tail(0))
        assert tail.epoch >> ERA_BITS > epoch >> ERA_BITS and tail.head < head
        assert await is_live(store) and not await is_live(store, "later")
        assert await store.keys() == []


@pytest.mark.parametrize("lose", [flush, begin_anew, put_back])
async def test_nodes_drop_what_they_hold_when_the_server_has_lost_something(server, lose):
    """Memory, access tokens, and what was revoked: when the next revocation has returned, none of them is accepted."""
    url = server.url(prefix="p", lease_s="0.5")
    async with (
        Coatcheck(url, issuer=ISSUER, secret=SECRET) as auth,
        Coatcheck(url, issuer=ISSUER, secret=SECRET) as other,
    ):
        if lose is put_back:
            server.call("SAVE")
        kept, revoked = await auth.sign_in("maria"), await auth.sign_in("maria")
        jwts = [auth.access_token(one.session, audience="orders") for one in (kept, revoked)]
        await other.revoke(revoked.session.sid)
        lose(server)
        await persist(lambda: other.revoke("anything"))
        for engine in (auth, other):
            for jwt in jwts:
                assert not engine.verify(jwt, audience="orders")
            for one in (kept, revoked):
                assert not engine.check_now(one.token)
                assert not await persist(lambda engine=engine, one=one: engine.check(one.token))
        again = await persist(lambda: auth.sign_in("maria"))
        assert await other.check(again.token)


# --- a part of a cluster ---


@pytest.fixture(scope="module")
def cluster():
    made = valkey.cluster()
    yield made
    made.close()


def apart(cluster, store, *, of):
    """Return a ``sid`` that is on another primary than a key, and a subject that is where that key is."""
    lost = cluster.primary_of(of.decode())
    sids, subs = (f"s{n}" for n in range(1000)), (f"u{n}" for n in range(1000))
    sid = next(one for one in sids if cluster.primary_of(store._rows.key(one).decode()) is not lost)
    sub = next(one for one in subs if cluster.primary_of(store._n.subject(one)[0].decode()) is lost)
    return lost, sid, sub


async def test_who_was_ended_with_everyone_stays_so_when_home_is_lost(cluster):
    """The rows are elsewhere, and home does not remember that they ended: they are of another life."""
    for _ in range(5):  # eras are drawn at random
        async with opened(cluster.url()) as (store, _):
            home, sid, _ = apart(cluster, store, of=store._n.meta)
            await sign_in(store, sid, sub=None)
            await end_everyone(store)
            prefix = store._settings.prefix
        home.call("FLUSHALL")
        async with opened(cluster.url(prefix=prefix)) as (store, _):
            assert not await is_live(store, sid)
            await end_everyone(store)
            assert not await is_live(store, sid)
            await sweep_all(store, 5000)
