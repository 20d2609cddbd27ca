"""
The tables of a PostgreSQL store, and how they came to be. Floor 2; may import: floor 0.

Rules of this module:

1. A migration is numbered, runs once, in one transaction, and only one at a time: an advisory lock is held.
2. Opening makes the tables where there are none. It never changes those that are there: that is ``coatcheck migrate``.
3. The lease is a setting of the store, the same for all, and changes only while there is no node that holds one.
"""

from __future__ import annotations

import asyncpg

from coatcheck.errors import StoreUnusable
from coatcheck.stores._postgres_lanes import Connection, Lane
from coatcheck.stores._postgres_nodes import Whereabouts
from coatcheck.stores.base import check_lease

MIGRATIONS = (
    """
    -- One row each. What seldom changes, and every read looks at, is apart from what every revocation changes.
    CREATE TABLE {s}.meta (
        one boolean PRIMARY KEY CHECK (one),
        epoch bigint NOT NULL,             -- rises with each end of everyone's sessions, and each failover
        bar bigint NOT NULL,               -- sessions of epochs below this one were ended with everyone's
        lease_s double precision NOT NULL,
        system text,                       -- where the log was last: system identifier and timeline of the server;
        timeline text                      -- null: the server does not say
    );
    INSERT INTO {s}.meta VALUES (true, 1, 1, 2.0, {system}, {timeline});
    CREATE TABLE {s}.log (
        one boolean PRIMARY KEY CHECK (one),
        head bigint NOT NULL,              -- newest position of the log
        trimmed bigint NOT NULL            -- positions up to this one are no longer in the log
    ) WITH (fillfactor = 10);
    INSERT INTO {s}.log VALUES (true, 0, 0);

    CREATE TABLE {s}.sessions (
        sid text PRIMARY KEY,
        id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,  -- the order of making; locks are taken in this order
        digest bytea NOT NULL UNIQUE,
        sub text,
        claims bytea NOT NULL,
        amr text NOT NULL,
        created_at bigint NOT NULL,
        auth_time bigint,
        seen_at bigint NOT NULL,
        expires_at bigint NOT NULL,
        idle_s bigint NOT NULL,
        persistent boolean NOT NULL,
        ip text,
        user_agent text,
        version bigint NOT NULL,
        data bytea NOT NULL,
        epoch bigint NOT NULL              -- in which it was made
    );
    CREATE INDEX sessions_sub ON {s}.sessions (sub, id) WHERE sub IS NOT NULL;
    CREATE INDEX sessions_dies_at ON {s}.sessions (least(expires_at, seen_at + idle_s));
    CREATE INDEX sessions_epoch ON {s}.sessions (epoch);

    CREATE TABLE {s}.ended (
        digest bytea PRIMARY KEY,
        sid text NOT NULL,
        sub text,
        reason text NOT NULL,
        note text NOT NULL,
        forget_after bigint NOT NULL
    );
    CREATE INDEX ended_sid ON {s}.ended (sid);
    CREATE INDEX ended_forget_after ON {s}.ended (forget_after);

    CREATE TABLE {s}.subjects (sub text PRIMARY KEY, generation bigint NOT NULL);

    CREATE TABLE {s}.changes (
        position bigint PRIMARY KEY,
        kind text NOT NULL,
        sid text,
        version bigint NOT NULL,
        at bigint NOT NULL,
        forget_after bigint NOT NULL
    );

    CREATE TABLE {s}.keys (
        kid text PRIMARY KEY,
        number bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
        alg text NOT NULL,
        public bytea NOT NULL,             -- JWK
        sealed bytea NOT NULL,             -- the private half, encrypted under the secret
        epoch bigint NOT NULL,
        published_at bigint NOT NULL,
        signs_from bigint NOT NULL,
        seal_id text NOT NULL              -- which value of the secret seals it; empty: not known
    );

    -- Values of the secret that make, or made, keys and refresh tokens, by ids from which they cannot be found.
    CREATE TABLE {s}.secrets (id text PRIMARY KEY, is_lost boolean NOT NULL);

    CREATE TABLE {s}.families (
        id bytea PRIMARY KEY,
        sid text NOT NULL,
        client_id text NOT NULL,
        audiences text NOT NULL,
        generation bigint NOT NULL,
        nonce bytea NOT NULL,
        key_id text NOT NULL,
        rotated_at bigint NOT NULL,
        expires_at bigint NOT NULL,
        owns_session boolean NOT NULL
    );
    CREATE INDEX families_client_id ON {s}.families (client_id);
    CREATE INDEX families_expires_at ON {s}.families (expires_at);

    CREATE TABLE {s}.nodes (
        id text PRIMARY KEY,
        label text NOT NULL,
        beat bigint NOT NULL,
        applied bigint NOT NULL,
        epoch bigint NOT NULL
    ) WITH (fillfactor = 50);
    """,
)


