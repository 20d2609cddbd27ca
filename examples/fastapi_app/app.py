"""
A small complete FastAPI application.

Start it from the top folder:

    uvicorn examples.fastapi_app.app:app

It keeps sessions in ``coatcheck.db`` here. Elsewhere: ``STORE=postgresql://… ORIGIN=https://app.example.com``.
"""

from __future__ import annotations

import os
import secrets
from typing import Annotated, Any

from fastapi import Body, FastAPI, HTTPException, Request
from fastapi.responses import RedirectResponse

from coatcheck import Coatcheck, Policy, Refused, Session
from coatcheck.fastapi import CurrentSession, MaybeSession, SessionMiddleware, require, sign_in, sign_out

ORIGIN = os.environ.get("ORIGIN", "http://localhost:8000")
auth = Coatcheck(os.environ.get("STORE", "sqlite:///coatcheck.db"), policy=Policy(origins=(ORIGIN,)))
app = FastAPI(title="Coatcheck with FastAPI", lifespan=auth.lifespan)
app.add_middleware(SessionMiddleware, auth=auth, data=True)

# One person, so that this stays about sessions. Yours come from a database, with a password hash each.
PASSWORD = os.environ.get("PASSWORD") or secrets.token_urlsafe(9)
if "PASSWORD" not in os.environ:
    print(f"Sign in as maria with the password {PASSWORD}", flush=True)


def described(session: Session) -> dict[str, Any]:
    """Return what somebody may know of a session of theirs."""
    device = session.device
    return {"sid": session.sid, "ip": device.ip, "user_agent": device.user_agent, "seen_at": session.seen_at}


@app.get("/", include_in_schema=False)
async def home() -> RedirectResponse:
    """There are no pages here; /docs can do everything."""
    return RedirectResponse("/docs")


@app.post("/sign-in")
async def begin(request: Request, name: Annotated[str, Body()], password: Annotated[str, Body()]) -> dict[str, Any]:
    """Sign in, or again when a step asks for it."""
    # Read before the password is checked: who signs in while it is being changed gets nothing.
    generation = await auth.generation("maria")
    if name != "maria" or not secrets.compare_digest(password.encode(), PASSWORD.encode()):
        raise HTTPException(401, "Name or password is not right", {"WWW-Authenticate": 'Cookie realm="coatcheck"'})
    done = await sign_in(request, "maria", amr=("pwd",), claims={"roles": ["member"]}, generation=generation)
    if isinstance(done, Refused):
        raise HTTPException(409, "The password was changed just now; sign in again")
    return described(done.session)


@app.post("/sign-out")
async def end(request: Request) -> dict[str, Any]:
    """Sign out here."""
    await sign_out(request)
    return {}


@app.get("/me")
async def me(session: CurrentSession) -> dict[str, Any]:
    """Say who is asking, and which process answers."""
    return {"sub": session.sub, "process": os.getpid()}


@app.get("/sessions")
async def sessions(session: CurrentSession) -> list[dict[str, Any]]:
    """List where one is signed in."""
    return [described(one) for one in await auth.sessions_of(str(session.sub))]


@app.delete("/sessions/{sid}")
async def end_one(sid: str, session: CurrentSession) -> dict[str, Any]:
    """End one of one's own sessions: when this returns, no process accepts it."""
    if isinstance(await auth.revoke(sid, of=str(session.sub)), Refused):
        raise HTTPException(404, "There is no such session of yours")
    return {}


@app.post("/elsewhere/sign-out", dependencies=[require(fresh_s=300)])
async def end_others(session: CurrentSession) -> dict[str, Any]:
    """End all one's sessions but this one. Needs a sign-in of the last five minutes."""
    await auth.revoke_user(str(session.sub), keep=session.sid)
    return {}


@app.get("/cart")
async def cart(request: Request, session: MaybeSession) -> dict[str, Any]:
    """Show what is in the cart; anybody has one, and it is still there after the sign-in."""
    return {"of": session and session.sub, "cart": request.session.get("cart", [])}


@app.post("/cart")
async def put(request: Request, thing: Annotated[str, Body(embed=True, max_length=100)]) -> dict[str, Any]:
    """Put something into the cart."""
    request.session.setdefault("cart", []).append(thing)
    return {"cart": request.session["cart"]}
