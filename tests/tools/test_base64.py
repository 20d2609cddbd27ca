"""The base64 page's pure modules agree with Python's own, and name what is odd, with its place."""

import base64
import binascii
import datetime as dt
import zlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.tools.pictures import PIXEL
from tests.tools.vectors import KEYS

NOW = 1_800_000_000
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(call, text):
    return call("base64/read.mjs", "readBase64", text)


def kind(call, raw, **options):
    return call("base64/recognise.mjs", "recognise", raw, NOW, options)["kind"]


@MANY
@given(raw=st.binary(max_size=300), line=st.sampled_from([0, 64, 76]), url=st.booleans(), padding=st.booleans())
def test_both_ways_as_python_does(call, raw, line, url, padding):
    """Whatever is written is Python's, and reads as the same bytes, in whatever lines."""
    options = {"alphabet": "url" if url else "standard", "padding": padding, "line": line}
    text = call("base64/read.mjs", "writeBase64", raw, options)
    pythons = (base64.urlsafe_b64encode if url else base64.b64encode)(raw).decode()
    assert text.replace("\n", "") == (pythons if padding else pythons.rstrip("="))
    if line == 76 and not url and padding:
        assert text == base64.encodebytes(raw).decode().rstrip("\n")
    found = read(call, text)
    assert (found["bytes"], found["fatal"], found["notes"]) == (raw, None, [])


@MANY
@given(text=st.text("ABab01+/-_= \n!", max_size=24))
def test_what_python_refuses_is_told(call, text):
    """A text is without fault exactly if Python's strict reader takes it, blanks aside, and writes it so again."""
    letters = "".join(text.split())
    found = read(call, text)
    mixed = bool(set(letters) & set("+/")) and bool(set(letters) & set("-_"))
    standard = letters.replace("-", "+").replace("_", "/")
    try:
        raw = base64.b64decode(standard, validate=True)
    except binascii.Error:
        raw = None
    is_sound = raw is not None and base64.b64encode(raw).decode() == standard and not mixed
    lacks_padding = found["padding"] == 0 and found["wanted"] > 0
    assert is_sound == (found["fatal"] is None and not found["notes"] and not lacks_padding)
    if is_sound:
        assert found["bytes"] == raw


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("aGk=", []),
        (' "aGk=",\n', ["quotes"]),
        ("'aGk='", ["quotes"]),
        ("aG\r\nk=\n", ["line breaks"]),
        ("aG k=", ["blanks"]),
        ("data:text/plain;charset=utf-8;base64,aGk=", ["a data: address"]),
        ("Authorization: Basic aGk=", ["the name of a header, and “Basic”"]),
        ("=?UTF-8?B?aGk=?=", ["an encoded word of a mail header"]),
        ("-----BEGIN X-----\naGk=\n-----END X-----\n", ["the lines of a PEM block"]),
        (
            "-----BEGIN X-----\naGk=\n-----END X-----\n-----BEGIN Y-----\naGk=\n-----END Y-----\n",
            ["the lines of a PEM block, and the blocks after it"],
        ),
    ],
)
def test_what_stands_around_it(call, text, taken):
    """Is taken off, and told."""
    found = read(call, text)
    assert (found["bytes"], found["fatal"], found["taken"]) == (b"hi", None, taken)


@pytest.mark.parametrize(
    ("text", "codes", "at"),
    [
        ("aGk", ["no_padding"], None),
        ("aGl=", ["trailing_bits"], 2),
        ("aGk==", ["short_padding"], 3),
        ("aGk===", ["padding_length"], 3),
        ("aGkxx", ["length"], 4),
        ("YQ=", ["short_padding"], 2),
        ("a+b_", ["mixed"], 3),
        ("YQ==YQ==", ["after_padding"], 2),
        (' "aG\n!k="', ["character"], 5),
        ("aG%2B", ["character"], 2),
        ("aGä=", ["character"], 2),
        ("aG\U0001f600=", ["character"], 2),
    ],
)
def test_what_is_odd_is_named_with_its_place(call, text, codes, at):
    """As an index into what was pasted, quotes and blanks counted."""
    found = read(call, text)
    said = call("base64/findings.mjs", "textFindings", found, text)
    assert [one["code"] for one in said] == codes
    place = found["fatal"] or (found["notes"] or [{"at": None}])[0]
    assert place["at"] == at
    assert all("undefined" not in one["title"] + one["text"] for one in said)


