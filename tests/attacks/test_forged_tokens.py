"""
Each known attack on a token verifier, against each verifier there is: the engine, and Verifier on each of its feeds.

The other tests of a rule stand beside it; here the advisories are told again, one after the other.
"""

import hmac
import json
import logging

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import ECKey, OctKey
from tests.tokens.issuers import Issuer
from tests.tokens.test_access_token import GONE, P256, Forge, b64

from coatcheck import Claims, Coatcheck, Policy, Refused, Verifier
from coatcheck.testing import ManualClock

NONE = "none-accept-until-expiry"
ATTACKS = []


def attack(tokens):
    """Enter what makes the tokens of one attack."""
    ATTACKS.append(tokens)
    return tokens


class World:
    """An engine, everybody who verifies its tokens, and an attacker with keys of their own."""

    def __init__(self, auth, session, verifiers):
        self.auth, self.verifiers = auth, verifiers
        self.forge = Forge(auth, session)
        self.mine = ECKey.generate_key("P-256", private=True)

    def said(self, token):
        """What each says."""
        return {name: verify(token) for name, verify in self.verifiers.items()}

    def signed_by_me(self, **header):
        """A token signed with the attacker's key."""
        signed = self.forge.token(header=header).rsplit(".", 1)[0]
        return f"{signed}.{b64(self.forge.key.model.sign(signed.encode(), self.mine))}"

    def jwk(self, **more):
        """The attacker's public key."""
        return {**self.mine.as_dict(private=False), **more}

    def hmac_with(self, secret, alg="HS256"):
        """A token whose signature is an HMAC with *secret*."""
        signed = self.forge.token(header={"alg": alg}).rsplit(".", 1)[0]
        return f"{signed}.{b64(hmac.digest(secret, signed.encode(), f'sha{alg[2:]}'))}"


@pytest.fixture
async def world(tmp_path):
    clock, issuer = ManualClock(), Issuer()
    url = f"sqlite:///{tmp_path}/coatcheck.db"
    try:
        async with Coatcheck(url, issuer=issuer.url, clock=clock) as auth:
            issuer.serve(auth)
            async with (
                Verifier(issuer.url, audience="orders", feed=auth, clock=clock) as on_engine,
                Verifier(issuer.url, audience="orders", feed=url, clock=clock) as on_store,
                Verifier(issuer.url, audience="orders", feed=NONE, clock=clock) as on_jwks,
            ):
                session = (await auth.sign_in("maria", claims={"roles": ["member"]})).session
                verifiers = {"engine": lambda token: auth.verify(token, audience="orders")}
                verifiers |= {"on engine": on_engine.verify, "on store": on_store.verify, "on JWKS": on_jwks.verify}
                made = World(auth, session, verifiers)
                for found in made.said(made.forge.genuine).values():
                    assert isinstance(found, Claims), "they take what is genuine"
                yield made
    finally:
        issuer.close()


@attack
def none_in_every_spelling(w):
    for alg in ("none", "None", "NONE", "nOnE", "noNE", ""):
        token = w.forge.token(header={"alg": alg})
        yield from (token, token.rsplit(".", 1)[0] + ".", token.rsplit(".", 1)[0])


@attack
def the_public_key_as_hmac_secret(w):
    public = w.forge.key.public.get_op_key("verify")
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (jwk,) = w.auth.jwks()["keys"]
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ssh = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    texts = [json.dumps(jwk), json.dumps(jwk, separators=(",", ":")), json.dumps({"keys": [jwk]})]
    for secret in (pem, pem.strip(), b"\n\t " + pem, der, ssh, ssh + b"\n", point, *(text.encode() for text in texts)):
        for alg in ("HS256", "HS384", "HS512"):
            yield w.hmac_with(secret, alg)


@attack
def an_empty_hmac_secret(w):
    yield from (w.hmac_with(b"", alg) for alg in ("HS256", "HS384", "HS512"))


