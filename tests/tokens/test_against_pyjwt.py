"""
Two libraries that are not ours look at the same tokens. What they refuse, we never accept; what we mint, they verify.

PyJWT is told to be as strict as we are: one algorithm, the audience, the issuer, the claims that must be there.
"""

import base64
import functools
import json

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc import jwt as jose
from joserfc.jwk import KeySet
from tests.tokens.test_access_token import ISSUER, Forge

from coatcheck import Claims, Coatcheck, Policy, Reason, Refused
from coatcheck.clock import SystemClock
from coatcheck.tokens import base64url

REQUIRED = ["exp", "iat", "iss", "aud", "sub", "client_id", "jti", "sid", "ver"]


class Judges:
    """An engine, a forge on it, and PyJWT with the engine's published keys."""

    def __init__(self, auth, session):
        self.auth, self.session = auth, session
        self.forge = Forge(auth, session)
        self.others = {key["kid"]: jwt.PyJWK(key) for key in auth.jwks()["keys"]}

    def ours(self, token):
        """Whether we accept *token*."""
        return isinstance(self.auth.verify(token, audience="orders"), Claims)

    def theirs(self, token):
        """What PyJWT says that *token* says; None when it refuses."""
        try:
            key = self.others[jwt.get_unverified_header(token)["kid"]]
            return jwt.decode(
                token,
                key,
                algorithms=["ES256"],
                audience="orders",
                issuer=ISSUER,
                leeway=60,
                options={"require": REQUIRED, "strict_aud": False},
            )
        except (jwt.PyJWTError, KeyError, ValueError, TypeError, AttributeError, RecursionError):
            return None

    def compare(self, token):
        """Accepted by us means accepted by them, with the same words."""
        found = self.auth.verify(token, audience="orders")
        if isinstance(found, Claims):
            assert self.theirs(token) == found.all
        return isinstance(found, Claims)


@pytest.fixture
async def judges():
    async with Coatcheck("memory://", issuer=ISSUER) as auth:
        session = (await auth.sign_in("maria", claims={"roles": ["admin"]})).session
        made = Judges(auth, session)
        assert made.compare(made.forge.genuine)
        yield made


# An engine belongs to one event loop, but verify() waits for nothing, so hypothesis may call it in its own functions.
many = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))

letters = st.sampled_from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n{}",é')
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["orders", "billing", ISSUER, "maria", "at+jwt", "none", "ES256"]),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
near = st.integers(-4000, 4000).map(lambda by: SystemClock().now() + by)


async def test_a_letter_changed_anywhere(judges):
    """Replaced, inserted or deleted: a text other than the genuine one is refused, or PyJWT takes it too."""
    genuine = judges.forge.genuine

    @many
    @given(
        at=st.integers(0, len(genuine)), letter=letters, how=st.sampled_from(["replace", "insert", "delete", "double"])
    )
    def check(at, letter, how):
        after = {"replace": letter + genuine[at + 1 :], "insert": letter + genuine[at:], "delete": genuine[at + 1 :]}
        token = genuine[:at] + after.get(how, genuine[at : at + 1] * 2 + genuine[at + 1 :])
        assert judges.compare(token) == (token == genuine)

    check()


async def test_a_bit_turned_in_a_part(judges):
    """In the bytes that a part stands for, encoded again as they should be."""
    parts = judges.forge.genuine.split(".")

    @many
    @given(part=st.integers(0, 2), bit=st.integers(0, 10_000))
    def check(part, bit):
        raw = base64url.decode(parts[part])
        bit %= len(raw) * 8
        turned = (int.from_bytes(raw) ^ 1 << bit).to_bytes(len(raw))
        token = ".".join([*parts[:part], base64url.encode(turned), *parts[part + 1 :]])
        assert not judges.compare(token)

    check()


async def test_parts_of_several_tokens_mixed(judges):
    """Only the three parts of one token together are one."""
    tokens = [judges.auth.access_token(judges.session, audience=["orders", "x"][:n]) for n in (1, 1, 2)]
    parts = [token.split(".") for token in tokens]

    @many
    @given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=4))
    def check(picks):
        token = ".".join(parts[which][at] for which, at in picks)
        assert judges.compare(token) == (token in tokens)

    check()


async def test_claims_altered_and_signed_again(judges):
    """With the right key, so that only what is said can be wrong."""
    names = st.sampled_from([*judges.forge.body, "nbf", "crit", "extra", "ISS", ""])
    change = st.dictionaries(names, st.one_of(values, near, st.just(...)), min_size=1, max_size=3)

    @many
    @given(change)
    def check(changed):
        judges.compare(judges.forge.token(body=changed))

    check()


