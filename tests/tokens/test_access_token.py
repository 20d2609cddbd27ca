"""Each rule of the access token, each with a token made by hand and signed with the right key: it is all but right."""

import base64
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.tokens.forge import GONE, ISSUER, Forge, b64

from coatcheck import Claims, Coatcheck, ConfigError, InvalidInput, Policy, Reason, Refused
from coatcheck.clock import DAY, HOUR
from coatcheck.policy import RESERVED_CLAIMS
from coatcheck.tokens import base64url
from coatcheck.tokens.access_token import LONGEST, LONGEST_MINTED
from coatcheck.tokens.keys import LEEWAY_S

P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.fixture
def policy():
    return Policy()


@pytest.fixture
async def auth(clock, policy):
    async with Coatcheck("memory://", issuer=ISSUER, policy=policy, clock=clock) as engine:
        yield engine


@pytest.fixture
async def session(auth):
    return (await auth.sign_in("maria", claims={"roles": ["admin"]}, amr=("pwd",))).session


@pytest.fixture
def forge(auth, session):
    made = Forge(auth, session)
    assert made.of() is None, "the hand-made token is right before anything in it is wrong"
    return made


# --- what is minted ---


def test_a_token_says_what_rfc_9068_asks_for(forge, session, clock):
    """Header and claims, exactly; nothing of the session but its roles."""
    assert forge.header == {"alg": "ES256", "kid": forge.key.kid, "typ": "at+jwt"}
    jti = forge.body.pop("jti")
    assert len(base64url.decode(jti)) == 16
    assert forge.body == {
        "iss": ISSUER,
        "sub": "maria",
        "aud": "orders",
        "exp": clock.now() + 900,
        "iat": clock.now(),
        "client_id": "browser",
        "sid": session.sid,
        "ver": 1,
        "auth_time": clock.now(),
        "amr": ["pwd"],
        "roles": ["admin"],
    }


def test_what_is_said_comes_back(forge, auth, session):
    """Claims carries it all, typed."""
    claims = auth.verify(forge.genuine, audience="orders")
    assert isinstance(claims, Claims)
    assert (claims.sub, claims.sid, claims.version, claims.audience) == ("maria", session.sid, 1, ("orders",))
    assert claims.all == forge.body
    assert claims.kid == forge.key.kid


def test_no_two_tokens_are_alike(auth, session):
    """Of a hundred for one session each has a jti of its own, and signatures have one length."""
    tokens = [auth.access_token(session, audience="orders") for _ in range(100)]
    assert len({json.loads(base64url.decode(token.split(".")[1]))["jti"] for token in tokens}) == 100
    assert {len(base64url.decode(token.split(".")[2])) for token in tokens} == {64}


# --- header ---


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "noNE", "nOnE", "", "ES256 ", "es256", "EdDSA", "HS256"])
@pytest.mark.parametrize("signature", [None, b"\0", b"\0" * 64])
def test_another_algorithm_than_the_keys_is_refused(forge, alg, signature):
    """Whatever the header says, also when the signature would be right."""
    assert forge.of(header={"alg": alg}, signature=signature) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("alg", ["none", "noNE"])
def test_alg_none_without_a_signature_is_refused(forge, alg):
    """Two dots and nothing behind them."""
    assert forge.why(forge.token(header={"alg": alg}).rsplit(".", 1)[0] + ".") is Reason.MALFORMED


