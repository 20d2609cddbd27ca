"""
Rows of the cross-origin tables that Go's ``net/http`` is tested with (CrossOriginProtection, ``csrf_test.go``).

Here a row is (name, method, path, Sec-Fetch-Site, Origin, served). Two rows of the path table are the other way round
on purpose: there a redirect to an exempt path was exempt, too (CVE-2025-47910).
"""

PUBLIC, TRUSTED, ATTACKER = "https://example.com", "https://trusted.example", "https://attacker.example"
EXEMPT = ("/bypass/", "/only/123")

FETCH_SITE = [
    ("same-origin", "POST", "/", "same-origin", None, True),
    ("none", "POST", "/", "none", None, True),
    ("cross-site", "POST", "/", "cross-site", None, False),
    ("same-site", "POST", "/", "same-site", None, False),
    ("no header, no origin", "POST", "/", None, None, True),
    ("no header, matching origin", "POST", "/", None, PUBLIC, True),
    ("no header, mismatched origin", "POST", "/", None, ATTACKER, False),
    ("no header, null origin", "POST", "/", None, "null", False),
    ("GET", "GET", "/", "cross-site", None, True),
    ("HEAD", "HEAD", "/", "cross-site", None, True),
    ("OPTIONS", "OPTIONS", "/", "cross-site", None, True),
    ("PUT", "PUT", "/", "cross-site", None, False),
]

TRUSTED_ORIGIN = [
    ("trusted, no header", "POST", "/", None, TRUSTED, True),
    ("trusted, cross-site", "POST", "/", "cross-site", TRUSTED, True),
    ("untrusted, no header", "POST", "/", None, ATTACKER, False),
    ("untrusted, cross-site", "POST", "/", "cross-site", ATTACKER, False),
]

EXEMPT_PATH = [
    ("exempt, no header", "POST", "/bypass/", None, ATTACKER, True),
    ("exempt, cross-site", "POST", "/bypass/", "cross-site", ATTACKER, True),
    ("other, no header", "POST", "/api/", None, ATTACKER, False),
    ("other, cross-site", "POST", "/api/", "cross-site", ATTACKER, False),
    ("dots to exempt (inverted)", "POST", "/foo/../bypass/bar", None, ATTACKER, False),
    ("exempt without its slash (inverted)", "POST", "/bypass", None, ATTACKER, False),
    ("dots to other", "POST", "/foo/../api/bar", None, ATTACKER, False),
    ("other without its slash", "POST", "/api", None, ATTACKER, False),
    ("exempt by name", "POST", "/only/123", None, ATTACKER, True),
    ("below exempt", "POST", "/only/123/foo", None, ATTACKER, False),
]

SERVER = [
    ("served: cross-site", "POST", "/", "cross-site", ATTACKER, False),
    ("served: same-origin", "POST", "/", "same-origin", None, True),
    ("served: origin is ours", "POST", "/", None, PUBLIC, True),
    ("served: trusted origin", "POST", "/", None, TRUSTED, True),
    ("served: untrusted origin", "POST", "/", None, ATTACKER, False),
    ("served: exempt path", "POST", "/bypass/", None, ATTACKER, True),
]

REQUESTS = FETCH_SITE + TRUSTED_ORIGIN + EXEMPT_PATH + SERVER

# (name, origin, may be configured). Differs in one row: http is only good on this machine.
ORIGINS = [
    ("valid", "https://example.com", True),
    ("valid with port", "https://example.com:8080", True),
    ("http (stricter here)", "http://example.com", False),
    ("missing scheme", "example.com", False),
    ("missing host", "https://", False),
    ("trailing slash", "https://example.com/", False),
    ("with path", "https://example.com/path", False),
    ("with query", "https://example.com?query=value", False),
    ("with fragment", "https://example.com#fragment", False),
    ("invalid", "https://ex ample.com", False),
    ("empty", "", False),
    ("null", "null", False),
]