@pytest.mark.parametrize("name", ["exp", "iat", "nbf", "aud", "iss", "sub", "jti", "sid", "ver", "client_id"])
async def test_one_claim_altered_and_signed_again(judges, name):
    """Each claim by itself, with values near the right ones and far away."""

    @settings(many, max_examples=60)
    @given(st.one_of(values, near, st.lists(st.sampled_from(["orders", "billing", "order", 5]))))
    def check(value):
        judges.compare(judges.forge.token(body={name: value}))

    check()


async def test_a_header_altered_and_signed_again(judges):
    """With the right key, so that only what the header asks for can be wrong."""
    names = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5u", "x5c", "cty", "zip", "enc", ""])
    change = st.dictionaries(names, st.one_of(values, st.just(...)), min_size=1, max_size=3)

    @many
    @given(change)
    def check(changed):
        if judges.compare(judges.forge.token(header=changed)):
            header = {**judges.forge.header, **changed}
            assert all(header[name] == judges.forge.header[name] for name in ("alg", "kid"))
            assert all(header.get(name, ...) is ... for name in ("crit", "b64"))

    check()


async def test_any_json_as_header_and_body(judges):
    """Also what is no object at all."""

    @many
    @given(values, values)
    def check(header, body):
        raw_header, raw_body = (json.dumps(value).encode() for value in (header, body))
        assert not judges.compare(judges.forge.token(raw_header=raw_header))
        assert not judges.compare(judges.forge.token(raw_body=raw_body))

    check()


async def test_any_text_is_answered(judges):
    """Text and bytes of every kind are refused, and nothing raises."""

    @many
    @given(st.one_of(st.text(), st.binary(), st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")))
    def check(token):
        assert isinstance(judges.auth.verify(token, audience="orders"), Refused)

    check()


@pytest.mark.parametrize("signing", ["ES256", "Ed25519"])
async def test_others_verify_our_tokens_from_the_jwks(signing):
    """With the published set as it is, before and after a rotation; a key that was revoked is not in it."""
    async with Coatcheck("memory://", issuer=ISSUER, policy=Policy(signing=signing)) as auth:
        session = (await auth.sign_in("märia", claims={"roles": ["ädmin"]})).session
        tokens = [auth.access_token(session, audience=["orders", "billing"])]
        await auth.rotate_keys()
        tokens.append(auth.access_token(session, audience=["orders", "billing"]))
        assert len({jwt.get_unverified_header(token)["kid"] for token in tokens}) == 2
        published = json.loads(json.dumps(auth.jwks()))
        for token in tokens:
            ours = auth.verify(token, audience="orders").all
            theirs = jose.decode(token, KeySet.import_key_set(published), algorithms=[signing])
            assert theirs.claims == ours
            assert theirs.header == {"alg": signing, "kid": theirs.header["kid"], "typ": "at+jwt"}
            if signing == "ES256":
                key = jwt.PyJWKSet.from_dict(published)[theirs.header["kid"]]
                told = jwt.decode(token, key, algorithms=["ES256"], audience="orders", issuer=ISSUER)
                assert told == ours


async def test_the_jwks_says_no_more_than_it_should(judges):
    """Public members, one algorithm and one use for each key; never the private half."""
    for key in judges.auth.jwks()["keys"]:
        assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}
        assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")


async def test_what_joserfc_signs_with_our_key_we_verify(judges):
    """The same profile from another maker: nothing of ours depends on how the JSON was written."""
    registry = functools.partial(jws.serialize_compact, algorithms=["ES256"])
    body = json.dumps(judges.forge.body, indent=2, ensure_ascii=True).encode()
    token = registry(dict(reversed(judges.forge.header.items())), body, judges.forge.key.private)
    assert judges.compare(token)


async def test_what_pyjwt_signs_with_our_key_we_verify(judges):
    """As above."""
    private = judges.forge.key.private.as_pem(private=True)
    token = jwt.encode(judges.forge.body, private, algorithm="ES256", headers=judges.forge.header)
    assert judges.compare(token)


async def test_pyjwt_with_the_wrong_key_is_refused(judges):
    """Any other P-256 key, under our kid."""
    from cryptography.hazmat.primitives.asymmetric import ec

    token = jwt.encode(
        judges.forge.body, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers=judges.forge.header
    )
    assert judges.theirs(token) is None
    assert judges.forge.why(token) is Reason.BAD_SIGNATURE
    assert base64.urlsafe_b64decode(token.split(".")[0] + "==")
