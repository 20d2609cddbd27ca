"""Coatcheck in Flask: the session, and its data as Flask's own."""

import os

from a2wsgi import WSGIMiddleware
from flask import Flask, request

from coatcheck import blocking
from coatcheck.flask import Sessions, current_session, sign_in, sign_out

flask = Flask(__name__)
auth = blocking.Coatcheck(os.environ["BENCH_STORE"])
Sessions(flask, auth=auth)


@flask.get("/me")
def me():
    """Who it is."""
    return ({"sub": current_session.sub}, 200) if current_session else ({}, 401)


@flask.post("/sign-in", endpoint="sign-in")
def enter():
    """A session."""
    sign_in(request.args["sub"])
    return {"sub": request.args["sub"]}


@flask.post("/sign-out", endpoint="sign-out")
def leave():
    """Everywhere, when it returns."""
    sign_out()
    return {}


app = WSGIMiddleware(flask)
