"""
The pages that everybody has: set-up, sign-in, home, devices, password. Floor 6; may import: floors 0 to 5.

Handlers are thin: what happens is said in :mod:`.desk`, which the JSON interface calls too. How pages are made is said
in :mod:`.paper`; what administrators see is in :mod:`.admin_pages`.

Rules of this module:

1. Everything works without JavaScript. With it, lists of devices refresh themselves.
2. A page that refreshes itself is no activity: ``/live/`` is outside the session middleware and asks without a touch.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from coatcheck import Refused
from coatcheck.http import cookie
from coatcheck.http.headers import safe_next
from coatcheck.server import admin_pages, problems
from coatcheck.server.carry import cookies_of
from coatcheck.server.desk import FRESH_S
from coatcheck.server.names import NAME_LONGEST
from coatcheck.server.paper import HERE, Paper, address, digest_of, fields_of, see_other
from coatcheck.server.problems import Problem
from coatcheck.server.site import Site
from coatcheck.server.visitor import Visitor

LIVE_HEADERS = {"vary": "Cookie"}


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of all pages, and of the files that they load."""
    paper = Paper(site)
    pages = Pages(paper)
    signed_in = paper.signed_in
    return [
        Route("/", signed_in(pages.home), methods=["GET"]),
        Route("/set-up", pages.set_up_form, methods=["GET"]),
        Route("/set-up", pages.set_up, methods=["POST"]),
        Route("/sign-in", pages.sign_in_form, methods=["GET"]),
        Route("/sign-in", pages.sign_in, methods=["POST"]),
        Route("/sign-out", pages.sign_out, methods=["POST"]),
        Route("/fresh", signed_in(pages.fresh_form), methods=["GET"]),
        Route("/fresh", signed_in(pages.freshen, back="/"), methods=["POST"]),
        Route("/devices", signed_in(pages.devices), methods=["GET"]),
        Route("/devices/end-others", signed_in(pages.end_others, back="/devices"), methods=["POST"]),
        Route("/devices/{sid}/end", signed_in(pages.end, back="/devices"), methods=["POST"]),
        Route("/password", signed_in(pages.password_form), methods=["GET"]),
        Route("/password", signed_in(pages.change_password, back="/password"), methods=["POST"]),
        Route("/live/devices", live(paper, pages.live_devices), methods=["GET"]),
        *admin_pages.routes(paper),
        Route("/live/users/{id}", live(paper, admin_pages.AdminPages(paper).live_user), methods=["GET"]),
        Mount("/static", Files(directory=HERE / "static"), name="static"),
    ]


def error(site: Site) -> Callable[[Request, int, Mapping[str, str] | None], Awaitable[Response]]:
    """Return what answers the requests that no page has answered."""
    paper = Paper(site)

    async def answer(request: Request, status: int, headers: Mapping[str, str] | None = None) -> Response:
        if request.url.path.startswith("/live/"):
            return Response(status_code=status, headers={"cache-control": "no-store", **LIVE_HEADERS})
        return paper.fault(request, status, headers)

    return answer


