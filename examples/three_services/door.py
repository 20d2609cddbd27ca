"""
The door: pages and programs come here, with a session in a cookie.

It asks the services in its visitor's name, with a token of a minute that names those who may take it.
"""

from __future__ import annotations

import os
import secrets
from typing import Annotated, Any

import httpx
from fastapi import Body, FastAPI, HTTPException, Request

from coatcheck import Coatcheck, Policy, Refused
from coatcheck.fastapi import CurrentSession, SessionMiddleware, sign_in
from examples.three_services.places import ISSUER, ORDERS, STORE

AUDIENCE = ("orders", "stock")  # not "mail": what nobody needs, nobody gets

auth = Coatcheck(STORE, issuer=ISSUER, policy=Policy(origins=(ISSUER,)))
app = FastAPI(title="The door", lifespan=auth.lifespan)
app.add_middleware(SessionMiddleware, auth=auth)

PASSWORD = os.environ.get("PASSWORD") or secrets.token_urlsafe(9)
if "PASSWORD" not in os.environ:
    print(f"Sign in as maria with the password {PASSWORD}", flush=True)


@app.post("/sign-in")
async def begin(request: Request, name: Annotated[str, Body()], password: Annotated[str, Body()]) -> dict[str, Any]:
    """Sign in."""
    if name != "maria" or not secrets.compare_digest(password.encode(), PASSWORD.encode()):
        raise HTTPException(401, "Name or password is not right")
    await sign_in(request, "maria", amr=("pwd",), claims={"roles": ["member"]})
    return {}


@app.get("/order")
async def order(session: CurrentSession) -> Any:
    """Ask for one's order: the door asks *orders*, which asks *stock* and *mail*, all with the same token."""
    token = await auth.fresh_token(session, audience=AUDIENCE, client_id="door")
    if isinstance(token, Refused):
        raise HTTPException(401, "Sign in again")
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{ORDERS}/order", headers={"authorization": f"Bearer {token}"})
    return answer.raise_for_status().json()