@attack
def another_algorithm_than_the_keys(w):
    others = ["RS256", "PS256", "ES384", "ES512", "ES256K", "EdDSA", "Ed25519", "es256", "ES256 ", "HS256"]
    yield from (w.forge.token(header={"alg": alg}) for alg in others)


@attack
def no_algorithm(w):
    yield from (w.forge.token(header={"alg": alg}) for alg in (GONE, None, [], ["ES256"], {"ES256": 1}, 5))


@attack
def ones_own_key_in_the_header(w):
    kid = w.forge.key.kid
    for more in ({}, {"kid": GONE}, {"kid": None}, {"kid": "mine"}, {"kid": ""}):
        yield w.signed_by_me(jwk=w.jwk(), **more)
        yield w.signed_by_me(jwk=w.jwk(kid=kid, alg="ES256"), **more)
        yield w.signed_by_me(jku="https://evil.example/jwks.json", **more)
        yield w.signed_by_me(jku=f"{w.auth.issuer}@evil.example/jwks.json", **more)
        yield w.signed_by_me(x5u="https://evil.example/c.pem", x5c=["MIIB"], x5t="x", **more)


@attack
def a_kid_that_leads_elsewhere(w):
    names = ["", "x", "../../../dev/null", "/dev/null", "x' UNION SELECT '1';--", "|sleep 10", "\0", "é", "k" * 5000]
    for kid in [*names, "k" * 10**6]:
        yield w.signed_by_me(kid=kid)
        yield w.forge.token(header={"kid": kid})
    yield w.signed_by_me(kid=w.forge.key.kid.upper())
    yield w.signed_by_me(kid=w.forge.key.kid + " ")
    yield from (w.forge.token(header={"kid": kid}) for kid in (GONE, None, 5, True, ["x"], {"x": 1}))


@attack
def what_must_be_understood(w):
    crits = [["exp"], ["b64"], ["alg"], ["x", "x"], [], "exp", None, True, {}, ["http://example.com/UNDEFINED"]]
    yield from (w.forge.token(header={"crit": crit}) for crit in crits)
    yield w.forge.token(header={"crit": ["b64"], "b64": False})
    yield w.forge.token(header={"b64": False})


@attack
def another_serialisation(w):
    head, body, signature = w.forge.genuine.split(".")
    flat = {"protected": head, "payload": body, "signature": signature}
    yield json.dumps(flat)
    yield json.dumps({"payload": body, "signatures": [{"protected": head, "signature": signature}]})
    yield json.dumps({**flat, "header": {"alg": "none"}})
    evil = b64({**w.forge.body, "sub": "eve"})
    # CVE-2022-39227: the genuine compact token inside a JSON text with another payload.
    yield f'{{"  {head}.":"","protected":"{head}","payload":"{evil}","signature":"{signature}"}}.{body}.{signature}'
    yield f" {w.forge.genuine}"
    yield f"{w.forge.genuine}\n"
    yield f"Bearer {w.forge.genuine}"


@attack
def an_encrypted_token(w):
    head = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "typ": "at+jwt", "kid": w.forge.key.kid, "cty": "JWT"}
    yield jwe.encrypt_compact(head, w.forge.genuine.encode(), w.forge.key.public)
    yield jwe.encrypt_compact({**head, "zip": "DEF"}, b"0" * 100_000, w.forge.key.public)
    bomb = {"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2s": "AAAA", "p2c": 2**31, "kid": w.forge.key.kid}
    yield ".".join([b64(bomb), "AA", "AA", "AA", "AA"])
    secret = OctKey.import_key(b"k" * 16)
    yield jwe.encrypt_compact({"alg": "dir", "enc": "A128GCM", "typ": "at+jwt"}, b"{}", secret)


@attack
def too_many_parts(w):
    yield from (".", "..", "." * 10**6, ".".join(["AA"] * 10**5), w.forge.genuine + ".", "." + w.forge.genuine)
    yield w.forge.genuine.replace(".", "", 1)
    yield w.forge.genuine.replace(".", "..", 1)
    yield w.forge.genuine * 2


