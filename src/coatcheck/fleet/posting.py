"""
One connection to one origin, kept open, for JSON there and back. Floor 3; may import: floors 0 to 2.

``http.client`` in a thread of its own: the standard library speaks HTTP, and the event loop waits for nothing but the
answer.

Rules of this module:

1. One request, one answer: no redirects, no proxy from the environment, no cookies. TLS is verified.
2. Size and time are bounded. Who stops waiting hangs up, and what comes later reaches nobody: a connection serves no
   second request after one was given up.
3. Credentials are in one header, and in no text.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from queue import SimpleQueue
from urllib.parse import SplitResult

from coatcheck.errors import StoreUnavailable
from coatcheck.secret import Secret

LONGEST = 8 * 1024 * 1024
_MOST_STUCK = 4
_Answer = tuple[int, bytes]
_Asked = tuple[str, str, bytes, float, "asyncio.Future[_Answer]", asyncio.AbstractEventLoop]


class Poster:
    """
    Sends requests to one origin, one after the other.

    Args:
        base: Where paths begin: scheme, host, port, and a path before them if there is one.

        authorization: The value of that header.
    """

    def __init__(self, base: SplitResult, authorization: Secret) -> None:
        self._base = base
        self._headers = {"Accept": "application/json", "Content-Type": "application/json"}
        self._authorization = authorization
        self._line: _Line | None = None
        self._stuck: list[_Line] = []

    def __repr__(self) -> str:
        return f"<Poster to {self._base.hostname}>"

    async def send(self, method: str, path: str, body: bytes, *, timeout_s: float) -> _Answer:
        """
        Send one request; return status and body of the answer.

        Raises:
            StoreUnavailable: No answer, not in time, or too long a one.
        """
        if self._line is None:
            # One that hangs where nobody can hang up, in a resolver, ends by itself; so many of them are enough.
            self._stuck = [line for line in self._stuck if line.is_alive()]
            if len(self._stuck) >= _MOST_STUCK:
                raise StoreUnavailable(f"{self._base.hostname} does not answer (earlier attempts are still waiting)")
            self._line = _Line(self._base, {**self._headers, "Authorization": self._authorization.reveal()})
            self._line.start()
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[_Answer] = loop.create_future()
        self._line.asked.put((method, self._base.path.rstrip("/") + path, body, timeout_s, answered, loop))
        try:
            async with asyncio.timeout(timeout_s):
                return await answered
        except TimeoutError:
            raise StoreUnavailable(f"{self._base.hostname} does not answer in time") from None
        finally:
            if not answered.done() or answered.cancelled() or answered.exception() is not None:
                self._hang_up()

    async def close(self) -> None:
        """Let go of the connection. Calling it again does nothing."""
        self._hang_up()
        for line in self._stuck:
            await asyncio.to_thread(line.join, 1.0)

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.hang_up()
            self._stuck.append(line)


class _Line(threading.Thread):
    """The thread of one connection. It ends with it."""

    def __init__(self, base: SplitResult, headers: Mapping[str, str]) -> None:
        super().__init__(name="coatcheck-feed", daemon=True)
        self.asked: SimpleQueue[_Asked | None] = SimpleQueue()
        self._base = base
        self._headers = dict(headers)
        self._is_over = False
        self._connection: http.client.HTTPConnection | None = None

    def hang_up(self) -> None:
        """End, whatever is under way. From any thread."""
        self._is_over = True
        self.asked.put(None)
        sock = None if self._connection is None else self._connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                # Of the TCP connection alone: the TLS object belongs to the thread that is reading from it.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def run(self) -> None:
        try:
            while (asked := self.asked.get()) is not None and not self._is_over:
                method, path, body, timeout_s, answered, loop = asked
                try:
                    outcome: _Answer | Exception = self._exchange(method, path, body, timeout_s)
                except Exception as error:
                    outcome = error
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to hear
                    loop.call_soon_threadsafe(_tell, answered, outcome, self._base.hostname)
        finally:
            if self._connection is not None:
                self._connection.close()

    def _exchange(self, method: str, path: str, body: bytes, timeout_s: float) -> _Answer:
        if self._connection is None:
            self._connection = _connection_to(self._base)
        connection = self._connection
        connection.timeout = timeout_s
        if connection.sock is None:
            connection.connect()
        connection.sock.settimeout(timeout_s)
        if self._is_over:
            raise ConnectionAbortedError  # while there was nothing yet to hang up
        connection.request(method, path, body, self._headers)
        # Closed here: where the other side ends the connection along with its answer, only the answer holds the socket.
        with contextlib.closing(connection.getresponse()) as answer:
            raw = answer.read(LONGEST)
            if answer.read(1):
                raise http.client.HTTPException("too long")
            return answer.status, raw


def _connection_to(base: SplitResult) -> http.client.HTTPConnection:
    host = base.hostname or ""
    if base.scheme != "https":
        return http.client.HTTPConnection(host, base.port or http.client.HTTP_PORT)
    # The context is made here: the one by default is a global, which anybody may have weakened.
    context = ssl.create_default_context()
    return http.client.HTTPSConnection(host, base.port or http.client.HTTPS_PORT, context=context)


def _tell(answered: asyncio.Future[_Answer], outcome: _Answer | Exception, host: str | None) -> None:
    if answered.done():
        return  # given up meanwhile
    if isinstance(outcome, tuple):
        answered.set_result(outcome)
    elif isinstance(outcome, OSError | http.client.HTTPException | ValueError):
        # Only the kind: the text may hold what was sent.
        answered.set_exception(StoreUnavailable(f"{host} does not answer ({type(outcome).__name__})"))
    else:
        answered.set_exception(outcome)
