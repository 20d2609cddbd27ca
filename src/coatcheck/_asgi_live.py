"""
WebSockets and event streams at the door. Floor 5; may import: floors 0 to 4.

An open connection stands between the server and the application, and lets a message through only while its session
lives. When that ends, the application hears that the other side has gone, and the other side hears why.

Rules of this module:

1. A message that came in is given to the application only after it was found to pass; one that goes out is asked about
   after everything before it has gone, so that nothing waits in the server with an answer that is out of date.
2. Whoever waits is woken: an application never hangs on a client that has stalled. The last words are given
   :data:`LAST_WORDS_S`, and no revocation waits for them.
3. What the application does after its connection was taken away is what it does when a client leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from coatcheck import _door
from coatcheck._asgi_forms import Message, Receive, Scope, Send
from coatcheck._door import Plain
from coatcheck.engine import Coatcheck
from coatcheck.fleet.live import End
from coatcheck.http import bearer
from coatcheck.records import Claims, Refused, Session

LAST_WORDS_S = 1.0
"""How long a close frame, or the end of a stream, may take, seconds."""

CLOSE_CODES = {End.OVER: 4401, End.CHANGED: 1012, End.UNSURE: 1013, End.CLOSED: 1001}
"""
The code of the close frame. 4401: sign in again. 1012: come back at once. 1013: come back in a moment. 1001: the server
ends. (RFC 6455, section 7.4, and its registry; 4000 to 4999 are for applications.)
"""

EVENT_STREAM = b"text/event-stream"


class Gone(OSError):
    """The connection was taken away; what servers raise for one whose client has left (ASGI 2.4)."""


class Live:
    """
    One connection and its session.

    Args:
        receive: The server's. send: likewise. last_words: the message that ends the connection for the client.
    """

    def __init__(
        self,
        scope: Scope,
        auth: Coatcheck,
        audience: str,
        *,
        receive: Receive,
        send: Send,
        last_words: Callable[[End], Message],
    ) -> None:
        self._receive = receive
        self._send = send
        self._last_words = last_words
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Timeout] = set()
        self._sending = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None
        self._is_cut = False
        self._is_closed = False  # by the application, or by who is at the other end
        session: Session = scope["coatcheck"]
        self._connection = auth.open_connection(session, hear=self._hear, verify=_verify(scope, auth, audience))

    @property
    def over(self) -> End | None:
        """Why the session took it away."""
        return self._connection.over

    async def prove(self) -> bool:
        """Say whether the session lives, before anything passes."""
        proved = await self._connection.prove()
        if not proved:
            self._is_closed = True  # nothing was opened, so there is nothing to close
        return proved

    async def receive(self) -> Message:
        """Wait for a message to the application."""
        if self.over is None:
            with contextlib.suppress(Gone):
                async with self._interruptible():
                    message = await self._receive()
                    if message["type"] == "websocket.disconnect":
                        self._leave()
                        return message
                    if message["type"] == "websocket.connect" or await self._passes(touch=True):
                        return message
        return {"type": "websocket.disconnect", "code": CLOSE_CODES[self.over or End.OVER], "reason": ""}

    async def send(self, message: Message) -> None:
        """Send a message of the application."""
        async with self._interruptible(), self._sending:
            # A last message that says nothing may go at any time; the rest of a stream is like what came before it.
            says_nothing = _is_last(message) and not message.get("body")
            if not says_nothing and not await self._passes(touch=False):
                raise Gone
            if _is_last(message):
                self._leave()
            await self._send(message)

    async def run(self, call: Awaitable[Any]) -> None:
        """Wait for the application to have served the connection."""
        try:
            await call
        except Exception as fault:
            if not is_gone(fault):
                raise
        finally:
            await self.finish()

    async def finish(self) -> None:
        """The application is done: have the last words said, if they are ours, and let go."""
        self._connection.leave()
        if self.over is not None:
            self._cut()
        if self._closing is not None:
            await asyncio.wait([self._closing])

    async def _passes(self, *, touch: bool) -> bool:
        found = self._connection.passes(touch=touch)
        return await self._connection.prove(touch=touch) if found is None else found

    @contextlib.asynccontextmanager
    async def _interruptible(self) -> AsyncIterator[None]:
        """Do what may wait for the other side; Gone, at once, when the session takes the connection away."""
        if self.over is not None:
            raise Gone
        # A timeout that has no time yet: the standard way to end one await from outside, and nothing but that.
        timeout = asyncio.timeout(None)
        try:
            async with timeout:
                self._waiting.add(timeout)
                try:
                    yield
                finally:
                    self._waiting.discard(timeout)
        except TimeoutError:
            if timeout.expired():
                raise Gone from None
            raise

    def _leave(self) -> None:
        self._is_closed = True
        self._connection.leave()

    def _hear(self, why: End) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the connection with it
            self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        if self._is_cut:
            return
        self._is_cut = True
        for timeout in list(self._waiting):
            timeout.reschedule(self._loop.time())
        if self._closing is None and not self._is_closed:
            self._closing = self._loop.create_task(self._close(), name="coatcheck-last-words")

    async def _close(self) -> None:
        # Whatever goes wrong here, the client has gone already, or is left to the server.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(LAST_WORDS_S), self._sending:
                if not self._is_closed:
                    await self._send(self._last_words(self.over or End.OVER))


def websocket(scope: Scope, auth: Coatcheck, audience: str, *, receive: Receive, send: Send) -> Live:
    """Return what stands between a server and a WebSocket's application."""
    return Live(scope, auth, audience, receive=receive, send=send, last_words=_close_frame)


def event_stream(scope: Scope, auth: Coatcheck, audience: str, *, send: Send) -> Live:
    """Return what stands between an application's event stream and the server."""
    return Live(scope, auth, audience, receive=_nothing, send=send, last_words=_end_of_stream)


def is_event_stream(content_type: bytes) -> bool:
    """Say whether a response of this ``Content-Type`` is an event stream."""
    return bytes(content_type).lstrip()[: len(EVENT_STREAM)].lower() == EVENT_STREAM


def is_gone(fault: BaseException) -> bool:
    """Say whether *fault* is only what became of :class:`Gone` in the application's framework."""
    if isinstance(fault, BaseExceptionGroup):
        return all(is_gone(one) for one in fault.exceptions)
    return isinstance(fault, Gone) or isinstance(fault.__cause__ or fault.__context__, Gone)


def refusal(line: Live) -> Plain:
    """Return the answer for a connection that was never opened."""
    return _door.later() if line.over is End.UNSURE else _door.signed_out()


def _verify(scope: Scope, auth: Coatcheck, audience: str) -> Callable[[], Claims | Refused] | None:
    if scope.get("coatcheck.claims") is None:
        return None
    token = bearer.find(bearer.fields_in(scope["headers"]))
    if not isinstance(token, str):
        return None
    return lambda: auth.verify(token, audience=audience)


def _is_last(message: Message) -> bool:
    kind = message["type"]
    return kind == "websocket.close" or (kind == "http.response.body" and not message.get("more_body", False))


def _close_frame(why: End) -> Message:
    return {"type": "websocket.close", "code": CLOSE_CODES[why], "reason": ""}


def _end_of_stream(why: End) -> Message:
    return {"type": "http.response.body", "body": b"", "more_body": False}


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
