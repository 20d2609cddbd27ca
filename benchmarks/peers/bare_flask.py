"""Flask, and nobody asks who it is. Under uvicorn as its documentation says: through a2wsgi."""

from a2wsgi import WSGIMiddleware
from flask import Flask, request

flask = Flask(__name__)


@flask.get("/me")
def me():
    """The same for everybody."""
    return {"sub": "maria"}


@flask.post("/sign-in")
def sign_in():
    """Nothing happens."""
    return {"sub": request.args["sub"]}


app = WSGIMiddleware(flask)
