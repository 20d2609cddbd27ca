"""The pure modules that all tools share agree with Python's own, on whatever hypothesis thinks of."""

import base64
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# One process of Node serves all examples, and none of them leaves anything behind there.
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@MANY
@given(raw=st.binary(max_size=200))
def test_base64_is_pythons(call, raw):
    """Both ways, both alphabets, with padding and without."""
    url, plain = base64.urlsafe_b64encode(raw).decode(), base64.b64encode(raw).decode()
    assert call("shared/base64.mjs", "encode", raw) == url.rstrip("=")
    assert call("shared/base64.mjs", "encode", raw, {"padding": True}) == url
    assert call("shared/base64.mjs", "encode", raw, {"alphabet": "standard"}) == plain
    for text, alphabet in ((url.rstrip("="), "url"), (plain, "standard"), (url, "either"), (plain, "either")):
        assert call("shared/base64.mjs", "decode", text, {"alphabet": alphabet}) == {
            "bytes": raw,
            "fatal": None,
            "notes": [],
        }


@MANY
@given(text=st.text(LETTERS, max_size=40))
def test_base64_that_is_not_canonical(call, text):
    """One letter too many is fatal; bits that mean nothing are told; the bytes are Python's."""
    found = call("shared/base64.mjs", "decode", text)
    if len(text) % 4 == 1:
        assert found["fatal"] == {"code": "length", "at": len(text) - 1}
        return
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    is_canonical = base64.urlsafe_b64encode(raw).decode().rstrip("=") == text
    assert found["bytes"] == raw
    assert [one["code"] for one in found["notes"]] == ([] if is_canonical else ["trailing_bits"])


@pytest.mark.parametrize(
    ("text", "alphabet", "fatal", "notes"),
    [
        ("", "url", None, []),
        ("YQ==", "url", None, [("padding", 2)]),
        ("YQ", "standard", None, [("no_padding", 2)]),
        ("YQ=", "url", None, [("short_padding", 2)]),
        ("YQ===", "url", ("padding_length", 2), []),
        ("YWFh=", "url", ("padding_length", 4), []),
        ("Y=Q", "url", ("after_padding", 1), []),
        ("YW F", "url", ("character", 2), []),
        ("YWä", "url", ("character", 2), []),
        ("a+b/", "url", None, [("alphabet", 1)]),
        ("a-b_", "standard", None, [("alphabet", 1)]),
        ("a-b/", "either", None, [("mixed", 3)]),
        ("YR", "url", None, [("trailing_bits", 1)]),
    ],
)
def test_what_is_odd_about_base64(call, text, alphabet, fatal, notes):
    """Named, with its place."""
    found = call("shared/base64.mjs", "decode", text, {"alphabet": alphabet})
    assert found["fatal"] == (fatal and {"code": fatal[0], "at": fatal[1]})
    assert [(one["code"], one["at"]) for one in found["notes"]] == notes