@attack
def another_text_for_the_same_bytes(w):
    head, body, signature = w.forge.genuine.split(".")
    for end in ("=", "==", "%3D", "\n", " ", "\u200b"):
        yield from (
            f"{head}{end}.{body}.{signature}",
            f"{head}.{body}{end}.{signature}",
            f"{head}.{body}.{signature}{end}",
        )
    for part in range(3):
        parts = [head, body, signature]
        parts[part] = parts[part][:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}.get(
            parts[part][-1], parts[part][-1] + "A"
        )
        yield ".".join(parts)
    if "-" in signature or "_" in signature:
        yield f"{head}.{body}.{signature.replace('-', '+').replace('_', '/')}"


@attack
def not_json_in_utf8(w):
    for raw in (
        json.dumps(w.forge.body).encode("utf-16"),
        json.dumps(w.forge.body).encode("utf-32"),
        b"\xff",
        b"",
        b"null",
    ):
        yield w.forge.token(raw_body=raw)
        yield w.forge.token(raw_header=raw)
    yield w.forge.token(raw_body=b"\xef\xbb\xbf" + json.dumps(w.forge.body).encode())
    for number in ("NaN", "Infinity", "-Infinity", "1e400", "1" * 400):
        yield w.forge.token(raw_body=json.dumps({**w.forge.body, "exp": "@"}).replace('"@"', number).encode())


@attack
def named_twice(w):
    def twice(members, name, value):
        return json.dumps(members).encode()[:-1] + f", {json.dumps(name)}: {json.dumps(value)}}}".encode()

    yield w.forge.token(raw_header=twice(w.forge.header, "alg", "none"))
    yield w.forge.token(raw_header=twice(w.forge.header, "kid", "mine"))
    yield w.forge.token(raw_body=twice(w.forge.body, "aud", "billing"))
    yield w.forge.token(raw_body=twice(w.forge.body, "exp", 1))


@attack
def times_that_are_none(w):
    values = [None, "1", "", True, False, -1, 1.5, 1e9, 2**63, 10**30, [1], {}]
    for name in ("exp", "iat", "nbf"):
        yield from (w.forge.token(body={name: value}) for value in values)
    yield from (w.forge.token(body={name: GONE}) for name in ("exp", "iat"))
    now = w.forge.body["iat"]
    yield from (w.forge.token(body={"exp": at}) for at in (0, 1, now - 1, now))
    yield from (w.forge.token(body={name: now + 61}) for name in ("iat", "nbf"))


@attack
def another_audience(w):
    values = [
        "order",
        "orderss",
        "xorders",
        "ORDERS",
        "orders ",
        "",
        ["order", "s"],
        ["billing"],
        [],
        {},
        {"orders": 1},
    ]
    yield from (w.forge.token(body={"aud": value}) for value in [*values, GONE, None, 5, True, ["orders", 5]])


@attack
def another_issuer(w):
    ours = w.auth.issuer
    values = [
        ours + "/",
        ours[:-1],
        ours[1:],
        ours.upper(),
        "",
        "h",
        [ours],
        {ours: 1},
        f"{ours}.evil.example",
        None,
        GONE,
    ]
    yield from (w.forge.token(body={"iss": value}) for value in values)


@attack
def another_kind_of_token(w):
    kinds = ["JWT", "jwt", "", "at", "at+jwt+x", "secevent+jwt", "logout+jwt", "dbsc+jwt", "dpop+jwt", "JOSE", "id+jwt"]
    yield from (w.forge.token(header={"typ": typ}) for typ in [*kinds, GONE, None, 5, ["at+jwt"]])


@attack
def signatures_of_nothing(w):
    for raw in (bytes(64), b"\0" * 63 + b"\1", P256.to_bytes(32) * 2, b"\xff" * 64, b"", b"\0", bytes(63), bytes(65)):
        yield w.forge.token(signature=raw)
    yield w.forge.genuine.rsplit(".", 1)[0] + "."