def public_forms(key):
    """Each text or bytes that somebody has taken for an HMAC secret (CVE-2022-29217 and its heirs)."""
    public = key.public.get_op_key("verify")
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    yield from (pem, pem.strip(), b"\n " + pem, public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    yield public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    yield public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    yield from (key.row.public, b"", key.kid.encode())


@pytest.mark.parametrize(("alg", "digest"), [("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")])
def test_the_public_key_is_no_secret(forge, alg, digest):
    """A token signed by HMAC with the public key, in each of its encodings, is refused."""
    signed = forge.token(header={"alg": alg}).rsplit(".", 1)[0]
    for secret in public_forms(forge.key):
        for token in (signed, forge.genuine.rsplit(".", 1)[0]):
            mac = hmac.digest(secret, token.encode(), digest)
            assert forge.why(f"{token}.{b64(mac)}") is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("kid", ["", "x", "../../dev/null", "/dev/null", "x' UNION SELECT '1';--", "|sleep 10", "é"])
def test_an_unknown_kid_is_refused(forge, kid):
    """A kid is a name to look up in memory and nothing else."""
    assert forge.of(header={"kid": kid}) is Reason.UNKNOWN_KEY


@pytest.mark.parametrize("kid", [GONE, None, 5, True, ["x"], {"x": 1}], ids=repr)
@pytest.mark.parametrize("name", ["kid", "alg", "typ"])
def test_a_header_without_text_where_text_belongs_is_refused(forge, name, kid):
    """Left out, null, a number, a list."""
    assert forge.of(header={name: kid}) is Reason.MALFORMED


@pytest.mark.parametrize(
    "typ", ["", "JWT", "jwt", "at+jwt ", "at", "secevent+jwt", "logout+jwt", "dbsc+jwt", "text/at+jwt", "JOSE"]
)
def test_another_type_of_token_is_refused(forge, typ):
    """A token made for something else is not an access token, whoever signed it."""
    assert forge.of(header={"typ": typ}) is Reason.WRONG_TYPE


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "AT+JWT", "Application/At+Jwt"])
def test_the_type_is_a_media_type(forge, typ):
    """With or without application/, in any case (RFC 8725bis; RFC 2045, section 5.1)."""
    assert forge.of(header={"typ": typ}) is None


@pytest.mark.parametrize("crit", [["x"], ["exp"], ["b64"], [], "x", None, True, {}, ["alg", "alg"]], ids=repr)
def test_crit_is_refused(forge, crit):
    """No extension is understood, and an ill-formed list is no better (CVE-2025-59420)."""
    assert forge.of(header={"crit": crit}) is Reason.MALFORMED


@pytest.mark.parametrize("b64_", [False, True, None, "false"], ids=repr)
def test_b64_is_refused(forge, b64_):
    """The body is base64url, whatever RFC 7797 offers."""
    assert forge.of(header={"b64": b64_}) is Reason.MALFORMED


def test_keys_in_the_header_are_never_used(forge):
    """A token signed by its own jwk, or that says where its key is, is judged by the kid's key alone."""
    from joserfc.jwk import ECKey

    mine = ECKey.generate_key("P-256", private=True)
    jwk = mine.as_dict(private=False)
    extras = {"jwk": jwk, "jku": "https://evil.example/jwks.json", "x5u": "https://evil.example/x.pem", "x5c": ["MII="]}
    for header in ({**extras}, {"jwk": jwk}, {"jwk": {**jwk, "kid": forge.key.kid}}):
        signed = forge.token(header=header).rsplit(".", 1)[0]
        signature = forge.key.model.sign(signed.encode(), mine)
        assert forge.why(f"{signed}.{b64(signature)}") is Reason.BAD_SIGNATURE
        assert forge.of(header={**header, "kid": "mine"}) is Reason.UNKNOWN_KEY
        assert forge.of(header=header) is None


async def test_another_key_of_ours_does_not_sign_for_this_one(forge, auth):
    """The kid names one key, and only that one is tried."""
    await auth.rotate_keys()
    signed = forge.genuine.rsplit(".", 1)[0]
    assert forge.why(forge.genuine) is None
    other = auth._tokens.keyring.keys.signer(auth.clock.now())
    assert other.kid != forge.key.kid
    assert forge.why(f"{signed}.{b64(other.sign(signed.encode()))}") is Reason.BAD_SIGNATURE


# --- form ---


def test_only_the_compact_form_is_read(forge):
    """The JSON serialisations, a polyglot of both, and bytes are not tokens (CVE-2022-39227)."""
    head, body, signature = forge.genuine.split(".")
    flat = {"protected": head, "payload": body, "signature": signature}
    general = {"payload": body, "signatures": [{"protected": head, "signature": signature}]}
    polyglot = f'{{"{head}.{body}.{signature}":"","protected":"{head}","payload":"{body}","signature":"{signature}"}}'
    for token in (json.dumps(flat), json.dumps(general), polyglot, forge.genuine.encode(), None, 5, [forge.genuine]):
        assert forge.why(token) is Reason.MALFORMED


