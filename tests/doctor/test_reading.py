"""What the doctor reads: pages, cookies, saved responses and addresses, whoever wrote them."""

import ipaddress
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.cli.doctor import address, saved
from coatcheck.cli.doctor.answer import Answer, cookie, jwts_in
from coatcheck.cli.doctor.checks import run
from coatcheck.cli.doctor.page import Page, tags
from coatcheck.cli.doctor.seen import Seen, bare, origin_of
from coatcheck.cli.doctor.site import SITE
from coatcheck.cli.mistakes import Mistake

HOSTILE = [
    *("<!--", "<!", "<a ", "<", '<a href="', "<a b='", "<?", "</", "</a ", "<![CDATA[", "<script>", "&", "<a =", "<a/"),
    *(
        "<form><input ",
        "<title>",
        "\n at ",
        "\n\n",
        "eyJ",
        "eyJa.",
        "eyJ.a",
        "/node_modules/",
        "\0",
        "<a a=a a",
        "'\"<",
    ),
]


@pytest.mark.parametrize("unit", HOSTILE, ids=repr)
def test_no_page_takes_long(unit):
    """A megabyte of whatever is worst for a parser is read; that it comes to an end is the test."""
    page = Answer(
        what="GET /", status=200, fields=(("content-type", "text/html"),), body=(unit * 1_000_000)[:1_000_000].encode()
    )
    assert run(SITE, Seen(origin="https://a.example", visited=(page,), missing=page, saved=(page,), now=0))


@given(st.text(alphabet=string.ascii_letters + "<>/='\"! -&;\n", max_size=200))
def test_any_text_is_a_page(text):
    """Whatever it holds, reading it raises nothing, and what follows a whole tag is found."""
    Page(text)
    assert [tag for tag, _ in tags(f"<p>{'x' * len(text)}<b c=d>")] == ["p", "b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<A HREF=/x>", [("a", {"href": "/x"})]),
        ('<a href="/x?a=1&amp;b=2" href="/y">', [("a", {"href": "/x?a=1&b=2"})]),
        ("<a href='/x'class=y disabled>", [("a", {"href": "/x", "class": "y", "disabled": ""})]),
        ("<a href = /x/>", [("a", {"href": "/x/"})]),
        ("<br/><input/>", [("br", {}), ("input", {})]),
        ("<!-- <form> --><p>", [("p", {})]),
        ("<script>'<form>'</script><p>", [("script", {}), ("/script", {}), ("p", {})]),
        ("1 < 2 <p>", [("p", {})]),
        ("<a href='/x", []),
        ("<a href=/x", []),
        ("</form >", [("/form", {})]),
    ],
)
def test_tags_are_read_as_browsers_do(text, expected):
    """Names in small letters, the first of an attribute, entities, and nothing of what does not end."""
    assert list(tags(text)) == expected


@pytest.mark.parametrize(
    ("field", "name", "attributes"),
    [
        ("a=b", "a", {}),
        (" a = b ; Secure ;HTTPONLY; path = /x ", "a", {"secure": "", "httponly": "", "path": "/x"}),
        ("a=b; Path=/x; Path=/", "a", {"path": "/"}),
        ("a=b;;Secure", "a", {"": "", "secure": ""}),
    ],
)
def test_cookies_are_read_as_browsers_do(field, name, attributes):
    """The last of an attribute counts, and letters may be of either size."""
    found = cookie(field)
    assert (found.name, found.attributes) == (name, attributes)
    assert "b" not in repr(found)


@pytest.mark.parametrize("field", ["", "a", "=b", ";a=b", " =b; Secure"])
def test_what_is_no_cookie(field):
    """Is dropped."""
    assert cookie(field) is None


@pytest.mark.parametrize(
    ("value", "bits"),
    [("4711", 13), ("deadbeef" * 4, 128), ("DEADBEEF" * 4, 128), ("z" * 26, 134), ("Zz-_" * 11, 264), ("%41" * 4, 16)],
)
def test_how_random_a_value_can_be(value, bits):
    """By its length and its alphabet; more it cannot be."""
    assert int(cookie(f"a={value}").most_bits) == bits


@pytest.mark.parametrize(
    "name",
    [
        "PHPSESSID",
        "JSESSIONID",
        "connect.sid",
        "sid",
        "__Host-session",
        "laravel_session",
        "ASP.NET_SessionId",
        ".AspNetCore.Identity",
    ],
)
def test_names_of_sessions(name):
    """Those that frameworks give."""
    assert cookie(f"{name}=x").looks_like_session


