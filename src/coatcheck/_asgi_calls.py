"""
What an application asks the ASGI adapter for, during a request. Floor 5; may import: floors 0 to 4, no framework.

Public as :mod:`coatcheck.asgi`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from coatcheck import _asgi_forms as forms
from coatcheck import _carry
from coatcheck._asgi_forms import Scope, Visit
from coatcheck._carry import Visitor
from coatcheck.engine import Coatcheck
from coatcheck.errors import ConfigError
from coatcheck.http import cookie, headers
from coatcheck.records import Device, Refused, Session, SignedIn
from coatcheck.values import decode, encode


def session_info(scope: Scope) -> dict[str, Any] | None:
    """
    Return what a page may know of its visitor's session, as JSON; None for an anonymous one.

    It holds nothing that opens anything: subject, claims, when it began and when it ends at the latest.
    """
    session: Session | None = scope["coatcheck"]
    if session is None or session.sub is None:
        return None
    return {
        "sub": session.sub,
        "claims": decode(encode(session.claims)),
        "auth_time": session.auth_time,
        "expires_at": session.expires_at,
    }


def csrf_token(scope: Scope) -> str:
    """
    Return the token to put into a form's hidden field ``csrf_token`` (or the header ``X-CSRF-Token``).

    Only browsers without Fetch Metadata and Origin need it; every other request is judged by those headers.

    Raises:
        ConfigError: The middleware is not installed.
    """
    visit = _visit(scope)
    return forms.make_token(scope, visit, visit.door.auth)


def device(scope: Scope) -> Device:
    """
    Return where this request comes from, for :meth:`Coatcheck.sign_in`: address and user agent, bounded.

    Raises:
        ConfigError: The middleware is not installed.
    """
    peer, trusted = scope.get("client"), _visit(scope).door.trusted
    forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    address = headers.client_address(peer[0] if peer else None, forwarded, trusted)
    return Device(ip=address, user_agent=forms.one_header(scope, b"user-agent"))


async def sign_in(
    request: Any,
    sub: str,
    *,
    claims: Mapping[str, Any] | None = None,
    amr: Iterable[str] = (),
    persistent: bool = True,
    generation: int | None = None,
) -> SignedIn | Refused:
    """
    Sign *sub* in: begin the session, and set the cookie on the response to this request.

    An anonymous session goes on with its data under a new token, and so does one of the same subject (step-up); one of
    another subject ends. From here on the request is theirs.

    Args:
        request: A request of Starlette or FastAPI, or its scope.

        claims, amr, persistent, generation: As for :meth:`coatcheck.Coatcheck.sign_in`.

    Returns:
        Refused only with *generation*: their sessions were ended since it was read.

    Raises:
        ConfigError: The middleware is not installed.
    """
    scope = _scope(request)
    visit, session = _visit(scope), scope["coatcheck"]
    auth = visit.door.auth
    done = await _carry.sign_in(
        auth, session, _token(scope, auth), sub,
        claims=claims, amr=amr, device=device(scope), persistent=persistent, generation=generation,
    )  # fmt: skip
    if isinstance(done, SignedIn):
        _enter(scope, visit, done.session, auth.cookie(done))
    return done


async def sign_out(request: Any) -> None:
    """
    End the session of this request, everywhere, and delete its cookie with the response.

    Args:
        request: A request of Starlette or FastAPI, or its scope.

    Raises:
        ConfigError: The middleware is not installed.
    """
    scope = _scope(request)
    visit, session = _visit(scope), scope["coatcheck"]
    if session is not None:
        await visit.door.auth.revoke(session.sid, reason="signed out")
    _enter(scope, visit, None, visit.door.auth.clear_cookie())


def _enter(scope: Scope, visit: Visit, session: Session | None, written: str) -> None:
    scope["coatcheck"] = session
    scope["user"] = scope["auth"] = Visitor(session)
    visit.cookies[:] = [written.encode("ascii")]  # the last one counts, and no token of what was before
    if visit.data is not None:
        visit.data.move(None if session is None else session.sid)


def _scope(request: Any) -> Scope:
    scope: Scope = getattr(request, "scope", request)
    return scope


def _token(scope: Scope, auth: Coatcheck) -> str | None:
    sent = [value for name, value in scope["headers"] if name == b"cookie"]
    found = cookie.find_in(sent, auth.policy.cookie.name.encode("ascii"))
    return None if found is None else found.decode("latin-1")


def _visit(scope: Scope) -> Visit:
    visit = scope.get("coatcheck.visit")
    if not isinstance(visit, Visit):
        raise ConfigError("middleware", "is not installed", "wrap the application in coatcheck.asgi.SessionMiddleware")
    return visit
