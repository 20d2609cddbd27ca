"""A secret that was declared lost makes nothing any more, in no process, however long it has been running."""

import asyncio
import logging
import secrets

import apsw
import pytest

from coatcheck import Claims, Coatcheck, ConfigError, Reason, Refused, Session, Verifier
from coatcheck.clock import MINUTE
from coatcheck.stores import _sqlite_file
from coatcheck.tokens.keys import PUBLISH_AHEAD_S, SIGN_S

ISSUER = "https://auth.example.com"
LOST, NEW, THIRD = (secrets.token_urlsafe(32) for _ in range(3))
UNSURE = Refused(Reason.UNSURE)


@pytest.fixture
def file_url(tmp_path):
    """One SQLite file."""
    return f"sqlite:///{tmp_path}/coatcheck.db"


@pytest.fixture
def engine(file_url, clock):
    """Makes an engine on the file, not yet open."""

    def make(*values, issuer=ISSUER):
        return Coatcheck(file_url, issuer=issuer, clock=clock, secret=values)

    return make


@pytest.fixture
async def running(engine):
    """A server that has been running since before."""
    async with engine(LOST) as auth:
        yield auth


@pytest.fixture
def reset(engine):
    """What ``coatcheck keys reset`` does."""

    async def do():
        async with engine(secrets.token_urlsafe(32), issuer=None) as auth:
            return await auth.reset_keys()

    return do


@pytest.fixture
def panic(engine):
    """What ``coatcheck panic`` does."""

    async def do():
        async with engine(secrets.token_urlsafe(32), issuer=None) as auth:
            await auth.revoke_everyone()
            await auth.reset_keys()

    return do


def errors(caplog):
    """The texts of the errors in the log that tell of a lost secret."""
    return [one.message for one in caplog.records if one.levelno >= logging.ERROR and "lost" in one.message]


async def mended(auth):
    """Wait until what a missing key has set going is over."""
    await asyncio.sleep(0)
    await auth._tokens._mending


async def minted(auth, sub="maria"):
    """What somebody who signs in now gets."""
    return await auth.fresh_token((await auth.sign_in(sub)).session, audience="orders")


@pytest.mark.parametrize("how", ["reset", "panic"])
async def test_a_running_server_makes_no_key_with_it(running, engine, request, how):
    """Neither by itself, nor when a token is asked for; and the next server starts with the new secret."""
    assert isinstance(await minted(running), str)
    await request.getfixturevalue(how)()
    assert await minted(running) == UNSURE
    await mended(running)
    await running._tokens.upkeep()
    assert await minted(running) == UNSURE
    assert await running._store.keys() == []
    async with engine(NEW) as restarted:
        token = await minted(restarted)
        assert isinstance(restarted.verify(token, audience="orders"), Claims)
        # The one that still runs knows what the new one signs, and signs nothing itself.
        assert isinstance(running.verify(token, audience="orders"), Claims)
        assert await minted(running) == UNSURE


async def test_cookies_go_on_working(running, reset):
    """Sessions have nothing to do with it: those that were there, and those that begin afterwards."""
    before = await running.sign_in("maria")
    await reset()
    after = await running.sign_in("bob")
    for signed_in in (before, after):
        assert isinstance(await running.check(signed_in.token), Session)
    assert await running.issue_refresh(after.session, client_id="cli", audience="orders") == UNSURE
    assert isinstance(await running.check(after.token), Session)


async def test_what_it_made_is_refused_at_once(running, reset, file_url, clock):
    """Access tokens by every verifier, refresh tokens by every engine."""
    started = await running.sign_in("maria")
    pair = await running.issue_refresh(started.session, client_id="cli", audience="orders")
    async with Verifier(ISSUER, audience="orders", feed=file_url, clock=clock) as verifier:
        assert isinstance(verifier.verify(pair.access_token), Claims)
        assert await reset() == 1
        gone = Refused(Reason.UNKNOWN_KEY)
        assert verifier.verify(pair.access_token) == running.verify(pair.access_token, audience="orders") == gone
    assert await running.refresh(pair.refresh_token, client_id="cli") == Refused(Reason.UNKNOWN)


