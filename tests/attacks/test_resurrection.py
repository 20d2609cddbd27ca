"""Resurrection: a slow request saves a session after it was revoked, and so brings it back (CVE-2025-46336)."""

import asyncio

import pytest
from tests.attacks.visitors import ask, with_cookie

from coatcheck import Refused


class Gate:
    """Holds the calls of one store method until told to go on."""

    def __init__(self, monkeypatch, store, name):
        self.reached, self.go = asyncio.Event(), asyncio.Event()
        method = getattr(store, name)

        async def held(*args, **kwargs):
            self.reached.set()
            await self.go.wait()
            return await method(*args, **kwargs)

        monkeypatch.setattr(store, name, held)

    async def hold(self, slow, meanwhile):
        """Start *slow*, let *meanwhile* happen once it is held, then let it go on; return what came of it."""
        task = asyncio.ensure_future(slow)
        await self.reached.wait()
        await meanwhile()
        self.go.set()
        return await task


async def is_gone(auth, door, done):
    """Whether nothing opens the session *done*, or finds it."""
    answer = await ask(door, headers=with_cookie(done.token))
    return (
        not await auth.check(done.token)
        and answer.json["sub"] is None
        and await auth._store.load_sid(done.session.sid) is None
        and await auth.data(done.session.sid) == Refused("unknown")
        and await auth.sessions_of("maria") == []
    )


ENDS = {
    "revoke": lambda auth, done: auth.revoke(done.session.sid),
    "revoke_user": lambda auth, done: auth.revoke_user("maria"),
    "revoke_everyone": lambda auth, done: auth.revoke_everyone(),
}


@pytest.fixture(params=ENDS)
def end(request):
    """Each way of ending a session."""
    return ENDS[request.param]


async def test_a_slow_save_of_data(auth, door, monkeypatch, end):
    """update_data under way while the session is revoked writes nowhere."""
    done = await auth.sign_in("maria")
    gate = Gate(monkeypatch, auth._store, "change_data")
    slow = auth.update_data(done.session.sid, set={"a": 1})
    assert await gate.hold(slow, lambda: end(auth, done)) == Refused("unknown")
    assert await is_gone(auth, door, done)


async def test_a_slow_renewal(auth, door, monkeypatch, end):
    """Renew has read the session when it is revoked: it gives no token."""
    done = await auth.sign_in("maria")
    gate = Gate(monkeypatch, auth._store, "renew")
    assert await gate.hold(auth.renew(done.token, amr=("otp",)), lambda: end(auth, done)) == Refused("revoked")
    assert await is_gone(auth, door, done)


async def test_a_slow_write_of_activity(auth, door, clock, monkeypatch, end):
    """A flush under way while the session is revoked brings nothing back, whether the batch is lost or written."""
    done = await auth.sign_in("maria")
    clock.advance(10)
    assert await auth.check(done.token)
    gate = Gate(monkeypatch, auth._store, "touch")
    await gate.hold(auth.flush(), lambda: end(auth, done))
    assert await is_gone(auth, door, done)
    await auth.flush()
    assert await is_gone(auth, door, done)


async def test_a_slow_change_of_claims(auth, door, monkeypatch, end):
    """A promotion under way while the session is revoked promotes nobody."""
    done = await auth.sign_in("maria")
    gate = Gate(monkeypatch, auth._store, "change_claims")
    await gate.hold(auth.update_claims("maria", set={"roles": ["admin"]}), lambda: end(auth, done))
    assert await is_gone(auth, door, done)


async def test_a_slow_first_write_of_a_started_session(auth, door, monkeypatch):
    """The session is on its way into the store when it is revoked: revoke waits for it, and it is gone."""
    started = await auth.start()
    gate = Gate(monkeypatch, auth._store, "create")
    revoking = []

    async def meanwhile():
        revoking.append(asyncio.ensure_future(auth.revoke(started.session.sid)))
        for _ in range(10):
            await asyncio.sleep(0)

    await gate.hold(auth.update_data(started.session.sid, set={"a": 1}), meanwhile)
    assert await revoking[0]
    assert await is_gone(auth, door, started)
    assert await auth.update_data(started.session.sid, set={"a": 2}) == Refused("unknown")
    assert await is_gone(auth, door, started)


async def test_a_request_that_began_before_the_revocation(auth, door):
    """A whole request, signed in at its beginning: what it saves after the revocation is not kept."""
    done = await auth.sign_in("maria")
    inner = door.app

    async def slow(scope, receive, send):
        assert scope["coatcheck"].sub == "maria"
        await auth.revoke(done.session.sid)
        await inner(scope, receive, send)

    door.app = slow
    await ask(door, "GET", "/cart", with_cookie(done.token))
    door.app = inner
    assert await is_gone(auth, door, done)


async def test_a_renewal_does_not_take_the_revocation_with_it(auth, door, monkeypatch):
    """Revoked by its sid between the renewal's commit and its return: the new token is as dead as the old one."""
    done = await auth.sign_in("maria")
    renew = auth._store.renew

    async def renew_then_revoked(*args, **kwargs):
        position = await renew(*args, **kwargs)
        await auth.revoke(done.session.sid)
        return position

    monkeypatch.setattr(auth._store, "renew", renew_then_revoked)
    fresh = await auth.renew(done.token)
    assert not await auth.check(fresh.token)
    assert await is_gone(auth, door, done)
