"""
What the figures of a fleet are measured on: a PostgreSQL of their own, its sessions, and nodes in other processes.

As a program it is such a process: it opens so many engines on a store, says so, and answers until its input ends.

    python benchmarks/_fleet.py URL ENGINES
"""

import asyncio
import contextlib
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import psutil

from coatcheck import Coatcheck
from coatcheck.stores.postgres import migrate

ISSUER = "https://auth.example.com"
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldCE"


def start_postgres(folder=None, *, fsync="on"):
    """Start PostgreSQL 18 that loses nothing: fsync on, where not told otherwise."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.servers import postgres

    tempfile.tempdir = folder
    return postgres.start("18", fsync=fsync, shared_buffers="128MB", max_wal_size="4GB")


def engine(url, **options):
    """An engine with access tokens: its nodes hold revocations and keys, too."""
    return Coatcheck(url, issuer=ISSUER, secret=SECRET, **options)


def token(number):
    """The token of session *number* of :func:`fill`."""
    return f"{number:043d}"


def sid(number):
    """Its sid."""
    return hashlib.sha256(f"sid {number}".encode()).hexdigest()[:27]


def schema_of(url):
    """The schema that a store URL names."""
    return dict(parse_qsl(urlsplit(url).query))["schema"]


def cpu_s(server, nodes):
    """Seconds of processor time that the nodes' processes and the server's have used so far."""
    first = int((server.data / "postmaster.pid").read_text().split()[0])
    theirs = [psutil.Process(first), *psutil.Process(first).children(recursive=True)]
    return _used_s(psutil.Process(pid) for pid in nodes), _used_s(theirs)


def _used_s(processes):
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


async def connect(url):
    """A connection of the driver's own, warm, as bare as can be."""
    connection = await asyncpg.connect(url.partition("?")[0])
    await connection.fetchval("SELECT 1")
    return connection


async def fill(url, count):
    """Make the tables, where there are none, and put *count* sessions into them."""
    await migrate(url)
    connection, schema = await connect(url), schema_of(url)
    await connection.execute(
        f"""INSERT INTO {schema}.sessions (sid, sub, claims, amr, created_at, auth_time, seen_at, expires_at, idle_s,
                                           persistent, ip, user_agent, version, digest, data, epoch)
            SELECT left(encode(sha256(convert_to('sid ' || n, 'UTF8')), 'hex'), 27), 'user ' || n,
                   convert_to('{{"roles":["member"]}}', 'UTF8'), '["pwd"]', now_s, now_s, now_s, now_s + 2592000,
                   1209600, true, '203.0.113.7', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0', 1,
                   sha256(convert_to(lpad(n::text, 43, '0'), 'UTF8')), convert_to('{{}}', 'UTF8'), 1
            FROM generate_series(0, {count - 1}) AS n, (SELECT extract(epoch FROM now())::bigint AS now_s)""",
        timeout=600,
    )
    for table in ("sessions", "changes", "ended", "log", "meta", "nodes"):
        await connection.execute(f"VACUUM ANALYZE {schema}.{table}", timeout=600)
    await connection.execute("CHECKPOINT", timeout=600)
    await connection.close()


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
