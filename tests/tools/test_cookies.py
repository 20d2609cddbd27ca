"""The cookie reader's pure modules: what browsers read, keep and refuse; what is missing; and the better line."""

import datetime as dt
import email.utils

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NOW = 1_800_000_000
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
GOOD = "__Host-session=8f4e2c6a; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=3600"


def read(call, text):
    return call("cookies/read.mjs", "readText", text)


def one(call, text):
    (cookie,) = read(call, text)["cookies"]
    return cookie


def fate(call, text):
    return call("cookies/judge.mjs", "fate", one(call, text), NOW)["kind"]


def codes(call, text):
    return [found["code"] for found in call("cookies/judge.mjs", "cookieFindings", one(call, text), NOW)]


def better(call, text):
    return call("cookies/judge.mjs", "corrected", one(call, text), NOW)


def test_a_whole_response_is_read(call):
    """Only Set-Cookie counts, whatever stands around it; also as curl and the network panel write it."""
    text = "HTTP/1.1 200 OK\r\nContent-Type: a=b\r\nset-cookie: a=1; Path=/\r\n< Set-Cookie:b=2\r\n\r\n<p>c=3</p>"
    found = read(call, text)
    assert [(cookie["name"], cookie["value"]) for cookie in found["cookies"]] == [("a", "1"), ("b", "2")]
    assert (found["isResponse"], found["isSent"], found["cacheControl"]) == (True, False, None)
    assert read(call, "cache-control: No-Store\nset-cookie: a=1")["cacheControl"] == "no-store"


def test_what_a_browser_sends_is_told_apart(call):
    """A Cookie header sets nothing."""
    found = read(call, "Cookie: a=1; b=2")
    assert found["cookies"] == [] and found["isSent"]


def test_lines_without_a_name_of_a_header_are_values(call):
    """As people copy them: with quotes, a comma behind them."""
    found = read(call, "'a=1; Secure',\n\nb=2")
    assert [cookie["name"] for cookie in found["cookies"]] == ["a", "b"]
    many = read(call, "a=1\n" * 60)
    assert (len(many["cookies"]), many["more"]) == (50, 10)


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        (" a = b = c ; Path=/", "a", "b = c"),
        ("a", "", "a"),
        ("=a", "", "a"),
        ('a="b;c"', "a", '"b'),
        ("a=", "a", ""),
    ],
)
def test_names_and_values_are_those_of_browsers(call, line, name, value):
    """RFC 6265bis, section 5.6: the first semicolon ends the pair, the first equals sign divides it."""
    cookie = one(call, line)
    assert (cookie["name"], cookie["value"]) == (name, value)


