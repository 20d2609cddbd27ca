"""
What a view asks. Floor 5; may import: floors 0 to 4, Django.

Rules of this module:

1. ``login`` of Django is enough; :func:`sign_in` says more: how the user has proved who they are.
2. A view that nobody may see without a session does not run without one.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, overload

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import resolve_url

from coatcheck.decide.step_up import Lack, Requirement, Wanted
from coatcheck.django.conf import engine, options
from coatcheck.django.store import SessionStore
from coatcheck.errors import ConfigError
from coatcheck.http.headers import client_address
from coatcheck.records import Device, Session

View = TypeVar("View", bound=Callable[..., Any])

_ANONYMOUS = Lack(status=401, error="", text="Sign in to do this")


def store_of(request: HttpRequest) -> SessionStore:
    """
    Return ``request.session``.

    Raises:
        ConfigError: It is another engine's, or there is none.
    """
    store = getattr(request, "session", None)
    if not isinstance(store, SessionStore):
        raise ConfigError("SESSION_ENGINE", "is not ours, or there is no session middleware", 'set "coatcheck.django"')
    return store


def current(request: HttpRequest) -> Session | None:
    """
    Return the session of whoever is logged in, as Coatcheck has it; None for anybody else. From memory.

    Raises:
        ConfigError: ``request.session`` is another engine's. StoreUnavailable: memory does not know it, and the store
            does not answer.
    """
    session = store_of(request).record
    return session if session is not None and session.sub is not None else None


def device_of(request: HttpRequest) -> Device:
    """Return where a request comes from: address and user agent, bounded."""
    meta = request.META
    forwarded = [meta["HTTP_X_FORWARDED_FOR"]] if "HTTP_X_FORWARDED_FOR" in meta else []
    address = client_address(meta.get("REMOTE_ADDR") or None, forwarded, options().trusted)
    return Device(ip=address, user_agent=meta.get("HTTP_USER_AGENT"))


def sign_in(
    request: HttpRequest,
    user: Any,
    backend: str | None = None,
    *,
    amr: Iterable[str] = (),
    claims: Mapping[str, Any] | None = None,
) -> None:
    """
    Log a user in, as ``django.contrib.auth.login`` does, and say how they have proved who they are.

    For the same user it is a step-up: the session stays, under a new key. It is begun when the response is ready.

    Args:
        backend: As for ``login``.

        amr: How (RFC 8176): ``("pwd", "otp")``. claims: JSON to have at hand at every request, beside what
            ``COATCHECK["CLAIMS"]`` says.

    Raises:
        ConfigError: ``request.session`` is another engine's.
    """
    store = store_of(request)
    login(request, user, backend)
    store.amr = (amr,) if isinstance(amr, str) else tuple(amr)
    if claims is not None:
        store.claims = {**(store.claims or {}), **claims}


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
    Let only those in who are logged in: ``@signed_in``; or who proved more: ``@signed_in(fresh_s=300, amr="otp")``.

    Who asks for a page is sent to ``LOGIN_URL``; anybody else gets 401, with what is missing in ``WWW-Authenticate``
    (RFC 9470). Who lacks a claim gets 403. For views with and without await.

    Args:
        fresh_s, amr, claim: See :class:`coatcheck.decide.step_up.Requirement`.
    """
    requirement = Requirement(fresh_s=fresh_s, amr=amr, claim=claim)

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(view):

            @functools.wraps(view)
            async def guarded_async(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
                refusal = await sync_to_async(_why_not)(request, requirement)
                answer: HttpResponseBase = refusal or await view(request, *args, **kwargs)
                return answer

            return guarded_async

        @functools.wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            answer: HttpResponseBase = _why_not(request, requirement) or view(request, *args, **kwargs)
            return answer

        return guarded

    return decorate if view is None else decorate(view)


def _why_not(request: HttpRequest, requirement: Requirement) -> HttpResponse | None:
    session = current(request)
    lack = _ANONYMOUS if session is None else requirement.lack(session, now=engine().clock.now())
    if lack is None:
        return None
    if lack.status == 403:
        raise PermissionDenied(lack.text)
    if request.method in ("GET", "HEAD") and "text/html" in request.headers.get("Accept", ""):
        from django.contrib.auth.views import redirect_to_login

        return redirect_to_login(request.get_full_path(), resolve_url(settings.LOGIN_URL))
    challenge = 'Cookie realm="coatcheck"' if lack is _ANONYMOUS else lack.challenge("Cookie")
    return HttpResponse(lack.text, status=401, content_type="text/plain", headers={"WWW-Authenticate": challenge})
