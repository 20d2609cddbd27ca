"""
FastAPI: dependencies that say whose request it is. Floor 5; may import: floors 0 to 4, FastAPI.

    app = FastAPI(lifespan=auth.lifespan)
    app.add_middleware(SessionMiddleware, auth=auth)

    @app.get("/me")
    async def me(session: CurrentSession): ...

    @app.post("/transfer", dependencies=[require(fresh_s=300, amr="otp")])
    async def transfer(session: CurrentSession): ...

A service that takes access tokens and has no sessions needs no middleware:

    app = FastAPI(lifespan=verifier.lifespan)

    @app.get("/orders")
    async def orders(claims: AccessClaims): ...

Rules of this module:

1. Annotations here are objects, not text (no ``from __future__``): FastAPI reads them where it does not know our names.
2. Nobody who is not known gets in by a mistake in the set-up: without the middleware every dependency raises.
3. 401 says what is missing in ``WWW-Authenticate``; 403 is for who is known and may not.
"""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Depends, HTTPException, params
from fastapi.openapi.models import APIKey, APIKeyIn, HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.exceptions import WebSocketException
from starlette.requests import HTTPConnection

from coatcheck._asgi_tokens import BINDING
from coatcheck._door import RETRY_AFTER_S
from coatcheck.asgi import SessionMiddleware, csrf_token, device, session_info, sign_in, sign_out
from coatcheck.decide.step_up import Lack, Requirement, Wanted
from coatcheck.errors import ConfigError
from coatcheck.http import bearer
from coatcheck.records import Claims, Reason, Refused, Session
from coatcheck.verifier import Verifier

__all__ = [
    "AccessClaims",
    "CurrentSession",
    "MaybeSession",
    "SessionMiddleware",
    "csrf_token",
    "device",
    "require",
    "session_info",
    "sign_in",
    "sign_out",
]

_POLICY_VIOLATION = 1008


def _refuse(connection: HTTPConnection, status: int, text: str, headers: dict[str, str]) -> Exception:
    if connection.scope["type"] == "websocket":
        return WebSocketException(_POLICY_VIOLATION, text)  # before it is accepted: servers answer 403
    return HTTPException(status, text, headers)


def _session_of(connection: HTTPConnection) -> Session | None:
    if "coatcheck.visit" not in connection.scope:
        raise ConfigError("middleware", "is not installed", "app.add_middleware(SessionMiddleware, auth=auth)")
    session: Session | None = connection.scope["coatcheck"]
    return session if session is not None and session.sub is not None else None


def _scheme_of(connection: HTTPConnection) -> str:
    return "Bearer" if "coatcheck.claims" in connection.scope else "Cookie"


class _SessionCookie(SecurityBase):
    """The session, for the endpoint, and the cookie that carries it, for the OpenAPI description."""

    def __init__(self, *, is_required: bool) -> None:
        said = "Set by the sign-in. A browser sends it by itself, from /docs, too, once you have signed in."
        where: dict[str, Any] = {"in": APIKeyIn.cookie}
        self.model = APIKey(name="__Host-session", description=said, **where)
        self.scheme_name = "session"
        self._is_required = is_required

    async def __call__(self, connection: HTTPConnection) -> Session | None:
        session = _session_of(connection)
        if session is None and self._is_required:
            raise _refuse(connection, 401, "Sign in to do this", {"WWW-Authenticate": 'Cookie realm="coatcheck"'})
        return session


class _AccessToken(SecurityBase):
    """The claims of the request's access token, and its scheme for the OpenAPI description."""

    def __init__(self) -> None:
        self.model = HTTPBearer(bearerFormat="JWT", description="An access token for this service (RFC 9068).")
        self.scheme_name = "access token"

    async def __call__(self, connection: HTTPConnection) -> Claims:
        known = connection.scope.get("coatcheck.claims")
        found = known if known is not None else _verified(connection)
        if isinstance(found, Claims):
            return found
        if found is not None and found.reason is Reason.UNSURE:
            raise _refuse(connection, 503, "Please try again in a moment", {"Retry-After": str(RETRY_AFTER_S)})
        # RFC 6750, section 3.1: who brought none is not told that it was wrong; the reason is for nobody outside.
        challenge = "Bearer" if found is None else 'Bearer error="invalid_token"'
        raise _refuse(connection, 401, "This needs an access token", {"WWW-Authenticate": challenge})


def _verified(connection: HTTPConnection) -> Claims | Refused | None:
    token = bearer.find(bearer.fields_in(connection.scope["headers"]))
    if token is None:
        return None
    if isinstance(token, bearer.Unusable):
        return Refused(Reason.MALFORMED)
    found = _verify(connection, token)
    # One that is bound to a cookie is another kind of token (RFC 8725, section 3.12).
    return Refused(Reason.WRONG_TYPE) if isinstance(found, Claims) and BINDING in found.all else found


def _verify(connection: HTTPConnection, token: str) -> Claims | Refused:
    verifier = connection.scope.get("state", {}).get("verifier")
    if isinstance(verifier, Verifier):
        return verifier.verify(token)
    door = getattr(connection.scope.get("coatcheck.visit"), "door", None)
    if door is None or door.auth.issuer is None:
        raise ConfigError("lifespan", "brings no verifier", "FastAPI(lifespan=verifier.lifespan)")
    answer: Claims | Refused = door.auth.verify(token, audience=door.audience)
    return answer


CurrentSession = Annotated[Session, Depends(_SessionCookie(is_required=True))]
"""The session of whoever is signed in; anybody else gets 401."""

MaybeSession = Annotated[Session | None, Depends(_SessionCookie(is_required=False))]
"""The session of whoever is signed in, else None. A session without a subject is ``request.scope["coatcheck"]``."""

AccessClaims = Annotated[Claims, Depends(_AccessToken())]
"""What the request's access token says, if it counts for this service now; else 401."""


class _Required(params.Depends):
    """A requirement, as FastAPI takes it: itself, or within ``Depends(…)``."""

    def __init__(self, requirement: Requirement) -> None:
        async def check(connection: HTTPConnection, session: CurrentSession) -> Session:
            lack = requirement.lack(session, now=connection.scope["coatcheck.visit"].door.auth.clock.now())
            if lack is not None:
                raise _lacking(connection, lack)
            return session

        super().__init__(dependency=check)

    async def __call__(self, connection: HTTPConnection, session: CurrentSession) -> Any:
        return await self.dependency(connection, session)  # type: ignore[misc]  # FastAPI says that it may be None


def _lacking(connection: HTTPConnection, lack: Lack) -> Exception:
    headers = {"WWW-Authenticate": lack.challenge(_scheme_of(connection))} if lack.status == 401 else {}
    return _refuse(connection, lack.status, lack.text, headers)


def require(*, fresh_s: int | None = None, amr: Iterable[str] = (), claim: Wanted = None) -> Any:
    """
    Ask for more than a session, as a dependency: ``dependencies=[require(fresh_s=300)]``, or as
    ``session: Annotated[Session, require(claim=("roles", "admin"))]``.

    Who is not signed in gets 401. So does who has to sign in again, or better, with
    ``insufficient_user_authentication`` in ``WWW-Authenticate`` (RFC 9470); :func:`sign_in` again does it. Who lacks a
    claim gets 403.

    Args:
        fresh_s, amr, claim: See :class:`coatcheck.decide.step_up.Requirement`.

    Raises:
        ConfigError: One of them cannot be used.
    """
    return _Required(Requirement(fresh_s=fresh_s, amr=amr, claim=claim))
