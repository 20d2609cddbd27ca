"""Signing keys: where each stands over time, how they change for everyone at once, and how they rest."""

import asyncio
import json
import logging
import secrets

import pytest
from msgspec.structs import replace

from coatcheck import Claims, Coatcheck, ConfigError, Policy, Reason, Refused, Verifier
from coatcheck.clock import DAY, HOUR
from coatcheck.tokens import base64url, keys
from coatcheck.tokens.keys import (
    ACCESS_MOST_S,
    JWKS_CACHE_S,
    LEEWAY_S,
    PUBLISH_AHEAD_S,
    SIGN_S,
    VERIFY_ON_S,
    KeySet,
)

ISSUER = "https://auth.example.com"
SEAL = b"s" * 32
SECRET, OTHER_SECRET = (secrets.token_urlsafe(32) for _ in range(2))


def made(number, *, signs_from, alg="ES256", seal=SEAL):
    """A key as the store would hold it."""
    row = keys.generate(alg, seal=seal, seal_id="", epoch=1, now=0, signs_from=signs_from)
    return keys.opened(replace(row, number=number), [seal])


# --- one key ---


@pytest.mark.parametrize("alg", keys.ALGORITHMS)
def test_a_key_signs_and_its_public_half_verifies(alg):
    """With the one algorithm it has; any other message or signature is not its own."""
    key = made(1, signs_from=0, alg=alg)
    public = keys.public_only(key.row)
    signature = key.sign(b"message")
    assert len(signature) == 64
    assert public.is_signed(b"message", signature)
    for message, wrong in ((b"other", signature), (b"message", signature[::-1]), (b"message", b""), (b"", b"\0" * 64)):
        assert not public.is_signed(message, wrong)
    assert public.private is None


@pytest.mark.parametrize("alg", keys.ALGORITHMS)
def test_a_key_opens_with_its_own_seal_under_its_own_name(alg):
    """Another seal, another name or one bit turned: it stays shut."""
    row = keys.generate(alg, seal=SEAL, seal_id="", epoch=1, now=0, signs_from=0)
    assert keys.opened(row, [b"x" * 32, SEAL]).private is not None
    assert keys.opened(row, [b"x" * 32]) is None
    assert keys.opened(row, []) is None
    assert keys.opened(replace(row, kid="other"), [SEAL]) is None
    for at in range(0, len(row.sealed), 9):
        turned = row.sealed[:at] + bytes([row.sealed[at] ^ 1]) + row.sealed[at + 1 :]
        assert keys.opened(replace(row, sealed=turned), [SEAL]) is None


def test_what_is_published_holds_nothing_private():
    """Neither in the row's public half nor in the JWKS."""
    key = made(1, signs_from=0)
    private = key.private.as_dict(private=True)["d"]
    assert "d" not in json.loads(key.row.public)
    assert private not in json.dumps(KeySet([key]).jwks(0))
    assert private.encode() not in key.row.sealed
    assert base64url.decode(private) not in key.row.sealed


# --- the schedule ---


def test_the_schedule_outlasts_every_cache():
    """A key is published for longer than a JWKS is cached, and verifies for longer than its last token lives."""
    assert PUBLISH_AHEAD_S > JWKS_CACHE_S
    assert VERIFY_ON_S >= ACCESS_MOST_S + LEEWAY_S
    assert ACCESS_MOST_S == HOUR
    assert SIGN_S > PUBLISH_AHEAD_S + VERIFY_ON_S


def test_where_a_key_stands_over_time():
    """Published, signing, verifying, gone: each at its second, and in this order only."""
    old, new = made(1, signs_from=0), made(2, signs_from=1000)
    found = KeySet([new, old])
    for now, states in (
        (0, ["signing", "published"]),
        (999, ["signing", "published"]),
        (1000, ["verifying", "signing"]),
        (1000 + VERIFY_ON_S - 1, ["verifying", "signing"]),
        (1000 + VERIFY_ON_S, ["gone", "signing"]),
        (10**9, ["gone", "signing"]),
    ):
        told = found.states(now)
        assert [told[old.kid], told[new.kid]] == states
        published = {key["kid"] for key in found.jwks(now)["keys"]}
        for key, state in ((old, states[0]), (new, states[1])):
            assert (key.kid in published) == (state != "gone")
            assert (found.verifier(key.kid, now) is key) == (state != "gone")
            assert (found.signer(now) is key) == (state == "signing")