@MANY
@given(raw=st.binary(max_size=12) | st.text(max_size=8).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_utf8_is_pythons(call, raw):
    """The same bytes are text, and where they are not, it is the same byte."""
    found = call("shared/utf8.mjs", "decodeUtf8", raw)
    try:
        assert (found["bad"], found["text"]) == (None, raw.decode())
    except UnicodeDecodeError as error:
        assert found["bad"] == error.start


@MANY
@given(value=values)
def test_json_is_pythons(call, value):
    """Read, and written with line breaks."""
    for text in (json.dumps(value), json.dumps(value, indent=1, ensure_ascii=False)):
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            continue
        found = call("shared/json.mjs", "parse", text)
        assert found["problem"] is None
        assert call("shared/json.mjs", "plain", found["root"]) == value
        assert json.loads(call("shared/json.mjs", "pretty", found["root"])) == value


@MANY
@given(value=values, at=st.integers(0, 200), letter=st.sampled_from('{}[]",:\\x0-.e \n\x00'))
def test_json_that_is_broken_is_broken_for_python(call, value, at, letter):
    """One letter changed: both take it, or neither. Python's additions (NaN, Infinity) cannot come of that."""
    text = json.dumps(value)
    text = text[:at] + letter + text[at + 1 :]
    try:
        expected = json.loads(text)
    except json.JSONDecodeError:
        expected = ...
    found = call("shared/json.mjs", "parse", text)
    assert (found["problem"] is None) == (expected is not ...)
    if found["problem"]:
        assert 0 <= found["problem"]["at"] <= len(text)
    elif not has_infinity(expected):
        assert call("shared/json.mjs", "plain", found["root"]) == expected


def has_infinity(value):
    """Whether there is a number in it that JSON cannot carry back from Node."""
    if isinstance(value, list | dict):
        return any(has_infinity(one) for one in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and math.isinf(value)


def test_json_keeps_numbers_as_they_are(call):
    """2^53 + 1 is no JavaScript number, and 1.0 is not written 1."""
    text = '{"a": 9007199254740993, "b": 1.0, "c": 1E400, "d": -0}'
    root = call("shared/json.mjs", "parse", text)["root"]
    assert [member["value"]["raw"] for member in root["members"]] == ["9007199254740993", "1.0", "1E400", "-0"]
    assert call("shared/json.mjs", "pretty", root).split() == text.replace("{", "{ ").replace("}", " }").split()


def test_names_that_come_twice(call):
    """Each with its place and its path; equal names of different objects are no matter."""
    text = '{"a": {"b": 1, "b": 2}, "c": [{"b": 1}, {"b": 1, "\\u0062": 2}], "a": 3}'
    found = call("shared/json.mjs", "parse", text)["duplicates"]
    assert [(one["path"], one["name"]) for one in found] == [("a", "b"), ("c[1]", "b"), ("", "a")]
    assert [text[one["at"]] for one in found] == ['"'] * 3


def test_a_short_text_makes_no_endless_one(call):
    """Deep nesting is given up before the tab is."""
    text = "[" * 150 + ",".join(["[{}]"] * 5000) + "]" * 150
    root = call("shared/json.mjs", "parse", text)["root"]
    assert call("shared/json.mjs", "pretty", root, 100_000) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "now"),
        (-1, "1 second ago"),
        (-59, "59 seconds ago"),
        (-60, "1 minute ago"),
        (-75, "1 minute 15 seconds ago"),
        (-180, "3 minutes ago"),
        (-200, "3 minutes ago"),
        (900, "in 15 minutes"),
        (3600, "in 1 hour"),
        (7500, "in 2 hours 5 minutes"),
        (86_400, "in 1 day"),
        (-90_000, "1 day 1 hour ago"),
        (30 * 86_400, "in 30 days"),
        (-400 * 86_400, "1 year 34 days ago"),
        (1e12, "in 31,688 years"),
    ],
)
def test_times_as_people_say_them(call, seconds, words):
    """One unit where that is enough, two where it would be coarse."""
    assert call("shared/time.mjs", "relative", 1_800_000_000 + seconds, 1_800_000_000) == words


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_800_000_000, "2027-01-15T08:00:00Z"),
        (2**31, "2038-01-19T03:14:08Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (1.5, "1970-01-01T00:00:01.500Z"),
        (253_402_300_800, "+010000-01-01T00:00:00Z"),
        (1e13, None),
        (-1e13, None),
    ],
)
def test_instants(call, at, said):
    """As ISO 8601; what no calendar shows is nothing, and not a wrong date."""
    assert call("shared/time.mjs", "isoUtc", at) == said
    assert (call("shared/time.mjs", "local", at) is None) == (said is None)


@MANY
@given(raw=st.binary(max_size=80))
def test_what_is_no_key_is_refused_in_words(call, raw):
    """Random bytes in the place of a key or a certificate: never an error of the program, never a key."""
    for label in ("PUBLIC KEY", "CERTIFICATE", "RSA PUBLIC KEY"):
        pem = f"-----BEGIN {label}-----\n{base64.b64encode(raw).decode()}\n-----END {label}-----\n"
        assert call("jwt/keys.mjs", "readKeys", pem, {"format": "text"})["problem"]
