"""A primary in whose place another came, and that goes on answering: nobody believes it, whatever it has."""

import asyncio
import contextlib
import itertools

import pytest
from redis.crc import key_slot
from tests.fleet.fleet import ISSUER, SECRET
from tests.servers import valkey
from tests.valkey.calls import STAMP, claim, end, end_everyone, end_subject, is_live, put, renew, sign_in
from tests.valkey.gates import Gates, opened

from coatcheck import Coatcheck
from coatcheck.errors import CoatcheckError, StoreUnavailable
from coatcheck.stores import _valkey_calls
from coatcheck.stores.base import ERA_BITS
from coatcheck.stores.valkey import ValkeyStore
from coatcheck.testing.store_contract import make_digest, make_family, make_key

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Calls that wait for a second at most."""
    monkeypatch.setattr(_valkey_calls, "WAIT_S", 1.0)


class Deposed:
    """Two primaries of one history: the old one has lost its replicas and does not know why."""

    def __init__(self, **options):
        self._group = valkey.replicated(2)
        self.prefix = "deposed"
        self.options = {"durability": "1", **options}
        self.old = self._group.primary
        self.new = self._group.replicas[0]

    def url(self, server):
        return server.url(prefix=self.prefix, **self.options)

    def promote(self):
        self._group.promote(self.new)

    def close(self):
        self._group.close()


@pytest.fixture
def pair():
    made = Deposed(lease_s="0.5")
    yield made
    made.close()


WRITES = [
    lambda store: sign_in(store, "c"),
    lambda store: put(store, x=1),
    lambda store: claim(store, x=1),
    renew,
    lambda store: store.add_family(make_family("f", "b")),
    lambda store: store.add_key(make_key("k"), newest=None, stamp=STAMP),
    lambda store: store.join("n2", label=""),
    lambda store: store.beat("n1", beat=2, applied=0, epoch=1),
    lambda store: store.sweep(now=0, limit=9, trim_to=9),
]
ENDS = [lambda store: end(store, "b"), end_subject, end_everyone, lambda store: store.reset_keys(stamp=STAMP)]


async def test_a_deposed_primary_takes_no_write_and_gives_no_lease(pair):
    """Its replicas have left it, so nothing is on enough disks: every write says so, in bounded time."""
    async with opened(pair.url(pair.old)) as (store, _):
        await sign_in(store, "a")
        await sign_in(store, "b")
        await store.join("n1", label="")
        assert await store.beat("n1", beat=1, applied=0, epoch=1) is not None
        pair.promote()
        for calls in (WRITES, ENDS):
            outcomes = await asyncio.gather(*(call(store) for call in calls), return_exceptions=True)
            assert [outcome for outcome in outcomes if not isinstance(outcome, StoreUnavailable)] == []


async def test_a_deposed_primary_is_not_opened_anew(pair):
    """A process that comes late and is sent there does not begin."""
    async with opened(pair.url(pair.old)) as (store, _):
        await sign_in(store)
    pair.promote()
    pair.options = {}  # it has not been told how many disks there are; the store has
    with pytest.raises(StoreUnavailable):
        await ValkeyStore(pair.url(pair.old)).open()


async def test_replicas_that_came_later_are_remembered_for_who_opens_later():
    """A deposed primary does not pass for one that never had a replica."""
    pair = valkey.replicated(1)
    try:
        url = pair.url(prefix="later")
        pair.replicas[0].call("REPLICAOF", "NO", "ONE")
        async with opened(url) as (store, _):
            await store.join("n1", label="")
            pair.attach(pair.replicas[0])
            for line in store._wire._places.servers[0].lines.values():
                line._disks._asked_at = 0.0  # it is time to count them
            for beat in (1, 2):
                assert await store.beat("n1", beat=beat, applied=0, epoch=1) is not None
        pair.promote(pair.replicas[0])
        with pytest.raises(StoreUnavailable):
            await ValkeyStore(url).open()
    finally:
        pair.close()


async def test_what_was_revoked_on_the_new_primary_is_not_accepted_by_who_stayed_at_the_old(pair):
    """Once the revocation has returned, neither its memory nor what the old primary says is enough."""
    engines = [Coatcheck(pair.url(server), issuer=ISSUER, secret=SECRET) for server in (pair.old, pair.new)]
    async with engines[0] as stayed:
        warm, cold = await stayed.sign_in("maria"), await stayed.sign_in("maria")
        jwt = stayed.access_token(warm.session, audience="orders")
        assert await stayed.check(warm.token)
        pair.promote()
        async with engines[1] as went:
            assert await went.check(warm.token) and await went.check(cold.token)
            await went.revoke_user("maria")
            for token in (warm.token, cold.token):
                assert not stayed.check_now(token)
                with pytest.raises(StoreUnavailable):
                    await stayed.check(token)
                assert not await went.check(token)
            assert not stayed.verify(jwt, audience="orders")
            assert not went.verify(jwt, audience="orders")


class Switch:
    """Leads a store that knows one server to another, as sentinels do that change their minds."""

    def __init__(self, store):
        self._places = store._wire._places

    async def to(self, server):
        view = await type(self._places)._view(self._places)
        view.primaries = [(("127.0.0.1", server.port), *view.primaries[0][1:])]

        async def look():
            return view

        self._places._view = look
        await self._places.look()


async def epoch_at(pair, server):
    with server.client() as client:
        return int(client.hget(f"{{{pair.prefix}}}:meta", "epoch"))


async def test_what_one_server_proves_does_not_begin_an_era_on_another(pair):
    """The one that proves itself is the one that is asked next: else a restarted old primary comes back."""
    async with opened(pair.url(pair.old)) as (store, _):
        await sign_in(store)
    before = await epoch_at(pair, pair.old)
    pair.promote()
    pair.old.restart()
    async with opened(pair.url(pair.new)) as (store, gates):
        switch = Switch(store)
        await switch.to(pair.old)
        prove, begin = gates.before("probe"), gates.before("begin_era")
        asking = asyncio.create_task(store.nodes())
        await prove.reached()
        await switch.to(pair.new)
        prove.open()
        # The name was said by the old one and is proved by the new one: so it does not even come to that.
        done, _ = await asyncio.wait(
            [asking, asyncio.ensure_future(begin._reached.wait())], return_when="FIRST_COMPLETED"
        )
        await switch.to(pair.old)
        begin.open()
        await asyncio.gather(asking, return_exceptions=True)
        assert done and await epoch_at(pair, pair.old) == before


async def test_an_era_begins_only_where_it_was_proved(pair):
    """Between the proof and the beginning, the way leads to another server, which is as much in doubt."""
    async with opened(pair.url(pair.old)) as (store, _):
        await sign_in(store)
    before = await epoch_at(pair, pair.old)
    pair.promote()
    pair.old.restart()
    store = ValkeyStore(pair.url(pair.new))
    gates = Gates(store)
    begin = gates.before("begin_era")
    opening = asyncio.create_task(store.open())
    await begin.reached()
    await Switch(store).to(pair.old)
    begin.open()
    await asyncio.gather(opening, return_exceptions=True)
    await store.close()
    assert await epoch_at(pair, pair.old) == before


async def test_a_lower_epoch_is_not_believed_because_another_server_proved_itself(pair):
    """The list of nodes would be one without those that joined since."""
    async with opened(pair.url(pair.old)) as (store, _):
        await store.join("before", label="")
    pair.promote()
    async with opened(pair.url(pair.new)) as (store, gates):
        await store.join("after", label="")
        switch = Switch(store)
        await switch.to(pair.old)
        before, after = gates.before("probe"), gates.after("probe")
        listing = asyncio.create_task(store.nodes())
        await before.reached()
        await switch.to(pair.new)
        before.open()
        await after.reached()
        await switch.to(pair.old)
        after.open()
        with pytest.raises(StoreUnavailable):
            await listing


# --- in a cluster ---


@pytest.fixture
def cluster():
    made = valkey.cluster()
    yield made
    made.close()


def new_url(cluster, store):
    """The same for who goes along: with the old primary, the new one has lost its only replica, and does without."""
    return cluster.url(prefix=store._settings.prefix, durability="0")


async def pin(store):
    """Have a store go on with the map that it has, whatever it is told."""
    places = store._wire._places
    view = await places._view()

    async def look():
        return view

    places._view = look


def on(cluster, server, store, what):
    """Return a name whose *what* is on a server."""
    names = (f"{what}{n}" for n in itertools.count())
    key = {"sid": store._rows.key, "sub": lambda name: store._n.subject(name)[0]}[what]
    return next(name for name in names if cluster.primary_of(key(name).decode("latin-1")) is server)


def apart(cluster, store):
    """Return a primary that is not home's, and a ``sid`` there whose subject and pointer are elsewhere."""
    home = cluster.primary_of(store._n.meta.decode())
    there, third = (server for server in cluster.primaries() if server is not home)
    names = (f"s{n}" for n in itertools.count())

    def fits(name):
        pointer = store._n.pointer(make_digest(name))
        slot = key_slot(pointer)
        return cluster.primary_of(store._rows.key(name).decode()) is there and cluster.primary_of(slot) is not there

    return there, third, next(filter(fits, names)), on(cluster, home, store, "sub")