def test_of_two_keys_of_one_second_the_later_signs():
    """Two rotations within a second are in the order of the store."""
    first, second = made(1, signs_from=5), made(2, signs_from=5)
    assert KeySet([second, first]).signer(5) is second


def test_a_set_without_keys_says_so():
    """Nobody signs, nobody verifies, one is needed now."""
    found = KeySet([])
    assert (found.signer(5), found.verifier("x", 5), found.needed(5), found.jwks(5)) == (None, None, 5, {"keys": []})


def test_the_next_key_is_made_ahead_of_its_time():
    """Once, so early that everybody has heard of it when it signs, also when the maker was late."""
    found = KeySet([made(1, signs_from=0)])
    assert found.needed(SIGN_S - PUBLISH_AHEAD_S - 1) is None
    assert found.needed(SIGN_S - PUBLISH_AHEAD_S) == SIGN_S
    assert found.needed(SIGN_S + 50 * DAY) == SIGN_S + 50 * DAY + PUBLISH_AHEAD_S
    assert KeySet([made(1, signs_from=0), made(2, signs_from=SIGN_S)]).needed(SIGN_S - 5) is None


async def test_a_year_of_upkeep(clock):
    """Every token is verified until its end, every key is published before it signs, and old ones go."""
    async with Coatcheck("memory://", issuer=ISSUER, clock=clock) as auth:
        known_since, tokens, signers = {}, [], []
        for _ in range(4 * 365):
            clock.advance(6 * HOUR)
            await auth._tokens.upkeep()
            now = clock.now()
            for key in auth.jwks()["keys"]:
                known_since.setdefault(key["kid"], now)
            session = (await auth.sign_in("maria")).session
            tokens.append(auth.access_token(session, audience="orders"))
            kid = auth.verify(tokens[-1], audience="orders").kid
            assert kid in known_since
            if kid not in signers:
                signers.append(kid)
            assert 1 <= len(auth.jwks()["keys"]) <= 3
            assert len(await auth._store.keys()) <= 3
        assert 11 <= len(signers) <= 13


async def test_a_token_outlives_its_keys_rotation(auth, clock):
    """To its last second, whatever upkeep runs; then its key goes."""
    session = (await auth.sign_in("maria")).session
    token = auth.access_token(session, audience="orders")
    kid = auth.verify(token, audience="orders").kid
    await auth.rotate_keys()
    clock.advance(899)
    await auth._tokens.upkeep()
    assert isinstance(auth.verify(token, audience="orders"), Claims)
    clock.advance(VERIFY_ON_S - 899)
    await auth._tokens.upkeep()
    assert kid not in {key["kid"] for key in auth.jwks()["keys"]}
    assert kid not in {row.kid for row in await auth._store.keys()}


# --- engines on one file ---


@pytest.fixture
def policy():
    return Policy()


@pytest.fixture
async def auth(url, clock, policy):
    async with Coatcheck(url, issuer=ISSUER, policy=policy, clock=clock, secret=SECRET) as engine:
        yield engine


@pytest.fixture
def file_url(tmp_path):
    """One SQLite file."""
    return f"sqlite:///{tmp_path}/coatcheck.db"


@pytest.fixture
async def a(file_url, clock):
    async with Coatcheck(file_url, issuer=ISSUER, clock=clock, secret=SECRET) as engine:
        yield engine


@pytest.fixture
async def b(file_url, clock, a):
    async with Coatcheck(file_url, issuer=ISSUER, clock=clock, secret=SECRET) as engine:
        yield engine


@pytest.fixture
async def verifier(file_url, clock, a):
    async with Verifier(ISSUER, audience="orders", feed=file_url, clock=clock) as opened:
        yield opened


def kids(auth):
    """The names in the JWKS."""
    return {key["kid"] for key in auth.jwks()["keys"]}


async def token_of(auth, sub="maria"):
    """A token for a new session."""
    return auth.access_token((await auth.sign_in(sub)).session, audience="orders")


def kid_of(token):
    """The name in its header."""
    return json.loads(base64url.decode(token.split(".")[0]))["kid"]


