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
3. Store down: 503 for requests that carry a credential; anonymous ones are served; nobody is let in, or signed out.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256

from coatcheck import _asgi_forms as forms
from coatcheck import _asgi_tokens as tokens
from coatcheck import _carry
from coatcheck._asgi_calls import csrf_token, device, session_info, sign_in, sign_out
from coatcheck._asgi_forms import Message, Receive, Scope, Send, Visit
from coatcheck._carry import NOBODY, Visitor
from coatcheck.decide import csrf
from coatcheck.engine import Coatcheck
from coatcheck.errors import ConfigError, StoreUnavailable
from coatcheck.http import cookie, headers
from coatcheck.records import Reason, Refused, Session
from coatcheck.tokens.session_token import TOKEN_CHARACTERS

log = logging.getLogger("coatcheck")

__all__ = ["SessionMiddleware", "csrf_token", "device", "session_info", "sign_in", "sign_out"]

App = Callable[[Scope, Receive, Send], Awaitable[None]]

RETRY_AFTER_S = 5
_LONGEST = cookie.HEADER_LONGEST
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_JUDGED = frozenset({b"sec-fetch-site", b"origin", b"content-type"})
# Lower case, as ASGI asks for, and the two spellings that applications use all the same.
_SHAPED = frozenset(
    spelt for name in (b"vary", b"cache-control", b"set-cookie") for spelt in (name, name.title(), name.upper())
)
_ASK_AGAIN = (b"cache-control", b"private, no-cache")
_PASS, _REFUSE, _NEED_TOKEN = csrf.Verdict.PASS, csrf.Verdict.REFUSE, csrf.Verdict.NEED_TOKEN


