"""Starlette, and nobody asks who it is."""

from starlette.responses import JSONResponse

from benchmarks.peers._starlette import served


async def me(request):
    """The same for everybody."""
    return JSONResponse({"sub": "maria"})


async def sign_in(request):
    """Nothing happens."""
    return JSONResponse({"sub": request.query_params["sub"]})


app = served(me=me, sign_in=sign_in)
