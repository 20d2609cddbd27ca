"""Servers on one store behind nginx, under load, while sessions are ended at random and the store is killed."""

import asyncio
import collections
import contextlib
import statistics
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.machines.crowd import Crowd
from tests.machines.judge import judge, now
from tests.machines.town import PASSWORD, town
from tests.servers import postgres, valkey


@pytest.fixture
def own_server():
    """A PostgreSQL that may be killed."""
    mine = postgres.start()
    yield mine
    mine.close()


def told(history):
    """Count what was answered, for whoever reads a failure."""
    return dict(sorted(collections.Counter((op.kind, op.status) for op in history.ops).items()))


def took(history):
    """How long each kind took, for whoever reads a failure: the median, seconds."""
    kinds = sorted({op.kind for op in history.ops})
    return {kind: round(statistics.median(op.end - op.begin for op in history.of(kind)), 3) for kind in kinds}


def check(history, **what):
    """Nothing that must not be, in all that happened."""
    print(told(history), took(history))
    found = judge(history, **what)
    assert not found, f"{len(found)} findings; the first: {found[:3]}"


def of_url(place, name):
    """Return what the URL of the store says of *name*."""
    return parse_qs(urlsplit(place.store).query)[name][0]


async def end(place, nodes, password):
    """Stop all as Ctrl-C does; no row of theirs is left, and nothing was said that should not be."""
    await place.service.stop()
    assert nodes() == len(place.servers)
    codes = await asyncio.gather(*(server.stop() for server in place.servers))
    assert codes == [0] * len(codes)
    assert nodes() == 0
    for server in place.servers:
        assert "Traceback" not in server.said, server.said
        assert password not in server.said and PASSWORD not in server.said


async def end_on_postgresql(place, server):
    """See :func:`end`."""
    schema = of_url(place, "schema")
    await end(place, lambda: int(server.psql(f"SELECT count(*) FROM {schema}.nodes")), postgres.PASSWORD)


@pytest.mark.long
async def test_two_servers():
    """Nobody who was signed out is served by either, or by the service; nobody else is turned away."""
    server = postgres.shared()
    async with town(server.url(), servers=2) as place:
        crowd = Crowd(place, people=4, seed=1)
        await crowd.arrive()
        async with crowd.at_work(lookers=4, kickers=2):
            await crowd.more_ends(8)
        check(crowd.history)
        assert crowd.history.of("orders", 200) and crowd.history.of("orders", 401)
        await end_on_postgresql(place, server)


@pytest.mark.long
async def test_four_servers_while_postgresql_is_killed(own_server):
    """The same with four, PostgreSQL killed twice and stopped at once in between: what cannot be known is 503."""
    async with town(own_server.url(), servers=4) as place:
        crowd = Crowd(place, people=8, seed=2)
        await crowd.arrive()
        async with crowd.at_work(lookers=6, kickers=3):
            await crowd.more_ends(40)
            killed = now()
            for kill, away_s in (
                (own_server.kill, 4),
                (lambda: own_server.stop("immediate"), 0),
                (own_server.kill, 1),
            ):
                await asyncio.to_thread(kill)
                await asyncio.sleep(away_s)
                await asyncio.to_thread(own_server.start)
                started = now()
                await crowd.more_ends(30)
        history = crowd.history
        check(history)
        accepted = history.of("orders", 200)
        assert any(op.end < killed for op in accepted) and any(op.begin > started for op in accepted)
        assert history.of("session", 503) and history.of("orders", 503)
        assert await place.figure('coatcheck_check_total{result="memory"}') >= 1_000
        assert {node["state"] for node in (await place.command("fleet"))["nodes"]} == {"alive"}
        await end_on_postgresql(place, own_server)


@pytest.mark.long
async def test_four_servers_while_primaries_of_a_cluster_are_killed():
    """The same on a Valkey Cluster: one primary after the other is killed, its replica promoted, and it comes back."""
    with contextlib.closing(valkey.cluster()) as cluster:
        async with town(cluster.url(), servers=4, accounts_beside=True) as place:
            home = f"{{{of_url(place, 'prefix')}}}:nodes"
            crowd = Crowd(place, people=8, seed=3)
            await crowd.arrive()
            async with crowd.at_work(lookers=6, kickers=3):
                await crowd.more_ends(40)
                killed = now()
                first = cluster.primary_of(home)
                for primary in (first, *(one for one in cluster.primaries() if one is not first)):
                    await asyncio.to_thread(cluster.lose, primary)
                    # Until it is back, as a replica, nothing is written there: what is not on all disks does not count.
                    if primary is first:
                        await crowd.an_end_fails()
                    await asyncio.to_thread(primary.start)
                    await asyncio.to_thread(cluster.settle)
                    promoted = now()
                    await crowd.more_ends(30)
            history = crowd.history
            check(history, new_keys=True)
            accepted = history.of("orders", 200)
            assert any(op.end < killed for op in accepted) and any(op.begin > promoted for op in accepted)
            assert any(op.note == "unknown_key" for op in history.of("orders", 401))
            assert await place.figure('coatcheck_check_total{result="memory"}') >= 1_000
            assert {node["state"] for node in (await place.command("fleet"))["nodes"]} == {"alive"}
            await end(place, lambda: cluster.primary_of(home).call("HLEN", home), valkey.PASSWORD)
