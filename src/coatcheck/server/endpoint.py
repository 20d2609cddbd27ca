"""
How one address of the JSON interface is declared and answered. Floor 6; may import: floors 0 to 5.

An :class:`Endpoint` says everything about its address once: :mod:`.api` makes routes of it, :mod:`.openapi` the
description. So the two cannot differ.

Rules of this module:

1. Bodies are ``application/json`` and strictly typed; what is wrong is named, and not repeated.
2. Every answer that is not a success is ``application/problem+json`` (RFC 9457) with a stable ``code``.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from coatcheck.server import basic, problems
from coatcheck.server.carry import signed_out
from coatcheck.server.database.base import Client
from coatcheck.server.office import is_admin
from coatcheck.server.problems import Problem
from coatcheck.server.site import Site
from coatcheck.server.visitor import Visitor

_NUMBER_LONGEST = 16
# What every browser sends along, and no other program does. Node.js's fetch sends Sec-Fetch-Mode, and none of these.
_OF_PAGES = frozenset({"origin", "sec-fetch-site", "sec-fetch-dest", "sec-fetch-user"})
_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A query parameter."""

    name: str
    about: str
    whole: bool = False
    one_of: tuple[str, ...] = ()
    least: int = 1
    most: int = 2**53
    many: bool = False


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """
    One request, read and checked: what a handler gets.

    Attributes:
        is_from_page: Whether a browser's page sent it. client: the program that sent it, where only programs may.
    """

    site: Site
    visitor: Visitor
    body: Any = None
    path: Mapping[str, str] = {}
    query: Mapping[str, Any] = {}
    is_from_page: bool = False
    client: Client | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler gives back. ends: whether the visitor's own session has ended."""

    body: Any = None
    cookies: tuple[str, ...] = ()
    ends: bool = False


Handler = Callable[[Call], Awaitable[Answer | Problem]]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """
    One method of one address.

    Attributes:
        who: ``anyone``, ``user``, ``admin``, or ``client`` (a program with a secret, by HTTP Basic): checked before the
            body is read.

        body, answer: Types of the JSON that comes and goes; None for nothing. or_else: another answer there may be.

        problems: What the handler itself may answer with, apart from what follows from the other attributes.
    """

    method: str
    path: str
    about: str
    handler: Handler
    who: str = "user"
    body: Any = None
    query: tuple[Query, ...] = ()
    answer: Any = None
    or_else: Any = None
    status: int = 200
    problems: tuple[Problem, ...] = ()
    more: str = ""

    def all_problems(self) -> list[Problem]:
        """Return an example of everything that this may answer with, instead of a success."""
        found = [*self.problems, problems.UNAVAILABLE, CROSS_SITE, WRONG_HOST]
        if self.who in ("user", "admin"):
            found.append(problems.NOT_SIGNED_IN)
        if self.who == "client":
            found += [problems.NOT_A_CLIENT, problems.NOT_FOR_PAGES]
        if self.who == "admin":
            found.append(problems.NOT_ADMIN)
        if self.body is not None:
            found += [NOT_JSON, MALFORMED, TOO_LARGE, TOO_SLOW]
        if self.body is not None or self.query:
            found.append(problems.invalid("field", "What is wrong with it."))
        return found


NOT_JSON = Problem(
    code="not_json",
    status=415,
    title="Not JSON",
    detail="This address takes application/json only.",
)
MALFORMED = Problem(code="malformed", status=400, title="Malformed", detail="The body is not valid JSON.")
TOO_LARGE = Problem(code="too_large", status=413, title="Too large", detail="A body has 64 KiB at most.")
TOO_SLOW = Problem(code="too_slow", status=408, title="Too slow", detail="The body took more than 10 seconds.")
# These two are the session middleware's, and come as plain text.
CROSS_SITE = Problem(code="cross_site", status=403, title="Not from this site")
WRONG_HOST = Problem(code="wrong_host", status=421, title="Not this host")