def test_exactly_three_parts(forge):
    """Fewer, more, empty ones, and the five of an encrypted token are refused."""
    head, body, signature = parts = forge.genuine.split(".")
    wrong = [
        "",
        ".",
        "..",
        "." * 1000,
        head,
        f"{head}.{body}",
        f"{head}.{body}.",
        f"{head}..{signature}",
        f".{body}.{signature}",
        f"{forge.genuine}.",
        f".{forge.genuine}",
        f"{forge.genuine}.{signature}",
        f"{head}.AA.AA.AA.AA",
        "".join(parts),
        f"{head}.{body}{signature}",
    ]
    assert [forge.why(token) for token in wrong] == [Reason.MALFORMED] * len(wrong)


@pytest.mark.parametrize(
    "letter", [" ", "\n", "\r\n", "\t", "=", "==", "+", "/", "\0", "é", "\u200b", "\u0660", "%", ","]
)
def test_no_other_letter_anywhere(forge, letter):
    """White space, padding, the letters of plain base64: at the start, at the end and in each part."""
    token = forge.genuine
    first, second = token.index("."), token.rindex(".")
    for at in (0, 5, first, first + 1, second, second + 1, len(token) - 1, len(token)):
        assert forge.why(token[:at] + letter + token[at:]) is Reason.MALFORMED


