"""Live connections over the network: a real server, real clients, one that is ended by another process's engine."""

import asyncio
import contextlib
import re
import socket
import threading

import httpx
import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from starlette.middleware import Middleware
from starlette.responses import StreamingResponse
from tests.adapters.serving import OnCluster, OnPostgres, OnSQLite, OnValkey, serving_asgi
from tests.serving import ROOT
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from coatcheck import Coatcheck, Policy
from coatcheck.asgi import SessionMiddleware
from coatcheck.fastapi import CurrentSession

SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldCE"
PATIENCE_S = 20


class Story:
    """What must be so on every store."""

    @pytest.fixture
    def store(self):
        return self.make_store()

    @pytest.fixture
    def served(self, store):
        """An application whose WebSocket echoes and floods, and whose stream counts."""
        auth = Coatcheck(store, policy=Policy(origins=("https://app.example.com",)), secret=SECRET)
        self.heard = []
        self.flooding, self.freed = threading.Event(), threading.Event()
        app = FastAPI(lifespan=auth.lifespan, middleware=[Middleware(SessionMiddleware, auth=auth)])

        @app.websocket("/live")
        async def live(websocket: WebSocket, session: CurrentSession):
            await websocket.accept()
            async for text in websocket.iter_text():
                self.heard.append(text)
                await websocket.send_text(text)

        @app.websocket("/flood")
        async def flood(websocket: WebSocket, session: CurrentSession):
            await websocket.accept()
            try:
                while True:
                    # Until the client, which reads nothing, has no more room for it.
                    await asyncio.wait_for(websocket.send_text("x" * 100_000), 0.5)
            except TimeoutError:
                self.flooding.set()
                with contextlib.suppress(WebSocketDisconnect):
                    await websocket.send_text("x" * 10_000_000)
                self.freed.set()

        @app.get("/events")
        async def events(session: CurrentSession):
            async def lines():
                for count in range(100_000):
                    yield f"data: {count}\n\n"
                    await asyncio.sleep(0.01)

            return StreamingResponse(lines(), media_type="text/event-stream")

        with serving_asgi(app) as address:
            yield address

    def other(self, store):
        """An engine in another place."""
        return Coatcheck(store, secret=SECRET)

    async def test_a_kicked_client_receives_nothing_more(self, store, served):
        """Three connections of one session end, and the one of another goes on."""
        async with self.other(store) as auth:
            signed_in, other = await auth.sign_in("maria"), await auth.sign_in("bob")
            headers = {"cookie": f"__Host-session={signed_in.token.reveal()}", "sec-fetch-site": "same-origin"}
            others = {**headers, "cookie": f"__Host-session={other.token.reveal()}"}
            host = {"host": "app.example.com"}
            async with (
                self.connected(served, headers) as speaking,
                self.connected(served, headers) as quiet,
                self.connected(served, others) as staying,
                httpx.AsyncClient(base_url=f"http://{served}", headers={**headers, **host}) as client,
                client.stream("GET", "/events") as stream,
            ):
                assert stream.status_code == 200
                lines = stream.aiter_lines()
                assert await anext(lines) == "data: 0"
                await speaking.send("hello")
                assert await speaking.recv() == "hello"
                await auth.revoke(signed_in.session.sid)
                with contextlib.suppress(ConnectionClosed):
                    await speaking.send("after")
                for one in (speaking, quiet):
                    with pytest.raises(ConnectionClosed) as closed:
                        await asyncio.wait_for(one.recv(), PATIENCE_S)
                    assert closed.value.rcvd.code == 4401
                async with asyncio.timeout(PATIENCE_S):
                    async for _ in lines:
                        pass  # what had left before; then it ends in order
                assert self.heard == ["hello"]
                await staying.send("still here")
                assert await staying.recv() == "still here"

    async def test_a_stalled_client_delays_nobody(self, store, served):
        """It reads nothing, its application is stuck; the revocation returns, and a healthy client hears of it."""
        async with self.other(store) as auth:
            signed_in = await auth.sign_in("maria")
            headers = {"cookie": f"__Host-session={signed_in.token.reveal()}", "sec-fetch-site": "same-origin"}
            host, port = served.split(":")
            with socket.create_connection((host, int(port))) as stalled:
                fields = {
                    "Host": "app.example.com", "Upgrade": "websocket", "Connection": "Upgrade",
                    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13", **headers,
                }  # fmt: skip
                lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
                stalled.sendall(f"GET /flood HTTP/1.1\r\n{lines}\r\n".encode())
                assert await asyncio.to_thread(self.flooding.wait, PATIENCE_S)
                async with self.connected(served, headers) as healthy:
                    await auth.revoke(signed_in.session.sid)
                    with pytest.raises(ConnectionClosed) as closed:
                        await asyncio.wait_for(healthy.recv(), PATIENCE_S)
                    assert closed.value.rcvd.code == 4401
                assert await asyncio.to_thread(self.freed.wait, PATIENCE_S)

    @staticmethod
    @contextlib.asynccontextmanager
    async def connected(address, headers, path="/live"):
        host, port = address.split(":")
        url, origin = f"ws://app.example.com{path}", "https://app.example.com"
        async with connect(url, host=host, port=int(port), additional_headers=headers, origin=origin, proxy=None) as ws:
            yield ws


async def test_the_how_to(tmp_path, monkeypatch):
    """Its program is run, and does what it says."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/how-to/live-connections.md").read_text()
    (program,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    names = {"ORIGIN": "https://app.example.com"}
    exec(program, names)
    with serving_asgi(names["app"]) as address:
        async with Coatcheck("sqlite:///coatcheck.db") as auth:
            signed_in = await auth.sign_in("maria")
            headers = {"cookie": f"__Host-session={signed_in.token.reveal()}", "sec-fetch-site": "same-origin"}
            host = {**headers, "host": "app.example.com"}
            async with (
                Story.connected(address, headers, "/chat") as socket,
                httpx.AsyncClient(base_url=f"http://{address}", headers=host) as client,
                client.stream("GET", "/events") as stream,
            ):
                lines = stream.aiter_lines()
                assert await anext(lines) == "data: 0"
                await socket.send("hello")
                assert await socket.recv() == "maria: hello"
                await auth.revoke(signed_in.session.sid)
                with pytest.raises(ConnectionClosed) as closed:
                    await asyncio.wait_for(socket.recv(), PATIENCE_S)
                assert closed.value.rcvd.code == 4401
                async with asyncio.timeout(PATIENCE_S):
                    async for _ in lines:
                        pass
                assert (await client.get("/events")).status_code == 401


class TestOnSQLite(OnSQLite, Story):
    """One file."""


@pytest.mark.long
class TestOnPostgres(OnPostgres, Story):
    """PostgreSQL."""

    test_while_the_store_is_away = None  # of the adapters' story, which stops a server of its own


@pytest.mark.long
class TestOnValkey(OnValkey, Story):
    """One server."""

    test_while_the_store_is_away = None  # of the adapters' story, which stops a server of its own


@pytest.mark.long
class TestOnCluster(OnCluster, Story):
    """Three primaries and their replicas."""

    test_while_the_store_is_away = None  # of the adapters' story, which stops a server of its own
