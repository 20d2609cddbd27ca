"""What was made for a client ends with it, on every engine and verifier at the next check; nothing else does."""

import pytest

from coatcheck import Claims, Coatcheck, NotOpen, Reason, Refused, Session, TokenPair, Verifier

ISSUER = "https://auth.example.com"
SECRET = "A" * 43


@pytest.fixture
def file_url(tmp_path):
    """One SQLite file."""
    return f"sqlite:///{tmp_path}/coatcheck.db"


@pytest.fixture
async def auth(file_url, clock):
    async with Coatcheck(file_url, issuer=ISSUER, clock=clock, secret=SECRET) as engine:
        yield engine


@pytest.fixture
async def other(file_url, clock, auth):
    """Another process's engine."""
    async with Coatcheck(file_url, issuer=ISSUER, clock=clock, secret=SECRET) as engine:
        yield engine


@pytest.fixture
async def said_of(file_url, clock, auth, other):
    """What everybody says of an access token: one answer, since they must agree."""
    async with Verifier(ISSUER, audience="orders", feed=file_url, clock=clock) as verifier:

        def ask(token):
            answers = [engine.verify(token, audience="orders") for engine in (auth, other)]
            answers.append(verifier.verify(token))
            assert answers[0] == answers[1] == answers[2]
            return answers[0]

        yield ask


async def pair_for(auth, session, client_id, **kwargs):
    """A pair."""
    pair = await auth.issue_refresh(session, client_id=client_id, audience="orders", **kwargs)
    assert isinstance(pair, TokenPair)
    return pair


async def test_a_session_of_its_own_ends(auth, other, said_of):
    """Begun for it alone: the session, its refresh tokens and its access tokens, wherever they are presented."""
    started = await auth.sign_in("maria")
    pair = await pair_for(auth, started.session, "cli", owns_session=True)
    assert isinstance(said_of(pair.access_token), Claims)
    assert isinstance(await other.check(started.token), Session)
    receipt = await auth.revoke_client("cli", reason="client disabled")
    assert receipt.position == (await auth._store.tail(0)).head
    assert said_of(pair.access_token) == Refused(Reason.REVOKED)
    for engine in (auth, other):
        assert await engine.check(started.token) == Refused(Reason.REVOKED)
        assert await engine.refresh(pair.refresh_token, client_id="cli") == Refused(Reason.UNKNOWN)
        assert await engine.sessions_of("maria") == []


async def test_a_session_of_a_browser_goes_on(auth, other, said_of):
    """Only what the client was given for it ends, its access tokens too; another client goes on with fresh ones."""
    started = await auth.sign_in("maria", claims={"roles": ["admin"]})
    pair = await pair_for(auth, started.session, "cli")
    kept = await pair_for(auth, started.session, "app")
    assert isinstance(said_of(pair.access_token), Claims)
    await other.revoke_client("cli")
    assert said_of(pair.access_token) == said_of(kept.access_token) == Refused(Reason.RENEWED)
    for engine in (auth, other):
        assert await engine.refresh(pair.refresh_token, client_id="cli") == Refused(Reason.UNKNOWN)
        found = await engine.check(started.token)
        assert (found.sid, found.claims, found.version) == (started.session.sid, {"roles": ["admin"]}, 2)
        assert isinstance(said_of(engine.access_token(found, audience="orders")), Claims)
    fresh = await auth.refresh(kept.refresh_token, client_id="app")
    assert isinstance(said_of(fresh.access_token), Claims)


async def test_what_is_others_is_left_alone(auth, said_of):
    """Another client's session, and a session without any client, have not even another version."""
    cookie = await auth.sign_in("maria")
    theirs = await auth.sign_in("maria")
    pair = await pair_for(auth, theirs.session, "app", owns_session=True)
    for client in ("cli", "ap", "app2", "APP"):
        await auth.revoke_client(client)
    assert isinstance(said_of(pair.access_token), Claims)
    for signed_in in (cookie, theirs):
        assert (await auth.check(signed_in.token)).version == 1


async def test_what_is_made_afterwards_counts(auth, said_of):
    """The end is one of what there is; who gives a client nothing more is the application's decision."""
    started = await auth.sign_in("maria")
    await auth.revoke_client("cli")
    pair = await pair_for(auth, started.session, "cli")
    assert isinstance(said_of(pair.access_token), Claims)
    await auth.revoke_client("cli")
    assert await auth.refresh(pair.refresh_token, client_id="cli") == Refused(Reason.UNKNOWN)


async def test_a_refresh_that_it_overtakes(auth, said_of, monkeypatch):
    """Between the minting and the rotation: no pair comes out."""
    started = await auth.sign_in("maria")
    pair = await pair_for(auth, started.session, "cli")
    rotate = auth._store.rotate_family

    async def late(*args, **kwargs):
        await auth.revoke_client("cli")
        return await rotate(*args, **kwargs)

    monkeypatch.setattr(auth._store, "rotate_family", late)
    assert await auth.refresh(pair.refresh_token, client_id="cli") == Refused(Reason.UNKNOWN)


async def test_a_renewal_that_it_overtakes(auth, monkeypatch):
    """The browser's renewal is tried again with the higher version, and succeeds."""
    started = await auth.sign_in("maria")
    await pair_for(auth, started.session, "cli")
    load = auth._store.load

    async def late(digest):
        found = await load(digest)
        monkeypatch.setattr(auth._store, "load", load)
        await auth.revoke_client("cli")
        return found

    monkeypatch.setattr(auth._store, "load", late)
    renewed = await auth.renew(started.token, amr=("otp",))
    assert renewed.session.version == 3


@pytest.mark.parametrize("bad", ["", "a\n", "x" * 256, None, 5])
async def test_a_client_that_cannot_be(auth, bad):
    """The argument is named."""
    with pytest.raises(ValueError, match="client_id"):
        await auth.revoke_client(bad)


async def test_on_a_closed_engine(file_url):
    """Like every other method."""
    with pytest.raises(NotOpen):
        await Coatcheck(file_url).revoke_client("cli")