def test_one_text_for_each_part(forge):
    """A last letter whose spare bits are set decodes to the same bytes, and is refused, in every part."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    seen = set()
    for pad in range(6):
        token = forge.token(header={"pad": "x" * pad}, body={"pad": "x" * pad})
        assert forge.why(token) is None
        parts = token.split(".")
        for at, part in enumerate(parts):
            spare = {0: 0, 2: 4, 3: 2}[len(part) % 4]
            for bits in range(1, 2**spare):
                twin = part[:-1] + alphabet[alphabet.index(part[-1]) + bits]
                assert base64.urlsafe_b64decode(twin + "==") == base64url.decode(part)
                altered = ".".join([*parts[:at], twin, *parts[at + 1 :]])
                assert forge.why(altered) is Reason.MALFORMED
                seen.add(at)
    assert seen == {0, 1, 2}


def test_eight_kib_and_no_more(forge):
    """At the limit a token is read, at one letter more it is not."""
    spare = LONGEST - len(forge.token(body={"pad": ""}))
    lengths = set()
    for size in range(spare * 3 // 4 - 4, spare * 3 // 4 + 5):
        token = forge.token(body={"pad": "x" * size})
        lengths.add(len(token) - LONGEST)
        assert forge.why(token) is (Reason.MALFORMED if len(token) > LONGEST else None)
    assert min(lengths) < 0 < max(lengths)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"5",
        b"\xff\xfe",
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'{"sub":"\xff"}',
        b'{"sub":"\\ud800"}',
        b'{"exp":NaN}',
        b'{"exp":Infinity}',
        b'{"exp":1e400}',
        b"{'a':1}",
        b'{"a":1}{"a":1}',
        b'{"a":1,}',
    ],
)
def test_what_is_not_a_json_object_in_utf8_is_refused(forge, raw):
    """In the header and in the body, with the right signature."""
    for token in (forge.token(raw_header=raw), forge.token(raw_body=raw)):
        assert forge.why(token) is Reason.MALFORMED


def nested(members, name, depth):
    """JSON of *members* and one more that is nested."""
    return json.dumps(members).encode()[:-1] + f', "{name}":'.encode() + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize("depth", [100, 900, 1100, 1300, 1500, 1700, 2000, 2500])
@pytest.mark.parametrize("name", ["x", "crit", "kid", "jwk"])
def test_a_deeply_nested_header_is_an_answer_and_no_crash(forge, name, depth):
    """Nothing that anybody can send without a key raises."""
    raw = nested({key: value for key, value in forge.header.items() if key != name}, name, depth)
    assert forge.why(forge.token(raw_header=raw, signature=b"\0" * 64)) in (Reason.MALFORMED, Reason.BAD_SIGNATURE)


def test_a_deeply_nested_body_is_an_answer_and_no_crash(forge):
    """Not even with a right signature."""
    for depth in (900, 1500, 2500):
        assert forge.of(raw_body=nested(forge.body, "x", depth)) in (None, Reason.MALFORMED)


def test_of_members_named_twice_the_last_counts(forge):
    """As RFC 7515, section 4, allows: the last, and only the last, as every other parser here reads it."""

    def twice(members, name, value):
        return json.dumps(members).encode()[:-1] + f", {json.dumps(name)}: {json.dumps(value)}}}".encode()

    assert forge.of(raw_header=twice(forge.header, "alg", "none")) is Reason.BAD_SIGNATURE
    assert forge.of(raw_header=twice({**forge.header, "alg": "none"}, "alg", "ES256")) is None
    assert forge.of(raw_header=twice(forge.header, "kid", "x")) is Reason.UNKNOWN_KEY
    assert forge.of(raw_header=twice({"crit": [], **forge.header}, "x", 1)) is Reason.MALFORMED
    assert forge.of(raw_body=twice(forge.body, "exp", 5)) is Reason.EXPIRED
    assert forge.of(raw_body=twice(forge.body, "aud", "billing")) is Reason.WRONG_AUDIENCE
    assert forge.of(raw_body=twice(forge.body, "iss", "x")) is Reason.WRONG_ISSUER
    found = forge.auth.verify(forge.token(raw_body=twice(forge.body, "sub", "eve")), audience="orders")
    assert found.sub == found.all["sub"] == "eve"


# --- signature ---


@pytest.mark.parametrize(
    "signature",
    [
        b"\0" * 64,
        b"\0" * 63 + b"\1",
        b"\0" * 31 + b"\1" + b"\0" * 32,
        P256.to_bytes(32) * 2,
        (P256 + 1).to_bytes(32) * 2,
        b"\xff" * 64,
        b"\0",
        b"\0" * 63,
        b"\0" * 65,
        b"\0" * 128,
    ],
    ids=lambda raw: f"{len(raw)} {raw[:1].hex()} {raw[-1:].hex()}",
)
def test_a_signature_of_nothing_is_refused(forge, signature):
    """Zero and zero (CVE-2022-21449), numbers past the order of the curve, other lengths."""
    assert forge.of(signature=signature) is Reason.BAD_SIGNATURE


def test_a_signature_in_another_encoding_is_refused(forge):
    """DER, r and s swapped, one zero more in front of each."""
    signed, _, text = forge.genuine.rpartition(".")
    raw = base64url.decode(text)
    r, s = raw[:32], raw[32:]
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    der = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
    assert decode_dss_signature(der) == (int.from_bytes(r), int.from_bytes(s))
    for wrong in (der, s + r, b"\0" + r + b"\0" + s, r + s + b"\0", raw[:-1]):
        assert forge.why(f"{signed}.{b64(wrong)}") is Reason.BAD_SIGNATURE


def malleated(token):
    """The same claims under the twin of the signature, n - s."""
    signed, _, text = token.rpartition(".")
    raw = base64url.decode(text)
    return f"{signed}.{b64(raw[:32] + (P256 - int.from_bytes(raw[32:])).to_bytes(32))}"


async def test_a_revoked_token_stays_refused_under_its_twin(forge, auth, session):
    """Anybody can make another text with a right signature from a token; it is the session that is looked up."""
    twin = malleated(forge.genuine)
    assert twin != forge.genuine
    assert forge.why(twin) in (None, Reason.BAD_SIGNATURE)
    await auth.revoke(session.sid)
    assert forge.why(forge.genuine) is Reason.REVOKED
    assert forge.why(twin) in (Reason.REVOKED, Reason.BAD_SIGNATURE)
    assert forge.why(malleated(forge.token(body={"jti": "other"}))) in (Reason.REVOKED, Reason.BAD_SIGNATURE)


def test_every_bit_of_a_signature_counts(forge):
    """With any one bit turned it is another signature."""
    signed, _, text = forge.genuine.rpartition(".")
    raw = int.from_bytes(base64url.decode(text))
    for bit in range(0, 512, 7):
        assert forge.why(f"{signed}.{b64((raw ^ 1 << bit).to_bytes(64))}") is Reason.BAD_SIGNATURE


def test_remembering_one_token_accepts_no_other(forge):
    """A token that differs from a remembered one in claims, signature or header only is judged anew."""
    other = Forge(forge.auth, forge.auth._memory._cache.of(forge.body["sid"]).session)
    assert forge.why(forge.genuine) is None
    assert forge.why(other.genuine) is None
    a, b = forge.genuine.split("."), other.genuine.split(".")
    for mixed in ((a[0], a[1], b[2]), (a[0], b[1], a[2])):
        assert forge.why(".".join(mixed)) is Reason.BAD_SIGNATURE


# --- claims ---


@pytest.mark.parametrize(
    "iss",
    [
        GONE,
        None,
        "",
        ISSUER + "/",
        ISSUER[:-1],
        ISSUER.upper(),
        "http" + ISSUER[5:],
        [ISSUER],
        {"iss": ISSUER},
        5,
        "_a",
    ],
    ids=repr,
)
def test_the_issuer_is_compared_exactly(forge, iss):
    """Not a prefix, not a substring, not a list (CVE-2024-53861)."""
    assert forge.of(body={"iss": iss}) is Reason.WRONG_ISSUER


@pytest.mark.parametrize("aud", ["billing", "order", "orderss", "ORDERS", "xordersx", ["billing"], ["order", "s"]])
def test_another_audience_is_refused(forge, aud):
    """Names are compared whole."""
    assert forge.of(body={"aud": aud}) is Reason.WRONG_AUDIENCE


@pytest.mark.parametrize("aud", [GONE, None, [], 5, True, {"orders": 1}, ["orders", 5], ["orders", None], [["orders"]]])
def test_an_audience_that_is_no_text_is_refused(forge, aud):
    """Left out, empty, a number, an object with our name as its key."""
    assert forge.of(body={"aud": aud}) is Reason.MALFORMED


@pytest.mark.parametrize("aud", ["orders", ["orders"], ["billing", "orders"]])
def test_our_name_among_the_audience_is_enough(forge, aud):
    """As text or in a list."""
    assert forge.of(body={"aud": aud}) is None


TIMES = [None, 1.5, 1e9, "1800000000", "", True, False, -1, -(2**63), 2**53, 2**63, 2**64, 10**30, [1], {"x": 1}]


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("at", TIMES, ids=repr)
def test_a_time_is_a_whole_number_of_seconds(forge, name, at):
    """Not a float, a text, a boolean, a negative or a huge number."""
    assert forge.of(body={name: at}) is Reason.MALFORMED


@pytest.mark.parametrize("name", ["exp", "iat", "aud", "iss", "sub", "client_id", "jti", "sid", "ver"])
def test_what_every_token_has_may_not_be_missing(forge, name):
    """RFC 9068, section 2.2, and the session with its version: without them nothing could be revoked."""
    assert forge.of(body={name: GONE}) in (Reason.MALFORMED, Reason.WRONG_ISSUER)


def test_nbf_may_be_missing(forge):
    """RFC 9068 does not ask for it."""
    assert "nbf" not in forge.body


@pytest.mark.parametrize("name", ["sub", "client_id", "jti", "sid"])
@pytest.mark.parametrize("value", [None, "", 5, True, ["maria"], {"maria": 1}], ids=repr)
def test_a_name_is_text(forge, name, value):
    """Anything else is refused before anybody looks it up."""
    assert forge.of(body={name: value}) is Reason.MALFORMED


@pytest.mark.parametrize("value", [None, "1", 1.0, True, [1]], ids=repr)
def test_a_version_is_a_whole_number(forge, value):
    """True is not version 1."""
    assert forge.of(body={"ver": value}) is Reason.MALFORMED


def test_at_its_last_second_a_token_is_over(forge, clock):
    """No leeway for exp, however the token is known already."""
    token = forge.token(body={"exp": clock.now() + 1})
    assert forge.why(token) is None
    assert forge.of(body={"exp": clock.now()}) is Reason.EXPIRED
    assert forge.of(body={"exp": clock.now() - 1}) is Reason.EXPIRED
    assert forge.of(body={"exp": 0}) is Reason.EXPIRED
    clock.advance(1)
    assert forge.why(token) is Reason.EXPIRED


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_iat_and_nbf_have_a_leeway(forge, clock, name):
    """Clocks differ by a minute; a second more is too much, and time cures it."""
    late = forge.token(body={name: clock.now() + LEEWAY_S + 1})
    assert forge.of(body={name: clock.now() + LEEWAY_S}) is None
    assert forge.why(late) is Reason.NOT_YET_VALID
    clock.advance(1)
    assert forge.why(late) is None


def test_one_audience_is_asked_about(auth, forge):
    """A service is one audience: several at once would have to mean any, or all."""
    with pytest.raises(InvalidInput, match="audience"):
        auth.verify(forge.genuine, audience=["orders", "billing"])


# --- minting: what goes in, and for how long ---


async def test_session_claims_take_no_reserved_place(auth):
    """Claims of a session that are called like those of tokens stay in the session."""
    evil = dict.fromkeys(sorted(RESERVED_CLAIMS), "evil")
    session = (await auth.sign_in("maria", claims={**evil, "roles": ["member"]})).session
    said = auth.verify(auth.access_token(session, audience="orders"), audience="orders").all
    assert "evil" not in said.values()
    assert said["sub"] == "maria"


@pytest.mark.parametrize("name", sorted(RESERVED_CLAIMS | {"th", "sxp"}))
def test_no_policy_names_a_reserved_claim(name):
    """It is refused when the policy is built, by name; also "th" and "sxp", of the token in the cookie."""
    with pytest.raises(ConfigError, match="access_claims"):
        Policy(access_claims={"orders": ("roles", name)})


async def test_a_policy_changed_in_place_overrides_nothing(clock):
    """A mapping that its owner changes after the policy was checked reaches no token."""
    chosen = {"*": ("roles",)}
    policy = Policy(access_claims=chosen)
    chosen["*"] = ("sub", "sid", "exp")
    async with Coatcheck("memory://", issuer=ISSUER, policy=policy, clock=clock) as auth:
        session = (await auth.sign_in("maria", claims={"sub": "eve", "sid": "x", "exp": 2**40})).session
        found = auth.verify(auth.access_token(session, audience="orders"), audience="orders")
        assert (found.sub, found.sid, found.expires_at) == ("maria", session.sid, clock.now() + 900)


async def test_each_audience_sees_its_own_claims(clock):
    """As the policy says; several audiences see what each of them may see; "*" is for those not named."""
    policy = Policy(access_claims={"orders": ("roles", "shop"), "billing": ("roles", "vat"), "*": ()})
    async with Coatcheck("memory://", issuer=ISSUER, policy=policy, clock=clock) as auth:
        claims = {"roles": ["r"], "shop": 1, "vat": 2, "private": 3}
        session = (await auth.sign_in("maria", claims=claims)).session

        def seen(*audience):
            said = auth.verify(auth.access_token(session, audience=audience), audience=audience[0]).all
            return set(said) & set(claims)

        assert seen("orders") == {"roles", "shop"}
        assert seen("billing") == {"roles", "vat"}
        assert seen("orders", "billing") == {"roles"}
        assert seen("other") == seen("orders", "other") == set()


async def test_a_token_for_several_is_good_for_each(auth, session):
    """And for nobody else."""
    token = auth.access_token(session, audience=("orders", "billing"))
    assert isinstance(auth.verify(token, audience="orders"), Claims)
    assert isinstance(auth.verify(token, audience="billing"), Claims)
    assert auth.verify(token, audience="others") == Refused(Reason.WRONG_AUDIENCE)


async def test_session_data_never_go_into_a_token(auth, session):
    """Whatever a policy names: data are the server's."""
    await auth.update_data(session.sid, set={"roles": "data", "cart": [1]})
    token = (await auth.issue_refresh(session, client_id="cli", audience="orders")).access_token
    said = auth.verify(token, audience="orders").all
    assert said["roles"] == ["admin"] and "cart" not in said


