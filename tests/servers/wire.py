"""A wire to a server, which tests cut in the middle of a sentence."""

import asyncio

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"


class Wire:
    """
    Forwards from a port of its own to *port*.

    Attributes:
        port: Where to connect to.
    """

    def __init__(self, port):
        self._to = port
        self._cut = None
        self._streams = set()
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for stream in self._streams:
            stream.close()

    def cut_after(self, words):
        """When a client next says *words*: let the server hear them and answer, and let nobody hear the answer."""
        self._cut = words

    def _accept(self, from_client, to_client):
        # Not a coroutine: it is noted before anybody could cancel it.
        self._streams.add(to_client)
        task = asyncio.ensure_future(self._serve(from_client, to_client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, from_client, to_client):
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._to)
        self._streams.add(to_server)
        answers = asyncio.create_task(self._forward(from_server, to_client))
        try:
            while words := await from_client.read(65536):
                is_last = self._cut is not None and self._cut in words
                if is_last:
                    self._cut = None
                    answers.cancel()
                    await asyncio.wait([answers])
                to_server.write(words)
                if is_last:
                    await from_server.read(65536)
                    break
        except OSError:
            pass
        finally:
            answers.cancel()
            to_client.close()
            to_server.close()

    async def _forward(self, source, target):
        try:
            while words := await source.read(65536):
                target.write(words)
        except OSError:
            pass
        target.close()
