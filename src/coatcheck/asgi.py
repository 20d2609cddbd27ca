"""
The ASGI adapter: Starlette, FastAPI, Litestar, Quart, any of them. Floor 5; may import: floors 0 to 4, no framework.

    app = SessionMiddleware(app, auth=auth)      # the engine is opened by lifespan=auth.lifespan

    scope["coatcheck"]                           # Session, or None for an anonymous visitor
    scope["coatcheck.refused"]                   # Refused: why the cookie that came was not taken; else None
    scope["coatcheck.claims"]                    # Claims of the bearer token, where there was one
    scope["user"], scope["auth"]                 # Visitor, for Starlette's request.user and @requires
    scope["session"]                             # the session's data, a dict, with SessionMiddleware(data=True)

Rules of this module:

1. Thin: copy headers in, ask the lower floors, copy headers out.
2. A cookie is never deleted here by itself. The answer to an old request may arrive after the answer that set a new
   one.
3. WebSockets and event streams end with their session (:mod:`coatcheck._asgi_live`).
4. Store down: 503 for requests that carry a credential; anonymous ones are served; nobody is let in, or signed out.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256

from coatcheck import _asgi_forms as forms
from coatcheck import _asgi_live as live
from coatcheck import _asgi_tokens as tokens
from coatcheck import _carry, _door
from coatcheck._asgi_calls import csrf_token, device, session_info, sign_in, sign_out
from coatcheck._asgi_forms import Message, Receive, Scope, Send, Visit
from coatcheck._carry import NOBODY, Visitor
from coatcheck._door import Door, Plain
from coatcheck.decide import csrf
from coatcheck.engine import Coatcheck
from coatcheck.errors import StoreUnavailable
from coatcheck.http import cookie, headers
from coatcheck.records import Refused, Session
from coatcheck.tokens.session_token import TOKEN_CHARACTERS

log = logging.getLogger("coatcheck")

__all__ = ["SessionMiddleware", "csrf_token", "device", "session_info", "sign_in", "sign_out"]

App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LONGEST = cookie.HEADER_LONGEST
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# Lower case, as ASGI asks for, and the two spellings that applications use all the same.
_SHAPED = frozenset(
    spelt for name in (b"vary", b"cache-control", b"set-cookie") for spelt in (name, name.title(), name.upper())
)
_TYPE_LENGTH = len(b"content-type")
_ASK_AGAIN = (b"cache-control", b"private, no-cache")
_PASS, _REFUSE, _NEED_TOKEN = csrf.Verdict.PASS, csrf.Verdict.REFUSE, csrf.Verdict.NEED_TOKEN


class SessionMiddleware(Door):
    """
    Puts the visitor's session into the scope of every HTTP request and WebSocket handshake, and guards the door.

    Args:
        app: The application to wrap.

        auth: An engine; open while requests are served.

        exclude: Path prefixes whose responses do not depend on the visitor, such as ``("/static/",)``: there the
            session is not looked up and responses may be cached by all. Unsafe requests are judged there too.

        audience: Whom access tokens must be for to count here, where the mode takes them; left out: the issuer.

        trusted_proxies: Networks whose ``X-Forwarded-For`` counts, for :func:`device`: ``("10.0.0.0/8",)``.

        data: Whether ``scope["session"]`` (``request.session``) is the session's data, to read and to change. They are
            read before the application, so each request with a session costs a read of the store, and written when the
            response begins: only the keys that changed. An anonymous visitor gets a session with the first of them.
    """

    def __init__(
        self,
        app: App,
        *,
        auth: Coatcheck,
        exclude: Iterable[str] = (),
        audience: str | None = None,
        trusted_proxies: Iterable[str] = (),
        data: bool = False,
    ) -> None:
        super().__init__(auth, exclude=exclude, audience=audience, trusted_proxies=trusted_proxies)
        self.app = app
        self.auth = auth
        self._recall: Callable[[bytes], Session | Refused | None] = auth.recall  # type: ignore[assignment]
        self._needle = self.cookie_name + b"="
        self._with_data = data
        self._vary = (b"vary", b", ".join(self.vary_on))
        self._takes_both = auth.policy.mode == "hybrid"
        self._sessions = tokens.Sessions(auth.policy.cached_tokens)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3)."""
        kind = scope["type"]
        if kind != "http" and kind != "websocket":
            return await self.app(scope, receive, send)
        # An object, so that what csrf_token() notes is found here even if a framework hands on a copy of the scope.
        visit = scope["coatcheck.visit"] = Visit(self)
        scope["coatcheck"] = scope["coatcheck.refused"] = None
        if self.hosts and not self.is_known_host(scope):
            return await _answer(scope, receive, send, _door.wrong_host())
        verdict = _PASS if kind == "http" and scope["method"] in _SAFE else self.judge(scope)
        if verdict is _REFUSE:
            return await _answer(scope, receive, send, _door.cross_site(scope))
        if self.exclude and verdict is _PASS and scope["path"].startswith(self.exclude):
            return await self.app(scope, receive, send)

        unknown = self._recall_from(scope)
        if unknown is not None and (answer := await self._ask(scope, unknown, visit)) is not None:
            return await _answer(scope, receive, send, answer)
        if verdict is _NEED_TOKEN:
            genuine, receive = await forms.find_token(scope, receive, self.auth)
            if not genuine:
                return await _answer(scope, receive, send, _door.cross_site(scope))
        found = scope["coatcheck"]
        who = NOBODY if found is None else Visitor(found)
        scope.setdefault("user", who)  # the application may have another middleware, further out, that says it
        scope.setdefault("auth", who)
        try:
            if kind == "http" and not self._with_data:
                await self.app(scope, receive, self._private(scope, send, visit))
            else:
                await self._serve(scope, receive, send, visit)
        except Exception as fault:
            if visit.stream is None or not live.is_gone(fault):
                raise
        finally:
            if visit.stream is not None:
                await visit.stream.finish()

    async def _serve(self, scope: Scope, receive: Receive, send: Send, visit: Visit) -> None:
        if self._with_data:
            await self._serve_with_data(scope, receive, send, visit)
        else:
            await self._serve_websocket(scope, receive, send)

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["coatcheck"] is None:
            return await self.app(scope, receive, send)
        line = live.websocket(scope, self.auth, self.audience, receive=receive, send=send)
        if await line.prove():
            return await line.run(self.app(scope, line.receive, line.send))
        await line.finish()
        await _answer(scope, receive, send, live.refusal(line))

    async def _begin_stream(self, scope: Scope, send: Send, visit: Visit, start: Message) -> None:
        line = visit.stream = live.event_stream(scope, self.auth, self.audience, send=send)
        if await line.prove():
            return await send(start)
        answer = live.refusal(line)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.fields})
        await send({"type": "http.response.body", "body": answer.body})
        raise live.Gone

    def _private(self, scope: Scope, send: Send, visit: Visit) -> Send:
        """Return *send*, which makes responses safe for caches and adds the cookies of this visit."""

        # Not a coroutine: it hands on the one it got, so that a message costs one call more, not two.
        def send_private(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                fields = message.get("headers")
                if type(fields) is not list:
                    fields = list(fields or ())  # an iterator, perhaps: it can be read only once
                is_shaped = is_stream = False
                for name, value in fields:
                    if len(name) == _TYPE_LENGTH and name.lower() == b"content-type":
                        is_stream = value[:1] != b"a" and live.is_event_stream(value)  # most begin with "application"
                    elif name in _SHAPED:
                        is_shaped = True
                message["headers"] = (
                    headers.private(fields, vary_on=self.vary_on) if is_shaped else [*fields, self._vary, _ASK_AGAIN]
                )
                if visit.cookies or visit.csrf is not None:
                    message = forms.with_cookies(message, visit, self.auth)
                if is_stream and scope["coatcheck"] is not None:
                    return self._begin_stream(scope, send, visit, message)
            elif visit.stream is not None:
                return visit.stream.send(message)
            return send(message)

        return send_private

    async def _serve_with_data(self, scope: Scope, receive: Receive, send: Send, visit: Visit) -> None:
        try:
            data = scope["session"] = visit.data = await _carry.read(self.auth, scope["coatcheck"])
        except StoreUnavailable:
            return await _answer(scope, receive, send, _door.later())
        if scope["type"] == "websocket":
            return await self._serve_websocket(scope, receive, send)
        send_private, begun = self._private(scope, send, visit), False

        async def send_after_writing(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                started = await _carry.write(self.auth, data, lambda: device(scope))
                if started is not None:
                    visit.cookies = [*visit.cookies, self.auth.cookie(started).encode("ascii")]
                begun = True
            await send_private(message)

        try:
            await self.app(scope, receive, send_after_writing)
        except StoreUnavailable:
            if begun:
                raise
            await _answer(scope, receive, send, _door.later())

    def _recall_from(self, scope: Scope) -> Refused | bytes | None:
        """
        Find out from memory who it is.

        Returns:
            What memory has no answer to: the cookies, or the session cookie; or why the request is refused altogether.
        """
        sent: bytes | None = None
        bearers: list[bytes] = []
        for name, value in scope["headers"]:
            if name == b"cookie":
                # Several fields are one (RFC 9113, section 8.2.3).
                sent = value if sent is None else sent + b"; " + value
            elif name == b"authorization":
                bearers.append(value)
        if self.takes_tokens:
            return self._recall_tokens(scope, sent, bearers)
        if sent is not None:
            # The usual case without a detour: our cookie stands there once, last, and memory knows it.
            before, _, token = sent.partition(self._needle)
            is_usual = len(token) == TOKEN_CHARACTERS and (
                not before or (before.endswith(b"; ") and len(before) < _LONGEST)
            )
            if not is_usual or not (found := self._recall(sha256(token).digest())):
                return sent
            scope["coatcheck"] = found
        return None

    def _recall_tokens(self, scope: Scope, sent: bytes | None, bearers: list[bytes]) -> Refused | bytes | None:
        if bearers:
            claims = tokens.find_bearer(bearers, self.auth, self.audience)
            if isinstance(claims, Refused):
                return claims
            if claims is not None:
                scope["coatcheck"], scope["coatcheck.claims"] = self._sessions.of(claims), claims
                return None
        token = None if sent is None else cookie.find(sent, self.cookie_name)
        if sent is None or token is None or not self._takes_both:
            return None
        scope["coatcheck"] = found = tokens.find_beside(sent, token, self.auth, self.audience, self._sessions)
        return token if found is None else None

    async def _ask(self, scope: Scope, unknown: Refused | bytes, visit: Visit) -> Plain | None:
        """Find out from the store who it is; return the answer to a request that is not served."""
        if isinstance(unknown, Refused):
            return _door.bad_token(unknown)
        found: Session | Refused
        try:
            if self.takes_tokens:
                found, fresh = await tokens.ask_session(unknown, self.auth, self.audience)
                visit.cookies = [fresh.encode("ascii")] if fresh is not None else ()
            elif (token := cookie.find(unknown, self.cookie_name)) is None:
                return None
            else:
                found = await self.auth.check(token.decode("latin-1"))
        except StoreUnavailable:
            return _door.later()
        scope["coatcheck.refused" if isinstance(found, Refused) else "coatcheck"] = found
        return None


async def _answer(scope: Scope, receive: Receive, send: Send, answer: Plain) -> None:
    if scope["type"] == "websocket":
        await receive()  # websocket.connect; closing before the handshake is accepted answers 403
        await send({"type": "websocket.close", "code": 1013 if answer.status == 503 else 1008, "reason": ""})
        return
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.fields})
    await send({"type": "http.response.body", "body": answer.body})
