"""
The pages of administrators: users, the audit trail, signing everyone out. Floor 6; may import: floors 0 to 5.

Handlers are thin: what happens is said in :mod:`.office`, which the JSON interface calls too.

Rules of this module:

1. Who may look and who may act decides the office, at each call. The guards here only choose the page that says so.
2. A form with something to type asks for a fresh password before it is shown, so that nothing typed is lost.
3. After what has ended one's own session, the browser is told so at once.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from coatcheck.server import problems, words
from coatcheck.server.database.base import Event, User
from coatcheck.server.names import NAME_LONGEST
from coatcheck.server.office import UserInDetail
from coatcheck.server.paper import Page, Paper, address, digest_of, fields_of, filled, see_other
from coatcheck.server.problems import Problem
from coatcheck.server.trail import COMMAND, KEPT_S
from coatcheck.server.visitor import Visitor

PAGE = 50
NO_DEVICE = "There is no such device any more. This is the list as it is now."
_NUMBER_LONGEST = 15
_USER = "/admin/users/{id}"


def routes(paper: Paper) -> list[BaseRoute]:
    """Return the routes."""
    pages = AdminPages(paper)

    def get(path: str, page: Page) -> Route:
        return Route(path, paper.admin(page), methods=["GET"])

    def post(path: str, page: Page, back: str) -> Route:
        return Route(path, paper.admin(page, back=back), methods=["POST"])

    return [
        get("/admin/users", pages.users),
        get("/admin/users/new", pages.new_user_form),
        post("/admin/users/new", pages.add_user, "/admin/users/new"),
        get(_USER, pages.user),
        get(f"{_USER}/password", pages.reset_form),
        post(f"{_USER}/password", pages.reset, f"{_USER}/password"),
        post(f"{_USER}/end", pages.end_all, _USER),
        post(f"{_USER}/sessions/{{sid}}/end", pages.end, _USER),
        post(f"{_USER}/promote", pages.change, _USER),
        post(f"{_USER}/demote", pages.change, _USER),
        post(f"{_USER}/disable", pages.change, _USER),
        post(f"{_USER}/enable", pages.change, _USER),
        get("/admin/everyone/end", pages.everyone_form),
        post("/admin/everyone/end", pages.end_everyone, "/admin/everyone/end"),
        get("/admin/audit", pages.audit),
    ]


class AdminPages:
    """The handlers."""

    def __init__(self, paper: Paper) -> None:
        self._paper = paper
        self._site = paper.site
        self._office = paper.site.office

    # --- users ---

    async def users(self, request: Request, visitor: Visitor) -> Response:
        """List accounts."""
        like = request.query_params.get("q", "").strip()[:NAME_LONGEST]
        after = request.query_params.get("after", "")[:NAME_LONGEST]
        found = await self._office.users(visitor, like=like, after=after, limit=PAGE + 1)
        if isinstance(found, Problem):
            return self._paper.refusal(request, found, back="/")
        following = found[PAGE - 1].name if len(found) > PAGE else None
        return self._paper.page(request, "users.html", users=found[:PAGE], like=like, after=after, following=following)

    async def new_user_form(self, request: Request, visitor: Visitor) -> Response:
        """Show the form for another account."""
        refusal = self._office.may_act(visitor)
        if refusal is not None:
            return self._paper.refusal(request, refusal, back="/admin/users/new")
        return self._paper.page(request, "new_user.html", name="", makes_admin=False)

    async def add_user(self, request: Request, visitor: Visitor) -> Response:
        """Add an account."""
        form = await fields_of(request)
        name, makes_admin = form.get("name", "").strip(), "admin" in form
        added = await self._office.add(name, form.get("password", ""), visitor, is_admin=makes_admin)
        if isinstance(added, User):
            return see_other(f"/admin/users/{added.id}?notice=user-added")
        if added.field is None and added.code != problems.BUSY.code:
            return self._paper.refusal(request, added, back="/admin/users/new")
        name = name[:NAME_LONGEST]
        return self._paper.page(request, "new_user.html", problem=added, name=name, makes_admin=makes_admin)

    async def user(self, request: Request, visitor: Visitor) -> Response:
        """Show one account, its devices and what can be done."""
        return await self._user_page(request, visitor)

    async def live_user(self, request: Request, visitor: Visitor) -> Response:
        """Return the list of devices alone; nothing for those who may not see it."""
        found = await self._office.user(request.path_params["id"], visitor)
        if isinstance(found, Problem):
            return Response(status_code=found.status, headers={"cache-control": "no-store"})
        return self._show(request, found, "user_devices.html", None)

    async def _user_page(self, request: Request, visitor: Visitor, problem: Problem | None = None) -> Response:
        found = await self._office.user(request.path_params["id"], visitor)
        if isinstance(found, Problem):
            if found.code == problems.NOT_FOUND.code:
                return self._paper.fault(request, 404)
            return self._paper.refusal(request, found, back="/")
        return self._show(request, found, "user.html", problem)

    def _show(self, request: Request, found: UserInDetail, template: str, problem: Problem | None) -> Response:
        sessions, digest = found.sessions, digest_of(found.sessions)
        return self._paper.page(request, template, problem=problem, user=found.user, sessions=sessions, digest=digest)

    # --- acting on one account ---

    async def _answer(
        self, request: Request, visitor: Visitor, outcome: User | Problem | None, notice: str, *, ends: bool
    ) -> Response:
        """
        Answer a form on the page of an account.

        Args:
            ends: Whether all sessions of the account have ended, if it went well.
        """
        if isinstance(outcome, Problem):
            if outcome.code in (problems.LAST_ADMIN.code, problems.CHANGED_MEANWHILE.code, problems.NOT_FOUND.code):
                return await self._user_page(request, visitor, outcome)
            return self._paper.refusal(request, outcome, back=filled(_USER, request))
        if ends and _is_own(request, visitor):
            return self._paper.out("ended")
        return see_other(address(filled(_USER, request), notice=notice))

    async def change(self, request: Request, visitor: Visitor) -> Response:
        """Promote, demote, disable or enable: the last part of the path says which."""
        ident, what = request.path_params["id"], request.url.path.rpartition("/")[2]
        is_admin = {"promote": True, "demote": False}.get(what)
        is_disabled = {"disable": True, "enable": False}.get(what)
        outcome = await self._office.change(ident, visitor, is_admin=is_admin, is_disabled=is_disabled)
        if what == "demote" and isinstance(outcome, User) and _is_own(request, visitor):
            return see_other("/?notice=self-demoted")
        return await self._answer(request, visitor, outcome, f"{what}d", ends=what == "disable")

    async def end(self, request: Request, visitor: Visitor) -> Response:
        """End one session of somebody."""
        ident, sid = request.path_params["id"], request.path_params["sid"]
        outcome = await self._office.end(ident, sid, visitor)
        if outcome is not None and outcome.code == problems.NOT_FOUND.code:
            outcome = msgspec.structs.replace(outcome, detail=NO_DEVICE)
        is_this = visitor.session is not None and visitor.session.sid == sid
        return await self._answer(request, visitor, outcome, "device-ended", ends=is_this)

    async def end_all(self, request: Request, visitor: Visitor) -> Response:
        """End all sessions of somebody."""
        outcome = await self._office.end_all_of(request.path_params["id"], visitor)
        return await self._answer(request, visitor, outcome, "user-ended", ends=True)

    async def reset_form(self, request: Request, visitor: Visitor) -> Response:
        """Show the form for somebody's new password."""
        refusal = self._office.may_act(visitor)
        if refusal is not None:
            return self._paper.refusal(request, refusal, back=request.url.path)
        return await self._reset_page(request, visitor)

    async def reset(self, request: Request, visitor: Visitor) -> Response:
        """Set somebody's password."""
        form = await fields_of(request)
        outcome = await self._office.reset_password(request.path_params["id"], form.get("password", ""), visitor)
        if isinstance(outcome, Problem) and outcome.code == problems.NOT_FRESH.code:
            return self._paper.refusal(request, outcome, back=filled(f"{_USER}/password", request))
        if isinstance(outcome, Problem) and (outcome.field is not None or outcome.code == problems.BUSY.code):
            return await self._reset_page(request, visitor, outcome)
        return await self._answer(request, visitor, outcome, "reset", ends=True)

    async def _reset_page(self, request: Request, visitor: Visitor, problem: Problem | None = None) -> Response:
        found = await self._office.user(request.path_params["id"], visitor)
        if isinstance(found, Problem):
            return self._paper.fault(request, 404)
        return self._paper.page(request, "reset.html", problem=problem, user=found.user)

    # --- everyone ---

    async def everyone_form(self, request: Request, visitor: Visitor) -> Response:
        """Ask whether it is meant."""
        refusal = self._office.may_act(visitor)
        if refusal is not None:
            return self._paper.refusal(request, refusal, back="/admin/everyone/end")
        return self._paper.page(request, "everyone.html")

    async def end_everyone(self, request: Request, visitor: Visitor) -> Response:
        """End every session there is, if it is meant."""
        if (await fields_of(request)).get("sure") != "yes":
            problem = problems.invalid("sure", "Tick the box first, if you mean it.")
            return self._paper.page(request, "everyone.html", problem=problem)
        refusal = await self._office.end_everyone(visitor)
        if refusal is not None:
            return self._paper.refusal(request, refusal, back="/admin/everyone/end")
        return self._paper.out("everyone-ended")

    # --- the audit trail ---

    async def audit(self, request: Request, visitor: Visitor) -> Response:
        """List what happened, newest first."""
        asked = request.query_params
        events = [Event(asked["event"])] if asked.get("event") in set(Event) else []
        name, user = asked.get("user", "").strip()[:NAME_LONGEST], None
        if name:
            known = await self._site.database.user_named(name)
            user = known.id if known is not None else ""  # nobody's id: nothing is found
        text = asked.get("before", "")
        is_number = text.isascii() and text.isdigit() and len(text) <= _NUMBER_LONGEST
        before = int(text) if is_number else None
        found = await self._office.trail(visitor, events=events, user=user, before=before, limit=PAGE + 1)
        if isinstance(found, Problem):
            return self._paper.refusal(request, found, back="/")
        entries = found[:PAGE]
        idents = {ident for entry in entries for ident in (entry.actor, entry.user) if ident is not None}
        return self._paper.page(
            request,
            "audit.html",
            entries=entries,
            names={COMMAND: "The command line", **await self._office.names_of(sorted(idents))},
            titles=words.EVENTS,
            kept_s=KEPT_S,
            event=events[0] if events else None,
            name=name,
            is_unknown=user == "",
            before=before,
            following=entries[-1].number if len(found) > PAGE else None,
        )


def _is_own(request: Request, visitor: Visitor) -> bool:
    return visitor.session is not None and visitor.session.sub == request.path_params["id"]
