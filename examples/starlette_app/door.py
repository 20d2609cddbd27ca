"""
What every request and every response passes: a limit on bodies, and the security headers.

Two small ASGI classes. Coatcheck's own middleware stands between them.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LONGEST = 16 * 1024

# Nothing is loaded but our own style sheet and icon, no script runs at all, and nobody can put these pages in a frame.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SECURITY_HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    # Not "no-referrer": that makes browsers send "Origin: null" with our own forms.
    (b"referrer-policy", b"same-origin"),
)


class WithSecurityHeaders:
    """Puts the security headers on every response, errors too: so it is the outermost of all."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3)."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS]
            await send(message)

        await self.app(scope, receive, send_with_headers)


class SmallBodies:
    """Answers 413 to bodies above 16 KiB: our forms are far smaller, and memory is not for strangers to fill."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3)."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        said = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not said.isdigit() or len(said) > 9 or int(said) > BODY_LONGEST:
            refusal = PlainTextResponse("This is more than this server takes.", status_code=413)
            return await refusal(scope, receive, send)
        so_far = 0

        # A body may also come in pieces, of a length that nobody said.
        async def receive_counting() -> Message:
            nonlocal so_far
            message = await receive()
            so_far += len(message.get("body", b""))
            if so_far > BODY_LONGEST:
                raise HTTPException(413)
            return message

        await self.app(scope, receive_counting, send)
