"""Each check of a site has a site that fails it and nothing else."""

import base64
import json

import pytest
from tests.doctor import site as sites
from tests.doctor.site import EC_KEY, PAGE, SIGNED_IN, TOKEN

from coatcheck.cli.doctor.checks import Level, Status
from coatcheck.cli.doctor.seen import STRANGER
from coatcheck.cli.doctor.site import SITE


def jwt(head, claims):
    """A token that nobody signed, or somebody did not."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (head, claims)]
    return f"{parts[0]}.{parts[1]}.c2lnbmF0dXJl"


def headers(path="/sign-in", **other):
    """Other header fields at one path."""
    return {path: {"headers": {name.replace("_", "-"): value for name, value in other.items()}}}


def page(before, after):
    """The page with other words in it."""
    assert before in PAGE
    return {"/sign-in": {"body": PAGE.replace(before, after)}}


def signed_in(before, after):
    """The sign-in response with other words in it."""
    assert before in SIGNED_IN
    return SIGNED_IN.replace(before, after)


def keys(*changes, **more):
    """Other keys."""
    found = [{name: value for name, value in (EC_KEY | change).items() if value is not None} for change in changes]
    return {"/.well-known/jwks.json": {"body": {"keys": found}, **more}}


def metadata(**other):
    """Other metadata."""
    return {"/.well-known/oauth-authorization-server": {"body": lambda body: body | other}}


CSP = sites.ALWAYS["content-security-policy"]
RSA = {"kty": "RSA", "n": base64.urlsafe_b64encode(b"\xff" * 256).rstrip(b"=").decode(), "e": "AQAB", "alg": "PS256"}
NO_EC = {"crv": None, "x": None, "y": None}
OLD = {"alg": "none", "typ": "JWT"}, {"iat": 1_000, "exp": 1_900}
LONG = {"alg": "ES256", "typ": "JWT"}, {"iat": 1_000, "exp": 1_000 + 86_400}

ON_SITES = {
    "hsts": headers(strict_transport_security=None)
    | headers("/", strict_transport_security=None)
    | headers("nowhere", strict_transport_security=None),
    "hsts-age": headers(strict_transport_security="max-age=86400"),
    "nosniff": headers(x_content_type_options=None),
    "csp": headers(content_security_policy="object-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
    "csp-inline": headers(
        content_security_policy=CSP.replace("script-src 'self'", "script-src 'self' 'unsafe-inline'")
    ),
    "csp-base": headers(content_security_policy=CSP.replace("base-uri 'none';", "")),
    "frame-ancestors": headers(content_security_policy=CSP.partition("frame-")[0], x_frame_options="DENY"),
    "referrer-policy": headers(referrer_policy="unsafe-url"),
    "opener-policy": headers(cross_origin_opener_policy=None),
    "cors-any": headers(access_control_allow_origin="*"),
    "cors-reflected": {
        "/sign-in": {
            "reflects": lambda asked: {"access-control-allow-origin": asked.get("Origin", "https://a.example")}
        }
    },
    "forwarded-host": {
        "/sign-in": {"reflects": lambda asked: {"location": f"https://{asked.get('X-Forwarded-Host', 'a.example')}/"}}
    },
    "error-headers": headers("nowhere", content_security_policy=None),
    "debug-page": {"nowhere": {"body": "<pre>Traceback (most recent call last):\n  File 'x'</pre>"}},
    "server-version": headers(server="nginx/1.18.0"),
    "clock": headers(date="Wed, 21 Oct 2015 07:28:00 GMT"),
    "cache-sign-in": headers(cache_control="private, no-cache"),
    "cache-shared": {
        "/sign-in": {"headers": {"cache-control": "public, max-age=60"}, "body": "<title>Nothing to sign in to</title>"}
    },
    "session-anonymous": headers(set_cookie=f"__Host-session={TOKEN}; Path=/; HttpOnly; Secure; SameSite=Lax"),
    "session-in-url": page("/help?topic=passwords", f"/help?sessionid={TOKEN}"),
    "form-method": page('method="post"', 'method="get"'),
    "form-token": page(f'value="{TOKEN[::-1]}"', 'value=""'),
    "form-elsewhere": page('action="/sign-in"', 'action="https://sso.example.com/sign-in"'),
    "password-manager": page("current-password", "off"),
    "sign-out-link": page("/help?topic=passwords", "/log-out"),
    "mixed-content": page('src="/app.js"', 'src="http://cdn.example.com/app.js"'),
    "script-integrity": page('src="/app.js"', 'src="https://cdn.example.com/app.js"'),
    "metadata-issuer": metadata(issuer="https://other.example.com"),
    "metadata-jwks-uri": metadata(jwks_uri="https://other.example.com/jwks"),
    "metadata-grants": metadata(grant_types_supported=["authorization_code", "password"]),
    "metadata-pkce": metadata(code_challenge_methods_supported=["plain", "S256"]),
    "jwks-there": {"/.well-known/jwks.json": {"status": 500, "body": "no"}},
    "jwks-private": keys({"d": "x"}),
    "jwks-algorithm": keys(NO_EC | RSA | {"alg": "RS256", "n": RSA["n"] * 2}),
    "jwks-one-algorithm": keys({"alg": None}, {"kid": "two"}),
    "jwks-strength": keys(NO_EC | RSA),
    "jwks-kid": keys({}, {}),
    "jwks-cache": keys({}, headers={"cache-control": "public, max-age=604800"}),
}
IN_RESPONSES = {
    "cookie-secure": signed_in(" Secure;", "").replace("__Host-", "__Http-"),
    "cookie-prefix": signed_in("__Host-session", "session"),
    "cookie-prefix-kept": signed_in("Path=/;", "Path=/app;"),
    "cookie-domain": signed_in("__Host-session", "__Secure-session").replace("Path=/;", "Path=/; Domain=example.com;"),
    "cookie-http-only": signed_in(" HttpOnly;", ""),
    "cookie-same-site": signed_in("; SameSite=Lax", ""),
    "cookie-same-site-none": signed_in("=Lax", "=None"),
    "cookie-size": signed_in(TOKEN, TOKEN * 96),
    "cookie-twice": signed_in("\r\nSet-Cookie", "\r\nSet-Cookie: __Host-session=; Path=/; Max-Age=0\r\nSet-Cookie"),
    "cookie-lifetime": signed_in("Max-Age=1209600", "Max-Age=31536000"),
    "cookie-entropy": signed_in(TOKEN, "4711"),
    "cookie-uuid": signed_in(TOKEN, "123e4567-e89b-42d3-a456-426614174000"),
    "session-in-body": SIGNED_IN + f'{{"session": "{TOKEN}"}}',
    "jwt-algorithm": signed_in(TOKEN, jwt(*OLD)),
    "jwt-lifetime": signed_in(TOKEN, jwt(*LONG)),
    "cache-cookie": signed_in("Cache-Control: no-store\r\n", ""),
}
OTHERWISE = ("https", "tls-certificate", "form-https")


def test_every_check_has_a_site_that_fails_it():
    """None is forgotten here, and no id is there twice."""
    assert sorted([*ON_SITES, *IN_RESPONSES, *OTHERWISE]) == sorted(check.id for check in SITE)
    assert len(SITE) >= 25


def test_the_good_site_passes_all(examine, trusted):
    """And there is something to look at for every check."""
    with sites.served(certificate=trusted) as site:
        found = examine(site.url, SIGNED_IN.replace(TOKEN, jwt({"alg": "ES256"}, {"iat": 1_000, "exp": 1_900})) + "{}")
    assert {ident: one.seen for ident, one in found.items() if one.status is not Status.PASSED} == {}


def test_only_gets_of_one_origin(examine, trusted):
    """Whatever there is to look at, nothing is sent but GET, no cookie and no credentials, and not much in all."""
    with sites.served(certificate=trusted) as site:
        examine(site.url)
        assert {method for method, _, _ in site.asked} <= {"GET", "HEAD"}
        assert {asked["Host"] for _, _, asked in site.asked} == {site.url.partition("://")[2]}
        assert not any(name in asked for _, _, asked in site.asked for name in ("Cookie", "Authorization"))
        assert len(site.asked) < 15


@pytest.mark.parametrize("ident", ON_SITES)
def test_a_site_that_fails_one_check(failed, ident):
    """It fails that one, and no other."""
    assert failed(ON_SITES[ident]) == [ident]


@pytest.mark.parametrize("ident", IN_RESPONSES)
def test_a_sign_in_that_fails_one_check(failed, ident):
    """It fails that one, and no other."""
    assert failed(response=IN_RESPONSES[ident]) == [ident]


def test_a_site_without_tls(examine):
    """Over http there is one thing to say, but for this machine, where browsers trust it."""
    with sites.served(host="site.example") as site:
        found = examine(site.url, connect="127.0.0.1")
    assert [ident for ident, one in found.items() if one.status is Status.FAILED] == ["https"]
    with sites.served() as site:
        found = examine(site.url)
    assert [ident for ident, one in found.items() if one.status is Status.FAILED] == []


def test_a_certificate_that_nobody_trusts(examine, certificate):
    """It is said, and the rest is read all the same."""
    with sites.served(certificate=certificate) as site:
        found = examine(site.url)
    assert [ident for ident, one in found.items() if one.status is Status.FAILED] == ["tls-certificate"]


def test_a_password_that_leaves_tls(failed):
    """A form of the same host, but by http."""
    change = {"/sign-in": {"body": lambda body: body.replace('action="/sign-in"', 'action="http://HOST/sign-in"')}}
    found = failed(change, body=lambda body, asked: body.replace("HOST", asked["Host"]))
    assert found == ["form-https"]


@pytest.mark.parametrize("check", SITE, ids=lambda check: check.id)
def test_a_check_says_three_things(check):
    """A requirement, why it matters and what to do; the id is a name for scripts."""
    assert check.id == check.id.lower() and "_" not in check.id
    assert all(part.isdigit() for part in check.asvs.split(".")) and check.asvs.count(".") == 2
    assert check.why[0].isupper() and check.why.endswith(".")
    assert check.fix[0].isupper() and len(check.fix) > 20
    assert check.level in Level


def test_nothing_to_look_at_is_no_pass(examine):
    """Of a file alone, nothing is known of TLS, of headers and of keys."""
    found = examine(response=SIGNED_IN)
    assert {found[ident].status for ident in ("https", "hsts", "csp", "form-token", "jwks-private")} == {
        Status.NOT_SEEN
    }
    assert found["cookie-secure"].status is Status.PASSED


def test_no_value_is_ever_said(examine):
    """Neither of a cookie, nor of a token in a URL or in a body."""
    bad = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: sid={TOKEN}; Domain=a.example\r\n\r\n"
    found = examine(response=bad + f"<a href='/x?sid={TOKEN}'>{TOKEN}</a>")
    said = [sentence for one in found.values() for sentence in one.seen]
    assert len(said) > 5
    assert not any(TOKEN in sentence for sentence in said)


def test_what_a_stranger_is_called():
    """The name that is sent is nobody's, and never will be (RFC 2606)."""
    assert STRANGER.endswith(".invalid")
