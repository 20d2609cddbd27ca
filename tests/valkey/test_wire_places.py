"""Where the primaries are: sentinels and clusters, failovers, and slots that move."""

import asyncio
import contextlib

import pytest
import redis
from tests.servers import valkey
from tests.valkey.wires import BOTH, PATIENCE_S, add, get, naps, opened, put, until

from coatcheck.errors import StoreUnavailable
from coatcheck.stores import _valkey_calls, _valkey_line
from coatcheck.stores._valkey_faults import NotDone, Refused, code_of
from coatcheck.stores._valkey_places import View, first_good, view_of_cluster
from coatcheck.stores._valkey_wire import Purpose

pytestmark = pytest.mark.long

__all__ = ["naps"]


@pytest.fixture(scope="module")
def cluster():
    """A cluster whose slots are moved by the tests of this module; all its servers go on."""
    mine = valkey.cluster()
    yield mine
    mine.close()


@pytest.fixture
def heard(monkeypatch):
    """The errors that servers answered."""
    codes = []
    real = _valkey_line.of_reply

    def listen(error):
        codes.append(code_of(error))
        return real(error)

    monkeypatch.setattr(_valkey_line, "of_reply", listen)
    return codes


def other(cluster, key):
    """A primary that does not have *key*."""
    return next(node for node in cluster.primaries() if node is not cluster.primary_of(key))


# --- sentinels ---


@pytest.mark.long
async def test_sentinels_name_another_primary():
    """A call that may be done twice is answered by the new one; what was said to be kept is there."""
    watched = await asyncio.to_thread(valkey.sentinel, 2)
    try:
        async with opened(watched.url(durability="1")) as wire, opened(watched.url()) as strict:
            assert await put(wire, "v") == b"v"
            assert await put(strict, "v") == b"v"
            await asyncio.to_thread(watched.primary.kill)
            assert await put(wire, "w", b"{l}", wait_s=PATIENCE_S) == b"w"
            assert [await get(wire), await get(wire, b"{l}")] == [b"v", b"w"]
            assert [server.host[1] for server in wire._places.servers] == [watched.named().port]
            with pytest.raises(StoreUnavailable, match=r"of 3 disks, [12] of 2 replicas are missing"):
                await put(strict, "x", wait_s=1)  # the one that failed is configured, and counts
            await asyncio.to_thread(watched.primary.start)
            assert await put(strict, "x", wait_s=PATIENCE_S) == b"x"
    finally:
        await asyncio.to_thread(watched.close)


@pytest.mark.long
async def test_sentinels_name_another_while_the_old_one_stands_still(monkeypatch):
    """Nobody waits for it longer than a call may take; when it goes on, it is not asked."""
    monkeypatch.setattr(_valkey_calls, "LOOK_AGAIN_S", 3600)  # it is the silence that has us look
    watched = await asyncio.to_thread(valkey.sentinel, 2)
    try:
        async with opened(watched.url(durability="1")) as wire:
            await put(wire, "v")
            old = watched.primary
            old.pause()
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    try:
                        assert await put(wire, "w", wait_s=0.5) == b"w"
                        break
                    except StoreUnavailable:
                        pass
            old.go_on()
            for _ in range(20):
                assert await get(wire) == b"w"
            await until(lambda: is_replica(old))
            assert await get(wire) == b"w"
    finally:
        await asyncio.to_thread(watched.close)


def is_replica(node):
    with contextlib.suppress(redis.ConnectionError):  # it ends all connections when it becomes one
        return node.info("replication")["role"] == "slave"


# --- clusters ---


async def test_a_cluster(cluster):
    """Each key is where its slot is; what is asked everywhere is asked of each primary once."""
    async with opened(cluster.url()) as wire:
        keys = [b"{%d}" % n for n in range(300)]
        assert await asyncio.gather(*(put(wire, "v", key) for key in keys)) == [b"v"] * 300
        shards = {(await wire.command("GET", key, key=key)).shard for key in keys}
        everywhere = await wire.everywhere("DBSIZE")
        assert len(shards) == 3 == len(everywhere)
        assert {reply.shard for reply in everywhere} == shards
        assert sum(reply.value for reply in everywhere) >= 300
        assert await wire.wall(b"{1}") > 1.7e9


