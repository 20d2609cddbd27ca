"""The hazards of a memory that is trusted, each by name. What holds here is what makes a revocation a barrier."""

import asyncio
import os

import pytest
from tests.fleet.fleet import LEASE_S

from coatcheck import BarrierIncomplete, Forked, Policy, Receipt, Refused, Session, StoreUnavailable
from coatcheck.fleet import reader
from coatcheck.fleet.lease import Lease
from coatcheck.records import Kind
from coatcheck.stores.base import ERA_BITS, next_era
from coatcheck.testing import ManualClock
from coatcheck.testing.store_contract import make_stamp
from coatcheck.tokens import session_token

TIMEOUT_S = 20


async def soon(work):
    """Wait for *work*, and not for ever."""
    return await asyncio.wait_for(work, TIMEOUT_S)


async def warm(node, token):
    """See to it that *node* answers for *token* from memory."""
    assert isinstance(await node.check(token), Session)
    assert isinstance(node.check_now(token), Session)


async def test_a_revocation_is_in_force_on_every_node_when_it_returns(a, b):
    """The other node answered from memory a moment before; it is asked without a store, right after."""
    signed_in = await a.sign_in("maria")
    await warm(b, signed_in.token)
    jwt = b.access_token(signed_in.session, audience="orders")
    receipt = await soon(a.revoke(signed_in.session.sid))
    assert not isinstance(b.check_now(signed_in.token), Session)
    assert b.verify(jwt, audience="orders") == Refused("revoked")
    assert a.verify(jwt, audience="orders") == Refused("revoked")
    assert receipt.nodes == 2 and receipt.waited_s < LEASE_S
    assert await b.check(signed_in.token) == Refused("revoked")


@pytest.mark.parametrize("how", ["renew", "update_claims", "update_data", "revoke_user", "revoke_everyone"])
async def test_every_change_waits_for_every_node(a, b, how):
    """While one node's heartbeats are held up, no change that others may hold in memory returns."""
    signed_in = await a.sign_in("maria")
    await warm(b, signed_in.token)
    frozen = b.freeze()
    change = {
        "renew": lambda: a.renew(signed_in.token),
        "update_claims": lambda: a.update_claims("maria", set={"roles": []}),
        "update_data": lambda: a.update_data(signed_in.session.sid, set={"k": 1}),
        "revoke_user": lambda: a.revoke_user("maria"),
        "revoke_everyone": a.revoke_everyone,
    }[how]
    task = asyncio.ensure_future(change())
    await soon(frozen.arrived())
    assert not task.done()
    frozen.thaw()
    await soon(task)
    if how != "update_data":
        assert not isinstance(b.check_now(signed_in.token), Session)


async def test_a_session_too_many_ends_everywhere_before_the_sign_in_returns(fleet):
    """The oldest makes room for the newest: no node accepts it any more when the sign-in is answered."""
    a, b = [await fleet.node(policy=Policy(sessions_per_subject=1)) for _ in range(2)]
    oldest = await a.sign_in("maria")
    await warm(b, oldest.token)
    frozen = b.freeze()
    task = asyncio.ensure_future(a.sign_in("maria"))
    await soon(frozen.arrived())
    await soon(a.wire.answered("create", 2))
    assert not task.done()
    frozen.thaw()
    newest = await soon(task)
    assert not isinstance(b.check_now(oldest.token), Session)
    assert isinstance(await b.check(newest.token), Session)


async def test_data_may_be_written_without_waiting(a, b):
    """By choice of the caller, and for data only."""
    signed_in = await a.sign_in("maria")
    b.wire.cut |= {"beat", "tail"}
    receipt = await soon(a.update_data(signed_in.session.sid, set={"k": 1}, wait=False))
    assert isinstance(receipt, Receipt) and receipt.nodes == 0


# --- 1: stale fill ---


