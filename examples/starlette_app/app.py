"""
The application: the routes, and what each page does.

The middleware has looked at the cookie before a handler runs: ``request.scope["coatcheck"]`` is the visitor's session,
or None. It has also refused what other sites' pages sent, so no handler checks that.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp

from coatcheck import Coatcheck, Refused, Session, StoreUnavailable
from coatcheck.asgi import SessionMiddleware, csrf_token, device
from coatcheck.clock import Clock
from coatcheck.http.headers import safe_next
from examples.starlette_app import words
from examples.starlette_app.door import SmallBodies, WithSecurityHeaders
from examples.starlette_app.people import NAME_LONGEST, PASSWORD_LONGEST, People, UsersFileError, why_not

HERE = Path(__file__).parent
log = logging.getLogger("examples.starlette_app")

# What a page may say after a redirect. The address holds the key only, so nobody can put other words on our page.
NOTICES = {
    "ended": "That device is signed out.",
    "others": "All your other devices are signed out.",
    "signed-out": "You are signed out.",
}
ERRORS = {
    404: ("Not found", "There is nothing here. It may have been ended or moved."),
    405: ("Not like this", "This address does not take that kind of request."),
    413: ("Too much", "This is more than this server takes."),
    415: ("Not like this", "This address takes the fields of a form, and nothing else."),
    500: ("Something went wrong", "It is our fault, not yours. Please try again."),
    503: ("Not just now", "Please try again in a moment."),
}

Page = Callable[[Request, str, Session], Awaitable[Response]]


def build_app(auth: Coatcheck, people: People, clock: Clock) -> ASGIApp:
    """Put the application together. The engine opens and closes with it."""
    pages = Pages(auth, people, clock)
    app = Starlette(
        lifespan=auth.lifespan,
        middleware=[
            # Style sheet and icon are the same for everybody: no session is looked up, and caches may keep them.
            Middleware(SessionMiddleware, auth=auth, exclude=("/static/",)),
            Middleware(SmallBodies),
        ],
        routes=[
            Route("/", signed_in(pages.home)),
            Route("/sign-in", pages.sign_in_form, methods=["GET"]),
            Route("/sign-in", pages.sign_in, methods=["POST"]),
            Route("/sign-out", pages.sign_out, methods=["POST"]),
            Route("/devices", signed_in(pages.devices)),
            Route("/devices/end-others", signed_in(pages.end_others), methods=["POST"]),
            Route("/devices/{sid}/end", signed_in(pages.end), methods=["POST"]),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        exception_handlers={
            HTTPException: pages.error,
            StoreUnavailable: pages.error,
            UsersFileError: pages.error,
            Exception: pages.error,
        },
    )
    return WithSecurityHeaders(app)


def signed_in(page: Page) -> Callable[[Request], Awaitable[Response]]:
    """Give *page* the subject and the session; send visitors without one to the sign-in, and back here afterwards."""

    async def guarded(request: Request) -> Response:
        session = session_of(request)
        if session is not None and session.sub is not None:
            return await page(request, session.sub, session)
        where = request.url.path if request.method == "GET" else "/"
        return see_other("/sign-in" if where == "/" else f"/sign-in?{urlencode({'next': where})}")

    return guarded


def session_of(request: Request) -> Session | None:
    """Return the visitor's session. A session that was ended or has run out is None, just like no cookie at all."""
    found: Session | None = request.scope["coatcheck"]
    return found


