"""Two processes at once on real servers, one stopped between two of its steps: one interleaving each, and no other."""

import asyncio

import pytest
from tests.valkey.calls import (
    STAMP,
    claim,
    end,
    end_client,
    end_everyone,
    end_subject,
    is_live,
    named,
    put,
    renew,
    sids_of,
    sign_in,
)
from tests.valkey.gates import crash_at, opened, play

from coatcheck.records import Ended, Reason
from coatcheck.stores.base import MOVED, Place, Seen
from coatcheck.testing.store_contract import make_digest, make_family
from coatcheck.values import decode

ADMIN = {"claims": {"roles": ["admin"]}}


def around(*names):
    """Return a place before each of these steps, and one behind it."""
    behind = [pytest.param(f"after {name}", marks=pytest.mark.long) for name in names]
    return [*(f"before {name}" for name in names), *behind]


def gate_at(gates, where, **how):
    side, name = where.split()
    return getattr(gates, side)(name, **how)


# --- signing in ---


@pytest.mark.parametrize("what", [end_subject, end_everyone])
@pytest.mark.parametrize("where", around("here", "create", "point", "list"))
async def test_a_sign_in_under_way_does_not_outlive_its_end(two, where, what):
    """It looked at the generation before the password was checked: wherever it stands, it is refused, or ended."""
    first, gates, second = two
    generation = await first.generation("maria")
    gate = gate_at(gates, where)
    (created,), _ = await play(gate, sign_in(first, generation=generation), what(second))
    assert created in (None, MOVED)
    assert not await is_live(second)
    assert await sids_of(second) == []


@pytest.mark.parametrize("where", around("create", "point", "list"))
async def test_a_sign_in_under_way_does_not_keep_claims_that_were_changed(two, where):
    """It is refused, or it is changed as the others are."""
    first, gates, second = two
    generation = await first.generation("maria")
    gate = gate_at(gates, where)
    await play(gate, sign_in(first, generation=generation, **ADMIN), claim(second, roles=[]))
    assert [session.claims for session in await second.load_subject("maria")] in ([], [{"roles": []}])
    record = await second.load(make_digest("a"))
    assert record is None or record.session.claims == {"roles": []}


@pytest.mark.parametrize("where", around("create", "point"))
async def test_a_started_session_under_way_to_the_store_does_not_outlive_its_end(two, where):
    """The end leaves a tombstone where there is no row yet."""
    first, gates, second = two
    place = Place((await first.tail(0)).epoch, 0)
    gate = gate_at(gates, where)
    (created,), _ = await play(gate, sign_in(first, sub=None, place=place), end(second))
    assert created in (None, MOVED)
    assert not await is_live(second)
    assert await sign_in(second, sub=None, place=place) == MOVED


async def test_a_started_session_whose_storing_broke_off_can_be_stored(url):
    """Its row is there, and nothing leads to it: the next try brings it to its end."""
    async with opened(url) as (first, gates), opened(url) as (second, _):
        await crash_at(gates, gates.before("point"), sign_in(first, sub=None))
        await asyncio.gather(sign_in(second, sub=None), return_exceptions=True)
        assert await is_live(second)


async def test_sign_ins_at_once_do_not_pass_the_limit(two):
    """However many there are, and wherever they come from: as many are left as may be, and none is listed twice."""
    first, _, second = two
    names = [f"s{n}" for n in range(24)]
    await asyncio.gather(*(sign_in((first, second)[n % 2], name, most=3) for n, name in enumerate(names)))
    left = await sids_of(second)
    assert 0 < len(left) <= 3
    await sign_in(first, "last", most=3)
    assert "last" in await sids_of(second) and await is_live(second, "last")
    ended = [name for name in names if not await is_live(first, name)]
    assert sorted(set(await named(second))) == sorted(ended)


@pytest.mark.parametrize("where", around("list", "end", "append"))
async def test_a_sign_in_never_ends_one_that_is_newer(two, where):
    """Whoever is listed later is not too many for somebody who came before."""
    first, gates, second = two
    for name in ("x", "y"):
        await sign_in(second, name, most=2)
    gate = gate_at(gates, where)
    await play(gate, sign_in(first, "older", most=2), sign_in(second, "newer", most=2))
    assert await is_live(second, "newer") or where == "before list"
    assert len(await sids_of(second)) <= 2


# --- one session changes ---


@pytest.mark.parametrize("what", [end, end_subject, end_everyone])
@pytest.mark.parametrize("where", around("list", "point", "swap", "append", "close"))
async def test_a_renewal_under_way_does_not_outlive_its_end(two, where, what):
    """Neither the old token nor the new one opens anything when the end has returned."""
    first, gates, second = two
    await sign_in(second)
    gate = gate_at(gates, where)
    await play(gate, renew(first), what(second))
    assert not await is_live(second) and not await is_live(second, "a2")
    assert await sids_of(second) == []