async def test_stale_fill(a, b):
    """A row that was read before the revocation and arrives after it is not kept."""
    signed_in = await a.sign_in("maria")
    gate = b.wire.hold_answer("load")
    early = asyncio.ensure_future(b.check(signed_in.token))
    await soon(gate.arrived.wait())
    await soon(a.revoke(signed_in.session.sid))
    b.wire.release("load")
    gate.open()
    await soon(early)  # it began before: either answer is right
    assert b.check_now(signed_in.token) is None
    assert await b.check(signed_in.token) == Refused("revoked")


async def test_a_check_does_not_ride_on_a_read_from_before_the_revocation(a, b):
    """A check that begins after the return reads for itself."""
    signed_in = await a.sign_in("maria")
    gate = b.wire.hold_answer("load")
    early = asyncio.ensure_future(b.check(signed_in.token))
    await soon(gate.arrived.wait())
    await soon(a.revoke(signed_in.session.sid))
    b.wire.release("load")
    # It goes as far as it can on its own before the early read is let go on: it is the first to be scheduled.
    late = asyncio.ensure_future(b.check(signed_in.token))
    asyncio.get_running_loop().call_soon(gate.open)
    assert await soon(late) == Refused("revoked")
    await soon(early)


async def test_stale_fill_of_a_sign_in(a, b):
    """A node keeps its own new session only if nothing named it while the answer was on the way."""
    gate = b.wire.hold_answer("create")
    signing_in = asyncio.ensure_future(b.sign_in("maria"))
    await soon(gate.arrived.wait())
    await soon(a.revoke_user("maria"))
    gate.open()
    signed_in = await soon(signing_in)
    assert b.check_now(signed_in.token) is None
    assert await b.check(signed_in.token) == Refused("revoked")


async def test_stale_fill_over_a_lost_place(fleet, a):
    """A read that began before the node had to begin anew is not kept after it."""
    clock = ManualClock()
    b = await fleet.node(clock=clock)
    signed_in = await a.sign_in("maria")
    gate = b.wire.hold_answer("load")
    early = asyncio.ensure_future(b.check(signed_in.token))
    await soon(gate.arrived.wait())
    await a.wire.leave(b.lease.node)  # taken for dead
    await soon(a.revoke(signed_in.session.sid))
    await soon(b.beaten())
    b.wire.release("load")
    gate.open()
    await soon(early)
    assert b.check_now(signed_in.token) is None


# --- 2: pause ---


async def test_pause(fleet, a):
    """A process that stood still for a lease answers nothing from memory when it goes on, and no token."""
    clock = ManualClock()
    b = await fleet.node(clock=clock)
    signed_in = await a.sign_in("maria")
    await warm(b, signed_in.token)
    jwt = b.access_token(signed_in.session, audience="orders")
    b.wire.cut |= {"beat", "tail", "join"}
    receipt = await soon(a.revoke(signed_in.session.sid))
    assert receipt.waited_s >= LEASE_S
    clock.pause(2)
    assert b.check_now(signed_in.token) is None
    assert b.verify(jwt, audience="orders") == Refused("unsure")
    assert b.access_token(signed_in.session, audience="orders") == Refused("unsure")
    with pytest.raises(StoreUnavailable):
        await soon(b.check(signed_in.token))
    b.wire.cut.clear()
    assert await soon(b.check(signed_in.token)) == Refused("revoked")
    assert b.verify(jwt, audience="orders") == Refused("revoked")
    assert b.lease.lapses == 1


async def test_a_lapse_empties_nothing(fleet, a):
    """What is in memory counts again as soon as a heartbeat has brought what was missed."""
    clock = ManualClock()
    b = await fleet.node(clock=clock)
    kept, ended = await a.sign_in("maria"), await a.sign_in("paul")
    await warm(b, kept.token)
    await warm(b, ended.token)
    b.wire.cut |= {"beat", "tail"}
    clock.pause(2)
    assert b.check_now(kept.token) is None
    await a.wire.end(ended.session.sid, of=None, kind=Kind.REVOKED, note="", stamp=a._stamp())
    b.wire.cut.clear()
    await soon(b.beaten())
    assert isinstance(b.check_now(kept.token), Session)
    assert b.check_now(ended.token) is None


