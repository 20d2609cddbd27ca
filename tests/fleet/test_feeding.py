"""The issuer's side of a feed where the issuer holds leases itself, and what wakes the answers that it holds."""

import asyncio

import pytest

from coatcheck import Coatcheck
from coatcheck.records import Kind
from coatcheck.testing.store_contract import make_stamp

TIMEOUT_S = 20


async def soon(work):
    """Wait for *work*, and not for ever."""
    return await asyncio.wait_for(work, TIMEOUT_S)


async def revoke(store, sid="s"):
    """End a session in the store, and tell no engine."""
    return await store.end(sid, of=None, kind=Kind.REVOKED, note="", stamp=make_stamp(1))


async def test_an_issuer_that_is_behind_answers_what_the_store_says(a):
    """Its own memory has not heard of the change, since its heartbeats stand still; the service has."""
    news = await soon(a.feed.join("orders", "host"))
    frozen = a.freeze()
    await soon(frozen.arrived())
    position = await revoke(a.wire.inner)
    news = await soon(a.feed.beat("orders", news.node, beat=1, applied=news.upto, epoch=news.epoch, wait_s=0))
    assert [line.position for line in news.changes] == [position]
    assert a.lease.knowledge.applied < position
    frozen.thaw()


async def test_a_push_to_one_issuer_wakes_the_answers_that_it_holds(a, b):
    """The change was made through another one."""
    signed_in = await a.sign_in("maria")
    news = await soon(b.feed.join("orders", "host"))
    polling = asyncio.create_task(b.feed.beat("orders", news.node, beat=1, applied=news.upto, epoch=news.epoch))
    revoking = asyncio.create_task(a.revoke(signed_in.session.sid))
    told = await soon(polling)
    assert [line.sid for line in told.changes] == [signed_in.session.sid]
    await soon(a.feed.beat("orders", news.node, beat=2, applied=told.upto, epoch=told.epoch, wait_s=0))
    assert (await soon(revoking)).nodes == 3


@pytest.fixture(params=["memory://", "sqlite"])
async def engines(request, tmp_path):
    """Two engines on one embedded store; one where it cannot be shared."""
    url = "memory://" if request.param == "memory://" else f"sqlite:///{tmp_path}/coatcheck.db"
    async with Coatcheck(url, issuer="https://auth.example.com") as one:
        if url == "memory://":
            yield one, one
        else:
            async with Coatcheck(url, issuer="https://auth.example.com") as other:
                yield one, other


async def test_what_changes_between_the_reading_and_the_waiting_is_not_waited_for(engines):
    """The mark is from before the log was read."""
    here, there = engines
    hints = here.feed._hints
    mark = hints.mark()
    await revoke(there._store)
    await soon(hints.wait(mark, 3600))
    mark = hints.mark()
    hints.wake()
    await soon(hints.wait(mark, 3600))


async def test_who_waits_is_woken_by_any_process_and_nobody_looks_when_nobody_waits(engines):
    """By a look at the pulse, which ends with the last who waits."""
    here, there = engines
    hints = here.feed._hints
    waiting = [asyncio.create_task(hints.wait(hints.mark(), 3600)) for _ in range(3)]
    while len(hints._waiting) < len(waiting):
        await asyncio.sleep(0)
    await revoke(there._store)
    await soon(asyncio.gather(*waiting))
    await soon(hints._looking)
    assert not hints._waiting


async def test_closing_ends_every_wait(engines):
    """And the looking."""
    here, _ = engines
    news = await here.feed.join("orders", "host")
    holding = asyncio.create_task(here.feed.beat("orders", news.node, beat=1, applied=news.upto, epoch=news.epoch))
    while not here.feed._hints._waiting:
        await asyncio.sleep(0)
    await soon(here.feed.stop())
    told = await soon(holding)
    assert told.upto == told.head and not told.changes
