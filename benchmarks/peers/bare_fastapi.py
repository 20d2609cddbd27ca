"""FastAPI, and nobody asks who it is; one dependency, as the others have."""

from typing import Annotated

from fastapi import Depends, FastAPI

app = FastAPI()


async def who():
    """The same for everybody."""
    return "maria"


@app.get("/me")
async def me(sub: Annotated[str, Depends(who)]):
    """Who it is."""
    return {"sub": sub}


@app.post("/sign-in")
async def sign_in(sub: str):
    """Nothing happens."""
    return {"sub": sub}