async def test_a_token_that_is_too_long_names_the_largest_claim(clock):
    """Above 2,048 bytes nothing is signed, and the claim to blame is named but not shown."""
    policy = Policy(access_claims={"*": ("a", "big", "c")})
    async with Coatcheck("memory://", issuer=ISSUER, policy=policy, clock=clock) as auth:
        session = (await auth.sign_in("maria", claims={"a": "x" * 300, "big": "secret" * 200, "c": 1})).session
        with pytest.raises(InvalidInput, match=r"claims\['big'\]") as caught:
            auth.access_token(session, audience="orders")
        assert "secret" not in str(caught.value)
        with pytest.raises(InvalidInput, match=r"claims\['big'\]"):
            await auth.issue_refresh(session, client_id="cli", audience="orders")


async def test_the_longest_token_that_is_minted_is_verified(clock):
    """Up to 2,048 bytes, those included."""
    async with Coatcheck("memory://", issuer=ISSUER, clock=clock) as auth:
        lengths = []
        for size in range(1180, 1300, 1):
            session = (await auth.sign_in("maria", claims={"roles": "x" * size})).session
            try:
                token = auth.access_token(session, audience="orders")
            except InvalidInput:
                break
            lengths.append(len(token))
            assert isinstance(auth.verify(token, audience="orders"), Claims)
        assert LONGEST_MINTED - 2 <= lengths[-1] <= LONGEST_MINTED