@pytest.mark.parametrize(
    ("raw", "codes"),
    [
        (b"hi", []),
        (b"secret\n", ["last_break"]),
        (b"a\r\nb", ["returns"]),
        (b"\xef\xbb\xbfhi", ["bom"]),
        (b"hi\xc3", ["not_utf8"]),
        (b"\xed\xa0\x80", ["not_utf8"]),
    ],
)
def test_what_is_odd_about_the_bytes(call, raw, codes):
    """Line breaks that were not meant, and what no text field keeps."""
    said = call("base64/findings.mjs", "byteFindings", raw, call("shared/utf8.mjs", "decodeUtf8", raw))
    assert [one["code"] for one in said] == codes


def certificate(days):
    """A certificate that expires so many days after NOW."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.example"), x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "DE")]
    )
    until = dt.datetime.fromtimestamp(NOW, dt.UTC) + dt.timedelta(days=days)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(4711)
        .not_valid_before(until - dt.timedelta(days=90))
        .not_valid_after(until)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(("days", "said"), [(30, "in 30 days"), (-30, "Expired 30 days ago"), (120, "Not valid yet")])
def test_certificates(call, days, said):
    """For whom, from whom, until when; the same as cryptography says."""
    raw = certificate(days)
    found = call("base64/recognise.mjs", "recognise", raw, NOW, {})
    facts = dict(found["facts"])
    theirs = x509.load_der_x509_certificate(raw)
    assert found["kind"] == "certificate" and said in found["text"]
    assert (facts["For"], facts["From"]) == ("CN=a.example, C=DE", "CN=a.example, C=DE (itself)")
    assert facts["Valid until"] == f"{theirs.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"
    assert (facts["Public key"], facts["Serial number"]) == ("EC, P-256", "12:67")


def private_key():
    return ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(200, 232))).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "empty"),
        (base64.b64decode(PIXEL), "picture"),
        (b"GIF89a\x01\x00\x01\x00", "picture"),
        (b"%PDF-1.7", "pdf"),
        (b"PK\x03\x04", "zip"),
        (b'{"a": 1}', "json"),
        (b'{"a": 1', "text"),
        (b"eyJhbGciOiJub25lIn0.eyJhIjoxfQ.", "jwt"),
        (KEYS["p256"]["certificate"].encode(), "pem"),
        (b"<svg onload=alert(1)>", "svg"),
        (b"<samlp:Response xmlns=x>", "saml"),
        (b"<b>x</b>", "markup"),
        (b"aGVsbG8gd29ybGQsIGhvdyBhcmUgeW91Pw==", "base64"),
        ("Grüße".encode(), "text"),
        ("hello".encode("utf-16"), "utf16"),
        ("hello".encode("utf-16-le"), "text"),
        ("héllo".encode("utf-16-le"), "utf16"),
        (bytes(range(128, 160)), "bytes"),
        (private_key(), "private_key"),
        (b"BM" + b"\x80" * 80, "bytes"),
        (zlib.compress(b"x" * 99), "bytes"),
    ],
)
def test_what_it_is(call, raw, expected):
    """Told by what is in it."""
    assert kind(call, raw) == expected


def test_a_password_is_named(call):
    """What stands in a header with Basic is a password for everybody who sees it."""
    assert kind(call, b"maria:secret", isBasic=True) == "basic"
    assert kind(call, b"maria:secret") == "text"


@MANY
@given(raw=st.binary(max_size=120) | st.binary(max_size=60).map(lambda end: certificate(1)[:-40] + end))
def test_nothing_is_too_odd(call, raw):
    """Whatever it is, it is something, and no error of the program."""
    assert kind(call, raw)
