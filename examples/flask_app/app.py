"""
A small complete Flask application.

Start it from the top folder:

    flask --app examples.flask_app.app run --port 8000

It keeps sessions in ``coatcheck.db`` here. Elsewhere: ``STORE=postgresql://… ORIGIN=https://app.example.com``.
"""

from __future__ import annotations

import os
import secrets
import time
from typing import Any

from flask import Flask, Response, abort, flash, redirect, render_template, request, session, url_for

from coatcheck import Policy, Refused, blocking
from coatcheck.flask import Sessions, current_session, sign_in, sign_out, signed_in
from coatcheck.http.headers import safe_next

Answer = Response | str | tuple[str, int]

auth = blocking.Coatcheck(
    os.environ.get("STORE", "sqlite:///coatcheck.db"),
    policy=Policy(origins=(os.environ.get("ORIGIN", "http://localhost:8000"),)),
)
app = Flask(__name__)
sessions = Sessions(app, auth=auth, sign_in_view="begin")

# One person, so that this stays about sessions. Yours come from a database, with a password hash each.
PASSWORD = os.environ.get("PASSWORD") or secrets.token_urlsafe(9)
if "PASSWORD" not in os.environ:
    print(f"Sign in as maria with the password {PASSWORD}", flush=True)


@app.template_filter()
def ago(at: int) -> str:
    """Return how long ago something was, in words."""
    minutes = int(time.time() - at) // 60
    return "just now" if minutes < 1 else f"{minutes} min ago" if minutes < 120 else f"{minutes // 60} h ago"


@app.get("/")
def home() -> Answer:
    """Show the cart, which anybody has, and who one is."""
    return render_template("home.html", cart=session.get("cart", []))


@app.post("/cart")
def put() -> Any:
    """Put something into the cart."""
    thing = request.form.get("thing", "").strip()[:100]
    if thing:
        session.setdefault("cart", []).append(thing)
    return redirect(url_for("home"), 303)


@app.route("/sign-in", methods=["GET", "POST"])
def begin() -> Any:
    """Sign in, or again when a page asks for it."""
    after = safe_next(request.values.get("next"))
    if request.method == "GET":
        return render_template("sign_in.html", next=after)
    name, password = request.form.get("name", ""), request.form.get("password", "")
    # Read before the password is checked: who signs in while it is being changed gets nothing.
    generation = auth.generation("maria")
    if name != "maria" or not secrets.compare_digest(password.encode(), PASSWORD.encode()):
        return render_template("sign_in.html", next=after, wrong=True), 401
    if isinstance(sign_in("maria", amr=("pwd",), generation=generation), Refused):
        abort(409, "The password was changed just now; sign in again")
    return redirect(after, 303)


@app.post("/sign-out")
def end() -> Any:
    """Sign out here."""
    sign_out()
    return redirect(url_for("home"), 303)


@app.get("/devices")
@signed_in
def devices() -> Answer:
    """List where one is signed in."""
    return render_template("devices.html", sessions=auth.sessions_of(current_session.sub))


@app.post("/devices/<sid>/end")
@signed_in
def end_one(sid: str) -> Any:
    """End one of one's own sessions: when this returns, no process accepts it."""
    if isinstance(auth.revoke(sid, of=current_session.sub), Refused):
        abort(404)
    flash("That session has ended.")
    return redirect(url_for("devices"), 303)


@app.get("/safe")
@signed_in(fresh_s=300)
def safe() -> Answer:
    """Show something for which a sign-in of the last five minutes is needed."""
    return render_template("safe.html")


@app.get("/me")
@signed_in
def me() -> dict[str, Any]:
    """Say who is asking, and which process answers."""
    return {"sub": current_session.sub, "process": os.getpid()}