async def test_the_lease_counts_from_before_the_heartbeat_was_sent(fleet):
    """An answer that took a whole lease gives none."""
    clock = ManualClock()
    b = await fleet.node(clock=clock)
    gate = b.wire.hold_answer("beat")
    b.lease.wake()
    await soon(gate.arrived.wait())
    clock.pause(2)
    b.wire.cut.add("beat")
    gate.open()
    await soon(b.beaten())
    assert not b.lease.is_sure(clock.elapsed())


async def test_a_calendar_that_ran_ahead_is_a_lapse(fleet):
    """Time that only the calendar noticed was lost: a machine that was suspended by its host."""
    clock = ManualClock()
    clock.lost_s = 0.0
    clock.wall = lambda: clock.elapsed() + clock.lost_s
    b = await fleet.node(clock=clock)
    assert b.lease.is_sure(clock.elapsed())
    b.wire.cut |= {"beat", "tail"}
    clock.lost_s = 5.0
    clock.advance(1)
    assert not b.lease.is_sure(clock.elapsed())
    b.wire.cut.clear()
    await soon(b.beaten())
    assert b.lease.is_sure(clock.elapsed())


# --- 3: resurrection by a slow writer ---


async def test_resurrection_by_a_slow_writer(a, b):
    """A renewal, data and activity that were on their way when the session ended bring nothing back."""
    signed_in = await a.sign_in("maria")
    sid = signed_in.session.sid
    gates = [b.wire.hold(name) for name in ("renew", "change_data", "touch")]
    await warm(b, signed_in.token)
    renewing = asyncio.ensure_future(b.renew(signed_in.token))
    writing = asyncio.ensure_future(b.update_data(sid, set={"k": 1}))
    await soon(gates[0].arrived.wait())
    await soon(gates[1].arrived.wait())
    await soon(a.revoke(sid))
    for gate in gates:
        gate.open()
    assert await soon(renewing) == Refused("revoked")
    assert await soon(writing) == Refused("unknown")
    await b.flush()
    assert await a.check(signed_in.token) == Refused("revoked")
    assert await b.sessions_of("maria") == []


# --- 5: clock steps ---


@pytest.mark.parametrize("step_s", [-86_400, 86_400])
async def test_clock_steps(fleet, a, step_s):
    """A node whose calendar is a day off refuses what was revoked, and its lease does not follow the calendar."""
    clock = ManualClock()
    b = await fleet.node(clock=clock)
    elapsed = clock.elapsed()
    clock.elapsed = lambda: elapsed
    b.lease._clock = clock
    signed_in = await a.sign_in("maria")
    jwt = a.access_token(signed_in.session, audience="orders")
    clock.at += step_s
    await soon(a.revoke(signed_in.session.sid))
    assert not isinstance(b.check_now(signed_in.token), Session)
    assert not b.verify(jwt, audience="orders")


# --- 6: skipped position, trimmed log, new epoch, a node id used twice ---


async def test_trimmed_log(fleet, a):
    """Who missed changes that are no longer in the log is told, forgets all, and learns what the log still says."""
    clock = ManualClock()
    b = await fleet.node(clock=clock)
    first, second = await a.sign_in("maria"), await a.sign_in("paul")
    await warm(b, first.token)
    await warm(b, second.token)
    tokens = [b.access_token(one.session, audience="orders") for one in (first, second)]
    b.wire.cut |= {"beat", "tail"}
    clock.pause(2)
    await soon(a.revoke(first.session.sid))
    await a.wire.sweep(now=2**40, limit=100)
    await soon(a.revoke(second.session.sid))
    node = b.lease.node
    b.wire.cut.clear()
    await soon(b.beaten())
    assert b.lease.node != node
    assert len(b._memory._cache) == 0
    assert b.check_now(first.token) is None
    assert await b.check(first.token) != first.session
    assert b.verify(tokens[1], audience="orders") == Refused("revoked")


