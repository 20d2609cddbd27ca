"""
Makes tokens.json: good, odd and broken tokens, and what is to be said of each. Run it to add one; keys are made anew.

    PYTHONPATH=. python -m tests.tools.make_vectors

What PyJWT and jose make of them is not written down where they agree with us; where they do not, ``others`` says which
one differs in what ("pyjwt reads", "jose fits"), and why that is not ours to follow.
"""

import hashlib
import hmac
import json
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from tests.tools.making import Vectors, b64, dump

FILE = Path(__file__).parent / "tokens.json"
NOW = 1_800_000_000
CLAIMS = {
    "iss": "https://auth.example.com",
    "sub": "user-4711",
    "aud": "orders",
    "iat": NOW - 60,
    "exp": NOW + 840,
    "sid": "Yx2b9lC8Q0uJmTnZ",
}
SHARED, NO_TYP = ["shared_secret"], ["no_typ"]


def good(v):
    """Tokens with nothing wrong, in every algorithm."""
    typ = {"typ": "at+jwt"}
    for alg in ("HS256", "HS384", "HS512"):
        v.signed(alg, {"alg": alg, **typ}, CLAIMS, key="hs", findings=SHARED)
    for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"):
        v.signed(alg, {"alg": alg, **typ}, CLAIMS, key="rsa")
    for alg, key in (("ES256", "p256"), ("ES384", "p384"), ("ES512", "p521"), ("EdDSA", "ed25519")):
        v.signed(alg, {"alg": alg, **typ, "kid": key}, CLAIMS, key=key)
    v.signed(
        "Ed25519",
        {"alg": "Ed25519", **typ},
        CLAIMS,
        key="ed25519",
        others={"pyjwt fits": "does not know the name (RFC 9864)"},
    )
    v.signed(
        "every kind of value",
        {"alg": "ES256", "typ": "JWT"},
        {
            **CLAIMS,
            "aud": ["orders", "billing"],
            "none": None,
            "yes": True,
            "list": [1, -2.5, 1e3, [], {}],
            "tree": {"a": {"b": "c"}},
        },
        key="p256",
    )
    v.signed(
        "letters of the world, blanks, escapes",
        {"alg": "ES256", "typ": "JWT"},
        '{ "iss":"https://auth.example.com", "sub":"Zoë 東京 \\u00fc \\ud83d\\ude00 😀\\n\\t\\"",\r\n '
        '"aud":"x","exp":1800000840 }'.encode(),
        payload={"iss": "https://auth.example.com", "sub": 'Zoë 東京 ü 😀 😀\n\t"', "aud": "x", "exp": 1800000840},
        key="p256",
    )
    v.add(
        "RFC 7515, appendix A.1",
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        header={"typ": "JWT", "alg": "HS256"},
        payload={"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True},
        findings=["expired", "no_aud", "shared_secret", "no_sub"],
        key="rfc7515",
        verdict="fits",
    )


def careless(v):
    """Tokens that can be verified, and should not have been made like that."""
    es = {"alg": "ES256", "typ": "JWT"}

    def claims(**more):
        return {name: value for name, value in {**CLAIMS, **more}.items() if value is not ...}

    def one(name, said, findings, header=es, **more):
        v.signed(name, header, said, key="p256", findings=findings, **more)

    one("expired", claims(exp=NOW - 180, iat=NOW - 1080), ["expired"])
    one("not yet", claims(nbf=NOW + 60), ["not_yet"])
    one("from the future", claims(iat=NOW + 600), ["iat_ahead"])
    one("no exp", claims(exp=...), ["no_exp"])
    one("no claims at all", {}, ["no_exp", "no_aud", "no_iss", "no_sub"])
    one("lives for 30 days", claims(exp=NOW + 30 * 86400), ["long_life"])
    one("lives for 8 hours", claims(exp=NOW + 8 * 3600), ["long_life"])
    one("milliseconds", claims(exp=(NOW + 840) * 1000, iat=(NOW - 60) * 1000), ["milliseconds", "milliseconds"])
    one("exp is text", claims(exp=str(NOW + 840)), ["not_a_number"])
    one("expires before it begins", claims(iat=NOW - 60, exp=NOW - 120), ["expired", "no_life"])
    one("for everybody", claims(aud="*"), ["any_aud"])
    one("no typ", claims(), NO_TYP, header={"alg": "ES256"})
    one("an odd typ", claims(), ["odd_typ"], header={"alg": "ES256", "typ": "token"})
    one("an access token as JWT", claims(scope="read"), ["typ_jwt"])
    one("a secret in it", claims(password="hunter2"), ["secret_claim"])
    one("personal data", claims(email="a@example.com", phone_number="+49 30 1"), ["personal_claim"])
    one("a card in an innocent claim", claims(note="4111 1111 1111 1111"), ["personal_claim"])
    one("only a flag", claims(email_verified=True), [])
    one("its own key", claims(), ["own_key"], header={**es, "jku": "https://evil.example/keys"})
    one("a kid that climbs", claims(), ["odd_kid"], header={**es, "kid": "../../dev/null"})
    one("a kid for a query", claims(), ["odd_kid"], header={**es, "kid": "x' UNION SELECT 'y"})
    one(
        "extensions",
        claims(),
        ["crit"],
        header={**es, "crit": ["exp2"], "exp2": 1},
        others=dict.fromkeys(
            ("pyjwt reads", "pyjwt fits", "jose fits"), "it refuses what it does not understand, as a verifier must"
        ),
    )
    one("long", claims(roles=[f"role-{n}" for n in range(90)]), ["size"])
    one("too long for a cookie", claims(roles=[f"role-{n:03}" for n in range(400)]), ["size"])
    one("too long for a header", claims(roles=[f"role-{n:04}" for n in range(900)]), ["size"])
    one(
        "a name twice",
        b'{"iss":"https://auth.example.com","sub":"maria","sub":"root","aud":"x","exp":1800000840}',
        ["duplicate"],
        payload={"iss": "https://auth.example.com", "sub": "root", "aud": "x", "exp": 1800000840},
    )
    one(
        "a name twice, one of them escaped",
        b'{"iss":"https://auth.example.com","sub":"maria","s\\u0075b":"root","aud":"x","exp":1800000840}',
        ["duplicate"],
        payload={"iss": "https://auth.example.com", "sub": "root", "aud": "x", "exp": 1800000840},
    )
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}\u202e\x00\x1b[31m"
    one("markup and controls", claims(sub=hostile), [])
    one(
        "a prototype",
        b'{"__proto__":{"admin":true},"iss":"a","sub":"b","aud":"c","exp":1800000840}',
        [],
        payload={"__proto__": {"admin": True}, "iss": "a", "sub": "b", "aud": "c", "exp": 1800000840},
    )


def forged(v):
    """Tokens whose signature fits nothing."""
    es = {"alg": "ES256", "typ": "JWT"}
    changed = b64(dump({**CLAIMS, "sub": "root"}))
    v.signed(
        "altered",
        es,
        CLAIMS,
        key="p256",
        change=lambda head, body, sig: f"{head}.{changed}.{sig}",
        payload={**CLAIMS, "sub": "root"},
        verdict="differs",
    )
    v.signed("of another key", es, CLAIMS, key="other", verdict="fits")
    v.tokens[-1].update(key="p256", verdict="differs")
    rsa_pem = v.keys.public["rsa"]["pem"]
    text = f"{b64(dump({'alg': 'HS256', 'typ': 'JWT'}))}.{b64(dump(CLAIMS))}"

    confused = hmac.digest(rsa_pem.encode(), text.encode(), hashlib.sha256)
    v.add(
        "a public key as the secret",
        f"{text}.{b64(confused)}",
        header={"alg": "HS256", "typ": "JWT"},
        payload=CLAIMS,
        findings=SHARED,
        key="rsa",
        verdict="cannot",
    )
    none = {"alg": "none", "typ": "JWT"}
    body = b64(dump(CLAIMS))
    v.add(
        "none",
        f"{b64(dump(none))}.{body}.",
        header=none,
        payload=CLAIMS,
        findings=["alg_none"],
        key="p256",
        verdict="cannot",
    )
    some = {"alg": "nOnE", "typ": "JWT"}
    v.add(
        "none in disguise",
        f"{b64(dump(some))}.{body}.AAAA",
        header=some,
        payload=CLAIMS,
        findings=["alg_none"],
        key="p256",
        verdict="cannot",
    )
    v.add(
        "no alg",
        f"{b64(dump({'typ': 'JWT'}))}.{body}.AAAA",
        header={"typ": "JWT"},
        payload=CLAIMS,
        findings=["no_alg"],
        key="p256",
        verdict="cannot",
    )
    rot = {"alg": "ROT13", "typ": "JWT"}
    v.add(
        "an unknown alg",
        f"{b64(dump(rot))}.{body}.AAAA",
        header=rot,
        payload=CLAIMS,
        findings=["alg_unknown"],
        key="p256",
        verdict="cannot",
    )
    v.signed(
        "no signature",
        es,
        CLAIMS,
        key="p256",
        change=lambda head, body, sig: f"{head}.{body}.",
        findings=["no_signature"],
        verdict="differs",
    )
    v.signed(
        "a short signature",
        es,
        CLAIMS,
        key="p256",
        change=lambda head, body, sig: f"{head}.{body}.{b64(bytes(58))}",
        findings=["signature_length"],
        verdict="differs",
    )
    der = v.keys.private["p256"].sign(f"{b64(dump(es))}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
    v.add(
        "DER",
        f"{b64(dump(es))}.{body}.{b64(der)}",
        header=es,
        payload=CLAIMS,
        findings=["signature_der"],
        key="p256",
        verdict="differs",
    )


def broken(v):
    """Tokens that break, and where."""
    es = {"alg": "ES256", "typ": "JWT"}
    head = b64(dump(es))
    sig = b64(bytes(64))

    def body(name, raw, trouble, at, **more):
        text = raw if isinstance(raw, str) else b64(raw)
        v.add(
            name,
            f"{head}.{text}.{sig}",
            header=es,
            trouble=trouble,
            at=None if at is None else len(head) + 1 + at,
            **more,
        )

    good_body = b64(dump(CLAIMS))
    body(
        "a letter that does not belong",
        f"{good_body[:40]}!{good_body[41:]}",
        "base64_character",
        40,
    )
    body("a blank that is none", f"{good_body[:40]}\u00a0{good_body[40:]}", "base64_character", 40)
    body(
        "cut off in the payload",
        good_body[:-3] if len(good_body) % 4 == 0 else good_body[: len(good_body) // 4 * 4 + 1],
        "base64_length",
        None,
    )
    body("text that ends early", b'{"sub":"maria"', "json_the_end", 18)
    body("a comma too many", b'{"sub":"maria",}', "json_name", 20)
    body("single quotes", b"{'sub':'maria'}", "json_name", 1)
    body("no comma", b'{"sub":"maria" "aud":"x"}', "json_comma", 20)
    body("two objects", b'{"sub":"a"}{"sub":"b"}', "json_after_the_end", 14)
    body("a control character", b'{"sub":"a\nb"}', "json_control", 12)
    body("an escape that is none", b'{"sub":"\\x41"}', "json_escape", 10)
    body("a number with a zero before it", b'{"exp":01800000840}', "json_number", 9)
    body(
        "not a number",
        b'{"exp":NaN}',
        "json_value",
        9,
        others={"pyjwt reads": "Python's json takes NaN, which is no JSON"},
    )
    body("no UTF-8", b'{"sub":"\xff"}', "utf8", 10)
    body("UTF-8 the long way round", b'{"sub":"\xc0\xaf"}', "utf8", 10)
    body(
        "half a pair, as UTF-8",
        b'{"sub":"\xed\xa0\x80"}',
        "utf8",
        10,
        others={"pyjwt reads": "Python's json takes halves of pairs from bytes"},
    )
    body(
        "a mark of byte order",
        b'\xef\xbb\xbf{"sub":"a"}',
        "json_value",
        0,
        findings=["bom"],
        others=dict.fromkeys(("pyjwt reads", "jose reads"), "its decoder takes the mark off"),
    )
    body("random bytes", bytes(range(200, 240)), "utf8", None)
    v.add(
        "a header that is no JSON",
        f"{b64(b'{alg: ES256}  ')}.{good_body}.{sig}",
        kind="broken",
        trouble="json_name",
        at=1,
        payload=CLAIMS,
    )
    v.add(
        "two parts",
        f"{head}.{good_body}",
        kind="broken",
        header=es,
        payload=CLAIMS,
        trouble="parts",
        at=len(head) + 1 + len(good_body),
    )
    v.add(
        "four parts",
        f"{head}.{good_body}.{sig}.{sig}",
        kind="broken",
        header=es,
        payload=CLAIMS,
        trouble="parts",
        at=len(head) + len(good_body) + len(sig) + 2,
    )
    v.add("one part", head, kind="broken", header=es, trouble="parts", at=len(head))
    v.add("payload left out", f"{head}..{sig}", header=es, findings=["detached"])
    v.add(
        "a list",
        f"{head}.{b64(b'[1,2]')}.{sig}",
        header=es,
        payload=[1, 2],
        findings=["not_object"],
    )
    v.add(
        "deeper than anybody needs",
        f"{head}.{b64(b'[' * 300 + b']' * 300)}.{sig}",
        header=es,
        trouble="json_deep",
        findings=["size"],
        at=len(head) + 1 + 201 * 4 // 3,
    )
    v.signed(
        "padding",
        {"alg": "ES256", "typ": "JWT", "x": 1},
        CLAIMS,
        key="p256",
        change=lambda head, body, sig: f"{head}.{body}.{sig}==",
        findings=["text_padding"],
    )


def others(v):
    """Texts that are no JWS."""
    jwe = {"alg": "RSA-OAEP-256", "enc": "A256GCM"}
    v.add(
        "encrypted",
        ".".join([b64(dump(jwe)), b64(bytes(256)), b64(bytes(12)), b64(bytes(40)), b64(bytes(16))]),
        kind="jwe",
        header=jwe,
    )
    for name, text in {
        "a session token": b64(bytes(range(32))),
        "a refresh token": "ccr1_" + b64(bytes(52)),
        "a UUID": "9b2f6f4e-7f0a-4a0e-9d53-1d1cf2f8a9f1",
        "PASETO": "v4.public." + b64(bytes(90)),
        "a word": "correct-horse-battery-staple",
        "a host": "auth.example.com",
        "PEM": v.keys.public["p256"]["pem"],
        "a session of Flask": "eyJ1c2VyIjoibWFyaWEifQ.Z0VdCA." + "a" * 27,
    }.items():
        v.add(name, text, kind="opaque")


def main():
    """Write the file."""
    v = Vectors()
    for part in (good, careless, forged, broken, others):
        part(v)
    assert len({one["name"] for one in v.tokens}) == len(v.tokens)
    found = {"now": NOW, "keys": v.keys.public, "tokens": v.tokens}
    FILE.write_text(json.dumps(found, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
