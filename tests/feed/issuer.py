"""A real server over a real socket, in the test's event loop, and services that ask it."""

import asyncio
import contextlib
import inspect

import apsw
import httpx
from argon2 import PasswordHasher

from coatcheck import Coatcheck, Policy
from coatcheck.records import Kind
from coatcheck.server import database, run
from coatcheck.server.app import build_app
from coatcheck.server.passwords import Passwords
from coatcheck.server.site import Site, policy_for
from coatcheck.stores import migrate
from coatcheck.testing.store_contract import make_stamp

TIMEOUT_S = 12
LONG_S = 60.0
"""A lease so long that whoever waits for its end, or for a quarter of it, and not for an answer, fails by TIMEOUT_S."""


async def soon(work):
    """Wait for *work*, and not for ever."""
    return await asyncio.wait_for(work, TIMEOUT_S)


async def until(found):
    """Wait until *found* returns something true; return it."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            answer = found()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return answer
            await asyncio.sleep(0.005)


async def set_lease(url, lease_s):
    """Make the store, with this lease."""
    if not url.startswith("sqlite:"):
        return await migrate(url, lease_s=lease_s)
    async with Coatcheck(url):
        pass
    with contextlib.closing(apsw.Connection(url.removeprefix("sqlite:///"))) as connection:
        connection.execute("UPDATE meta SET lease_s = ?", (lease_s,))


class Main(run._Main, run._Side):
    """The server as the command runs it, but for signals."""


class Issuer:
    """One process of an issuer, as far as others can tell."""

    def __init__(self, folder, *, store=None, port=0, issuer=None, origins=(), tls=None):
        self.listening = run.listen("127.0.0.1", port, "--port")
        self.port = self.listening.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://localhost:{self.port}"
        self.issuer = issuer or self.url
        local = f"sqlite:///{folder}/coatcheck.db"
        self.store = store or local
        hasher = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        self.auth = Coatcheck(self.store, policy=policy_for(Policy(), (self.url, *origins)), issuer=self.issuer)
        self.site = Site(self.auth, database.from_url(local), hasher=hasher)
        self._tls = tls
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self):
        await self._stack.enter_async_context(self.site.lifespan())
        self._app = build_app(self.site, opens=False)
        self._serve()
        return self

    def _serve(self):
        config = run._config(self._app)
        if self._tls:
            config.load()
            config.ssl = self._tls
        self.auth.feed.start()
        self._server = Main(config, self.site)
        self._serving = asyncio.create_task(self._server.serve(sockets=[self.listening]))

    async def hang_up(self):
        """Stop listening, and end every connection."""
        self._server.should_exit = True
        await self._serving
        # One that arrived at this very moment is left over; it ends with the process, which this one here does not.
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        self.listening.close()

    async def come_back(self):
        """Listen again, on the same port."""
        self.listening = run.listen("127.0.0.1", self.port, "--port")
        self._serve()

    async def __aexit__(self, *exc_info):
        await self.hang_up()
        await self._stack.aclose()

    @property
    def guests(self):
        """What the feed asks of the store."""
        return self.auth.feed._guests

    async def client(self, ident, *audiences, **kwargs):
        """Add a client; return its secret."""
        _, secret = await self.site.clients.add(ident, audiences or ("orders",), now=self.site.clock.now(), **kwargs)
        return secret

    def feed(self, ident, secret):
        """Return the URL of the feed with credentials in it."""
        return self.url.replace("://", f"://{ident}:{secret}@")

    async def token(self, sub="maria", **claims):
        """Sign *sub* in; return the session and an access token for it."""
        signed_in = await self.auth.sign_in(sub, claims=claims)
        jwt = self.auth.access_token(signed_in.session, audience="orders")
        assert isinstance(jwt, str), jwt
        return signed_in, jwt

    async def end(self, sid):
        """End a session, whether there is one or not, and wait for nobody; return the position."""
        return await self.auth._store.end(sid, of=None, kind=Kind.REVOKED, note="", stamp=make_stamp(1))

    async def nodes(self):
        """Return the rows of all services."""
        return tuple(row for row in (await self.auth._store.nodes()).rows if row.id.startswith("feed:"))

    async def awaited(self, receipt):
        """Return for how many services a change waited; on a store behind a network engines are nodes, too."""
        nodes = (await self.auth._store.nodes()).rows
        return receipt.nodes - len([row for row in nodes if not row.id.startswith("feed:")])

    async def row(self, node):
        """Return the row of *node*, or None."""
        return next((row for row in await self.nodes() if row.id.endswith(node)), None)


class Service:
    """A service that speaks the protocol itself, one request at a time."""

    def __init__(self, url, ident, secret):
        self.secret = secret
        self._http = httpx.AsyncClient(base_url=url, auth=(ident, secret), timeout=TIMEOUT_S)
        self.beats = 0
        self.node = self.epoch = self.applied = None

    async def ask(self, body, **kwargs):
        """Send any request; return the answer as it is."""
        return await self._http.post("/feed", json=body, **kwargs)

    async def join(self, **body):
        """Join; return what was told."""
        answer = await self.ask(body)
        assert answer.status_code == 200, answer.text
        return self._take(answer)

    async def beat(self, *, wait_s=0, **body):
        """Send a heartbeat that says what is applied; return the answer as it is."""
        self.beats += 1
        said = {"node": self.node, "beat": self.beats, "applied": self.applied, "epoch": self.epoch, "wait_s": wait_s}
        answer = await self.ask({name: value for name, value in (said | body).items() if value is not None})
        if answer.status_code == 200:
            self._take(answer)
        return answer

    async def leave(self, node=None):
        """Leave."""
        return await self._http.delete(f"/feed/{node or self.node}")

    async def close(self):
        await self._http.aclose()

    def _take(self, answer):
        news = answer.json()
        self.node, self.epoch, self.applied = news["node"], news["epoch"], news["upto"]
        return news
