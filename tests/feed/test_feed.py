"""The feed over HTTP, request by request: what it tells, whom, and in which order."""

import asyncio
import itertools
import json
import socket

import httpx
import pytest
from tests.feed.issuer import LONG_S, soon, until

from coatcheck import Coatcheck, StoreUnavailable
from coatcheck.fleet import feeding
from coatcheck.fleet.feeding import MOST_NODES
from coatcheck.records import ENDED
from coatcheck.server import run


async def test_a_join_tells_everything_that_is_not_forgotten(issuer, service):
    """The row is there, with nothing applied; the answer holds changes, keys, the lease, and where the log is."""
    signed_in, _ = await issuer.token()
    await issuer.auth.revoke(signed_in.session.sid)
    news = await service.join(label="host 4711")
    (row,) = await issuer.nodes()
    assert (row.id, row.label) == (f"feed:orders-api:{news['node']}", "orders-api: host 4711")
    assert (row.beat, row.applied, row.epoch) == (0, 0, 0)
    (line,) = news["changes"]
    assert line == {"position": news["head"], "kind": "revoked", "sid": signed_in.session.sid, "version": ENDED}
    assert news["keys"] == issuer.auth.jwks()
    epoch = (await issuer.auth.fleet()).epoch
    assert (news["upto"], news["epoch"], news["lease_s"]) == (news["head"], epoch, LONG_S)


async def test_a_heartbeat_says_what_is_applied_and_gets_what_is_new(issuer, service):
    """What was told is acknowledged by the next request, and by nothing before it."""
    await service.join()
    first, _ = await issuer.token()
    head = await issuer.end(first.session.sid)
    news = (await service.beat()).json()
    assert [line["sid"] for line in news["changes"]] == [first.session.sid] and news["upto"] == head
    assert "keys" not in news
    row = await issuer.row(service.node)
    assert (row.beat, row.applied, row.epoch) == (1, head - 1, 1)
    await service.beat()
    assert (await issuer.row(service.node)).applied == head


async def test_nothing_but_sids_and_versions_goes_out(issuer, service):
    """No subject, no claim, no data; and of a change of data not even whose."""
    await service.join()
    signed_in, _ = await issuer.token("maria", roles=["admin"])
    await issuer.auth.update_data(signed_in.session.sid, set={"cart": ["coat"]}, wait=False)
    answer = await service.beat()
    assert answer.json()["changes"] == [] and signed_in.session.sid not in answer.text
    await soon_in_force(issuer, service, issuer.auth.update_claims("maria", set={"roles": ["secret-role"]}))
    answer = await service.beat(applied=0)
    for private in ("maria", "admin", "secret-role", "coat"):
        assert private not in answer.text
    (line,) = answer.json()["changes"]
    assert line | {"position": 0} == {"position": 0, "kind": "claims", "sid": signed_in.session.sid, "version": 2}


async def soon_in_force(issuer, service, work):
    """Let *work*, which waits for the service, be done: have the service say so."""
    task = asyncio.ensure_future(work)
    while not task.done():
        await soon(service.beat())
    return await task


async def test_the_answer_is_held_until_something_changes(issuer, service):
    """By this process, and by another one on the same store; not by a sign-in, which nobody need hear of."""
    await service.join()
    async with Coatcheck(issuer.store) as other:
        await hears(issuer, service, issuer.auth)
        await hears(issuer, service, other)


async def hears(issuer, service, auth):
    signed_in = await issuer.auth.sign_in("maria")
    polling = asyncio.create_task(service.beat(wait_s=None))
    await until(lambda: issuer.auth.feed._hints._waiting)
    await issuer.auth.sign_in("otto")
    assert not polling.done()
    revoking = asyncio.create_task(auth.revoke(signed_in.session.sid))
    news = (await soon(polling)).json()
    assert [line["sid"] for line in news["changes"]] == [signed_in.session.sid]
    await soon(service.beat())
    assert await issuer.awaited(await soon(revoking)) == 1


async def test_the_answer_is_held_for_a_quarter_of_the_lease_at_most(make_issuer, make_service):
    """However long the request says; then it says that nothing is new."""
    issuer = await make_issuer(lease_s=0.2)
    service = await make_service(issuer)
    await service.join()
    for wait_s in (None, 60):
        news = (await soon(service.beat(wait_s=wait_s))).json()
        assert news["changes"] == [] and news["upto"] == news["head"]


