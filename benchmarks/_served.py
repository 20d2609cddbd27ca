"""
A contestant that runs, and who asks it.

    with stores() as where:                              # PostgreSQL and Valkey of our own
        with Served(ALL["starsessions"], where) as one:
            visitor = one.visitor()
            visitor.sign_in()
            visitor.get("/me").status_code
            load(one, visitor, seconds=2)                # wrk
"""

import contextlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
from check import free_port

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
SECRET = "YmVuY2htYXJrIGJlbmNobWFyayBiZW5jaG1hcmsgYmVuY2g"
_PATIENCE_S = 60
# One core for who answers, the other for who asks; stores run where there is room.
SERVER_CORE, CLIENT_CORE = "0", "1"


def pinned(core):
    """The words before a command that keep it on one core; none where there is only one, or no taskset."""
    return ["taskset", "-c", core] if shutil.which("taskset") and (os.cpu_count() or 1) > 1 else []


class Stores:
    """
    One PostgreSQL and two Valkeys: ours keeps its append-only file as we need it, theirs is as it comes.

    Each contestant gets a database of its own; what theirs leave in Valkey has names that nobody else uses.
    """

    def __init__(self, folder):
        from tests.servers import postgres, valkey

        self.folder = Path(folder)
        self.postgres = postgres.start("18", fsync="on", shared_buffers="128MB", max_wal_size="4GB")
        self.valkey = valkey.start()
        self.their_valkey = valkey.start(appendonly="no")
        self._numbers = iter(range(1, 1_000_000))

    def environment(self, contestant):
        """What the application finds in its environment: stores that nobody has used."""
        name = f"bench{next(self._numbers)}"
        self.postgres.psql(f"CREATE DATABASE {name}")
        bare, _, query = self.postgres.url().partition("?")
        database = f"{bare.rpartition('/')[0]}/{name}"
        ours = {
            "sqlite": f"sqlite:///{self.folder}/{name}.db",
            "postgres": f"{database}?{query}",
            "valkey": self.valkey.url(),
            "": "",
        }
        return {
            "BENCH_VARIANT": contestant.variant,
            "BENCH_POSTGRES": database,
            "BENCH_VALKEY": f"redis://127.0.0.1:{self.their_valkey.port}/0",
            "BENCH_STORE": ours[contestant.store],
            "COATCHECK_SECRET": SECRET,
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        }

    def close(self):
        """Stop all three."""
        for server in (self.postgres, self.valkey, self.their_valkey):
            server.close()


@contextlib.contextmanager
def stores():
    """Give the stores, and remove them."""
    with tempfile.TemporaryDirectory(prefix="coatcheck-bench-") as folder:
        Path(folder).chmod(0o711)
        before, tempfile.tempdir = tempfile.tempdir, folder
        try:
            made = Stores(folder)
            try:
                yield made
            finally:
                made.close()
        finally:
            tempfile.tempdir = before


class Served:
    """
    One server process with one contestant.

    Args:
        environment: As :meth:`Stores.environment` gives it, the same for two workers of one application.

        workers: Processes of uvicorn. is_pinned: to the one core of servers.

        is_plain: Without uvloop and httptools, as ``pip install uvicorn`` gives it.
    """

    def __init__(self, contestant, environment, *, workers=1, is_pinned=True, is_plain=False):
        self.contestant = contestant
        self.port = free_port()
        self._environment = environment
        self._workers = workers
        self._pin = pinned(SERVER_CORE) if is_pinned else []
        self._more = ["--http", "h11", "--loop", "asyncio"] if is_plain else []

    def __enter__(self):
        # A file: a pipe that nobody reads would fill up.
        self._said = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [*self._pin, *self._command()],
            cwd=ROOT, env={**os.environ, **self._environment}, stdin=subprocess.DEVNULL,
            stdout=self._said, stderr=subprocess.STDOUT,
        )  # fmt: skip
        until = time.monotonic() + _PATIENCE_S
        while not listens(self.port):
            if self.process.poll() is not None or time.monotonic() > until:
                self.process.kill()
                self._said.seek(0)
                raise SystemExit(f"{self.contestant.name} did not start:\n{self._said.read().decode()[-4000:]}")
            time.sleep(0.02)
        return self

    def _command(self):
        if self.contestant.module.endswith(".mjs"):
            # Kept open for as long as the others keep theirs.
            return ["node", f"benchmarks/peers/{self.contestant.module}", str(self.port)]
        return [
            sys.executable, "-m", "uvicorn", f"benchmarks.peers.{self.contestant.module}:app", "--port", str(self.port),
            "--workers", str(self._workers), "--log-level", "error", "--no-access-log", *self._more,
        ]  # fmt: skip

    def __exit__(self, *exc_info):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._said.close()

    def visitor(self):
        """Somebody new."""
        return Visitor(self)

    def memory(self):
        """Bytes that only this process has."""
        return psutil.Process(self.process.pid).memory_full_info().uss