async def test_a_long_answer_comes_in_parts(a, b):
    """The lease holds only when the head that the first part named is applied."""
    signed_in = await a.sign_in("maria")
    await warm(b, signed_in.token)
    b.wire.cut |= {"beat", "tail"}
    for n in range(5):
        await a.wire.end(f"x{n}", of=None, kind=Kind.REVOKED, note="", stamp=a._stamp())
    b.wire.page = 2
    task = asyncio.ensure_future(a.revoke(signed_in.session.sid))
    b.wire.cut.clear()
    gate = b.wire.hold_answer("tail")
    b.lease.wake()
    await soon(gate.arrived.wait())
    before = b.lease._deadline
    b.wire.release("tail")
    gate.open()
    await soon(task)
    assert b.lease.place() == a.lease.place()
    assert b.lease._deadline >= before
    assert b.check_now(signed_in.token) is None


async def test_new_epoch(a, b):
    """Everyone's end drops all memory on every node, and no older token counts anywhere."""
    signed_in = await a.sign_in("maria")
    await warm(b, signed_in.token)
    jwt = b.access_token(signed_in.session, audience="orders")
    await soon(a.revoke_everyone())
    for node in (a, b):
        assert not isinstance(node.check_now(signed_in.token), Session)
        assert node.verify(jwt, audience="orders") in {Refused("unknown_key"), Refused("unsure")}
        assert await node.check(signed_in.token) == Refused("revoked")
    for node in (a, b):  # who begins anew is unsure for a moment
        await soon(node.beaten())
        assert node.verify(jwt, audience="orders") == Refused("unknown_key")


async def test_a_node_id_is_never_used_twice(fleet, a):
    """Each join has a new one: that of a restarted engine, and of one that lost its row."""
    seen = {a.lease.node}
    await a.wire.leave(a.lease.node)
    await soon(a.beaten())
    seen.add(a.lease.node)
    await a.close()
    await a.open()
    seen.add(a.lease.node)
    assert len(seen) == 3
    assert {row.id for row in (await a.wire.nodes()).rows} == {a.lease.node}


async def test_skipped_position(a, b):
    """Of changes that are made at once, whoever has applied a position has applied every one before it."""
    signed_in = [await a.sign_in(f"u{n}") for n in range(20)]
    for one in signed_in:
        await warm(b, one.token)

    async def revoke(one, node):
        await node.revoke(one.session.sid)
        assert b.check_now(one.token) is None

    await soon(asyncio.gather(*(revoke(one, (a, b)[n % 2]) for n, one in enumerate(signed_in))))
    log = await a.wire.tail(0)
    assert [change.position for change in log.changes] == list(range(1, log.head + 1))


async def test_keys_of_a_later_epoch_sign_nothing_of_an_earlier_one(a, b):
    """A node that learned of a key event reads the keys, and gets those of an epoch that it has not heard of."""
    signed_in = await a.sign_in("maria")
    await warm(b, signed_in.token)
    gate = b.wire.hold("keys")
    await a.wire.inner.drop_key("none", stamp=make_stamp(1))
    await soon(gate.arrived.wait())
    everyone = asyncio.ensure_future(a.revoke_everyone())
    await soon(a.wire.answered("end_everyone", 1))
    await soon(a.beaten())
    await a._tokens.upkeep()  # whoever is first in the new epoch makes its key
    assert not everyone.done()
    b.wire.release("keys")
    gate.open()
    await soon(b.wire.answered("keys", b.wire.answers["keys"] + 1))
    jwt = b.access_token(signed_in.session, audience="orders")
    await soon(everyone)
    assert isinstance(jwt, Refused) or not a.verify(jwt, audience="orders")


# --- 7: refresh race ---


