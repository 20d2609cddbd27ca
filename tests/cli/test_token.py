"""coatcheck token."""

import asyncio
import base64
import getpass
import json

import pytest

from coatcheck import Coatcheck, StoreUnavailable
from coatcheck.fleet.fetching import Jwks

ISSUER = "https://auth.example.com"
URL = "sqlite:///coatcheck.db"
CHECK = ("token", "verify", "--issuer", ISSUER, "--audience", "api")


def encode(raw):
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwt(claims, header=None):
    """Return a token that nobody has signed."""
    parts = [header or {"alg": "ES256", "kid": "k", "typ": "at+jwt"}, claims]
    raw = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in parts]
    return ".".join([*map(encode, raw), encode(b"no signature at all")])


@pytest.fixture
def issued(add, sign_in):
    """A session, and an access token of it."""
    add("root", admin=True)
    session, _ = sign_in("root")

    async def make():
        async with Coatcheck(URL, issuer=ISSUER) as auth:
            return await auth.fresh_token(session, audience="api")

    return session, asyncio.run(make())


def leaks(token, ran):
    """Say whether any long piece of a token is in an output."""
    return any(part in ran.out + ran.err for part in token.split(".") if len(part) > 8)


# --- decode ---


def test_what_a_token_says(cli):
    """Header and claims as JSON, times in words, and that nothing was verified."""
    token = jwt({"sub": "maria", "iat": 1_000_000_000, "exp": 4_000_000_000, "nbf": True, "auth_time": 1e300})
    ran = cli("token", "decode", stdin=f"  {token}\r\n")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("NOT VERIFIED")
    shown, _ = json.JSONDecoder().raw_decode(ran.out[ran.out.index("{") :])
    assert shown["header"]["kid"] == "k"
    assert shown["claims"]["sub"] == "maria"
    lines = ran.out.splitlines()
    assert any(line.startswith("iat: 2001-09-09T01:46:40Z, ") and line.endswith(" ago") for line in lines)
    assert any(line.startswith("exp: 2096-10-02T07:06:40Z, in ") for line in lines)
    assert "nbf: " not in ran.out
    assert "auth_time: " not in ran.out
    assert not leaks(token, ran)
    document = cli("token", "decode", "--json", stdin=token).json
    assert document["verified"] is False
    assert set(document) == {"verified", "header", "claims", "times"}
    assert document["times"] == {"iat": "2001-09-09T01:46:40Z", "exp": "2096-10-02T07:06:40Z"}


def test_what_a_real_token_says(cli, issued):
    """Ours can be read, with no store at hand."""
    session, token = issued
    document = cli("token", "decode", "--json", stdin=token).json
    assert document["claims"]["sid"] == session.sid
    assert document["header"]["typ"] == "at+jwt"


def test_hostile_claims_steer_no_terminal(cli):
    """All is escaped."""
    ran = cli("token", "decode", stdin=jwt({"sub": "\x1b[2J\x7f\x9b\u202e[red]", "\x1b": [None, {"a": "\r"}]}))
    assert ran.code == 0
    assert all(line.isprintable() for line in ran.out.splitlines())
    assert ran.out.isascii()


