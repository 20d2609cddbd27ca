"""
How each proxy says what the visitor asked for. Floor 6; may import: nothing of ours.

Rules of this module:

1. Only what the configured proxy itself writes is read. Any other header may be the visitor's own, since proxies pass
   on what they do not know.
2. What is missing, or there twice, was not said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from starlette.datastructures import Headers
from starlette.requests import Request

_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}", re.ASCII)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What the visitor asked for: the method ("POST" where nobody says it), the host, and path with query."""

    method: str
    host: str
    uri: str


@dataclass(frozen=True, slots=True)
class Dialect:
    """
    One way to say it.

    Attributes:
        method: The header with the visitor's method. None: the proxy asks by that method.

        host: The header with the host.

        uri: The header with path and query. None: they stand behind the path that is asked.
    """

    method: str | None
    host: str
    uri: str | None

    def read(self, request: Request, *, path: str) -> Asked:
        """
        Return what *request*, a proxy's question, is about.

        Args:
            path: Where proxies ask.
        """
        headers = request.headers
        method = request.method if self.method is None else one(headers, self.method)
        # What is no method (two in one header, say), or is not the unsafe one by which the proxy asks: judged hardest.
        if not _METHOD.fullmatch(method) or (request.method not in _SAFE and request.method != method):
            method = "POST"
        if self.uri is not None:
            return Asked(method, one(headers, self.host).lower(), one(headers, self.uri))
        behind = request.scope["raw_path"].decode("latin-1")[len(path) :]
        query = request.scope["query_string"].decode("latin-1")
        return Asked(method, one(headers, self.host).lower(), f"{behind}?{query}" if query else behind)


def one(headers: Headers, name: str) -> str:
    """Return what the one header called *name* says; nothing where there are two."""
    said = headers.getlist(name)
    return said[0] if len(said) == 1 else ""


_FORWARDED = Dialect("x-forwarded-method", "x-forwarded-host", "x-forwarded-uri")

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        "nginx": Dialect("x-original-method", "x-original-host", "x-original-uri"),
        "caddy": _FORWARDED,
        "traefik": _FORWARDED,
        "envoy": Dialect(None, "host", None),
    }
)
"""By the name of the proxy."""