async def serve(endpoint: Endpoint, site: Site, request: Request) -> Response:
    """Answer one request."""
    visitor = site.visitor(request)
    from_page = not _OF_PAGES.isdisjoint(request.headers.keys())
    client = await _client(site, request, from_page=from_page) if endpoint.who == "client" else None
    if isinstance(client, Problem):
        return _refused(client)
    if (refusal := _refusal(endpoint, visitor)) is not None:
        return problem_response(refusal)
    query = _query(endpoint.query, request)
    if isinstance(query, Problem):
        return problem_response(query)
    body = None if endpoint.body is None else await _body(endpoint.body, request)
    if isinstance(body, Problem):
        return problem_response(body)
    if endpoint.body is not None:
        # Reading it took as long as the visitor liked. What they were allowed before says nothing about now.
        visitor = await site.current(visitor)
        if (refusal := _refusal(endpoint, visitor)) is not None:
            return problem_response(refusal)
    call = Call(
        site=site,
        visitor=visitor,
        body=body,
        path=request.path_params,
        query=query,
        is_from_page=from_page,
        client=client,
    )
    answer = await endpoint.handler(call)
    if isinstance(answer, Problem):
        return _refused(answer)
    return _response(answer, endpoint.status, site)


def _refusal(endpoint: Endpoint, visitor: Visitor) -> Problem | None:
    if endpoint.who in ("user", "admin") and visitor.session is None:
        return problems.NOT_SIGNED_IN
    return problems.NOT_ADMIN if endpoint.who == "admin" and not is_admin(visitor.session) else None


def _refused(problem: Problem) -> Response:
    return problem_response(problem, basic.CHALLENGE if problem == problems.NOT_A_CLIENT else None)


async def _client(site: Site, request: Request, *, from_page: bool) -> Client | Problem:
    """Return the client that this is, by its secret. A page has no business here, whatever it knows."""
    if from_page:
        return problems.NOT_FOR_PAGES
    try:
        sent = basic.credentials(request.headers.getlist("authorization"))
    except ValueError:
        sent = None
    client = None if sent is None else await site.clients.authenticated(*sent)
    return client or problems.NOT_A_CLIENT


def _response(answer: Answer, status: int, site: Site) -> Response:
    if answer.body is None:
        response = Response(status_code=204)
    else:
        response = Response(msgspec.json.encode(answer.body), status, media_type="application/json")
    response.headers["cache-control"] = "no-store"
    for cookie in answer.cookies:
        response.headers.append("set-cookie", cookie)
    if answer.ends:
        signed_out(response, site)
    return response


async def _body(kind: Any, request: Request) -> Any:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        return NOT_JSON
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.ValidationError as error:
        said = str(error)
        place = _PLACE.search(said)
        if "unknown field" in said:  # its name is the sender's own text
            return problems.invalid("body", "It holds a field that this address does not know.")
        return problems.invalid(place[1] if place else "body", f"{_PLACE.sub('', said)}.")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return MALFORMED


def _query(known: tuple[Query, ...], request: Request) -> dict[str, Any] | Problem:
    found: dict[str, Any] = {}
    for one in known:
        sent = request.query_params.getlist(one.name)
        if not sent:
            continue
        if len(sent) > 1 and not one.many:
            return problems.invalid(one.name, "Give it once.")
        values = [_value(one, text) for text in sent]
        wrong = next((value for value in values if isinstance(value, Problem)), None)
        if wrong is not None:
            return wrong
        found[one.name] = values if one.many else values[0]
    return found


def _value(query: Query, text: str) -> Any:
    if query.whole:
        is_number = text.isascii() and text.isdigit() and len(text) <= _NUMBER_LONGEST
        if not is_number or not query.least <= int(text) <= query.most:
            return problems.invalid(query.name, f"It is a whole number from {query.least} to {query.most}.")
        return int(text)
    if query.one_of and text not in query.one_of:
        return problems.invalid(query.name, f"It is one of: {', '.join(query.one_of)}.")
    if len(text) > 256 or any("\ud800" <= letter <= "\udfff" for letter in text):
        return problems.invalid(query.name, "It has at most 256 characters.")
    return text


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return *problem* as RFC 9457 problem details."""
    body: dict[str, Any] = {
        "type": f"urn:coatcheck:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
    }
    if problem.detail:
        body["detail"] = problem.detail
    if problem.field is not None:
        body["field"] = problem.field
    more = {"cache-control": "no-store", **(headers or {})}
    if problem.retry_after_s is not None:
        body["retry_after_s"] = problem.retry_after_s
        more["retry-after"] = str(problem.retry_after_s)
    return Response(msgspec.json.encode(body), problem.status, more, media_type="application/problem+json")