async def test_refresh_race(a, b):
    """Two nodes that refresh one token at once give the same successor, and nobody is taken for a thief."""
    signed_in = await a.sign_in("maria")
    first = await a.issue_refresh(signed_in.session, client_id="cli", audience="orders")
    gates = [node.wire.hold("rotate_family") for node in (a, b)]
    both = [asyncio.ensure_future(node.refresh(first.refresh_token, client_id="cli")) for node in (a, b)]
    for gate in gates:
        await soon(gate.arrived.wait())
    for gate in gates:
        gate.open()
    one, other = [await soon(task) for task in both]
    assert one.refresh_token == other.refresh_token != first.refresh_token
    assert isinstance(await b.check(signed_in.token), Session)


# --- 8: deposed primary ---


async def test_deposed_primary(fleet, a):
    """A store that gives rows and no leases is not believed."""
    clock = ManualClock()
    b = await fleet.node(clock=clock)
    signed_in = await a.sign_in("maria")
    b.wire.cut |= {"beat", "tail", "join"}
    clock.pause(2)
    with pytest.raises(StoreUnavailable):
        await soon(b.check(signed_in.token))


async def test_a_row_of_another_epoch_is_read_again(fleet, a):
    """An answer that was under way while the epoch changed counts for nothing."""
    b = await fleet.node()
    signed_in = await a.sign_in("maria")
    gate = b.wire.hold_answer("load")
    checking = asyncio.ensure_future(b.check(signed_in.token))
    await soon(gate.arrived.wait())
    await soon(a.revoke_everyone())
    b.wire.release("load")
    gate.open()
    assert await soon(checking) == Refused("revoked")


# --- 9: delayed and reordered heartbeats ---


async def test_delayed_and_reordered_heartbeats(fleet, a):
    """A heartbeat, or a join, that arrives long after it was given up acknowledges nothing that was not applied."""
    b = await fleet.node()
    signed_in = await a.sign_in("maria")
    await warm(b, signed_in.token)
    node, place = b.lease.node, b.lease.place()
    frozen = b.freeze()
    task = asyncio.ensure_future(a.revoke(signed_in.session.sid))
    await soon(frozen.arrived())
    # What was sent before, with what was applied then, arrives now.
    await a.wire.inner.beat(node, beat=10_000, applied=place.position, epoch=place.epoch)
    await a.wire.inner.join(node, label="again")
    await soon(a.wire.listed())
    assert not task.done()
    frozen.thaw()
    await soon(task)
    assert not isinstance(b.check_now(signed_in.token), Session)


async def test_a_heartbeat_that_is_given_up_gives_no_lease(fleet):
    """Its answer is thrown away."""
    clock = ManualClock()
    b = await fleet.node(clock=clock)
    gate = b.wire.hold_answer("beat")
    b.lease.wake()
    await soon(gate.arrived.wait())
    before = b.lease._deadline
    clock.advance(0)
    gate.lose()
    b.wire.cut |= {"beat", "tail"}
    await soon(b.beaten())
    assert b.lease._deadline == before


# --- 10: join during a revoke ---


async def test_join_during_a_revoke(fleet, a, b):
    """A node that joins between the commit and the return reads the change, and nothing older, after its join."""
    signed_in = await a.sign_in("maria")
    jwt = a.access_token(signed_in.session, audience="orders")
    frozen = b.freeze()
    task = asyncio.ensure_future(a.revoke(signed_in.session.sid))
    await soon(frozen.arrived())
    c = await fleet.node()
    assert c.verify(jwt, audience="orders") == Refused("revoked")
    assert not task.done() or task.result().waited_s >= LEASE_S  # opening a node may take a lease on a busy machine
    frozen.thaw()
    assert (await soon(task)).nodes in {2, 3}  # on a busy machine the nodes may be listed when it has joined
    assert await c.check(signed_in.token) == Refused("revoked")


