"""Connections that stay open, on one node, while their session is changed on another."""

import pytest
from tests.fleet.test_hazards import soon
from tests.live.peers import Peer, echo, talker

from coatcheck import Policy
from coatcheck.records import Kind


async def connect(node, token, app=echo):
    """Open a WebSocket, and have it answer once."""
    return await Peer().open(node, app, token=token).opened()


async def test_when_a_revocation_returns_nothing_passes(a, b):
    """Neither in nor out, of who speaks and who is silent; the other side hears why, and other sessions go on."""
    signed_in, other = await a.sign_in("maria"), await a.sign_in("maria")
    hearing, talking = await connect(b, signed_in.token), await connect(b, signed_in.token, talker)
    staying = await connect(b, other.token)
    held = b._memory._watch.knowledge.connections.all()
    await soon(a.revoke(signed_in.session.sid))
    assert sorted(one.over or "" for one in held) == ["", "over", "over"]  # there and then, before anybody looks
    hearing.say("hello?")
    talking.next.put_nowait("secret")
    for peer in (hearing, talking):
        assert (await peer.ended())["code"] == 4401
        assert peer.texts == []
    assert [one["type"] for one in hearing.heard] == ["websocket.disconnect"]
    staying.say("still here")
    await staying.until(lambda: staying.texts == ["still here"])
    staying.call.cancel()


@pytest.mark.parametrize("change", ["revoke_user", "revoke_everyone"])
async def test_every_end_is_one(a, b, change):
    """Whatever ends the session ends the connection."""
    signed_in = await a.sign_in("maria")
    peer = await connect(b, signed_in.token)
    await soon(a.revoke_user("maria") if change == "revoke_user" else a.revoke_everyone())
    peer.say("hello?")
    assert (await peer.ended())["code"] == 4401
    assert peer.texts == []


async def test_a_stalled_client_delays_nobody(a, b):
    """Its application is stuck in a message that does not go out; the revocation returns, and frees it."""
    signed_in = await a.sign_in("maria")
    stuck = await connect(b, signed_in.token, talker)
    healthy = await connect(b, signed_in.token)
    stuck.stalled = True
    for _ in range(3):
        stuck.next.put_nowait("too much")
    await stuck.until(lambda: stuck.sent == 2)
    receipt = await soon(a.revoke(signed_in.session.sid))
    assert receipt.nodes >= 2
    assert (await healthy.ended())["code"] == 4401
    await stuck.ended()
    assert len(stuck.got) == 1  # its last words had their second


async def test_a_renewal_keeps_it(a, b):
    """A new token of the same session: nobody notices."""
    signed_in = await a.sign_in("maria")
    peer = await connect(b, signed_in.token)
    renewed = await soon(a.renew(signed_in.token))
    peer.say("one")
    await peer.until(lambda: peer.texts == ["one"])
    await soon(a.revoke(renewed.session.sid))
    assert (await peer.ended())["code"] == 4401


async def test_other_claims_end_it(a, b):
    """What its application was told is not true any more: whoever comes back is told what is."""
    signed_in = await a.sign_in("maria", claims={"roles": ["admin"]})
    peer = await connect(b, signed_in.token)
    await soon(a.update_claims("maria", set={"roles": []}))
    peer.say("as an administrator")
    assert (await peer.ended())["code"] == 1012
    assert peer.texts == [] and [one["type"] for one in peer.heard] == ["websocket.disconnect"]


async def test_claims_that_change_while_it_is_proved(a, b):
    """What was read before the change is not what counts."""
    signed_in = await a.sign_in("maria", claims={"roles": ["admin"]})
    peer = await connect(b, signed_in.token)
    await soon(a.renew(signed_in.token))
    gate = b.wire.hold_answer("load_sid")
    peer.say("as an administrator")
    await soon(gate.arrived.wait())
    await soon(a.update_claims("maria", set={"roles": []}))
    b.wire.release("load_sid")
    gate.open()
    assert (await peer.ended())["code"] == 1012
    assert peer.texts == []


async def test_without_a_lease_messages_wait(a, b):
    """A node that stands still lets nothing pass, until it has heard what happened meanwhile."""
    one, two = await a.sign_in("maria"), await a.sign_in("bob")
    ended, kept = await connect(b, one.token), await connect(b, two.token)
    frozen = b.freeze()
    await soon(frozen.arrived())
    b.clock.advance(b.lease.lease_s * 2)
    b.lease.ask_at = b.lease._deadline = float("-inf")
    ended.say("hello?")
    kept.say("hello")
    await kept.until(lambda: ended.inbox.empty() and kept.inbox.empty())  # the server has given them
    assert ended.heard == kept.heard == []
    await soon(a.revoke(one.session.sid))
    frozen.thaw()
    await kept.until(lambda: kept.texts == ["hello"])
    assert (await ended.ended())["code"] == 4401
    assert ended.texts == []
    kept.call.cancel()


async def test_without_a_store_it_ends(a, b):
    """Who cannot be told from a stranger is asked to come back in a moment."""
    signed_in = await a.sign_in("maria")
    peer = await connect(b, signed_in.token)
    b.wire.cut |= {"beat", "tail", "join", "load_sid"}
    b.lease.ask_at = b.lease._deadline = float("-inf")
    peer.say("hello?")
    assert (await peer.ended())["code"] == 1013
    assert peer.texts == []


async def test_who_lost_the_place_in_the_log_proves_them_anew(a, b):
    """A node that must begin anew has missed what it cannot know: each connection is looked up again."""
    one, two = await a.sign_in("maria"), await a.sign_in("bob")
    ended, kept = await connect(b, one.token), await connect(b, two.token)
    frozen = b.freeze()
    await soon(frozen.arrived())
    b.lease.ask_at = b.lease._deadline = float("-inf")
    await a._store.end(one.session.sid, of=None, kind=Kind.REVOKED, note="", stamp=a._stamp())
    await a._store.leave(b.lease.node)
    asked = b.wire.calls["load_sid"]
    frozen.thaw()
    ended.say("hello?")
    kept.say("hello")
    await kept.until(lambda: kept.texts == ["hello"])
    assert b.wire.calls["load_sid"] > asked
    assert (await ended.ended())["code"] == 4401
    assert ended.texts == []
    kept.call.cancel()


async def test_quiet_ones_end_as_well(fleet, a):
    """Nobody says anything, and the time of the session is over."""
    node = await fleet.node(policy=Policy(idle_s=60, absolute_s=3600))
    signed_in = await node.sign_in("maria")
    peer = await connect(node, signed_in.token)
    node.clock.advance(61)
    assert (await peer.ended())["code"] == 4401
