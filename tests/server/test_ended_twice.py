"""Who ends what somebody is ending already waits as they do: a success counts in every process."""

import asyncio

import httpx
import pytest
from tests.feed.issuer import until

from coatcheck.records import Reason


@pytest.fixture
async def silent(site):
    """A service on the feed that has not said yet that it knows; call it to let it say so."""
    joined = await site.auth.feed.join("orders-api", "")

    async def speak():
        head = (await site.auth.fleet()).head
        await site.auth.feed.beat("orders-api", joined.node, beat=1, applied=head, epoch=joined.epoch, wait_s=0)

    return speak


@pytest.mark.parametrize("way", ["own", "admin", "sign out"])
async def test_the_second_waits_too(site, people, enter, silent, way):
    """On one's own list, on an administrator's, and at the sign-out: nobody hears that it is over before it is."""
    root, kept, out = await enter("root"), await enter("maria"), await enter("maria")
    client, path = {
        "own": (kept, f"/api/sessions/{out.sid}"),
        "admin": (root, f"/api/users/{people.maria.id}/sessions/{out.sid}"),
        "sign out": (out, "/api/session"),
    }[way]
    waiters = site.auth._memory.barrier._waiters
    token = out.cookies["__Host-session"]
    async with asyncio.TaskGroup() as group:
        first = group.create_task(client.delete(path))
        await until(lambda: len(waiters) == 1)
        assert (await site.auth.check(token)).reason == Reason.REVOKED
        second = group.create_task(client.delete(path))
        await until(lambda: len(waiters) == 2 or second.done())
        assert not second.done() and not first.done()
        await silent()
    assert (first.result().status_code, second.result().status_code) == (204, 204)


@pytest.mark.parametrize("which", ["refresh_token", "access_token"])
async def test_a_token_that_is_being_revoked_is_not_revoked_yet(site, app, silent, which):
    """A client that revokes what is ending already hears of it when every service does (RFC 7009, section 2.2)."""
    await site.clients.add("cli", ("orders",), is_public=True, may_sign_in=True, now=site.clock.now())
    session = (await site.auth.sign_in("maria")).session
    pair = await site.auth.issue_refresh(session, client_id="cli", audience="orders")
    token = {"refresh_token": pair.refresh_token.reveal(), "access_token": pair.access_token}[which]
    waiters = site.auth._memory.barrier._waiters
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://auth.example.com") as program:

        def revoke():
            return program.post("/oauth/revoke", data={"token": token, "client_id": "cli"})

        async with asyncio.TaskGroup() as group:
            first = group.create_task(revoke())
            await until(lambda: len(waiters) == 1)
            second = group.create_task(revoke())
            await until(lambda: len(waiters) == 2 or second.done())
            assert not second.done() and not first.done()
            await silent()
    assert (first.result().status_code, second.result().status_code) == (200, 200)


async def test_an_ending_is_asked_for_again(site, people, enter):
    """Whoever got a 503 and asks again hears that it is so; somebody else's session is as if there were none."""
    root, kept, out, other = await enter("root"), await enter("maria"), await enter("maria"), await enter("otto")
    for _ in range(2):
        assert (await kept.delete(f"/api/sessions/{out.sid}")).status_code == 204
        assert (await root.delete(f"/api/users/{people.maria.id}/sessions/{out.sid}")).status_code == 204
        assert (await other.delete(f"/api/sessions/{out.sid}")).status_code == 404
        assert (await root.delete(f"/api/users/{people.otto.id}/sessions/{out.sid}")).status_code == 404
    assert (await other.get("/api/session")).status_code == 200