async def test_a_revoke_waits_for_who_is_joining(fleet, a):
    """A row is written before the log is read, so whoever may have read it before the change is waited for."""
    signed_in = await a.sign_in("maria")
    jwt = a.access_token(signed_in.session, audience="orders")
    opening = fleet.node()
    gates = {}
    learn = Lease._learn

    async def slowly(lease):
        done = await learn(lease)
        gates["joining"].set()
        await gates["go on"].wait()
        return done

    gates["joining"], gates["go on"] = asyncio.Event(), asyncio.Event()
    Lease._learn = slowly
    try:
        task = asyncio.ensure_future(opening)
        await soon(gates["joining"].wait())
        revoking = asyncio.ensure_future(a.revoke(signed_in.session.sid))
        await soon(a.wire.answered("end", 1))
        await soon(a.wire.listed())
        assert not revoking.done()
    finally:
        Lease._learn = learn
        gates["go on"].set()
    c = await soon(task)
    receipt = await soon(revoking)
    assert receipt.nodes == 2
    assert c.verify(jwt, audience="orders") == Refused("revoked")


# --- 11: a flood of random cookies ---


async def test_flood_of_random_cookies(fleet, a, monkeypatch):
    """Checks that all wait for a slow store neither hold up heartbeats nor pile up without end."""
    monkeypatch.setattr(reader, "MOST_WAITING", 200)
    b = await fleet.node()
    signed_in = await a.sign_in("maria")
    await warm(b, signed_in.token)
    gate = b.wire.hold("load")
    flood = [asyncio.ensure_future(b.check(session_token.mint())) for _ in range(1_000)]
    await soon(gate.arrived.wait())
    assert b.wire.calls["load"] <= reader.MOST_READS + 1
    await soon(b.beaten())
    assert isinstance(b.check_now(signed_in.token), Session)
    await soon(a.revoke(signed_in.session.sid))
    assert b.check_now(signed_in.token) is None
    gate.open()
    answers = await soon(asyncio.gather(*flood, return_exceptions=True))
    refused = [answer for answer in answers if answer == Refused("unknown")]
    turned_away = [answer for answer in answers if isinstance(answer, StoreUnavailable)]
    assert len(refused) == 200 and len(turned_away) == 800


async def test_flood_of_one_cookie_after_a_lapse(fleet, a):
    """Checks that may not ride on the read under way, since no change would mark it for them, are bounded like any."""
    clock = ManualClock()
    b = await fleet.node(clock=clock)
    signed_in = await a.sign_in("maria")
    gate = b.wire.hold("load")
    first = asyncio.ensure_future(b.check(signed_in.token))
    await soon(gate.arrived.wait())
    frozen = b.freeze()
    b.lease.wake()
    await soon(frozen.arrived())
    clock.pause(2)
    flood = [asyncio.ensure_future(b.check(signed_in.token)) for _ in range(500)]
    frozen.thaw()
    await soon(b.beaten())
    await soon(b.beaten())
    assert b.wire.calls["load"] <= reader.MOST_READS + 1
    gate.open()
    assert all(await soon(asyncio.gather(first, *flood)))


# --- 12: fork ---


async def test_fork(a):
    """A child answers nothing from what its parent knew, and the parent's place is its own."""
    signed_in = await a.sign_in("maria")
    await warm(a, signed_in.token)
    child = os.fork()
    if child == 0:
        try:
            a.check_now(signed_in.token)
        except Forked:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    await soon(a.beaten())
    assert isinstance(a.check_now(signed_in.token), Session)


# --- 13: a token minted from a session object kept past its revocation ---


async def test_a_token_minted_from_an_old_object(a, b):
    """Nothing is signed on the word of an object from before the revocation, on any node."""
    signed_in = await a.sign_in("maria")
    kept = await b.check(signed_in.token)
    assert isinstance(b.access_token(kept, audience="orders"), str)
    await soon(a.revoke(signed_in.session.sid))
    for node in (a, b):
        assert isinstance(node.access_token(kept, audience="orders"), Refused)
        assert isinstance(await node.fresh_token(kept, audience="orders"), Refused)


