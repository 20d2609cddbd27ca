"""
``GET /forward-auth``: may this request pass the proxy, and as whom? Floor 6; may import: floors 0 to 5.

A proxy asks before it hands a request on to an upstream (nginx: ``auth_request``), and gives the upstream the access
token of the answer.

Rules of this module:

1. A listener of its own, for proxies only. The public application answers 404 here.
2. CSRF and the Origin of WebSocket handshakes are judged here, since the proxy's own request is always a GET. What is
   not said counts as unsafe, and so does what is said twice and differently.
3. Origins are configured. A header chooses among the configured upstreams and adds none.
4. Identity travels in the token only: for one audience, for 60 s, kept by nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from coatcheck import Coatcheck, Policy, Reason, Refused, Session, StoreUnavailable
from coatcheck.decide import csrf
from coatcheck.http import cookie
from coatcheck.http.headers import safe_next
from coatcheck.policy import LOOPBACK
from coatcheck.server.site import Site

log = logging.getLogger("coatcheck.server")

PATH = "/forward-auth"
LIFETIME_S = 60
RETRY_AFTER_S = 5
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_ONCE = ("x-original-uri", "x-forwarded-uri", "origin", "sec-fetch-site", "content-type")


@dataclass(frozen=True, slots=True)
class Upstream:
    """
    One application behind the proxy.

    Attributes:
        audience: Whom its tokens are for.

        origin: Under which browsers see it. policy: judges what its own pages, and no others, may send.
    """

    audience: str
    origin: str
    policy: Policy

    @classmethod
    def at(cls, host: str, audience: str, *, https: bool) -> Upstream:
        """Return the upstream that browsers ask for as *host*."""
        # Plain http is nobody's origin but this machine's: a page under http://host may be anybody's on the way.
        is_here = host in LOOPBACK or host.rpartition(":")[0] in LOOPBACK
        origins = (f"https://{host}", f"http://{host}") if is_here else (f"https://{host}",)
        # Of this upstream alone: the pages of another one are another site's here.
        return cls(audience, origins[0] if https else origins[-1], Policy(origins=origins))


def build_front_door(site: Site, *, audiences: Mapping[str, str], sign_in_url: str) -> ASGIApp:
    """
    Return the application of the proxies' listener.

    Args:
        site: Opened and closed by whoever serves this.

        audiences: For each host, as browsers ask for it (``app.example.com``, ``localhost:8443``), whom tokens are for.

        sign_in_url: Where visitors without a session are sent.

    Raises:
        ConfigError: A host is not one.
    """
    https = sign_in_url.startswith("https://")
    upstreams = {host: Upstream.at(host, audience, https=https) for host, audience in audiences.items()}
    app = Starlette(routes=[Route(PATH, FrontDoor(site.auth, upstreams, sign_in_url))])
    app.router.redirect_slashes = False
    return app


class FrontDoor:
    """
    Answers 200 with a token, 401 with where to sign in, 403, or 503 while the store does not answer.

    Any method will do: some proxies ask with the visitor's own.
    """

    def __init__(self, auth: Coatcheck, upstreams: Mapping[str, Upstream], sign_in_url: str) -> None:
        self._auth = auth
        self._upstreams = upstreams
        self._sign_in_url = sign_in_url
        self._sign_in_origin = "{0.scheme}://{0.netloc}".format(urlsplit(sign_in_url))
        self._cookie_name = auth.policy.cookie.name.encode("ascii")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3)."""
        response = await self._answer(Request(scope))
        response.headers["cache-control"] = "no-store"
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        headers = request.headers
        upstream = self._upstreams.get(_one(headers, "x-original-host", "x-forwarded-host").lower())
        if upstream is None:
            return _refuse("This door leads to no such host.", "host")
        if not self._may_send(upstream, request):
            return _refuse("This request did not come from a page of this site.", "cross-site")
        try:
            token = await self._token(headers, upstream)
        except StoreUnavailable:
            token = Refused(Reason.UNSURE)
        if isinstance(token, str):
            return Response(headers={"authorization": f"Bearer {token}"})
        if token is not None and token.reason is Reason.UNSURE:
            log.warning("the store does not answer; a request at the front door gets 503")
            return PlainTextResponse("Please try again in a moment.\n", 503, {"retry-after": str(RETRY_AFTER_S)})
        return self._send_to_sign_in(headers, upstream)

    @staticmethod
    def _may_send(upstream: Upstream, request: Request) -> bool:
        headers = request.headers
        if any(len(headers.getlist(name)) > 1 for name in _ONCE):
            return False  # no browser and no proxy sends one of these twice
        verdict = csrf.judge(
            upstream.policy,
            method=_method(request),
            path=_one(headers, "x-original-uri", "x-forwarded-uri"),
            sec_fetch_site=headers.get("sec-fetch-site"),
            origin=headers.get("origin"),
            content_type=headers.get("content-type"),
            websocket=_is_handshake(headers),
        )
        # Where only a form's token could tell, the answer is no: the forms are the upstream's, and so are their tokens.
        return verdict is csrf.Verdict.PASS

    async def _token(self, headers: Headers, upstream: Upstream) -> str | Refused | None:
        """Return a token for *upstream*, or why there is none; None for an anonymous visitor."""
        fields = [field.encode("latin-1") for field in headers.getlist("cookie")]
        sent = cookie.find_in(fields, self._cookie_name)
        if sent is None:
            return None
        token: str | Refused | None = None
        for _ in range(2):  # a session can leave memory between the check and the signing
            session = await self._auth.check(sent.decode("latin-1"))
            if isinstance(session, Refused):
                return session
            token = self._mint(session, upstream)
            if not isinstance(token, Refused) or token.reason is not Reason.UNSURE:
                break
        return token

    def _mint(self, session: Session, upstream: Upstream) -> str | Refused | None:
        if session.sub is None:
            return None  # a cart, not a person
        return self._auth.access_token(session, audience=upstream.audience, lifetime_s=LIFETIME_S)

    def _send_to_sign_in(self, headers: Headers, upstream: Upstream) -> Response:
        after = safe_next(_one(headers, "x-original-uri", "x-forwarded-uri"))
        if upstream.origin != self._sign_in_origin:
            after = upstream.origin + after
        where = f"{self._sign_in_url}?next={quote(after, safe='/')}"
        # Not a redirect: the proxy knows whether a page was asked for, or a program asked.
        more = {"www-authenticate": 'Cookie realm="coatcheck"', "x-sign-in": where}
        return PlainTextResponse("Please sign in.\n", 401, more)


def _refuse(text: str, why: str) -> Response:
    log.info("refused at the front door", extra={"why": why})
    return PlainTextResponse(text + "\n", 403)


def _one(headers: Headers, *names: str) -> str:
    """Return what all of *names* that are there say; nothing when two say different things."""
    said = {value for name in names for value in headers.getlist(name)}
    return said.pop() if len(said) == 1 else ""


def _method(request: Request) -> str:
    """Return the visitor's method; when nobody says it, or two say different things, the one that is judged hardest."""
    method = _one(request.headers, "x-original-method", "x-forwarded-method")
    is_contradicted = request.method not in _SAFE and request.method != method
    return "POST" if not method or is_contradicted else method


def _is_handshake(headers: Headers) -> bool:
    # The second and third are for proxies that were not told to say the first.
    return bool(
        headers.get("x-original-upgrade")
        or "sec-websocket-key" in headers
        or headers.get("sec-fetch-mode") == "websocket"
        or headers.get("upgrade", "").lower() == "websocket"
    )
