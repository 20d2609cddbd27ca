"""The application of the story, in Litestar."""

import asyncio
from typing import Any

from litestar import Litestar, Request, get, post
from litestar.params import JSONBody

from coatcheck import Coatcheck
from coatcheck.litestar import CurrentSession, MaybeSession, Sessions, require, sign_in, sign_out, signed_in


@get("/whoami")
async def whoami(maybe_session: MaybeSession) -> dict[str, Any]:
    session = maybe_session
    return {"sub": session and session.sub, "amr": list(session.amr) if session else []}


@get("/private", guards=[signed_in])
async def private(session: CurrentSession) -> dict[str, Any]:
    return {"sub": session.sub}


@get("/vault", guards=[require(fresh_s=300, amr="otp")])
async def vault() -> dict[str, Any]:
    return {}


@get("/office", guards=[require(claim=("roles", "admin"))])
async def office() -> dict[str, Any]:
    return {}


@post("/sign-in", status_code=200)
async def come(request: Request, data: JSONBody[dict[str, Any]]) -> dict[str, Any]:
    await sign_in(request, data["sub"], amr=data.get("amr", ()), claims={"roles": data.get("roles", [])})
    return {}


@post("/sign-out", status_code=200)
async def go(request: Request) -> dict[str, Any]:
    await sign_out(request)
    return {}


@get("/data")
async def data_of(request: Request) -> dict[str, Any]:
    return dict(request.session)


def build(stage):
    """Return the application on a stage."""
    auth = Coatcheck(stage.store, policy=stage.policy, secret=stage.secret, clock=stage.clock)

    @post(["/data", "/meet"], status_code=200)
    async def change(request: Request, data: JSONBody[dict[str, Any]]) -> dict[str, Any]:
        if request.url.path == "/meet":
            await asyncio.to_thread(stage.meeting.wait)
        request.session.update(data.get("set", {}))
        for key in data.get("unset", []):
            del request.session[key]
        return {}

    return Litestar(
        route_handlers=[whoami, private, vault, office, come, go, data_of, change], plugins=[Sessions(auth, data=True)]
    )