async def test_many_that_open_at_once_make_one_key(file_url, clock):
    """Compare-and-swap: one is first, the others take it."""
    engines = [Coatcheck(file_url, issuer=ISSUER, clock=clock, secret=SECRET) for _ in range(6)]
    await asyncio.gather(*(engine.open() for engine in engines))
    try:
        assert len({frozenset(kids(engine)) for engine in engines}) == 1
        assert len(kids(engines[0])) == 1
        clock.advance(SIGN_S - PUBLISH_AHEAD_S)
        await asyncio.gather(*(engine._tokens.upkeep() for engine in engines))
        assert len(kids(engines[0])) == 2
    finally:
        await asyncio.gather(*(engine.close() for engine in engines))


async def test_many_on_one_engine_at_once_make_one_key(auth, clock):
    """On each store."""
    clock.advance(SIGN_S - PUBLISH_AHEAD_S)
    await asyncio.gather(*(auth._tokens.upkeep() for _ in range(6)))
    assert len(kids(auth)) == 2


async def test_one_rotates_and_all_follow_at_once(a, b, verifier):
    """The next token of the other engine is signed by the new key, and everybody verifies it, and the old ones."""
    old = await token_of(b)
    kid = await a.rotate_keys()
    new = await token_of(b)
    assert kid_of(old) != kid_of(new) == kid
    for check in (a.verify, b.verify):
        assert isinstance(check(old, audience="orders"), Claims) and isinstance(check(new, audience="orders"), Claims)
    assert isinstance(verifier.verify(old), Claims) and isinstance(verifier.verify(new), Claims)
    assert kids(a) == kids(b) == {kid_of(old), kid}


async def test_rotations_at_once_are_all_done(a, b):
    """Each makes a key of its own, and the newest signs everywhere."""
    rotated = await asyncio.gather(*([a, b][n % 2].rotate_keys() for n in range(6)))
    assert len(set(rotated)) == 6 and set(rotated) <= kids(a)
    newest = (await a._store.keys())[-1].kid
    assert kid_of(await token_of(a)) == kid_of(await token_of(b)) == newest


async def test_a_revoked_keys_tokens_are_refused_at_once_everywhere(a, b, verifier):
    """Also those that were verified and are remembered; and signing goes on with another key."""
    token = await token_of(b)
    kid = kid_of(token)
    for _ in range(2):
        assert isinstance(verifier.verify(token), Claims) and isinstance(b.verify(token, audience="orders"), Claims)
    await a.revoke_key(kid)
    for found in (a.verify(token, audience="orders"), b.verify(token, audience="orders"), verifier.verify(token)):
        assert found == Refused(Reason.UNKNOWN_KEY)
    assert kid not in kids(a) | kids(b)
    for engine in (a, b):
        fresh = await token_of(engine)
        assert kid_of(fresh) != kid
        assert isinstance(verifier.verify(fresh), Claims)


async def test_a_revoked_next_key_never_signs(a, b, clock):
    """A key that is published only; its successor is made."""
    clock.advance(SIGN_S - PUBLISH_AHEAD_S)
    await a._tokens.upkeep()
    published = (await a._store.keys())[-1].kid
    await b.revoke_key(published)
    assert published not in kids(a)
    clock.advance(PUBLISH_AHEAD_S)
    assert kid_of(await token_of(a)) != published
    assert kid_of(await token_of(b)) != published


async def test_every_key_revoked_one_after_the_other(auth):
    """There is always another."""
    for _ in range(4):
        token = await token_of(auth)
        for kid in kids(auth):
            await auth.revoke_key(kid)
        assert auth.verify(token, audience="orders") == Refused(Reason.UNKNOWN_KEY)
    assert isinstance(auth.verify(await token_of(auth), audience="orders"), Claims)


async def test_revoking_an_unknown_key_changes_nothing(auth):
    """It is announced all the same: an earlier call may still be waiting."""
    before = kids(auth)
    assert (await auth.revoke_key("never")).position < (await auth.revoke_key("never")).position
    assert kids(auth) == before


async def test_a_retired_key_never_signs_again(a, b):
    """Its successor is revoked: another key takes its place, not the one that was retired before it."""
    retired = kid_of(await token_of(a))
    current = await a.rotate_keys()
    await a.revoke_key(current)
    assert kid_of(await token_of(a)) not in (retired, current)
    assert kid_of(await token_of(b)) not in (retired, current)


async def test_a_key_to_revoke_is_named_in_the_error(auth):
    """What is wrong with the argument is said of the argument."""
    with pytest.raises(ValueError, match="kid"):
        await auth.revoke_key(5)


