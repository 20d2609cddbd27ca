"""Applications served in this process, by a real server in a thread, and the stores that they are tried on."""

import asyncio
import contextlib
import socket
import threading
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
import uvicorn
from tests.servers import postgres, valkey

START_S = 20


@contextlib.contextmanager
def serving_asgi(app, *, lifespan="on"):
    """Serve an ASGI application by uvicorn; give ``127.0.0.1:port``."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan=lifespan, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True)
    thread.start()
    try:
        waited = threading.Event()
        for _ in range(START_S * 100):
            if server.started:
                break
            assert thread.is_alive(), "it did not start"
            waited.wait(0.01)
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(START_S)
        listening.close()
        assert not thread.is_alive()


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        """Nothing."""


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@contextlib.contextmanager
def serving_wsgi(app, auth):
    """Serve a WSGI application by the standard library's server, a thread for each request; close its engine."""
    server = make_server("127.0.0.1", 0, app, server_class=_Threads, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(START_S)
        server.server_close()
        auth.close()


class OnSQLite:
    """One file for all."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self._folder = tmp_path

    def make_store(self):
        return f"sqlite:///{self._folder}/coatcheck.db"

    @contextlib.contextmanager
    def take_away(self, store):
        """Move the file: from then on every process that has it open refuses to use it."""
        path = Path(store.removeprefix("sqlite:///"))
        away = path.rename(path.with_name("away.db"))
        try:
            yield
        finally:
            away.rename(path)


class _OnServer:
    """A server that all tests share, but for the one in which it is killed."""

    own = None

    def make_store(self):
        return (self.own or self.shared()).url()

    def test_while_the_store_is_away(self):
        self.own = self.start()
        try:
            super().test_while_the_store_is_away()
        finally:
            self.own.close()

    @contextlib.contextmanager
    def take_away(self, store):
        self.kill()
        yield

    def kill(self):
        self.own.kill()


class OnPostgres(_OnServer):
    """One database."""

    shared = staticmethod(postgres.shared)
    start = staticmethod(postgres.start)


class OnValkey(_OnServer):
    """One server."""

    shared = staticmethod(valkey.shared)
    start = staticmethod(valkey.start)


class OnCluster(_OnServer):
    """Three primaries, each with a replica."""

    start = staticmethod(valkey.cluster)

    def shared(self):
        return valkey.shared("cluster")

    def kill(self):
        for node in self.own.nodes:
            node.kill()
