"""
The JSON interface: every address, and what it does. Floor 6; may import: floors 0 to 5.

Handlers are thin: what happens is said in :mod:`.desk` and :mod:`.office`, which the pages call too.

Rules of this module:

1. A session token goes out in ``Set-Cookie`` and nowhere else (ASVS 5.0, 3.3.4). Pages get no refresh token.
2. Another's ``sid`` or id is the same as one that there is not: 404, and nothing happens.
"""

from __future__ import annotations

import functools
import http
from collections.abc import Mapping

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from coatcheck import Refused, Session
from coatcheck.server import endpoint, feed, openapi, problems
from coatcheck.server.carry import cookies_of
from coatcheck.server.database.base import Event, User
from coatcheck.server.endpoint import Answer, Call, Endpoint, Query, problem_response
from coatcheck.server.problems import Problem
from coatcheck.server.shapes import (
    Fresh,
    NewPassword,
    NewUser,
    SessionOut,
    Sessions,
    SetUp,
    SignIn,
    TokenOut,
    TokenPairOut,
    TokenRequest,
    Trail,
    UserChange,
    UserOut,
    Users,
    entry_out,
    session_out,
    user_out,
)
from coatcheck.server.site import Site

PREFIXES = ("/api/", feed.PATH)


def _session(call: Call, session: Session, current: str | None) -> SessionOut:
    return session_out(session, current=current, fresh=call.site.desk.is_fresh(session))


def _own(call: Call, session: Session) -> SessionOut:
    return _session(call, session, session.sid)


# --- handlers ---


async def set_up(call: Call) -> Answer | Problem:
    """Make the first administrator; the code is printed by the server at its first start. Signs them in."""
    body: SetUp = call.body
    entered = await call.site.desk.set_up(body.code, body.username, body.password, call.visitor)
    if isinstance(entered, Problem):
        return entered
    return Answer(body=_own(call, entered.signed_in.session), cookies=tuple(cookies_of(call.site, entered)))


async def sign_in(call: Call) -> Answer | Problem:
    """Sign in. The session cookie is set; its value is nowhere else. With mode ``token``: tokens, and no cookie."""
    body: SignIn = call.body
    if body.mode == "token":
        return await _sign_in_for_tokens(call)
    entered = await call.site.desk.sign_in(body.username, body.password, call.visitor)
    if isinstance(entered, Problem):
        return entered
    return Answer(body=_own(call, entered.signed_in.session), cookies=tuple(cookies_of(call.site, entered)))


async def _sign_in_for_tokens(call: Call) -> Answer | Problem:
    body: SignIn = call.body
    if call.is_from_page:
        return problems.NOT_FOR_PAGES
    client = await call.site.clients.signs_in(body.client_id or "")
    if client is None:
        return problems.WRONG_CLIENT
    entered = await call.site.desk.sign_in(body.username, body.password, call.visitor)
    if isinstance(entered, Problem):
        return entered
    pair = await call.site.clients.begin(client, entered.signed_in.session)
    if isinstance(pair, Problem):
        return pair
    return Answer(
        body=TokenPairOut(
            access_token=pair.access_token,
            expires_in=pair.expires_in,
            refresh_token=pair.refresh_token.reveal(),
        )
    )


async def token(call: Call) -> Answer | Problem:
    """Return an access token for the session of the cookie, for an audience that is registered for browsers."""
    session, audience = call.visitor.session, call.body.audience
    if session is None:
        return problems.NOT_SIGNED_IN
    client = await call.site.clients.browser_client(audience)
    if client is None:
        return problems.WRONG_AUDIENCE
    minted = await call.site.access_token(session, audience=(audience,), client_id=client.id)
    if isinstance(minted, Refused):
        return problems.UNAVAILABLE if minted.reason == "unsure" else problems.NOT_SIGNED_IN
    return Answer(body=TokenOut(access_token=minted[0], expires_in=minted[1]))


