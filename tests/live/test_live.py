"""What passes over a connection that stays open, in one process."""

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route
from tests.live.peers import Peer, echo, talker

from coatcheck import Coatcheck, Policy
from coatcheck.records import Kind
from coatcheck.testing import ManualClock

ISSUER = "https://auth.example.com"


@pytest.fixture
async def auth():
    async with Coatcheck("memory://", clock=ManualClock(), policy=Policy(idle_s=600, absolute_s=3600)) as auth:
        yield auth


@pytest.fixture
async def bearing():
    policy = Policy(mode="jwt", idle_s=600, absolute_s=36000, access_s=300)
    async with Coatcheck("memory://", clock=ManualClock(), policy=policy, issuer=ISSUER) as auth:
        yield auth


async def test_a_stream_ends_with_its_session(auth):
    """Nothing of it leaves any more, and it ends in order."""
    signed_in = await auth.sign_in("maria")
    peer = await Peer("http").open(auth, talker, token=signed_in.token).opened()
    peer.next.put_nowait("data: 1\n\n")
    await peer.until(lambda: len(peer.got) == 2)
    await auth.revoke(signed_in.session.sid)
    peer.next.put_nowait("data: 2\n\n")
    last = await peer.ended()
    assert [one.get("body") for one in peer.got] == [None, b"data: 1\n\n", b""]
    assert not last["more_body"]


async def test_a_stream_that_ends_by_itself_ends_once(auth):
    """Its session is forgotten with it."""
    signed_in = await auth.sign_in("maria")
    peer = await Peer("http").open(auth, talker, token=signed_in.token).opened()
    peer.next.put_nowait(None)
    await peer.ended()
    await auth.revoke(signed_in.session.sid)
    await asyncio.sleep(0)
    assert [one["type"] for one in peer.got] == ["http.response.start", "http.response.body"]
    assert not auth._memory._watch.knowledge.connections