BROKEN = {
    "nothing": "",
    "blanks": " \n\n",
    "a word": "something-that-is-secret",
    "two parts": "c29tZXRoaW5n.c29tZXRoaW5n",
    "encrypted": ".".join(["c29tZXRoaW5n"] * 5),
    "not base64url": "c29tZXRoaW5n+.c29tZXRoaW5n.c29tZXRoaW5n",
    "not canonical": "c29tZXRoaW5nMR.c29tZXRoaW5n.c29tZXRoaW5n",
    "no JSON": "c29tZXRoaW5n.c29tZXRoaW5n.c29tZXRoaW5n",
    "no object": jwt([1, "something"]),
    "no UTF-8": jwt(b'{"something":"\xff\xff"}'),
    "too deep": jwt(b'{"something":' + b"[" * 60 + b"]" * 60 + b"}"),
    "much too deep": jwt(b'{"something":' + b"[" * 2900 + b"]" * 2900 + b"}"),
    "too long": jwt({"something": "x" * 7000}),
    "endless": "c29tZXRoaW5n" * 10_000,
    "two": jwt({"something": 1}) + "\n" + jwt({"something": 2}),
    "a header": "Bearer " + jwt({"something": 1}),
    "bytes": b"\xff\xfec29tZXRoaW5n",
    "letters": "größerundlänger",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_what_cannot_be_read(cli, text, more):
    """One clear line, and nothing of it in there."""
    ran = cli("token", "decode", *more, stdin=text)
    assert ran.code in (1, 2)
    assert ran.out == ""
    assert "stdin: " in ran.err
    for piece in ("c29t", "something", "größ", "Bearer", "eyJ"):
        assert piece not in ran.err
    assert cli(*CHECK, "--jwks", *more, stdin="").code == 2


@pytest.mark.parametrize("before", [("token", "decode"), CHECK, ("token",), ("token", "--json")])
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_token_is_no_argument(cli, before, more):
    """Refused, with the reason, and not repeated."""
    token = jwt({"sub": "maria"})
    ran = cli(*before, token, *more)
    assert (ran.code, ran.out) == (2, "")
    assert before == ("token", "--json") or "shell's history" in ran.err
    assert not leaks(token, ran)
    ran = cli(*before, f"--token={token}", *more)
    assert ran.code == 2
    assert not leaks(token, ran)


def test_at_a_terminal_it_is_asked_for(cli, monkeypatch):
    """Unseen, on stderr; Ctrl-D is no token."""
    asked = []

    def ask(prompt, stream):
        asked.append((prompt, stream))
        return jwt({"sub": "maria"}) + " "

    monkeypatch.setattr(getpass, "getpass", ask)
    ran = cli("token", "decode", "--json", is_tty=True)
    assert ran.json["claims"] == {"sub": "maria"}
    ((prompt, stream),) = asked
    assert "token" in prompt
    assert stream is not None

    def end(prompt, stream):
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", end)
    ran = cli("token", "decode", is_tty=True)
    assert ran.code == 2
    assert "holds no token" in ran.err


# --- verify ---


def test_a_token_that_counts(cli, issued):
    """By keys and revocations in the store."""
    session, token = issued
    ran = cli(*CHECK, stdin=token + "\n")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("accepted\n")
    assert session.sid in ran.out
    assert "exp: " in ran.out
    assert not leaks(token, ran)
    document = cli(*CHECK, "--json", stdin=token).json
    assert (document["verified"], document["revocations_known"]) == (True, True)
    assert document["claims"]["sid"] == session.sid


def test_a_revoked_token(cli, issued):
    """The session has ended, so the token has."""
    session, token = issued
    cli("sessions", "revoke", session.sid)
    ran = cli(*CHECK, stdin=token)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: refused: revoked; ")
    assert not leaks(token, ran)


def test_what_is_refused(cli, issued):
    """Each with its own code, and never the token."""
    _, token = issued
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["sub"] = "somebody-else"
    forged = f"{head}.{encode(json.dumps(claims).encode())}.{signature}"
    other = ("token", "verify", "--audience", "api", "--issuer", "https://other.example.com")
    for command, text, code in (
        (CHECK, forged, "bad_signature"),
        (CHECK, jwt(claims), "unknown_key"),
        (CHECK, "not-a-token-at-all", "malformed"),
        ((*CHECK[:-1], "orders"), token, "wrong_audience"),
        (other, token, "wrong_issuer"),
    ):
        ran = cli(*command, "--json", stdin=text)
        assert (ran.code, ran.out, ran.error["code"]) == (1, "", code)
        assert ran.error["detail"].startswith(f"refused: {code}")
        assert not leaks(text, ran)
        assert "not-a-token" not in ran.err


def test_by_the_key_set_of_the_issuer(cli, issued, monkeypatch):
    """Without a store; that revocations are not known is said."""
    session, token = issued

    async def keys():
        async with Coatcheck(URL, issuer=ISSUER) as auth:
            return auth.jwks()

    found = asyncio.run(keys())

    async def fetch(self):
        from coatcheck.fleet import fetching

        self._keys = {jwk["kid"]: fetching._key(jwk) for jwk in found["keys"]}

    monkeypatch.setattr(Jwks, "fetch", fetch)
    monkeypatch.setenv("COATCHECK_STORE", "sqlite:///no-such.db")  # of no interest here
    ran = cli(*CHECK, "--jwks", stdin=token)
    assert ran.code == 0, ran.err
    assert "not known" in ran.out
    cli("sessions", "revoke", session.sid, "--store", URL)
    assert cli(*CHECK, "--jwks", "--json", stdin=token).json["revocations_known"] is False
    assert cli(*CHECK, "--jwks", stdin=jwt({})).code == 1


def test_an_issuer_that_does_not_answer(cli, monkeypatch):
    """That says nothing about the token: not a refusal."""

    async def fetch(self):
        raise StoreUnavailable("it does not answer")

    monkeypatch.setattr(Jwks, "fetch", fetch)
    ran = cli(*CHECK, "--jwks", "--json", stdin=jwt({}))
    assert (ran.code, ran.error["code"]) == (2, "store_unavailable")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("--issuer", "nonsense", "--audience", "api"), "--issuer: "),
        (("--issuer", "http://auth.example.com", "--audience", "api"), "--issuer: "),
        (("--issuer", ISSUER, "--audience", ""), "--audience: "),
        (("--issuer", ISSUER), "--audience"),
        (("--audience", "api"), "--issuer"),
        (("--issuer", ISSUER, "--audience", "api", "--jwks", "--store", URL), "--jwks: "),
        (("--issuer", ISSUER, "--audience", "api", "--store", "postgresql://u:hidden@h/d?nonsense=1"), "--store: "),
    ],
)
def test_wrong_options(cli, issued, args, expected):
    """The option is named, before anything is read."""
    ran = cli("token", "verify", *args, stdin=issued[1])
    assert (ran.code, ran.out) == (2, "")
    assert expected in ran.err
    assert "hidden" not in ran.err
