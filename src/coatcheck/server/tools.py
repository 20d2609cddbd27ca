"""
The tools for debugging, under ``/tools/``. Floor 6; may import: floors 0 to 5, and the tools.

Rules of this module:

1. A token that somebody pastes there is hostile, and the sessions' origin is this one. So the pages are in a sandbox:
   their origin is nobody's, and they can neither read what is ours nor send anything, anywhere.
2. They are the same for everybody: no session is looked up, and none is needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from coatcheck.tools import INDEX, TOOLS, Tool, build

PREFIX = "/tools/"


def routes() -> list[BaseRoute]:
    """Return the routes of all tools."""
    return [
        Route("/tools", _to_the_list, methods=["GET"]),
        *(Route(PREFIX + ("" if one is INDEX else one.name), _show(one), methods=["GET"]) for one in (INDEX, *TOOLS)),
    ]


def policy_of(page: build.Page) -> str:
    """Return the header that goes with a page: its own policy, and what only a header can say."""
    return f"sandbox allow-scripts allow-downloads; {page.policy}; frame-ancestors 'none'"


async def _to_the_list(request: Request) -> Response:
    return RedirectResponse(PREFIX, status_code=308)


def _show(tool: Tool) -> Callable[[Request], Awaitable[Response]]:
    async def show(request: Request) -> Response:
        page = build.page(tool, suffix="")
        body = page.text.encode()
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {
            "content-security-policy": policy_of(page),
            # By the standard (HTML, "cross-origin opener policies") a browser shows an error in the place of a page in
            # a sandbox with any other value. Chromium shows the page all the same; others need not.
            "cross-origin-opener-policy": "unsafe-none",
            "referrer-policy": "no-referrer",
            "cache-control": "no-cache",
            "etag": tag,
        }
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return HTMLResponse(body, headers=headers)

    return show