async def test_the_key_that_the_schedule_asks_for_is_not_made_with_it(running, reset, engine, clock):
    """A new server's keys are about to end, and the old server, still running, is the first to see it."""
    await reset()
    async with engine(NEW) as restarted:
        (first,) = await restarted._store.keys()
        clock.advance(SIGN_S - PUBLISH_AHEAD_S)
        await running._tokens.upkeep()
        assert [row.kid for row in await restarted._store.keys()] == [first.kid]
        await restarted._tokens.upkeep()
        assert len(await restarted._store.keys()) == 2


async def test_it_is_told_once_an_hour(running, reset, clock, caplog):
    """An error that says what to do, not one a minute; and without any secret in it."""
    await reset()
    for _ in range(3 * 60 + 1):
        await running._tokens.upkeep()
        clock.advance(MINUTE)
    found = errors(caplog)
    assert len(found) == 4
    assert "restart" in found[0]
    assert LOST not in caplog.text
    for _ in range(5):
        await minted(running)
        await mended(running)
    assert len(errors(caplog)) == 4


async def test_it_is_told_although_another_server_has_keys(running, reset, engine, caplog):
    """Nothing is missing in the store, and yet this one gives no tokens: its log must say why."""
    await reset()
    async with engine(NEW):
        assert await minted(running) == UNSURE
        await mended(running)
        assert len(errors(caplog)) == 1


async def test_no_key_is_rotated_or_revoked_with_it(running, reset, engine):
    """Who asks for it is told why; the key that is there stays, since no other could take its place."""
    await reset()
    with pytest.raises(ConfigError, match=r"secret: was declared lost"):
        await running.rotate_keys()
    async with engine(NEW) as restarted:
        (kid,) = restarted.key_states()
        with pytest.raises(ConfigError, match=r"secret: was declared lost"):
            await running.revoke_key(kid)
        assert list(restarted.key_states()) == [kid]


@pytest.mark.parametrize("values", [(LOST,), (LOST, NEW), (LOST, THIRD)])
async def test_a_server_that_would_write_with_it_does_not_start(running, reset, engine, values):
    """Before and after others have made new keys; the message names the remedy, which is not to reset once more."""
    await reset()
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"secret: was declared lost.*; give a new one") as caught:
            await engine(*values).open()
        assert "keys reset --secret-lost" not in str(caught.value)
        assert not any(value in str(caught.value) for value in values)
        async with engine(NEW) as restarted:
            assert isinstance(await minted(restarted), str)


async def test_every_value_that_was_in_use_is_lost(engine, reset):
    """Of a secret that is being rotated, the old and the new; each was in a process that runs or has run."""
    async with engine(LOST), engine(NEW, LOST):
        await reset()
    for value in (LOST, NEW):
        with pytest.raises(ConfigError, match="was declared lost"):
            await engine(value).open()
    async with engine(THIRD) as auth:
        assert isinstance(await minted(auth), str)


async def test_a_secret_that_was_refused_is_not_lost_by_the_reset(running, reset, engine):
    """A server is started with the new one, refused, and told to reset: then it must start."""
    with pytest.raises(ConfigError, match="does not open the signing keys"):
        await engine(NEW).open()
    await reset()
    async with engine(NEW) as auth:
        assert isinstance(await minted(auth), str)


async def test_a_lost_secret_may_still_read(running, reset, engine):
    """Behind a new one it does no harm: it opens nothing that is there, and makes nothing."""
    await reset()
    async with engine(NEW, LOST) as auth:
        assert isinstance(await minted(auth), str)
    async with engine(NEW) as auth:
        assert isinstance(await minted(auth), str)


async def test_rotating_a_secret_goes_on_working(engine, reset):
    """Also after a reset: new first, old second, then the new one alone."""
    async with engine(LOST):
        await reset()
    async with engine(NEW) as auth:
        old = await minted(auth)
    async with engine(NEW) as behind, engine(THIRD, NEW) as auth:
        assert isinstance(auth.verify(old, audience="orders"), Claims)
        assert isinstance(await minted(behind), str)
        await auth.rotate_keys()
        assert isinstance(behind.verify(await minted(auth), audience="orders"), Claims)
    async with engine(THIRD) as auth:
        assert isinstance(await minted(auth), str)


