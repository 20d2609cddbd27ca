"""The network of a soak does what it is told."""

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest

from soak.proxy import Start, State

ROOT = Path(__file__).parent.parent.parent


class Network:
    """A proxy of two lines before a server that answers each line in capitals."""

    async def __aenter__(self):
        self.heard = asyncio.Queue()
        self.writers = []
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "soak.proxy", cwd=ROOT, stdin=pipe, stdout=pipe
        )
        self.say(Start("127.0.0.1", self.server.sockets[0].getsockname()[1], 2))
        self.ports = msgspec.json.decode(await self.process.stdout.readline())
        return self

    async def __aexit__(self, *exc_info):
        self.process.stdin.close()
        assert await self.process.wait() == 0, "it ends with its input"
        self.server.close()
        for writer in self.writers:
            writer.close()

    def say(self, what):
        self.process.stdin.write(msgspec.json.encode(what) + b"\n")

    async def become(self, **state):
        self.say(State(**state))
        assert await self.process.stdout.readline() == b"done\n"

    async def serve(self, reader, writer):
        try:
            while line := await reader.readline():
                self.heard.put_nowait(line)
                writer.write(line.upper())
        except ConnectionError:
            pass  # it was cut
        finally:
            writer.close()

    async def connect(self, line=0):
        connection = await asyncio.open_connection("127.0.0.1", self.ports[line])
        self.writers.append(connection[1])
        return connection


@pytest.fixture
async def network():
    async with Network() as network:
        yield network


async def ask(connection, line):
    reader, writer = connection
    writer.write(line)
    return await reader.readline()


async def is_broken(connection):
    try:
        async with asyncio.timeout(30):
            return await connection[0].readline() == b""
    except ConnectionError:
        return True


async def test_it_passes_both_ways(network):
    """As long as nobody says otherwise, it is a wire."""
    one, two = await network.connect(0), await network.connect(1)
    assert (await ask(one, b"a\n"), await ask(two, b"b\n"), await ask(one, b"c\n")) == (b"A\n", b"B\n", b"C\n")


async def test_answers_that_are_swallowed(network):
    """The request arrives and the answer does not; afterwards the connection is broken, since it lost a byte."""
    one, two = await network.connect(), await network.connect(1)
    await network.become(line=0, answers="swallow")
    one[1].write(b"a\n")
    assert await network.heard.get() == b"a\n"
    assert await ask(two, b"b\n") == b"B\n"
    await network.become(line=0)
    assert await is_broken(one)
    assert await ask(await network.connect(), b"c\n") == b"C\n"


async def test_requests_that_are_swallowed(network):
    """The request does not arrive; afterwards the connection is broken."""
    one = await network.connect()
    assert await ask(one, b"a\n") == b"A\n"
    await network.become(line=0, requests="swallow")
    one[1].write(b"lost\n")
    await one[1].drain()
    assert await ask(await network.connect(1), b"b\n") == b"B\n"
    await network.become(line=0)
    two = await network.connect()
    assert await ask(two, b"c\n") == b"C\n"
    assert [network.heard.get_nowait() for _ in range(network.heard.qsize())] == [b"a\n", b"b\n", b"c\n"]


async def test_what_is_held_back_arrives_whole(network):
    """Nothing arrives, then everything, in order, on the same connection."""
    one = await network.connect()
    await network.become(line=0, requests="hold", answers="hold")
    one[1].write(b"a\nb\n")
    assert await ask(await network.connect(1), b"c\n") == b"C\n"
    assert network.heard.get_nowait() == b"c\n" and network.heard.empty()
    await network.become(line=0)
    assert (await one[0].readline(), await one[0].readline()) == (b"A\n", b"B\n")


async def test_a_late_answer_is_the_last(network):
    """Sooner or later an answer is held back and then delivered; what is sent after it arrives nowhere."""
    one = await network.connect()
    await network.become(line=0, late_s=0.05)
    answers = 0
    while True:
        try:
            if await ask(one, b"a\n") != b"A\n":
                break
        except ConnectionError:
            break
        answers += 1
    assert answers == network.heard.qsize() >= 1
    assert await ask(await network.connect(1), b"b\n") == b"B\n"


async def test_a_cut_breaks_what_is_there_and_lets_nothing_in(network):
    """Connections of that line are reset, new ones refused; afterwards it is a wire again."""
    one, two = await network.connect(), await network.connect(1)
    await network.become(line=0, open=False)
    assert await is_broken(one)
    assert await is_broken(await network.connect())
    assert await ask(two, b"b\n") == b"B\n"
    await network.become(line=0)
    assert await ask(await network.connect(), b"c\n") == b"C\n"


async def test_a_delay_keeps_the_order(network):
    """What is late is whole and in order."""
    one = await network.connect()
    await network.become(line=0, delay_s=0.01)
    one[1].write(b"a\n")
    one[1].write(b"b\n")
    assert (await one[0].readline(), await one[0].readline()) == (b"A\n", b"B\n")