class Held:
    """Holds up one engine's reads of the keys between the rows and their return."""

    def __init__(self, auth, monkeypatch):
        self.entered, self.go = asyncio.Event(), asyncio.Event()
        self._keys = auth._store.keys
        monkeypatch.setattr(auth._store, "keys", self)

    async def __call__(self):
        found = await self._keys()
        self.entered.set()
        await self.go.wait()
        return found


async def test_a_slow_read_of_the_keys_brings_back_none_that_was_revoked(a, b, monkeypatch):
    """Hazard 1, for keys: upkeep reads them, another process revokes one, and then the read arrives."""
    token = await token_of(a)
    assert isinstance(a.verify(token, audience="orders"), Claims)
    held = Held(a, monkeypatch)
    upkeep = asyncio.create_task(a._tokens.upkeep())
    await held.entered.wait()
    await b.revoke_key(kid_of(token))
    assert a.verify(token, audience="orders") == Refused(Reason.UNKNOWN_KEY)
    held.go.set()
    await upkeep
    assert a.verify(token, audience="orders") == Refused(Reason.UNKNOWN_KEY)


# --- at rest, and secrets ---


@pytest.mark.parametrize("signing", keys.ALGORITHMS)
async def test_private_halves_rest_encrypted(file_url, clock, tmp_path, signing):
    """Neither their bytes nor their text are in the database, its WAL, or anything else beside it."""
    async with Coatcheck(file_url, issuer=ISSUER, clock=clock, secret=SECRET, policy=Policy(signing=signing)) as auth:
        await auth.rotate_keys()
        await auth.rotate_keys()
        assert len(kids(auth)) == 3
        held = [key.private.as_dict(private=True)["d"] for key in auth._tokens.keyring._known.values()]
        assert len(held) == 3
        everything = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert next(iter(kids(auth))).encode() in everything, "this test looks in the right place"
        for text in held:
            assert text.encode() not in everything
            assert base64url.decode(text) not in everything
            assert base64url.decode(text).hex().encode() not in everything
        assert SECRET.encode() not in everything


async def test_a_wrong_secret_is_refused_at_the_start(file_url, clock, a):
    """With what to do about it, and without the secret; the file stays usable."""
    wrong = Coatcheck(file_url, issuer=ISSUER, clock=clock, secret=OTHER_SECRET)
    with pytest.raises(ConfigError, match=r"secret: .*give the secret they were made with") as caught:
        await wrong.open()
    assert OTHER_SECRET not in str(caught.value) and SECRET not in str(caught.value)
    assert isinstance(a.verify(await token_of(a), audience="orders"), Claims)
    with pytest.raises(ConfigError, match="secret"):
        await wrong.open()


async def test_a_rotated_secret_opens_the_old_keys(file_url, clock):
    """New first, old second; keys made from then on are sealed with the new one."""
    async with Coatcheck(file_url, issuer=ISSUER, clock=clock, secret=OTHER_SECRET) as auth:
        old = await token_of(auth)
    async with Coatcheck(file_url, issuer=ISSUER, clock=clock, secret=[SECRET, OTHER_SECRET]) as auth:
        assert kid_of(await token_of(auth)) == kid_of(old)
        assert isinstance(auth.verify(old, audience="orders"), Claims)
        await auth.rotate_keys()
    async with Coatcheck(file_url, issuer=ISSUER, clock=clock, secret=SECRET) as auth:
        assert kid_of(await token_of(auth)) != kid_of(old)
        assert isinstance(auth.verify(old, audience="orders"), Claims)


async def test_while_a_secret_is_rotated_everybody_signs(file_url, clock, caplog):
    """A process that does not have the new value yet verifies the new key's tokens, and signs with one it can open."""
    async with (
        Coatcheck(file_url, issuer=ISSUER, clock=clock, secret=OTHER_SECRET) as behind,
        Coatcheck(file_url, issuer=ISSUER, clock=clock, secret=[SECRET, OTHER_SECRET]) as ahead,
    ):
        await ahead.rotate_keys()
        with caplog.at_level(logging.CRITICAL, "coatcheck"):
            assert isinstance(behind.verify(await token_of(ahead), audience="orders"), Claims)
            token = await token_of(behind)
        assert isinstance(token, str), token
        assert isinstance(ahead.verify(token, audience="orders"), Claims)