@pytest.mark.parametrize(
    "name", ["sidebar", "author", "csrftoken", "XSRF-TOKEN", "theme", "logged_in", "_ga", "assessor", "session_lang"]
)
def test_names_that_are_none(name):
    """A finding about those would be a false alarm."""
    assert not cookie(f"{name}=x").looks_like_session


def test_cookies_that_go_away():
    """Are no sessions: by age, by date, or without a value."""
    assert [cookie(f"sid={field}").is_deletion(1_000) for field in ("x; Max-Age=0", "; Path=/", "x; Max-Age=9")] == [
        True,
        True,
        False,
    ]
    assert cookie("sid=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT").is_deletion(1_000)
    assert not cookie("sid=x; Expires=nonsense").is_deletion(1_000)


def test_a_token_is_found_where_a_word_begins():
    """Also behind what is around it in a cookie or a body."""
    token = "eyJhbGciOiJub25lIn0.eyJhIjoxfQ."
    assert jwts_in(f'{{"token": "{token}"}} Bearer {token}x') == [token, token + "x"]
    assert jwts_in("xeyJa.b.c") == []
    assert cookie(f"a=s%3A{token}").jwt == token


@given(st.binary(max_size=300))
def test_any_file_is_read(raw):
    """What is no response is none; nothing is raised."""
    saved.parse(raw)
    saved.parse(b"HTTP/1.1 200 OK\r\n" + raw)


def test_saved_responses():
    """Status lines of every version, or fields alone; what follows is the body."""
    (one,) = saved.parse(b"set-cookie: a=b\nX-Y:z\n\nbody\n\nmore")
    assert (one.status, one.all("set-cookie"), one.one("x-y"), one.body) == (200, ["a=b"], "z", b"body\n\nmore")
    text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 302 Found\r\nA: 1\r\n\r\nHTTP/2 200 \r\nb: 2\r\n\r\nx"
    assert [(one.status, one.fields) for one in saved.parse(text)] == [(302, (("a", "1"),)), (200, (("b", "2"),))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, True) for text in ("1.1.1.1", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8")),
        *(
            (text, False)
            for text in ("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0")
        ),
        *((text, False) for text in ("100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1")),
        *(
            (text, False)
            for text in ("::ffff:127.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "ff02::1", "::ffff:169.254.169.254")
        ),
    ],
)
def test_which_addresses_are_public(text, expected):
    """One that hides another is judged by that."""
    assert address.is_public(ipaddress.ip_address(text)) is expected


@pytest.mark.parametrize(
    ("url", "origin", "path"),
    [
        ("https://Shop.Example.com", "https://shop.example.com", "/"),
        ("https://shop.example.com:443/a?b=c#d", "https://shop.example.com", "/a?b=c"),
        ("http://[::1]:8000/ü x", "http://[::1]:8000", "/%C3%BC%20x"),
        ("https://bücher.example/", "https://xn--bcher-kva.example", "/"),
        ("https://a.example/\r\nX: y", "https://a.example", "/X:%20y"),
    ],
)
def test_urls(url, origin, path):
    """As browsers write them; nothing in one begins a line of its own."""
    found = address.target(url)
    assert (found.origin, found.path) == (origin, path)


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_a_mistake(text):
    """Nothing else comes of it, and a mistake does not repeat it."""
    try:
        found = address.target(text)
    except Mistake as told:
        assert len(text) < 8 or text not in told.detail
    else:
        assert found.path.isascii() and " " not in found.path and found.host.isascii()


def test_origins():
    """Whatever is no http has none; a query is not shown."""
    found = [
        origin_of(url) for url in ("https://a:443/x", "HTTP://A:80", "javascript:1", "https://[", "/x", "https://a:x/")
    ]
    assert found == ["https://a", "http://a", "", "", "", ""]
    assert bare("https://a/x?token=hidden#y") == "https://a/x"


def test_findings_are_bounded():
    """A site with a thousand faults of one kind is told in a few lines."""
    names = random.sample(range(10_000), 1_000)
    one = Answer(what="GET /", status=200, fields=tuple(("set-cookie", f"c{name}=x") for name in names))
    found = {result.id: result for result in run(SITE, Seen(saved=(one,), now=0))}
    assert len(found["cookie-secure"].seen) == 6
    assert found["cookie-secure"].seen[-1] == "and 995 more of the kind"
