"""
What may be lost, and who is not to be believed: primaries that were deposed or killed, stores that are older or empty.

Through engines, as an application meets it. The soak does the same to many processes at random.
"""

import contextlib

import pytest
from tests.servers import valkey

from coatcheck import Claims, Coatcheck, CoatcheckError, Reason, Refused, Session, StoreUnavailable
from coatcheck.records import Ended, Kind
from coatcheck.stores.valkey import ValkeyStore
from coatcheck.testing.store_contract import make_record, make_stamp

pytestmark = pytest.mark.long

ISSUER = "https://auth.example.com"
PREFIX = "of-these-tests"


def engine(url):
    """An engine with access tokens."""
    return Coatcheck(url, issuer=ISSUER, secret="s" * 43)


@pytest.fixture
def pair():
    """A primary and a replica; nobody promotes it but the test."""
    with contextlib.closing(valkey.replicated()) as mine:
        yield mine


@pytest.fixture
def three():
    """A primary and two replicas; a change must be on one of them."""
    with contextlib.closing(valkey.replicated(2)) as mine:
        yield mine


@pytest.fixture
def server():
    """A server that may be stopped."""
    with contextlib.closing(valkey.start()) as mine:
        yield mine


async def accepts(auth, token, jwt):
    """Say what an engine takes of one who has both; what cannot be told is not taken."""
    taken = set()
    with contextlib.suppress(StoreUnavailable):
        if isinstance(await auth.check(token), Session):
            taken.add("cookie")
    if isinstance(auth.verify(jwt, audience="orders"), Claims):
        taken.add("access token")
    return taken


async def signed_in_at(auth):
    """Sign somebody in; return the sid, the cookie and an access token, all of them good."""
    signed_in = await auth.sign_in("maria")
    session = await auth.check(signed_in.token)
    jwt = auth.access_token(session, audience="orders")
    assert await accepts(auth, signed_in.token, jwt) == {"cookie", "access token"}
    return session.sid, signed_in.token, jwt


# --- a primary that was deposed, and still answers ---


async def test_a_deposed_primary_is_not_believed(three):
    """What was ended at the new one is refused by who still reaches the old one only."""
    async with engine(three.url(prefix=PREFIX, durability="1")) as behind:
        sid, token, jwt = await signed_in_at(behind)
        three.promote(three.replicas[0])
        async with engine(three.url(prefix=PREFIX, durability="1")) as ahead:
            assert await accepts(ahead, token, jwt) == {"cookie"}, "the keys are new"
            await ahead.revoke(sid)
            assert await accepts(behind, token, jwt) == set()
            with pytest.raises(StoreUnavailable):
                await behind.sign_in("bob")


async def test_with_less_durability_it_is_as_the_page_says(three):
    """Who asks for no replica is told what it risks: here it happens. So the test above can fail."""
    async with engine(three.url(prefix=PREFIX, durability="0")) as behind:
        sid, token, jwt = await signed_in_at(behind)
        three.promote(three.replicas[0])
        async with engine(three.url(prefix=PREFIX, durability="0")) as ahead:
            await ahead.revoke(sid)
            assert await accepts(behind, token, jwt) == {"cookie", "access token"}


# --- a write that is lost with its server ---


async def test_what_is_on_the_primary_alone_was_never_acknowledged(pair):
    """With its replica stopped, a revocation raises; and what returned is on whichever takes over."""
    async with engine(pair.url(prefix=PREFIX)) as auth:
        ended, cookie, jwt = await signed_in_at(auth)
        await auth.revoke(ended)
        sid, _, _ = await signed_in_at(auth)
        pair.replicas[0].pause()
        with pytest.raises(CoatcheckError) as caught:
            await auth.revoke(sid)
        assert caught.value.http_status == 503
        pair.primary.kill()
        pair.replicas[0].go_on()
    pair.promote(pair.replicas[0])
    # Of two disks there is one left, and the operator says that it has to do.
    async with engine(pair.url(prefix=PREFIX, durability="0")) as auth:
        assert await accepts(auth, cookie, jwt) == set()
        assert await auth.check(cookie) == Refused(Reason.REVOKED)


