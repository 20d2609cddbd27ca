"""
Where the figures of a fleet are measured: SQLite, and servers of their own, started for it and removed again.

Every place loses nothing that it acknowledged: fsync on, synchronous FULL, ``appendfsync always``. Beside each stands
what its own driver needs for the least that can be asked of it:

- a *round trip*: ``SELECT 1``, or ``PING``; on SQLite, which has no other side, a ``SELECT 1`` too;
- a *bare commit*: one row changed, or one key set, and durable, on replicas too where there are some;
- a *bare read*: the columns of one session by the digest of its token, by one statement that the driver has prepared.
  In Valkey, where that is two keys in two slots, two GETs of as many bytes, one after the other.
"""

import asyncio
import contextlib
import itertools
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import psutil
from _fleet import digest_of, record

sys.path.insert(0, str(Path(__file__).parent.parent))
_AT_ONCE = 512


class Place:
    """
    A store, and what it is compared with.

    Attributes:
        name: On the command line. title: in tables.
    """

    name = title = ""

    def __init__(self, folder):
        self.folder = folder

    def url(self):
        """The URL of a store that nobody has used."""
        raise NotImplementedError

    async def fill(self, url, count):
        """Put *count* sessions into it, as quickly as its own writes go."""
        from coatcheck.stores import from_url
        from coatcheck.stores.base import Stamp

        store, now, numbers = from_url(url), int(time.time()), iter(range(count))
        stamp = Stamp(now=now, forget_change=now + 7200, forget_token=now + 86_400)

        async def some():
            for number in numbers:
                await store.create(record(number, now), generation=None, most=100, stamp=stamp)

        await store.open()
        try:
            await asyncio.gather(*(some() for _ in range(_AT_ONCE)))
        finally:
            await store.close()

    async def bare(self, url):
        """What its driver does by itself; see the module."""
        raise NotImplementedError

    def processes(self):
        """The store's own processes."""
        return []

    async def used(self, url):
        """Bytes that the store at *url* takes where it keeps sessions: on disk, or in memory."""
        raise NotImplementedError

    def close(self):
        """Stop it and remove it."""


# --- SQLite ---


class SQLite(Place):
    """One file."""

    name, title = "sqlite", "SQLite"

    def __init__(self, folder):
        super().__init__(folder)
        self._kept = tempfile.TemporaryDirectory(dir=folder)
        self._numbers = itertools.count()

    def url(self):
        return f"sqlite:///{self._kept.name}/{next(self._numbers)}.db"

    async def bare(self, url):
        return _BareSQLite(url.removeprefix("sqlite:///"))

    async def used(self, url):
        import apsw

        connection = apsw.Connection(url.removeprefix("sqlite:///"))
        connection.pragma("wal_checkpoint(TRUNCATE)")
        pages = connection.pragma("page_count") * connection.pragma("page_size")
        connection.close()
        return pages

    def close(self):
        self._kept.cleanup()


class _BareSQLite:
    def __init__(self, path):
        import apsw

        from coatcheck.stores._sqlite_steps import RECORD

        self._reader, self._writer = apsw.Connection(path), apsw.Connection(f"{path}-bare")
        self._writer.pragma("journal_mode", "wal")
        self._writer.pragma("synchronous", "FULL")
        self._writer.execute("CREATE TABLE IF NOT EXISTS one_row (n); INSERT INTO one_row VALUES (0)")
        self._read = f"SELECT {RECORD} FROM sessions WHERE digest = ?"

    async def trip(self):
        self._reader.execute("SELECT 1").fetchall()

    async def commit(self):
        self._writer.execute("UPDATE one_row SET n = n + 1")

    async def read(self, number):
        return self._reader.execute(self._read, (digest_of(number),)).fetchone()

    async def close(self):
        self._reader.close()
        self._writer.close()


# --- PostgreSQL ---


