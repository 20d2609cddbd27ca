"""flask-jwt-extended: access and refresh tokens; with the blocklist of its documentation, in Valkey, or without one."""

import os
from datetime import timedelta

import redis
from a2wsgi import WSGIMiddleware
from flask import Flask, request
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    get_jwt,
    get_jwt_identity,
    jwt_required,
)

MINUTES_15 = timedelta(minutes=15)
HAS_BLOCKLIST = os.environ["BENCH_VARIANT"] == "blocklist"
flask = Flask(__name__)
flask.config |= {
    "JWT_SECRET_KEY": "of a benchmark, and as long as it should be: 0123456789abcdef",
    "JWT_ACCESS_TOKEN_EXPIRES": MINUTES_15,
}
manager = JWTManager(flask)
blocklist = redis.Redis.from_url(os.environ["BENCH_VALKEY"])

if HAS_BLOCKLIST:

    @manager.token_in_blocklist_loader
    def is_revoked(header, payload):
        """Whether it was signed out."""
        return blocklist.get(payload["jti"]) is not None


@flask.get("/me")
@jwt_required()
def me():
    """Who it is."""
    return {"sub": get_jwt_identity()}


@flask.post("/sign-in")
def sign_in():
    """Both tokens."""
    sub = request.args["sub"]
    return {"access_token": create_access_token(sub), "refresh_token": create_refresh_token(sub)}


@flask.post("/sign-out")
@jwt_required()
def sign_out():
    """This access token, where there is a list."""
    if HAS_BLOCKLIST:
        blocklist.set(get_jwt()["jti"], "", ex=MINUTES_15)
    return {}


@flask.post("/refresh")
@jwt_required(refresh=True)
def refresh():
    """Another access token; the refresh token stays what it is."""
    return {"access_token": create_access_token(get_jwt_identity())}


app = WSGIMiddleware(flask)
