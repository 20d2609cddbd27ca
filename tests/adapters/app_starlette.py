"""The application of the story, in Starlette."""

import asyncio

from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from coatcheck import Coatcheck
from coatcheck.asgi import SessionMiddleware, sign_in, sign_out
from coatcheck.decide.step_up import Requirement

VAULT = Requirement(fresh_s=300, amr="otp")


def build(stage):
    """Return the application on a stage."""
    auth = Coatcheck(stage.store, policy=stage.policy, secret=stage.secret, clock=stage.clock)

    async def whoami(request):
        session = request.scope["coatcheck"]
        return JSONResponse({"sub": session and session.sub, "amr": list(session.amr) if session else []})

    @requires("authenticated", status_code=401)
    async def private(request):
        return JSONResponse({"sub": request.user.identity})

    @requires("authenticated", status_code=401)
    async def vault(request):
        lack = VAULT.lack(request.scope["coatcheck"], now=auth.clock.now())
        if lack is not None:
            return JSONResponse({}, lack.status, {"www-authenticate": lack.challenge("Cookie")})
        return JSONResponse({})

    @requires("authenticated", status_code=401)
    @requires("admin", status_code=403)
    async def office(request):
        return JSONResponse({})

    async def come(request):
        sent = await request.json()
        await sign_in(request, sent["sub"], amr=sent.get("amr", ()), claims={"roles": sent.get("roles", [])})
        return JSONResponse({})

    async def go(request):
        await sign_out(request)
        return JSONResponse({})

    async def data(request):
        return JSONResponse(dict(request.session))

    async def change(request):
        sent = await request.json()
        if request.url.path == "/meet":
            await asyncio.to_thread(stage.meeting.wait)
        request.session.update(sent.get("set", {}))
        for key in sent.get("unset", []):
            del request.session[key]
        return JSONResponse({})

    return Starlette(
        routes=[
            Route("/whoami", whoami),
            Route("/private", private),
            Route("/vault", vault),
            Route("/office", office),
            Route("/sign-in", come, methods=["POST"]),
            Route("/sign-out", go, methods=["POST"]),
            Route("/data", data),
            Route("/data", change, methods=["POST"]),
            Route("/meet", change, methods=["POST"]),
        ],
        middleware=[Middleware(SessionMiddleware, auth=auth, data=True)],
        lifespan=auth.lifespan,
    )
