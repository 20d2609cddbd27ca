"""
The server's application, put together. Floor 6; may import: floors 0 to 5.

    Hall → Health → Bodies → SessionMiddleware → routes: the JSON interface, the pages, the tools, static files
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from coatcheck import CoatcheckError
from coatcheck.asgi import SessionMiddleware
from coatcheck.server import api, feed, oauth, pages, tools
from coatcheck.server.door import Bodies, Hall
from coatcheck.server.metrics import Metrics
from coatcheck.server.site import Site

log = logging.getLogger("coatcheck.server")

# Without a session, or with one that must not count as activity.
EXCLUDED = ("/static/", "/live/", "/.well-known/", feed.PATH, tools.PREFIX)


def build_app(
    site: Site,
    *,
    https: bool = False,
    trusted_proxies: tuple[str, ...] = (),
    metrics: Metrics | None = None,
    opens: bool = True,
) -> ASGIApp:
    """
    Return the whole application.

    Args:
        opens: Whether it opens and closes *site* with its lifespan.
    """
    on_error = _errors(site)
    handlers: Any = {HTTPException: on_error, CoatcheckError: on_error, Exception: on_error}
    inside = Starlette(
        lifespan=site.lifespan if opens else None,
        routes=[*api.routes(site), *oauth.routes(site), *tools.routes(), *pages.routes(site)],
        exception_handlers=handlers,
    )
    guarded = SessionMiddleware(inside, auth=site.auth, exclude=EXCLUDED, trusted_proxies=trusted_proxies)
    metrics = metrics or Metrics()
    site.trail.count = metrics.count_event
    return Hall(Health(Bodies(guarded), site), https=https, count=metrics.count)


def _errors(site: Site) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def on_error(request: Request, error: Exception) -> Response:
        status = 500
        if isinstance(error, HTTPException):
            status = error.status_code
        elif isinstance(error, CoatcheckError):
            status = error.http_status
            log.warning("a request failed", extra={"code": error.code})
        path, headers = request.url.path, getattr(error, "headers", None)
        if path.startswith(api.PREFIXES):
            return await api.error(request, status, headers)
        if path.startswith(oauth.PREFIXES):
            return await oauth.error(request, status, headers)
        return await pages.error(site)(request, status, headers)

    return on_error


class Health:
    """
    Answers ``/healthz`` and ``/readyz``, whatever host they are asked for by: probes know addresses, not names.

    *healthz*: the process answers. *readyz*: the database answers, too.
    """

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3)."""
        if scope["type"] != "http" or scope["path"] not in ("/healthz", "/readyz"):
            return await self._app(scope, receive, send)
        scope["route"] = _Named(scope["path"])
        response: Response = PlainTextResponse("ok\n", headers={"cache-control": "no-store"})
        if scope["method"] not in ("GET", "HEAD"):
            response = PlainTextResponse("Only GET.\n", 405, {"allow": "GET, HEAD"})
        elif scope["path"] == "/readyz":
            try:
                await self._site.database.is_set_up()
                await self._site.auth.generation("nobody")
            except CoatcheckError:
                response = PlainTextResponse("the store does not answer\n", 503, {"retry-after": "5"})
        await response(scope, receive, send)


class _Named:
    def __init__(self, path: str) -> None:
        self.path = path