async def test_a_server_that_is_to_end_gives_the_answers_that_it_holds(issuer, service):
    """Services need not find out by themselves that they must go elsewhere."""
    await service.join()
    polling = asyncio.create_task(service.beat(wait_s=None))
    await until(lambda: issuer.auth.feed._hints._waiting)
    await soon(issuer.hang_up())
    told = await soon(polling)
    assert told.status_code == 200
    await issuer.come_back()


async def test_an_answer_is_the_stores_word(make_issuer, make_service, monkeypatch):
    """What this process has in memory is not looked at, before or after the wait: it may be behind what returned."""
    issuer = await make_issuer(lease_s=1.0)
    service = await make_service(issuer)
    await service.join()
    memory = issuer.auth._memory._watch
    monkeypatch.setattr(memory, "catch_up", lambda elapsed: False)
    before = memory.place()
    position = await issuer.end("s")
    assert [line["position"] for line in (await service.beat()).json()["changes"]] == [position]
    polling = asyncio.create_task(service.beat(wait_s=None))
    await until(lambda: issuer.auth.feed._hints._waiting)
    position = await issuer.end("s")
    assert [line["position"] for line in (await soon(polling)).json()["changes"]] == [position]
    assert memory.place() == before


async def test_the_log_is_read_after_the_row_was_written_and_keys_after_the_log(issuer, service, monkeypatch):
    """Join, tail, keys; and for a heartbeat: row, tail, keys."""
    store, calls = issuer.guests, []
    for name in ("join", "beat", "tail", "keys"):
        monkeypatch.setattr(store, name, recorded(calls, name, getattr(store, name)))
    await service.join()
    assert [call for call in calls if call != "nodes"] == ["join", "tail", "keys"]
    await soon_in_force(issuer, service, issuer.auth.rotate_keys())
    calls.clear()
    news = (await service.beat(applied=0)).json()
    assert calls == ["beat", "tail", "keys"]
    assert news["keys"] == issuer.auth.jwks() and len(news["keys"]["keys"]) == 2


def recorded(calls, name, method):
    async def call(*args, **kwargs):
        calls.append(name)
        return await method(*args, **kwargs)

    return call


async def test_a_row_counts_before_the_log_is_read(issuer, service, monkeypatch):
    """A change committed while the answer is under way is in it, or its barrier waits for the node."""
    store, tail = issuer.guests, issuer.guests.tail
    signed_in, _ = await issuer.token()
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow(after):
        reached.set()
        await go_on.wait()
        return await tail(after)

    monkeypatch.setattr(store, "tail", slow)
    joining = asyncio.create_task(service.join())
    await soon(reached.wait())
    revoking = asyncio.create_task(issuer.auth.revoke(signed_in.session.sid))
    assert (await until(issuer.nodes))[0].applied == 0
    go_on.set()
    monkeypatch.undo()
    await soon(joining)
    await soon_in_force(issuer, service, asyncio.shield(revoking))
    assert await issuer.awaited(await revoking) == 1


async def test_data_are_nobodys_business_here(issuer, service):
    """A change of data waits for no service, and ends no wait; the position goes on with the next answer."""
    await service.join()
    signed_in, _ = await issuer.token()
    polling = asyncio.create_task(service.beat(wait_s=None))
    hints = issuer.auth.feed._hints
    await until(lambda: hints._waiting)
    turn = hints._turn
    receipt = await soon(issuer.auth.update_data(signed_in.session.sid, set={"cart": 1}))
    assert await issuer.awaited(receipt) == 0
    await until(lambda: hints._turn > turn and (hints._waiting or polling.done()))
    assert not polling.done()
    position = await issuer.end("s")
    news = (await soon(polling)).json()
    assert [line["position"] for line in news["changes"]] == [position] and news["upto"] == position


# --- told to begin anew ---