async def this_session(call: Call) -> Answer | Problem:
    """Return the session of the cookie that came."""
    session = call.visitor.session
    return problems.NOT_SIGNED_IN if session is None else Answer(body=_own(call, session))


async def sign_out(call: Call) -> Answer | Problem:
    """End this session. Without one, nothing happens."""
    await call.site.desk.sign_out(call.visitor)
    return Answer(ends=True)


async def freshen(call: Call) -> Answer | Problem:
    """Give the password once more. The session gets a new token, and what needs a fresh password may be done."""
    renewed = await call.site.desk.freshen(call.body.password, call.visitor)
    if isinstance(renewed, Problem):
        return renewed
    return Answer(body=_own(call, renewed.session), cookies=(call.site.auth.cookie(renewed),))


async def change_password(call: Call) -> Answer | Problem:
    """Change one's own password. Every other session of the account ends; this one gets a new token."""
    body: NewPassword = call.body
    renewed = await call.site.desk.change_password(body.current_password, body.new_password, call.visitor)
    if isinstance(renewed, Problem):
        return renewed
    return Answer(body=_own(call, renewed.session), cookies=(call.site.auth.cookie(renewed),))


async def sessions(call: Call) -> Answer | Problem:
    """Return one's own sessions: this one first, then the one used last."""
    current = call.visitor.session.sid if call.visitor.session else None
    found = await call.site.desk.sessions(call.visitor)
    return Answer(body=Sessions([_session(call, session, current) for session in found]))


async def end_session(call: Call) -> Answer | Problem:
    """End one of one's own sessions."""
    sid = call.path["sid"]
    problem = await call.site.desk.end(sid, call.visitor)
    if problem is not None:
        return problem
    return Answer(ends=call.visitor.session is not None and sid == call.visitor.session.sid)


async def end_sessions(call: Call) -> Answer | Problem:
    """End all of one's own sessions; with ``keep=current`` all but this one."""
    keeps = call.query.get("keep") == "current"
    problem = await call.site.desk.end_all(call.visitor, but_this=keeps)
    return Answer(ends=not keeps) if problem is None else problem


async def users(call: Call) -> Answer | Problem:
    """Return accounts."""
    limit = call.query.get("limit", 50)
    found = await call.site.office.users(
        call.visitor, like=call.query.get("query", ""), after=call.query.get("after", ""), limit=limit + 1
    )
    if isinstance(found, Problem):
        return found
    page = found[:limit]
    return Answer(body=Users([user_out(user) for user in page], page[-1].name if len(found) > limit else None))


async def add_user(call: Call) -> Answer | Problem:
    """Add an account."""
    body: NewUser = call.body
    added = await call.site.office.add(body.username, body.password, call.visitor, is_admin=body.admin)
    return added if isinstance(added, Problem) else Answer(body=user_out(added))


async def change_user(call: Call) -> Answer | Problem:
    """Promote or demote, disable or enable; or set a new password. In force everywhere when it returns."""
    body: UserChange = call.body
    ident, office, visitor = call.path["id"], call.site.office, call.visitor
    changed: User | Problem
    if body.password is UNSET:
        is_admin = None if body.admin is UNSET else body.admin
        is_disabled = None if body.disabled is UNSET else body.disabled
        changed = await office.change(ident, visitor, is_admin=is_admin, is_disabled=is_disabled)
    elif body.admin is UNSET and body.disabled is UNSET:
        changed = await office.reset_password(ident, body.password, visitor)
    else:
        # One after the other, the first could be done and the second refused.
        return problems.invalid("password", "Set a password in a request of its own.")
    return changed if isinstance(changed, Problem) else Answer(body=user_out(changed))


async def sessions_of(call: Call) -> Answer | Problem:
    """Return somebody's sessions, the one used last first."""
    found = await call.site.office.user(call.path["id"], call.visitor)
    if isinstance(found, Problem):
        return found
    current = call.visitor.session.sid if call.visitor.session else None
    return Answer(body=Sessions([_session(call, session, current) for session in found.sessions]))


