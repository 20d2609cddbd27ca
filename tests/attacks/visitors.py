"""Who comes to the door: browsers and attackers that speak raw ASGI, and a tiny application behind the middleware."""

import dataclasses
import json

import httpx

from coatcheck import Refused
from coatcheck.asgi import SessionMiddleware, csrf_token, device

HOST = "app.example.com"
ORIGIN = f"https://{HOST}"
COOKIE = "__Host-session"
FORM = "application/x-www-form-urlencoded"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


class App:
    """
    Says whom it serves, and keeps what it was served.

    ``/form`` gives a form token, ``/sign-in`` signs maria in over whatever session there is, ``/cart`` writes data,
    ``/public`` allows every cache to keep its answer.
    """

    def __init__(self, auth):
        self.auth = auth
        self.bodies = []
        self.scopes = []

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            return
        self.bodies.append(await read(receive))
        session, refused = scope.get("coatcheck"), scope.get("coatcheck.refused")
        answer = {"sub": session and session.sub, "sid": session and session.sid}
        answer["refused"] = refused.reason.value if isinstance(refused, Refused) else None
        headers = [(b"content-type", b"application/json")]
        if scope["path"] == "/form":
            answer["csrf"] = csrf_token(scope)
        elif scope["path"] == "/sign-in":
            done = await self.sign_in(scope, session)
            headers.append((b"set-cookie", self.auth.cookie(done).encode()))
        elif scope["path"] == "/cart":
            await self.auth.update_data(session.sid, set={"cart": [1]})
        elif scope["path"] == "/public":
            headers.append((b"cache-control", b"public, max-age=600, s-maxage=600"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    async def sign_in(self, scope, session):
        """Renew a started session, as the documentation says; begin one where there is none."""
        if session is not None and session.sub is None:
            return await self.auth.renew(token_of(scope), sub="maria")
        return await self.auth.sign_in("maria", device=device(scope))


def token_of(scope):
    """The session token that the browser sent."""
    sent = dict(scope["headers"])[b"cookie"].decode()
    return sent.partition(f"{COOKIE}=")[2].partition(";")[0]


async def read(receive):
    """A whole body."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


@dataclasses.dataclass
class Answer:
    """A response as it was sent."""

    status: int
    headers: list
    body: bytes

    def all(self, name):
        """Every value of a header."""
        return [value.decode("latin-1") for key, value in self.headers if key.lower() == name.encode()]

    def one(self, name):
        """The one value of a header."""
        (value,) = self.all(name)
        return value

    @property
    def json(self):
        return json.loads(self.body)


def fields(headers):
    """Header pairs as ASGI has them; a list for those that come more than once."""
    pairs = headers.items() if isinstance(headers, dict) else headers
    for name, value in pairs:
        raw = value if isinstance(value, bytes) else value.encode("latin-1")
        yield name.lower().encode("latin-1"), raw


async def ask(app, method="GET", path="/", headers=(), *, body=b"", chunks=None, host=HOST):
    """Send one request exactly as given. *host* None sends none; *chunks* come one message each."""
    pairs = [*([(b"host", host.encode("latin-1"))] if host is not None else []), *fields(headers)]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": b"", "scheme": "https", "root_path": "", "headers": pairs,
        "client": ("203.0.113.9", 50_000), "server": (HOST, 443),
    }  # fmt: skip
    parts = [body] if chunks is None else list(chunks)
    messages = [
        {"type": "http.request", "body": part, "more_body": at < len(parts)} for at, part in enumerate(parts, 1)
    ]
    incoming, sent = iter(messages), []

    async def receive():
        return next(incoming, {"type": "http.disconnect"})

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    (start,) = [message for message in sent if message["type"] == "http.response.start"]
    whole = b"".join(message.get("body", b"") for message in sent)
    return Answer(start["status"], list(start["headers"]), whole)


async def shake(app, headers=(), *, host=HOST, path="/"):
    """Try a WebSocket handshake: "accepted", or the code it was closed with."""
    pairs = [*([(b"host", host.encode("latin-1"))] if host is not None else []), *fields(headers)]
    scope = {
        "type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "path": path, "raw_path": path.encode(),
        "query_string": b"", "scheme": "wss", "root_path": "", "headers": pairs, "client": ("203.0.113.9", 50_000),
        "server": (HOST, 443), "subprotocols": [],
    }  # fmt: skip
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    (message,) = sent
    return "accepted" if message["type"] == "websocket.accept" else message["code"]


def browser(app, token=None, **headers):
    """A client over https that keeps cookies."""
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app, client=("203.0.113.9", 50_000)), base_url=ORIGIN, headers=headers
    )
    if token is not None:
        client.cookies.set(COOKIE, token)
    return client


def with_cookie(token, **more):
    """Headers with the session cookie."""
    return {"Cookie": f"{COOKIE}={token if isinstance(token, str) else token.reveal()}", **more}


def door_of(auth, **settings):
    """The tiny application behind the middleware."""
    return SessionMiddleware(App(auth), auth=auth, **settings)