async def test_a_row_on_a_deposed_primary_is_not_believed_after_it_was_ended_elsewhere(cluster):
    """Its name is not the one that is known; and it cannot make itself known."""
    async with opened(cluster.url()) as (stayed, _), opened(new_url(cluster, stayed)) as (went, _):
        there, _, sid, sub = apart(cluster, stayed)
        await sign_in(stayed, sid, sub=sub)
        assert await is_live(stayed, sid)
        await pin(stayed)
        cluster.depose(there)
        assert await is_live(stayed, sid)  # nobody has ended it yet
        with pytest.raises(StoreUnavailable):
            await end(stayed, sid)
        await went._wire._places.look()
        await end(went, sid)
        for look in (lambda: is_live(stayed, sid), lambda: stayed.load_sid(sid), lambda: stayed.load_subject(sub)):
            with contextlib.suppress(StoreUnavailable):
                assert not await look()


async def test_a_slot_that_moved_on_from_a_failover_that_nobody_noticed(cluster):
    """The old primary is known for the bucket; the one that has the slot by now is another still.

    The deposed one may hear of that move from the third, and then sends its askers there: they read the end itself.
    """
    async with opened(cluster.url()) as (stayed, _), opened(new_url(cluster, stayed)) as (went, _):
        there, third, sid, sub = apart(cluster, stayed)
        await sign_in(stayed, sid, sub=sub)
        assert await is_live(stayed, sid)
        await pin(stayed)
        new = cluster.depose(there)
        slot = valkey.slot_of(stayed._rows.key(sid).decode())
        new.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", cluster.id(third))
        cluster.await_other(slot, new)
        await went._wire._places.look()
        await end(went, sid)
        with contextlib.suppress(StoreUnavailable):
            assert not await is_live(stayed, sid)


