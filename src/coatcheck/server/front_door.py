"""
``GET /forward-auth``: may this request pass the proxy, and as whom? Floor 6; may import: floors 0 to 5.

A proxy asks before it hands a request on to an upstream (nginx: ``auth_request``), and gives the upstream the access
token of the answer.

Rules of this module:

1. A listener of its own, for proxies only. The public application answers 404 here.
2. CSRF and the Origin of WebSocket handshakes are judged here, by what the proxy says of the visitor's request; its own
   is usually a GET. What is not said, or said twice, counts as unsafe.
3. Which header says it is configured (:mod:`.dialects`): a visitor may have sent the others. Origins are configured
   too; a header chooses among the configured upstreams and adds none.
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
from coatcheck.server.dialects import DIALECTS, Asked, Dialect
from coatcheck.server.site import Site

log = logging.getLogger("coatcheck.server")

PATH = "/forward-auth"
LIFETIME_S = 60
RETRY_AFTER_S = 5
_ONCE = ("origin", "sec-fetch-site", "sec-fetch-mode", "content-type")


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


def build_front_door(site: Site, *, audiences: Mapping[str, str], sign_in_url: str, proxy: str = "nginx") -> ASGIApp:
    """
    Return the application of the proxies' listener.

    Args:
        site: Opened and closed by whoever serves this.

        audiences: For each host, as browsers ask for it (``app.example.com``, ``localhost:8443``), whom tokens are for.

        sign_in_url: Where visitors without a session are sent.

        proxy: Which one asks, of :data:`.dialects.DIALECTS`.

    Raises:
        ConfigError: A host is not one.
    """
    https = sign_in_url.startswith("https://")
    upstreams = {host: Upstream.at(host, audience, https=https) for host, audience in audiences.items()}
    dialect = DIALECTS[proxy]
    door = FrontDoor(site.auth, upstreams, sign_in_url, dialect)
    paths = [PATH] if dialect.uri is not None else [PATH, PATH + "/{rest:path}"]
    app = Starlette(routes=[Route(path, door) for path in paths])
    app.router.redirect_slashes = False
    return app


class FrontDoor:
    """
    Answers 200 with a token, 401 with where to sign in, 403, or 503 while the store does not answer.

    Any method will do: some proxies ask with the visitor's own.
    """

    def __init__(self, auth: Coatcheck, upstreams: Mapping[str, Upstream], sign_in_url: str, dialect: Dialect) -> None:
        self._auth = auth
        self._dialect = dialect
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
        headers, asked = request.headers, self._dialect.read(request, path=PATH)
        upstream = self._upstreams.get(asked.host)
        if upstream is None:
            return _refuse("This door leads to no such host.", "host")
        if not _may_send(upstream, asked, headers):
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
        return self._send_to_sign_in(asked, upstream)

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

    def _send_to_sign_in(self, asked: Asked, upstream: Upstream) -> Response:
        after = safe_next(asked.uri)
        if upstream.origin != self._sign_in_origin:
            after = upstream.origin + after
        where = f"{self._sign_in_url}?next={quote(after, safe='/')}"
        # Not a redirect: the proxy knows whether a page was asked for, or a program asked.
        more = {"www-authenticate": 'Cookie realm="coatcheck"', "x-sign-in": where}
        return PlainTextResponse("Please sign in.\n", 401, more)


def _refuse(text: str, why: str) -> Response:
    log.info("refused at the front door", extra={"why": why})
    return PlainTextResponse(text + "\n", 403)


def _may_send(upstream: Upstream, asked: Asked, headers: Headers) -> bool:
    if any(len(headers.getlist(name)) > 1 for name in _ONCE):
        return False  # no browser sends one of these twice
    verdict = csrf.judge(
        upstream.policy,
        method=asked.method,
        path=asked.uri,
        sec_fetch_site=headers.get("sec-fetch-site"),
        origin=headers.get("origin"),
        content_type=headers.get("content-type"),
        websocket=_is_handshake(headers),
    )
    # Where only a form's token could tell, the answer is no: the forms are the upstream's, and so are their tokens.
    return verdict is csrf.Verdict.PASS


def _is_handshake(headers: Headers) -> bool:
    mode = headers.get("sec-fetch-mode")
    # Whatever is upgraded to, and whoever says so: proxies differ in what they pass on. The last is for one that passes
    # on none of it: each handshake has an Origin, and hardly another GET has one in a browser without Fetch Metadata.
    return bool(
        headers.get("x-original-upgrade")
        or headers.get("upgrade")
        or "sec-websocket-key" in headers
        or mode == "websocket"
        or (mode is None and "origin" in headers)
    )