def live(
    paper: Paper, page: Callable[[Request, Visitor], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    """Give *page* its visitor, and count no activity; 401 and nothing for those without a session."""

    async def asked(request: Request) -> Response:
        auth = paper.site.auth
        sent = [field.encode("latin-1") for field in request.headers.getlist("cookie")]
        token = cookie.find_in(sent, auth.policy.cookie.name.encode())
        session = await auth.check(token.decode("latin-1"), touch=False) if token is not None else None
        if session is None or isinstance(session, Refused) or session.sub is None:
            return Response(status_code=401, headers={"cache-control": "no-store", **LIVE_HEADERS})
        # What the middleware would have noted: the form tokens in the list are bound to it.
        request.scope["coatcheck"] = session
        response = await page(request, paper.site.visitor(request))
        response.headers.update(LIVE_HEADERS)
        return response

    return asked


class Files(StaticFiles):
    """Style sheet, script and icon. Browsers keep them and ask each time whether they are still the same (ETag)."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


class Pages:
    """The handlers."""

    def __init__(self, paper: Paper) -> None:
        self._paper = paper
        self._site = paper.site
        self._desk = paper.site.desk

    # --- set-up ---

    async def set_up_form(self, request: Request) -> Response:
        """Show the form that makes the first administrator; afterwards, that there is nothing to do."""
        if await self._site.is_set_up():
            return self._paper.refusal(request, problems.SET_UP_ALREADY, back="/")
        return self._set_up_page(request)

    async def set_up(self, request: Request) -> Response:
        """Make the first administrator and sign them in."""
        form = await fields_of(request)
        code, name = form.get("code", "").strip(), form.get("name", "").strip()
        entered = await self._desk.set_up(code, name, form.get("password", ""), self._site.visitor(request))
        if not isinstance(entered, Problem):
            return see_other("/", cookies_of(self._site, entered))
        if entered.code == problems.SET_UP_ALREADY.code:
            return self._paper.refusal(request, entered, back="/")
        return self._set_up_page(request, problem=entered, code=code, name=name)

    def _set_up_page(
        self, request: Request, *, problem: Problem | None = None, code: str = "", name: str = ""
    ) -> Response:
        return self._paper.page(request, "set_up.html", problem=problem, code=code[:64], name=name[:NAME_LONGEST])

    # --- signing in and out ---

    async def sign_in_form(self, request: Request) -> Response:
        """Show the form; somebody who is signed in already goes where they wanted to go."""
        after = safe_next(request.query_params.get("next"))
        if self._site.visitor(request).session is not None:
            return see_other(after)
        if not await self._site.is_set_up():
            return see_other("/set-up")
        return self._sign_in_page(request, after=after)

    async def sign_in(self, request: Request) -> Response:
        """Check name and password, and begin a session."""
        form = await fields_of(request)
        after, name = safe_next(form.get("next")), form.get("name", "").strip()
        entered = await self._desk.sign_in(name, form.get("password", ""), self._site.visitor(request))
        if isinstance(entered, Problem):
            return self._sign_in_page(request, after=after, name=name, problem=entered)
        return see_other(after, cookies_of(self._site, entered))

    def _sign_in_page(
        self, request: Request, *, after: str, name: str = "", problem: Problem | None = None
    ) -> Response:
        # A cookie came and opened nothing. Why is our business; the visitor signs in again.
        is_over = request.method == "GET" and request.scope["coatcheck.refused"] is not None
        name = name[:NAME_LONGEST]
        return self._paper.page(request, "sign_in.html", problem=problem, after=after, name=name, is_over=is_over)

    async def sign_out(self, request: Request) -> Response:
        """End this session on the server first: deleting a cookie alone would end nothing."""
        await self._desk.sign_out(self._site.visitor(request))
        return self._paper.out("signed-out")

    # --- signed in ---

    async def home(self, request: Request, visitor: Visitor) -> Response:
        """Say who is signed in, and since when."""
        return self._paper.page(request, "home.html", sessions=await self._desk.sessions(visitor))

    async def fresh_form(self, request: Request, visitor: Visitor) -> Response:
        """Ask for the password once more."""
        return self._fresh_page(request, after=safe_next(request.query_params.get("next")))

    async def freshen(self, request: Request, visitor: Visitor) -> Response:
        """Take the password, and go back to where it was needed."""
        form = await fields_of(request)
        after = safe_next(form.get("next"))
        renewed = await self._desk.freshen(form.get("password", ""), visitor)
        if isinstance(renewed, Problem):
            if renewed.code == problems.ENDED_MEANWHILE.code:
                return self._paper.refusal(request, renewed, back=after)
            return self._fresh_page(request, after=after, problem=renewed)
        return see_other(address(after, notice="fresh"), [self._site.auth.cookie(renewed)])

    def _fresh_page(self, request: Request, *, after: str, problem: Problem | None = None) -> Response:
        return self._paper.page(request, "fresh.html", problem=problem, after=after, fresh_s=FRESH_S)

    async def password_form(self, request: Request, visitor: Visitor) -> Response:
        """Show the form for another password."""
        return self._paper.page(request, "password.html")

    async def change_password(self, request: Request, visitor: Visitor) -> Response:
        """Change the password; every other device is signed out, and this one has a new token."""
        form = await fields_of(request)
        renewed = await self._desk.change_password(form.get("current", ""), form.get("new", ""), visitor)
        if not isinstance(renewed, Problem):
            return see_other(address("/devices", notice="password"), [self._site.auth.cookie(renewed)])
        if renewed.code == problems.ENDED_MEANWHILE.code:
            return self._paper.refusal(request, renewed, back="/password")
        return self._paper.page(request, "password.html", problem=renewed)

    # --- devices ---

    async def devices(self, request: Request, visitor: Visitor) -> Response:
        """List where this person is signed in."""
        return await self._devices_page(request, visitor)

    async def live_devices(self, request: Request, visitor: Visitor) -> Response:
        """Return the list alone."""
        return await self._devices_page(request, visitor, template="own_devices.html")

    async def _devices_page(
        self, request: Request, visitor: Visitor, *, template: str = "devices.html", problem: Problem | None = None
    ) -> Response:
        sessions = await self._desk.sessions(visitor)
        return self._paper.page(request, template, problem=problem, sessions=sessions, digest=digest_of(sessions))

    async def end(self, request: Request, visitor: Visitor) -> Response:
        """End one session of this person. When the answer goes out, that session is accepted nowhere."""
        sid = request.path_params["sid"]
        problem = await self._desk.end(sid, visitor)
        if problem is None:
            is_own = visitor.session is not None and visitor.session.sid == sid
            return self._paper.out("signed-out") if is_own else see_other("/devices?notice=device-ended")
        if problem.code == problems.NOT_FOUND.code:
            return await self._devices_page(request, visitor, problem=problem)
        return self._paper.refusal(request, problem, back="/devices")

    async def end_others(self, request: Request, visitor: Visitor) -> Response:
        """End all sessions of this person but this one."""
        problem = await self._desk.end_all(visitor, but_this=True)
        if problem is not None:
            return self._paper.refusal(request, problem, back="/devices")
        return see_other("/devices?notice=others-ended")