async def test_who_lost_the_place_is_told(issuer, service):
    """An unknown node, an old epoch, a trimmed log, a position that there is not: one answer, 410."""
    await service.join()
    assert (await service.beat()).status_code == 200
    for wrong in ({"node": "0" * 32}, {"epoch": 2}, {"applied": service.applied + 1}, {"epoch": 0}):
        told = await service.beat(**wrong)
        assert told.status_code == 410 and told.json()["code"] == "place_lost", wrong
        assert told.headers["content-type"] == "application/problem+json"
    for _ in range(2):
        await issuer.end("s")
    await issuer.auth._store.sweep(now=2**50, limit=10, trim_to=service.applied + 1)
    assert (await service.beat()).status_code == 410


async def test_everyones_end_is_told_even_to_who_waits(issuer, service):
    """The held answer says so at once."""
    before = (await service.join())["epoch"]
    polling = asyncio.create_task(service.beat(wait_s=None))
    await until(lambda: issuer.auth.feed._hints._waiting)
    revoking = asyncio.create_task(issuer.auth.revoke_everyone())
    assert (await soon(polling)).status_code == 410
    await service.leave()  # perhaps before the revoker has asked who is there
    await soon(revoking)
    assert (await service.join())["epoch"] == before + 1


async def test_the_row_of_who_was_told_stays(issuer, service):
    """The answer may be lost, and the node be answering from memory: a barrier goes on waiting for it."""
    await service.join()
    await service.beat(epoch=7)
    assert await issuer.row(service.node)


# --- whose node it is ---


async def test_a_node_belongs_to_its_client(issuer, service, make_service):
    """Another client's heartbeat for it is told that there is no such node, and its leaving changes nothing."""
    await service.join()
    other = await make_service(issuer, "billing-api")
    await other.join()
    mine = await issuer.row(service.node)
    stolen = await other.beat(node=service.node)
    assert stolen.status_code == 410
    assert (await other.leave(service.node)).status_code == 204
    assert await issuer.row(service.node) == mine
    for near in ("orders-api:" + service.node, "../" + service.node, service.node[:31] + "%"):
        assert (await other.ask({"node": near, "beat": 9})).status_code == 422
    assert await issuer.row(service.node) == mine


async def test_leaving_removes_ones_own_row(issuer, service):
    """And what is there no more is left without a word."""
    await service.join()
    assert (await service.leave()).status_code == 204
    assert await issuer.nodes() == ()
    assert (await service.leave()).status_code == 204
    assert (await service.leave("what-is-this")).status_code == 204
    assert (await service.beat()).status_code == 410


async def test_names_of_owners_hold_no_colon(issuer):
    """Or one could reach the nodes of another whose name begins like its own."""
    with pytest.raises(ValueError, match="colon"):
        await issuer.auth.feed.join("a:b", "")


# --- how many ---


async def test_the_seventeenth_node_is_refused(make_issuer, make_service):
    """In any process of the issuer, as long as the sixteen are alive; another client has sixteen of its own."""
    a = await make_issuer(lease_s=1.0)
    b = await make_issuer(issuer=a.issuer)
    here = await make_service(a)
    there = await make_service(b, secret=here.secret)
    nodes = [(await (here if number % 2 else there).join())["node"] for number in range(MOST_NODES)]
    living = asyncio.create_task(keep_beating(a, nodes))
    for asked in (here, there):
        refused = await soon(asked.ask({}))
        assert refused.status_code == 429 and refused.json()["code"] == "too_many_nodes"
        assert int(refused.headers["retry-after"]) > 0
    assert sorted(row.id[-32:] for row in await a.nodes()) == sorted(nodes)
    await (await make_service(a, "billing-api")).join()
    living.cancel()


async def keep_beating(issuer, nodes):
    """Be the services that these nodes are."""
    for beat in itertools.count(1):
        for node in nodes:
            await issuer.guests.beat(f"feed:orders-api:{node}", beat=beat, applied=0, epoch=1)


async def test_the_dead_make_room(make_issuer, make_service):
    """Sixteen that were killed keep nobody out for longer than a lease; who is alive among them stays."""
    issuer = await make_issuer(lease_s=0.2)
    service = await make_service(issuer)
    nodes = [(await service.join())["node"] for _ in range(MOST_NODES)]
    living = asyncio.create_task(keep_beating(issuer, nodes[:1]))
    news = await soon(service.join())
    assert {row.id[-32:] for row in await issuer.nodes()} == {nodes[0], news["node"]}
    living.cancel()


