"""
Stopping a store between two statements, so that tests play one interleaving and no other.

    async with opened(url) as (store, gates):
        gate = gates.before("COMMIT")          # the next COMMIT of this store waits here
        writing = asyncio.create_task(store.end(…))
        await gate.reached()
        …                                      # what others do in between
        gate.open()
        await writing
"""

import asyncio
import contextlib

import asyncpg

from coatcheck.stores import _postgres_connect
from coatcheck.stores.postgres import PostgresStore

PATIENCE_S = 20


class Gate:
    """Holds the first statement that contains a text; ``COMMIT``: that is just this."""

    def __init__(self, text):
        self.text = text
        self._reached, self._open = asyncio.Event(), asyncio.Event()
        self.is_used = False

    async def pass_through(self):
        self.is_used = True
        self._reached.set()
        await self._open.wait()

    async def reached(self):
        """Wait until the statement has come here."""
        await asyncio.wait_for(self._reached.wait(), PATIENCE_S)

    def open(self):
        """Let it go on."""
        self._open.set()


class Gates:
    """All gates of one store; and all statements it ran."""

    def __init__(self):
        self._gates = []
        self.ran = []

    def before(self, text):
        """Return a gate before the next statement that contains *text*."""
        self._gates.append(Gate(text))
        return self._gates[-1]

    async def look(self, statement):
        self.ran.append(statement)
        for gate in self._gates:
            meant = statement == "COMMIT" if gate.text == "COMMIT" else gate.text in statement
            if meant and not gate.is_used:
                await gate.pass_through()


def gated(gates):
    """Return a kind of connection that passes through *gates*."""

    class Gated(_postgres_connect.PlainConnection):
        async def execute(self, query, *args, **kwargs):
            await gates.look(query)
            return await super().execute(query, *args, **kwargs)

        async def fetch(self, query, *args, **kwargs):
            await gates.look(query)
            if self.is_in_transaction() or "set_config('synchronous_commit'" not in query:
                return await super().fetch(query, *args, **kwargs)
            # A transaction by itself: its commit is a step apart here, so that a gate can stand before it.
            await super().execute("BEGIN")
            try:
                rows = await super().fetch(query, *args, **kwargs)
            except asyncpg.PostgresError:
                await super().execute("ROLLBACK")
                raise
            # One that did nothing commits nothing.
            await (self if rows else super()).execute("COMMIT")
            return rows

        async def fetchval(self, query, *args, **kwargs):
            await gates.look(query)
            return await super().fetchval(query, *args, **kwargs)

        async def fetchrow(self, query, *args, **kwargs):
            await gates.look(query)
            return await super().fetchrow(query, *args, **kwargs)

    return Gated


@contextlib.asynccontextmanager
async def opened(url):
    """Give an open store, and its gates."""
    store, gates = PostgresStore(url), Gates()
    store._connector.connection_class = gated(gates)
    await store.open()
    try:
        yield store, gates
    finally:
        for gate in gates._gates:
            gate.open()
        await store.close()


class Others:
    """
    What happens while somebody stands at a gate.

    Args:
        server, url: Where to look for who waits for a lock.
    """

    def __init__(self, watcher, schema):
        self._watcher = watcher
        self._schema = schema

    async def blocked_or_done(self, task):
        """Wait until *task* is done, or waits for a lock in the database; say whether it waits."""
        select = """SELECT count(*) FROM pg_stat_activity
                    WHERE wait_event_type = 'Lock' AND position($1 in query) > 0"""
        async with asyncio.timeout(PATIENCE_S):
            while not task.done():
                if await self._watcher.fetchval(select, self._schema) > 0:
                    return True
                await asyncio.sleep(0.005)
        return False
