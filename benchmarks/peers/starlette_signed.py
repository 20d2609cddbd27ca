"""Starlette's own SessionMiddleware: the data travel in a signed cookie."""

from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import JSONResponse

from benchmarks.peers._starlette import served

DAY = 24 * 60 * 60


async def me(request):
    """Who it is."""
    sub = request.session.get("sub")
    return JSONResponse({"sub": sub}, 200 if sub else 401)


async def sign_in(request):
    """A new cookie."""
    request.session.clear()
    request.session["sub"] = request.query_params["sub"]
    return JSONResponse({"sub": request.session["sub"]})


async def sign_out(request):
    """The browser is told to forget it; what somebody copied lives on."""
    request.session.clear()
    return JSONResponse({})


app = served(
    me=me,
    sign_in=sign_in,
    sign_out=sign_out,
    middleware=[
        Middleware(
            SessionMiddleware,
            secret_key="of a benchmark, and as long as it should be: 0123456789abcdef",
            https_only=True,
            max_age=14 * DAY,
        )
    ],
)