def test_of_two_attributes_the_later_counts(call):
    """And what cannot be understood counts for nothing."""
    takes = one(call, "a=b; path=/x; PATH=/y; Max-Age=5; max-age=x; SameSite=Strict; SameSite=odd; Domain=.Example.com")
    assert takes["takes"] | {"path": "/y", "maxAge": 5, "sameSite": None, "domain": "example.com"} == takes["takes"]
    assert {"twice", "age_odd", "samesite_odd"} <= set(codes(call, takes["line"]))


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (GOOD, "kept"),
        ("a=b", "session"),
        ("a=b; Max-Age=0", "deleted"),
        ("a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "deleted"),
        ("a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=9", "kept"),
        ("a=b; Expires=soon", "session"),
        ("a=\u0001", "refused"),
        ("", None),
        ("; Secure", "refused"),
        ("a=" + 4095 * "b", "session"),
        ("a=" + 4096 * "b", "refused"),
        ("a=b; SameSite=None", "refused"),
        ("a=b; SameSite=None; Secure", "session"),
        ("a=b; Partitioned", "refused"),
        ("__Host-a=b; Path=/", "refused"),
        ("__host-a=b; Secure; Path=/; Domain=example.com", "refused"),
        ("__Host-a=b; Secure", "refused"),
        ("__Host-a=b; Secure; Path=/", "session"),
        ("__Secure-a=b", "refused"),
        ("__Secure-a=b; Secure; Domain=example.com", "session"),
        ("=__Host-a", "refused"),
    ],
)
def test_what_becomes_of_it(call, line, kind):
    """Kept, kept until the browser closes, deleted, or refused."""
    assert kind is None if line == "" else fate(call, line) == kind


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (GOOD, []),
        ("a=b", ["no_secure", "no_httponly", "no_samesite", "no_prefix"]),
        ("csrftoken=b; Secure; SameSite=Lax", ["no_prefix"]),
        (GOOD.replace("Lax", "None"), ["samesite_none"]),
        ("a=b; Secure; HttpOnly; SameSite=Lax; Domain=example.com", ["domain", "no_prefix"]),
        ("__Secure-a=b; Secure; HttpOnly; SameSite=Lax; Path=/app", ["path"]),
        ("__Host-a=eyJh.eyJh.c2ln; Secure; HttpOnly; SameSite=Lax; Path=/", ["jwt"]),
        ("__Host-a=user=17; Secure; HttpOnly; SameSite=Lax; Path=/", ["guessable"]),
        (GOOD.replace("3600", "99999999"), ["too_long"]),
        (GOOD.replace("8f4e2c6a", "x" * 3000), ["large"]),
        (GOOD + "; HtpOnly", ["unknown"]),
        (GOOD + "; Secure=false", ["twice", "switched_off"]),
        ("b; Secure; HttpOnly; SameSite=Lax", ["nameless", "no_prefix"]),
        ("a=; Max-Age=0", []),
    ],
)
def test_what_is_missing(call, line, expected):
    """Worst first; and nothing is said of a cookie that only deletes."""
    assert codes(call, line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (GOOD, GOOD),
        ("a=b", "__Host-a=b; Path=/; Secure; HttpOnly; SameSite=Lax"),
        ("a=b; Domain=example.com; SameSite=Strict", "__Host-a=b; Path=/; Secure; HttpOnly; SameSite=Strict"),
        ("a=b; Path=/x", "__Secure-a=b; Path=/x; Secure; HttpOnly; SameSite=Lax"),
        ("xsrf=b; Max-Age=60", "__Host-xsrf=b; Path=/; Secure; SameSite=Lax; Max-Age=60"),
        ("a=; Max-Age=0", None),
        ("a=\u0001", None),
    ],
)
def test_the_better_line(call, line, expected):
    """It is kept by browsers, and there is nothing serious to say of it."""
    assert better(call, line) == expected
    if expected is not None:
        assert fate(call, expected) in ("kept", "session")
        assert {"no_secure", "no_httponly", "domain", "no_prefix"}.isdisjoint(codes(call, expected))


def test_a_response_with_a_cookie_is_not_for_caches(call):
    """Unless it says so itself, a cache may hand it to the next one."""

    def said(text):
        return [found["code"] for found in call("cookies/judge.mjs", "responseFindings", read(call, text))]

    assert said("HTTP/1.1 200 OK\nSet-Cookie: a=b") == ["cached"]
    assert said("HTTP/1.1 200 OK\nCache-Control: max-age=9\nSet-Cookie: a=b") == ["cached"]
    assert said("HTTP/1.1 200 OK\nCache-Control: no-store\nSet-Cookie: a=b") == []
    assert said("Set-Cookie: a=b") == []


@MANY
@given(at=st.integers(-10_000_000_000, 200_000_000_000), form=st.sampled_from(["rfc", "dashes", "asctime"]))
def test_dates_are_those_of_python(call, at, form):
    """In each of the three forms of RFC 9110, with a year of four digits."""
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=at)
    text = email.utils.format_datetime(moment, usegmt=True)
    if form == "dashes":
        day, month, year = text.split()[1:4]
        text = text.replace(f"{day} {month} {year}", f"{day}-{month}-{year}")
    elif form == "asctime":
        text = f"{text[:3]} {text[8:11]} {text[5:7]} {text[17:25]} {moment.year:04}"
    assert call("cookies/read.mjs", "readDate", text) == at


@pytest.mark.parametrize(
    ("text", "year"),
    [("1 jan 69 0:0:0", 2069), ("1 jan 70 0:0:0", 1970), ("1 jan 99 0:0:0", 1999), ("Sun Jan 1 12:0:0x 0027", 2027)],
)
def test_odd_dates_are_those_of_browsers(call, text, year):
    """RFC 6265, section 5.1.1: years of two digits, and parts in any order."""
    moment = dt.datetime.fromtimestamp(call("cookies/read.mjs", "readDate", text), dt.UTC)
    assert moment.year == year


@pytest.mark.parametrize(
    "text", ["", "soon", "31 feb 2027 0:0:0", "1 jan 2027", "1 jan 2027 24:0:0", "1 jan 1600 0:0:0"]
)
def test_what_is_no_date(call, text):
    """It counts for nothing."""
    assert call("cookies/read.mjs", "readDate", text) is None
