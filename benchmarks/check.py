"""
What a check costs: from memory, through the middleware, under a real server, and as the number of sessions grows.

    python benchmarks/check.py            # about three minutes
    python benchmarks/check.py --quick    # about one, with 100,000 sessions in place of 1,000,000

Every figure stands beside what it is compared with, measured in the same run.
"""

import argparse
import asyncio
import hashlib
import os
import platform
import random
import re
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import apsw
from _measure import async_rounds, progress, rounds, show, verdict

from coatcheck import Coatcheck
from coatcheck.asgi import SessionMiddleware
from coatcheck.stores._sqlite_steps import RECORD
from coatcheck.stores.sqlite import SQLiteStore

HEADERS = [
    (b"host", b"localhost:8000"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"text/html,application/xhtml+xml"),
    (b"accept-language", b"en-GB,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"sec-fetch-site", b"same-origin"),
    (b"sec-fetch-mode", b"navigate"),
]


async def bare_app(scope, receive, send):
    """The smallest ASGI application that answers."""
    fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"ok"})


async def sink(message):
    """Take what an application sends."""


async def warm(folder):
    """A check from memory beside the hash and the dict lookup that it cannot do without."""
    async with Coatcheck(f"sqlite:///{folder}/warm.db") as auth:
        token = (await auth.sign_in("maria")).token.reveal()
        known = {hashlib.sha256(token.encode()).digest(): object()}
        actions = {
            "hashlib.sha256 and a dict lookup": lambda: known[hashlib.sha256(token.encode()).digest()],
            "check_now": lambda: auth.check_now(token),
        }
        times = rounds(actions)
        show("A warm check (SQLite)", times)
        floor, ours = (min(found) for found in times.values())
        verdict("check_now over the floor, us", ours - floor, 3.0)

        wrapped = SessionMiddleware(bare_app, auth=auth)
        fields = [*HEADERS, (b"cookie", f"theme=dark; __Host-session={token}".encode())]

        def request(app):
            return app({"type": "http", "method": "GET", "path": "/", "headers": fields}, None, sink)

        times = await async_rounds(
            {"bare ASGI application": lambda: request(bare_app), "with the middleware": lambda: request(wrapped)}
        )
        show("One request in an in-process ASGI loop (SQLite, signed in)", times)
        floor, ours = (min(found) for found in times.values())
        verdict("the middleware adds, us", ours - floor, 3.5)


def fill(path, count):
    """Put *count* sessions into the store, quickly, and return the tokens of 1,000 of them spread all over."""
    connection = apsw.Connection(str(path))
    connection.pragma("synchronous", "OFF")
    marks = ", ".join("?" * 15)
    row = [b"{}", "[]", 4_000_000_000, None, 4_000_000_000, 4_100_000_000, 1_209_600, 1, None, None, 1]
    tokens, chosen = [], set(random.sample(range(count), 1000))
    with connection:
        for number in range(count):
            token = secrets.token_urlsafe(32)
            if number in chosen:
                tokens.append(token)
            columns = [
                secrets.token_urlsafe(18),
                f"user {number}",
                *row,
                hashlib.sha256(token.encode()).digest(),
                b"{}",
            ]
            connection.execute(f"INSERT INTO sessions ({RECORD}) VALUES ({marks})", columns)
    connection.close()
    return tokens


class FarClock:
    """A clock in the year of the sessions that :func:`fill` makes; time passes as it does."""

    def __init__(self):
        self.elapsed = time.monotonic

    def now(self):
        """Whole seconds."""
        return 4_000_000_000


async def among(folder, sizes, *, count):
    """Return size -> microseconds of a warm check among so many sessions, in each of *count* rounds; of a cold one."""
    warm_times, cold_times = {}, {}
    engines = {}
    for size in sizes:
        store = SQLiteStore(f"{folder}/{size}.db")
        await store.open()
        await store.close()
        tokens = fill(Path(f"{folder}/{size}.db"), size)
        engines[size] = Coatcheck(f"sqlite:///{folder}/{size}.db", clock=FarClock()), tokens
        await engines[size][0].open()
        warm_times[f"{size:,}"], cold_times[f"{size:,}"] = [], []
    for number in range(count):
        progress(number + 1, count)
        for size, (auth, tokens) in engines.items():
            random.shuffle(tokens)
            auth._memory._cache.drop()
            cold_times[f"{size:,}"].append(await timed(auth, tokens) / len(tokens))
            found = [timed_now(auth, tokens) for _ in range(3)]
            warm_times[f"{size:,}"].append(min(found) / len(tokens))
    for auth, _ in engines.values():
        await auth.close()
    return warm_times, cold_times


async def growth(folder, sizes):
    """Warm and cold checks of 1,000 sessions among ever more."""
    warm_times, cold_times = await among(folder, sizes, count=60)
    show("A warm check, with so many sessions in the store", warm_times)
    first, *_, last = (min(times) for times in warm_times.values())
    verdict(f"warm, {sizes[-1]:,} beside {sizes[0]:,} sessions", last / first, 1.3)
    show("A cold check (read from SQLite, kept in memory)", cold_times)
    first, *_, last = (min(times) for times in cold_times.values())
    print(f"  cold, {sizes[-1]:,} beside {sizes[0]:,} sessions: {last / first:.2f}")