async def test_a_token_lives_no_longer_than_the_policy_says(auth, session, clock):
    """What is asked for can only be less."""
    for asked, lifetime in ((None, 900), (60, 60), (900, 900), (901, 900), (10**6, 900)):
        found = auth.verify(auth.access_token(session, audience="orders", lifetime_s=asked), audience="orders")
        assert found.expires_at == clock.now() + lifetime


@pytest.mark.parametrize("lifetime_s", [0, -1, 1.5, "60", True])
def test_a_lifetime_is_a_whole_number(auth, session, lifetime_s):
    """It is refused by name."""
    with pytest.raises(InvalidInput, match="lifetime_s"):
        auth.access_token(session, audience="orders", lifetime_s=lifetime_s)


def test_no_policy_lets_a_token_live_for_more_than_an_hour():
    """The log of revocations is kept for as long as that."""
    with pytest.raises(ConfigError, match="access_s"):
        Policy(access_s=HOUR + 1)


async def test_a_token_never_outlives_the_sessions_absolute_end(clock):
    """However busy the session was."""
    async with Coatcheck("memory://", issuer=ISSUER, policy=Policy(absolute_s=DAY, idle_s=DAY), clock=clock) as auth:
        started = await auth.sign_in("maria", absolute_s=1000)
        for waited, lifetime in ((0, 900), (500, 500), (499, 1)):
            clock.advance(waited)
            session = await auth.check(started.token)
            found = auth.verify(auth.access_token(session, audience="orders"), audience="orders")
            assert found.expires_at == clock.now() + lifetime
        clock.advance(1)
        assert auth.access_token(session, audience="orders") == Refused(Reason.EXPIRED)


