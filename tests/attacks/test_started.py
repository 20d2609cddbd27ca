"""A started session that is in no store yet is memory like any other: what ends it ends it everywhere."""

import asyncio

import pytest

from coatcheck import Coatcheck, Refused, StoreUnavailable
from coatcheck.testing import ManualClock


@pytest.fixture
async def two(tmp_path):
    """Two engines on one file, as two processes have them, and their clock."""
    clock, url = ManualClock(), f"sqlite:///{tmp_path}/coatcheck.db"
    async with Coatcheck(url, clock=clock, secret="A" * 43) as a, Coatcheck(url, clock=clock, secret="A" * 43) as b:
        yield a, b, clock


@pytest.mark.parametrize("swept", [False, True])
@pytest.mark.parametrize("everyone", [False, True])
async def test_ended_by_another_process_it_is_never_stored(two, swept, everyone):
    """Neither a sign-in nor data bring it back, also when the log no longer knows of its end."""
    a, b, clock = two
    started = await a.start()
    await (b.revoke_everyone() if everyone else b.revoke(started.session.sid))
    if swept:
        clock.advance(7200)
        await b.sweep()
    assert await a.renew(started.token, sub="maria") == Refused("unknown")
    assert await a.update_data(started.session.sid, set={"x": 1}) == Refused("unknown")
    assert await a.data(started.session.sid) == Refused("unknown")
    assert await a.check(started.token) == Refused("unknown")
    assert await b.sessions_of("maria") == []


async def test_memory_that_cannot_be_sure_says_nothing_of_it(two):
    """While the log cannot be read, it may have been ended: that is not the answer "it lives"."""
    a, b, _ = two
    started = await a.start()
    await b.revoke(started.session.sid)
    a._store.tail_now = lambda after: None
    with pytest.raises(StoreUnavailable):
        await a.check(started.token)
    with pytest.raises(StoreUnavailable):
        await a.data(started.session.sid)


async def test_a_first_write_whose_caller_went_away_arrives(two):
    """A client that disconnects leaves the session usable."""
    a, b, _ = two
    started = await a.start()
    first = asyncio.create_task(a.update_data(started.session.sid, set={"x": 1}))
    await asyncio.sleep(0)
    first.cancel()
    await a.update_data(started.session.sid, set={"y": 2})
    renewed = await a.renew(started.token, sub="maria")
    assert (await b.check(renewed.token)).sub == "maria"
    assert (await b.data(started.session.sid))["y"] == 2


async def test_many_first_writes_hold_up_nobody(two):
    """A revocation of something else does not queue behind them; parallel first writes of one session all survive."""
    a, _, _ = two
    crowd = [await a.start() for _ in range(50)]
    writes = [a.update_data(one.session.sid, set={f"k{n}": n}) for one in crowd for n in range(3)]
    await asyncio.gather(*writes, a.revoke("something-else"))
    for one in crowd:
        assert await a.data(one.session.sid) == {"k0": 0, "k1": 1, "k2": 2}


async def test_revoked_while_it_is_being_stored(two):
    """Of a first write and a revocation at once, the revocation wins when it has returned."""
    a, b, _ = two
    for _ in range(20):
        started = await a.start()
        await asyncio.gather(a.update_data(started.session.sid, set={"x": 1}), a.revoke(started.session.sid))
        for engine in (a, b):
            assert not await engine.check(started.token)


async def test_over_before_its_first_write_it_stays_over(two):
    """An idle started session is not stored after all."""
    a, _, clock = two
    started = await a.start()
    clock.advance(a.policy.idle_s)
    assert await a.update_data(started.session.sid, set={"x": 1}) == Refused("unknown")
    assert await a.renew(started.token, sub="maria") == Refused("unknown")