# --- the barrier itself ---


async def test_a_dead_node_costs_one_lease_once(fleet, a):
    """Its row is dropped when it has stood still for a lease; the next revocation does not wait for it."""
    b = await fleet.node()
    b.wire.cut |= {"beat", "tail", "join", "leave"}
    await b.close()
    first = await soon(a.revoke("x" * 26))
    second = await soon(a.revoke("x" * 26))
    assert first.waited_s >= LEASE_S and first.nodes == 2
    third = await soon(a.revoke("x" * 26))
    assert third.nodes == 1 and third.waited_s < LEASE_S
    assert second.waited_s < LEASE_S


async def test_a_clean_end_leaves_no_row(fleet, a):
    """Nobody waits for a node that has said good-bye."""
    b = await fleet.node()
    await b.close()
    assert [row.id for row in (await a.wire.nodes()).rows] == [a.lease.node]


async def test_revoking_again_waits_again(a, b):
    """A second call for the same session does not return before the first may."""
    signed_in = await a.sign_in("maria")
    await warm(b, signed_in.token)
    frozen = b.freeze()
    first = asyncio.ensure_future(a.revoke(signed_in.session.sid))
    await soon(frozen.arrived())
    second = asyncio.ensure_future(a.revoke(signed_in.session.sid))
    third = asyncio.ensure_future(a.revoke_user("maria"))
    await soon(a.wire.answered("end", 2))
    await soon(a.wire.answered("end_subject", 1))
    await soon(a.wire.listed())
    assert not first.done() and not second.done() and not third.done()
    frozen.thaw()
    await soon(asyncio.gather(first, second, third))
    assert not isinstance(b.check_now(signed_in.token), Session)


async def test_barriers_share_rounds(a, b):
    """Many that wait at once list the nodes together."""
    signed_in = [await a.sign_in(f"u{n}") for n in range(50)]
    frozen = b.freeze()
    revoking = [asyncio.ensure_future(a.revoke(one.session.sid)) for one in signed_in]
    await soon(frozen.arrived())
    await soon(a.wire.answered("end", 50))
    gate = a.wire.hold("nodes")
    await soon(gate.arrived.wait())
    before = a.wire.calls["nodes"]
    frozen.thaw()
    await soon(b.beaten())
    a.wire.release("nodes")
    gate.open()
    await soon(asyncio.gather(*revoking))
    assert a.wire.calls["nodes"] - before <= 5
    for one in signed_in:
        assert not isinstance(b.check_now(one.token), Session)


async def test_nobody_rides_on_a_list_from_before_the_commit(a, b):
    """A call that comes while the nodes are being listed waits for the next list."""
    signed_in = await a.sign_in("maria")
    await warm(b, signed_in.token)
    frozen = b.freeze()
    nodes = a.wire.hold_answer("nodes")
    first = asyncio.ensure_future(a.revoke("x" * 26))
    await soon(nodes.arrived.wait())
    second = asyncio.ensure_future(a.revoke(signed_in.session.sid))
    await soon(a.wire.answered("end", 2))
    a.wire.release("nodes")
    nodes.open()
    await soon(a.wire.listed())
    assert not second.done()
    frozen.thaw()
    await soon(asyncio.gather(first, second))
    assert not isinstance(b.check_now(signed_in.token), Session)


async def test_a_store_lost_during_the_wait_is_told(fleet, a):
    """The change is committed; who called hears that the wait is not complete, and may call again."""
    b = await fleet.node()
    signed_in = await a.sign_in("maria")
    for node in (a, b):
        node.wire.cut |= {"beat", "tail"}
    a.wire.cut.add("nodes")
    with pytest.raises(BarrierIncomplete) as caught:
        await soon(a.revoke(signed_in.session.sid))
    assert caught.value.position == (await a.wire.inner.tail(0)).head
    for node in (a, b):
        node.wire.cut.clear()
    receipt = await soon(a.revoke(signed_in.session.sid))
    assert receipt.position > caught.value.position