async def test_a_token_never_outlives_the_sessions_idle_end(clock):
    """A session that is not used further is over by then, and so is its token."""
    async with Coatcheck("memory://", issuer=ISSUER, policy=Policy(absolute_s=DAY, idle_s=600), clock=clock) as auth:
        started = await auth.sign_in("maria")
        for waited, lifetime in ((0, 600), (599, 1)):
            clock.advance(waited)
            session = await auth.check(started.token, touch=False)
            found = auth.verify(auth.access_token(session, audience="orders"), audience="orders")
            assert found.expires_at == clock.now() + lifetime
        clock.advance(1)
        assert auth.access_token(started.session, audience="orders") == Refused(Reason.IDLE)


async def test_a_stricter_policy_of_today_holds_for_tokens_too(tmp_path, clock):
    """A session from before the policy was tightened gets no longer token than the new one allows."""
    url = f"sqlite:///{tmp_path}/coatcheck.db"
    async with Coatcheck(url, issuer=ISSUER, clock=clock) as auth:
        started = await auth.sign_in("maria")
    async with Coatcheck(url, issuer=ISSUER, policy=Policy(absolute_s=100, idle_s=50), clock=clock) as auth:
        session = await auth.check(started.token)
        assert auth.verify(auth.access_token(session, audience="x"), audience="x").expires_at == clock.now() + 50