async def test_all_members_of_a_shard_count(cluster):
    """A replica that stands still is missed where it belongs to, and nowhere else."""
    async with opened(cluster.url()) as wire:
        primary, key = cluster.primary_of("{k}"), next(f"{{{n}}}" for n in range(99) if not same(cluster, n))
        (replica,) = cluster.replicas_of(primary)
        replica.pause()
        try:
            with pytest.raises(StoreUnavailable, match="on 1 of 2 disks, 1 of 1 replicas are missing"):
                await put(wire, "v", wait_s=0.5)
            assert await put(wire, "v", key.encode()) == b"v"
        finally:
            replica.go_on()
        await asyncio.to_thread(cluster.settle)
        assert await put(wire, "v") == b"v"


def same(cluster, n):
    return cluster.primary_of(f"{{{n}}}") is cluster.primary_of("{k}")


async def test_a_slot_that_has_moved(cluster, heard):
    """Who has it now is asked at once; nothing is done twice."""
    async with opened(cluster.url()) as wire:
        assert await add(wire, b"{m}", again=False) == 1
        await asyncio.to_thread(cluster.move_slot, valkey.slot_of("{m}"), other(cluster, "{m}"))
        calls = [add(wire, b"{m}", again=False) for _ in range(30)]
        assert sorted(await asyncio.gather(*calls)) == [*range(2, 32)]
        assert set(heard) == {"MOVED"}
        assert await add(wire, b"{m}", again=False) == 32
        before = len(heard)
        assert await add(wire, b"{m}", again=False) == 33
        assert len(heard) == before


async def test_a_slot_that_is_being_moved(cluster, heard, naps):
    """Each key is asked for where it is; a call for two keys that are apart waits until they are together."""
    async with opened(cluster.url()) as wire:
        slot = valkey.slot_of("{s}")
        both = [b"{s}1", b"{s}2"]
        await put(wire, "v", both[0])
        await put(wire, "v", both[1])
        steps = cluster.moving(slot, other(cluster, "{s}"))
        assert await asyncio.to_thread(next, steps) == "marked"
        assert await add(wire, b"{s}n", again=False) == 1  # not there, so it begins its life in the new place
        assert heard == ["ASK"]
        assert await get(wire, both[0]) == b"v"
        assert await asyncio.to_thread(next, steps) == "key"
        assert await get(wire, both[0]) == await get(wire, both[1]) == b"v"
        together = asyncio.create_task(
            wire.run(BOTH, both, ["w"], purpose=Purpose.WRITES, durable=True, again=False, wait_s=PATIENCE_S)
        )
        await naps.some(2)
        assert "TRYAGAIN" in heard and not together.done()
        with pytest.raises(StoreUnavailable, match="a slot of the cluster was being moved for too long"):
            await wire.run(BOTH, both, ["w"], purpose=Purpose.ENDING, durable=True, wait_s=0.3)
        assert await asyncio.to_thread(lambda: [*steps][-1]) == "moved"
        assert (await together).value == 1
        assert [await get(wire, key) for key in both] == [b"w", b"w"]
        assert await add(wire, b"{s}n", again=False) == 2


async def test_a_primary_that_stands_still_keeps_nobody_else(cluster):
    """Calls for its slots end in time; the others do not notice."""
    async with opened(cluster.url(durability="0")) as wire:
        primary = cluster.primary_of("{k}")
        keys = [b"{%d}" % n for n in range(40) if not same(cluster, n)]
        primary.pause()
        try:
            stuck = [asyncio.create_task(put(wire, "v", wait_s=0.6)) for _ in range(5)]
            await asyncio.gather(*(put(wire, "v", key) for key in keys))
            assert not any(task.done() for task in stuck)
            outcomes = await asyncio.gather(*stuck, return_exceptions=True)
            assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
        finally:
            primary.go_on()
        await asyncio.to_thread(cluster.settle)
        assert await put(wire, "v", wait_s=PATIENCE_S) == b"v"


async def test_a_planned_failover_is_seen_by_nobody(cluster):
    """Calls while another takes the place of a primary are all answered, by the same shard."""
    async with opened(cluster.url()) as wire:
        shard = (await wire.command("GET", b"{k}", key=b"{k}")).shard
        taking_over = asyncio.create_task(asyncio.to_thread(cluster.failover, cluster.primary_of("{k}")))
        number = 0
        while not taking_over.done():
            number = await add(wire, b"{k}n", wait_s=PATIENCE_S)
        assert await add(wire, b"{k}n", wait_s=PATIENCE_S) > number
        assert (await wire.command("GET", b"{k}", key=b"{k}")).shard == shard
        await asyncio.to_thread(cluster.settle)


