"""
The rules that keep memory true, one by one: engine *a* remembers, engine *b* changes the same file.

Both live in this process; a file does not care. What *a* reads is held up where a test says so.
"""

import asyncio
import contextlib

import pytest
from msgspec.structs import replace

from coatcheck import Coatcheck, Policy, Reason, Refused, Secret, Session, StoreUnavailable
from coatcheck.clock import HOUR
from coatcheck.fleet.cache import Cache
from coatcheck.records import Kind
from coatcheck.testing.store_contract import make_stamp
from coatcheck.tokens import session_token


class Hold:
    """Holds up reads of one engine between the row and its return."""

    def __init__(self, auth):
        self.reads = 0
        self.entered, self.go = asyncio.Event(), asyncio.Event()
        self._store, self._load = auth._store, auth._store.load
        self._store.load = self

    async def __call__(self, digest):
        self.reads += 1
        found = await self._load(digest)
        self.entered.set()
        await self.go.wait()
        return found

    def release(self):
        """Let the reads go on, and all later ones pass."""
        self.go.set()


@pytest.fixture
def policy():
    return Policy()


@pytest.fixture
async def a(url, clock, policy):
    async with Coatcheck(url, policy=policy, clock=clock) as engine:
        yield engine


@pytest.fixture
async def b(url, clock, policy, a):
    async with Coatcheck(url, policy=policy, clock=clock) as engine:
        yield engine


@pytest.fixture
async def cold(b):
    """A session that only *b* knows."""
    return await b.sign_in("maria", claims={"role": "admin"})


async def settled():
    """Let all that can happen by itself happen."""
    for _ in range(20):
        await asyncio.sleep(0)


def loads_of(auth):
    """Return a list that grows by one with each read of *auth*'s store."""
    loads, load = [], auth._store.load

    async def counted(digest):
        loads.append(digest)
        return await load(digest)

    auth._store.load = counted
    return loads


CHANGES = {
    "revoke": lambda b, s: b.revoke(s.session.sid),
    "revoke_user": lambda b, s: b.revoke_user("maria"),
    "revoke_everyone": lambda b, s: b.revoke_everyone(),
    "renew": lambda b, s: b.renew(s.token),
    "update_claims": lambda b, s: b.update_claims("maria", set={"role": "user"}),
    "one session too many": lambda b, s: crowd_out(b),
}


async def crowd_out(b):
    for _ in range(b.policy.sessions_per_subject):
        await b.sign_in("maria")


def is_old(found):
    return isinstance(found, Session) and found.claims["role"] == "admin"


# --- warm ---


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_by_the_other_is_in_force_at_the_next_check(a, b, cold, change):
    """Whatever ends or changes a session elsewhere: the next check here, warm, does not show what was before."""
    assert is_old(await a.check(cold.token)) and is_old(a.check_now(cold.token))
    await CHANGES[change](b, cold)
    assert not is_old(a.check_now(cold.token))
    assert not is_old(await a.check(cold.token))
    assert not is_old(a.check_now(cold.token))


@pytest.mark.parametrize("change", CHANGES)
async def test_ones_own_change_is_in_force_at_the_next_check(a, change, clock):
    """The same for a change that this engine made itself."""
    mine = await a.sign_in("maria", claims={"role": "admin"})
    assert is_old(a.check_now(mine.token))
    await CHANGES[change](a, mine)
    assert not is_old(a.check_now(mine.token))
    assert not is_old(await a.check(mine.token))


async def test_a_change_leaves_the_others_in_memory(a, b):
    """What a change does not name stays warm, whoever's it is."""
    mine, other = await a.sign_in("maria"), await a.sign_in("otto")
    await b.revoke(mine.session.sid)
    assert isinstance(a.check_now(other.token), Session)
    await b.update_data(other.session.sid, set={"cart": 1})
    assert isinstance(a.check_now(other.token), Session), "data are not in memory, so nothing there is out of date"


# --- fills ---


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("noticed", ["by another check", "by nobody"])
async def test_a_stale_fill_is_not_kept(a, b, cold, change, noticed):
    """A row that was read before a change and arrives after it is nobody's answer later on."""
    bystander = await a.sign_in("otto")
    hold = Hold(a)
    first = asyncio.create_task(a.check(cold.token))
    await hold.entered.wait()
    await CHANGES[change](b, cold)
    if noticed == "by another check":
        a.check_now(bystander.token)
        await settled()
    hold.release()
    assert is_old(await first), "it began before the change, so either answer is right"
    assert not is_old(a.check_now(cold.token))
    assert not is_old(await a.check(cold.token))


