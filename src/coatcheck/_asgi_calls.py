"""
What an application asks its adapter for, during a request. Floor 5; may import: floors 0 to 4, no framework.

Public as :mod:`coatcheck.asgi`; :mod:`coatcheck.wsgi` asks here, too, with a scope made of its environ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from coatcheck import _asgi_forms as forms
from coatcheck import _carry
from coatcheck._asgi_forms import Scope, Visit
from coatcheck._carry import NOBODY, Visitor
from coatcheck.errors import ConfigError
from coatcheck.http import cookie, headers
from coatcheck.records import Device, Refused, Session, SignedIn
from coatcheck.secret import Secret
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
    visit = visit_of(scope)
    return forms.make_token(scope, visit, visit.door.auth)


def device(scope: Scope) -> Device:
    """
    Return where this request comes from, for :meth:`Coatcheck.sign_in`: address and user agent, bounded.

    Raises:
        ConfigError: The middleware is not installed.
    """
    peer, trusted = scope.get("client"), visit_of(scope).door.trusted
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
    visit = visit_of(scope)
    session, token = brought(scope, visit)
    done = await _carry.sign_in(
        visit.door.auth, session, token, sub,
        claims=claims, amr=amr, device=device(scope), persistent=persistent, generation=generation,
    )  # fmt: skip
    if isinstance(done, SignedIn):
        enter(scope, visit, done)
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
    visit, session = visit_of(scope), scope["coatcheck"]
    if session is not None:
        await visit.door.auth.revoke(session.sid, reason="signed out")
    leave(scope, visit)


def brought(scope: Scope, visit: Visit) -> tuple[Session | None, str | Secret | None]:
    """Return the session that the browser has by now, and its token; none for who brought an access token."""
    if visit.has_changed:
        return scope["coatcheck"], visit.token
    if "coatcheck.claims" in scope:
        return None, None
    sent = [value for name, value in scope["headers"] if name == b"cookie"]
    found = cookie.find_in(sent, visit.door.cookie_name)
    return scope["coatcheck"], None if found is None else found.decode("latin-1")


def enter(scope: Scope, visit: Visit, done: SignedIn) -> None:
    """From here on the request is that of a session, whose cookie goes out with the response."""
    _change(scope, visit, done.session, visit.door.auth.cookie(done))
    visit.token = done.token


def leave(scope: Scope, visit: Visit) -> None:
    """From here on the request is nobody's; the cookie is deleted with the response."""
    _change(scope, visit, None, visit.door.auth.clear_cookie())
    visit.token = None


def _change(scope: Scope, visit: Visit, session: Session | None, written: str) -> None:
    visit.has_changed = True
    scope["coatcheck"] = session
    if isinstance(scope.get("auth", NOBODY), Visitor):
        scope["user"] = scope["auth"] = Visitor(session)
    visit.cookies = [written.encode("ascii")]  # the last one counts, and no token of what was before
    if visit.data is not None:
        visit.data.move(None if session is None else session.sid)


def visit_of(scope: Scope) -> Visit:
    """
    Return the middleware's notes on a request.

    Raises:
        ConfigError: The middleware is not installed.
    """
    visit = scope.get("coatcheck.visit")
    if not isinstance(visit, Visit):
        raise ConfigError("middleware", "is not installed", "wrap the application in SessionMiddleware")
    return visit


def _scope(request: Any) -> Scope:
    scope: Scope = getattr(request, "scope", request)
    return scope
