"""Flask-Session: a random id in the cookie, the data in Valkey."""

import os

import redis
from a2wsgi import WSGIMiddleware
from flask import Flask, request, session
from flask_session import Session

flask = Flask(__name__)
flask.config |= {
    "SESSION_TYPE": "redis",
    "SESSION_REDIS": redis.Redis.from_url(os.environ["BENCH_VALKEY"]),
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
}
Session(flask)


@flask.get("/me")
def me():
    """Who it is."""
    sub = session.get("sub")
    return {"sub": sub}, 200 if sub else 401


@flask.post("/sign-in")
def sign_in():
    """A new id."""
    session["sub"] = request.args["sub"]
    flask.session_interface.regenerate(session)
    return {"sub": session["sub"]}


@flask.post("/sign-out")
def sign_out():
    """An empty session is removed from the store."""
    session.clear()
    return {}


@flask.post("/fill")
def fill():
    """Rows as it writes them."""
    store, life = flask.session_interface, flask.permanent_session_lifetime
    first = int(request.args.get("from", 0))
    for number in range(first, first + int(request.args["n"])):
        store._upsert_session(life, {"sub": "maria", "_permanent": True}, f"session:{number:043}")
    return {}


app = WSGIMiddleware(flask)