class SessionMiddleware:
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
        self.app = app
        self.auth = auth
        self._recall: Callable[[bytes], Session | Refused | None] = auth.recall  # type: ignore[assignment]
        self._cookie_name = auth.policy.cookie.name.encode("ascii")
        self._needle = self._cookie_name + b"="
        self._hosts = headers.hosts_of(auth.policy.origins)
        self.trusted = headers.networks(trusted_proxies)
        self._with_data = data
        self._takes_tokens = auth.policy.mode != "cookie"
        # A browser's own cache, too, must not give one bearer's page to the next.
        self._vary_on = (b"Cookie", b"Authorization") if self._takes_tokens else (b"Cookie",)
        self._vary = (b"vary", b", ".join(self._vary_on))
        self.audience = audience or auth.issuer or ""
        if self._takes_tokens and auth.issuer is None:
            problem = f"mode {auth.policy.mode!r} needs access tokens, and the engine has no issuer"
            raise ConfigError("Policy.mode", problem, "give Coatcheck issuer=https://…, or leave mode 'cookie'")
        try:
            self._exclude = () if isinstance(exclude, str) else tuple(exclude)
        except TypeError:
            self._exclude = ("",)
        if isinstance(exclude, str) or not all(isinstance(one, str) and one[:1] == "/" for one in self._exclude):
            raise ConfigError("exclude", "is not a list of path prefixes", 'write exclude=("/static/",)')

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3)."""
        kind = scope["type"]
        if kind != "http" and kind != "websocket":
            return await self.app(scope, receive, send)
        # An object, so that what csrf_token() notes is found here even if a framework hands on a copy of the scope.
        visit = scope["coatcheck.visit"] = Visit(self)
        scope["coatcheck"] = scope["coatcheck.refused"] = None
        if self._hosts and not self._is_known_host(scope):
            return await _answer(scope, receive, send, 421, "This server does not serve that host.")
        verdict = _PASS if kind == "http" and scope["method"] in _SAFE else self._judge(scope)
        if verdict is _REFUSE:
            return await _refuse_cross_site(scope, receive, send)
        if self._exclude and verdict is _PASS and scope["path"].startswith(self._exclude):
            return await self.app(scope, receive, send)

        sent = None
        for name, value in scope["headers"]:
            if name == b"cookie":
                # Several fields are one (RFC 9113, section 8.2.3).
                sent = value if sent is None else sent + b"; " + value
        if self._takes_tokens:
            if (refusal := await self._ask_tokens(scope, sent, visit)) is not None:
                return await _refuse_token(scope, receive, send, refusal)
        elif sent is not None:
            # The usual case without a detour: our cookie stands there once, last, and memory knows it.
            before, _, token = sent.partition(self._needle)
            is_usual = len(token) == TOKEN_CHARACTERS and (
                not before or (before.endswith(b"; ") and len(before) < _LONGEST)
            )
            if is_usual and (found := self._recall(sha256(token).digest())):
                scope["coatcheck"] = found
            else:
                try:
                    await self._ask(scope, sent)
                except StoreUnavailable:
                    return await _answer_later(scope, receive, send)
        if verdict is _NEED_TOKEN:
            genuine, receive = await forms.find_token(scope, receive, self.auth)
            if not genuine:
                return await _refuse_cross_site(scope, receive, send)
        found = scope["coatcheck"]
        scope["user"] = scope["auth"] = NOBODY if found is None else Visitor(found)
        if self._with_data:
            return await self._serve_with_data(scope, receive, send, visit)
        await self.app(scope, receive, send if kind == "websocket" else self._private(send, visit))

    def _private(self, send: Send, visit: Visit) -> Send:
        """Return *send*, which makes responses safe for caches and adds the cookies of this visit."""

        # Not a coroutine: it hands on the one it got, so that a message costs one call more, not two.
        def send_private(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                fields = message.get("headers")
                if type(fields) is not list:
                    fields = list(fields or ())  # an iterator, perhaps: it can be read only once
                for name, _ in fields:
                    if name in _SHAPED:
                        message["headers"] = headers.private(fields, vary_on=self._vary_on)
                        break
                else:
                    message["headers"] = [*fields, self._vary, _ASK_AGAIN]
                if visit.csrf is not None or visit.cookies:
                    message = forms.with_cookies(message, visit, self.auth)
            return send(message)

        return send_private

    async def _serve_with_data(self, scope: Scope, receive: Receive, send: Send, visit: Visit) -> None:
        try:
            data = scope["session"] = visit.data = await _carry.read(self.auth, scope["coatcheck"])
        except StoreUnavailable:
            return await _answer_later(scope, receive, send)
        if scope["type"] == "websocket":
            return await self.app(scope, receive, send)
        send_private, begun = self._private(send, visit), False

        async def send_after_writing(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                started = await _carry.write(self.auth, data, lambda: device(scope))
                if started is not None:
                    visit.cookies.append(self.auth.cookie(started).encode("ascii"))
                begun = True
            await send_private(message)

        try:
            await self.app(scope, receive, send_after_writing)
        except StoreUnavailable:
            if begun:
                raise
            await _answer_later(scope, receive, send)

    async def _ask(self, scope: Scope, sent: bytes) -> None:
        token = cookie.find(sent, self._cookie_name)
        if token is not None:
            found = await self.auth.check(token.decode("latin-1"))
            scope["coatcheck.refused" if isinstance(found, Refused) else "coatcheck"] = found

    async def _ask_tokens(self, scope: Scope, sent: bytes | None, visit: Visit) -> Refused | None:
        """Find out who it is where access tokens are taken; return why the request is refused altogether."""
        claims = tokens.find_bearer(scope, self.auth, self.audience)
        if isinstance(claims, Refused):
            return claims
        if claims is not None:
            scope["coatcheck"], scope["coatcheck.claims"] = tokens.session_of(claims), claims
            return None
        token = None if sent is None else cookie.find(sent, self._cookie_name)
        if sent is None or token is None or self.auth.policy.mode != "hybrid":
            return None
        try:
            found, fresh = await tokens.find_pair(sent, token, self.auth, self.audience)
        except StoreUnavailable:
            return Refused(Reason.UNSURE)
        scope["coatcheck.refused" if isinstance(found, Refused) else "coatcheck"] = found
        if fresh is not None:
            visit.cookies.append(fresh.encode("ascii"))
        return None

    def _judge(self, scope: Scope) -> csrf.Verdict:
        sent = [(name.lower(), value) for name, value in scope["headers"] if name.lower() in _JUDGED]
        found = dict(sent)
        if len(sent) != len(found):
            return csrf.Verdict.REFUSE  # no browser sends one of these twice
        return csrf.judge(
            self.auth.policy,
            method=scope.get("method", "GET"),
            path=scope["path"],
            sec_fetch_site=_text(found.get(b"sec-fetch-site")),
            origin=_text(found.get(b"origin")),
            content_type=_text(found.get(b"content-type")),
            websocket=scope["type"] == "websocket",
        )

    def _is_known_host(self, scope: Scope) -> bool:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        return len(hosts) == 1 and hosts[0].lower() in self._hosts


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


async def _refuse_cross_site(scope: Scope, receive: Receive, send: Send) -> None:
    log.info("cross-site request refused", extra={"path": ascii(scope["path"][:200])})
    text = (
        "This request did not come from a page of this site. "
        "Reload the page and try again; a program sends JSON, or the form token."
    )
    await _answer(scope, receive, send, 403, text)


async def _answer_later(scope: Scope, receive: Receive, send: Send) -> None:
    log.warning("the store does not answer; a request with a session gets 503")
    await _answer(scope, receive, send, 503, "Please try again in a moment.")


async def _refuse_token(scope: Scope, receive: Receive, send: Send, refusal: Refused) -> None:
    if refusal.reason is Reason.UNSURE:
        return await _answer_later(scope, receive, send)
    challenge = b'Bearer error="invalid_token"'  # RFC 6750, section 3.1; the reason is for the log
    log.info("bearer token refused", extra={"reason": refusal.reason.value})
    more = [(b"www-authenticate", challenge)]
    await _answer(scope, receive, send, 401, "The access token is not accepted.", more)


async def _answer(  # noqa: PLR0917  private, and always called alike
    scope: Scope, receive: Receive, send: Send, status: int, text: str, more: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    if scope["type"] == "websocket":
        await receive()  # websocket.connect; closing before the handshake is accepted answers 403
        await send({"type": "websocket.close", "code": 1013 if status == 503 else 1008, "reason": ""})
        return
    body = text.encode()
    answer = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"vary", b"Cookie"),
        *more,
    ]
    if status == 503:
        answer.append((b"retry-after", str(RETRY_AFTER_S).encode("ascii")))
    await send({"type": "http.response.start", "status": status, "headers": answer})
    await send({"type": "http.response.body", "body": body})
