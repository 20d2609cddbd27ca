"""The session token, the form token and base64url: formats that never change, and near misses."""

import base64
import hashlib
import hmac
import secrets

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coatcheck import Secret
from coatcheck.tokens import base64url, csrf_token, session_token

ZEROS = "A" * 43


def test_the_format_is_frozen(monkeypatch):
    """32 zero bytes are 43 times A; the digest is the SHA-256 of that text."""
    monkeypatch.setattr(secrets, "token_bytes", bytes)
    token = session_token.mint()
    assert token == Secret(ZEROS)
    digest = session_token.digest(token.reveal())
    assert digest == hashlib.sha256(b"A" * 43).digest()
    assert digest.hex() == "0f007385b6f9d4b7eeb2748605afe1a984a0a3bfa3f014d09e2a784ce9e5cd1a"


def test_a_token_is_32_random_bytes():
    """43 characters that decode to 32 bytes; of a thousand no two are alike and every bit varies."""
    tokens = [session_token.mint().reveal() for _ in range(1000)]
    raw = [base64.urlsafe_b64decode(token + "=") for token in tokens]
    assert {len(token) for token in tokens} == {43}
    assert {len(value) for value in raw} == {32}
    assert len(set(tokens)) == 1000
    numbers = [int.from_bytes(value) for value in raw]
    assert all(300 < sum(number >> bit & 1 for number in numbers) < 700 for bit in range(256))


def test_a_sid_is_the_time_and_128_random_bits_and_no_token():
    """27 characters, never the length of a token, so it cannot be looked up as one."""
    sids = {session_token.mint_sid(now) for now in (0, 1_800_000_000, 2**33) for _ in range(1000)}
    assert len(sids) == 3000
    raw = [base64.urlsafe_b64decode(sid + "=") for sid in sids]
    assert {len(value) for value in raw} == {20}
    assert len({value[4:] for value in raw}) == 3000
    assert session_token.digest(sids.pop()) is None


@pytest.mark.parametrize(
    "text", ["", "A", "A" * 42, "A" * 44, ZEROS + "\n", None, 43, b"A" * 43, list(ZEROS), Secret(ZEROS), True]
)
def test_what_cannot_be_a_token_has_no_digest(text):
    """Another length or another type: never looked up."""
    assert session_token.digest(text) is None
    assert not session_token.is_well_formed(text)


@pytest.mark.parametrize("letter", ["=", "+", "/", ".", " ", "\n", "\0", "é", "\ud800", "\u0661"], ids=ascii)
@pytest.mark.parametrize("at", [0, 21, 42])
def test_a_wrong_letter_is_not_well_formed(letter, at):
    """43 characters of which one is not base64url: hashed like any text, and recognised as malformed."""
    text = ZEROS[:at] + letter + ZEROS[at + 1 :]
    assert not session_token.is_well_formed(text)
    assert session_token.digest(text) not in (None, session_token.digest(ZEROS))


def test_texts_that_decode_alike_differ():
    """The last character has two spare bits; a text with them set is another token, not the same one."""
    assert base64.urlsafe_b64decode("A" * 42 + "B=") == base64.urlsafe_b64decode(ZEROS + "=")
    assert session_token.digest("A" * 42 + "B") != session_token.digest(ZEROS)


@settings(deadline=None)
@given(st.text() | st.binary() | st.none() | st.text(min_size=43, max_size=43))
def test_no_text_is_an_error(text):
    """Whatever is presented, there is a digest or none."""
    digest = session_token.digest(text)
    assert digest is None or len(digest) == 32


KEY, OLD = bytes(range(32)), b"k" * 32


def test_the_form_token_is_frozen(monkeypatch):
    """16 bytes of salt, then HMAC-SHA256 over a label, a zero byte, the salt and the binding; 64 characters."""
    monkeypatch.setattr(secrets, "token_bytes", lambda count: b"s" * count)
    mac = hmac.digest(KEY, b"coatcheck csrf 1\x00" + b"s" * 16 + b"session S", "sha256")
    token = csrf_token.make(KEY, "session S")
    assert token == base64.urlsafe_b64encode(b"s" * 16 + mac).decode()
    assert token == "c3Nzc3Nzc3Nzc3Nzc3Nzc3V-XERXkGSxQxRzPlqmoaCfz9rTdGIa2h7ab8nBFGTV"
    assert csrf_token.is_genuine([KEY], "session S", token)


def test_a_form_token_is_bound_to_its_browser():
    """Made for one session or one anonymous browser, it is worth nothing for another."""
    token = csrf_token.make(KEY, "session S")
    for binding in ("session T", "session ", "anonymous S", "session S ", ""):
        assert not csrf_token.is_genuine([KEY], binding, token)


def test_the_first_key_writes_and_all_read():
    """After the secret was changed, forms that were served before still work; a foreign key does not."""
    token = csrf_token.make(OLD, "session S")
    assert csrf_token.is_genuine([KEY, OLD], "session S", token)
    assert not csrf_token.is_genuine([KEY], "session S", token)
    assert not csrf_token.is_genuine([], "session S", token)


def test_two_form_tokens_differ():
    """The salt hides the rest from who can measure how a page compresses."""
    assert csrf_token.make(KEY, "session S") != csrf_token.make(KEY, "session S")


def test_every_changed_character_is_noticed():
    """There is no part of the token that does not count."""
    token = csrf_token.make(KEY, "session S")
    for at, letter in enumerate(token):
        other = "A" if letter != "A" else "B"
        assert not csrf_token.is_genuine([KEY], "session S", token[:at] + other + token[at + 1 :])


@pytest.mark.parametrize(
    "spoil",
    [lambda token: "", lambda token: token[:-1], lambda token: token + "A", lambda token: token + "\n",
     lambda token: token + "=", lambda token: " " + token, lambda token: token * 2, lambda token: "é" * 64,
     lambda token: "\ud800" * 64, lambda token: token.swapcase(), lambda token: "A" * 64, lambda token: "+/" * 32,
     lambda token: token[:22] + csrf_token.make(KEY, "session T")[22:]],
)  # fmt: skip
def test_near_form_tokens(spoil):
    """Longer, shorter, padded, of other letters or put together from two: not genuine, and no error."""
    assert not csrf_token.is_genuine([KEY], "session S", spoil(csrf_token.make(KEY, "session S")))


def test_a_hostile_binding_is_no_error():
    """The anonymous browser's cookie is whatever it sends."""
    for binding in ("\ud800", "\0", "é" * 10_000):
        assert csrf_token.is_genuine([KEY], binding, csrf_token.make(KEY, binding))


@given(st.binary(max_size=40))
def test_what_is_encoded_is_decoded(raw):
    """As the standard library's, without padding."""
    assert base64url.encode(raw) == base64.urlsafe_b64encode(raw).decode().rstrip("=")
    assert base64url.decode(base64url.encode(raw)) == raw


@given(st.text(alphabet="AQgwBEZz09-_+/=. \n\0é\ud800", max_size=12))
@settings(max_examples=500)
def test_no_other_text_stands_for_the_same_bytes(text):
    """Whoever compares or remembers a text compares what it stands for."""
    raw = base64url.decode(text)
    assert raw is None or base64url.encode(raw) == text


@pytest.mark.parametrize("text", ["QQ==", "QUE=", "QUFB====", "QUFB=", "=", "==", "====", "=QQQ", "QQ=Q", "QR", "QQ\n"])
def test_padding_and_spare_bits_are_not_decoded(text):
    """Though most decoders let them pass."""
    assert base64url.decode(text) is None
