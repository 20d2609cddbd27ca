"""A service of its own, with no store: all it knows is a ``Verifier`` on the feed."""

import contextlib
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from coatcheck import Verifier


def build(issuer):
    """Return the application; the credentials are in its environment."""
    verifier = Verifier(issuer, audience="orders", feed=issuer)

    @contextlib.asynccontextmanager
    async def lifespan(app):
        async with verifier:
            yield

    async def orders(request):
        claims = verifier.verify(request.headers["authorization"].removeprefix("Bearer "))
        if claims:
            return PlainTextResponse(claims.sub)
        return PlainTextResponse(claims.reason, 503 if claims.reason == "unsure" else 401)

    return Starlette(routes=[Route("/orders", orders)], lifespan=lifespan)


if __name__ == "__main__":
    uvicorn.run(build(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
