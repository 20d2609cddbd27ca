"""Two writers at once on a real server, stopped between their statements: one interleaving each, and no other."""

import asyncio

import pytest
from tests.postgres.calls import STAMP, end, renew
from tests.postgres.gates import opened

from coatcheck.errors import AlreadyExists, StoreUnusable
from coatcheck.records import Ended, Kind, Reason, Record
from coatcheck.stores.base import MOVED, Place, Seen
from coatcheck.stores.postgres import migrate
from coatcheck.testing.store_contract import make_digest, make_family, make_key, make_record, make_stamp
from coatcheck.values import decode

INSERT = ".sessions (sid"


@pytest.fixture
async def two(url):
    """Two stores on one database: the first with gates."""
    async with opened(url) as (first, gates), opened(url) as (second, _):
        yield first, gates, second


def sign_in(store, name="a", *, most=9, generation=None, place=None, **fields):
    return store.create(make_record(name, **fields), generation=generation, most=most, stamp=STAMP, place=place)


async def live(store, name="a"):
    return isinstance(await store.load(make_digest(name)), Record)


async def play(gate, others, first, second):
    """Run *first* up to the gate, then *second* as far as it comes; then let both end, and return what they return."""
    one = asyncio.create_task(first)
    await gate.reached()
    other = asyncio.create_task(second)
    waits = await others.blocked_or_done(other)
    gate.open()
    return await asyncio.gather(one, other, return_exceptions=True), waits


# --- the log ---


async def test_positions_follow_the_order_of_the_commits(two, others):
    """Who has its position first commits first: nobody ever reads a higher position before a lower one exists."""
    first, gates, second = two
    gate = gates.before("COMMIT")
    task = asyncio.create_task(end(first, "slow"))
    await gate.reached()
    later = asyncio.create_task(end(second, "fast"))
    assert await others.blocked_or_done(later)
    assert (await second.tail(0)).head == 0
    gate.open()
    assert (await task, await later) == (1, 2)
    assert [change.sid for change in (await second.tail(0)).changes] == ["slow", "fast"]


async def test_a_beat_reads_after_its_commit(two):
    """What is committed before others can see the beat is in its answer: who read the old row waited for this one."""
    first, gates, second = two
    await first.join("n1", label="")
    gate = gates.before("COMMIT")
    beat = asyncio.create_task(first.beat("n1", beat=1, applied=0, epoch=1))
    await gate.reached()
    position = await end(second)
    assert [row.beat for row in (await second.nodes()).rows] == [0]
    gate.open()
    assert [change.position for change in (await beat).changes] == [position]


async def test_ending_what_somebody_is_just_ending_waits_for_it(two, others):
    """The position of an end that finds nothing left is not before the one that left nothing."""
    first, gates, second = two
    await sign_in(first)
    gate = gates.before("COMMIT")
    ends, waits = await play(gate, others, end(first), second.end_subject("maria", keep=None, note="", stamp=STAMP))
    assert waits and ends[1] >= ends[0] == 1


async def test_ends_that_wait_for_a_commit_share_the_next(two):
    """Each is told its own position: first those whose sessions were there; for the others it is as if alone."""
    first, gates, second = two
    for name in ("a", "b", "c"):
        await sign_in(first, name)
    before = gates.ran.count("COMMIT")
    asked = [("x", None), ("a", None), ("b", "eve"), ("c", "maria"), ("a", "maria"), ("a", "eve"), ("y", "eve")]
    ends = [
        first.end(sid, of=of, kind=Kind.REVOKED, note="", stamp=make_stamp(at)) for at, (sid, of) in enumerate(asked)
    ]
    assert await asyncio.gather(*ends, end(first, "y")) == [3, 1, None, 2, 4, None, None, 5]
    assert gates.ran.count("COMMIT") == before + 2
    changes = (await second.tail(0)).changes
    assert [change.sid for change in changes] == ["a", "c", "x", "a", "y"]
    assert [change.forget_after for change in changes] == [1001, 1003, 1000, 1004, 1000]
    assert await end(first, "a") == 6
    assert await first.end("a", of="maria", kind=Kind.REVOKED, note="", stamp=STAMP) == 7
    assert [session.sid for session in await second.load_subject("maria")] == ["b"]


# --- sign-ins against ends ---


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("where", [INSERT, "COMMIT"])
async def test_a_sign_in_under_way_does_not_outlive_its_subjects_end(two, others, where, is_known):
    """It looked at the generation before, it arrives after: it is ended, too, and named."""
    first, gates, second = two
    if is_known:
        await sign_in(first, "earlier")
    generation = await first.generation("maria")
    gate = gates.before(where)
    ((created, position), _) = await play(
        gate,
        others,
        sign_in(first, generation=generation),
        second.end_subject("maria", keep=None, note="", stamp=STAMP),
    )
    assert created in (None, MOVED)
    assert not await live(second)
    assert (await second.tail(0)).head == position