async def end_sessions_of(call: Call) -> Answer | Problem:
    """End all of somebody's sessions."""
    ident = call.path["id"]
    problem = await call.site.office.end_all_of(ident, call.visitor)
    if problem is not None:
        return problem
    return Answer(ends=call.visitor.session is not None and ident == call.visitor.session.sub)


async def end_session_of(call: Call) -> Answer | Problem:
    """End one of somebody's sessions."""
    problem = await call.site.office.end(call.path["id"], call.path["sid"], call.visitor)
    if problem is not None:
        return problem
    return Answer(ends=call.visitor.session is not None and call.path["sid"] == call.visitor.session.sid)


async def end_everyone(call: Call) -> Answer | Problem:
    """End every session there is, one's own too."""
    problem = await call.site.office.end_everyone(call.visitor)
    return Answer(ends=True) if problem is None else problem


async def audit(call: Call) -> Answer | Problem:
    """Return the audit trail, newest first."""
    limit = call.query.get("limit", 50)
    found = await call.site.office.trail(
        call.visitor,
        events=[Event(text) for text in call.query.get("event", ())],
        user=call.query.get("user"),
        before=call.query.get("before"),
        limit=limit + 1,
    )
    if isinstance(found, Problem):
        return found
    page = found[:limit]
    return Answer(body=Trail([entry_out(entry) for entry in page], page[-1].number if len(found) > limit else None))


# --- addresses ---

