"""Coatcheck in Starlette: the cookie, the JWT, and both."""

import asyncio
import os

from starlette.middleware import Middleware
from starlette.responses import JSONResponse

from benchmarks.peers._starlette import served
from coatcheck import Coatcheck, Policy, Refused
from coatcheck.asgi import SessionMiddleware
from coatcheck.asgi import sign_in as enter
from coatcheck.asgi import sign_out as leave

MODE, _, MEMORY = os.environ["BENCH_VARIANT"].partition("-")
ISSUER = "https://app.example.com"
auth = Coatcheck(
    os.environ["BENCH_STORE"],
    issuer=None if MODE == "cookie" else ISSUER,
    # Memory that has room for one: whoever comes after somebody else is read from the store.
    policy=Policy(mode=MODE, **({"cached_sessions": 1, "cached_tokens": 1} if MEMORY == "off" else {})),
)


async def me(request):
    """Who it is."""
    session = request.scope["coatcheck"]
    if session is not None:
        return JSONResponse({"sub": session.sub})
    claims = request.scope.get("coatcheck.claims")
    return JSONResponse({"sub": claims.sub}) if claims else JSONResponse({}, 401)


async def sign_in(request):
    """A session; and for who keeps no cookie, what is made from it."""
    sub = request.query_params["sub"]
    if MODE != "jwt":
        await enter(request, sub)
        return JSONResponse({"sub": sub})
    session = (await auth.sign_in(sub)).session
    pair = await auth.issue_refresh(session, client_id="app", audience=ISSUER, owns_session=True)
    return JSONResponse({"access_token": pair.access_token, "refresh_token": pair.refresh_token.reveal()})


async def sign_out(request):
    """Everywhere, when it returns."""
    if MODE != "jwt":
        await leave(request)
    else:
        await auth.revoke(request.scope["coatcheck.claims"].sid, reason="signed out")
    return JSONResponse({})


async def refresh(request):
    """The successor."""
    found = await auth.refresh(request.headers["x-refresh-token"], client_id="app")
    if isinstance(found, Refused):
        return JSONResponse({"error": found.reason}, 401)
    return JSONResponse({"access_token": found.access_token, "refresh_token": found.refresh_token.reveal()})


async def fill(request):
    """One session for each of so many people, all of them in the memory of this process."""
    first = int(request.query_params.get("from", 0))
    names = iter(range(first, first + int(request.query_params["n"])))

    async def some():
        for name in names:
            await auth.sign_in(f"user {name}", claims={"roles": ["member"]})

    await asyncio.gather(*(some() for _ in range(256)))
    return JSONResponse({})


calls = [0]


def _count(event):
    calls[0] += 1


if os.environ.get("BENCH_COUNT"):  # only where the statements that SQLite gets are counted
    import apsw

    hook = lambda connection: connection.trace_v2(apsw.SQLITE_TRACE_STMT, _count)  # noqa: E731  of two words
    apsw.connection_hooks.append(hook)


async def count(request):
    """How many statements there were."""
    return JSONResponse({"calls": calls[0]})


app = served(
    me=me,
    sign_in=sign_in,
    sign_out=sign_out,
    refresh=refresh,
    fill=fill,
    middleware=[Middleware(SessionMiddleware, auth=auth)],
    lifespan=auth.lifespan,
)
app.add_route("/count", count)
