"""Coatcheck in FastAPI: the session as a dependency, and the claims of an access token as one."""

import os

from fastapi import FastAPI, Request

from coatcheck import Coatcheck, Policy
from coatcheck.fastapi import CurrentSession, SessionMiddleware
from coatcheck.fastapi import sign_in as enter
from coatcheck.fastapi import sign_out as leave

ISSUER = "https://app.example.com"
IS_JWT = os.environ["BENCH_VARIANT"] == "jwt"
auth = Coatcheck(
    os.environ["BENCH_STORE"], issuer=ISSUER if IS_JWT else None, policy=Policy(mode="jwt" if IS_JWT else "cookie")
)
app = FastAPI(lifespan=auth.lifespan)
app.add_middleware(SessionMiddleware, auth=auth)


@app.get("/me")
async def me(session: CurrentSession):
    """Who it is."""
    return {"sub": session.sub}


@app.post("/sign-in")
async def sign_in(request: Request, sub: str):
    """A session, and where it is asked for a token made from it."""
    if not IS_JWT:
        await enter(request, sub)
        return {"sub": sub}
    session = (await auth.sign_in(sub)).session
    return {"access_token": auth.access_token(session, audience=ISSUER)}


@app.post("/sign-out")
async def sign_out(request: Request, session: CurrentSession):
    """Everywhere, when it returns."""
    await leave(request)
    return {}
