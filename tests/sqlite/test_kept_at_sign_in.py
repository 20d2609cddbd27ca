"""A sign-in is kept in memory as it is written; what was changed before it could be kept leaves it out."""

import pytest

from coatcheck import Coatcheck
from coatcheck.stores._sqlite_pulse import Pulse
from coatcheck.testing import ManualClock


@pytest.fixture
async def two(tmp_path):
    """Two engines on one file, as two processes have them, and their clock."""
    clock, url = ManualClock(), f"sqlite:///{tmp_path}/coatcheck.db"
    async with Coatcheck(url, clock=clock) as a, Coatcheck(url, clock=clock) as b:
        yield a, b, clock


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("beats", ["before", "after"])
async def test_a_change_between_the_write_and_the_keeping(two, monkeypatch, looks, beats):
    """It is in force, also when its log line is read before its pulse is seen."""
    a, b, clock = two
    other = await a.sign_in("otto")
    assert await a.check(other.token)
    create, beat = a._store.create, Pulse.beat

    async def slow(record, **kwargs):
        done = await create(record, **kwargs)
        with monkeypatch.context() as patched:
            if beats == "after":
                patched.setattr(Pulse, "beat", lambda pulse: None)
            await b.update_claims("maria", set={"roles": []})
        if looks:
            clock.advance(1)  # past the backstop: the store itself says that something changed
            assert await a.check(other.token)
        return done

    monkeypatch.setattr(a._store, "create", slow)
    signed_in = await a.sign_in("maria", claims={"roles": ["admin"]})
    beat(b._store._pulse)
    assert (await a.check(signed_in.token)).claims == {"roles": []}


async def test_undisturbed_it_is_warm(two):
    """Otherwise the first check needs no store."""
    a, b, _ = two
    signed_in = await a.sign_in("maria")
    assert a.check_now(signed_in.token)
    assert b.check_now(signed_in.token) is None
