"""
Start everything on this machine: ``coatcheck serve`` with its front door, two applications, a proxy before them.

    python -m examples.front_door [--proxy nginx|caddy] [--port 8000] [--folder DIR]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import uvicorn

from examples.front_door.proxies import PROXIES, Mistake, Proxy, ended
from examples.front_door.upstream import build_upstream

NAMES = ("orders", "reports")


def main(argv: Sequence[str] | None = None) -> int:
    """Run until Ctrl-C; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.front_door", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--proxy", choices=PROXIES, default="nginx", help="which one (%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="the first of four; 0: any free ones (%(default)s)")
    parser.add_argument("--folder", type=Path, help="where the files are (default: a new one, gone at the end)")
    args = parser.parse_args(argv)
    try:
        with contextlib.ExitStack() as stack:
            folder = args.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coatcheck-")))
            asyncio.run(_run(PROXIES[args.proxy](folder.absolute()), args.port, stack))
    except Mistake as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130  # before it was ready
    return 0


async def _run(proxy: Proxy, port: int, stack: contextlib.ExitStack) -> None:
    # All ports are taken before anything starts, so that nobody else takes one meanwhile.
    public = [stack.enter_context(_take(port and port + 2 + number, proxy.take)) for number in range(len(NAMES))]
    inside = [stack.enter_context(_take(0)) for _ in NAMES]
    store = f"sqlite:///{proxy.folder / 'coatcheck.db'}"
    upstreams = dict(zip(NAMES, map(_port, public), strict=True))
    issuer, door = _start_coatcheck(port, store, upstreams, proxy, stack)
    apps = [build_upstream(name, issuer=issuer, store=store) for name in NAMES]
    servers = [_Quiet(uvicorn.Config(app, log_level="warning")) for app in apps]

    def stop(*_: object) -> None:
        for server in servers:
            server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    ports = {"DOOR": door}
    for name, outer, inner in zip(NAMES, public, inside, strict=True):
        ports |= {name.upper(): _port(outer), f"{name.upper()}_APP": _port(inner)}
        print(f"{name}: http://localhost:{_port(outer)} (the application itself: http://127.0.0.1:{_port(inner)})")
    with ended(proxy.start(ports, public)) as process:
        await asyncio.to_thread(proxy.wait, process, public)
        asyncio.create_task(asyncio.to_thread(process.wait)).add_done_callback(stop)
        print(f"Sign in at {issuer}, then open them. Ctrl-C stops everything.", flush=True)
        await asyncio.gather(*(one.serve(sockets=[at]) for one, at in zip(servers, inside, strict=True)))
    print("\nStopped.")


class _Quiet(uvicorn.Server):
    """One of two servers in a process; Ctrl-C is looked after outside."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _take(port: int, take: Callable[[tuple[str, int]], socket.socket] = socket.create_server) -> socket.socket:
    try:
        return take(("127.0.0.1", port))
    except OSError as error:
        raise Mistake(f"port {port}: {os.strerror(error.errno or 0)}; choose others with --port") from None


def _port(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


def _start_coatcheck(
    port: int, store: str, upstreams: Mapping[str, int], proxy: Proxy, stack: contextlib.ExitStack
) -> tuple[str, int]:
    """Start the server, pass on what it says until it listens, and return its address and the door's port."""
    options = ["--port", str(port), "--metrics-port", "0", "--store", store, "--database", store]
    options += ["--front-door", f"127.0.0.1:{port and port + 1}", "--proxy", proxy.name]
    for name, at in upstreams.items():
        options += ["--upstream", f"localhost:{at}={name}"]
    process = subprocess.Popen(  # noqa: S603  nothing in it comes from elsewhere
        [sys.executable, "-m", "coatcheck.cli", "serve", *options], stdout=subprocess.PIPE, text=True
    )
    stack.enter_context(ended(process))
    assert process.stdout is not None  # asked for above
    said = ""
    for line in process.stdout:
        print(line, end="")
        said += line
        if listening := re.match(r"Listening on (\S+)", line):
            door = re.search(r"Front door on http://127\.0\.0\.1:(\d+)", said)
            assert door is not None  # it says so first
            return listening[1], int(door[1])
    raise Mistake("coatcheck serve did not start; it said why")


if __name__ == "__main__":
    sys.exit(main())