@pytest.mark.parametrize("name", [b"content-type", b"Content-type", b"CONTENT-Type"])
async def test_the_rest_of_a_stream_does_not_leave_either(auth, name):
    """What comes with the last message is as good as what came before; however the application spells its fields."""
    signed_in = await auth.sign_in("maria")
    going_on = asyncio.Event()

    def rest(peer):
        async def app(scope, receive, send):
            head = [(name, b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            await going_on.wait()
            await send({"type": "http.response.body", "body": b"data: secret\n\n"})

        return app

    peer = await Peer("http").open(auth, rest, token=signed_in.token).opened()
    await auth._store.end(signed_in.session.sid, of=None, kind=Kind.REVOKED, note="", stamp=auth._stamp())
    going_on.set()
    await peer.ended()
    assert [one.get("body") for one in peer.got] == [None, b""]


async def test_a_stream_of_who_was_just_signed_out_never_begins(auth):
    """Between the check and the first line."""
    signed_in = await auth.sign_in("maria")

    def slow(peer):
        async def app(scope, receive, send):
            await auth.revoke(signed_in.session.sid)
            await talker(peer)(scope, receive, send)

        return app

    peer = Peer("http").open(auth, slow, token=signed_in.token)
    await peer.ended()
    assert peer.got[0]["status"] == 401 and len(peer.got) == 2


async def test_other_responses_are_not_held(auth):
    """A download is what it was."""
    signed_in = await auth.sign_in("maria")

    def download(peer):
        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
            await auth.revoke(signed_in.session.sid)
            await send({"type": "http.response.body", "body": b"all of it"})

        return app

    peer = Peer("http").open(auth, download, token=signed_in.token)
    assert (await peer.ended())["body"] == b"all of it"


@pytest.mark.parametrize("form", ["cookie", "data"])
async def test_starlette_streams(auth, form):
    """A framework's own response: its generator is closed, and nobody complains."""
    signed_in = await auth.sign_in("maria")
    closed = asyncio.Event()

    async def events():
        try:
            for count in range(1000):
                yield f"data: {count}\n\n"
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    async def page(request):
        return StreamingResponse(events(), media_type="text/event-stream")

    peer = Peer("http").open(
        auth, lambda peer: Starlette(routes=[Route("/live", page)]), token=signed_in.token, data=form == "data"
    )
    await peer.until(lambda: len(peer.got) > 2)
    await auth.revoke(signed_in.session.sid)
    count = len(peer.got)
    await peer.ended()
    await asyncio.wait_for(closed.wait(), 5)
    assert len(peer.got) == count + 1 and peer.got[-1] == {
        "type": "http.response.body",
        "body": b"",
        "more_body": False,
    }


async def test_what_comes_in_is_activity(auth):
    """And what goes out is not: a page left open does not keep its session."""
    one, two = await auth.sign_in("maria"), await auth.sign_in("maria")
    speaking = await Peer().open(auth, echo, token=one.token).opened()
    listening = await Peer().open(auth, talker, token=two.token).opened()
    for count in range(1, 4):
        auth.clock.advance(250)
        speaking.say("x")
        await speaking.until(lambda count=count: len(speaking.texts) == count)
        if count < 3:
            listening.next.put_nowait("x")
            await listening.until(lambda count=count: len(listening.texts) == count)
    listening.next.put_nowait("x")
    assert (await listening.ended())["code"] == 4401
    assert len(listening.texts) == 2
    assert await auth.check(one.token)
    for count, pause_s in enumerate((500, 500, 500, 500, 500, 300), 4):
        auth.clock.advance(pause_s)
        speaking.say("x")
        await speaking.until(lambda count=count: len(speaking.texts) == count)
    auth.clock.advance(60)  # it was never idle, and was read a minute ago; its time is over
    assert (await speaking.ended())["code"] == 4401


async def test_a_handshake_of_who_was_just_signed_out(auth, monkeypatch):
    """Between the check and the application."""
    signed_in = await auth.sign_in("maria")
    opened = auth.open_connection

    def late(*args, **kwargs):
        auth._memory._watch.is_sure = lambda elapsed: False  # whoever asks now must ask the store
        return opened(*args, **kwargs)

    monkeypatch.setattr(auth, "open_connection", late)
    await auth.check(signed_in.token)
    load_sid = auth._store.load_sid

    async def gone(sid):
        del auth._memory._watch.is_sure
        await auth._store.end(sid, of=None, kind=Kind.REVOKED, note="", stamp=auth._stamp())
        return await load_sid(sid)

    monkeypatch.setattr(auth._store, "load_sid", gone)

    def never(peer):
        async def app(scope, receive, send):
            peer.heard.append("called")

        return app

    peer = Peer().open(auth, never, token=signed_in.token)
    await peer.ended()
    assert [one["type"] for one in peer.got] == ["websocket.close"]
    assert peer.heard == []


async def test_a_revocation_cuts_before_it_returns(auth):
    """In this process, too, where nobody may have looked at the log meanwhile."""
    signed_in = await auth.sign_in("maria")
    peer = await Peer().open(auth, echo, token=signed_in.token).opened()
    (held,) = auth._memory._watch.knowledge.connections.all()
    await auth.revoke(signed_in.session.sid)
    assert held.over == "over"
    assert (await peer.ended())["code"] == 4401


async def test_what_waits_behind_a_stalled_message_is_asked_about_when_its_turn_comes(auth):
    """The server is given one message at a time."""
    signed_in = await auth.sign_in("maria")

    def two_at_once(peer):
        async def app(scope, receive, send):
            await receive()
            await send({"type": "websocket.accept"})
            peer.stalled = True
            await asyncio.gather(*(send({"type": "websocket.send", "text": text}) for text in ("one", "two")))

        return app

    peer = await Peer().open(auth, two_at_once, token=signed_in.token).opened()
    await peer.until(lambda: peer.sent > 1)
    assert peer.sent == 2  # the first of the two; the other has not been given to the server
    await auth.revoke(signed_in.session.sid)
    peer.stalled = False
    assert (await peer.ended())["code"] == 4401
    assert [one["type"] for one in peer.got] == ["websocket.accept", "websocket.close"]
    assert peer.sent == 3


async def test_who_returns_without_a_word_is_forgotten(auth):
    """Whether the application returned, failed, or was cancelled."""
    signed_in = await auth.sign_in("maria")
    peer = await Peer().open(auth, talker, token=signed_in.token).opened()
    peer.call.cancel()
    await asyncio.wait([peer.call])
    assert not auth._memory._watch.knowledge.connections


async def test_who_is_nobody_is_not_held(auth):
    """Without a session there is nothing to end with."""
    peer = await Peer().open(auth, echo).opened()
    peer.say("hello")
    await peer.until(lambda: peer.texts == ["hello"])
    assert not auth._memory._watch.knowledge.connections
    peer.call.cancel()


async def test_a_started_session_ends_too(auth):
    """Though it is in no store yet."""
    started = await auth.start()
    peer = await Peer().open(auth, echo, token=started.token).opened()
    peer.say("hello")
    await peer.until(lambda: peer.texts == ["hello"])
    (held,) = auth._memory._watch.knowledge.connections.all()
    await auth.revoke(started.session.sid)
    assert held.over == "over"
    peer.say("hello?")
    assert (await peer.ended())["code"] == 4401
    assert peer.texts == ["hello"]


async def test_when_the_engine_closes_they_end():
    """The server goes away."""
    async with Coatcheck("memory://") as auth:
        signed_in = await auth.sign_in("maria")
        peer = await Peer().open(auth, echo, token=signed_in.token).opened()
    assert (await peer.ended())["code"] == 1001


async def test_who_closes_first_is_forgotten(auth):
    """The client, or the application: nothing more is said."""
    signed_in = await auth.sign_in("maria")
    left = await Peer().open(auth, echo, token=signed_in.token).opened()
    left.inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await left.ended()

    def short(peer):
        async def app(scope, receive, send):
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 1000})

        return app

    closed = Peer().open(auth, short, token=signed_in.token)
    await closed.ended()
    await auth.revoke(signed_in.session.sid)
    assert [one["type"] for one in left.got] == ["websocket.accept"]
    assert [one["type"] for one in closed.got] == ["websocket.accept", "websocket.close"]
    assert not auth._memory._watch.knowledge.connections