class Visitor:
    """Who keeps what a browser, or an application with tokens, keeps."""

    def __init__(self, served):
        self.origin = f"http://127.0.0.1:{served.port}"
        self.cookies, self.access, self.refresh_token = {}, None, None
        self._client = httpx.Client(base_url=self.origin, timeout=600)

    def at(self, served):
        """The same person, asking another worker."""
        other = Visitor(served)
        other.cookies, other.access, other.refresh_token = dict(self.cookies), self.access, self.refresh_token
        return other

    def fields(self):
        """The fields of a request that say who it is."""
        found = {}
        if self.cookies:
            found["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if self.access:
            found["authorization"] = f"Bearer {self.access}"
        return found

    def get(self, path):
        """Ask; keep the cookies that come."""
        return self._take(self._client.get(path, headers=self.fields()))

    def post(self, path, **more):
        """Do something."""
        fields = {"origin": self.origin, "sec-fetch-site": "same-origin", **self.fields()}
        if self.refresh_token:
            fields["x-refresh-token"] = self.refresh_token
        return self._take(self._client.post(path, headers=fields, **more))

    def sign_in(self):
        """Somebody whom nobody else is, and the answers after which nothing new is set."""
        answer = self.post(f"/sign-in?sub=maria-{secrets.token_hex(6)}")
        if answer.status_code not in (200, 204):
            raise AssertionError(f"sign-in: {answer.status_code} {answer.text[:300]}")
        with contextlib.suppress(ValueError):
            said = answer.json()
            self.access, self.refresh_token = said.get("access_token"), said.get("refresh_token")
        for _ in range(2):
            answer = self.get("/me")
            assert answer.status_code == 200, (answer.status_code, answer.text[:300])
        return self

    def _take(self, answer):
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            if value and "max-age=0" not in line.lower():
                self.cookies[name] = value
        return answer

    def close(self):
        """Let go of the connection."""
        self._client.close()


class Load(NamedTuple):
    """What wrk found: requests for each second; seconds that 99 of 100 stayed below."""

    rate: float
    p99_s: float


_TURNS = """
local cookies, n = {%s}, 0
request = function()
  n = n + 1
  return wrk.format("GET", "/me", {["Cookie"] = cookies[n %% #cookies + 1]})
end
"""
_SIGN_IN = """
local n = 0
local mark = "%s"
request = function()
  n = n + 1
  local fields = {["Origin"] = "%s", ["Sec-Fetch-Site"] = "same-origin"}
  return wrk.format("POST", "/sign-in?sub=maria-" .. mark .. n, fields)
end
"""


def load(served, visitors, *, seconds, connections=16, threads=1, is_pinned=True):
    """Have wrk ask for ``/me`` as the *visitors*, who take turns."""
    command = ["-H", "Connection: keep-alive"]
    if len(visitors) == 1:
        for name, value in visitors[0].fields().items():
            command += ["-H", f"{name}: {value}"]
        return _wrk(served, command, None, seconds, connections, threads, is_pinned)
    cookies = ", ".join(f'"{one.fields()["cookie"]}"' for one in visitors)
    return _wrk(served, command, _TURNS % cookies, seconds, connections, threads, is_pinned)


def load_sign_ins(served, *, seconds, connections=16):
    """Have wrk sign people in."""
    script = _SIGN_IN % (secrets.token_hex(6), f"http://127.0.0.1:{served.port}")
    return _wrk(served, [], script, seconds, connections, 1, True)


def _wrk(served, more, script, seconds, connections, threads, is_pinned):
    pin = pinned(CLIENT_CORE) if is_pinned else []
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        if script is not None:
            file.write(script)
            file.flush()
            more = [*more, "-s", file.name]
        command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--latency", *more]
        path = "/me" if script is None else "/"
        said = subprocess.run(
            [*pin, *command, f"http://127.0.0.1:{served.port}{path}"], capture_output=True, text=True, check=True
        ).stdout
    if "Non-2xx" in said:
        raise AssertionError(f"{served.contestant.name}: {said}")
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", said).groups()
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    return Load(rate, float(value) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[unit])


def listens(port):
    """Whether somebody does."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