@pytest.mark.parametrize("where", around("list", "point", "swap", "append"))
async def test_a_started_session_on_its_way_to_its_subject_is_ended_with_the_others(two, where):
    """It is listed before its row says whose it is."""
    first, gates, second = two
    await sign_in(second, sub=None)
    generation = await first.generation("maria")
    gate = gate_at(gates, where)
    await play(gate, renew(first, generation=generation), end_subject(second))
    found = await second.load(make_digest("a2"))
    assert found is None or isinstance(found, Ended)
    assert await sids_of(second) == []


@pytest.mark.parametrize("where", around("read", "point", "swap", "append"))
async def test_a_renewal_loses_no_data_and_no_claims(two, where):
    """What is written while it is under way is in the session that goes on, under whichever token."""
    first, gates, second = two
    await sign_in(second)
    gate = gate_at(gates, where)
    (renewed,), _ = await play(gate, renew(first), put(second, x=1))
    assert renewed is not None
    assert decode((await second.load(make_digest("a2"))).data) == {"x": 1}


@pytest.mark.parametrize("where", around("read", "swap", "append"))
async def test_data_and_claims_do_not_undo_each_other(two, where):
    """They are in one row, and whoever comes second reads it again."""
    first, gates, second = two
    await sign_in(second)
    gate = gate_at(gates, where)
    await play(gate, put(first, x=1), claim(second, roles=[]))
    found = await second.load_sid("a")
    assert decode(found.data) == {"x": 1} and found.session.claims == {"roles": []}


@pytest.mark.parametrize("what", [end, end_subject])
async def test_claims_that_meet_an_end_wait_for_it(two, what):
    """Who finds a session ended, and not yet said so, says it: elsewhere it is in memory with the claims of before."""
    first, gates, second = two
    await sign_in(second)
    gate = gates.before("append")
    ending = asyncio.create_task(what(first))
    await gate.reached()
    position = await claim(second, roles=[])
    assert [(change.sid, change.position <= position) for change in (await second.tail(0)).changes] == [("a", True)]
    gate.open()
    await ending
    # Whom it does not concern stays, and what has been said is not said again.
    await sign_in(second, "b")
    said = await named(second)
    await claim(second, roles=["x"])
    assert await named(second) == [*said, "b"] and await is_live(second, "b")


@pytest.mark.parametrize("where", around("read", "swap"))
async def test_activity_does_not_bring_back_what_a_renewal_replaced(two, where):
    """Activity that was written meanwhile leaves the new version where it is."""
    first, gates, second = two
    await sign_in(second)
    gate = gate_at(gates, where)
    (renewed,), _ = await play(gate, renew(first), second.touch([Seen("a", 0, 7)]))
    assert renewed is not None
    assert (await second.load_sid("a")).session.version == 2
    assert await second.load(make_digest("a")) == Ended(Reason.RENEWED)


@pytest.mark.parametrize("where", around("read", "swap", "append"))
async def test_changes_of_other_keys_both_survive(two, where):
    """Whoever comes second reads what the first has written."""
    first, gates, second = two
    await sign_in(second)
    gate = gate_at(gates, where)
    await play(gate, put(first, x=1), put(second, y=2))
    assert decode((await second.load_sid("a")).data) == {"x": 1, "y": 2}


@pytest.mark.parametrize("skip", range(3))
@pytest.mark.parametrize("where", around("raise", "swap"))
async def test_two_changes_of_the_same_claims_leave_all_sessions_alike(two, where, skip):
    """In whichever order they come to each of the sessions."""
    first, gates, second = two
    for n in range(4):
        await sign_in(second, f"s{n}", **ADMIN)
    gate = gate_at(gates, where, skip=skip if "swap" in where else 0)
    await play(gate, claim(first, unset=["roles"], one=1), claim(second, roles=[], one=2))
    claims = [session.claims for session in await second.load_subject("maria")]
    assert len(claims) == 4 and all(one == claims[0] for one in claims)
    assert claims[0] in ({"roles": [], "one": 2}, {"one": 1})


# --- ends ---


@pytest.mark.parametrize("what", [end, end_subject])
@pytest.mark.parametrize("where", around("end", "append", "close"))
async def test_an_end_that_meets_another_is_not_before_it(two, where, what):
    """Whoever finds the session ended by somebody who is not done says it again, or waits for a head behind it."""
    first, gates, second = two
    await sign_in(second)
    gate = gate_at(gates, where)
    ending = asyncio.create_task(end(first))
    await gate.reached()
    position = await what(second)
    assert "a" in [change.sid for change in (await second.tail(0)).changes if change.position <= position]
    gate.open()
    await ending
    assert not await is_live(second)


