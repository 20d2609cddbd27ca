"""The application of the story, in Flask."""

from flask import Flask, jsonify, request, session

from coatcheck import blocking
from coatcheck.flask import Sessions, current_session, sign_in, sign_out, signed_in


def build(stage, *, issuer=None):
    """Return the application on a stage."""
    app = Flask(__name__)
    auth = blocking.Coatcheck(stage.store, policy=stage.policy, secret=stage.secret, clock=stage.clock, issuer=issuer)
    Sessions(app, auth=auth)

    @app.get("/whoami")
    def whoami():
        return {"sub": current_session.sub, "amr": current_session.amr} if current_session else {"sub": None, "amr": []}

    @app.get("/private")
    @signed_in
    def private():
        return {"sub": current_session.sub}

    @app.get("/vault")
    @signed_in(fresh_s=300, amr="otp")
    def vault():
        return {}

    @app.get("/office")
    @signed_in(claim=("roles", "admin"))
    async def office():
        return {}

    @app.post("/sign-in")
    def come():
        sent = request.json
        sign_in(sent["sub"], amr=sent.get("amr", ()), claims={"roles": sent.get("roles", [])})
        return {}

    @app.post("/sign-out")
    def go():
        sign_out()
        return {}

    @app.get("/data")
    def data():
        return jsonify(dict(session))

    @app.post("/data")
    @app.post("/meet")
    def change():
        sent = request.json
        if request.path == "/meet":
            len(session)
            stage.meeting.wait()
        session.update(sent.get("set", {}))
        for key in sent.get("unset", []):
            del session[key]
        return {}

    return app
