"""What lies between a service and the issuer: a TCP proxy that loses what it is told to lose."""

import asyncio
import itertools


class Link:
    """Passes bytes on, to one of its ports for each connection in turn."""

    def __init__(self):
        self._tasks = set()
        self._ends = set()
        self.loses_requests = self.loses_answers = False
        self.connections = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    @property
    def origin(self):
        """As what a browser would see it."""
        return f"http://localhost:{self.port}"

    def lead_to(self, *issuers):
        """Say where bytes go."""
        self._ports = itertools.cycle([issuer.port for issuer in issuers])

    def feed(self, ident, secret):
        """Return the URL of the feed behind it."""
        return self.origin.replace("://", f"://{ident}:{secret}@")

    async def __aexit__(self, *exc_info):
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in self._ends:
            end.transport.abort()
        await asyncio.sleep(0)  # their sockets are closed in the next turn

    def cut(self):
        """End every connection; new ones are taken."""
        for task in self._tasks:
            task.cancel()

    def _accept(self, reader, writer):
        # Not a coroutine: it is noted before anybody could cancel it.
        self.connections += 1
        self._ends.add(writer)
        task = asyncio.ensure_future(self._connected(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connected(self, reader, writer):
        ends = [writer]
        try:
            there, back = await asyncio.open_connection("127.0.0.1", next(self._ports))
            ends.append(back)
            passing = [
                asyncio.ensure_future(self._pass(reader, back, "loses_requests")),
                asyncio.ensure_future(self._pass(there, writer, "loses_answers")),
            ]
            try:
                await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in passing:
                    one.cancel()
                await asyncio.gather(*passing, return_exceptions=True)
        except OSError:
            pass  # nobody listens there any more
        finally:
            for end in ends:
                end.close()
            self._ends.discard(writer)

    async def _pass(self, reader, writer, loses):
        while data := await reader.read(65536):
            if not getattr(self, loses):
                writer.write(data)
                await writer.drain()
