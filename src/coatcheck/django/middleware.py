"""
Two middlewares, each in the place of one of Django's. Floor 5; may import: floors 0 to 4, Django.

- :class:`SessionMiddleware` for ``django.contrib.sessions.middleware.SessionMiddleware``. With Django's own, sessions
  work; with this one a store that is away is 503 and nobody is signed out by it, devices have an address, and no shared
  cache keeps a page.
- :class:`CsrfMiddleware` for ``django.middleware.csrf.CsrfViewMiddleware``. What a current browser says of a request is
  enough; whoever does not say it needs the token, as before.

Rules of this module:

1. A cookie is deleted only where the application has ended the session. The answer to an old request may arrive after
   the answer that set a new one.
2. Store down: 503 for requests that carry a session; anonymous ones are served.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware as DjangosSessions
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware

from coatcheck._door import RETRY_AFTER_S
from coatcheck.decide import csrf
from coatcheck.django.calls import device_of
from coatcheck.django.conf import options
from coatcheck.django.store import SessionStore
from coatcheck.errors import StoreUnavailable
from coatcheck.http import cookie, headers

_now_served: ContextVar[SessionStore | None] = ContextVar("coatcheck_now_served", default=None)


def now_served() -> SessionStore | None:
    """Return the session of the request that is being served here and now, where our middleware serves it."""
    return _now_served.get()


def later() -> HttpResponse:
    """Return the answer while the store is away."""
    fields = {"Retry-After": str(RETRY_AFTER_S), "Cache-Control": "no-store"}
    return HttpResponse("Please try again in a moment.", status=503, content_type="text/plain", headers=fields)


class SessionMiddleware(DjangosSessions):
    """Django's session middleware, with what Coatcheck promises beside it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        super().__init__(get_response)
        self._is_async = iscoroutinefunction(get_response)

    def __call__(self, request: HttpRequest) -> Any:
        """Serve one request."""
        if self._is_async:
            return self._serve(request)
        store = self._begin(request)
        try:
            # Looked up before the view: who must be told to come again is told before anything has happened.
            store.look()
        except StoreUnavailable:
            return _private(later())
        before = _now_served.set(store)
        try:
            response = self.get_response(request)
        finally:
            _now_served.reset(before)
        return self.process_response(request, response)

    async def _serve(self, request: HttpRequest) -> HttpResponseBase:
        store = self._begin(request)
        try:
            await store.alook()
        except StoreUnavailable:
            return _private(later())
        before = _now_served.set(store)
        try:
            response = await self.get_response(request)
        finally:
            _now_served.reset(before)
        if not _has_to_write(store):
            return _private(response)
        found: HttpResponseBase = await sync_to_async(self.process_response)(request, response)
        return found

    def _begin(self, request: HttpRequest) -> SessionStore:
        # Not request.COOKIES: of two cookies of this name one was tossed, and Django takes the last.
        sent = request.META.get("HTTP_COOKIE", "").encode("latin-1", "replace")
        key = cookie.find(sent, settings.SESSION_COOKIE_NAME.encode("latin-1"))
        store = request.session = SessionStore(None if key is None else key.decode("latin-1"))
        store.find_device = functools.partial(device_of, request)
        return store

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer 503 where a view could not reach the store."""
        return later() if isinstance(exception, StoreUnavailable) else None

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Save the session and set its cookie, or delete the cookie of one that the application has ended."""
        store: SessionStore = request.session
        if not _has_to_write(store):
            return _private(response)
        name = settings.SESSION_COOKIE_NAME
        try:
            if store.must_prove and not store.is_proved_anew:
                store.flush()
        except StoreUnavailable:
            return _private(later())
        has_ended = store.was_flushed and store.is_empty()
        # Django deletes the cookie of any empty session, also of one that came with an old request. Not without it.
        brought = request.COOKIES.pop(name, None)
        try:
            response = super().process_response(request, response)
        except StoreUnavailable:
            response = later()
        finally:
            if brought is not None:
                request.COOKIES[name] = brought
        if has_ended and brought is not None:
            response.delete_cookie(
                name,
                path=settings.SESSION_COOKIE_PATH,
                domain=settings.SESSION_COOKIE_DOMAIN,
                samesite=settings.SESSION_COOKIE_SAMESITE,
            )
            response.cookies[name]["secure"] = bool(settings.SESSION_COOKIE_SECURE)  # browsers ask for it with __Host-
            response.cookies[name]["httponly"] = True
        return _private(response)


def _has_to_write(store: SessionStore) -> bool:
    # Most requests only look.
    return bool(store.modified or store.must_prove or settings.SESSION_SAVE_EVERY_REQUEST)


def _private(response: HttpResponseBase) -> HttpResponseBase:
    if not response.cookies and not response.has_header("Cache-Control") and response.get("Vary", "Cookie") == "Cookie":
        response["Vary"], response["Cache-Control"] = "Cookie", "private, no-cache"  # the usual case
        return response
    said = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.items()]
    # The cookies of a response are not among its headers.
    said.extend((b"set-cookie", b"") for _ in response.cookies)
    for name, value in headers.private(said):
        if name in (b"vary", b"cache-control"):
            response["Vary" if name == b"vary" else "Cache-Control"] = value.decode("latin-1")
    return response


class CsrfMiddleware(CsrfViewMiddleware):
    """Django's CSRF middleware, which believes what a current browser says of a request, and needs no token then."""

    def process_view(
        self, request: HttpRequest, callback: Any, callback_args: Any, callback_kwargs: Any
    ) -> HttpResponse | None:
        """Judge a request before its view runs."""
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        is_exempt = getattr(request, "csrf_processing_done", False) or getattr(callback, "csrf_exempt", False)
        if is_exempt or (site is None and not (origin and options().policy.origins)):
            return super().process_view(request, callback, callback_args, callback_kwargs)
        verdict = csrf.judge(
            options().policy,
            method=request.method or "GET",
            path=request.path,
            sec_fetch_site=site,
            origin=origin,
            content_type=request.content_type,
        )
        if verdict is csrf.Verdict.REFUSE and origin is not None and self._origin_verified(request):
            # An origin that the settings trust, or that a proxy has made of ours: Django asks it for the token.
            return super().process_view(request, callback, callback_args, callback_kwargs)
        if verdict is csrf.Verdict.PASS:
            request.csrf_processing_done = True
            return None
        return self._reject(request, "It was sent by another site.")