@pytest.mark.parametrize("change", CHANGES)
async def test_a_sign_in_is_a_fill_like_any_other(a, b, change):
    """A session that was changed between its commit and its sign-in's return is not remembered as it was signed in."""
    entered, go = asyncio.Event(), asyncio.Event()
    create = a._store.create

    async def slow(record, **kwargs):
        position = await create(record, **kwargs)
        entered.set()
        await go.wait()
        return position

    bystander = await a.sign_in("otto")
    a._store.create = slow
    signing_in = asyncio.create_task(a.sign_in("maria", claims={"role": "admin"}))
    await entered.wait()
    (session,) = await b.sessions_of("maria")
    if change == "renew":
        record = await b._store.load_sid(session.sid)
        renewed = replace(record, digest=b"x" * 32, session=replace(session, version=2))
        assert await b._store.renew(record.digest, renewed, generation=None, most=9, stamp=make_stamp())
    else:
        await CHANGES[change](b, signed(session))
    a.check_now(bystander.token)  # applies the change, while the sign-in is on its way back
    go.set()
    mine = await signing_in
    assert not is_old(a.check_now(mine.token))
    assert not is_old(await a.check(mine.token))


def signed(session):
    class Signed:
        pass

    Signed.session = session
    return Signed


def test_marks_by_name_by_everyone_and_by_drop():
    """A fill under way is marked by a change of its session, by one of everyone's, and by a drop; by nothing else."""
    from coatcheck.fleet.cache import Entry
    from coatcheck.records import Change

    def kept(happens):
        cache = Cache(9)
        fill = cache.begin()
        happens(cache)
        session = Session(sid="s", created_at=0, seen_at=0, expires_at=9, idle_s=9)
        return (
            cache.keep(fill, b"d", Entry(session=session, ends_at=9, idle_s=9, reread_at=9)) and b"d" in cache.entries
        )

    def change(kind, sid):
        return lambda cache: cache.apply([Change(position=1, kind=kind, sid=sid)])

    assert kept(lambda cache: None)
    assert kept(change(Kind.REVOKED, "another"))
    assert kept(change(Kind.DATA, "s"))
    for kind in (Kind.REVOKED, Kind.RENEWED, Kind.CLAIMS):
        assert not kept(change(kind, "s")), kind
    assert not kept(change(Kind.EVERYONE, None))
    assert not kept(Cache.drop)


async def test_no_fill_stays_on_the_books(a, b, cold):
    """Whatever becomes of a read, and of a sign-in, it is no longer under way afterwards."""
    await a.check(cold.token)
    await a.check("a" * 43)
    hold = Hold(a)
    task = asyncio.create_task(a.check("b" * 43))
    await hold.entered.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert a._memory._cache._fills == set()
    assert a._memory._reader._under_way == {}


# --- sharing a read ---


async def test_checks_of_one_token_share_one_read(a, cold):
    """Ten cold checks of one token at once read the store once."""
    hold = Hold(a)
    checks = [asyncio.create_task(a.check(cold.token)) for _ in range(10)]
    await hold.entered.wait()
    hold.release()
    assert all(is_old(found) for found in await asyncio.gather(*checks))
    assert hold.reads == 1


@pytest.mark.parametrize("change", CHANGES)
async def test_nobody_rides_on_a_read_that_was_overtaken(a, b, cold, change):
    """A check that begins after a change does not take the answer of a read that began before it."""
    hold = Hold(a)
    leader = asyncio.create_task(a.check(cold.token))
    await hold.entered.wait()
    await CHANGES[change](b, cold)
    riders = [asyncio.create_task(a.check(cold.token)) for _ in range(3)]
    await settled()
    hold.release()
    await leader
    assert not any(is_old(found) for found in await asyncio.gather(*riders))
    assert not is_old(a.check_now(cold.token))


