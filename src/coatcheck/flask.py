"""
Flask: an extension. Floor 5; may import: floors 0 to 4, Flask.

    sessions = Sessions()

    def create_app():
        app = Flask(__name__)
        app.config["COATCHECK_ORIGINS"] = ("https://app.example.com",)
        sessions.init_app(app)
        return app

    @app.get("/me")
    @signed_in
    def me():
        return current_session.sub

    session["cart"] = ["hat"]                    # Flask's own session, kept on the server

Rules of this module:

1. Whose request it is comes from memory, before Flask is asked (:mod:`coatcheck.wsgi`). The session's data are read
   when somebody first touches ``session``, and written when the response is ready: the keys that changed.
2. What the extension's users forget must not let anybody in: without it every call raises.
3. Of Flask-Login only what it says is done here: its sign-in begins a session of ours, and so ends with it.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from flask import Flask, Request, Response, abort, current_app, redirect, request, url_for
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.local import LocalProxy

from coatcheck import blocking, wsgi
from coatcheck._asgi_calls import visit_of
from coatcheck._door import RETRY_AFTER_S
from coatcheck.decide.step_up import Lack, Requirement, Wanted
from coatcheck.errors import ConfigError, StoreUnavailable
from coatcheck.policy import EVERYDAY, Policy
from coatcheck.records import Refused, Session, SignedIn
from coatcheck.wsgi import SessionMiddleware

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Sessions", "csrf_token", "current_session", "session_info", "sign_in", "sign_out", "signed_in"]

View = TypeVar("View", bound=Callable[..., Any])

_EXTENSION = "coatcheck"
_TRY_AGAIN = "Please try again in a moment."


class Sessions:
    """
    The extension: Coatcheck's sessions in a Flask application.

    Args:
        app: The application, or None, and :meth:`init_app` later.

        auth: The engine. Left out, it is made of the application's configuration: ``COATCHECK_STORE`` (else a file in
            the instance folder), ``COATCHECK_POLICY`` (a :class:`coatcheck.Policy`), ``COATCHECK_ORIGINS`` (the origins
            of that policy, where it has none), ``COATCHECK_ISSUER`` and ``COATCHECK_SECRET``.

        sign_in_view: The endpoint to send people to who are not signed in, and ask for a page; ``next`` says where they
            wanted to go. Left out, they get 401.

        exclude, audience, trusted_proxies: See :class:`coatcheck.asgi.SessionMiddleware`. The application's static
            files are excluded anyway.

    Attributes:
        auth: The engine of the application that was set up last.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        auth: blocking.Coatcheck | None = None,
        sign_in_view: str | None = None,
        exclude: Iterable[str] = (),
        audience: str | None = None,
        trusted_proxies: Iterable[str] = (),
    ) -> None:
        self._given = auth
        self._options: dict[str, Any] = {"audience": audience, "trusted_proxies": tuple(trusted_proxies)}
        self._exclude = exclude if isinstance(exclude, str) else tuple(exclude)
        self.sign_in_view = sign_in_view
        self._auth = auth
        if app is not None:
            self.init_app(app)

    @property
    def auth(self) -> blocking.Coatcheck:
        """
        The engine.

        Raises:
            ConfigError: There is no application yet, and none was given.
        """
        if self._auth is None:
            raise ConfigError("Sessions", "has no application yet", "call init_app(app) first, or give auth=")
        return self._auth

    def init_app(self, app: Flask) -> None:
        """
        Set an application up.

        Raises:
            ConfigError: A setting is wrong, or the application was set up before.
        """
        if _EXTENSION in app.extensions:
            raise ConfigError("Sessions", "is there already", "call init_app once for each application")
        auth = self._given or _engine_of(app)
        static = (app.static_url_path.rstrip("/") + "/",) if app.has_static_folder and app.static_url_path else ()
        exclude = self._exclude if isinstance(self._exclude, str) else (*static, *self._exclude)
        door = SessionMiddleware(app.wsgi_app, auth=auth, exclude=exclude, **self._options)
        self._auth = auth
        app.extensions[_EXTENSION] = self
        app.wsgi_app = door  # type: ignore[method-assign]  # what Flask says to do
        app.session_interface = _Interface(door)
        app.register_error_handler(StoreUnavailable, _answer_later)
        app.jinja_env.globals["csrf_token"] = csrf_token
        app.jinja_env.globals["current_session"] = current_session
        if importlib.util.find_spec("flask_login") is not None:
            _follow_flask_login(app)