@pytest.mark.parametrize("sub", ["maria", None])
@pytest.mark.parametrize("where", [INSERT, "COMMIT"])
async def test_a_sign_in_under_way_does_not_outlive_everyones_end(two, others, where, sub):
    """It was given its epoch before; everyone's end waits for nobody."""
    first, gates, second = two
    if where != "COMMIT" and sub is None:
        return  # it has nothing behind it yet: it begins afterwards
    generation = await first.generation("maria") if sub else None
    gate = gates.before(where)
    (_, waits) = await play(
        gate,
        others,
        sign_in(first, sub=sub, generation=generation),
        second.end_everyone(note="", stamp=STAMP),
    )
    assert not waits
    assert not await live(second)


async def test_a_sign_in_under_way_sees_changed_claims_or_is_changed(two, others):
    """A demotion reaches the session that was made with the old roles: it is refused, or changed as the others are."""
    first, gates, second = two
    generation = await first.generation("maria")
    gate = gates.before("COMMIT")
    await play(
        gate,
        others,
        sign_in(first, generation=generation),
        second.change_claims("maria", {"roles": []}, [], limit=99, stamp=STAMP),
    )
    assert [session.claims for session in await second.load_subject("maria")] in ([], [{"roles": []}])


async def test_two_sign_ins_at_once_do_not_pass_the_limit(two, others):
    """Each counts the other: of two there is one left."""
    first, gates, second = two
    await sign_in(first, "earlier")
    gate = gates.before("COMMIT")
    await play(gate, others, sign_in(first, "a", most=1), sign_in(second, "b", most=1))
    assert [session.sid for session in await second.load_subject("maria")] == ["b"]


# --- a started session on its way in ---


async def test_a_started_session_on_its_way_in_is_ended(two, others):
    """The end finds no row yet, and waits for who brings it."""
    first, gates, second = two
    gate = gates.before("COMMIT")
    await play(gate, others, sign_in(first, sub=None, place=Place(1, 0)), end(second))
    assert not await live(second)


async def test_a_started_session_that_is_just_being_ended_does_not_come_in(two, others):
    """The end found no row; the row comes, and finds that it was ended."""
    first, gates, second = two
    gate = gates.before("COMMIT")
    (_, moved), _ = await play(gate, others, end(first), sign_in(second, sub=None, place=Place(1, 0)))
    assert moved == MOVED
    assert not await live(second)


async def test_a_started_session_is_not_stored_again_over_its_end(two, others):
    """Its first storing arrived unheard; the second one waits at the row that is just being ended."""
    first, gates, second = two
    await sign_in(first, sub=None, place=Place(1, 0))
    gate = gates.before("COMMIT")
    (_, moved), waits = await play(gate, others, end(first), sign_in(second, sub=None, place=Place(1, 0)))
    assert waits and moved == MOVED
    assert not await live(second)
    with pytest.raises(AlreadyExists):
        await sign_in(second, "b", sub=None, place=Place(1, 1))
        await sign_in(second, "b", sub=None, place=Place(1, 1))


# --- changes of one session ---


async def test_a_renewal_that_is_just_committing_is_ended_under_its_new_token(two, others):
    """The end waits for it and then removes the row as it is by then."""
    first, gates, second = two
    await sign_in(first)
    gate = gates.before("COMMIT")
    (renewed, ended), waits = await play(gate, others, renew(first), end(second))
    assert waits and (renewed, ended) == (1, 2)
    assert await second.load(make_digest("a2")) == Ended(Reason.REVOKED)
    assert await second.load(make_digest("a")) == Ended(Reason.RENEWED)


@pytest.mark.parametrize("what", ["end", "end_subject"])
async def test_a_renewal_of_what_is_just_ending_finds_nothing(two, others, what):
    """It waits for the end, and brings nothing back."""
    first, gates, second = two
    await sign_in(first)
    gate = gates.before("COMMIT")
    ending = end(first) if what == "end" else first.end_subject("maria", keep=None, note="", stamp=STAMP)
    (_, renewed), waits = await play(gate, others, ending, renew(second))
    assert waits and renewed is None
    assert not await live(second) and not await live(second, "a2")


async def test_a_renewal_under_way_does_not_outlive_everyones_end(two, others):
    """The row keeps the epoch in which it was made."""
    first, gates, second = two
    await sign_in(first)
    gate = gates.before("UPDATE")
    await play(gate, others, renew(first), second.end_everyone(note="", stamp=STAMP))
    assert not await live(second, "a2")
    assert await second.load(make_digest("a")) == Ended(Reason.REVOKED)


@pytest.mark.parametrize("where", [".sessions SET data", "COMMIT"])
async def test_two_changes_of_other_keys_both_survive(two, others, where):
    """The second reads what the first has written."""
    first, gates, second = two
    await sign_in(first)
    gate = gates.before(where)
    changes = [
        store.change_data("a", {key: 1}, [], limit=99, stamp=STAMP) for store, key in ((first, "x"), (second, "y"))
    ]
    _, waits = await play(gate, others, *changes)
    found = await second.load_sid("a")
    assert waits and decode(found.data) == {"x": 1, "y": 1}


