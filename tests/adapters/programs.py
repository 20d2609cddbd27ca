"""Programs as their users start them: a command in a folder, a port, and a browser of the story."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from tests.serving import ROOT

from coatcheck.testing.adapter_story import Browser

START_S = 40
VENV = Path(sys.executable).parent.parent


class Program:
    """A server that runs. ``said`` is what it printed so far."""

    def __init__(self, process, port):
        self._process = process
        self.port = port
        self.said = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            self.said += line

    def browser(self, origin="http://localhost:8000"):
        """A browser that asks this server for the pages of *origin*."""
        return At(f"127.0.0.1:{self.port}", origin)

    def listens(self, port=None):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port or self.port), 1):
            return True
        return False

    def await_port(self, port):
        """Return when another of its ports is served."""
        waited = threading.Event()
        for _ in range(START_S * 20):
            if self.listens(port):
                return
            waited.wait(0.05)
        raise AssertionError(f"nobody listens: {self.said}")


class At(Browser):
    """A browser at another origin than the story's."""

    def __init__(self, address, origin, cookies=None):
        super().__init__(address, cookies)
        self._origin = origin

    def tab(self):
        return At(self._address, self._origin, self.cookies)

    def send(self, method, path, body, fields):
        return super().send(method, path, body, {"Host": self._origin.partition("://")[2], **fields})


@contextlib.contextmanager
def running(command, folder, *, port, env=None):
    """Run *command* in *folder* until the port is served; stop it as Ctrl-C does, all of its processes with it."""
    environment = {name: value for name, value in os.environ.items() if name != "COATCHECK_SECRET"}
    environment |= {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "PYTHONUNBUFFERED": "1", **(env or {})}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    program = Program(process, port)
    try:
        waited = threading.Event()
        for _ in range(START_S * 20):
            if program.listens():
                break
            assert process.poll() is None, program.said
            waited.wait(0.05)
        else:
            raise AssertionError(f"it does not listen: {program.said}")
        yield program
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(START_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(START_S)
            raise AssertionError(f"it did not stop: {program.said}") from None
        program._reader.join(START_S)
        process.stdout.close()


def free_port():
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def free_ports(count):
    """The first of *count* ports in a row that nobody listens on, below those that the system gives to anybody."""
    for _ in range(200):
        first = random.randrange(20_000, 32_000, 8)
        with contextlib.ExitStack() as taken, contextlib.suppress(OSError):
            for number in range(count):
                taken.enter_context(socket.create_server(("127.0.0.1", first + number)))
            return first
    raise AssertionError("no ports are free")


class Page:
    """A tutorial: its blocks, and an empty folder in which it is followed."""

    def __init__(self, name, folder):
        self.text = (ROOT / "docs" / "tutorial" / name).read_text()
        self.folder = folder
        (folder / ".venv").symlink_to(VENV)

    def blocks(self, language, having=""):
        """The blocks of a language in which *having* occurs, in their order."""
        found = re.findall(r"^```(\w*)\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)
        return [block for name, block in found if name == language and having in block]

    def write(self, name, text):
        """Write a file, as the page says."""
        (self.folder / name).write_text(text)

    def shell(self, commands):
        """Run a block of the shell; return what it printed."""
        env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        done = subprocess.run(
            ["bash", "-euc", commands], cwd=self.folder, env=env, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def running(self, command):
        """Run a server by the page's own command, on a port that is free."""
        port = free_port()
        assert "8000" in command
        return running(["bash", "-c", "exec " + command.strip().replace("8000", str(port))], self.folder, port=port)
