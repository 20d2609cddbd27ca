"""The description of the JSON interface (OpenAPI 3.1), made from its endpoints. Floor 6; may import: floors 0 to 5."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

from coatcheck import __version__
from coatcheck.server.endpoint import CROSS_SITE, WRONG_HOST, Endpoint, Query
from coatcheck.server.problems import Problem

_PLAIN = (CROSS_SITE.code, WRONG_HOST.code)
_PROBLEM = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable."},
        "detail": {"type": "string"},
        "field": {"type": "string", "description": "The input it is about."},
        "retry_after_s": {"type": "integer"},
    },
}


def describe(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """Return the whole description."""
    endpoints = list(endpoints)
    kinds = [kind for one in endpoints for kind in (one.body, one.answer, one.or_else) if kind is not None]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for one in endpoints:
        paths[one.path][one.method.lower()] = _operation(one, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Coatcheck",
            "version": __version__,
            "description": "Sessions, devices, accounts and the audit trail of a Coatcheck server.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": dict(paths),
        "components": {
            "schemas": {**components, "Problem": _PROBLEM},
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-session"},
                "client": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _operation(one: Endpoint, schema_of: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": one.handler.__name__,
        "summary": one.about,
        "description": (one.handler.__doc__ or "").strip(),
        "parameters": [*_path_parameters(one.path), *map(_query_parameter, one.query)],
        "responses": _responses(one, schema_of),
    }
    if one.body is not None:
        content = {"application/json": {"schema": schema_of[one.body]}}
        operation["requestBody"] = {"required": True, "content": content}
    if one.who != "anyone":
        operation["security"] = [{"client" if one.who == "client" else "session": []}]
    return operation


def _responses(one: Endpoint, schema_of: dict[Any, Any]) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "Done." if one.answer is None else "The answer."}
    if one.answer is not None:
        schema = schema_of[one.answer]
        if one.or_else is not None:
            schema = {"anyOf": [schema, schema_of[one.or_else]]}
        done["content"] = {"application/json": {"schema": schema}}
    responses = {str(one.status): done}
    by_status: dict[int, list[Problem]] = defaultdict(list)
    for problem in one.all_problems():
        by_status[problem.status].append(problem)
    for status, problems in sorted(by_status.items()):
        told = "; ".join(sorted({f"`{problem.code}`: {problem.title}" for problem in problems}))
        content: dict[str, Any] = {}
        if any(problem.code not in _PLAIN for problem in problems):
            content["application/problem+json"] = {"schema": {"$ref": "#/components/schemas/Problem"}}
        if any(problem.code in _PLAIN for problem in problems) or status == 503:
            content["text/plain"] = {"schema": {"type": "string"}}
        responses[str(status)] = {"description": told, "content": content}
    return responses


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _query_parameter(query: Query) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if query.whole:
        schema = {"type": "integer", "minimum": query.least, "maximum": query.most}
    elif query.one_of:
        schema = {"type": "string", "enum": list(query.one_of)}
    else:
        schema["maxLength"] = 256
    if query.many:
        schema = {"type": "array", "items": schema}
    return {"name": query.name, "in": "query", "description": query.about, "schema": schema}
