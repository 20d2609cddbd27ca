"""Servers on one PostgreSQL behind nginx, under load, while sessions are ended at random and PostgreSQL is killed."""

import asyncio
import collections
import statistics
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.machines.crowd import Crowd
from tests.machines.judge import judge, now
from tests.machines.town import PASSWORD, town
from tests.servers import postgres


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


def check(history):
    """Nothing that must not be, in all that happened."""
    print(told(history), took(history))
    found = judge(history)
    assert not found, f"{len(found)} findings; the first: {found[:3]}"


async def end(place, database):
    """Stop all as Ctrl-C does; no row of theirs is left, and nothing was said that should not be."""
    await place.service.stop()
    (schema,) = parse_qs(urlsplit(place.store).query)["schema"]
    nodes = f"SELECT count(*) FROM {schema}.nodes"
    assert database.psql(nodes) == str(len(place.servers))
    codes = await asyncio.gather(*(server.stop() for server in place.servers))
    assert codes == [0] * len(codes)
    assert database.psql(nodes) == "0"
    for server in place.servers:
        assert "Traceback" not in server.said, server.said
        assert postgres.PASSWORD not in server.said and PASSWORD not in server.said


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
        await end(place, server)


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
        await end(place, own_server)
