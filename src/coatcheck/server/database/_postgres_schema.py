"""
The tables of the server's database in PostgreSQL, and who makes them. Floor 6; may import: floors 0 to 2.

Rules of this module:

1. A migration is numbered by its place, runs once, in one transaction, under a lock that all processes share; it is
   never changed once it was released.
2. Where there is nothing, the tables are made. Where there are older ones, they are changed by ``coatcheck migrate``
   alone: never because a process of a new version happened to be started.
3. Times are whole seconds UTC. Text is ordered by code points, whatever the database's own order is.
"""

from __future__ import annotations

import hashlib
from typing import Any

from coatcheck.errors import StoreUnusable
from coatcheck.server.database.base import Migrated
from coatcheck.stores._postgres_lanes import Lane

MIGRATIONS = (
    """
    CREATE TABLE server (
        one boolean PRIMARY KEY CHECK (one),
        schema integer NOT NULL,
        set_up boolean NOT NULL      -- true from the first account on, for ever
    );
    INSERT INTO server VALUES (true, 0, false);

    CREATE TABLE users (
        id text COLLATE "C" PRIMARY KEY,
        name text NOT NULL,
        name_key text COLLATE "C" NOT NULL UNIQUE,
        password text NOT NULL,      -- argon2id, in its own text form
        is_admin boolean NOT NULL,
        is_disabled boolean NOT NULL,
        created_at bigint NOT NULL,
        password_at bigint NOT NULL
    );

    CREATE TABLE codes (digest bytea PRIMARY KEY, ends_at bigint NOT NULL, tries integer NOT NULL);

    CREATE TABLE duties (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        account text COLLATE "C",    -- NULL: everybody
        ends boolean NOT NULL,
        keep text COLLATE "C",
        client text COLLATE "C"      -- whose refresh tokens end, too
    );

    CREATE TABLE clients (
        id text COLLATE "C" PRIMARY KEY,
        secret bytea,                -- SHA-256
        audiences text NOT NULL,     -- JSON
        is_browser boolean NOT NULL,
        may_sign_in boolean NOT NULL,
        is_disabled boolean NOT NULL,
        created_at bigint NOT NULL
    );

    CREATE TABLE tries (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        bucket text COLLATE "C" NOT NULL,
        at bigint NOT NULL
    );
    CREATE INDEX tries_bucket ON tries (bucket, at);
    CREATE INDEX tries_at ON tries (at);

    -- A sequence would number by the beginning of a transaction, and leave gaps; a trail must have none.
    CREATE TABLE audit_head (one boolean PRIMARY KEY CHECK (one), number bigint NOT NULL);
    INSERT INTO audit_head VALUES (true, 0);

    CREATE TABLE audit (
        number bigint PRIMARY KEY,
        at bigint NOT NULL,
        event text COLLATE "C" NOT NULL,
        actor text COLLATE "C",
        account text COLLATE "C",
        sid text COLLATE "C",
        ip text COLLATE "C",
        user_agent text COLLATE "C",
        detail text NOT NULL         -- JSON
    );
    CREATE INDEX audit_at ON audit (at);
    CREATE INDEX audit_event ON audit (event, number);
    CREATE INDEX audit_account ON audit (account, number) WHERE account IS NOT NULL;
    CREATE INDEX audit_actor ON audit (actor, number) WHERE actor IS NOT NULL;
    """,
)

OPENING_S = 30.0
LONGEST_MIGRATION_S = 3600.0

# Not by to_regclass(): that remembers, within a transaction, that there was no such table before the lock was had.
_HAS_TABLE = """
    SELECT EXISTS (
        SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname = $1 AND relname = 'server'
    )
"""


async def version_of(connection: Any, schema: str) -> int:
    """
    Return the number of the migration that was last made; 0 when there are no tables.

    Raises:
        StoreUnusable: It is one that this version of Coatcheck does not know.
    """
    if not await connection.fetchval(_HAS_TABLE, schema):
        return 0
    found = int(await connection.fetchval(f'SELECT schema FROM "{schema}".server'))
    if found > len(MIGRATIONS):
        problem = f"the schema {schema} has version {found}, this version of Coatcheck knows {len(MIGRATIONS)}"
        raise StoreUnusable(f"PostgreSQL: {problem}; upgrade Coatcheck")
    return found


async def check(lane: Lane, schema: str, *, may_be_new: bool) -> None:
    """
    Refuse tables that this version cannot work with. Make them, if there are none.

    Raises:
        StoreUnusable: They are of another version; or there are none and *may_be_new* says that there must be.
    """
    if await lane.read(lambda connection: connection.fetchval("SHOW server_encoding")) != "UTF8":
        remedy = "make one that is: createdb --encoding=UTF8 --template=template0"
        raise StoreUnusable(f"PostgreSQL: the database is not in UTF8; {remedy}")
    version = await lane.read(lambda connection: version_of(connection, schema))
    if version == 0:
        if not may_be_new:
            problem = f"there are no accounts of Coatcheck in the schema {schema}"
            raise StoreUnusable(f"PostgreSQL: {problem}; name the database that the server uses")
        version = (await bring_up(lane, schema, only_new=True)).after
    if version < len(MIGRATIONS):
        problem = f"the schema {schema} has version {version}, this version of Coatcheck needs {len(MIGRATIONS)}"
        raise StoreUnusable(f"PostgreSQL: {problem}; make a copy (pg_dump), then run coatcheck migrate")


async def bring_up(lane: Lane, schema: str, *, only_new: bool = False) -> Migrated:
    """
    Make or change the tables, in one transaction.

    Args:
        only_new: Leave them as they are, if there are any.
    """

    async def step(connection: Any) -> Migrated:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", lock_of(f"schema {schema}"))
        before = await version_of(connection, schema)
        if only_new and before:
            return Migrated(before, before)
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema):
            await connection.execute(f'CREATE SCHEMA "{schema}"')
        await connection.execute(f'SET LOCAL search_path TO "{schema}"')
        for script in MIGRATIONS[before:]:
            await connection.execute(script)
        await connection.execute("UPDATE server SET schema = $1", len(MIGRATIONS))
        return Migrated(before, len(MIGRATIONS))

    return await lane.write(step, again=True)


def lock_of(name: str) -> int:
    """Return the number of the advisory lock called *name*: 64 bits that nobody else is likely to use."""
    return int.from_bytes(hashlib.sha256(f"coatcheck server {name}".encode()).digest()[:8], signed=True)