@pytest.mark.parametrize("change", CHANGES)
async def test_who_cannot_tell_rides_on_nothing(a, b, cold, change, monkeypatch):
    """A check that could not read the log asks the store itself, and takes nobody's answer."""
    hold = Hold(a)
    leader = asyncio.create_task(a.check(cold.token))
    await hold.entered.wait()
    await CHANGES[change](b, cold)
    monkeypatch.setattr(a._store, "tail_now", lambda after: None)
    rider = asyncio.create_task(a.check(cold.token))
    await settled()
    hold.release()
    await leader
    assert not is_old(await rider)


async def test_an_overtaken_unknown_is_nobody_elses_answer(a, b, monkeypatch):
    """A token that came to open something while a read was under way is not refused to who asks afterwards."""
    token = "t" * 43
    hold = Hold(a)
    leader = asyncio.create_task(a.check(token))
    await hold.entered.wait()
    monkeypatch.setattr(session_token, "mint", lambda: Secret(token))
    await b.sign_in("maria")
    await b.revoke("another")
    rider = asyncio.create_task(a.check(token))
    await settled()
    hold.release()
    assert await leader == Refused(Reason.UNKNOWN)
    assert isinstance(await rider, Session)


async def test_a_cancelled_rider_takes_nobody_along(a, cold):
    """When a check that waits for another's read is cancelled, that read and the others who wait go on."""
    hold = Hold(a)
    leader = asyncio.create_task(a.check(cold.token))
    await hold.entered.wait()
    riders = [asyncio.create_task(a.check(cold.token)) for _ in range(3)]
    await settled()
    riders.pop().cancel()
    await settled()
    hold.release()
    assert all(is_old(found) for found in await asyncio.gather(leader, *riders))
    assert hold.reads == 1


async def test_a_cancelled_leader_takes_nobody_along(a, cold):
    """When the check that reads is cancelled, those that waited for it read for themselves."""
    hold = Hold(a)
    leader = asyncio.create_task(a.check(cold.token))
    await hold.entered.wait()
    rider = asyncio.create_task(a.check(cold.token))
    await settled()
    leader.cancel()
    await settled()
    hold.release()
    assert is_old(await rider)


# --- the log ---


async def test_a_log_trimmed_past_what_was_applied_drops_everything(a, b, clock):
    """When lines that this process has not read are gone, it forgets all it knew."""
    ended, other = await a.sign_in("maria"), await a.sign_in("otto")
    assert a.check_now(ended.token) and a.check_now(other.token)
    await b.revoke(ended.session.sid)
    await b._store.sweep(now=clock.now() + 2 * HOUR, limit=500)
    tail = await b._store.tail(0)
    assert tail.changes == () and tail.trimmed == tail.head > 0
    assert a.check_now(ended.token) is None
    assert a.check_now(other.token) is None
    assert not await a.check(ended.token)
    assert await a.check(other.token)


async def test_a_log_trimmed_up_to_what_was_applied_drops_nothing(a, b, clock):
    """Trimming what everybody has read costs nobody anything."""
    ended, other = await a.sign_in("maria"), await a.sign_in("otto")
    await b.revoke(ended.session.sid)
    assert a.check_now(other.token)
    await b._store.sweep(now=clock.now() + 2 * HOUR, limit=500)
    clock.outrun_backstop()
    assert a.check_now(other.token)


async def test_a_new_epoch_drops_everything(a, b):
    """The end of everyone's sessions empties memory, fills under way included, though no session is named."""
    mine = [await a.sign_in("maria") for _ in range(3)]
    await b.revoke_everyone()
    assert [a.check_now(one.token) for one in mine] == [None] * 3
    assert a._memory._entries == {}
    assert [await a.check(one.token) for one in mine] == [Refused(Reason.REVOKED)] * 3


async def test_another_epoch_without_a_word_drops_everything(a, b, monkeypatch):
    """Another epoch is another log, whatever its lines say."""
    mine = await a.sign_in("maria")
    assert a.check_now(mine.token)
    tail = await b._store.tail(0)
    monkeypatch.setattr(a._store, "tail_now", lambda after: replace(tail, epoch=tail.epoch + 1))
    b._store._pulse.beat()
    assert a.check_now(mine.token) is None


