"""The decoder on tokens.json: what it reads, where it says that a token breaks, what is wrong, which signature fits."""

import json
import shutil
import subprocess
import warnings
from pathlib import Path

import jwt
import pytest
from tests.tools.vectors import BY_NAME, KEYS, NOW, TOKENS, each

NODE = Path(__file__).parent.parent / "node"
FORMATS = ("text", "base64", "base64url", "hex")
SUBTLE = {"subtle": True}


@pytest.fixture(scope="module")
def read(call):
    """Reads a token: what it is, with header and payload as values."""

    def do(token):
        found = call("jwt/read.mjs", "read", token)
        for part in ("header", "payload"):
            found[f"{part}_value"] = found[part] and call("shared/json.mjs", "plain", found[part])
        return found

    return do


@pytest.fixture(scope="module")
def verify(call, read):
    """Says whether a signature fits what somebody pasted as the key."""

    def do(token, key, *, form="text"):
        found = call("jwt/read.mjs", "read", token)
        alg = (call("shared/json.mjs", "plain", found["header"]) or {}).get("alg") if found["header"] else None
        options = {"format": form, "isSecret": str(alg).startswith("HS")}
        keys = call("jwt/keys.mjs", "readKeys", key if isinstance(key, str) else json.dumps(key), options)
        if keys["problem"]:
            return {"verdict": "cannot", "text": keys["problem"], "title": "", "notes": []}
        outcome = call("jwt/verify.mjs", "verify", found, keys["keys"], SUBTLE)
        return outcome | {"notes": keys["notes"] + outcome["notes"]}

    return do


@each()
def test_what_is_read(read, vector):
    """Kind, header and payload; and the very place where it breaks."""
    found = read(vector["token"])
    assert found["kind"] == vector["kind"]
    assert found["header_value"] == vector["header"]
    assert found["payload_value"] == vector["payload"]
    trouble = found["trouble"] or {"code": None, "at": None}
    assert trouble["code"] == vector["trouble"]
    if vector.get("at") is not None:
        assert trouble["at"] == vector["at"]


@each()
def test_what_is_wrong(call, read, vector):
    """Every finding, and nothing else; the worst first."""
    found = call("jwt/findings.mjs", "findings", read(vector["token"]), NOW)
    assert sorted(one["code"] for one in found) == sorted(vector["findings"])
    rank = ["danger", "warn", "note"]
    assert found == sorted(found, key=lambda one: rank.index(one["level"]))
    for one in found:
        assert one["title"] and one["text"]


def test_the_worst_first(call, read):
    """Not signed comes before everything else that is wrong with it."""
    head, body = (jwt.utils.base64url_encode(json.dumps(part).encode()).decode() for part in (
        {"alg": "none"}, {"email": "a@example.com"}
    ))  # fmt: skip
    codes = [one["code"] for one in call("jwt/findings.mjs", "findings", read(f"{head}.{body}."), NOW)]
    assert codes[0] == "alg_none"
    assert codes == ["alg_none", "no_exp", "no_aud", "no_iss", "personal_claim", "no_typ", "no_sub"]


def test_a_finding_repeats_no_value(call, read):
    """Findings are read out and copied into tickets: a secret that was found is not in them."""
    found = call("jwt/findings.mjs", "findings", read(BY_NAME["a secret in it"]["token"]), NOW)
    assert "hunter2" not in json.dumps(found)


@each(lambda one: one["verdict"])
def test_which_signature_fits(verify, vector):
    """With the right key, and what comes of a wrong one."""
    key = KEYS[vector["key"]]
    form = "base64url" if "base64url" in key else "text"
    assert verify(vector["token"], key.get("pem") or key["base64url"], form=form)["verdict"] == vector["verdict"]


GOOD = [one["name"] for one in TOKENS if one["verdict"] == "fits" and one["name"] == one["header"]["alg"]]


@pytest.mark.parametrize("name", GOOD)
def test_a_key_in_every_form(verify, name):
    """PEM, PKCS #1, certificate, JWK, JWKS; a secret as text, hex, base64, base64url. Another key fits in no form."""
    vector = BY_NAME[name]
    forms = KEYS[vector["key"]]
    assert len(forms) >= 4
    for form, key in forms.items():
        assert verify(vector["token"], key, form=form if form in FORMATS else "text")["verdict"] == "fits", form
        pem = key if isinstance(key, str) and "BEGIN" in key else None
        if pem:
            assert verify(vector["token"], pem.replace("\n", "\\n"))["verdict"] == "fits"
            assert verify(vector["token"], "".join(pem.splitlines()[1:-1]))["verdict"] in ("fits", "cannot")
    other = KEYS["other"] if vector["key"] != "hs" else KEYS["rfc7515"]
    for key in other.values():
        assert verify(vector["token"], key, form="base64url")["verdict"] != "fits"


def test_the_kid_decides(verify):
    """In a set the key of the token's kid is taken; where none has it, that is said."""
    token = BY_NAME["ES256"]["token"]
    ours, other = ({**KEYS[name]["jwk"], "kid": name} for name in ("p256", "other"))
    assert verify(token, {"keys": [other, ours]})["verdict"] == "fits"
    swapped = {"keys": [{**other, "kid": "p256"}, {**ours, "kid": "other"}]}
    assert verify(token, swapped)["verdict"] == "differs"
    without = verify(token, {"keys": [{**ours, "kid": "last year"}]})
    assert without["verdict"] == "fits"
    assert "rotated" in without["notes"][0]


