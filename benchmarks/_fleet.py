"""
What the figures of a fleet are measured with: sessions, and nodes in other processes. Where sessions are kept is in
``_places.py``.

As a program it is such a process: it opens so many engines on a store, says so, and answers until its input ends.

    python benchmarks/_fleet.py URL ENGINES
"""

import asyncio
import contextlib
import hashlib
import subprocess
import sys
import time

import psutil

from coatcheck import Coatcheck, Device, Session
from coatcheck.records import Digest, Record
from coatcheck.values import frozen

ISSUER = "https://auth.example.com"
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldCE"


def engine(url, **options):
    """An engine with access tokens: its nodes hold revocations and keys, too."""
    return Coatcheck(url, issuer=ISSUER, secret=SECRET, **options)


def token(number):
    """The token of session *number*."""
    return f"{number:043d}"


def digest_of(number):
    """What a store keeps of it."""
    return Digest(hashlib.sha256(token(number).encode()).digest())


def sid(number):
    """Its sid."""
    return hashlib.sha256(f"sid {number}".encode()).hexdigest()[:27]


def record(number, now):
    """The session itself."""
    session = Session(
        sid=sid(number),
        sub=f"user {number}",
        claims=frozen({"roles": ["member"]}),
        amr=("pwd",),
        created_at=now,
        auth_time=now,
        seen_at=now,
        expires_at=now + 2_592_000,
        idle_s=1_209_600,
        device=Device(ip="203.0.113.7", user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0"),
    )
    return Record(digest=digest_of(number), session=session)


def used_s(processes):
    """Seconds of processor time that *processes* have used so far."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


async def timed(work):
    """Await *work*; return the seconds that it took."""
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


@contextlib.contextmanager
def others(url, *, processes, engines=1):
    """Nodes in *processes* processes of their own, with *engines* engines each."""
    command = [sys.executable, __file__, url, str(engines)]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    try:
        for process in started:
            if process.stdout.readline() != "ready\n":
                raise SystemExit("a node did not start")
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.stdin.close()
        for process in started:
            process.wait(30)


async def serve(url, engines):
    """Be a node, or some."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(engines):
            await stack.enter_async_context(engine(url))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
