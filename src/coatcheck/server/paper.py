"""
What every page is made with: templates, notices, guards, forms. Floor 6; may import: floors 0 to 5.

Rules of this module:

1. An address holds the key of a notice, never its words: nobody can put other words on our pages.
2. A form's answer is "now look there" (303), so that reloading sends nothing twice. Only a refusal is a page itself.
3. No password is ever put into a page.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from coatcheck import Session
from coatcheck.asgi import csrf_token
from coatcheck.http.headers import safe_next
from coatcheck.server import words
from coatcheck.server.carry import signed_out
from coatcheck.server.office import is_admin
from coatcheck.server.passwords import SHORTEST
from coatcheck.server.problems import BUSY, ENDED_MEANWHILE, NOT_ADMIN, NOT_FRESH, NOT_SIGNED_IN, Problem
from coatcheck.server.site import Site
from coatcheck.server.visitor import Visitor

HERE = Path(__file__).parent
NOTICES = {
    "why-fresh": "Before you can go on, enter your password once more: you signed in a while ago.",
    "ended": "You are no longer signed in here.",
    "device-ended": "That device is signed out.",
    "others-ended": "You are signed out everywhere else.",
    "fresh": "Thank you. If you had pressed a button, press it again now.",
    "password": "Your password is changed, and every other device is signed out.",
    "signed-out": "You are signed out.",
    "everyone-ended": "Everyone is signed out, and so are you.",
    "user-added": "The account is there. Tell its owner the password on a safe way.",
    "user-ended": "This person is signed out everywhere.",
    "promoted": "This person is an administrator now, on all devices.",
    "demoted": "This person is no longer an administrator, on any device.",
    "self-demoted": "You are no longer an administrator.",
    "disabled": "The account is disabled, and all its devices are signed out.",
    "enabled": "The account can be used again.",
    "reset": "The password is set, and all devices of this person are signed out.",
}
FAULTS = {
    400: ("Not understood", "The server could not make sense of this request."),
    404: ("Not found", "There is nothing at this address. It may have been ended, or mistyped."),
    405: ("Not like this", "This address does not take that kind of request."),
    408: ("Too slow", "The request took too long to arrive. Please try again."),
    413: ("Too much", "This is more than the server takes."),
    415: ("Not like this", "This address takes the fields of a form, and nothing else."),
    421: ("Not this server", "This server does not answer for that host."),
    500: ("Something went wrong", "The fault is ours, not yours. Please try again."),
    503: ("Not just now", "The server cannot answer at this moment. Please try again in a few seconds."),
}
RETRY_S = 5

Page = Callable[[Request, Visitor], Awaitable[Response]]
Handler = Callable[[Request], Awaitable[Response]]


def address(path: str, **query: str | int | None) -> str:
    """Return *path* with more in its query, what is None left out; what it had by the same name is replaced."""
    parts = urlsplit(path)
    kept = [(key, value) for key, value in parse_qsl(parts.query) if key not in query]
    text = urlencode([*kept, *((key, value) for key, value in query.items() if value is not None)])
    return f"{parts.path}?{text}" if text else parts.path


def filled(path: str, request: Request) -> str:
    """Return *path* with its braces filled from the path of *request*."""
    return path.format_map({name: quote(str(value), safe="") for name, value in request.path_params.items()})


def see_other(path: str, cookies: Iterable[str] = ()) -> Response:
    """Answer a form."""
    response = RedirectResponse(path, status_code=303, headers={"cache-control": "no-store"})
    for cookie in cookies:
        response.headers.append("set-cookie", cookie)
    return response


async def fields_of(request: Request) -> dict[str, str]:
    """
    Return the fields of a form, sent as our pages send it. No files, and no other encodings to be wary of.

    Raises:
        HTTPException: It is something else (415), or broken (400).
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise HTTPException(415)
    async with request.form() as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}


def digest_of(sessions: list[Session]) -> str:
    """Return a short text that differs when a list of devices does."""
    seen = "\n".join(f"{one.sid} {one.seen_at} {one.device.ip} {one.device.user_agent}" for one in sessions)
    return hashlib.sha256(seen.encode()).hexdigest()[:16]