def test_a_key_is_for_one_algorithm(verify):
    """A public key is no secret, a key for another algorithm is not tried, and neither is one of another kind."""
    confused = verify(BY_NAME["a public key as the secret"]["token"], KEYS["rsa"]["pem"])
    assert confused["verdict"] == "cannot"
    assert "shared secret" in confused["text"]
    for_ps = {**KEYS["rsa"]["jwk"], "alg": "PS256"}
    assert verify(BY_NAME["RS256"]["token"], for_ps)["verdict"] == "cannot"
    assert verify(BY_NAME["PS256"]["token"], for_ps)["verdict"] == "fits"
    assert verify(BY_NAME["ES256"]["token"], KEYS["p384"]["pem"])["verdict"] == "cannot"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----", "private key"),
        ("-----BEGIN EC PRIVATE KEY-----\nMC4C\n-----END EC PRIVATE KEY-----", "private key"),
        ("-----BEGIN PUBLIC KEY-----\nMC4C", "END"),
        ("-----BEGIN PUBLIC KEY-----\nMC4C\n-----END PUBLIC KEY-----", "cannot be read"),
        ("-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----", "not base64"),
        ("-----BEGIN CERTIFICATE-----\nMAMwATA=\n-----END CERTIFICATE-----", "cannot be read"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI maria@example", "SSH"),
        ("https://auth.example.com/.well-known/jwks.json", "asks nobody"),
        ('{"keys": []}', "no key in this set"),
        ('{"a": 1}', "neither a JWK"),
        ('{"kty": ', "no JSON"),
    ],
)
def test_what_is_no_key(verify, key, said):
    """Each is told in words, and none makes a verdict about the token."""
    outcome = verify(BY_NAME["ES256"]["token"], key)
    assert outcome["verdict"] == "cannot"
    assert said in outcome["text"]


def test_a_private_jwk_is_used_by_its_public_half(verify):
    """And said to be private."""
    key = {**KEYS["p256"]["jwk"], "d": "c2VjcmV0"}
    outcome = verify(BY_NAME["ES256"]["token"], key)
    assert outcome["verdict"] == "fits"
    assert "private" in outcome["notes"][0]


# --- the same as others ---


def pyjwt_reads(token):
    """Header and payload as PyJWT reads them, or None."""
    try:
        found = jwt.decode_complete(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return None, None
    return found["header"], found["payload"]


def pyjwt_fits(token, key, alg):
    """Whether PyJWT takes the signature."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the length of secrets
            jwt.PyJWS().decode(token, key, algorithms=[alg])
    except (jwt.PyJWTError, NotImplementedError):
        return False
    return True


def secret_of(forms):
    """A key as PyJWT takes it."""
    return forms.get("pem") or jwt.utils.base64url_decode(forms["base64url"])


@each(lambda one: one["kind"] != "jwe")
def test_pyjwt_reads_the_same(vector):
    """What we read, PyJWT reads, and what we do not, it does not; or it is said why."""
    ours = (vector["header"], vector["payload"]) if is_readable(vector) else (None, None)
    agrees = pyjwt_reads(vector["token"]) == ours
    assert agrees == ("pyjwt reads" not in vector["others"])


@each(lambda one: one["verdict"])
def test_pyjwt_verifies_the_same(vector):
    """Its verdict is ours."""
    alg = vector["header"].get("alg", "ES256")
    fits = pyjwt_fits(vector["token"], secret_of(KEYS[vector["key"]]), alg)
    assert (fits == (vector["verdict"] == "fits")) == ("pyjwt fits" not in vector["others"])


def is_readable(vector):
    """Whether header and payload are what a JWT has, with nothing broken."""
    return vector["kind"] == "jws" and not vector["trouble"] and isinstance(vector["payload"], dict)


@pytest.fixture(scope="module")
def jose(node):
    """What jose makes of all of them."""
    if not (NODE / "node_modules" / "jose").exists():
        pytest.skip("jose is not installed, there is no npm here")
    told = [
        {
            "token": one["token"],
            "alg": (one["header"] or {}).get("alg", "ES256"),
            "key": one["verdict"]
            and {name: KEYS[one["key"]][name] for name in ("pem", "jwk") if name in KEYS[one["key"]]},
        }
        for one in TOKENS
    ]
    ran = subprocess.run(
        [node, "--no-warnings", "tokens.mjs"],
        cwd=NODE,
        input=json.dumps(told),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return {one["name"]: said for one, said in zip(TOKENS, json.loads(ran.stdout), strict=True)}


@each(lambda one: one["kind"] != "jwe")
def test_jose_reads_the_same(jose, vector):
    """As for PyJWT."""
    said = jose[vector["name"]]
    ours = vector["payload"] if is_readable(vector) else None
    assert (said["payload"] == ours) == ("jose reads" not in vector["others"])


@each(lambda one: one["verdict"])
def test_jose_verifies_the_same(jose, vector):
    """Its verdict is ours."""
    said = jose[vector["name"]]
    assert (said["fits"] == (vector["verdict"] == "fits")) == ("jose fits" not in vector["others"])


def test_node_is_where_npm_is():
    """What was skipped was skipped for a reason."""
    assert shutil.which("npm") is None or shutil.which("node")