async def test_the_applications_own_faults_are_its_own(auth):
    """Only what came of the connection's end is swallowed."""
    signed_in = await auth.sign_in("maria")

    def broken(peer):
        async def app(scope, receive, send):
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            raise KeyError("a fault")

        return app

    peer = await Peer().open(auth, broken, token=signed_in.token).opened()
    await auth.revoke(signed_in.session.sid)
    with pytest.raises(KeyError):
        await peer.ended()


async def bearer_of(auth, sub="maria"):
    """A session, and a connection opened with its access token."""
    signed_in = await auth.sign_in(sub)
    jwt = auth.access_token(signed_in.session, audience=ISSUER)
    return signed_in, await Peer().open(auth, echo, bearer=jwt).opened()


async def test_a_bearers_connection_ends_with_its_session(bearing):
    """Like any other."""
    signed_in, peer = await bearer_of(bearing)
    peer.say("hello")
    await peer.until(lambda: peer.texts == ["hello"])
    await bearing.revoke(signed_in.session.sid)
    peer.say("hello?")
    assert (await peer.ended())["code"] == 4401
    assert peer.texts == ["hello"]


async def test_a_bearers_connection_ends_with_its_token(bearing):
    """It was let in by what the token says, and that is over."""
    _, peer = await bearer_of(bearing)
    bearing.clock.advance(301)
    peer.say("hello?")
    assert (await peer.ended())["code"] == 4401
    assert peer.texts == []


async def test_a_bearers_connection_ends_with_its_key(bearing):
    """Whoever had the key could have made the token."""
    _, peer = await bearer_of(bearing)
    for key in bearing.jwks()["keys"]:
        await bearing.revoke_key(key["kid"])
    peer.say("hello?")
    assert (await peer.ended())["code"] == 4401
    assert peer.texts == []
