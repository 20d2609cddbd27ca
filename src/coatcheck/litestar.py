"""
Litestar: a plugin, dependencies and guards. Floor 5; may import: floors 0 to 4, Litestar.

    app = Litestar(route_handlers=[…], plugins=[Sessions(auth)])

    @get("/me")
    async def me(session: CurrentSession) -> str: ...

    @post("/transfer", guards=[require(fresh_s=300, amr="otp")])
    async def transfer(session: CurrentSession) -> None: ...

Rules of this module:

1. Everything is done by :class:`coatcheck.asgi.SessionMiddleware`; this only puts it where Litestar wants it.
2. Nobody who is not known gets in by a mistake in the set-up: without the plugin guards and dependencies raise.
3. No annotation here is text only (no ``from __future__``): Litestar reads them.
"""

from collections.abc import Callable, Iterable
from typing import Any

from litestar.config.app import AppConfig
from litestar.connection import ASGIConnection, Request
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException, NotAuthorizedException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.middleware import DefineMiddleware
from litestar.plugins import InitPlugin
from litestar.response import Response

from coatcheck._asgi_calls import visit_of
from coatcheck._door import RETRY_AFTER_S
from coatcheck.asgi import SessionMiddleware, csrf_token, device, session_info, sign_in, sign_out
from coatcheck.decide.step_up import Requirement, Wanted
from coatcheck.engine import Coatcheck
from coatcheck.errors import StoreUnavailable
from coatcheck.records import Session

__all__ = [
    "CurrentSession",
    "MaybeSession",
    "Sessions",
    "csrf_token",
    "device",
    "require",
    "session_info",
    "sign_in",
    "sign_out",
    "signed_in",
]

Connection = ASGIConnection[Any, Any, Any, Any]
Guard = Callable[[Connection, BaseRouteHandler], None]


def _session_of(connection: Connection) -> Session | None:
    visit_of(connection.scope)  # type: ignore[arg-type]  # raises where the plugin was forgotten
    session: Session | None = connection.scope["coatcheck"]  # type: ignore[typeddict-item]
    return session if session is not None and session.sub is not None else None


async def _current(request: Request[Any, Any, Any]) -> Session:
    session = _session_of(request)
    if session is None:
        raise _not_signed_in()
    return session


async def _maybe(request: Request[Any, Any, Any]) -> Session | None:
    return _session_of(request)


CurrentSession = NamedDependency[Session]
"""For the parameter ``session``: the session of whoever is signed in; anybody else gets 401."""

MaybeSession = NamedDependency[Session | None]
"""For the parameter ``maybe_session``: the same, or None."""


def _not_signed_in() -> HTTPException:
    return NotAuthorizedException("Sign in to do this", headers={"WWW-Authenticate": 'Cookie realm="coatcheck"'})


def signed_in(connection: Connection, handler: BaseRouteHandler) -> None:
    """Guard: let only those in who are signed in; anybody else gets 401."""
    if _session_of(connection) is None:
        raise _not_signed_in()


def require(*, fresh_s: int | None = None, amr: Iterable[str] = (), claim: Wanted = None) -> Guard:
    """
    Return a guard that asks for more than a session.

    Who is not signed in gets 401. So does who has to sign in again, or better, with
    ``insufficient_user_authentication`` in ``WWW-Authenticate`` (RFC 9470). Who lacks a claim gets 403.

    Args:
        fresh_s, amr, claim: See :class:`coatcheck.decide.step_up.Requirement`.

    Raises:
        ConfigError: One of them cannot be used.
    """
    requirement = Requirement(fresh_s=fresh_s, amr=amr, claim=claim)

    def guard(connection: Connection, handler: BaseRouteHandler) -> None:
        session = _session_of(connection)
        if session is None:
            raise _not_signed_in()
        auth: Coatcheck = visit_of(connection.scope).door.auth  # type: ignore[arg-type]
        lack = requirement.lack(session, now=auth.clock.now())
        if lack is not None and lack.status == 403:
            raise PermissionDeniedException(lack.text)
        if lack is not None:
            scheme = "Bearer" if "coatcheck.claims" in connection.scope else "Cookie"
            raise NotAuthorizedException(lack.text, headers={"WWW-Authenticate": lack.challenge(scheme)})

    return guard


def _later(request: Request[Any, Any, Any], error: StoreUnavailable) -> Response[str]:
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return Response("Please try again in a moment.", status_code=503, headers=headers, media_type="text/plain")


class Sessions(InitPlugin):
    """
    The plugin: the middleware, the engine's lifespan, and two dependencies, ``session`` and ``maybe_session``.

    Args:
        auth: The engine; it is opened and closed with the application.

        options: As for :class:`coatcheck.asgi.SessionMiddleware`: ``exclude``, ``audience``, ``trusted_proxies``, and
            ``data`` for ``request.session``.
    """

    def __init__(self, auth: Coatcheck, **options: Any) -> None:
        self.auth = auth
        self._options = options
        SessionMiddleware(_nothing, auth=auth, **options)  # what is wrong with them is said here

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Set an application up."""
        # First, so that what other middlewares answer goes out through it.
        middleware: Any = SessionMiddleware  # their types of scopes and messages are their own
        app_config.middleware.insert(0, DefineMiddleware(middleware, auth=self.auth, **self._options))
        app_config.lifespan = [*app_config.lifespan, self.auth.lifespan]
        app_config.dependencies.setdefault("session", Provide(_current))
        app_config.dependencies.setdefault("maybe_session", Provide(_maybe))
        handlers: Any = app_config.exception_handlers
        handlers.setdefault(StoreUnavailable, _later)
        app_config.signature_namespace.setdefault("Session", Session)
        return app_config


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    """No application."""
