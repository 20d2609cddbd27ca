"""Keys from an issuer over HTTP: where they may come from, what is taken of them, and how long that lasts."""

import asyncio
import json
import logging
import threading

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from tests.tokens.issuers import Issuer

from coatcheck import Claims, Coatcheck, Reason, Refused, StoreUnavailable, Verifier
from coatcheck.fleet import fetching
from coatcheck.fleet.fetching import Jwks
from coatcheck.tokens import access_token, base64url

NONE = "none-accept-until-expiry"


@pytest.fixture
def issuer():
    server = Issuer()
    yield server
    server.close()


@pytest.fixture
async def auth(issuer, clock):
    async with Coatcheck("memory://", issuer=issuer.url, clock=clock) as engine:
        issuer.serve(engine)
        yield engine


async def token_of(auth, **kwargs):
    """A token for a new session."""
    return auth.access_token((await auth.sign_in("maria")).session, audience="orders", **kwargs)


class Gate:
    """Stands in the place of asyncio in the fetching module: its pauses end when told to."""

    def __init__(self, monkeypatch):
        self.pauses = []
        self._go = asyncio.Event()
        self.paused = asyncio.Event()
        monkeypatch.setattr(fetching, "asyncio", self)

    def __getattr__(self, name):
        return getattr(asyncio, name)

    async def sleep(self, seconds):
        self.pauses.append(seconds)
        self.paused.set()
        await self._go.wait()
        self._go.clear()

    async def pass_pause(self):
        """Let the pause under way end, and come to the next one."""
        await self.paused.wait()
        self.paused.clear()
        self._go.set()
        async with asyncio.timeout(3):
            await self.paused.wait()


def verifier_of(issuer, clock):
    """One that hears of keys only."""
    return Verifier(issuer.url, audience="orders", feed=NONE, clock=clock)


async def test_keys_come_from_the_issuer(issuer, auth, clock):
    """One request, to its well-known place; and what is known is verified without another."""
    session = (await auth.sign_in("maria")).session
    token = auth.access_token(session, audience="orders")
    async with verifier_of(issuer, clock) as verifier:
        assert isinstance(verifier.verify(token), Claims)
        assert verifier.verify(token[:-8] + "AAAAAAAA") == Refused(Reason.BAD_SIGNATURE)
        assert verifier.verify(auth.access_token(session, audience="x")) == Refused(Reason.WRONG_AUDIENCE)
        await auth.revoke(session.sid)
        assert isinstance(verifier.verify(token), Claims), "as its feed says: until it expires"
        clock.advance(900)
        assert verifier.verify(token) == Refused(Reason.EXPIRED)
    assert issuer.asked == ["/.well-known/jwks.json"]


