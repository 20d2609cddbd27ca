"""
The WSGI adapter: any application without await. Floor 5; may import: floors 0 to 4, no framework.

    auth = blocking.Coatcheck("sqlite:///coatcheck.db", policy=Policy(origins=("https://app.example.com",)))
    app = SessionMiddleware(app, auth=auth)

    environ["coatcheck"]                         # Session, or None for an anonymous visitor
    environ["coatcheck.refused"]                 # Refused: why the cookie that came was not taken; else None
    environ["coatcheck.claims"]                  # Claims of the bearer token, where there was one

Rules of this module:

1. The rules are those of :mod:`coatcheck.asgi`, and so is the code: a request is made a scope of, once.
2. A warm check stays on this thread. What needs the store crosses to the engine's, once.
3. Where it is taken for granted, ``SCRIPT_NAME`` counts to the path, as browsers see it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from coatcheck import _asgi_calls as calls
from coatcheck import _asgi_forms as forms
from coatcheck import _asgi_tokens as tokens
from coatcheck import _carry, _door, blocking
from coatcheck._asgi_forms import Scope, Visit
from coatcheck._carry import Data
from coatcheck._door import Door, Plain
from coatcheck.decide import csrf
from coatcheck.errors import ConfigError, StoreUnavailable
from coatcheck.http import bearer, cookie, headers
from coatcheck.records import Claims, Device, Refused, Session, SignedIn

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["SessionMiddleware", "csrf_token", "device", "session_info", "sign_in", "sign_out"]

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SCOPE = "coatcheck.scope"
PASSED = "coatcheck.passed"
"""In the scope of a request whose response goes out through the middleware."""


class SessionMiddleware(Door):
    """
    Puts the visitor's session into the environ of every request, and guards the door.

    Args:
        app: The application to wrap.

        auth: An engine of :mod:`coatcheck.blocking`. It opens itself at the first request.

        exclude, audience, trusted_proxies: See :class:`coatcheck.asgi.SessionMiddleware`.

    Raises:
        ConfigError: A setting is wrong.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        auth: blocking.Coatcheck,
        exclude: Iterable[str] = (),
        audience: str | None = None,
        trusted_proxies: Iterable[str] = (),
    ) -> None:
        if not isinstance(auth, blocking.Coatcheck):
            raise ConfigError("auth", f"is {type(auth).__name__}", "give a coatcheck.blocking.Coatcheck")
        super().__init__(auth, exclude=exclude, audience=audience, trusted_proxies=trusted_proxies)
        self.app = app
        self.auth = auth
        self._sessions = tokens.Sessions(auth.policy.cached_tokens)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        scope, visit = self.receive(environ)
        scope[PASSED] = True
        answer = self._guard(environ, scope, visit)
        if answer is not None:
            return _send(answer, start_response)
        if scope.get("coatcheck.excluded"):
            return self.app(environ, start_response)
        has_begun = False

        def start_private(status: str, fields: list[tuple[str, str]], *more: Any) -> Callable[[bytes], object]:
            nonlocal has_begun
            has_begun = True
            return start_response(status, self._private(fields, visit), *more)

        try:
            return self.app(environ, start_private)
        except StoreUnavailable:
            if has_begun:
                raise
            return _send(_door.later(), start_response)

    def receive(self, environ: WSGIEnvironment) -> tuple[Scope, Visit]:
        """Begin with a request: it is nobody's so far."""
        scope = environ[_SCOPE] = scope_of(environ)
        visit = scope["coatcheck.visit"] = Visit(self)
        self._note(environ, scope, None)
        return scope, visit

    def _guard(self, environ: WSGIEnvironment, scope: Scope, visit: Visit) -> Plain | None:
        """Find out whose request it is, and whether it may go on; else return the answer."""
        if not self.is_known_host(scope):
            return _door.wrong_host()
        verdict = csrf.Verdict.PASS if scope["method"] in _SAFE else self.judge(scope)
        if verdict is csrf.Verdict.REFUSE:
            return _door.cross_site(scope)
        if self.exclude and verdict is csrf.Verdict.PASS and scope["path"].startswith(self.exclude):
            scope["coatcheck.excluded"] = True
            return None
        try:
            refusal = self.look(environ, scope, visit)
        except StoreUnavailable:
            return _door.later()
        if refusal is not None:
            return _door.bad_token(refusal)
        if verdict is csrf.Verdict.NEED_TOKEN and not self._has_token(environ, scope):
            return _door.cross_site(scope)
        return None

    def look(self, environ: WSGIEnvironment, scope: Scope, visit: Visit) -> Refused | None:
        """
        Find out whose request it is; return why it is refused altogether.

        Raises:
            StoreUnavailable: Memory does not know, and the store cannot be asked.
        """
        if self.takes_tokens:
            claims = tokens.find_bearer(bearer.fields_in(scope["headers"]), self.auth, self.audience)
            if isinstance(claims, Refused):
                return claims
            if claims is not None:
                self._note(environ, scope, self._sessions.of(claims), claims)
                return None
        sent = next((value for name, value in scope["headers"] if name == b"cookie"), None)
        token = None if sent is None else cookie.find(sent, self.cookie_name)
        if sent is not None and token is not None and self.auth.policy.mode != "jwt":
            self._note(environ, scope, self._ask(sent, token, visit))
        return None

    def _ask(self, sent: bytes, token: bytes, visit: Visit) -> Session | Refused:
        if not self.takes_tokens:
            # As in the ASGI adapter; what has another length is no digest of a token that anybody was given.
            found = self.auth.recall(sha256(token).digest())  # type: ignore[arg-type]  # a digest is bytes
            return found or self.auth.check(token.decode("latin-1"))
        beside = tokens.find_beside(sent, token, self.auth, self.audience, self._sessions)
        if beside is not None:
            return beside
        found, fresh = self.auth.run(lambda engine: tokens.ask_session(token, engine, self.audience))
        if fresh is not None:
            visit.cookies = [*visit.cookies, fresh.encode("ascii")]
        return found

    def _note(
        self, environ: WSGIEnvironment, scope: Scope, found: Session | Refused | None, claims: Claims | None = None
    ) -> None:
        is_refused = isinstance(found, Refused)
        environ["coatcheck"] = scope["coatcheck"] = None if is_refused else found
        environ["coatcheck.refused"] = scope["coatcheck.refused"] = found if is_refused else None
        if claims is not None:
            environ["coatcheck.claims"] = scope["coatcheck.claims"] = claims

    def _has_token(self, environ: WSGIEnvironment, scope: Scope) -> bool:
        token = forms.one_header(scope, self.auth.policy.csrf.header.lower().encode("ascii"))
        if token is None and (environ.get("CONTENT_TYPE") or "").startswith("application/x-www-form-urlencoded"):
            token = forms.field_in(_read_ahead(environ), self.auth.policy.csrf.field)
        return forms.is_genuine(scope, self.auth, token)

    def _private(self, fields: list[tuple[str, str]], visit: Visit) -> list[tuple[str, str]]:
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
        raw.extend((b"Set-Cookie", written) for written in forms.cookies_of(visit, self.auth))
        kept = headers.private(raw, vary_on=self.vary_on)
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in kept]