async def test_a_log_that_went_back_drops_everything(a, b, clock, monkeypatch):
    """A head before what was applied is another log (a restored file): nothing of before is believed."""
    mine = await a.sign_in("maria")
    await b.revoke("nobody")
    assert a.check_now(mine.token)
    tail = await b._store.tail(0)
    monkeypatch.setattr(a._store, "tail_now", lambda after: replace(tail, head=0, changes=()))
    b._store._pulse.beat()
    assert a.check_now(mine.token) is None


async def test_the_pulse_is_noted_as_it_was_before_the_log_was_read(a, b, monkeypatch):
    """A change that is committed just after the log was read is seen by the next check."""
    mine, other = await a.sign_in("maria"), await a.sign_in("maria")
    assert a.check_now(mine.token)
    await b.revoke("nobody")
    b_ended = []
    tail_now = a._store.tail_now

    def and_then_b_revokes(after):
        tail = tail_now(after)
        if not b_ended:
            b_ended.append(mine)
            b._store._write.execute("BEGIN IMMEDIATE")
            b._store._steps.end(mine.session.sid, None, Kind.REVOKED, "", make_stamp())
            b._store._write.execute("COMMIT")
            b._store._committed()
        return tail

    monkeypatch.setattr(a._store, "tail_now", and_then_b_revokes)
    a.check_now(other.token)
    assert b_ended
    assert not a.check_now(mine.token)


@pytest.mark.parametrize("second", ["revoke", "revoke_user", "revoke_everyone", "update_claims"])
@pytest.mark.parametrize("first", ["revoke", "revoke_user", "revoke_everyone"])
async def test_what_finds_nothing_left_to_do_waits_for_who_did_it(a, b, url, clock, monkeypatch, first, second):
    """
    A session that another process has ended, and not yet told anybody: ending it once more, or changing its claims,
    finds no row. When that returns, it is in force all the same.
    """
    mine = await a.sign_in("maria", claims={"role": "admin"})
    assert is_old(a.check_now(mine.token))
    with monkeypatch.context() as unannounced:
        unannounced.setattr(b._store._pulse, "beat", lambda: None)
        await CHANGES[first](b, mine)
    assert is_old(a.check_now(mine.token)), "committed, and not announced: the call has not returned yet"
    async with Coatcheck(url, clock=clock) as c:
        await CHANGES[second](c, mine)
    assert not is_old(a.check_now(mine.token))


# --- age, size, trouble ---


async def test_a_session_in_memory_is_read_again_after_a_while(a, cold, clock, policy):
    """After reread_s at the latest a session is read again, whether or not anything was announced."""
    assert await a.check(cold.token)
    loads = loads_of(a)
    clock.advance(policy.reread_s - 1)
    assert a.check_now(cold.token) and loads == []
    clock.advance(1)
    assert a.check_now(cold.token) is None
    assert await a.check(cold.token) and len(loads) == 1
    assert a.check_now(cold.token)


async def test_rereading_finds_what_the_log_never_said(a, b, cold, clock, policy):
    """A row that vanished without a line in the log is refused after reread_s."""
    assert await a.check(cold.token)
    b._store._write.execute("DELETE FROM sessions")
    assert a.check_now(cold.token), "the story is of a change that nobody announced"
    clock.advance(policy.reread_s)
    assert await a.check(cold.token) == Refused(Reason.UNKNOWN)


async def test_a_small_memory_gives_the_same_answers(url, clock):
    """With room for two sessions, every answer is what it would be with room for all."""
    async with (
        Coatcheck(url, clock=clock, policy=Policy(cached_sessions=2)) as small,
        Coatcheck(url, clock=clock) as large,
    ):
        all_of_them = [await small.sign_in(f"subject-{number}") for number in range(6)]
        for turn, victim in enumerate(all_of_them[:-1]):
            for one in [*all_of_them, *reversed(all_of_them)]:
                found = await small.check(one.token)
                assert found == await large.check(one.token)
                assert bool(found) == (one not in all_of_them[:turn])
                assert small.check_now(one.token) in (found, None)
                assert len(small._memory._entries) <= 2 and len(small._memory._cache._digests) <= 2
            await large.revoke(victim.session.sid)
            assert not small.check_now(victim.token)