@attack
def a_key_of_another_kind(w):
    for curve in (ec.SECP256K1(), ec.SECP384R1()):
        key = ec.generate_private_key(curve)
        from cryptography.hazmat.primitives.hashes import SHA256

        signed = w.forge.genuine.rsplit(".", 1)[0]
        yield f"{signed}.{b64(key.sign(signed.encode(), ec.ECDSA(SHA256())))}"
    yield w.signed_by_me()


ATTACKS = [
    value for value in list(globals().values()) if getattr(value, "__code__", None) and value.__code__.co_flags & 0x20
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_no_verifier_takes_it(world, attack):
    """Refused as a value, by each of them; and what was genuine before is so afterwards."""
    tokens = list(attack(world))
    assert len(tokens) == len(set(tokens)) and tokens
    for token in tokens:
        for name, found in world.said(token).items():
            assert isinstance(found, Refused), (name, token[:200])
    for found in world.said(world.forge.genuine).values():
        assert found.sub == "maria"


async def test_a_verifier_has_no_way_to_be_told_less(world):
    """There is no argument for algorithms, keys, types or checks to leave out (CVE-2022-23540, CVE-2024-37568)."""
    for more in ({"algorithms": ["HS256"]}, {"key": b""}, {"verify_exp": False}, {"options": {}}):
        with pytest.raises(TypeError):
            world.auth.verify(world.forge.genuine, audience="orders", **more)
        with pytest.raises(TypeError):
            world.verifiers["on store"](world.forge.genuine, **more)


async def test_a_subject_comes_out_as_it_went_in():
    """Letter by letter: no prefix is cut off, nothing is trimmed, folded or normalised (CVE-2026-45426)."""
    async with Coatcheck("memory://", issuer="https://auth.example.com") as auth:
        session = (await auth.sign_in("maria")).session
        forge = Forge(auth, session)
        text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)

        @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
        @given(text | text.map("client:{}".format) | text.map("{} ".format))
        def check(sub):
            found = auth.verify(forge.token(body={"sub": sub, "client_id": sub}), audience="orders")
            assert (found.sub, found.client_id) == (sub, sub)

        check()
        for sub in ("client:maria", "cccmaria", " maria", "MARIA", "ma\u0301ria", "m\u00e1ria"):
            started = await auth.sign_in(sub)
            assert auth.verify(auth.access_token(started.session, audience="orders"), audience="orders").sub == sub


async def test_tokens_of_one_audience_are_told_apart(world):
    """A remembered token answers for its own text only (CVE-2026-35039)."""
    tokens = {sub: world.forge.token(body={"sub": sub}) for sub in ("maria", "otto", "eve")}
    for _ in range(2):
        for sub, token in tokens.items():
            assert {found.sub for found in world.said(token).values()} == {sub}


async def test_no_forged_token_is_in_the_logs(world, caplog):
    """Nor any part of one (CVE-2026-31987)."""
    caplog.set_level(logging.DEBUG)
    forged = [world.signed_by_me(kid="mine"), world.forge.token(body={"exp": 1}), world.hmac_with(b"")]
    for token in [*forged, world.forge.genuine]:
        world.said(token)
        for part in token.split("."):
            assert part not in caplog.text


@pytest.mark.parametrize("signing", ["ES256", "Ed25519"])
async def test_after_a_rotation_the_newest_key_signs(tmp_path, signing):
    """And the one before still verifies (CVE-2025-47278)."""
    policy = Policy(signing=signing)
    async with Coatcheck(f"sqlite:///{tmp_path}/c.db", issuer="https://auth.example.com", policy=policy) as auth:
        session = (await auth.sign_in("maria")).session
        tokens, kids = [], [auth.jwks()["keys"][0]["kid"]]
        for _ in range(3):
            tokens.append(auth.access_token(session, audience="orders"))
            kids.append(await auth.rotate_keys())
        tokens.append(auth.access_token(session, audience="orders"))
        assert [auth.verify(token, audience="orders").kid for token in tokens] == kids
