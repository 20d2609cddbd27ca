"""A JWT as bearer, judged in a dependency: by PyJWT or by joserfc, as the tutorial of FastAPI does it."""

import os
import time
from typing import Annotated

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer
from joserfc import jwt as jose
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

MINUTES_15 = 900
SECRET = "of a benchmark, and as long as it should be: 0123456789abcdef"
# The same in every worker, and no secret.
private = ec.derive_private_key(int.from_bytes(SECRET[:31].encode()), ec.SECP256R1())
public = private.public_key()
jwk = ECKey.import_key(
    private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
)
registry = jose.JWTClaimsRegistry(
    iss={"essential": True, "value": "https://app.example.com"},
    aud={"essential": True, "value": "orders"},
    exp={"essential": True},
)


def claims_of(sub):
    """What the token says."""
    now = int(time.time())
    return {"iss": "https://app.example.com", "sub": sub, "aud": "orders", "iat": now, "exp": now + MINUTES_15}


def pyjwt(token, key, algorithm):
    """Judge it by PyJWT."""
    return jwt.decode(
        token,
        key,
        algorithms=[algorithm],
        audience="orders",
        issuer="https://app.example.com",
        options={"require": ["exp", "aud", "iss", "sub"]},
    )


def joserfc(token):
    """Judge it by joserfc."""
    found = jose.decode(token, jwk, algorithms=["ES256"])
    registry.validate(found.claims)
    return found.claims


MAKE, JUDGE = {
    "pyjwt-hs256": (lambda claims: jwt.encode(claims, SECRET, "HS256"), lambda token: pyjwt(token, SECRET, "HS256")),
    "pyjwt-es256": (lambda claims: jwt.encode(claims, private, "ES256"), lambda token: pyjwt(token, public, "ES256")),
    "joserfc-es256": (lambda claims: jose.encode({"alg": "ES256"}, claims, jwk), joserfc),
}[os.environ["BENCH_VARIANT"]]

app = FastAPI()
scheme = OAuth2PasswordBearer(tokenUrl="sign-in")


async def current(token: Annotated[str, Depends(scheme)]):
    """Who it is."""
    try:
        return JUDGE(token)["sub"]
    except (jwt.InvalidTokenError, JoseError, ValueError):
        raise HTTPException(401, "no", {"WWW-Authenticate": "Bearer"}) from None


@app.get("/me")
async def me(sub: Annotated[str, Depends(current)]):
    """Who it is."""
    return {"sub": sub}


@app.post("/sign-in")
async def sign_in(sub: str):
    """A new token."""
    return {"access_token": MAKE(claims_of(sub)), "token_type": "bearer"}


@app.post("/sign-out")
async def sign_out():
    """There is nothing that could be taken back."""
    return {}
