"""What else a request says of itself, and what a response says to caches."""

import pytest

from coatcheck import ConfigError
from coatcheck.http import headers


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("/", True),
        ("/account", True),
        ("/a/b?c=d&e=//f#g", True),
        ("/a?next=https://evil.example", True),
        ("/%0d%0aSet-Cookie:x=y", True),
        ("/%2f%2fevil.example", True),
        ("/a//b", True),
        ("/" + "a" * 2047, True),
        ("/" + "a" * 2048, False),
        (None, False),
        ("", False),
        ("account", False),
        ("./account", False),
        ("//evil.example", False),
        ("///evil.example", False),
        ("/\\evil.example", False),
        ("\\\\evil.example", False),
        ("\\/evil.example", False),
        ("/a\\b", False),
        ("/\t/evil.example", False),
        ("/\n/evil.example", False),
        ("\t//evil.example", False),
        (" //evil.example", False),
        (" /a", False),
        ("/a b", False),
        ("/a\r\nLocation: x", False),
        ("/a\n", False),
        ("/\0", False),
        ("/\x7f", False),
        ("/é", False),
        ("/\u2028", False),
        ("/\uff0f/evil.example", False),
        ("https://evil.example", False),
        ("https:evil.example", False),
        ("https:/evil.example", False),
        ("javascript:alert(1)", False),
        ("?a=b", False),
        ("#a", False),
    ],
)
def test_safe_next(text, safe):
    """Only a path of this origin is followed; not what some browser reads as another host, nor what breaks a line."""
    assert headers.safe_next(text, otherwise="/home") == (text if safe else "/home")


def test_safe_next_falls_back_to_the_root():
    """Left out, the other place is the root."""
    assert headers.safe_next("//evil.example") == "/"


TRUSTED = headers.networks(["10.0.0.0/8", "192.168.1.1", "2001:db8::/32"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1, 192.168.1.1,10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        ("10.0.0.1", ["198.51.100.1, 192.168.1.2"], "192.168.1.2"),
        ("2001:db8::5", ["2001:DB9::0:1"], "2001:db9::1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["::ffff:10.0.0.2, 198.51.100.1, ::ffff:10.0.0.3"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:5000"], "10.0.0.1"),
        ("10.0.0.1", ["[2001:db9::1]:5000"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, "], "10.0.0.1"),
        ("10.0.0.1", ["<script>"], "10.0.0.1"),
        ("10.0.0.1", ["0x7f.1"], "10.0.0.1"),
        ("10.0.0.1", ["010.1.1.1"], "10.0.0.1"),
        (None, ["198.51.100.1"], None),
        ("unix:", ["198.51.100.1"], "unix:"),
    ],
)
def test_client_address(peer, forwarded, client):
    """From the right, the first that no trusted proxy owns; garbage ends the walk at the proxy that sent it."""
    assert headers.client_address(peer, forwarded, TRUSTED) == client


def test_without_a_trusted_proxy_the_header_is_ignored():
    """Anybody can write it."""
    assert headers.client_address("203.0.113.9", ["127.0.0.1"], ()) == "203.0.113.9"


@pytest.mark.parametrize("text", ["", "proxy.example", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "*"])
def test_networks_refuses(text):
    """A name, host bits or no address at all: refused while the program starts."""
    with pytest.raises(ConfigError) as refused:
        headers.networks([text])
    assert refused.value.setting == "trusted_proxies"


def test_hosts_of():
    """The Host values are those of the origins, ports included."""
    assert headers.hosts_of(["https://a.example", "http://localhost:8000"]) == {b"a.example", b"localhost:8000"}


@pytest.mark.parametrize(
    ("given", "vary", "control"),
    [
        ([], b"Cookie", b"private, no-cache"),
        ([(b"vary", b"Accept")], b"Accept, Cookie", b"private, no-cache"),
        ([(b"vary", b"cookie")], b"cookie", b"private, no-cache"),
        ([(b"vary", b"Accept, COOKIE ,Origin")], b"Accept, COOKIE, Origin", b"private, no-cache"),
        ([(b"vary", b"*")], b"*", b"private, no-cache"),
        ([(b"vary", b"Accept"), (b"vary", b"Origin")], b"Accept, Origin, Cookie", b"private, no-cache"),
        ([(b"vary", b"X-Cookie")], b"X-Cookie, Cookie", b"private, no-cache"),
        ([(b"cache-control", b"public")], b"Cookie", b"private"),
        ([(b"cache-control", b"public, max-age=60")], b"Cookie", b"private, max-age=60"),
        ([(b"cache-control", b"max-age=60, s-maxage=600")], b"Cookie", b"private, max-age=60"),
        ([(b"cache-control", b"S-MaxAge=600, PUBLIC")], b"Cookie", b"private"),
        ([(b"cache-control", b"no-store")], b"Cookie", b"no-store"),
        ([(b"cache-control", b"No-Store, Public")], b"Cookie", b"No-Store"),
        ([(b"cache-control", b"private, max-age=60")], b"Cookie", b"private, max-age=60"),
        ([(b"cache-control", b'private="x-y", max-age=60')], b"Cookie", b'private, private="x-y", max-age=60'),
        ([(b"cache-control", b"max-age=60"), (b"cache-control", b"public")], b"Cookie", b"private, max-age=60"),
        ([(b"cache-control", b"")], b"Cookie", b"private"),
        ([(b"cache-control", b"immutable, max-age=1")], b"Cookie", b"private, immutable, max-age=1"),
        ([(b"set-cookie", b"a=b")], b"Cookie", b"no-store"),
        ([(b"set-cookie", b"a=b"), (b"cache-control", b"public, max-age=60")], b"Cookie", b"no-store"),
        ([(b"Set-Cookie", b"a=b"), (b"Cache-Control", b"private"), (b"Vary", b"A")], b"A, Cookie", b"no-store"),
    ],
)  # fmt: skip
def test_private(given, vary, control):
    """Cookie is in Vary, shared caches have no permission left, and what sets a cookie is kept nowhere; each once."""
    made = headers.private(given)
    assert [value for name, value in made if name == b"vary"] == [vary]
    assert [value for name, value in made if name == b"cache-control"] == [control]
    others = [pair for pair in given if pair[0].lower() not in (b"vary", b"cache-control")]
    assert [pair for pair in made if pair[0] not in (b"vary", b"cache-control")] == others


def test_private_keeps_every_other_header():
    """Several cookies stay several fields, in their order (RFC 6265bis: never folded)."""
    given = [(b"content-type", b"text/html"), (b"set-cookie", b"a=b"), (b"x-y", b"z"), (b"set-cookie", b"c=d")]
    assert headers.private(given)[:4] == given
