"""The routes of a Starlette application."""

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


async def missing(request):
    """What a library does not have."""
    return JSONResponse({"error": "there is no such thing here"}, 404)


def served(*, me, sign_in, sign_out=missing, refresh=missing, fill=missing, **how):
    """Return the application; *how* goes to Starlette."""
    routes = [
        Route("/me", me),
        Route("/sign-in", sign_in, methods=["POST"]),
        Route("/sign-out", sign_out, methods=["POST"]),
        Route("/refresh", refresh, methods=["POST"]),
        Route("/fill", fill, methods=["POST"]),
    ]
    return Starlette(routes=routes, **how)
