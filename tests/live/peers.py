"""The server's side of a connection, for an application that is called directly."""

import asyncio

from coatcheck.asgi import SessionMiddleware

ORIGIN = "https://app.example.com"
PATIENCE_S = 20


class Peer:
    """
    One client and its server. What is put into ``inbox`` comes in; what went out is in ``got``.

    Attributes:
        heard: What the application was given. sent: how many messages the server was given, gone out or not.
    """

    def __init__(self, kind="websocket", path="/live"):
        self.kind = kind
        self.path = path
        self.inbox = asyncio.Queue()
        self.got = []
        self.heard = []
        self.stalled = False
        self.sent = 0
        self.news = asyncio.Event()
        self.scope = {}
        self.call = None

    def open(self, auth, app, *, token=None, bearer=None, **options):
        """Call the application."""
        headers = [(b"host", b"app.example.com"), (b"sec-fetch-site", b"same-origin")]
        if token is not None:
            headers.append((b"cookie", b"__Host-session=" + token.reveal().encode()))
        if bearer is not None:
            headers.append((b"authorization", b"Bearer " + bearer.encode()))
        self.scope = {
            "type": self.kind,
            "method": "GET",
            "path": self.path,
            "headers": headers,
            "scheme": "https",
            "query_string": b"",
            "client": ("127.0.0.1", 1),
            "server": ("app.example.com", 443),
            "asgi": {"version": "3.0", "spec_version": "2.4"},
        }
        if self.kind == "websocket":
            self.inbox.put_nowait({"type": "websocket.connect"})
        else:
            del self.inbox  # so that what asks for it is seen
        middleware = SessionMiddleware(app(self), auth=auth, **options)
        self.call = asyncio.ensure_future(middleware(self.scope, self.receive, self.send))
        return self

    async def receive(self):
        if self.kind == "http":
            await asyncio.Event().wait()
        message = await self.inbox.get()
        self.news.set()
        return message

    async def send(self, message):
        self.sent += 1
        self.news.set()
        if self.stalled:
            await asyncio.Event().wait()
        self.got.append(message)
        self.news.set()

    def say(self, text):
        """Something comes in."""
        self.inbox.put_nowait({"type": "websocket.receive", "text": text})

    async def until(self, true):
        """Wait until something is so, after whatever goes out or comes in."""
        async with asyncio.timeout(PATIENCE_S):
            while not true():
                self.news.clear()
                await self.news.wait()

    async def opened(self):
        """Wait until it is open; ``self``."""
        await self.until(lambda: self.got or self.call.done())
        assert self.got[0]["type"] in {"websocket.accept", "http.response.start"}, self.got
        return self

    async def ended(self):
        """Wait until the application has returned; return the last message that went out."""
        async with asyncio.timeout(PATIENCE_S):
            await self.call
        return self.got[-1] if self.got else None

    @property
    def texts(self):
        """What went out."""
        return [one["text"] for one in self.got if one["type"] == "websocket.send"]


def echo(peer):
    """An application that says what it hears."""

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            peer.heard.append(message)
            peer.news.set()
            if message["type"] == "websocket.disconnect":
                return
            await send({"type": "websocket.send", "text": message["text"]})

    return app


def talker(peer):
    """An application that talks, and hears nothing: at each ``peer.next``."""
    peer.next = asyncio.Queue()

    async def app(scope, receive, send):
        if peer.kind == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
        else:
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-type", b"text/event-stream; charset=utf-8")],
                }
            )
        while True:
            text = await peer.next.get()
            if text is None and peer.kind == "http":
                return await send({"type": "http.response.body", "body": b""})
            if peer.kind == "http":
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
            else:
                await send({"type": "websocket.send", "text": text})

    return app
