"""
A tiny site for the doctor: one that has nothing wrong, and whatever is made wrong of it.

    with served(page={"headers": {"x-content-type-options": None}}) as site:
        site.url, site.asked

Rules of this module:

1. What a site answers is data: ``ANSWERS``, path -> status, headers, body. A change names what is other than there.
2. It keeps what it was asked, so that a test can say what was never asked.
"""

from __future__ import annotations

import contextlib
import copy
import http.server
import json
import ssl
import threading
from types import SimpleNamespace

TOKEN = "Zb0-1x9dQm3nTq7sV5wX2yA4cE6gI8kMoRuLpHjFbDe"
_PASSWORD = '<input name="password" type="password" autocomplete="current-password">'
PAGE = f"""<!doctype html><title>Sign in</title>
<link rel="stylesheet" href="/style.css"><script src="/app.js"></script>
<form method="post" action="/sign-in"><input type="hidden" name="csrf_token" value="{TOKEN[::-1]}">
<input name="name">{_PASSWORD}<button>Sign in</button></form><a href="/help?topic=passwords">Help</a>"""
EC_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "kid": "one",
    "alg": "ES256",
    "use": "sig",
}
ALWAYS = {
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
    "content-type": "text/html; charset=utf-8",
}
SIGNED_IN = (
    f"HTTP/1.1 303 See Other\r\nLocation: /\r\nCache-Control: no-store\r\n"
    f"Set-Cookie: __Host-session={TOKEN}; Path=/; Max-Age=1209600; HttpOnly; Secure; SameSite=Lax\r\n\r\n"
)


def answers(origin):
    """What the good site answers."""
    metadata = {
        "issuer": origin,
        "jwks_uri": f"{origin}/.well-known/jwks.json",
        "authorization_endpoint": f"{origin}/authorize",
        "token_endpoint": f"{origin}/token",
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
    }
    as_json = ALWAYS | {"content-type": "application/json", "cache-control": "public, max-age=300"}
    return {
        "/": {"status": 303, "headers": ALWAYS | {"location": "/sign-in"}, "body": ""},
        "/sign-in": {"status": 200, "headers": dict(ALWAYS), "body": PAGE},
        "nowhere": {"status": 404, "headers": dict(ALWAYS), "body": "<title>Not found</title>"},
        "/.well-known/oauth-authorization-server": {"status": 200, "headers": dict(as_json), "body": metadata},
        "/.well-known/jwks.json": {"status": 200, "headers": dict(as_json), "body": {"keys": [EC_KEY]}},
    }


def changed(good, change):
    """The good answers with *change* in them: path -> headers (None takes one away), status, body, or a function."""
    found = copy.deepcopy(good)
    for path, other in change.items():
        one = found.setdefault(path, {"status": 200, "headers": dict(ALWAYS), "body": ""})
        one["status"] = other.get("status", one["status"])
        body = other.get("body", one["body"])
        one["body"] = body(one["body"]) if callable(body) else body
        one["headers"] |= other.get("headers", {})
        one["reflects"] = other.get("reflects")
    return found


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        site = self.server.site
        site.asked.append((self.command, self.path, dict(self.headers)))
        one = site.answers.get(self.path.partition("?")[0], site.answers["nowhere"])
        headers = {name: value for name, value in one["headers"].items() if value is not None}
        if one.get("reflects"):
            headers |= one["reflects"](self.headers)
        body = one["body"] if isinstance(one["body"], str) else json.dumps(one["body"])
        if callable(site.body):
            body = site.body(body, self.headers)
        raw = body.encode()
        self.send_response_only(one["status"])
        if "date" not in headers:
            self.send_header("Date", self.date_time_string())
        for name, value in headers.items():
            for each in value if isinstance(value, list) else [value]:
                self.send_header(name, each)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(raw)

    def do_HEAD(self):
        self.do_GET()

    def log_message(self, *args):
        """Say nothing."""


@contextlib.contextmanager
def served(change=None, *, certificate=None, host="localhost", body=None):
    """Serve the good site with *change* in it; with TLS if there is a certificate (a folder with cert.pem, key.pem)."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        scheme = "https"
    url = f"{scheme}://{host}:{server.server_port}"
    good = answers(url)
    server.site = SimpleNamespace(
        url=url, port=server.server_port, asked=[], answers=changed(good, change or {}), body=body
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
