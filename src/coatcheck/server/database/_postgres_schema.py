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
LONGEST_MIGRATION_S = 3600
OPENING_S = 40
_LOCK_WAIT_S = 30
_BEGIN = f"""
    BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL statement_timeout = '{LONGEST_MIGRATION_S}s';
    SET LOCAL lock_timeout = '{_LOCK_WAIT_S}s';
    SET LOCAL client_min_messages = warning;
"""

# Not by to_regclass(): that remembers, within a transaction, that there was no such table before the lock was had.
_HAS_TABLE = """
    SELECT EXISTS (
        SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname = $1 AND relname = 'server'
    )
"""


async def version_of(connection: Any, schema: str) -> int:
    """Return the number of the migration that was last made; 0 when there are no tables."""
    if not await connection.fetchval(_HAS_TABLE, schema):
        return 0
    found = await connection.fetchval(f'SELECT schema FROM "{schema}".server')
    return 0 if found is None else int(found)


async def check(connection: Any, schema: str, *, may_be_new: bool) -> None:
    """
    Refuse tables that this version cannot work with. Make them, if there are none.

    Raises:
        StoreUnusable: They are of another version; or there are none and *may_be_new* says that there must be.
    """
    if await connection.fetchval("SHOW server_encoding") != "UTF8":
        remedy = "make one that is: createdb --encoding=UTF8 --template=template0"
        raise StoreUnusable(f"the PostgreSQL database is not in UTF8; {remedy}")
    version = await version_of(connection, schema)
    if version == 0:
        if not may_be_new:
            problem = f"the PostgreSQL database has no accounts of Coatcheck in the schema {schema}"
            raise StoreUnusable(f"{problem}; name the database that the server uses, or start the server first")
        version = (await migrate(connection, schema, only_new=True)).after
    if version < len(MIGRATIONS):
        problem = f"the schema {schema} has version {version}, this version of Coatcheck needs {len(MIGRATIONS)}"
        raise StoreUnusable(f"{problem}; make a copy (pg_dump), then run coatcheck migrate")
    _refuse_newer(version, schema)


def _refuse_newer(version: int, schema: str) -> None:
    if version > len(MIGRATIONS):
        problem = f"the schema {schema} has version {version}, this version of Coatcheck knows {len(MIGRATIONS)}"
        raise StoreUnusable(f"{problem}; upgrade Coatcheck")


async def migrate(connection: Any, schema: str, *, only_new: bool = False) -> Migrated:
    """
    Make or change the tables, in one transaction.

    Args:
        only_new: Leave them as they are, if there are any.
    """
    await connection.execute(_BEGIN)
    await connection.execute("SELECT pg_advisory_xact_lock($1)", lock_of(f"schema {schema}"))
    before = after = await version_of(connection, schema)
    _refuse_newer(before, schema)
    if not (only_new and before):
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema):
            await connection.execute(f'CREATE SCHEMA "{schema}"')
        await connection.execute(f'SET LOCAL search_path TO "{schema}"')
        for script in MIGRATIONS[before:]:
            await connection.execute(script)
        after = len(MIGRATIONS)
        await connection.execute("UPDATE server SET schema = $1", after)
    await connection.execute("COMMIT")
    return Migrated(before, after)


def lock_of(name: str) -> int:
    """Return the number of the advisory lock called *name*: 64 bits that nobody else is likely to use."""
    return int.from_bytes(hashlib.sha256(f"coatcheck server {name}".encode()).digest()[:8], signed=True)