async def timed(auth, tokens):
    """Microseconds for a check of each token."""
    started = time.perf_counter()
    for token in tokens:
        await auth.check(token)
    return (time.perf_counter() - started) * 1e6


def timed_now(auth, tokens):
    """Microseconds for a warm check of each token."""
    started = time.perf_counter()
    for token in tokens:
        auth.check_now(token)
    return (time.perf_counter() - started) * 1e6


async def memory_use(folder):
    """Bytes that a cached session takes, indexes included."""
    count = 20_000
    store = SQLiteStore(f"{folder}/memory.db")
    await store.open()
    await store.close()
    tokens = fill_with_claims(Path(f"{folder}/memory.db"), count)
    async with Coatcheck(f"sqlite:///{folder}/memory.db", clock=FarClock()) as auth:
        await auth.check(tokens.pop())
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for token in tokens:
            assert await auth.check(token)
        used = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    print(f"\nMemory\n  {used / len(tokens):.0f} bytes per cached session with the claims {{'roles': ['member']}}")


def fill_with_claims(path, count):
    """Sessions with claims; returns all tokens."""
    connection = apsw.Connection(str(path))
    marks = ", ".join("?" * 15)
    claims = b'{"roles":["member"]}'
    tokens = [secrets.token_urlsafe(32) for _ in range(count)]
    with connection:
        for number, token in enumerate(tokens):
            row = [claims, '["pwd"]', 4_000_000_000, 4_000_000_000, 4_000_000_000, 4_100_000_000, 1_209_600, 1]
            tail = ["203.0.113.7", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0", 1]
            digest = hashlib.sha256(token.encode()).digest()
            columns = [secrets.token_urlsafe(18), f"user {number}", *row, *tail, digest, b"{}"]
            connection.execute(f"INSERT INTO sessions ({RECORD}) VALUES ({marks})", columns)
    connection.close()
    return tokens


SERVED = """
import os
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from coatcheck import Coatcheck
from coatcheck.asgi import SessionMiddleware

async def me(request):
    session = request.scope.get("coatcheck")
    return PlainTextResponse(session.sub if session else "maria")

auth = Coatcheck(os.environ["STORE"])
bare = Starlette(routes=[Route("/me", me)])
ours = SessionMiddleware(Starlette(routes=[Route("/me", me)], lifespan=auth.lifespan), auth=auth)
"""


def serve(folder, name, port, store):
    """Start one uvicorn worker on core 0 and wait until it listens."""
    command = [sys.executable, "-m", "uvicorn", f"served:{name}", "--port", str(port), "--log-level", "warning"]
    pin = ["taskset", "-c", "0"] if shutil.which("taskset") else []
    process = subprocess.Popen([*pin, *command], cwd=folder, env={**os.environ, "STORE": store})
    until = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.02)
    process.kill()
    raise SystemExit("uvicorn did not start")


def free_port():
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def one_token(store):
    """Sign somebody in."""
    async with Coatcheck(store) as auth:
        return (await auth.sign_in("maria")).token.reveal()


def under_load(folder, *, pairs, seconds):
    """The same Starlette application under uvicorn and wrk, with and without us, turn by turn."""
    if not shutil.which("wrk"):
        print("\nUnder uvicorn and wrk: wrk is not on this machine, left out")
        return
    store = f"sqlite:///{folder}/load.db"
    token = asyncio.run(one_token(store))
    Path(folder, "served.py").write_text(SERVED)
    ports = {name: free_port() for name in ("bare", "ours")}
    servers = [serve(folder, name, port, store) for name, port in ports.items()]
    found = {name: [] for name in ports}
    pin = ["taskset", "-c", "1"] if shutil.which("taskset") else []
    try:
        for number in range(pairs):
            progress(number + 1, pairs)
            order = list(ports.items())
            for name, port in order if number % 2 else reversed(order):
                command = ["wrk", "-t1", "-c16", f"-d{seconds}s", "-H", f"Cookie: __Host-session={token}"]
                said = subprocess.run(
                    [*pin, *command, f"http://127.0.0.1:{port}/me"], capture_output=True, text=True, check=True
                ).stdout
                assert "Non-2xx" not in said, said
                found[name].append(float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]))
    finally:
        for server in servers:
            server.terminate()
            server.wait()
    ratios = [ours / bare for ours, bare in zip(found["ours"], found["bare"], strict=True)]
    print("\nStarlette under uvicorn and wrk, one worker, keep-alive, paired rounds")
    for name, rates in found.items():
        print(f"  {name:<44}{statistics.median(rates):>9.0f} requests/s   from {min(rates):.0f} to {max(rates):.0f}")
    verdict("throughput kept, median of the pairs", statistics.median(ratios), 0.90, at_most=False)
    print(f"        pairs from {min(ratios):.3f} to {max(ratios):.3f}")


def main():
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, 100,000 sessions at most")
    parser.add_argument("--only", choices=["warm", "growth", "memory", "load"], help="one part only")
    options = parser.parse_args()
    sizes = [1_000, 100_000] if options.quick else [1_000, 100_000, 1_000_000]
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        if options.only in (None, "warm"):
            asyncio.run(warm(folder))
        if options.only in (None, "growth"):
            asyncio.run(growth(folder, sizes))
        if options.only in (None, "memory"):
            asyncio.run(memory_use(folder))
        if options.only in (None, "load"):
            under_load(folder, pairs=4 if options.quick else 10, seconds=2)


if __name__ == "__main__":
    main()