def scope_of(environ: WSGIEnvironment) -> Scope:
    """Return what an ASGI server would have made of the request."""
    fields = [
        (name[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    if environ.get("CONTENT_TYPE"):
        fields.append((b"content-type", environ["CONTENT_TYPE"].encode("latin-1")))
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return {
        "type": "http",
        "method": environ.get("REQUEST_METHOD", "GET"),
        "path": path.encode("latin-1").decode("utf-8", "replace"),
        "headers": fields,
        "client": (environ["REMOTE_ADDR"], 0) if environ.get("REMOTE_ADDR") else None,
    }


def _read_ahead(environ: WSGIEnvironment) -> bytes:
    """Return the body, which the application gets all the same; of one that is too large, or unsized, nothing."""
    length = environ.get("CONTENT_LENGTH") or ""
    if not length.isascii() or not length.isdigit() or int(length) > forms.FORM_BYTES:
        return b""
    body: bytes = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _send(answer: Plain, start_response: StartResponse) -> Iterable[bytes]:
    status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
    start_response(status, [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.fields])
    return [answer.body]


# --- for applications ---


def session_info(environ: Mapping[str, Any]) -> dict[str, Any] | None:
    """See :func:`coatcheck.asgi.session_info`."""
    return calls.session_info(scope_in(environ))


def csrf_token(environ: Mapping[str, Any]) -> str:
    """See :func:`coatcheck.asgi.csrf_token`."""
    return calls.csrf_token(scope_in(environ))


def device(environ: Mapping[str, Any]) -> Device:
    """See :func:`coatcheck.asgi.device`."""
    return calls.device(scope_in(environ))


def sign_in(
    environ: Any,
    sub: str,
    *,
    claims: Mapping[str, Any] | None = None,
    amr: Iterable[str] = (),
    persistent: bool = True,
    generation: int | None = None,
) -> SignedIn | Refused:
    """See :func:`coatcheck.asgi.sign_in`; takes an environ, or a request that has one."""
    environ = getattr(environ, "environ", environ)
    scope = scope_in(environ)
    visit, where = calls.visit_of(scope), calls.device(scope)
    session, token = calls.brought(scope, visit)
    auth: blocking.Coatcheck = visit.door.auth
    done = auth.run(
        lambda engine: _carry.sign_in(
            engine, session, token, sub,
            claims=claims, amr=amr, device=where, persistent=persistent, generation=generation,
        )
    )  # fmt: skip
    if isinstance(done, SignedIn):
        calls.enter(scope, visit, done)
        environ["coatcheck"] = done.session
    return done


def sign_out(environ: Any) -> None:
    """See :func:`coatcheck.asgi.sign_out`; takes an environ, or a request that has one."""
    environ = getattr(environ, "environ", environ)
    scope = scope_in(environ)
    visit, session = calls.visit_of(scope), scope["coatcheck"]
    if session is not None:
        visit.door.auth.revoke(session.sid, reason="signed out")
    calls.leave(scope, visit)
    environ["coatcheck"] = None


def read_data(environ: Mapping[str, Any]) -> Data:
    """
    Return the session's data, a dict to change; :func:`write_data` writes what changed.

    Raises:
        StoreUnavailable: They cannot be read now.
    """
    scope = scope_in(environ)
    visit, session = calls.visit_of(scope), scope["coatcheck"]
    if visit.data is None:
        nothing = session is None
        visit.data = Data({}) if nothing else visit.door.auth.run(lambda engine: _carry.read(engine, session))
    return visit.data


def write_data(environ: Mapping[str, Any], *, persistent: bool = True) -> None:
    """
    Write what changed in the data that :func:`read_data` gave; an anonymous visitor gets a session for it.

    Before the response begins, so that its cookie goes along.

    Args:
        persistent: Whether the cookie of such a session outlives the browser's window.

    Raises:
        InvalidInput: A value cannot be kept; its key is named. StoreUnavailable: nothing was written.
    """
    scope = scope_in(environ)
    visit = calls.visit_of(scope)
    data = visit.data
    if data is not None and data.modified:
        where = calls.device(scope)
        started = visit.door.auth.run(lambda engine: _carry.write(engine, data, lambda: where, persistent=persistent))
        if started is not None:
            visit.cookies = [*visit.cookies, visit.door.auth.cookie(started).encode("ascii")]


def scope_in(environ: Mapping[str, Any]) -> Scope:
    """
    Return the scope of a request.

    Raises:
        ConfigError: The middleware is not installed.
    """
    scope: Scope | None = environ.get(_SCOPE)
    if scope is None:
        raise ConfigError("middleware", "is not installed", "wrap the application in coatcheck.wsgi.SessionMiddleware")
    return scope
