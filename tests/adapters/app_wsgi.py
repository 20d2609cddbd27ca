"""The application of the story, in plain WSGI."""

import json
from http import HTTPStatus

from coatcheck import blocking
from coatcheck.decide.step_up import Requirement
from coatcheck.wsgi import SessionMiddleware, read_data, sign_in, sign_out, write_data

VAULT = Requirement(fresh_s=300, amr="otp")
OFFICE = Requirement(claim=("roles", "admin"))


def build(stage):
    """Return the application on a stage."""
    auth = blocking.Coatcheck(stage.store, policy=stage.policy, secret=stage.secret, clock=stage.clock)

    def guarded(environ, requirement):
        session = environ["coatcheck"]
        if session is None or session.sub is None:
            return 401, {}, []
        lack = requirement.lack(session, now=auth.clock.now())
        if lack is not None:
            return lack.status, {}, [("WWW-Authenticate", lack.challenge("Cookie"))]
        return 200, {"sub": session.sub}, []

    def change(environ, sent):
        data = read_data(environ)
        if environ["PATH_INFO"] == "/meet":
            stage.meeting.wait()
        data.update(sent.get("set", {}))
        for key in sent.get("unset", []):
            del data[key]

    def answer(environ):
        session, path = environ["coatcheck"], environ["PATH_INFO"]
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        sent = json.loads(raw) if raw else {}
        if environ["REQUEST_METHOD"] == "GET":
            return {
                "/whoami": lambda: (200, {"sub": session and session.sub, "amr": session.amr if session else []}, []),
                "/private": lambda: guarded(environ, Requirement()),
                "/vault": lambda: guarded(environ, VAULT),
                "/office": lambda: guarded(environ, OFFICE),
                "/data": lambda: (200, dict(read_data(environ)), []),
            }[path]()
        {
            "/sign-in": lambda: sign_in(
                environ, sent["sub"], amr=sent.get("amr", ()), claims={"roles": sent.get("roles", [])}
            ),
            "/sign-out": lambda: sign_out(environ),
            "/data": lambda: change(environ, sent),
            "/meet": lambda: change(environ, sent),
        }[path]()
        return 200, {}, []

    def app(environ, start_response):
        status, body, fields = answer(environ)
        write_data(environ)
        start_response(f"{status} {HTTPStatus(status).phrase}", [("Content-Type", "application/json"), *fields])
        return [json.dumps(body).encode()]

    return SessionMiddleware(app, auth=auth), auth
