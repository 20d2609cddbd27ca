"""
From settings to a running server. Floor 6; may import: floors 0 to 5.

Rules of this module:

1. What would fail later is refused here, before the first request: the port, the store, the database, the secret.
2. Ctrl-C ends it in good order: requests under way are answered, activity is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

from coatcheck import Coatcheck
from coatcheck.errors import ConfigError
from coatcheck.server import database, tls
from coatcheck.server.app import build_app
from coatcheck.server.front_door import PATH, build_front_door
from coatcheck.server.metrics import Metrics
from coatcheck.server.settings import Settings, audiences, front_door_address
from coatcheck.server.site import Site, policy_for
from coatcheck.stores import file_of

METRICS_PORT = 9464
GRACE_S = 5


def serve(settings: Settings) -> int:
    """
    Serve until Ctrl-C; return the exit code.

    Raises:
        CoatcheckError: It cannot be started; says what to change.
    """
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(listen(settings.address, settings.port, "--port"))
        metrics_at = _listen_for_metrics(settings, stack)
        door_at = _listen_for_proxies(settings, stack)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn has shut down in good order and passes the Ctrl-C on
            return asyncio.run(_serve(settings, listening, metrics_at, door_at))
        print("\nStopped.")
        return 0


async def _serve(
    settings: Settings, listening: socket.socket, metrics_at: socket.socket | None, door_at: socket.socket | None
) -> int:
    origins = settings.origins(listening.getsockname()[1])
    metrics = Metrics()
    auth = Coatcheck(
        settings.store,
        policy=policy_for(settings.policy, origins),
        issuer=origins[0],
        on_store_call=None if metrics_at is None else metrics.store_called,
    )
    site = Site(auth, database.from_url(settings.database))
    # Opened here and not by the application: what is wrong is then one line at the terminal, before anybody is served.
    async with site.lifespan():
        metrics.follow(auth)
        app = build_app(
            site,
            https=origins[0].startswith("https://"),
            trusted_proxies=settings.trusted_proxies,
            metrics=metrics,
            opens=False,
        )
        config = _config(app)
        with _certificate(settings, config, site.clock.now()):
            server = _Main(config, site)
            _tell_where_accounts_are(settings)
            await _introduce(site, origins[0], metrics_at, door_at)
            door = build_front_door(
                site,
                audiences=audiences(settings.upstreams),
                sign_in_url=f"{origins[0]}/sign-in",
                proxy=settings.proxy,
            )
            # A proxy may ask with the Upgrade of a handshake: a question like any other, and not ours to upgrade.
            async with _beside(_config(metrics.app()), metrics_at), _beside(_config(door, ws="none"), door_at):
                await server.serve(sockets=[listening])
    return 0 if server.started else 1


def _config(app: ASGIApp, *, ws: Literal["auto", "none"] = "auto") -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ws=ws,
        lifespan="off",
        log_level="warning",
        # Whoever wants the client's address from a proxy names the proxy: --trusted-proxy.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )


class _Main(uvicorn.Server):
    """The server itself. When it is to end it first gives the answers that it holds back."""

    def __init__(self, config: uvicorn.Config, site: Site) -> None:
        super().__init__(config)
        self._site = site

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Begins at the first pause of what follows: by then nobody is let in, and each answer ends its connection.
        stopping = asyncio.ensure_future(self._site.auth.feed.stop())
        await super().shutdown(sockets)
        await stopping


class _Side(uvicorn.Server):
    """A server beside the main one, which alone looks after signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def _beside(config: uvicorn.Config, listening: socket.socket | None) -> AsyncIterator[None]:
    """Serve another application meanwhile, if there is a socket for it."""
    if listening is None:
        yield
        return
    side = _Side(config)
    serving = asyncio.create_task(side.serve(sockets=[listening]))
    try:
        yield
    finally:
        side.should_exit = True
        await asyncio.gather(serving, return_exceptions=True)


@contextlib.contextmanager
def _certificate(settings: Settings, config: uvicorn.Config, now: int) -> Iterator[None]:
    """Give *config* a certificate, if it is to have one; its key is on disk no longer than it takes to read it."""
    if settings.tls_self_signed:
        with tempfile.TemporaryDirectory(prefix="coatcheck-") as folder:
            path = Path(folder) / "key-and-certificate.pem"
            path.touch(0o600)
            path.write_bytes(tls.self_signed(["localhost", "127.0.0.1", "::1"], now=now))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(path)
        config.load()
        config.ssl = context
    yield


def _tell_where_accounts_are(settings: Settings) -> None:
    """Say what nobody may have noticed: with a store for many machines, the accounts are still on this one alone."""
    if settings.database.startswith("sqlite:") and not settings.store.startswith(("sqlite:", "memory:")):
        file = file_of(settings.database.partition("://")[2])
        print(f"Accounts are in {file}, on this machine alone. Servers on several machines share them in PostgreSQL:")
        print("--database postgresql://…\n")


async def _introduce(site: Site, url: str, metrics_at: socket.socket | None, door_at: socket.socket | None) -> None:
    code = await site.desk.new_code()
    if code is not None:
        print("Nobody has an account yet. The first administrator is made with this code, within an hour:\n")
        print(f"    {code}\n")
        print(f"Open {url}/set-up and enter it there.\n")
    if metrics_at is not None:
        print(f"Metrics on http://127.0.0.1:{metrics_at.getsockname()[1]}/metrics")
    if door_at is not None:
        host, port = door_at.getsockname()[:2]
        print(f"Front door on http://{f'[{host}]' if ':' in host else host}:{port}{PATH}")
    print(f"Listening on {url} (Ctrl-C stops)", flush=True)


def _listen_for_metrics(settings: Settings, stack: contextlib.ExitStack) -> socket.socket | None:
    if settings.metrics_port == 0:
        return None
    try:
        port = METRICS_PORT if settings.metrics_port is None else settings.metrics_port
        return stack.enter_context(listen("127.0.0.1", port, "--metrics-port"))
    except ConfigError:
        if settings.metrics_port is not None:
            raise
        # Nobody asked for it: a second server on this machine is no mistake.
        print(
            f"Port {METRICS_PORT} is in use, so there are no metrics; choose another with --metrics-port.",
            file=sys.stderr,
        )
        return None


def _listen_for_proxies(settings: Settings, stack: contextlib.ExitStack) -> socket.socket | None:
    if settings.front_door is None:
        return None
    host, port = front_door_address(settings.front_door)
    return stack.enter_context(listen(host, port, "--front-door", before=f"{settings.front_door.rpartition(':')[0]}:"))


def listen(host: str, port: int, setting: str, *, before: str = "") -> socket.socket:
    """
    Take the address, so that nobody else can between this check and the serving.

    Args:
        before: What stands before the port in the option *setting*.

    Raises:
        ConfigError: It cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except socket.gaierror:
        raise ConfigError("--host", f"{host!a} is not an address of this machine", "write 127.0.0.1") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            remedy = f"choose another with {setting}, such as {setting} {before}{port % 65535 + 1}"
            raise ConfigError(setting, f"port {port} is in use", remedy) from None
        said = os.strerror(error.errno or 0)
        raise ConfigError(setting, f"cannot listen on {host}, port {port} ({said})", "choose another") from None
    # Handed on to each connection. asyncio sees to it only for sockets that say that they are TCP, which this one does
    # not; without it the body of an answer waits for the other side's delayed word that it has the head: 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
