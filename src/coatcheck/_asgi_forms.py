"""
The signed form token over ASGI, for browsers without Fetch Metadata. Floor 5; may import: floors 0 to 4.

Rules of this module:

1. A token is bound to the session, or to a cookie of the anonymous browser, set together with the first form.
2. Of a body at most 64 KiB is read ahead, and the application gets all of it again.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from coatcheck._carry import Data
from coatcheck.engine import Coatcheck
from coatcheck.http import cookie, headers
from coatcheck.policy import CookiePolicy
from coatcheck.secret import Secret
from coatcheck.tokens import csrf_token

if TYPE_CHECKING:
    from coatcheck._asgi_live import Live
    from coatcheck._door import Auth

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

FORM_BYTES = 64 * 1024
_MOST_FIELDS = 1000
_ANONYMOUS_BYTES = 24
_LABEL = "csrf 1"


class Visit:
    """
    The middleware's notes on one request.

    Attributes:
        door: The middleware.

        csrf: The value of the anonymous cookie that a form's token is bound to, if it is a new one.

        cookies: Whole ``Set-Cookie`` values for the response. data: the session's data, where they were read.

        stream: The event stream that the response is, if it is one.

        has_changed: Whether the session was begun, renewed or ended in this request. token: what it has since.
    """

    # Of the class, not set for each: one is made for every request, and few note anything.
    csrf: str | None = None
    cookies: Sequence[bytes] = ()
    data: Data | None = None
    has_changed = False
    token: Secret | None = None
    stream: Live | None = None

    def __init__(self, door: Any) -> None:
        self.door = door


def make_token(scope: Scope, visit: Visit, auth: Auth) -> str:
    """Return a token for a form on the page that answers *scope*."""
    binding = _binding(scope, auth) if visit.csrf is None else _anonymous(visit.csrf)
    if binding is None:
        visit.csrf = secrets.token_urlsafe(_ANONYMOUS_BYTES)
        binding = _anonymous(visit.csrf)
    return csrf_token.make(auth.derived_keys(_LABEL)[0], binding)


def cookies_of(visit: Visit, auth: Auth) -> list[bytes]:
    """Return the ``Set-Cookie`` values of this visit."""
    found = [] if visit.csrf is None else [cookie.write(_policy(auth), visit.csrf, max_age_s=None).encode("ascii")]
    return [*found, *visit.cookies]


def with_cookies(message: Message, visit: Visit, auth: Auth) -> Message:
    """Return *message* with the cookies of this visit; a copy, since the next visitor gets others."""
    fields = [*message["headers"], *((b"set-cookie", written) for written in cookies_of(visit, auth))]
    return {**message, "headers": headers.private(fields)}


async def find_token(scope: Scope, receive: Receive, auth: Coatcheck) -> tuple[bool, Receive]:
    """Say whether the request carries a genuine token, in its header or in an urlencoded form; and how to go on."""
    if _binding(scope, auth) is None:
        return False, receive
    token = one_header(scope, auth.policy.csrf.header.lower().encode("ascii"))
    media_type = one_header(scope, b"content-type") or ""
    if token is None and media_type.startswith("application/x-www-form-urlencoded"):
        body, receive = await _read_ahead(receive)
        token = field_in(body, auth.policy.csrf.field)
    return is_genuine(scope, auth, token), receive


def is_genuine(scope: Scope, auth: Auth, token: str | None) -> bool:
    """Say whether *token* was made for this visitor."""
    binding = _binding(scope, auth)
    if binding is None or token is None:
        return False
    return csrf_token.is_genuine(auth.derived_keys(_LABEL), binding, token)


def one_header(scope: Scope, name: bytes) -> str | None:
    """Return the header *name* if it is there exactly once."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else None


def _binding(scope: Scope, auth: Auth) -> str | None:
    session = scope["coatcheck"]
    if session is not None:
        return f"session {session.sid}"
    sent = [value for name, value in scope["headers"] if name == b"cookie"]
    found = cookie.find_in(sent, _policy(auth).name.encode("ascii")) or b""
    return _anonymous(found.decode("latin-1")) if found else None


def _anonymous(value: str) -> str:
    return f"anonymous {value}"


def _policy(auth: Auth) -> CookiePolicy:
    policy = auth.policy.cookie
    prefix, _, _ = policy.name.rpartition("-")
    # Another name than any that starts with the session cookie's, so that finding that one stays quick.
    return dataclasses.replace(policy, name=f"{prefix}-csrf" if prefix.startswith("__") else "csrf")


def field_in(body: bytes, name: str) -> str | None:
    """Return the one field *name* of an urlencoded body."""
    if body.count(b"&") >= _MOST_FIELDS:
        return None
    values = [value for key, value in parse_qsl(body.decode("latin-1")) if key == name]
    return values[0] if len(values) == 1 else None


async def _read_ahead(receive: Receive) -> tuple[bytes, Receive]:
    messages: list[Message] = []
    body = b""
    while len(body) <= FORM_BYTES:
        message = await receive()
        messages.append(message)
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body", False):
            break
    again = iter(messages)

    async def replay() -> Message:
        for message in again:
            return message
        return await receive()

    return (body if len(body) <= FORM_BYTES else b""), replay