async def test_what_memory_lost_is_not_forgotten_by_the_log(fleet, a):
    """A node that joins late refuses every token that could still be used."""
    signed_in = await a.sign_in("maria")
    jwt = a.access_token(signed_in.session, audience="orders")
    await soon(a.revoke(signed_in.session.sid))
    for _ in range(3):
        c = await fleet.node()
        assert c.verify(jwt, audience="orders") == Refused("revoked")


async def test_keys_are_applied_before_they_are_acknowledged(fleet, a):
    """A node that could not read the keys does not say that it has applied their change."""
    b = await fleet.node()
    signed_in = await a.sign_in("maria")
    jwt = a.access_token(signed_in.session, audience="orders")
    assert b.verify(jwt, audience="orders")
    kid = next(iter(a.key_states()))
    gate = b.wire.hold("keys")
    task = asyncio.ensure_future(a.revoke_key(kid))
    await soon(gate.arrived.wait())
    await soon(a.wire.listed())
    assert not task.done()
    b.wire.release("keys")
    gate.open()
    await soon(task)
    assert b.verify(jwt, audience="orders") == Refused("unknown_key")


# --- 4: failover ---


def promote(inner):
    """Have the store be the one that was promoted: in another era, and without the keys of before."""
    inner._epoch = next_era(inner._epoch, draw=7)
    inner._keys = []


@pytest.mark.parametrize("fleet", ["memory"], indirect=True)
async def test_failover(a, b):
    """A store that is in another era after the write may be another one, without it: that is told, never "in force"."""
    signed_in = await a.sign_in("maria")
    gate = a.wire.hold("nodes")
    task = asyncio.ensure_future(a.revoke(signed_in.session.sid))
    await soon(gate.arrived.wait())
    promote(a.wire.inner)
    for node in (a, b):
        await soon(node.beaten())  # both live on with the store that came instead, far enough in its log
    a.wire.release("nodes")
    gate.open()
    with pytest.raises(BarrierIncomplete):
        await soon(task)


@pytest.mark.parametrize("fleet", ["memory"], indirect=True)
async def test_after_a_failover_rows_may_be_missing(a, b):
    """Until the leases from before have run out, a revocation waits a whole lease, whoever answers; then no longer."""
    signed_in = await a.sign_in("maria")
    await warm(b, signed_in.token)
    frozen = b.freeze()
    b.lease.wake()
    await soon(frozen.arrived())
    inner = a.wire.inner
    promote(inner)
    del inner._nodes[b.lease.node]  # its join was not on the replica
    await soon(a.beaten())
    assert isinstance(b.check_now(signed_in.token), Session)  # it still holds its lease
    first = await soon(a.revoke(signed_in.session.sid))
    assert first.nodes == 1 and first.waited_s >= LEASE_S
    assert (await soon(a.revoke(signed_in.session.sid))).waited_s < LEASE_S
    frozen.thaw()


@pytest.mark.parametrize("fleet", ["memory"], indirect=True)
async def test_everyones_end_meanwhile_is_no_failover(a, b):
    """A revocation that waits while everybody is signed out is in force all the same."""
    signed_in = await a.sign_in("maria")
    gate = a.wire.hold("nodes")
    task = asyncio.ensure_future(a.revoke(signed_in.session.sid))
    await soon(gate.arrived.wait())
    everyone = asyncio.ensure_future(b.revoke_everyone())
    a.wire.release("nodes")
    gate.open()
    await soon(task)
    await soon(everyone)
    assert not isinstance(b.check_now(signed_in.token), Session)


def test_eras_that_part_have_different_names():
    """The next era is above every epoch of this one, and does not follow from it alone."""
    epoch = 5
    assert next_era(epoch, draw=0) >> ERA_BITS == 1
    assert len({next_era(epoch, draw=draw) for draw in range(100)}) == 100
    assert all(next_era(epoch, draw=draw) > epoch for draw in range(100))