def _engine_of(app: Flask) -> blocking.Coatcheck:
    config = app.config
    policy: Policy = config.get("COATCHECK_POLICY", EVERYDAY)
    origins = config.get("COATCHECK_ORIGINS", ())
    if origins and isinstance(policy, Policy) and not policy.origins:
        policy = dataclasses.replace(policy, origins=(origins,) if isinstance(origins, str) else tuple(origins))
    store = config.get("COATCHECK_STORE")
    if store is None:
        Path(app.instance_path).mkdir(parents=True, exist_ok=True)
        store = f"sqlite:///{Path(app.instance_path) / 'coatcheck.db'}"
    return blocking.Coatcheck(
        store, policy=policy, issuer=config.get("COATCHECK_ISSUER"), secret=config.get("COATCHECK_SECRET")
    )


# --- the session's data ---


class ServerSession(SessionMixin):
    """Flask's ``session``: a dict of what the server keeps, read at the first touch."""

    def __init__(self, environ: Mapping[str, Any], door: SessionMiddleware) -> None:
        self.environ = environ
        self.door = door
        self.was_touched = False

    @property
    def _data(self) -> dict[str, Any]:
        self.was_touched = True
        return wsgi.read_data(self.environ)

    @property
    def accessed(self) -> bool:
        """Whether somebody looked."""
        return self.was_touched

    @accessed.setter
    def accessed(self, value: bool) -> None:
        """Flask says so itself; we know."""

    @property
    def modified(self) -> bool:
        """Whether there is something to write. To say so is not needed: changes inside of values are noticed."""
        return self.was_touched and wsgi.read_data(self.environ).modified

    @modified.setter
    def modified(self, value: bool) -> None:
        """Taken, and not needed."""

    @property
    def new(self) -> bool:  # type: ignore[override]
        """Whether there was no session before this request."""
        return self.environ.get("coatcheck") is None

    def __getitem__(self, key: str) -> Any:
        return self._data[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._data[key] = value

    def __delitem__(self, key: str) -> None:
        del self._data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __contains__(self, key: object) -> bool:
        return key in self._data

    def __repr__(self) -> str:
        return f"<ServerSession, {'read' if self.was_touched else 'not read yet'}>"


class _Interface(SessionInterface):
    def __init__(self, door: SessionMiddleware) -> None:
        self._door = door

    def open_session(self, app: Flask, request: Request) -> ServerSession:
        environ = request.environ
        if "coatcheck.scope" not in environ:  # a request context of a test, which came through no door
            scope, visit = self._door.receive(environ)
            self._door.look(environ, scope, visit)
        return ServerSession(environ, self._door)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if not isinstance(session, ServerSession) or not session.was_touched:
            return
        try:
            wsgi.write_data(session.environ, persistent=bool(session.get("_permanent", False)))
        except StoreUnavailable:
            # Here, as it is too late for error handlers: a page that speaks of what was lost must not go out.
            response.status_code = 503
            response.headers["Retry-After"] = str(RETRY_AFTER_S)
            response.headers["Content-Type"] = "text/plain; charset=utf-8"
            response.set_data(_TRY_AGAIN)
        scope = wsgi.scope_in(session.environ)
        if wsgi.PASSED not in scope:
            for written in visit_of(scope).cookies:
                response.headers.add("Set-Cookie", written.decode("latin-1"))


def _answer_later(error: StoreUnavailable) -> tuple[str, int, dict[str, str]]:
    return _TRY_AGAIN, 503, {"Retry-After": str(RETRY_AFTER_S), "Content-Type": "text/plain; charset=utf-8"}


# --- whose request it is ---


def _session() -> Session | None:
    wsgi.scope_in(request.environ)  # raises where the extension was forgotten
    session: Session | None = request.environ["coatcheck"]
    return session if session is not None and session.sub is not None else None


current_session: Any = LocalProxy(_session)
"""The :class:`coatcheck.Session` of whoever is signed in; false, and without attributes, for anybody else."""


@overload
def signed_in(view: View) -> View: ...


@overload
def signed_in(
    *, fresh_s: int | None = ..., amr: Iterable[str] = ..., claim: Wanted = ...
) -> Callable[[View], View]: ...


def signed_in(
    view: Callable[..., Any] | None = None,
    *,
    fresh_s: int | None = None,
    amr: Iterable[str] = (),
    claim: Wanted = None,
) -> Any:
    """
    Let only those in who are signed in: ``@signed_in``; or who proved more: ``@signed_in(fresh_s=300, amr="otp")``.

    Anybody else gets 401, with what is missing in ``WWW-Authenticate`` (RFC 9470), or is sent to ``sign_in_view``. Who
    lacks a claim gets 403.

    Args:
        fresh_s, amr, claim: See :class:`coatcheck.decide.step_up.Requirement`.
    """
    requirement = Requirement(fresh_s=fresh_s, amr=amr, claim=claim)

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            refusal = _why_not(requirement)
            return current_app.ensure_sync(view)(*args, **kwargs) if refusal is None else refusal

        return guarded

    return decorate if view is None else decorate(view)


_ANONYMOUS = Lack(status=401, error="", text="Sign in to do this")


def _why_not(requirement: Requirement) -> Any:
    session = _session()
    auth: blocking.Coatcheck = visit_of(wsgi.scope_in(request.environ)).door.auth
    lack = _ANONYMOUS if session is None else requirement.lack(session, now=auth.clock.now())
    if lack is None:
        return None
    if lack.status == 403:
        abort(403, lack.text)
    sign_in_view = current_app.extensions[_EXTENSION].sign_in_view
    if sign_in_view is not None and request.method in ("GET", "HEAD") and _asks_for_a_page():
        return redirect(url_for(sign_in_view, next=request.full_path.rstrip("?")), 303)
    scheme = "Bearer" if "coatcheck.claims" in request.environ else "Cookie"
    challenge = f'{scheme} realm="coatcheck"' if lack is _ANONYMOUS else lack.challenge(scheme)
    headers = {"WWW-Authenticate": challenge, "Content-Type": "text/plain; charset=utf-8"}
    return Response(lack.text, 401, headers)


def _asks_for_a_page() -> bool:
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def sign_in(
    sub: str,
    *,
    claims: Mapping[str, Any] | None = None,
    amr: Iterable[str] = (),
    persistent: bool = True,
    generation: int | None = None,
) -> SignedIn | Refused:
    """See :func:`coatcheck.asgi.sign_in`; for the request at hand."""
    return wsgi.sign_in(request.environ, sub, claims=claims, amr=amr, persistent=persistent, generation=generation)


def sign_out() -> None:
    """See :func:`coatcheck.asgi.sign_out`; for the request at hand."""
    wsgi.sign_out(request.environ)


def csrf_token() -> str:
    """See :func:`coatcheck.asgi.csrf_token`; for the request at hand. Templates have it, too."""
    return wsgi.csrf_token(request.environ)


def session_info() -> dict[str, Any] | None:
    """See :func:`coatcheck.asgi.session_info`; for the request at hand."""
    return wsgi.session_info(request.environ)


# --- Flask-Login ---


_LOGINS_OWN = ("_user_id", "_fresh", "_id")


def _follow_flask_login(app: Flask) -> None:
    import flask_login

    def began(sender: Flask, user: Any, **_: Any) -> None:
        from flask import session

        # Its own cookie would sign people in again whose session was ended. Ours outlives the window by itself.
        remember = session.pop("_remember", None) == "set"
        session.pop("_remember_seconds", None)
        said = {key: session[key] for key in _LOGINS_OWN if key in session}
        sign_in(str(user.get_id()), persistent=remember)
        session.update(said)  # where another was signed in, it went with all the rest of theirs

    def ended(sender: Flask, **_: Any) -> None:
        from flask import session

        remember = session.get("_remember")
        sign_out()
        if remember is not None:  # that its cookie is to be deleted; it takes this out again when it has done so
            session["_remember"] = remember

    flask_login.user_logged_in.connect(began, app, weak=False)
    flask_login.user_logged_out.connect(ended, app, weak=False)
