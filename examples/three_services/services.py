"""
The three services. None has a session of its own, none asks anybody: each verifies the token it was given, from memory.

Their keys and revocations come from the store. Where they cannot reach it, give the issuer's URL in its place:
``feed="https://auth.example.com"``.
"""

from __future__ import annotations

from typing import Any

import httpx
from fastapi import FastAPI, Request

from coatcheck import Verifier
from coatcheck.fastapi import AccessClaims
from examples.three_services.places import ISSUER, MAIL, STOCK, STORE


def service(audience: str) -> FastAPI:
    """Return an application that takes tokens for *audience*."""
    return FastAPI(title=audience, lifespan=Verifier(ISSUER, audience=audience, feed=STORE).lifespan)


orders, stock, mail = service("orders"), service("stock"), service("mail")


@orders.get("/order")
async def order(request: Request, claims: AccessClaims) -> dict[str, Any]:
    """Put an order together. The token that came is passed on as it is."""
    passed_on = {"authorization": request.headers["authorization"]}
    async with httpx.AsyncClient() as client:
        there = await client.get(f"{STOCK}/stock", headers=passed_on)
        sent = await client.get(f"{MAIL}/mail", headers=passed_on)
    return {"of": claims.sub, "stock": there.json(), "mail": sent.status_code}


@stock.get("/stock")
async def in_stock(claims: AccessClaims) -> dict[str, Any]:
    """Say what is in stock, and for whom one was asked."""
    return {"hats": 3, "asked for": claims.sub, "session": claims.sid}


@mail.get("/mail")
async def letters(claims: AccessClaims) -> dict[str, Any]:
    """Show somebody's letters: nobody gets here with a token that names *orders* and *stock* only."""
    return {"letters of": claims.sub}
