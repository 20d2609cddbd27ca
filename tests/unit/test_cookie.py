"""Cookies: ours is found or it is not, and nothing is written that no cookie may hold."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coatcheck import CookiePolicy, InvalidInput
from coatcheck.http import cookie

NAME = b"__Host-session"
DAY = 86_400


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (b"__Host-session=v", b"v"),
        (b"a=1; __Host-session=v", b"v"),
        (b"__Host-session=v; a=1", b"v"),
        (b"a=1; __Host-session=v; b=2", b"v"),
        (b"a=1;__Host-session=v;b=2", b"v"),
        (b"a=1;\t __Host-session=v \t; b=2", b"v"),
        (b"  __Host-session=v", b"v"),
        (b"__Host-session= v ", b"v"),
        (b"__Host-session=", b""),
        (b"__Host-session=a=b==", b"a=b=="),
        (b'__Host-session="v"', b'"v"'),
        (b"a=__Host-session=x; __Host-session=v", b"v"),
        (b"__Host-session=v; a=__Host-session=x", b"v"),
        (b"__Host-session=v; __Host-session", b"v"),
        (b";;; __Host-session=v;;;", b"v"),
        (b"\xff\xfe=\x80; __Host-session=v", b"v"),
        (b"", None),
        (b";", None),
        (b"__Host-session", None),
        (b"a=1", None),
        (b"=v", None),
        (b"=__Host-session=v", None),
        (b"; =__Host-session=v", None),
        (b"__host-session=v", None),
        (b"__HOST-SESSION=v", None),
        (b"x__Host-session=v", None),
        (b"__Host-sessionx=v", None),
        (b"__Host-session =v", None),
        (b"__Host-session\t=v", None),
        (b"\x0b__Host-session=v", None),
        (b"\xa0__Host-session=v", None),
        (b"a=1, __Host-session=v", None),
        (b'a="; __Host-session=v', b"v"),
        (b"__Host-session=v; __Host-session=v", None),
        (b"__Host-session=v;__Host-session=w", None),
        (b"__Host-session=v; a=1; __Host-session=", None),
        (b"__Host-session=; __Host-session=v", None),
        (b"__Host-session=a; __Host-session=b; __Host-session=c", None),
    ],
)
def test_find(header, value):
    """Exactly one pair with exactly our name, and its value; twice, near or nameless is not found."""
    assert cookie.find(header, NAME) == value


def test_find_ends_at_32_kib():
    """The last length that is read, and the first that is not, on both ways through."""
    for tail in (b"; __Host-session=v", b";__Host-session=v"):
        filling = b"a=" + b"x" * (cookie.HEADER_LONGEST - len(tail) - 2)
        assert cookie.find(filling + tail, NAME) == b"v"
        assert cookie.find(filling + b"x" + tail, NAME) is None


def test_several_fields_are_one():
    """HTTP/2 may split the header; a second cookie of our name in another field counts as twice."""
    assert cookie.find_in([b"a=1", b"__Host-session=v", b"b=2"], NAME) == b"v"
    assert cookie.find_in([b"__Host-session=v", b"__Host-session=w"], NAME) is None
    assert cookie.find_in([], NAME) is None
    assert cookie.find_in([b"x" * cookie.HEADER_LONGEST, b"__Host-session=v"], NAME) is None


PIECES = st.sampled_from(
    [b"__Host-session", b"__Host-session=", b"=", b";", b"; ", b" ", b"\t", b"a", b"a=1", b"v", b'"', b",", b"\0",
     b"\xff", b"__host-session=x", b"x__Host-session=y"]
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES | st.binary(max_size=3), max_size=12).map(b"".join))
@example(b"foo=__Host-session=x; __Host-session=v")
def test_the_quick_way_finds_what_the_plain_way_finds(header):
    """Whatever the bytes, there is no error, and the shortcut never changes the answer."""
    assert cookie.find(header, NAME) == cookie._find_among(header, NAME)


@settings(deadline=None)
@given(st.binary(), st.lists(st.binary()))
def test_no_bytes_are_an_error(header, fields):
    """Any header is anonymous, or has one value."""
    for found in (cookie.find(header, NAME), cookie.find_in(fields, NAME)):
        assert found is None or isinstance(found, bytes)


@pytest.mark.parametrize(
    ("policy", "max_age_s", "written"),
    [
        (CookiePolicy(), None, "__Host-session=v; Path=/; HttpOnly; Secure; SameSite=Lax"),
        (CookiePolicy(), 60, "__Host-session=v; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"),
        (CookiePolicy(), 0, "__Host-session=v; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"),
        (CookiePolicy(), -5, "__Host-session=v; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"),
        (CookiePolicy(), 401 * DAY, "__Host-session=v; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax"),
        (CookiePolicy(name="s", secure=False), None, "s=v; Path=/; HttpOnly; SameSite=Lax"),
        (
            CookiePolicy(name="__Secure-s", domain="example.com", path="/app", same_site="None"),
            1,
            "__Secure-s=v; Path=/app; Domain=example.com; Max-Age=1; HttpOnly; Secure; SameSite=None",
        ),
    ],
)
def test_write(policy, max_age_s, written):
    """The text, exactly; every attribute at most once, Path and SameSite always."""
    assert cookie.write(policy, "v", max_age_s=max_age_s) == written


@pytest.mark.parametrize(
    "value",
    [
        *(f"a{chr(code)}b" for code in [*range(0x21), 0x22, 0x2C, 0x3B, 0x5C, *range(0x7F, 0xA1)]),
        "é", "\u2028", "\ud800", "v\r\nSet-Cookie: a=b", "v; Domain=evil.example", "v\n", "\nv",
    ],
    ids=ascii,
)  # fmt: skip
def test_write_refuses(value):
    """Controls, space, quotes, comma, semicolon, backslash and what is not ASCII; the value is not repeated."""
    with pytest.raises(InvalidInput) as refused:
        cookie.write(CookiePolicy(), value, max_age_s=None)
    assert refused.value.field == "cookie"
    assert value not in str(refused.value)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_written_is_well_formed_or_refused(value):
    """Whatever the value, what is written holds it whole, reads back equal, and adds no attribute."""
    try:
        written = cookie.write(CookiePolicy(), value, max_age_s=None)
    except InvalidInput:
        return
    assert written == f"__Host-session={value}; Path=/; HttpOnly; Secure; SameSite=Lax"
    assert written.isascii()
    assert written.isprintable()
    assert cookie.find(written.partition("; ")[0].encode(), NAME) == value.encode()
