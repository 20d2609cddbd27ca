"""Stale fill: a session is read, revoked, and only then put into memory, where it would live on."""

import asyncio

import pytest
from tests.attacks.visitors import ask, door_of, with_cookie

from coatcheck import Coatcheck, Refused
from coatcheck.fleet.cache import Cache, Entry


class SlowLoad:
    """Holds each read of the store after it has read."""

    def __init__(self, monkeypatch, store):
        self.read, self.go = asyncio.Event(), asyncio.Event()
        load = store.load

        async def held(digest):
            found = await load(digest)
            self.read.set()
            await self.go.wait()
            return found

        monkeypatch.setattr(store, "load", held)


async def renewed(auth, done):
    """Renew beside the slow read, which holds every load."""
    load = auth._store.__dict__.pop("load")
    await auth.renew(done.token)
    auth._store.load = load


ENDS = {
    "revoke": lambda auth, done: auth.revoke(done.session.sid),
    "revoke_user": lambda auth, done: auth.revoke_user("maria"),
    "revoke_everyone": lambda auth, done: auth.revoke_everyone(),
    "renew": renewed,
    "update_claims": lambda auth, done: auth.update_claims("maria", set={"roles": []}),
}


def applied(auth):
    """Somebody else's check: the change is applied to memory while the read is still under way."""
    auth.check_now("A" * 43)


async def race(auth, done, monkeypatch, end):
    """A check that has read the session when it is ended; what the check after both says."""
    auth._memory._cache.drop()
    slow = SlowLoad(monkeypatch, auth._store)
    first = asyncio.ensure_future(auth.check(done.token))
    await slow.read.wait()
    await end(auth, done)
    applied(auth)
    slow.go.set()
    await first
    assert auth.check_now(done.token) is None, "kept in memory what was ended meanwhile"
    return await auth.check(done.token)


@pytest.mark.parametrize("name", ENDS)
async def test_what_was_ended_during_the_read_is_not_kept(auth, monkeypatch, name):
    """The read began before and ends after the call returned: memory keeps nothing of it, the next check knows."""
    done = await auth.sign_in("maria", claims={"roles": ["admin"]})
    found = await race(auth, done, monkeypatch, ENDS[name])
    assert not found or found.claims == {"roles": []}


async def test_what_another_process_ended_during_the_read_is_not_kept(tmp_path, clock, monkeypatch):
    """The same with two engines on one file: it is the log that tells."""
    url = f"sqlite:///{tmp_path}/coatcheck.db"
    async with Coatcheck(url, clock=clock) as one, Coatcheck(url, clock=clock) as two:
        done = await one.sign_in("maria")
        found = await race(one, done, monkeypatch, lambda _, done: two.revoke(done.session.sid))
        assert found == Refused("revoked")


async def test_without_the_guard_it_would_be_accepted(auth, monkeypatch):
    """The test can fail: with marks ignored, the revoked session is answered from memory."""

    def keep(self, fill, digest, entry):
        self.entries[digest] = entry
        self._digests[entry.session.sid] = digest
        return True

    monkeypatch.setattr(Cache, "keep", keep)
    done = await auth.sign_in("maria")
    with pytest.raises(AssertionError, match="kept in memory"):
        await race(auth, done, monkeypatch, ENDS["revoke"])
    assert auth.check_now(done.token), "revoked, and accepted"


async def test_a_rider_does_not_see_what_was_read_before_the_revocation(auth, monkeypatch):
    """Checks of one token share a read; one that began after the revocation returned reads for itself."""
    done = await auth.sign_in("maria")
    auth._memory._cache.drop()
    slow = SlowLoad(monkeypatch, auth._store)
    before = asyncio.ensure_future(auth.check(done.token))
    await slow.read.wait()
    await auth.revoke(done.session.sid)
    after = asyncio.ensure_future(auth.check(done.token))
    for _ in range(5):
        await asyncio.sleep(0)
    slow.go.set()
    assert await after == Refused("revoked")
    await before


async def test_a_sign_in_is_a_fill_too(auth, monkeypatch):
    """Revoked between its commit and its return, the new session is not kept in memory."""
    create = auth._store.create

    async def create_then_revoked(record, **kwargs):
        created = await create(record, **kwargs)
        await auth.revoke_user("maria")
        applied(auth)
        return created

    monkeypatch.setattr(auth._store, "create", create_then_revoked)
    done = await auth.sign_in("maria")
    assert auth.check_now(done.token) is None
    assert await auth.check(done.token) == Refused("revoked")


async def test_the_request_after_the_revocation_is_anonymous(auth, monkeypatch):
    """The same through the middleware, both requests under way at once."""
    door = door_of(auth)
    done = await auth.sign_in("maria")
    auth._memory._cache.drop()
    slow = SlowLoad(monkeypatch, auth._store)
    first = asyncio.ensure_future(ask(door, headers=with_cookie(done.token)))
    await slow.read.wait()
    await auth.revoke(done.session.sid)
    applied(auth)
    slow.go.set()
    await first
    assert (await ask(door, headers=with_cookie(done.token))).json == {"sub": None, "sid": None, "refused": "revoked"}


def test_marks(auth_free_session):
    """By sid, or by a drop of everything; a fill of another session is kept; testing and keeping are one step."""
    cache = Cache(2)
    entry = Entry(session=auth_free_session, ends_at=9, idle_s=9, reread_at=9.0)
    named, dropped, free = cache.begin(), cache.begin(), cache.begin()
    named.named.add("s")
    dropped.dropped = True
    free.named.add("other")
    assert [cache.keep(fill, b"d", entry) for fill in (named, dropped, free)] == [False, False, True]
    assert list(cache.entries) == [b"d"]


@pytest.fixture
def auth_free_session():
    """A session that belongs to no engine."""
    from coatcheck import Session

    return Session(sid="s", created_at=0, seen_at=0, expires_at=9, idle_s=9)