_TOO_MANY = problems.too_many(30)
_LIMIT = Query(name="limit", about="How many at most.", whole=True, most=199)
_ACTS = (problems.NOT_FRESH, problems.NOT_FOUND)

ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/set-up",
        handler=set_up,
        about="Set up",
        who="anyone",
        body=SetUp,
        answer=SessionOut,
        problems=(problems.WRONG_CODE, problems.SET_UP_ALREADY, problems.BUSY, problems.NAME_TAKEN),
    ),
    Endpoint(
        method="POST",
        path="/api/sign-in",
        handler=sign_in,
        about="Sign in",
        who="anyone",
        body=SignIn,
        answer=SessionOut,
        or_else=TokenPairOut,
        problems=(
            problems.WRONG_CREDENTIALS,
            problems.ENDED_MEANWHILE,
            problems.BUSY,
            problems.NOT_FOR_PAGES,
            problems.WRONG_CLIENT,
            _TOO_MANY,
        ),
    ),
    Endpoint(
        method="POST",
        path="/api/token",
        handler=token,
        about="An access token for this page",
        body=TokenRequest,
        answer=TokenOut,
        problems=(problems.WRONG_AUDIENCE,),
    ),
    Endpoint(method="GET", path="/api/session", handler=this_session, about="Who am I", answer=SessionOut),
    Endpoint(method="DELETE", path="/api/session", handler=sign_out, about="Sign out", who="anyone", status=204),
    Endpoint(
        method="POST",
        path="/api/session/fresh",
        handler=freshen,
        about="Give the password once more",
        body=Fresh,
        answer=SessionOut,
        problems=(problems.WRONG_PASSWORD, problems.ENDED_MEANWHILE, problems.BUSY, _TOO_MANY),
    ),
    Endpoint(
        method="POST",
        path="/api/password",
        handler=change_password,
        about="Change one's password",
        body=NewPassword,
        answer=SessionOut,
        problems=(
            problems.WRONG_PASSWORD,
            problems.ENDED_MEANWHILE,
            problems.BUSY,
            problems.CHANGED_MEANWHILE,
            problems.NOT_FOUND,
            _TOO_MANY,
        ),
    ),
    Endpoint(method="GET", path="/api/sessions", handler=sessions, about="One's devices", answer=Sessions),
    Endpoint(
        method="DELETE",
        path="/api/sessions",
        handler=end_sessions,
        about="Sign out everywhere",
        query=(Query(name="keep", about="All but this one.", one_of=("current",)),),
        status=204,
        problems=(problems.NOT_FRESH,),
    ),
    Endpoint(
        method="DELETE",
        path="/api/sessions/{sid}",
        handler=end_session,
        about="Sign out one device",
        status=204,
        problems=_ACTS,
    ),
    Endpoint(
        method="GET",
        path="/api/users",
        handler=users,
        about="Accounts",
        answer=Users,
        query=(
            Query(name="query", about="Only names that hold this."),
            Query(name="after", about="Only names after this one: ``next`` of the page before."),
            _LIMIT,
        ),
        who="admin",
    ),
    Endpoint(
        method="POST",
        path="/api/users",
        handler=add_user,
        about="Add an account",
        body=NewUser,
        answer=UserOut,
        status=201,
        problems=(problems.NOT_FRESH, problems.NAME_TAKEN, problems.BUSY),
        who="admin",
    ),
    Endpoint(
        method="PATCH",
        path="/api/users/{id}",
        handler=change_user,
        about="Change an account",
        body=UserChange,
        answer=UserOut,
        problems=(*_ACTS, problems.LAST_ADMIN, problems.BUSY),
        who="admin",
    ),
    Endpoint(
        method="GET",
        path="/api/users/{id}/sessions",
        handler=sessions_of,
        about="Somebody's devices",
        answer=Sessions,
        problems=(problems.NOT_FOUND,),
        who="admin",
    ),
    Endpoint(
        method="DELETE",
        path="/api/users/{id}/sessions",
        handler=end_sessions_of,
        about="Sign somebody out everywhere",
        status=204,
        problems=_ACTS,
        who="admin",
    ),
    Endpoint(
        method="DELETE",
        path="/api/users/{id}/sessions/{sid}",
        handler=end_session_of,
        about="Sign somebody out on one device",
        status=204,
        problems=_ACTS,
        who="admin",
    ),
    Endpoint(
        method="DELETE",
        path="/api/everyone/sessions",
        handler=end_everyone,
        about="Sign everyone out",
        status=204,
        problems=(problems.NOT_FRESH,),
        who="admin",
    ),
    Endpoint(
        method="GET",
        path="/api/audit",
        handler=audit,
        about="The audit trail",
        answer=Trail,
        query=(
            Query(name="event", about="Only these kinds.", one_of=tuple(event.value for event in Event), many=True),
            Query(name="user", about="Only what is about or by the account with this id."),
            Query(name="before", about="Only entries before this number: ``next`` of the page before.", whole=True),
            _LIMIT,
        ),
        who="admin",
    ),
    *feed.ENDPOINTS,
)


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of the JSON interface and of its description."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for one in ENDPOINTS:
        by_path.setdefault(one.path, {})[one.method] = one
    found: list[BaseRoute] = [
        Route(path, functools.partial(_serve, by_method, site), methods=list(by_method))
        for path, by_method in by_path.items()
    ]
    description = msgspec.json.encode(openapi.describe(ENDPOINTS))

    async def described(request: Request) -> Response:
        return Response(description, media_type="application/json", headers={"cache-control": "no-cache"})

    return [*found, Route("/api/openapi.json", described, methods=["GET"])]


async def _serve(by_method: Mapping[str, Endpoint], site: Site, request: Request) -> Response:
    method = "GET" if request.method == "HEAD" else request.method
    return await endpoint.serve(by_method[method], site, request)


async def error(request: Request, status: int, headers: Mapping[str, str] | None) -> Response:
    """Return the answer to a request that no endpoint has answered."""
    known = {
        404: problems.NOT_FOUND,
        408: endpoint.TOO_SLOW,
        413: endpoint.TOO_LARGE,
        503: problems.UNAVAILABLE,
    }
    title = http.HTTPStatus(status).phrase
    problem = known.get(status) or Problem(code=title.lower().replace(" ", "_"), status=status, title=title)
    return problem_response(problem, headers)