@pytest.mark.long
async def test_the_loss_of_a_primary(cluster):
    """Its replica takes its place: calls go on, news too; until it is back, it is missed where all are asked for."""
    async with opened(cluster.url(durability="0")) as wire, opened(cluster.url()) as strict:
        primary = cluster.primary_of("{home}")
        await put(strict, "v", b"{home}k")
        await wire.pushed(b"{home}")
        await until(lambda: primary.call("PUBSUB", "SHARDNUMSUB", "{home}")[1] == 1)
        losing = asyncio.create_task(asyncio.to_thread(cluster.lose, primary))
        assert await add(wire, b"{home}n", wait_s=PATIENCE_S) >= 1
        new = await losing
        assert await put(wire, "w", b"{home}l", wait_s=PATIENCE_S) == b"w"
        assert await get(wire, b"{home}k") == b"v"
        with pytest.raises(StoreUnavailable, match="on 1 of 2 disks"):
            await put(strict, "x", b"{home}k", wait_s=1)
        await until(lambda: new.call("PUBSUB", "SHARDNUMSUB", "{home}")[1] == 1)
        await asyncio.to_thread(primary.start)
        await asyncio.to_thread(cluster.settle)
        assert await put(strict, "x", b"{home}k", wait_s=PATIENCE_S) == b"x"


# --- who is believed ---


async def test_whom_to_believe():
    """The first who has a part in the whole and is not behind; else the newest of the others; else the fault counts."""

    def said(**views):
        async def ask(host):
            if isinstance(views[host], Exception):
                raise views[host]
            return views[host]

        return first_good(views, ask, lambda view: view.is_sound and view.epoch >= 5)

    good, old = View(epoch=5, primaries=[]), View(epoch=4, primaries=[])
    cut_off = View(epoch=3, is_sound=False, primaries=[])
    gone, refused = NotDone("gone"), Refused("refused")
    assert await said(a=old, b=cut_off, c=gone, d=good, e=refused) is good
    assert await said(a=cut_off, b=old, c=gone) is old
    assert await said(a=refused, b=cut_off) is cut_off
    with pytest.raises(NotDone):
        await said(a=gone, b=NotDone("gone, too"))
    with pytest.raises(Refused):
        await said(a=gone, b=refused, c=gone)


def shard(ident, slots, *nodes):
    """A shard as servers describe it."""
    described = []
    for port, role, health, endpoint in nodes:
        told = [b"port", port, b"tls-port", port + 1000, b"ip", b"10.0.0.1", b"endpoint", endpoint]
        described.append([*told, b"role", role, b"replication-offset", 7, b"health", health])
    return [b"slots", slots, b"nodes", described, b"id", ident]


@pytest.mark.parametrize("tls", [False, True])
def test_what_a_node_tells(tls):
    """Of two that are called primaries the one that is well counts; who failed is counted as a replica."""
    more = 1000 if tls else 0
    shards = [
        shard(b"s1", [0, 5, 9, 9], (1, b"master", b"fail", b"a"), (2, b"master", b"online", b"b")),
        shard(b"s2", [6, 8], (3, b"replica", b"online", None), (4, b"master", b"online", b"?")),
        shard(b"s3", [], (5, b"master", b"online", b"")),
        shard(b"s4", [], (6, b"replica", b"fail", b"")),
    ]
    view = view_of_cluster({"cluster_state": "ok", "cluster_current_epoch": "9"}, shards, ("asked", 1), tls=tls)
    assert view.primaries == [
        (("b", 2 + more), "s1", 1, [(0, 5), (9, 9)]),
        (("10.0.0.1", 4 + more), "s2", 1, [(6, 8)]),
        (("10.0.0.1", 5 + more), "s3", 0, []),
    ]
    assert (view.epoch, view.is_sound, len(view.nodes)) == (9, True, 6)
    assert not view_of_cluster({"cluster_state": "fail"}, [], ("asked", 1), tls=tls).is_sound
