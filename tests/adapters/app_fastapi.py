"""The application of the story, in FastAPI."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request

from coatcheck import Coatcheck, Session
from coatcheck.fastapi import CurrentSession, MaybeSession, SessionMiddleware, require, sign_in, sign_out


def build(stage):
    """Return the application on a stage."""
    auth = Coatcheck(
        stage.store, policy=stage.policy, secret=stage.secret, clock=stage.clock, issuer=stage.policy.origins[0]
    )
    app = FastAPI(lifespan=auth.lifespan)
    app.add_middleware(SessionMiddleware, auth=auth, data=True)

    @app.get("/whoami")
    async def whoami(session: MaybeSession) -> dict[str, Any]:
        return {"sub": session and session.sub, "amr": session.amr if session else []}

    @app.get("/private")
    def private(session: CurrentSession) -> dict[str, Any]:
        return {"sub": session.sub}

    @app.get("/vault", dependencies=[require(fresh_s=300, amr="otp")])
    async def vault() -> dict[str, Any]:
        return {}

    @app.get("/office")
    async def office(session: Annotated[Session, require(claim=("roles", "admin"))]) -> dict[str, Any]:
        return {"sub": session.sub}

    @app.post("/sign-in")
    async def come(
        request: Request,
        sub: Annotated[str, Body()],
        amr: Annotated[list[str], Body(default_factory=list)],
        roles: Annotated[list[str], Body(default_factory=list)],
    ) -> dict[str, Any]:
        await sign_in(request, sub, amr=amr, claims={"roles": roles})
        return {}

    @app.post("/sign-out")
    async def go(request: Request) -> dict[str, Any]:
        await sign_out(request)
        return {}

    @app.get("/data")
    async def data(request: Request) -> dict[str, Any]:
        return dict(request.session)

    @app.post("/data")
    @app.post("/meet")
    async def change(
        request: Request,
        set: Annotated[dict[str, Any], Body(default_factory=dict)],
        unset: Annotated[list[str], Body(default_factory=list)],
    ) -> dict[str, Any]:
        if request.url.path == "/meet":
            await asyncio.to_thread(stage.meeting.wait)
        request.session.update(set)
        for key in unset:
            del request.session[key]
        return {}

    return app
