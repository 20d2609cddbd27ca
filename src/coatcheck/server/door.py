"""
What every request and every response of the server passes. Floor 6; may import: floors 0 to 5.

From the outside in: security headers and counting (:class:`Hall`), a limit on the size of bodies and the time they take
(:class:`Bodies`), then the session middleware of the library.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LONGEST = 64 * 1024
BODY_S = 10.0
"""Seconds that a whole body may take."""

# Nothing is loaded but our own files, and nobody can put these pages in a frame.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_ALWAYS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    # Not "no-referrer": that makes browsers send "Origin: null" with our own forms.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_HSTS = (b"strict-transport-security", b"max-age=31536000")


class Hall:
    """
    Puts the security headers on every response, errors too, and counts it: so it is the outermost of all.

    Args:
        https: Whether browsers come by https; only then may they be told to come by nothing else.

        count: Called after each response with method, path pattern, status and seconds.
    """

    def __init__(self, app: ASGIApp, *, https: bool, count: Callable[[str, str, int, float], None]) -> None:
        self._app = app
        self._headers = (*_ALWAYS, _HSTS) if https else _ALWAYS
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3)."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status, began = 500, time.perf_counter()

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name for name, _ in message.get("headers", ())}
                more = (header for header in self._headers if header[0] not in present)
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            # The pattern, not the path: that is the visitor's to make up, and each would be a series of its own.
            route = scope.get("route")
            pattern = getattr(route, "path", "unmatched")
            self._count(scope["method"], pattern, status, time.perf_counter() - began)


class Bodies:
    """
    Answers 413 to bodies above 64 KiB, and 408 to those that take above 10 s: memory and time are not for strangers.

    Outside the session middleware, which reads the forms of old browsers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3)."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        said = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        too_long = not said.isdigit() or len(said) > 9 or int(said) > BODY_LONGEST
        so_far, until = 0, asyncio.get_running_loop().time() + BODY_S
        is_whole = False

        async def receive_bounded() -> Message:
            nonlocal so_far, is_whole
            if is_whole:
                return await receive()  # waits for the visitor to go away
            if too_long:
                raise HTTPException(413)
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408) from None
            if message["type"] == "http.disconnect":
                raise HTTPException(
                    400
                )  # in the middle of a body: nobody is left to hear it, and it is no fault of ours
            so_far += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if so_far > BODY_LONGEST:
                raise HTTPException(413)
            return message

        try:
            await self._app(scope, receive_bounded, send)
        except HTTPException as error:
            # Only from the session middleware: the application answers those that its handlers meet.
            await PlainTextResponse(error.detail, error.status_code)(scope, receive, send)