async def test_of_two_who_come_at_once_not_both_are_one_too_many(issuer, service, monkeypatch):
    """They see each other, since each is counted after it is there."""
    for _ in range(MOST_NODES - 1):
        await service.join()
    store, join, both = issuer.guests, issuer.guests.join, asyncio.Barrier(2)

    async def join_together(node, *, label):
        await both.wait()
        return await join(node, label=label)

    monkeypatch.setattr(store, "join", join_together)
    answers = await soon(asyncio.gather(service.ask({}), service.ask({})))
    assert sorted(answer.status_code for answer in answers) in ([200, 429], [429, 429])
    assert len(await issuer.nodes()) <= MOST_NODES


async def test_more_requests_than_nodes_are_not_held(issuer, service):
    """A client with many requests under way costs no more than its nodes may."""
    await service.join()
    held = [asyncio.create_task(service.beat(wait_s=None)) for _ in range(feeding.MOST_HELD)]
    await until(lambda: issuer.auth.feed._held["orders-api"] == feeding.MOST_HELD)
    assert (await soon(service.beat(wait_s=None))).status_code == 200
    assert not any(task.done() for task in held)
    await issuer.end("s")
    await soon(asyncio.gather(*held))


# --- long logs ---


async def test_a_long_log_comes_in_parts(issuer, service, monkeypatch):
    """Each says how far it goes; what is asked for next begins there, and nothing is missing."""
    monkeypatch.setattr(feeding, "PAGE", 7)
    sids = [f"s{number}" for number in range(40)]
    for sid in sids:
        await issuer.end(sid)
    news, told = await service.join(), []
    assert news["upto"] < news["head"]
    while True:
        told += [line["sid"] for line in news["changes"]]
        if news["upto"] == news["head"]:
            break
        news = (await service.beat(wait_s=None)).json()
    assert told == sids


# --- who may ask ---


async def test_who_is_no_client_with_a_secret_gets_nothing(issuer, service):
    """Nobody, a wrong secret, none, public, a browser's, disabled: one answer, with the challenge; and no row."""
    for ident in ("public", "browser"):
        await issuer.client(ident, **{f"is_{ident}": True})
    gone = await issuer.client("gone")
    await issuer.site.clients.disable("gone")
    wrong = [
        None,
        ("orders-api", service.secret[:-1] + "_"),
        ("orders-api", ""),
        ("public", ""),
        ("browser", ""),
        ("gone", gone),
        ("nobody", service.secret),
    ]
    for auth in wrong:
        async with httpx.AsyncClient(base_url=issuer.url, auth=auth) as http:
            for headers in ({}, {"authorization": "Basic !!!"}, {"authorization": f"Bearer {service.secret}"}):
                for answer in (
                    await http.post("/feed", json={}, headers=headers),
                    await http.delete(f"/feed/{'0' * 32}", headers=headers),
                ):
                    assert answer.status_code == 401 and answer.json()["code"] == "not_a_client", auth
                    assert answer.headers["www-authenticate"].startswith("Basic")
                    assert answer.headers["cache-control"] == "no-store"
    assert await issuer.nodes() == ()


@pytest.mark.parametrize("how", ["disable", "rotate_secret"])
async def test_a_client_that_loses_its_right_while_it_waits_gets_nothing(make_issuer, make_service, how):
    """The answer that was held is not given, and the next request is refused."""
    issuer = await make_issuer(lease_s=2.0)
    service = await make_service(issuer)
    await service.join()
    polling = asyncio.create_task(service.beat(wait_s=None))
    await until(lambda: issuer.auth.feed._hints._waiting)
    await getattr(issuer.site.clients, how)("orders-api")
    await issuer.end("s")
    assert (await soon(polling)).status_code == 401
    assert (await service.beat()).status_code == 401