async def test_a_proxy_from_the_environment_is_not_asked(issuer, auth, clock, monkeypatch):
    """Whoever sets a variable does not choose our keys."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with verifier_of(issuer, clock) as verifier:
        assert isinstance(verifier.verify(await token_of(auth)), Claims)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(issuer, auth, clock, status):
    """Not even to the same place."""
    issuer.status, issuer.headers = status, {"Location": f"{issuer.url}/.well-known/jwks.json"}
    with pytest.raises(StoreUnavailable):
        await verifier_of(issuer, clock).open()
    assert len(issuer.asked) == 1


@pytest.mark.parametrize("status", [204, 400, 401, 404, 407, 500, 503])
async def test_an_error_is_no_key_set(issuer, auth, clock, status):
    """Whatever body comes with it."""
    issuer.status = status
    if status == 204:
        issuer.body = b""
    with pytest.raises(StoreUnavailable):
        await verifier_of(issuer, clock).open()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b"[]",
        b"5",
        b'"keys"',
        b'{"keys":null}',
        b'{"keys":5}',
        b'{"keys":{"a":1}}',
        b'{"keys":"abc"}',
        b"\xff\xfe",
        b"<html>",
        b'{"keys":[',
        b"[" * 60_000,
        b'{"keys":[' * 6_000,
    ],
    ids=lambda body: repr(body[:12]),
)
async def test_what_is_no_key_set_is_refused(issuer, auth, clock, body):
    """As a store that does not answer, and not as a crash."""
    issuer.body = body
    with pytest.raises(StoreUnavailable):
        await verifier_of(issuer, clock).open()


async def test_a_key_set_has_a_size(issuer, auth, clock):
    """64 KiB are read, a byte more is refused; with or without a length in front."""
    issuer.body += b" " * (fetching.LONGEST - len(issuer.body))
    async with verifier_of(issuer, clock) as verifier:
        assert isinstance(verifier.verify(await token_of(auth)), Claims)
    issuer.body += b" "
    with pytest.raises(StoreUnavailable, match="65536"):
        await verifier_of(issuer, clock).open()


async def test_an_issuer_that_says_nothing_is_not_waited_for(issuer, auth, clock, monkeypatch):
    """Time is bounded."""
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.1)
    go = threading.Event()
    issuer.drip = lambda out: go.wait(5)
    try:
        with pytest.raises(StoreUnavailable):
            await verifier_of(issuer, clock).open()
    finally:
        go.set()


@pytest.mark.parametrize("part", ["head", "body", "body after the keys"])
async def test_an_issuer_that_says_little_at_a_time_is_not_waited_for(issuer, auth, clock, monkeypatch, part):
    """The time of the whole answer is bounded, not that of each byte, whatever was said of it so far."""
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.2)
    enough = threading.Event()

    def drip(out, text=b" "):
        for _ in range(60):
            if enough.wait(0.05):
                return
            out.write(text)
            out.flush()

    if part == "head":
        issuer.drip_head = lambda out: (out.write(b"HTTP/1.0 200 OK\r\n"), drip(out, b"X-Y: z\r\n"))
    else:
        issuer.drip = lambda out: (out.write(issuer.body if part == "body after the keys" else b""), drip(out))
    try:
        async with asyncio.timeout(2):
            with pytest.raises(StoreUnavailable):
                await verifier_of(issuer, clock).open()
    finally:
        enough.set()


async def test_a_failed_fetch_keeps_the_keys(issuer, auth, clock):
    """Whatever the failure; and a set that is fetched afterwards counts."""
    jwks = Jwks(issuer.url, clock, size=10)
    await jwks.fetch()
    token = await token_of(auth)
    good = issuer.body
    for issuer.status, issuer.body in ((500, good), (200, b"{}"), (200, b" " * 70_000), (302, b"")):
        with pytest.raises(StoreUnavailable):
            await jwks.fetch()
        assert isinstance(jwks.verify(token, "orders"), Claims)
    issuer.status = 200
    await auth.rotate_keys()
    issuer.serve(auth)
    await jwks.fetch()
    assert isinstance(jwks.verify(token, "orders"), Claims)
    assert isinstance(jwks.verify(await token_of(auth), "orders"), Claims)


async def test_a_key_that_is_no_longer_served_counts_no_longer(issuer, auth, clock):
    """Also for tokens that were verified with it and are remembered."""
    jwks = Jwks(issuer.url, clock, size=10)
    await jwks.fetch()
    token = await token_of(auth)
    assert isinstance(jwks.verify(token, "orders"), Claims)
    await auth.revoke_key(jwks.verify(token, "orders").kid)
    issuer.serve(auth)
    await jwks.fetch()
    assert jwks.verify(token, "orders") == Refused(Reason.UNKNOWN_KEY)


async def test_a_flood_of_unknown_kids_is_one_fetch_in_ten_seconds(issuer, auth, clock, monkeypatch):
    """Whoever makes up how many; and the fetch that follows finds the new key."""
    gate = Gate(monkeypatch)
    async with verifier_of(issuer, clock) as verifier:
        head, rest = (await token_of(auth)).split(".", 1)
        header = json.loads(base64url.decode(head))

        def flood():
            for n in range(1000):
                made_up = base64url.encode(json.dumps({**header, "kid": f"made up {n}"}).encode())
                assert verifier.verify(f"{made_up}.{rest}") == Refused(Reason.UNKNOWN_KEY)

        await auth.rotate_keys()
        fresh = await token_of(auth)
        issuer.serve(auth)
        flood()
        assert verifier.verify(fresh) == Refused(Reason.UNKNOWN_KEY)
        assert len(issuer.asked) == 1
        for fetches in (2, 3):
            await gate.pass_pause()
            assert len(issuer.asked) == fetches
            assert isinstance(verifier.verify(fresh), Claims)
            flood()
        assert set(gate.pauses) == {10.0}


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b"[" * 60_000, b'{"keys":[5]}', b" " * 70_000])
async def test_fetching_goes_on_after_a_failure(issuer, auth, clock, monkeypatch, caplog, body):
    """Nothing that an issuer can answer ends it."""
    gate = Gate(monkeypatch)
    async with verifier_of(issuer, clock) as verifier:
        token = await token_of(auth)
        issuer.body = body
        await auth.rotate_keys()
        fresh = await token_of(auth)
        verifier.verify(fresh)
        with caplog.at_level(logging.CRITICAL, "coatcheck"):
            await gate.pass_pause()
        assert isinstance(verifier.verify(token), Claims)
        assert verifier.verify(fresh) == Refused(Reason.UNKNOWN_KEY)
        issuer.serve(auth)
        await gate.pass_pause()
        assert isinstance(verifier.verify(fresh), Claims)


async def test_another_key_under_the_same_name_is_another_key(issuer, auth, clock):
    """An issuer that calls its keys "default": what the old one signed is refused, remembered or not."""
    jwks = Jwks(issuer.url, clock, size=10)
    await jwks.fetch()
    token = await token_of(auth)
    assert isinstance(jwks.verify(token, "orders"), Claims)
    other = ECKey.generate_key("P-256", private=True)
    kid = jwks.verify(token, "orders").kid
    issuer.body = json.dumps({"keys": [{**other.as_dict(private=False), "kid": kid, "alg": "ES256"}]}).encode()
    await jwks.fetch()
    assert jwks.verify(token, "orders") == Refused(Reason.BAD_SIGNATURE)


async def test_what_a_key_verified_is_forgotten_with_it_however_late(issuer, auth, clock, monkeypatch):
    """A check on another thread has found the key; the key goes; then what was found is remembered."""
    jwks = Jwks(issuer.url, clock, size=10)
    await jwks.fetch()
    token = await token_of(auth)
    verify, found, fetched = access_token.verify, threading.Event(), threading.Event()

    def slow(*args, **kwargs):
        claims = verify(*args, **kwargs)
        found.set()
        fetched.wait(5)
        return claims

    monkeypatch.setattr(access_token, "verify", slow)
    check = asyncio.create_task(asyncio.to_thread(jwks.verify, token, "orders"))
    await asyncio.to_thread(found.wait, 5)
    await auth.rotate_keys()
    await auth.revoke_key(json.loads(base64url.decode(token.split(".")[0]))["kid"])
    issuer.serve(auth)
    await jwks.fetch()
    fetched.set()
    await check
    assert jwks.verify(token, "orders") == Refused(Reason.UNKNOWN_KEY)


@pytest.mark.parametrize("usable", [True, False])
async def test_two_keys_of_one_name_are_none(issuer, auth, clock, usable):
    """Which of them is meant nobody can tell, also when only one of them could be used."""
    (key,) = auth.jwks()["keys"]
    other = {
        **ECKey.generate_key("P-256").as_dict(private=False),
        "kid": key["kid"],
        "alg": "ES256" if usable else "RS256",
    }
    third = {**ECKey.generate_key("P-256").as_dict(private=False), "kid": "third", "alg": "ES256"}
    for extra in ((other, third), (third, other)):
        issuer.serve(auth, *extra)
        async with verifier_of(issuer, clock) as verifier:
            assert verifier.verify(await token_of(auth)) == Refused(Reason.UNKNOWN_KEY)


async def test_fetching_goes_on_after_a_fault_of_ours(issuer, auth, clock, monkeypatch, caplog):
    """A key that the issuer takes back afterwards counts no longer."""
    gate = Gate(monkeypatch)
    async with verifier_of(issuer, clock) as verifier:
        token = await token_of(auth)
        kid = verifier.verify(token).kid
        with monkeypatch.context() as patched, caplog.at_level(logging.CRITICAL, "coatcheck"):
            patched.setattr(Jwks, "_get", lambda *args: 1 / 0)
            verifier.verify(made_up_kid(token))
            await gate.pass_pause()
        assert isinstance(verifier.verify(token), Claims)
        await auth.revoke_key(kid)
        issuer.serve(auth)
        verifier.verify(made_up_kid(token))
        await gate.pass_pause()
        assert verifier.verify(token) == Refused(Reason.UNKNOWN_KEY)


def made_up_kid(token):
    """The same token under a name that no key has."""
    head, rest = token.split(".", 1)
    return f"{base64url.encode(json.dumps({**json.loads(base64url.decode(head)), 'kid': 'made up'}).encode())}.{rest}"


def odd_keys():
    """Keys that are of no use here."""
    p384 = ECKey.generate_key("P-384", private=True)
    yield "an RSA key", {**RSAKey.generate_key(2048).as_dict(private=False), "alg": "RS256"}
    yield "a symmetric key", {**OctKey.generate_key(256).as_dict(private=True), "alg": "HS256"}
    yield "a symmetric key said to be ES256", {**OctKey.generate_key(256).as_dict(private=True), "alg": "ES256"}
    yield "a curve of another algorithm", {**p384.as_dict(private=False), "alg": "ES256"}
    yield "X25519", {**OKPKey.generate_key("X25519").as_dict(private=False), "alg": "Ed25519"}
    yield "an Ed25519 key said to be ES256", {**OKPKey.generate_key("Ed25519").as_dict(private=False), "alg": "ES256"}
    good = ECKey.generate_key("P-256").as_dict(private=False)
    yield "no algorithm", good
    yield "another algorithm", {**good, "alg": "none"}
    yield "a key for encryption", {**good, "alg": "ES256", "use": "enc"}
    yield "a key to sign with", {**good, "alg": "ES256", "key_ops": ["sign"]}
    yield "a key for nothing", {**good, "alg": "ES256", "key_ops": []}
    yield "a text for operations", {**good, "alg": "ES256", "key_ops": "verify"}
    yield "a private key", {**ECKey.generate_key("P-256").as_dict(private=True), "alg": "ES256"}
    yield "no point", {name: value for name, value in good.items() if name not in "xy"} | {"alg": "ES256"}
    yield "a number for a point", {**good, "x": 5, "alg": "ES256"}
    yield "nothing for a point", {**good, "x": None, "alg": "ES256"}
    yield "a point not on the curve", {**good, "x": good["y"], "alg": "ES256"}
    yield "a curve of no name", {**good, "crv": 5, "alg": "ES256"}
    yield "a list for an algorithm", {**good, "alg": ["ES256"]}


@pytest.mark.parametrize("name", [name for name, _ in odd_keys()])
async def test_an_odd_key_in_the_set_is_left_out(issuer, auth, clock, name):
    """The others count; what names the odd one is refused, and nothing crashes."""
    odd = {**dict(odd_keys())[name], "kid": "odd"}
    issuer.serve(auth, odd)
    token = await token_of(auth)
    head, rest = token.split(".", 1)
    header = {**json.loads(base64url.decode(head)), "kid": "odd"}
    async with verifier_of(issuer, clock) as verifier:
        assert isinstance(verifier.verify(token), Claims)
        for alg in ("Ed25519", "ES256", "HS256", "none"):
            text = base64url.encode(json.dumps({**header, "alg": alg}).encode())
            for signature in ("A" * 86, "A" * 128, rest.split(".")[1]):
                found = verifier.verify(f"{text}.{rest.split('.')[0]}.{signature}")
                assert found == Refused(Reason.UNKNOWN_KEY)


async def test_es256_is_of_one_curve(issuer, auth, clock):
    """A P-384 key in the set that calls itself ES256 signs nothing that is accepted."""
    other = ECKey.generate_key("P-384", private=True)
    issuer.serve(auth, {**other.as_dict(private=False), "kid": "odd", "alg": "ES256"})
    head, body, _ = (await token_of(auth)).split(".")
    head = base64url.encode(json.dumps({**json.loads(base64url.decode(head)), "kid": "odd"}).encode())
    signature = auth._tokens.keyring.keys.signer(clock.now()).model.sign(f"{head}.{body}".encode(), other)
    async with verifier_of(issuer, clock) as verifier:
        found = verifier.verify(f"{head}.{body}.{base64url.encode(signature)}")
        assert isinstance(found, Refused)


@pytest.mark.parametrize("odd", [None, 5, "x", [], [{}]], ids=repr)
async def test_what_is_no_key_in_the_set_is_left_out(issuer, auth, clock, odd):
    """One that is written wrong does not take the others away."""
    issuer.serve(auth, odd)
    async with verifier_of(issuer, clock) as verifier:
        assert isinstance(verifier.verify(await token_of(auth)), Claims)