async def test_a_reset_between_a_key_and_its_adding(running, reset, monkeypatch):
    """The reset overtakes a rotation: the key is not added."""
    add = running._store.add_key

    async def late(row, **kwargs):
        monkeypatch.setattr(running._store, "add_key", add)
        await reset()
        return await add(row, **kwargs)

    monkeypatch.setattr(running._store, "add_key", late)
    with pytest.raises(ConfigError, match="was declared lost"):
        await running.rotate_keys()
    assert await running._store.keys() == []


async def test_a_reset_between_a_token_and_its_family(running, reset, monkeypatch):
    """No pair comes out, and it is not said that the session ended."""
    started = await running.sign_in("maria")
    add = running._store.add_family

    async def late(family):
        await reset()
        return await add(family)

    monkeypatch.setattr(running._store, "add_family", late)
    assert await running.issue_refresh(started.session, client_id="cli", audience="orders") == UNSURE
    assert isinstance(await running.check(started.token), Session)
    assert await reset() == 0


async def test_a_reset_while_a_server_starts(engine, reset, monkeypatch):
    """Between its look at the keys and its being noted: it is refused, and a new secret is not hindered by it."""
    async with engine(LOST):
        pass
    starting = engine(LOST)
    admit = starting._store.admit_secret

    async def late(*args, **kwargs):
        await reset()
        return await admit(*args, **kwargs)

    monkeypatch.setattr(starting._store, "admit_secret", late)
    with pytest.raises(ConfigError, match="was declared lost"):
        await starting.open()
    async with engine(NEW) as auth:
        assert isinstance(await minted(auth), str)


async def test_two_that_start_at_once_with_different_secrets(engine, monkeypatch):
    """On a new store: the one that comes second is refused, and its secret is not counted as in use."""
    second = engine(NEW)
    keys, looked = second._store.keys, []

    async def late():
        looked.append(True)
        if len(looked) == 2:  # after it has found none, before it adds its own
            async with engine(LOST):
                pass
        return await keys()

    monkeypatch.setattr(second._store, "keys", late)
    with pytest.raises(ConfigError, match="does not open the signing keys"):
        await second.open()
    async with engine(THIRD, issuer=None) as other:
        await other.reset_keys()
    async with engine(NEW) as auth:
        assert isinstance(await minted(auth), str)


async def test_an_engine_without_an_issuer_asks_nothing(running, reset, engine):
    """It makes no tokens, so its secret is its own business."""
    await reset()
    async with engine(LOST, issuer=None) as auth:
        assert isinstance(await auth.check((await auth.sign_in("maria")).token), Session)


async def test_keys_from_before_secrets_were_noted(file_url, tmp_path, running, engine, reset, clock):
    """A file of the schema before: its key still signs, and its secret is lost by a reset all the same."""
    (row,) = await running._store.keys()
    await running.close()
    path = tmp_path / "coatcheck.db"
    for file in tmp_path.glob("coatcheck.db*"):
        file.unlink()
    database = apsw.Connection(str(path))
    for script in _sqlite_file.MIGRATIONS[:2]:
        database.execute(script)
    columns = (row.kid, row.alg, row.public, row.sealed, row.epoch, row.published_at, row.signs_from)
    names = "kid, alg, public, sealed, epoch, published_at, signs_from"
    database.execute(f"INSERT INTO keys ({names}) VALUES (?, ?, ?, ?, ?, ?, ?)", columns)
    database.execute(f"PRAGMA application_id = {_sqlite_file.APPLICATION_ID}; PRAGMA user_version = 2")
    database.close()
    path.chmod(0o600)
    async with engine(LOST) as upgraded:
        assert isinstance(await minted(upgraded), str)
        assert list(upgraded.key_states()) == [row.kid]
        assert [kept.seal_id for kept in await upgraded._store.keys()] == [""]
        await reset()
        assert await minted(upgraded) == UNSURE
    with pytest.raises(ConfigError, match="was declared lost"):
        await engine(LOST).open()
    async with engine(NEW) as auth:
        assert isinstance(await minted(auth), str)
