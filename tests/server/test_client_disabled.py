"""A client that is disabled: what was made through it ends everywhere, whatever goes wrong, and nothing else does."""

import asyncio
from types import SimpleNamespace

import httpx
import pytest

from coatcheck import Claims, Reason, Refused, Verifier
from coatcheck.records import Kind
from coatcheck.server.app import build_app
from coatcheck.server.database.base import Outcome

ORIGIN = "https://auth.example.com"
PASSWORD = "correct horse battery"


def programs(app):
    """A program: no browser's headers, no cookies kept."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url=ORIGIN)


@pytest.fixture
async def program(app):
    async with programs(app) as client:
        yield client


@pytest.fixture
async def second(make_site):
    """Another process of the same server."""
    site = make_site()
    async with site.lifespan():
        yield site


@pytest.fixture
async def elsewhere(second):
    """The other process, as programs reach it."""
    async with programs(build_app(second, https=True, opens=False)) as client:
        yield client


@pytest.fixture
async def said_of(site, second, tmp_path):
    """What both processes, and a service that only verifies, say of an access token."""
    feed = f"sqlite:///{tmp_path}/coatcheck.db"
    async with Verifier(ORIGIN, audience="orders", feed=feed, clock=site.clock) as verifier:

        def ask(token):
            answers = [one.auth.verify(token, audience="orders") for one in (site, second)]
            answers.append(verifier.verify(token))
            assert answers[0] == answers[1] == answers[2]
            return answers[0]

        yield ask


@pytest.fixture
async def clients(site):
    """Two through which people sign in, and one that acts for itself."""
    for ident in ("cli", "app"):
        await site.clients.add(ident, ["orders"], now=site.clock.now(), is_public=True, may_sign_in=True)
    _, secret = await site.clients.add("worker", ["orders"], now=site.clock.now())
    return SimpleNamespace(secret=secret)


@pytest.fixture
def sign_in(program, people, clients):
    """Signs in for tokens."""

    async def do(client_id="cli"):
        body = {"username": "maria", "password": PASSWORD, "mode": "token", "client_id": client_id}
        return await program.post("/api/sign-in", json=body)

    return do


def refresh(program, pair, client_id):
    """Present a refresh token."""
    form = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"], "client_id": client_id}
    return program.post("/oauth/token", data=form)


async def act_for_itself(program, secret):
    """Client credentials."""
    return await program.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=("worker", secret))


async def test_who_signed_in_through_it_is_out(site, people, sign_in, program, elsewhere, said_of):
    """The session, the access token and the refresh token, at both processes; it is a change in the log."""
    pair = (await sign_in()).json()
    sid = said_of(pair["access_token"]).sid
    head = (await site.auth._store.tail(0)).head
    await site.clients.disable("cli")
    assert said_of(pair["access_token"]) == Refused(Reason.REVOKED)
    assert [(change.kind, change.sid) for change in (await site.auth._store.tail(head)).changes] == [
        (Kind.REVOKED, sid)
    ]
    for asked in (program, elsewhere):
        assert (await refresh(asked, pair, "cli")).status_code == 401
    # Should the client ever come back, or another get hold of it: there is nothing left of it.
    assert await site.auth.refresh(pair["refresh_token"], client_id="cli") == Refused(Reason.UNKNOWN)
    assert await site.auth.sessions_of(people.maria.id) == []
    assert (await sign_in()).json()["code"] == "wrong_client"


async def test_who_signed_in_otherwise_stays(site, second, people, enter, sign_in, elsewhere, said_of):
    """With a browser, or through another client: nothing of theirs ends."""
    maria = await enter("maria")
    pair = (await sign_in("app")).json()
    await sign_in("cli")
    await site.clients.disable("cli")
    assert (await maria.get("/api/session")).status_code == 200
    assert isinstance(said_of(pair["access_token"]), Claims)
    assert (await refresh(elsewhere, pair, "app")).status_code == 200
    assert len(await second.auth.sessions_of(people.maria.id)) == 2


async def test_a_browsers_session_stays_and_the_clients_part_of_it_ends(site, people, enter, clients, said_of):
    """An application gave the client refresh tokens for the session of a cookie: only these end."""
    maria = await enter("maria")
    (session,) = await site.auth.sessions_of(people.maria.id)
    pair = await site.auth.issue_refresh(session, client_id="cli", audience="orders")
    await site.clients.disable("cli")
    assert (await maria.get("/api/session")).json()["sid"] == session.sid
    assert not said_of(pair.access_token)
    assert await site.auth.refresh(pair.refresh_token, client_id="cli") == Refused(Reason.UNKNOWN)


async def test_what_it_has_for_itself_ends(site, program, elsewhere, clients, said_of):
    """And it gets nothing more, at either process."""
    token = (await act_for_itself(program, clients.secret)).json()["access_token"]
    assert said_of(token).sub == "client:worker"
    await site.clients.disable("worker")
    assert said_of(token) == Refused(Reason.REVOKED)
    for asked in (program, elsewhere):
        assert (await act_for_itself(asked, clients.secret)).status_code == 401
    assert await site.auth.sessions_of("client:worker") == []


# --- at the same moment ---


async def test_disabled_while_the_password_is_checked(site, people, sign_in, monkeypatch):
    """The client was there when the sign-in began: no tokens, and no session stays."""
    check = site.passwords.is_right

    async def late(*args):
        found = await check(*args)
        await site.clients.disable("cli")
        return found

    monkeypatch.setattr(site.passwords, "is_right", late)
    answer = await sign_in()
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong_client")
    assert await site.auth.sessions_of(people.maria.id) == []


@pytest.mark.parametrize("when", ["before", "after"])
async def test_disabled_while_the_tokens_are_made(site, people, sign_in, monkeypatch, when):
    """Before or after the store has them: the answer holds none, and no session stays."""
    add = site.auth._store.add_family

    async def late(family):
        if when == "before":
            await site.clients.disable("cli")
        added = await add(family)
        if when == "after":
            await site.clients.disable("cli")
        return added

    monkeypatch.setattr(site.auth._store, "add_family", late)
    answer = await sign_in()
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong_client")
    assert await site.auth.sessions_of(people.maria.id) == []


@pytest.mark.parametrize("method", ["generation", "sessions_of", "sign_in", "fresh_token"])
async def test_disabled_while_it_acts_for_itself(site, program, clients, monkeypatch, method):
    """At whatever moment: no token comes out, and no session of its own stays."""
    real = getattr(site.auth, method)

    async def late(*args, **kwargs):
        monkeypatch.setattr(site.auth, method, real)
        await site.clients.disable("worker")
        return await real(*args, **kwargs)

    monkeypatch.setattr(site.auth, method, late)
    assert (await act_for_itself(program, clients.secret)).status_code in (401, 503)
    assert await site.auth.sessions_of("client:worker") == []


async def test_no_session_stays_when_no_tokens_can_be_given(site, people, sign_in):
    """The secret was declared lost while the server runs: 503, not a sign-in that nobody can use."""
    await site.auth.reset_keys()
    answer = await sign_in()
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert await site.auth.sessions_of(people.maria.id) == []


# --- when something goes wrong ---


@pytest.mark.parametrize("method", ["revoke_client", "revoke_user"])
@pytest.mark.parametrize("ident", ["cli", "worker"])
async def test_a_crash_in_between_ends_nothing_less(
    site, second, sign_in, program, clients, said_of, monkeypatch, method, ident
):
    """The client is disabled, its tokens have not ended yet: whoever comes next ends them."""
    pair = (await sign_in()).json() if ident == "cli" else (await act_for_itself(program, clients.secret)).json()

    async def breaks(*args, **kwargs):
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(site.auth, method, breaks)
        with pytest.raises(RuntimeError):
            await site.clients.disable(ident)
    (duty,) = await second.database.duties()
    # A process of the version before would take a duty without a user for everybody's end.
    assert (duty.client, duty.user, duty.ends) == (ident, f"client:{ident}", True)
    await second.accounts.do_duties()
    assert said_of(pair["access_token"]) == Refused(Reason.REVOKED)
    assert await site.database.duties() == []
    assert [entry.event.value for entry in await site.database.trail(limit=1)] == ["client_disabled"]


async def test_tokens_end_for_want_of_a_line_in_the_trail(site, sign_in, said_of, monkeypatch):
    """The trail cannot be written: they have ended all the same."""
    pair = (await sign_in()).json()

    async def breaks(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr(site.database, "note", breaks)
    with pytest.raises(RuntimeError):
        await site.clients.disable("cli")
    assert said_of(pair["access_token"]) == Refused(Reason.REVOKED)


async def test_disabled_by_two_at_once_and_once_more(site, second, sign_in, said_of):
    """Both find it disabled and its tokens ended when they return; there is no such client is an answer, too."""
    pair = (await sign_in()).json()
    done = await asyncio.gather(*(one.clients.disable("cli") for one in (site, second)))
    assert [client.is_disabled for client in done] == [True, True]
    assert said_of(pair["access_token"]) == Refused(Reason.REVOKED)
    assert (await second.clients.disable("cli")).is_disabled
    assert await site.database.duties() == []
    assert await site.database.disable_client("nobody") is Outcome.UNKNOWN
    assert (await site.clients.disable("nobody")).code == "not_found"