async def test_what_was_signed_in_after_a_failover_is_found_by_who_changes_all_of_a_subjects(cluster):
    """Who stayed at the deposed primary does not take it for gone: he hears that nobody knows."""
    async with opened(cluster.url()) as (stayed, _), opened(new_url(cluster, stayed)) as (went, _):
        there, _, sid, sub = apart(cluster, stayed)
        await sign_in(stayed, "other", sub=sub)
        await went._home.settle(went._rows.key(sid))
        await pin(stayed)
        cluster.depose(there)
        await went._wire._places.look()
        await sign_in(went, sid, sub=sub, claims={"roles": ["admin"]})
        try:
            await claim(stayed, sub, roles=[])
        except StoreUnavailable:
            return
        assert (await went.load_sid(sid)).session.claims == {"roles": []}


async def test_a_slot_that_moves_takes_no_other_bucket_along(cluster):
    """One epoch for it, and then there is peace: the buckets that stayed are still answered for by the same."""
    async with opened(cluster.url()) as (store, _):
        _, third, sid, sub = apart(cluster, store)
        names = [sid, *(f"x{n}" for n in range(30))]
        for name in names:
            await sign_in(store, name, sub=sub, most=99)
        before = (await store.tail(0)).epoch
        cluster.move_slot(valkey.slot_of(store._rows.key(sid).decode()), third, at_once=True)
        for _ in range(2):
            assert all([await is_live(store, name) for name in names])
            assert (await store.tail(0)).epoch == before + 1


async def test_who_stood_still_does_not_register_a_name_over_one_that_came_back(cluster):
    """A slot moves away and comes back, and so does the name: whoever read it the first time must read it again."""
    async with opened(cluster.url()) as (slow, gates), opened(new_url(cluster, slow)) as (store, _):
        there, third, sid, sub = apart(cluster, store)
        await sign_in(store, sid, sub=sub)
        key = store._rows.key(sid)
        slot = valkey.slot_of(key.decode())
        cluster.move_slot(slot, third, at_once=True)
        gate = gates.before("register")
        reading = asyncio.create_task(is_live(slow, sid))
        await gate.reached()
        assert await is_live(store, sid)
        # The one that stands there has proved the third server; that one is deposed, and the slot goes back.
        await pin(slow)
        new = cluster.depose(third)
        new.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", cluster.id(there))
        cluster.await_other(slot, new)
        await store._wire._places.look()
        await end(store, sid)
        gate.open()
        with contextlib.suppress(CoatcheckError):
            assert not await reading
        with pytest.raises(StoreUnavailable):
            await is_live(slow, sid)


async def test_an_era_that_home_begins_knows_no_names_of_before(cluster):
    """Home may be older than the servers of rows: whoever it knew must prove itself again."""
    async with opened(cluster.url()) as (stayed, _), opened(new_url(cluster, stayed)) as (went, _):
        there, _, sid, sub = apart(cluster, stayed)
        await sign_in(stayed, sid, sub=sub)
        assert await is_live(stayed, sid)
        home = cluster.primary_of(stayed._n.meta.decode())
        field = b"at:" + stayed._n.tag(sid.encode())[1:-2]
        known = home.call("HGET", stayed._n.meta, field)
        await pin(stayed)
        cluster.depose(there)
        await went._wire._places.look()
        await end(went, sid)
        # Home is put back to what it was before the failover of the other.
        home.call("HSET", stayed._n.meta, field, known, "name", "f" * 40)
        before = (await went.tail(0)).epoch
        assert before >> ERA_BITS
        with pytest.raises(StoreUnavailable):
            await is_live(stayed, sid)
