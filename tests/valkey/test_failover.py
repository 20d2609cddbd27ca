"""Another server takes the place of a primary: what was acknowledged is there, and access tokens of before are not."""

import asyncio
import functools

import pytest
from tests.fleet.fleet import ISSUER, SECRET
from tests.servers import valkey
from tests.servers.valkey_process import until
from tests.valkey.calls import STAMP, claim, end, is_live, named, put, renew, sign_in
from tests.valkey.gates import opened

from coatcheck import Coatcheck
from coatcheck.errors import StoreUnavailable
from coatcheck.records import Ended, Reason
from coatcheck.stores.base import ERA_BITS
from coatcheck.testing.store_contract import make_digest, make_family, make_key
from coatcheck.values import decode

pytestmark = pytest.mark.long


async def acknowledge(store):
    """Have something of every kind acknowledged."""
    for name in ("ended", "renewed", "kept"):
        await sign_in(store, name)
    await store.add_family(make_family("f", "kept"))
    assert await store.rotate_family(make_digest("f")[:16], generation=1, now=9)
    await claim(store, roles=["staff"])
    await renew(store, "renewed", version=3, claims={"roles": ["staff"]})
    await put(store, "kept", x=1)
    await end(store, "ended")
    await store.add_key(make_key("k", (await store.tail(0)).epoch), newest=None, stamp=STAMP)
    assert len(await store.keys()) == 1


async def check(store):
    """Look whether it is there still."""
    assert await store.load(make_digest("ended")) == Ended(Reason.REVOKED)
    assert await store.load(make_digest("renewed")) == Ended(Reason.RENEWED)
    assert await is_live(store, "renewed2")
    kept = await store.load(make_digest("kept"))
    assert decode(kept.data) == {"x": 1} and kept.session.claims == {"roles": ["staff"]}
    assert (await store.family(make_digest("f")[:16])).generation == 2
    assert {"ended", "renewed", "kept"} <= set(await named(store))
    assert await store.keys() == []


async def test_all_that_was_acknowledged_is_on_a_promoted_replica():
    """And one new era begins, however many find out at once."""
    group = valkey.replicated(2)
    try:
        async with opened(group.url(prefix="p", durability="1")) as (store, _):
            await acknowledge(store)
            before = (await store.tail(0)).epoch
        group.primary.kill()
        group.promote(group.replicas[0])
        url = group.url(prefix="p", durability="1")
        async with opened(url) as (one, _), opened(url) as (two, _), opened(url) as (three, _):
            stores = (one, two, three)
            epochs = {tail.epoch for tail in await asyncio.gather(*(store.tail(0) for store in stores for _ in "xyz"))}
            assert len(epochs) == 1 and epochs.pop() >> ERA_BITS > before >> ERA_BITS
            for store in stores:
                await check(store)
    finally:
        group.close()


@pytest.mark.long
async def test_a_store_follows_its_sentinels():
    """It is not opened anew; one new era begins."""
    group = valkey.sentinel()
    try:
        async with opened(group.url()) as (one, _), opened(group.url(prefix=one._settings.prefix)) as (two, _):
            await acknowledge(one)
            before = (await one.tail(0)).epoch
            killed = group.primary
            killed.kill()
            until(lambda: group.named() not in (None, killed), "nobody is promoted")
            killed.start()
            group.taken_back(killed)
            await persist(lambda: end(two, "kept"))
            assert not await is_live(one, "kept")
            tails = await asyncio.gather(one.tail(0), two.tail(0))
            assert tails[0].epoch == tails[1].epoch and tails[0].epoch >> ERA_BITS > before >> ERA_BITS
            assert await one.keys() == []
    finally:
        group.close()


async def persist(call):
    """Call until it is done: servers change places at their own speed."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await call()
            except Exception as error:
                assert type(error).__name__ in ("StoreUnavailable", "NotOnDisk", "BarrierIncomplete"), error
                await asyncio.sleep(0.05)


def lost(cluster, store, *, at_home):
    """Kill the primary of home, or of the row ``kept``; let another take over, and the old one come back."""
    key = store._n.meta if at_home else store._rows.key("kept")
    killed = cluster.primary_of(key.decode())
    cluster.lose(killed)
    killed.start()
    cluster.settle()


@pytest.mark.parametrize("at_home", [True, False])
async def test_all_that_was_acknowledged_is_there_after_a_shard_was_lost(at_home):
    """Home's begins one era; that of rows one epoch."""
    cluster = valkey.cluster()
    try:
        async with opened(cluster.url()) as (one, _), opened(cluster.url(prefix=one._settings.prefix)) as (two, _):
            await acknowledge(one)
            before = (await one.tail(0)).epoch
            lost(cluster, one, at_home=at_home)
            await persist(lambda: end(two, "none of these"))
            await asyncio.gather(
                *(persist(functools.partial(is_live, store, "kept")) for store in (one, two) for _ in "xyz")
            )
            await check(one)
            await check(two)
            tails = await asyncio.gather(one.tail(0), two.tail(0))
            assert tails[0].epoch == tails[1].epoch
            eras = tails[0].epoch >> ERA_BITS, before >> ERA_BITS
            # Both may have been on the server that was lost.
            assert eras[0] > eras[1] if at_home else tails[0].epoch > before
            # And there is peace: nobody takes anything from anybody by reading.
            assert (await two.tail(0)).epoch == tails[0].epoch
    finally:
        cluster.close()


@pytest.mark.parametrize("at_home", [True, False])
async def test_access_tokens_of_before_a_failover_are_refused_once_it_was_noticed(at_home):
    """Sessions go on; what was revoked stays so; new access tokens are made with new keys."""
    cluster = valkey.cluster()
    try:
        auth = Coatcheck(cluster.url(), issuer=ISSUER, secret=SECRET)
        async with (
            auth,
            Coatcheck(cluster.url(prefix=auth._store._settings.prefix), issuer=ISSUER, secret=SECRET) as other,
        ):
            kept, revoked = await auth.sign_in("maria"), await auth.sign_in("maria")
            jwts = [auth.access_token(one.session, audience="orders") for one in (kept, revoked)]
            assert all(auth.verify(jwt, audience="orders") for jwt in jwts)
            await other.revoke(revoked.session.sid)
            key = auth._store._n.meta if at_home else auth._store._rows.key(kept.session.sid)
            killed = cluster.primary_of(key.decode())
            cluster.lose(killed)
            killed.start()
            cluster.settle()
            await persist(lambda: other.update_data(kept.session.sid, set={"x": 1}))
            for engine in (auth, other):
                assert not await persist(lambda engine=engine: engine.check(revoked.token))
                assert await persist(lambda engine=engine: engine.check(kept.token))
                for jwt in jwts:
                    assert not engine.verify(jwt, audience="orders")

            async def mint():
                if not isinstance(jwt := auth.access_token(await auth.check(kept.token), audience="orders"), str):
                    raise StoreUnavailable("not now")
                return jwt

            assert auth.verify(await persist(mint), audience="orders")
    finally:
        cluster.close()