class Postgres(Place):
    """One server."""

    name, title = "postgres", "PostgreSQL"

    def __init__(self, folder, *, fsync="on"):
        super().__init__(folder)
        from tests.servers import postgres

        with _temporary(folder):
            self._server = postgres.start("18", fsync=fsync, shared_buffers="128MB", max_wal_size="4GB")

    def url(self):
        return self._server.url()

    def processes(self):
        first = psutil.Process(int((self._server.data / "postmaster.pid").read_text().split()[0]))
        return [first, *first.children(recursive=True)]

    async def fill(self, url, count):
        from coatcheck.stores.postgres import migrate

        await migrate(url)
        connection, schema = await _connect(url), _schema_of(url)
        await connection.execute(
            f"""INSERT INTO {schema}.sessions (sid, sub, claims, amr, created_at, auth_time, seen_at, expires_at,
                                               idle_s, persistent, ip, user_agent, version, digest, data, epoch)
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

    async def bare(self, url):
        connection = await _connect(url)
        await connection.execute("CREATE TABLE IF NOT EXISTS one_row (n bigint)")
        await connection.execute("TRUNCATE one_row")
        await connection.execute("INSERT INTO one_row VALUES (0)")
        from coatcheck.stores._rows import RECORD

        read = await connection.prepare(f"SELECT {RECORD} FROM {_schema_of(url)}.sessions WHERE digest = $1")
        return _BarePostgres(connection, read)

    async def used(self, url):
        connection = await _connect(url)
        size = await connection.fetchval(f"SELECT pg_total_relation_size('{_schema_of(url)}.sessions')")
        await connection.close()
        return size

    def close(self):
        self._server.close()


class _BarePostgres:
    def __init__(self, connection, read):
        self._connection, self._read = connection, read

    async def trip(self):
        await self._connection.fetchval("SELECT 1")

    async def commit(self):
        await self._connection.execute("UPDATE one_row SET n = n + 1")

    async def read(self, number):
        return await self._read.fetchrow(digest_of(number))

    async def close(self):
        await self._connection.close()


async def _connect(url):
    """A connection of the driver's own, warm, as bare as can be."""
    import asyncpg

    connection = await asyncpg.connect(url.partition("?")[0])
    await connection.fetchval("SELECT 1")
    return connection


def _schema_of(url):
    return dict(parse_qsl(urlsplit(url).query))["schema"]


# --- Valkey ---


class Valkey(Place):
    """One server, or a cluster."""

    name, title, _is_cluster = "valkey", "Valkey", False

    def __init__(self, folder):
        super().__init__(folder)
        from tests.servers import valkey

        with _temporary(folder):
            self._group = valkey.cluster() if self._is_cluster else valkey.start()
        self.nodes = self._group.nodes if self._is_cluster else [self._group]

    def url(self):
        return self._group.url()

    def processes(self):
        mine = {str(node.folder) for node in self.nodes}
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(word.startswith(tuple(mine)) for word in process.info["cmdline"] or ())
        ]

    async def bare(self, url):
        import redis.asyncio as driver

        node = self._group.primary_of("bare") if self._is_cluster else self._group
        return await _BareValkey(
            driver.Redis(port=node.port, single_connection_client=True), replicas=int(self._is_cluster)
        ).begin()

    async def used(self, url):
        primaries = self._group.primaries() if self._is_cluster else self.nodes
        return sum(int(node.info("memory")["used_memory_dataset"]) for node in primaries)

    def close(self):
        self._group.close()


class _BareValkey:
    def __init__(self, client, *, replicas):
        self._client, self._replicas = client, replicas

    async def begin(self):
        # In the tag of one slot, wherever that is: the bare read asks one server for both.
        await self._client.set("{bare}pointer", b"s" * 27)
        await self._client.set("{bare}row", b"r" * 400)
        await self.trip()
        return self

    async def trip(self):
        await self._client.ping()

    async def commit(self):
        await self._client.set("{bare}n", b"1")
        # A replica that is asked too early does not say that it has synced until it is asked again.
        while True:
            here, there = await self._client.execute_command("WAITAOF", 1, self._replicas, 3)
            if here == 1 and there >= self._replicas:
                return

    async def read(self, number):
        await self._client.get("{bare}pointer")
        return await self._client.get("{bare}row")

    async def close(self):
        await self._client.aclose()


class ValkeyCluster(Valkey):
    """Three primaries, a replica each."""

    name, title, _is_cluster = "valkey-cluster", "Valkey Cluster", True


@contextlib.contextmanager
def _temporary(folder):
    """Have what tests start be in *folder*, too."""
    before, tempfile.tempdir = tempfile.tempdir, folder
    try:
        yield
    finally:
        tempfile.tempdir = before


PLACES = {place.name: place for place in (SQLite, Postgres, Valkey, ValkeyCluster)}
