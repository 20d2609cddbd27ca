"""What verifying and signing remember to be fast: verified tokens, headers, what a key is for. It changes no answer."""

import secrets
import sys
import threading

import pytest
from joserfc.errors import UnsupportedKeyOperationError
from tests.tokens.forge import ISSUER, Forge

from coatcheck import Claims, Coatcheck, Reason, Refused
from coatcheck.fleet.fetching import Jwks
from coatcheck.fleet.verified import Verified
from coatcheck.tokens import access_token, base64url, keys


@pytest.fixture
async def auth(clock):
    async with Coatcheck("memory://", issuer=ISSUER, clock=clock) as engine:
        yield engine


@pytest.fixture
async def forge(auth):
    return Forge(auth, (await auth.sign_in("maria")).session)


def said_by(kid):
    """What a token that the key *kid* signed could say."""
    return Claims(
        sub="maria",
        sid="s",
        version=1,
        audience=("orders",),
        expires_at=1,
        issued_at=0,
        not_before=0,
        client_id="cli",
        kid=kid,
        all={},
    )


# --- verified tokens ---


@pytest.mark.parametrize("size", [1, 2, 3])
def test_threads_that_fill_the_memory_do_not_disturb_each_other(size):
    """Four at once, far above its size: none fails, and its size holds."""
    known, claims, faults = Verified(size), said_by("k"), []

    def fill(name):
        try:
            for number in range(20_000):
                known.add(b"%d %d" % (name, number), claims)
        except BaseException as fault:  # whatever it is: a thread's fault is seen by nobody else
            faults.append(fault)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=fill, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert faults == []
    assert len(known) == size


def test_a_key_that_goes_while_others_verify_disturbs_nobody():
    """Forgetting what it signed, and remembering more, at once in two threads."""
    known, faults, done = Verified(50), [], threading.Event()

    def fill():
        try:
            for number in range(20_000):
                known.add(b"%d" % number, said_by("old" if number % 2 else "new"))
        except BaseException as fault:
            faults.append(fault)
        finally:
            done.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        thread = threading.Thread(target=fill)
        thread.start()
        while not done.is_set():
            known.keep({"new"})
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert faults == []


@pytest.mark.parametrize("size", [1, 3, 64, 200])
def test_the_oldest_go_first(size):
    """Never more than its size, always the newest, and not many fewer than its size."""
    known, claims = Verified(size), said_by("k")
    for number in range(3 * size):
        known.add(b"%d" % number, claims)
        assert len(known) <= size
        held = [known.get(b"%d" % at) is claims for at in range(number + 1)]
        assert held == sorted(held) and held[-1]
        assert number < size or sum(held) >= size - size // 64


def test_only_what_other_keys_signed_is_forgotten():
    """A key that is gone takes its tokens along."""
    known = Verified(10)
    for kid in ("a", "b"):
        known.add(kid.encode(), said_by(kid))
    known.keep({"b": None})
    assert known.get(b"a") is None and known.get(b"b").kid == "b"


async def test_a_key_that_is_not_served_any_more_is_looked_at_each_time(auth, forge, clock):
    """Whatever is remembered: another thread may have verified with it while it was being removed."""
    jwks = Jwks(ISSUER, clock, size=10)
    jwks._keys = {forge.key.kid: forge.key}
    assert isinstance(jwks.verify(forge.genuine, "orders"), Claims)
    jwks._keys = {}
    assert len(jwks.known) == 1
    assert jwks.verify(forge.genuine, "orders") == Refused(Reason.UNKNOWN_KEY)
    assert jwks._wanted.is_set()


# --- headers ---


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({}, None),
        ({"typ": "application/AT+jwt"}, None),
        ({"alg": "none"}, Reason.BAD_SIGNATURE),
        ({"alg": "Ed25519"}, Reason.BAD_SIGNATURE),
        ({"kid": "other"}, Reason.UNKNOWN_KEY),
        ({"typ": "JWT"}, Reason.WRONG_TYPE),
        ({"crit": []}, Reason.MALFORMED),
        ({"b64": True}, Reason.MALFORMED),
        ({"alg": 5}, Reason.MALFORMED),
    ],
)
def test_a_header_that_was_seen_before_is_judged_as_at_first(forge, header, reason):
    """In another token, with a right signature and with a wrong one, and again."""
    for number in range(3):
        assert forge.of(header=header, body={"jti": f"{number}"}) is reason
        wrong = forge.of(header=header, body={"jti": f"{number}"}, signature=b"\1" * 64)
        assert wrong is (reason or Reason.BAD_SIGNATURE)


async def test_a_header_that_was_seen_before_opens_nothing_once_its_key_is_gone(auth, forge):
    """What a header says is remembered; whether there is such a key is asked each time."""
    assert forge.of() is None
    await auth.revoke_key(forge.key.kid)
    assert forge.of(body={"jti": "another"}) is Reason.UNKNOWN_KEY


def test_made_up_headers_fill_no_memory(forge):
    """However many there are, few are remembered, and of the unreadable ones none."""
    remembered = access_token._header_of.cache_info
    rest = forge.genuine.partition(".")[2]
    access_token._header_of.cache_clear()
    for raw in (b"{", b"null", b'{"alg":"ES256"}', b"\xff", b'{"alg":"a","kid":"b","typ":"c","crit":[]}'):
        assert forge.why(f"{base64url.encode(raw)}.{rest}") is Reason.MALFORMED
    assert forge.why(f"AB.{rest}") is Reason.MALFORMED
    assert remembered().currsize == 0
    for number in range(200):
        assert forge.of(header={"kid": f"made up {number}"}) is Reason.UNKNOWN_KEY
    assert remembered().currsize <= 32


# --- what a key is for ---


@pytest.mark.parametrize("alg", keys.ALGORITHMS)
def test_a_public_key_never_signs(alg):
    """However often it has verified, and however often it is asked."""
    row = keys.generate(alg, seal=b"s" * 32, seal_id="k1", epoch=1, now=0, signs_from=0)
    signer, public = keys.opened(row, [b"s" * 32]), keys.public_only(row)
    for _ in range(3):
        message = secrets.token_bytes(8)
        assert public.is_signed(message, signer.sign(message))
        with pytest.raises(UnsupportedKeyOperationError):
            public.model.sign(message, public.public)
