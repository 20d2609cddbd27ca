"""
The network between the workers and the store, in a process of its own: one port on loopback for each worker, and what
passes there does what it is told. ``python -m soak.proxy``; commands come on its standard input, one JSON per line.

Rules of this module:

1. What was swallowed is gone, so a connection that lost a byte is broken when its fault is over, never mended.
2. What was held back is delivered whole and in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from typing import Literal

import msgspec

Passing = Literal["pass", "swallow", "hold"]
_PART = 1 << 16
_PACES = (0.0, 0.0, 1.0, 3.0)
_LATE = 0.15  # of the answers
_AFTER_S = 0.3


class Start(msgspec.Struct, frozen=True):
    """The first line: where to, how many lines, and what decides how late each part is."""

    host: str
    port: int
    lines: int
    seed: str = ""


class State(msgspec.Struct, frozen=True, kw_only=True, tag="state"):
    """
    How one line behaves from now on.

    Attributes:
        open: False: connections are broken, and new ones refused.

        requests, answers: What becomes of them. delay_s: before each part of either, in the mean. Some connections are
            slower than others and some are not slow at all; so the parts of one are overtaken by those of another.

        late_s: Above 0: on each connection, sooner or later, an answer is held back for so long and then delivered; of
            what is sent from then on nothing arrives, and a little later the connection breaks.
    """

    line: int
    open: bool = True
    requests: Passing = "pass"
    answers: Passing = "pass"
    delay_s: float = 0.0
    late_s: float = 0.0


class Move(msgspec.Struct, frozen=True, kw_only=True, tag="move"):
    """
    From now on a line leads to another port.

    Attributes:
        breaks: Whether what is open is broken off; otherwise it stays where it is.
    """

    line: int
    port: int
    breaks: bool


class _Connection:
    def __init__(self, line: Line, client: asyncio.StreamWriter, store: asyncio.StreamWriter) -> None:
        self._line = line
        self._ends = (client, store)
        self.torn = False
        self._aborted = False
        self._is_fading = self._is_over = False
        self._pace = line.chance.choice(_PACES)

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        """Carry bytes one way until either end closes."""
        with contextlib.suppress(OSError):
            while part := await reader.read(_PART):
                if self._line.state.delay_s:
                    await asyncio.sleep(self._pace * self._line.chance.uniform(0, 2 * self._line.state.delay_s))
                await self._line.may_pass(way)
                if way == "answers" and self._line.state.late_s and not self._is_fading:
                    await self._maybe_late(self._line.state.late_s)
                if getattr(self._line.state, way) == "swallow" or (way == "requests" and self._is_over):
                    self.torn = True
                    continue
                writer.write(part)
                await writer.drain()

    async def _maybe_late(self, late_s: float) -> None:
        if self._line.chance.random() < _LATE:
            self._is_fading = True
            await asyncio.sleep(late_s)
            self._is_over = True
            asyncio.get_running_loop().call_later(late_s + _AFTER_S, self.abort)

    def abort(self) -> None:
        """Break it off, as a network does: with a reset."""
        self._aborted = True
        for end in self._ends:
            end.transport.abort()

    def close(self) -> None:
        """End it as either end did: what is under way still arrives."""
        if not self._aborted:
            for end in self._ends:
                end.close()


class Line:
    """One port and the connections through it."""

    def __init__(self, number: int, start: Start) -> None:
        self._host = start.host
        self._port = start.port
        self.state = State(line=number)
        self.chance = random.Random(f"line {number} {start.seed}")
        self._changed = asyncio.Condition()
        self._connections: set[_Connection] = set()

    async def open(self) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def become(self, state: State) -> None:
        """Behave so from now on."""
        self.state = state
        whole = state.requests != "swallow" and state.answers != "swallow"
        for connection in list(self._connections):
            if not state.open or (whole and connection.torn):
                connection.abort()
        async with self._changed:
            self._changed.notify_all()

    def move(self, move: Move) -> None:
        """Lead there from now on."""
        self._port = move.port
        for connection in list(self._connections) if move.breaks else []:
            connection.abort()

    async def may_pass(self, way: str) -> None:
        """Wait while what goes this way is held back."""
        async with self._changed:
            await self._changed.wait_for(lambda: getattr(self.state, way) != "hold")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.state.open:
            writer.transport.abort()
            return
        try:
            up_reader, up_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(self, writer, up_writer)
        if not self.state.open:  # it was cut while we were connecting
            connection.abort()
            return
        self._connections.add(connection)
        ways = [
            asyncio.ensure_future(connection.pump(reader, up_writer, "requests")),
            asyncio.ensure_future(connection.pump(up_reader, writer, "answers")),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            self._connections.discard(connection)
            connection.close()


async def main() -> None:
    """Serve until the standard input ends."""
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    start = msgspec.json.decode(await commands.readline(), type=Start)
    lines = [Line(number, start) for number in range(start.lines)]
    ports = [await line.open() for line in lines]
    print(msgspec.json.encode(ports).decode(), flush=True)
    while told := await commands.readline():
        command = msgspec.json.decode(told, type=State | Move)
        if isinstance(command, Move):
            lines[command.line].move(command)
        else:
            await lines[command.line].become(command)
        print("done", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's; it ends us
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(main())