class Paper:
    """Makes the pages of one site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._env = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._env.filters |= {
            "device": words.device_in_words,
            "own_words": words.own_words,
            "exact": words.exact,
            "machine": words.machine,
            "span": words.span,
            "remark": words.remark,
        }
        self._env.globals |= {
            "relative": lambda at: words.relative(at, site.clock.now()),
            "now": site.clock.now,
            "address": address,
            "shortest": SHORTEST,
        }

    # --- showing ---

    def page(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        problem: Problem | None = None,
        headers: Mapping[str, str] | None = None,
        **context: Any,
    ) -> Response:
        """Return a page; *problem* is shown on it, and is its status."""
        session = request.scope.get("coatcheck")
        context |= {
            "path": request.url.path,
            "problem": problem,
            "session": session if session is not None and session.sub is not None else None,
            "is_admin": is_admin(session),
            # Only old browsers need it, but it costs one line in a form.
            "csrf_token": lambda: csrf_token(request.scope),
            "notice": NOTICES.get(request.query_params.get("notice", "")),
        }
        # A page for one person: the browser's "back" must not show it after the sign-out.
        more = {"cache-control": "no-store", **(headers or {})}
        if problem is not None:
            status = problem.status
            if problem.retry_after_s is not None:
                more["retry-after"] = str(problem.retry_after_s)
        return HTMLResponse(self._env.get_template(template).render(context), status, more)

    def fault(self, request: Request, status: int, headers: Mapping[str, str] | None = None) -> Response:
        """Return the page that says in words what the status says in digits."""
        title, text = FAULTS.get(status, ("This did not work", "The server cannot answer this request."))
        more = dict(headers or {})
        if status == 503:
            more.setdefault("retry-after", str(RETRY_S))
        return self.page(
            request, "error.html", status=status, headers=more, title=title, text=text, back="/", retry=None
        )

    def refusal(self, request: Request, problem: Problem, *, back: str) -> Response:
        """
        Say no where there is no form that could show why.

        Args:
            back: The page that the form was on.
        """
        if problem.code == NOT_FRESH.code:
            return see_other(address("/fresh", next=back, notice="why-fresh"))
        if problem.code in (NOT_SIGNED_IN.code, ENDED_MEANWHILE.code):
            return see_other(address("/sign-in", next=back, notice="ended"))
        away = "/" if problem.code == NOT_ADMIN.code else back
        retry = problem.retry_after_s if problem.code == BUSY.code else None
        title, text = problem.title, problem.detail
        return self.page(request, "error.html", problem=problem, title=title, text=text, back=away, retry=retry)

    # --- going elsewhere ---

    def out(self, notice: str) -> Response:
        """Answer a form after which this browser is signed out."""
        response = see_other(address("/sign-in", notice=notice))
        signed_out(response, self.site)
        return response

    def signed_in(self, page: Page, *, back: str | None = None) -> Handler:
        """
        Give *page* its visitor; send those who are not signed in to the sign-in, and back afterwards.

        Args:
            back: Where the form of a POST is. Its braces are filled from the path.
        """

        async def guarded(request: Request) -> Response:
            visitor = self.site.visitor(request)
            if request.method == "POST":
                # A form takes as long as its sender likes. Who they were before says nothing about now.
                await request.body()
                visitor = await self.site.current(visitor)
            if visitor.session is not None:
                return await page(request, visitor)
            if not await self.site.is_set_up():
                return see_other("/set-up")
            where = filled(back, request) if back is not None else _here(request)
            return see_other("/sign-in" if where == "/" else address("/sign-in", next=safe_next(where)))

        return guarded

    def admin(self, page: Page, *, back: str | None = None) -> Handler:
        """Like :meth:`signed_in`, and refuse those who are not administrators."""

        async def looked_at(request: Request, visitor: Visitor) -> Response:
            refusal = self.site.office.may_look(visitor)
            return await page(request, visitor) if refusal is None else self.refusal(request, refusal, back="/")

        return self.signed_in(looked_at, back=back)


def _here(request: Request) -> str:
    query = urlencode([(key, value) for key, value in request.query_params.multi_items() if key != "notice"])
    return f"{request.url.path}?{query}" if query else request.url.path