async def test_a_session_without_a_subject_gets_no_token(auth):
    """A cart speaks for nobody."""
    started = await auth.start(data={"cart": 1})
    session = await auth.check(started.token)
    with pytest.raises(InvalidInput, match="subject"):
        auth.access_token(session, audience="orders")


@pytest.mark.parametrize("audience", ["", [], ["orders", "orders"], [5], 5, None, b"orders", "x" * 256, ["a"] * 17])
def test_an_audience_is_asked_for(auth, session, audience):
    """There is no token for everybody."""
    with pytest.raises(InvalidInput, match="audience"):
        auth.access_token(session, audience=audience)


async def test_without_an_issuer_there_are_no_tokens(clock):
    """Every method says so, and names the setting."""
    async with Coatcheck("memory://", clock=clock) as auth:
        session = (await auth.sign_in("maria")).session
        with pytest.raises(ConfigError, match="issuer"):
            auth.access_token(session, audience="orders")
        with pytest.raises(ConfigError, match="issuer"):
            auth.verify("x.y.z", audience="orders")
        with pytest.raises(ConfigError, match="issuer"):
            await auth.issue_refresh(session, client_id="cli", audience="orders")
        with pytest.raises(ConfigError, match="issuer"):
            auth.jwks()


async def test_a_session_in_memory_for_too_long_mints_nothing_unread(tmp_path, clock):
    """It is read again at least every 5 minutes, so that no fault of the log outlives that (design, section 5)."""
    async with Coatcheck(f"sqlite:///{tmp_path}/coatcheck.db", issuer=ISSUER, clock=clock) as auth:
        started = await auth.sign_in("maria")
        clock.advance(auth.policy.reread_s)
        assert auth.check_now(started.token) is None
        assert auth.access_token(started.session, audience="orders") == Refused(Reason.UNSURE)


async def test_the_digest_of_a_known_token_is_of_its_whole_text(forge):
    """What is remembered is found under SHA-256 of the text and under nothing shorter."""
    assert forge.why(forge.genuine) is None
    digest = hashlib.sha256(forge.genuine.encode()).digest()
    assert forge.auth._tokens.verifying.known.get(digest).all == forge.body


def test_nobody_changes_what_others_are_told(forge, auth):
    """What a token says is remembered and shared, so it is read-only: a role that one caller adds, no other sees."""
    claims = auth.verify(forge.genuine, audience="orders")
    with pytest.raises(TypeError, match="read-only"):
        claims.all["sub"] = "eve"
    with pytest.raises(TypeError, match="read-only"):
        claims.all["roles"].append("owner")
    assert auth.verify(forge.genuine, audience="orders").all == forge.body
    assert type(claims.all) is not dict and json.loads(json.dumps(claims.all)) == forge.body


async def test_memory_of_verified_tokens_is_bounded(clock):
    """The oldest goes first, and is still accepted when it comes back."""
    async with Coatcheck("memory://", issuer=ISSUER, policy=Policy(cached_tokens=3), clock=clock) as auth:
        session = (await auth.sign_in("maria")).session
        tokens = [auth.access_token(session, audience="orders") for _ in range(5)]
        for token in [*tokens, tokens[0]]:
            assert isinstance(auth.verify(token, audience="orders"), Claims)
            assert len(auth._tokens.verifying.known) <= 3