async def test_data_go_nowhere_when_the_session_is_just_ending(two, others):
    """The change waits, and finds nothing."""
    first, gates, second = two
    await sign_in(first)
    gate = gates.before("COMMIT")
    (_, changed), waits = await play(
        gate, others, end(first), second.change_data("a", {"x": 1}, [], limit=99, stamp=STAMP)
    )
    assert waits and changed is None


async def test_activity_and_an_end_of_many_do_not_lock_each_other_out(two, others):
    """Both take the rows in one order, whatever the order in which they are named."""
    first, gates, second = two
    for name in ("a", "b", "c"):
        await sign_in(first, name)
    gate = gates.before("COMMIT")
    spans = [Seen(name, 0, 5) for name in ("c", "a", "b")]
    (missed, _), waits = await play(
        gate, others, first.touch(spans), second.end_subject("maria", keep=None, note="", stamp=STAMP)
    )
    assert waits and missed == []
    assert await second.load_subject("maria") == []


async def test_a_sweep_leaves_who_was_just_active(two, others):
    """It looked idle; somebody is writing that it is not."""
    first, gates, second = two
    await sign_in(first, idle_s=10)
    gate = gates.before("COMMIT")
    await play(gate, others, first.touch([Seen("a", 0, 9)]), second.sweep(now=10, limit=9))
    assert await second.sweep(now=10, limit=9) == 0
    assert await live(second)


# --- keys, secrets, nodes ---


async def test_a_key_made_while_everyone_ends_does_not_come_in(two, others):
    """Everyone's end waits for a key that is just committing, and removes it; one that comes later is refused."""
    first, gates, second = two
    gate = gates.before("COMMIT")
    (position, _), waits = await play(
        gate,
        others,
        first.add_key(make_key("k"), newest=None, stamp=STAMP),
        second.end_everyone(note="", stamp=STAMP),
    )
    assert waits and position == 1
    assert await second.keys() == []
    gate = gates.before("COMMIT")
    (_, refused), waits = await play(
        gate,
        others,
        first.end_everyone(note="", stamp=STAMP),
        second.add_key(make_key("l", epoch=2), newest=None, stamp=STAMP),
    )
    assert waits and refused is None
    assert await second.keys() == []


async def test_a_family_made_while_its_secret_is_lost_does_not_come_in(two, others):
    """Whatever is committed before the reset is removed by it; whatever comes later is refused."""
    first, gates, second = two
    await sign_in(first)
    await first.admit_secret("s1", newest=None)
    gate = gates.before("COMMIT")
    (_, reset), _ = await play(gate, others, first.add_family(make_family("f", "a")), second.reset_keys(stamp=STAMP))
    assert reset.families == 1
    await first.admit_secret("s2", newest=None)
    gate = gates.before("COMMIT")
    (_, added), waits = await play(
        gate, others, first.reset_keys(stamp=STAMP), second.add_family(make_family("g", "a", key_id="s2"))
    )
    assert waits and added is False


async def test_a_row_that_is_just_beating_is_not_dropped(two, others):
    """Comparing and deleting are one step."""
    first, gates, second = two
    await first.join("n1", label="")
    gate = gates.before("COMMIT")
    (tail, dropped), waits = await play(
        gate, others, first.beat("n1", beat=1, applied=0, epoch=1), second.drop_node("n1", beat=0)
    )
    assert waits and tail is not None and dropped is False
    assert [row.beat for row in (await second.nodes()).rows] == [1]


async def test_a_beat_of_a_row_that_is_just_dropped_says_so(two, others):
    """It brings nothing back: the node must join anew."""
    first, gates, second = two
    await first.join("n1", label="")
    gate = gates.before("COMMIT")
    (dropped, tail), waits = await play(
        gate, others, first.drop_node("n1", beat=0), second.beat("n1", beat=1, applied=0, epoch=1)
    )
    assert waits and dropped is True and tail is None


async def test_the_lease_does_not_change_under_a_node_that_is_just_joining(two, others, url):
    """Who changes it waits for the join, sees its row, and changes nothing."""
    first, gates, second = two
    gate = gates.before("COMMIT")
    (lease_s, refused), waits = await play(gate, others, first.join("n1", label=""), migrate(url, lease_s=0.5))
    assert waits and lease_s == 2.0 and isinstance(refused, StoreUnusable)
    await second.leave("n1")
    assert (await migrate(url, lease_s=0.5)).lease_s == 0.5
    assert await first.join("n1", label="") == 0.5


async def test_who_ends_a_session_that_somebody_holds_keeps_nobody_waiting(two):
    """In one group with it, the ends of other sessions do not wait for it."""
    first, gates, second = two
    await sign_in(first, "a")
    await sign_in(second, "b")
    gate = gates.before(".sessions SET data")
    holding = asyncio.create_task(first.change_data("a", {"k": 1}, (), limit=100, stamp=STAMP))
    await gate.reached()
    held, free = asyncio.create_task(end(second, "a")), asyncio.create_task(end(second, "b"))
    assert await free == 1
    assert not held.done()
    gate.open()
    assert {await holding, await held} == {2, 3}
    assert not await live(second, "a")