@pytest.mark.long
@pytest.mark.parametrize("lost", ["home", "row"])
async def test_a_cluster_that_loses_a_primary(lost):
    """A revocation that returned survives the loss of the log's primary, and of the row's; so do sessions."""
    with contextlib.closing(valkey.cluster(replicas=2)) as cluster:
        url = cluster.url(prefix=PREFIX, durability="1")
        async with engine(url) as auth:
            sid, token, jwt = await signed_in_at(auth)
            other, stays, _ = await signed_in_at(auth)
            await auth.revoke(sid)
            names = ValkeyStore(url)._n
            key = names.meta if lost == "home" else names.row(sid)[0] + b"s:" + sid.encode()
            cluster.lose(cluster.primary_of(key.decode()))
            assert await accepts(auth, token, jwt) == set()
            while not isinstance(await _patiently(auth.check, stays), Session):
                pass
            assert await _patiently(auth.check, token) == Refused(Reason.REVOKED)
            await _patiently(auth.revoke, other)
            assert await _patiently(auth.check, stays) == Refused(Reason.REVOKED)


@pytest.mark.long
async def test_with_one_replica_a_shard_goes_on_when_the_lost_server_is_back():
    """Until then nothing is acknowledged that another failover could lose; then all goes on, with all its sessions."""
    with contextlib.closing(valkey.cluster()) as cluster:
        url = cluster.url(prefix=PREFIX)
        async with engine(url) as auth:
            sid, _, _ = await signed_in_at(auth)
            stays, token, _ = await signed_in_at(auth)
            lost = cluster.primary_of(ValkeyStore(url)._n.meta.decode())
            cluster.lose(lost)
            with pytest.raises(CoatcheckError) as caught:
                await auth.revoke(sid)
            assert caught.value.http_status == 503
            lost.start()
            cluster.settle()
            assert isinstance(await _patiently(auth.check, token), Session)
            await _patiently(auth.revoke, stays)
            assert await _patiently(auth.check, token) == Refused(Reason.REVOKED)


async def _patiently(ask, *args):
    """Ask until there is an answer: 503 says to ask again."""
    for _ in range(20):
        try:
            return await ask(*args)
        except CoatcheckError as error:
            assert error.http_status == 503
    raise AssertionError("it does not answer again")


# --- an older store, and an empty one ---


async def test_an_older_store_takes_no_access_token_of_before(server):
    """Its cookies are as old as it is, which nobody here can know; the page says what to do, and that it helps."""
    url = server.url()
    async with engine(url) as auth:
        sid, token, jwt = await signed_in_at(auth)
        server.call("SAVE")
        await auth.revoke(sid)
        assert await accepts(auth, token, jwt) == set()
        server.kill()
        server.put_back()
        server.restart()
    async with engine(url) as auth:
        assert await accepts(auth, token, jwt) == {"cookie"}
        await auth.revoke_everyone()
        assert await accepts(auth, token, jwt) == set()


async def test_an_empty_store_takes_nothing(server):
    """Nobody is signed in, and no key of before counts, also for who was there before."""
    url = server.url()
    async with engine(url) as auth:
        _, token, jwt = await signed_in_at(auth)
        server.call("FLUSHALL")
        async with engine(url) as other:
            assert await accepts(other, token, jwt) == set()
            await other.in_force()
            assert await accepts(auth, token, jwt) == set()


# --- half of a revocation ---


async def test_a_revocation_that_died_between_row_and_log_is_finished(monkeypatch):
    """By whoever asks again, and by a sweep; until then it had not returned."""
    url = valkey.shared("cluster").url()
    here, there = ValkeyStore(url), ValkeyStore(url)
    await here.open()
    await there.open()
    try:
        records = [make_record(f"maria {number}") for number in range(2)]
        for record in records:
            await here.create(record, generation=None, most=9, stamp=make_stamp())

        async def die(*args, **kwargs):
            raise StoreUnavailable("the process was killed here")

        monkeypatch.setattr(here._home, "append", die)
        for record in records:
            with pytest.raises(StoreUnavailable):
                await here.end(record.session.sid, of=None, kind=Kind.REVOKED, note="", stamp=make_stamp())
        assert [await there.load(record.digest) for record in records] == [Ended(Reason.REVOKED)] * 2
        assert (await there.tail(0)).changes == ()
        first, second = (record.session.sid for record in records)
        assert await there.end(first, of=None, kind=Kind.REVOKED, note="", stamp=make_stamp())
        assert {line.sid for line in (await there.tail(0)).changes} == {first}
        later = make_stamp().now + 120
        await there.sweep(now=later, limit=100, trim_to=0)
        assert {line.sid for line in (await there.tail(0)).changes} == {first, second}
    finally:
        await here.close()
        await there.close()