async def version_of(connection: Connection, schema: str) -> int:
    """
    Return how many migrations the tables in *schema* have seen; 0 where there are none.

    Raises:
        StoreUnusable: More than this version of Coatcheck knows.
    """
    # Read, and not looked up by to_regclass(), which may remember that there was none.
    named = "SELECT 1 FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE relname = 'migrations'"
    if not await connection.fetchval(f"{named} AND nspname = $1", schema):
        return 0
    done = int(await connection.fetchval(f"SELECT coalesce(max(number), 0) FROM {schema}.migrations"))
    if done > len(MIGRATIONS):
        problem = f"the schema {schema} has seen {done} migrations, this version of Coatcheck knows {len(MIGRATIONS)}"
        raise StoreUnusable(f"PostgreSQL: {problem}; upgrade Coatcheck")
    return done


async def check(lane: Lane, schema: str, whereabouts: Whereabouts) -> None:
    """
    Make sure that the tables are there and are this version's; make them where there are none at all.

    Raises:
        StoreUnusable: They are older or newer, or may not be made.
    """
    done = await lane.read(lambda connection: version_of(connection, schema))
    if done == 0:
        done = (
            await lane.write(lambda connection: bring_up(connection, schema, whereabouts, make_only=True), again=True)
        )[1]
    if done < len(MIGRATIONS):
        problem = f"the schema {schema} is an earlier version's ({done} of {len(MIGRATIONS)} migrations)"
        raise StoreUnusable(f"PostgreSQL: {problem}; run: coatcheck migrate")


async def bring_up(
    connection: Connection, schema: str, whereabouts: Whereabouts, *, make_only: bool
) -> tuple[int, int]:
    """
    Run the migrations that are missing; return how many there were before and are now.

    Args:
        make_only: Do nothing where some have run already.
    """
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"coatcheck migrate {schema}")
    done = await version_of(connection, schema)
    if done == len(MIGRATIONS) or (done and make_only):
        return done, done
    try:
        if not await connection.fetchval("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)", schema):
            await connection.execute(f"CREATE SCHEMA {schema}")
        if not done:
            await connection.execute(f"CREATE TABLE {schema}.migrations (number integer PRIMARY KEY, at timestamptz)")
        for number, script in enumerate(MIGRATIONS[done:], done + 1):
            await connection.execute(script.format(s=schema, system=whereabouts.system, timeline=whereabouts.timeline))
            await connection.execute(f"INSERT INTO {schema}.migrations VALUES ($1, now())", number)
    except asyncpg.InsufficientPrivilegeError:
        remedy = "GRANT CREATE ON DATABASE … TO …, or run coatcheck migrate with a role that may"
        raise StoreUnusable(f"PostgreSQL: the role may not make the tables of {schema}; {remedy}") from None
    except asyncpg.DuplicateTableError:
        problem = f"the schema {schema} holds tables of another program"
        raise StoreUnusable(f"PostgreSQL: {problem}; name another schema in the URL: ?schema=…") from None
    return done, len(MIGRATIONS)


async def set_lease(connection: Connection, schema: str, lease_s: float) -> None:
    """
    Change the lease.

    Raises:
        StoreUnusable: Somebody holds one of the length that it has now. ConfigError: it is no sensible length.
    """
    check_lease(lease_s)
    # Locked first, and looked at in a statement of its own: a join holds this row, too, until its own is to be seen.
    now_s = await connection.fetchval(f"SELECT lease_s FROM {schema}.meta FOR UPDATE")
    if now_s == lease_s:
        return
    if count := await connection.fetchval(f"SELECT count(*) FROM {schema}.nodes"):
        problem = f"{count} nodes hold leases of {now_s:g} s"
        raise StoreUnusable(f"PostgreSQL: {problem}; stop all servers first, then change the lease")
    await connection.execute(f"UPDATE {schema}.meta SET lease_s = $1", lease_s)
