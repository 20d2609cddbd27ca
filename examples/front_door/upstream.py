"""
An application behind the front door. It knows nobody by a header: who it is says the access token, or nobody does.

It answers with what came, so that you can see what the proxy lets through.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from coatcheck import Claims, Verifier


def build_upstream(name: str, *, issuer: str, store: str) -> Starlette:
    """
    Return the application *name*, which takes the tokens for that audience.

    Args:
        issuer: The public address of ``coatcheck serve``. store: its store, where revocations are told.
    """
    verifier = Verifier(issuer, audience=name, feed=store)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with verifier:
            yield

    def visitor(connection: HTTPConnection) -> Claims | None:
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        claims = verifier.verify(token) if scheme == "Bearer" else None
        return claims if isinstance(claims, Claims) else None

    async def show(request: Request) -> Response:
        claims = visitor(request)
        if claims is None:
            return JSONResponse({"error": "no token for this application"}, 401)
        return JSONResponse(
            {
                "application": name,
                "sub": claims.sub,
                "sid": claims.sid,
                "audience": claims.audience,
                "lives_s": claims.expires_at - claims.issued_at,
                "method": request.method,
                "headers": request.headers.items(),
            }
        )

    async def greet(socket: WebSocket) -> None:
        claims = visitor(socket)
        if claims is None:
            return await socket.close(1008)
        await socket.accept()
        await socket.send_text(claims.sub)
        await socket.close()

    return Starlette(
        lifespan=lifespan,
        routes=[
            WebSocketRoute("/live", greet),
            Route("/{path:path}", show, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ],
    )