@pytest.mark.parametrize("what", [claim, renew, end_client])
async def test_who_closes_a_change_does_not_note_an_end_that_is_not_in_the_log(url, what):
    """The tombstone came between: whoever ends all of the subject's sessions must still name this one."""
    async with opened(url) as (slow, gates), opened(url) as (dying, theirs), opened(url) as (store, _):
        await sign_in(store)
        await store.add_family(make_family("f", "a"))
        closing = gates.before("close")
        changing = asyncio.create_task(what(slow))
        await closing.reached()
        before = (await store.tail(0)).head
        await crash_at(theirs, theirs.before("append"), end(dying))
        closing.open()
        await changing
        position = await end_subject(store)
        assert "a" in [change.sid for change in (await store.tail(before)).changes if change.position <= position]


@pytest.mark.parametrize("where", around("raise", "end", "append", "close", "unlist"))
async def test_ends_of_a_subject_at_once_all_name_what_they_found(two, where):
    """Neither returns before all that was there is in the log."""
    first, gates, second = two
    for n in range(3):
        await sign_in(second, f"s{n}")
    gate = gate_at(gates, where)
    ending = asyncio.create_task(end_subject(first))
    await gate.reached()
    position = await end_subject(second)
    changes = [change.sid for change in (await second.tail(0)).changes if change.position <= position]
    assert {"s0", "s1", "s2"} <= set(changes)
    gate.open()
    await ending
    assert await sids_of(second) == []


@pytest.mark.parametrize("where", around("read", "sweep_row", "unlist"))
async def test_a_sweep_leaves_who_was_just_active(two, where):
    """It looked idle; somebody writes that it is not; or it is gone with all that led to it."""
    first, gates, second = two
    await sign_in(second, idle_s=10)
    gate = gate_at(gates, where) if where != "before read" else gate_at(gates, "before sweep_row")
    sweeping = asyncio.create_task(first.sweep(now=10, limit=9))
    done, _ = await asyncio.wait(
        [sweeping, waiting := asyncio.ensure_future(gate.reached())], return_when="FIRST_COMPLETED"
    )
    missed = await second.touch([Seen("a", 0, 9)])
    gate.open()
    waiting.cancel()
    await sweeping
    assert done
    assert await is_live(second) is (missed == [])
    assert await sids_of(second) == (["a"] if missed == [] else [])


# --- families ---


@pytest.mark.parametrize("what", [end, end_subject, end_everyone, lambda store: store.reset_keys(stamp=STAMP)])
@pytest.mark.parametrize("where", around("use_secret", "add_family", "read_family"))
async def test_a_family_under_way_does_not_outlive_what_it_is_made_with(two, where, what):
    """When its session has ended, or its secret was declared lost, it does not count."""
    first, gates, second = two
    await sign_in(second)
    await second.admit_secret("s1", newest=None)
    gate = gate_at(gates, where)
    await play(gate, first.add_family(make_family("f", "a")), what(second))
    assert await second.family(make_digest("f")[:16]) is None
    assert not await second.rotate_family(make_digest("f")[:16], generation=1, now=9)


@pytest.mark.parametrize("where", ["after add_family", *around("read_family")])
async def test_a_family_that_is_there_when_its_client_is_ended_does_not_come_in(two, where):
    """Whoever adds it hears that it is gone; what was made by it counts no more."""
    first, gates, second = two
    await sign_in(second)
    gate = gate_at(gates, where)
    await play(gate, first.add_family(make_family("f", "a")), end_client(second))
    assert await second.family(make_digest("f")[:16]) is None
    assert (await second.load_sid("a")).session.version == 2


@pytest.mark.parametrize("owns", [True, False])
@pytest.mark.parametrize("where", around("rotate"))
async def test_a_refresh_under_way_does_not_outlive_the_end_of_its_client(two, where, owns):
    """It is refused; or the version that it was for counts no more."""
    first, gates, second = two
    await sign_in(second)
    await second.add_family(make_family("f", "a", owns_session=owns))
    gate = gate_at(gates, where)
    (rotated,), _ = await play(
        gate, first.rotate_family(make_digest("f")[:16], generation=1, now=9), end_client(second)
    )
    assert rotated is (where == "after rotate")
    found = await second.load_sid("a")
    assert found is None if owns else found.session.version == 2
    assert await second.family(make_digest("f")[:16]) is None


@pytest.mark.parametrize("owns", [True, False])
@pytest.mark.parametrize("where", around("close_family", "swap", "end", "append", "close", "drop_family"))
async def test_no_family_is_refreshed_while_its_client_is_being_ended(two, where, owns):
    """Once the first of the sessions has another version, or none, no token is made for it in the old way."""
    first, gates, second = two
    await sign_in(second)
    await second.add_family(make_family("f", "a", owns_session=owns))
    gate = gate_at(gates, where)
    ending = asyncio.create_task(end_client(first))
    waiting = asyncio.create_task(gate.reached())
    await asyncio.wait([ending, waiting], return_when="FIRST_COMPLETED")
    rotated = await second.rotate_family(make_digest("f")[:16], generation=1, now=9)
    assert rotated is (where == "before close_family")
    gate.open()
    waiting.cancel()
    await ending
    assert await second.family(make_digest("f")[:16]) is None
