"""starsessions: a random id in the cookie, the data in Valkey."""

import os

from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starsessions import SessionAutoloadMiddleware, SessionMiddleware, regenerate_session_id
from starsessions.stores.redis import RedisStore

from benchmarks.peers._starlette import served

DAY = 24 * 60 * 60
store = RedisStore(os.environ["BENCH_VALKEY"])


async def me(request):
    """Who it is."""
    sub = request.session.get("sub")
    return JSONResponse({"sub": sub}, 200 if sub else 401)


async def sign_in(request):
    """A new id, and the row when the response goes out."""
    request.session["sub"] = request.query_params["sub"]
    regenerate_session_id(request)
    return JSONResponse({"sub": request.session["sub"]})


async def sign_out(request):
    """An empty session is removed from the store."""
    request.session.clear()
    return JSONResponse({})


async def fill(request):
    """Rows as its middleware writes them."""
    from starsessions.serializers import JsonSerializer

    written = JsonSerializer().serialize({"sub": "maria"})
    first = int(request.query_params.get("from", 0))
    for number in range(first, first + int(request.query_params["n"])):
        await store.write(f"{number:043}", written, lifetime=14 * DAY, ttl=14 * DAY)
    return JSONResponse({})


app = served(
    me=me,
    sign_in=sign_in,
    sign_out=sign_out,
    fill=fill,
    middleware=[
        Middleware(SessionMiddleware, store=store, lifetime=14 * DAY, rolling=False, cookie_https_only=True),
        Middleware(SessionAutoloadMiddleware),
    ],
)