async def test_pages_have_no_business_here(issuer, service):
    """Whatever they know, and also from our own origin."""
    fetch = [{"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}, {"sec-fetch-dest": "empty"}]
    for headers in ({"origin": issuer.url}, *fetch):
        answer = await service.ask({}, headers=headers)
        assert answer.status_code == 403 and answer.json()["code"] == "not_for_pages", headers
    assert (await service.ask({}, headers={"origin": "https://evil.example"})).status_code == 403
    assert await issuer.nodes() == ()
    # Node.js's fetch, which is no page.
    assert (await service.ask({}, headers={"sec-fetch-mode": "cors"})).status_code == 200


async def test_a_session_counts_for_nothing_here(issuer):
    """A cookie alone opens nothing."""
    signed_in, _ = await issuer.token()
    async with httpx.AsyncClient(base_url=issuer.url) as http:
        cookie = f"__Host-session={signed_in.token.reveal()}"
        assert (await http.post("/feed", json={}, headers={"cookie": cookie})).status_code == 401


# --- what may be asked ---


WRONG = [
    {"unknown": 1},
    {"node": 7},
    {"node": "x" * 32},
    {"node": "0" * 31},
    {"node": "0" * 32, "applied": -1},
    {"node": "0" * 32, "applied": 1.5},
    {"node": "0" * 32, "beat": 2**53 + 1},
    {"node": "0" * 32, "epoch": "1"},
    {"node": "0" * 32, "wait_s": -1},
    {"node": "0" * 32, "wait_s": 1e9},
    {"label": "x" * 101},
    {"label": "line\nbreak"},
    {"label": "nul\0"},
    [],
]


async def test_what_is_not_a_request_is_named(issuer, service):
    """422, and nothing happens."""
    for body in WRONG:
        answer = await service.ask(body)
        assert answer.status_code == 422 and answer.json()["code"] == "invalid", body
    assert await issuer.nodes() == ()


async def test_broken_and_large_bodies_are_refused(issuer, service):
    """As everywhere on this server."""
    post = service._http.post
    as_json = {"content-type": "application/json"}
    assert (await post("/feed", content=b"{", headers=as_json)).status_code == 400
    assert (await post("/feed", content=b" " * 65_537, headers=as_json)).status_code == 413
    assert (await post("/feed", content=json.dumps({}), headers={"content-type": "application/xml"})).status_code == 415
    assert (await post("/feed", data={"node": "x"})).status_code in (403, 415)
    assert (await service._http.get("/feed")).status_code == 405
    assert await issuer.nodes() == ()


def test_answers_are_not_held_up_by_the_network():
    """Head and body go out one after the other; neither waits for the other side's word (Nagle's algorithm)."""
    with (
        run.listen("127.0.0.1", 0, "--port") as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_answers_are_kept_by_nobody(service):
    """The good and the bad ones."""
    assert (await service.ask({})).headers["cache-control"] == "no-store"
    assert (await service.ask({"node": "0" * 32})).headers["cache-control"] == "no-store"


async def test_a_store_that_does_not_answer_is_503(issuer, service, monkeypatch):
    """And the service tries again; nobody's lease is prolonged by an error."""
    await service.join()

    async def down(*args, **kwargs):
        raise StoreUnavailable("down")

    monkeypatch.setattr(issuer.guests, "beat", down)
    answer = await service.beat()
    assert answer.status_code == 503 and answer.json()["code"] == "unavailable"


async def test_any_process_answers_any_poll(make_issuer, make_service):
    """All that is known of a node is in its row: requests go to two servers in turn, and the barrier of each waits."""
    a = await make_issuer(lease_s=LONG_S)
    b = await make_issuer(issuer=a.issuer)
    at_a = await make_service(a)
    at_b = await make_service(b, secret=at_a.secret)
    await at_a.join()
    for number in range(4):
        asked, other = (at_b, at_a) if number % 2 else (at_a, at_b)
        revoker = a if number < 2 else b
        asked.node, asked.epoch, asked.applied, asked.beats = at_a.node, at_a.epoch, at_a.applied, at_a.beats
        signed_in, _ = await a.token()
        polling = asyncio.create_task(asked.beat(wait_s=None))
        await until(lambda: a.auth.feed._hints._waiting or b.auth.feed._hints._waiting)
        revoking = asyncio.create_task(revoker.auth.revoke(signed_in.session.sid))
        news = (await soon(polling)).json()
        assert [line["sid"] for line in news["changes"]] == [signed_in.session.sid]
        assert not revoking.done()
        for service in (asked, other):
            service.node, service.applied, service.beats = news["node"], news["upto"], asked.beats
            service.epoch = asked.epoch
        await other.beat()
        assert await a.awaited(await soon(revoking)) == 1
        at_a.applied, at_a.beats = other.applied, other.beats