async def test_a_key_that_was_swapped_in_the_database_signs_nothing(file_url, clock):
    """Who can write to the file, but has no secret, can name a public key of their own: no engine signs with it."""
    evil = made(1, signs_from=0, seal=b"e" * 32)
    async with Coatcheck(file_url, issuer=ISSUER, clock=clock, secret=SECRET) as auth:
        session = (await auth.sign_in("maria")).session
        row = replace(evil.row, signs_from=clock.now())
        newest = (await auth._store.keys())[-1].kid
        assert await auth._store.add_key(row, newest=newest, stamp=auth._stamp()) is not None
        token = auth.access_token(session, audience="orders")
        assert isinstance(token, Refused) or kid_of(token) != row.kid


# --- epochs ---


async def test_after_everyones_end_no_old_token_counts_and_new_ones_do(a, b, verifier):
    """On the engine that ended them, one that only followed, and a verifier; each mints for new sessions."""
    old = [await token_of(a), await token_of(b)]
    for token in old:
        assert isinstance(verifier.verify(token), Claims)
    before = kids(a)
    await a.revoke_everyone()
    for token in old:
        for found in (a.verify(token, audience="orders"), b.verify(token, audience="orders"), verifier.verify(token)):
            assert isinstance(found, Refused)
    assert not before & (kids(a) | kids(b))
    for engine in (b, a):
        fresh = await token_of(engine, "bob")
        for found in (a.verify(fresh, audience="orders"), b.verify(fresh, audience="orders"), verifier.verify(fresh)):
            assert isinstance(found, Claims)


async def test_after_everyones_end_a_pair_is_issued_and_refreshed(a, b):
    """On an engine that only followed."""
    await a.revoke_everyone()
    started = await b.sign_in("bob")
    pair = await b.issue_refresh(started.session, client_id="cli", audience="orders")
    assert not isinstance(await a.refresh(pair.refresh_token, client_id="cli", audience="orders"), Refused)


async def test_everyones_end_by_an_engine_without_an_issuer(file_url, clock, a):
    """It drops the keys and makes none; an engine with an issuer makes one at its next upkeep."""
    token = await token_of(a)
    async with Coatcheck(file_url, clock=clock, secret=SECRET) as other:
        await other.revoke_everyone()
    assert isinstance(a.verify(token, audience="orders"), Refused)
    await a._tokens.upkeep()
    assert isinstance(a.verify(await token_of(a), audience="orders"), Claims)


async def test_everyones_end_drops_keys_whatever_the_log_still_says(file_url, clock, a, verifier):
    """The line of the key's making was trimmed long ago, and no other key is made: the new epoch alone says it."""
    await a.sweep()
    clock.advance(3 * HOUR)
    await a.sweep()
    assert (await a._store.tail(0)).changes == ()
    token = await token_of(a)
    assert isinstance(verifier.verify(token), Claims)
    async with Coatcheck(file_url, clock=clock, secret=SECRET) as other:
        await other.revoke_everyone()
    assert verifier.verify(token) == a.verify(token, audience="orders") == Refused(Reason.UNKNOWN_KEY)


async def test_a_key_made_before_everyones_end_is_not_added_after_it(a, b, monkeypatch):
    """The end overtakes a rotation: what comes of it belongs to the new epoch, or does not come."""
    add = a._store.add_key
    tried = []

    async def late(row, **kwargs):
        if not tried:
            await b.revoke_everyone()
        tried.append(row.kid)
        return await add(row, **kwargs)

    monkeypatch.setattr(a._store, "add_key", late)
    kid = await a.rotate_keys()
    assert tried[0] != kid and tried[0] not in kids(a) | kids(b)
    assert kid_of(await token_of(b)) in kids(a)
    assert isinstance(a.verify(await token_of(b), audience="orders"), Claims)


@pytest.mark.parametrize("off", [-1, 1])
async def test_a_key_of_another_epoch_is_not_added(auth, clock, off):
    """Also where there is no other key that it could be compared with."""
    for row in await auth._store.keys():
        await auth._store.drop_key(row.kid, stamp=auth._stamp())
    epoch = (await auth._store.tail(2**62)).epoch
    stamp = auth._stamp()
    made_of = {"seal": SEAL, "seal_id": "s1", "now": clock.now(), "signs_from": clock.now()}
    old, current = (keys.generate("ES256", epoch=epoch + by, **made_of) for by in (off, 0))
    assert await auth._store.add_key(old, newest=None, stamp=stamp) is None
    assert await auth._store.keys() == []
    assert await auth._store.add_key(current, newest=None, stamp=stamp) is not None