async def fields_of(request: Request) -> dict[str, str]:
    """Return the fields of a form, sent as our pages send it. No files, and no other encodings to be wary of."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise HTTPException(415)
    async with request.form() as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}


def see_other(path: str, *, set_cookie: str | None = None) -> Response:
    """Answer a form with "now look there": reloading that page sends nothing twice."""
    headers = {} if set_cookie is None else {"set-cookie": set_cookie}
    return RedirectResponse(path, status_code=303, headers=headers)


class Pages:
    """The handlers, with what they share."""

    def __init__(self, auth: Coatcheck, people: People, clock: Clock) -> None:
        self.auth, self.people, self.clock = auth, people, clock
        self.templates = Jinja2Templates(directory=HERE / "templates")
        self.templates.env.filters |= {
            "device": words.device_in_words,
            "exact": words.exact,
            "machine": words.machine,
            "span": words.span,
            "ago": lambda at: words.ago(clock.now() - at),
        }

    # --- signing in and out ---

    async def sign_in_form(self, request: Request) -> Response:
        """Show the form; somebody who is signed in already goes where they wanted to go."""
        after = safe_next(request.query_params.get("next"))
        if session_of(request) is not None:
            return see_other(after)
        return self._sign_in_page(request, after=after)

    async def sign_in(self, request: Request) -> Response:
        """Check name and password, and begin a session."""
        form = await fields_of(request)
        name, password = form.get("name", "").strip()[:NAME_LONGEST], form.get("password", "")
        page = {"after": safe_next(form.get("next")), "name": name}
        if not name or not password:
            return self._sign_in_page(request, error="Enter your name and your password.", status=400, **page)
        if len(password) > PASSWORD_LONGEST:
            error = f"That password is too long: {PASSWORD_LONGEST} characters at most."
            return self._sign_in_page(request, error=error, status=400, **page)

        # The subject must be an identifier that is never given to anybody else. Here it is the name, which is fine as
        # long as nobody takes over a name; where people can rename themselves, use a random id and keep the name apart.
        # A name that cannot be in the file is checked like any other, so that it is answered like any other.
        sub = name if why_not(name) is None else "nobody"
        # Read before the password is checked. Should somebody end all sessions of this person meanwhile, because the
        # password was stolen and is being changed, then a sign-in with the old one is refused.
        generation = await self.auth.generation(sub)
        if not await self.people.is_right(name, password):
            error = "Name or password is not right. Please try again."
            return self._sign_in_page(request, error=error, status=401, **page)
        begun = await self.auth.sign_in(sub, amr=("pwd",), device=device(request.scope), generation=generation)
        if isinstance(begun, Refused):
            error = "Your sessions were ended at this very moment. Please sign in again."
            return self._sign_in_page(request, error=error, status=401, **page)

        # Every sign-in is a new session with a new token. The one that this browser carried until now is over.
        before = session_of(request)
        if before is not None:
            await self.auth.revoke(before.sid, reason="signed in again")
        return see_other(page["after"], set_cookie=self.auth.cookie(begun))

    async def sign_out(self, request: Request) -> Response:
        """End this session on the server first: deleting a cookie alone would end nothing."""
        session = session_of(request)
        if session is not None:
            await self.auth.revoke(session.sid, reason="signed out")
        return see_other("/sign-in?notice=signed-out", set_cookie=self.auth.clear_cookie())

    # --- signed in ---

    async def home(self, request: Request, sub: str, session: Session) -> Response:
        """Say who is signed in, and since when."""
        return self._page(request, "home.html", sessions=await self.auth.sessions_of(sub))

    async def devices(self, request: Request, sub: str, session: Session) -> Response:
        """List where this person is signed in: this device first, then the ones used last."""
        sessions = await self.auth.sessions_of(sub)
        sessions.sort(key=lambda other: (other.sid != session.sid, -other.seen_at))
        return self._page(request, "devices.html", sessions=sessions)

    async def end(self, request: Request, sub: str, session: Session) -> Response:
        """End one session of this person. When the answer goes out, that session is accepted nowhere."""
        ended = await self.auth.revoke(request.path_params["sid"], of=sub, reason="ended from the device list")
        if isinstance(ended, Refused):
            raise HTTPException(404)  # there is none, or it is somebody else's: the same answer
        return see_other("/devices?notice=ended")

    async def end_others(self, request: Request, sub: str, session: Session) -> Response:
        """End all sessions of this person but this one."""
        await self.auth.revoke_user(sub, keep=session.sid, reason="signed out everywhere else")
        return see_other("/devices?notice=others")

    # --- showing ---

    def _sign_in_page(
        self, request: Request, *, after: str, name: str = "", error: str | None = None, status: int = 200
    ) -> Response:
        # A cookie came and opened nothing. Why is our business, and goes to the log; the visitor signs in again.
        is_over = request.method == "GET" and request.scope["coatcheck.refused"] is not None
        return self._page(request, "sign_in.html", status=status, after=after, name=name, error=error, is_over=is_over)

    async def error(self, request: Request, fault: Exception) -> Response:
        """Show a fault as a page; what is to be known about it goes to the log."""
        status = fault.status_code if isinstance(fault, HTTPException) else 500
        if isinstance(fault, StoreUnavailable | UsersFileError):
            log.error("%s", fault)
            status = 503
        title, text = ERRORS.get(status, ("This did not work", "The server cannot answer this request."))
        response = self._page(request, "error.html", status=status, title=title, text=text)
        if isinstance(fault, HTTPException) and fault.headers:
            response.headers.update(fault.headers)
        return response

    def _page(self, request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
        context |= {
            "session": session_of(request) if "coatcheck" in request.scope else None,
            # Only old browsers need it, but it costs one line in a form.
            "csrf_token": lambda: csrf_token(request.scope),
            "notice": NOTICES.get(request.query_params.get("notice", "")),
        }
        # A page for one person: the browser's "back" must not show it after the sign-out.
        headers = {"cache-control": "no-store"}
        return self.templates.TemplateResponse(request, template, context, status_code=status, headers=headers)
