"""
The tables of the server's database in SQLite. Floor 6; may import: nothing.

A migration is numbered by its place, runs once, and is never changed once it was released.
"""

from __future__ import annotations

MIGRATIONS = (
    """
    CREATE TABLE server (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        schema INTEGER NOT NULL,
        set_up INTEGER NOT NULL      -- 1 from the first account on, for ever
    ) STRICT;
    INSERT INTO server VALUES (1, 0, 0);

    CREATE TABLE users (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        name_key TEXT NOT NULL UNIQUE,
        password TEXT NOT NULL,      -- argon2id, in its own text form
        is_admin INTEGER NOT NULL,
        is_disabled INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        password_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE codes (digest BLOB PRIMARY KEY, ends_at INTEGER NOT NULL, tries INTEGER NOT NULL) STRICT;

    CREATE TABLE duties (
        number INTEGER PRIMARY KEY,
        user TEXT,                   -- NULL: everybody
        ends INTEGER NOT NULL,
        keep TEXT
    ) STRICT;

    CREATE TABLE tries (id INTEGER PRIMARY KEY, bucket TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
    CREATE INDEX tries_bucket ON tries (bucket, at);
    CREATE INDEX tries_at ON tries (at);

    CREATE TABLE audit (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        event TEXT NOT NULL,
        actor TEXT,
        user TEXT,
        sid TEXT,
        ip TEXT,
        user_agent TEXT,
        detail TEXT NOT NULL
    ) STRICT;
    CREATE INDEX audit_at ON audit (at);
    CREATE INDEX audit_event ON audit (event, number);
    CREATE INDEX audit_user ON audit (user, number);
    """,
    """
    CREATE TABLE clients (
        id TEXT PRIMARY KEY,
        secret BLOB,                 -- SHA-256
        audiences TEXT NOT NULL,     -- JSON
        is_browser INTEGER NOT NULL,
        may_sign_in INTEGER NOT NULL,
        is_disabled INTEGER NOT NULL,
        created_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE duties ADD COLUMN client TEXT;  -- whose refresh tokens end, too
    """,
    """
    -- A number is never given again: who is still at an old duty would take away the one that got its number.
    CREATE TABLE duties_to_be (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        user TEXT,                   -- NULL: everybody
        ends INTEGER NOT NULL,
        keep TEXT,
        client TEXT                  -- whose refresh tokens end, too
    ) STRICT;
    INSERT INTO duties_to_be SELECT number, user, ends, keep, client FROM duties;
    DROP TABLE duties;
    ALTER TABLE duties_to_be RENAME TO duties;
    """,
)