async def test_a_busy_store_means_no_answer_from_memory(a, b, clock, monkeypatch):
    """When the log cannot be read at once after a change, memory says nothing; the store is asked."""
    ended, other = await a.sign_in("maria"), await a.sign_in("otto")
    await b.revoke(ended.session.sid)
    with monkeypatch.context() as busy:
        busy.setattr(a._store, "tail_now", lambda after: None)
        for _ in range(3):
            assert a.check_now(ended.token) is None
            assert a.check_now(other.token) is None
        assert await a.check(ended.token) == Refused(Reason.REVOKED)
        assert await a.check(other.token)
        assert a.check_now(other.token) is None, "nor is anything believed that was read meanwhile"
    assert not a.check_now(ended.token)
    assert a.check_now(other.token)


async def test_a_change_noticed_while_busy_is_not_forgotten(a, b, clock, monkeypatch):
    """The backstop tells a change once; if the log could not be read then, it is read at the next check."""
    ended = await a.sign_in("maria")
    assert a.check_now(ended.token)
    with monkeypatch.context() as silent:
        silent.setattr(b._store._pulse, "beat", lambda: None)
        await b.revoke(ended.session.sid)
    with monkeypatch.context() as busy:
        busy.setattr(a._store, "tail_now", lambda after: None)
        clock.outrun_backstop()
        assert a.check_now(ended.token) is None
    assert not a.check_now(ended.token)


async def test_when_the_store_cannot_say_memory_says_nothing(a, cold, clock, monkeypatch):
    """When the backstop cannot be asked, check_now gives no answer until it can be again."""
    assert await a.check(cold.token)
    with monkeypatch.context() as dumb:
        dumb.setattr(a._store, "changed_behind_pulse", lambda: None)
        assert a.check_now(cold.token), "the pulse is trusted for a moment"
        clock.outrun_backstop()
        assert a.check_now(cold.token) is None
        assert a.check_now("a" * 43) is None
    assert a.check_now(cold.token)


async def test_a_store_that_fails_is_no_refusal(a, cold, monkeypatch):
    """A failing read is StoreUnavailable for the reader and its riders, and nothing is remembered of it."""

    async def failing(digest):
        await asyncio.sleep(0)
        raise StoreUnavailable("SQLite: planted")

    with monkeypatch.context() as broken:
        broken.setattr(a._store, "load", failing)
        told = await asyncio.gather(*(a.check(cold.token) for _ in range(5)), return_exceptions=True)
        assert {type(outcome) for outcome in told} == {StoreUnavailable}
    assert is_old(await a.check(cold.token))


# --- idle ---


async def test_idle_is_final_only_from_the_row(a, b, clock, policy):
    """A session that was active in another process lives, though memory here thinks it idle."""
    mine = await a.sign_in("maria", idle_s=200)
    assert a.check_now(mine.token)
    clock.advance(150)
    assert await b.check(mine.token)
    await b.flush()
    clock.advance(100)
    assert a.check_now(mine.token) is None
    found = await a.check(mine.token)
    assert isinstance(found, Session) and found.seen_at == clock.now()
    clock.advance(200)
    assert a.check_now(mine.token) is None
    assert await a.check(mine.token) == Refused(Reason.IDLE)


async def test_expired_is_final_at_once(a, clock):
    """The absolute end never moves, so memory refuses by itself."""
    mine = await a.sign_in("maria", absolute_s=100)
    clock.advance(100)
    assert a.check_now(mine.token) == Refused(Reason.EXPIRED)


async def test_the_end_is_seen_whatever_was_called_before(a, clock):
    """A sign-in, a read or a write between two checks does not hold up the time for the next one."""
    mine, idle = await a.sign_in("maria", absolute_s=100), await a.sign_in("maria", idle_s=100)
    assert a.check_now(mine.token) and a.check_now(idle.token)
    clock.advance(100)
    await a.sign_in("otto")
    assert a.check_now(mine.token) == Refused(Reason.EXPIRED)
    assert not a.check_now(idle.token)


async def test_unknown_tokens_are_not_remembered(a, b, monkeypatch):
    """A token that was unknown a moment ago opens the session that it is given to."""
    token = "t" * 43
    assert await a.check(token) == Refused(Reason.UNKNOWN)
    monkeypatch.setattr(session_token, "mint", lambda: Secret(token))
    await b.sign_in("maria")
    assert isinstance(await a.check(token), Session)
    assert len(a._memory._entries) == 1
