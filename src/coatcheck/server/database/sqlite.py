"""
The server's database in one SQLite file; it may be the file of the sessions. Floor 6; may import: floors 0 to 2.

Rules of this module:

1. One connection, used by one thread alone; each method is one step there, inside ``BEGIN IMMEDIATE``.
2. A step depends on nothing but the database and its arguments.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import apsw

from coatcheck.errors import NotOpen, StoreUnusable
from coatcheck.records import Device
from coatcheck.server.database.base import (
    Bucket,
    Changed,
    Client,
    Duty,
    Entry,
    Event,
    Outcome,
    Table,
    User,
    subject_of,
)
from coatcheck.server.names import name_key
from coatcheck.stores import _sqlite_file as file
from coatcheck.stores import _sqlite_here as here

T = TypeVar("T")

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
)
_USER = "id, name, is_admin, is_disabled, created_at, password_at"
_ENTRY = "number, at, event, actor, user, sid, ip, user_agent, detail"
_KEPT = ("users", "audit")  # what a backup holds
LONGEST_SPAN_S = 3600


class _NobodyLeft(Exception):
    """No administrator would be left: the transaction is rolled back."""


class SQLiteDatabase:
    """
    See :class:`coatcheck.server.database.base.Database`.

    Args:
        name: The file.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: ThreadPoolExecutor | None = None

    def __repr__(self) -> str:
        return f"SQLiteDatabase({self._name!r})"

    async def open(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="coatcheck-database")
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        except BaseException:
            self._thread.shutdown(wait=False)
            self._thread = None
            raise

    def _open(self) -> None:
        path = Path(os.path.realpath(self._name))
        with here.one_at_a_time():
            here.check_not_inherited(path)
            file.prepare(path, is_open_here=here.is_open(path))
            try:
                self._connection = file.connect(path, wait=True)
                try:
                    file.make_ours(self._connection, path)
                    self._transaction(self._migrate)
                except BaseException:
                    self._connection.close()
                    raise
            except apsw.Error as error:
                raise file.unavailable(error) from None
            self._file = here.note_open(path)

    def _migrate(self) -> None:
        tables = self._do("SELECT 1 FROM sqlite_schema WHERE name = 'server'").get
        done = self._do("SELECT schema FROM server").get if tables else 0
        if done > len(MIGRATIONS):
            problem = f"{self._name} has server schema {done}, this version of Coatcheck knows {len(MIGRATIONS)}"
            raise StoreUnusable(f"{problem}; upgrade Coatcheck")
        for script in MIGRATIONS[done:]:
            self._do(script)
        self._do("UPDATE server SET schema = ?", (len(MIGRATIONS),))

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._close)
            thread.shutdown()

    def _close(self) -> None:
        with here.one_at_a_time():
            self._connection.close()
            here.note_closed(self._file)

    # --- set-up ---

    async def is_set_up(self) -> bool:
        return await self._run(lambda: bool(self._do("SELECT set_up FROM server").get))

    async def add_code(self, digest: bytes, *, ends_at: int, tries: int) -> None:
        await self._run(lambda: self._do("INSERT OR REPLACE INTO codes VALUES (?, ?, ?)", (digest, ends_at, tries)))

    async def check_code(self, digest: bytes, *, now: int) -> Outcome | None:
        return await self._run(lambda: self._check_code(digest, now))

    def _check_code(self, digest: bytes, now: int) -> Outcome | None:
        if self._do("SELECT set_up FROM server").get:
            return Outcome.SET_UP_ALREADY
        # By the hash of what was sent: how long the search takes tells nothing about a code.
        if self._do("SELECT 1 FROM codes WHERE digest = ? AND ends_at > ? AND tries > 0", (digest, now)).get:
            return None
        self._do("UPDATE codes SET tries = tries - 1 WHERE tries > 0")
        return Outcome.WRONG_CODE

    async def set_up(self, digest: bytes, user: User, password: str, *, now: int) -> Outcome | None:
        def step() -> Outcome | None:
            return self._check_code(digest, now) or self._add_user(user, password)

        return await self._run(step)

    # --- accounts ---

    async def add_user(self, user: User, password: str) -> Outcome | None:
        return await self._run(lambda: self._add_user(user, password))

    def _add_user(self, user: User, password: str) -> Outcome | None:
        key = name_key(user.name)
        if self._do("SELECT 1 FROM users WHERE name_key = ?", (key,)).get:
            return Outcome.NAME_TAKEN
        flags = (int(user.is_admin), int(user.is_disabled))
        row = (user.id, user.name, key, password, *flags, user.created_at, user.password_at)
        self._do("INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        self._do("UPDATE server SET set_up = 1")
        self._do("DELETE FROM codes")
        return None

    async def user(self, ident: str) -> tuple[User, str] | None:
        def step() -> tuple[User, str] | None:
            row = self._do(f"SELECT {_USER}, password FROM users WHERE id = ?", (ident,)).fetchone()
            return None if row is None else (_user(row), row[-1])

        return await self._run(step)

    async def user_named(self, name: str) -> User | None:
        def step() -> User | None:
            row = self._do(f"SELECT {_USER} FROM users WHERE name_key = ?", (name_key(name),)).fetchone()
            return None if row is None else _user(row)

        return await self._run(step)

    async def users(self, *, like: str = "", after: str = "", limit: int) -> list[User]:
        select = f"""SELECT {_USER} FROM users WHERE name_key > ? AND instr(name_key, ?) > 0
                     ORDER BY name_key LIMIT ?"""
        values = (name_key(after), name_key(like), limit)
        return await self._run(lambda: [_user(row) for row in self._do(select, values).fetchall()])

    async def names_of(self, idents: Sequence[str]) -> dict[str, str]:
        select = "SELECT id, name FROM users WHERE id IN (SELECT value FROM json_each(?))"
        return await self._run(lambda: dict(self._do(select, (json.dumps(list(idents)),)).fetchall()))

    async def change_user(
        self, ident: str, *, is_admin: bool | None = None, is_disabled: bool | None = None
    ) -> Changed | Outcome:
        def step() -> Changed | Outcome:
            user = self._user(ident)
            if user is None:
                return Outcome.UNKNOWN
            admin = user.is_admin if is_admin is None else is_admin
            disabled = user.is_disabled if is_disabled is None else is_disabled
            others = "SELECT 1 FROM users WHERE is_admin AND NOT is_disabled AND id <> ?"
            if user.is_admin and not user.is_disabled and not (admin and not disabled):
                if not self._do(others, (ident,)).get:
                    return Outcome.LAST_ADMIN
            self._do("UPDATE users SET is_admin = ?, is_disabled = ? WHERE id = ?", (int(admin), int(disabled), ident))
            return self._changed(user, ends=disabled, keep=None)

        return await self._run(step)

    async def set_password(
        self, ident: str, password: str, *, now: int, expected: str | None = None, keep: str | None = None
    ) -> Changed | Outcome:
        def step() -> Changed | Outcome:
            user = self._user(ident)
            if user is None:
                return Outcome.UNKNOWN
            known = self._do("SELECT password FROM users WHERE id = ?", (ident,)).get
            if expected is not None and known != expected:
                return Outcome.CHANGED_MEANWHILE
            self._do("UPDATE users SET password = ?, password_at = ? WHERE id = ?", (password, now, ident))
            return self._changed(user, ends=True, keep=keep)

        return await self._run(step)

    async def rehash(self, ident: str, password: str, *, expected: str) -> None:
        update = "UPDATE users SET password = ? WHERE id = ? AND password = ?"
        await self._run(lambda: self._do(update, (password, ident, expected)))

    async def duties(self) -> list[Duty]:
        def step() -> list[Duty]:
            rows = self._do("SELECT number, user, ends, keep, client FROM duties ORDER BY number").fetchall()
            return [
                Duty(number=number, user=user, ends=bool(ends), keep=keep, client=client)
                for number, user, ends, keep, client in rows
            ]

        return await self._run(step)

    async def is_due(self, number: int) -> bool:
        return await self._run(lambda: bool(self._do("SELECT 1 FROM duties WHERE number = ?", (number,)).get))

    async def done(self, number: int) -> None:
        await self._run(lambda: self._do("DELETE FROM duties WHERE number = ?", (number,)))

    def _user(self, ident: str) -> User | None:
        row = self._do(f"SELECT {_USER} FROM users WHERE id = ?", (ident,)).fetchone()
        return None if row is None else _user(row)

    def _changed(self, before: User, *, ends: bool, keep: str | None) -> Changed:
        user = self._user(before.id)
        if user is None:
            raise AssertionError("the account was there a moment ago, under the same lock")
        return Changed(user, before, self._leave_duty(user.id, ends=ends, keep=keep))

    def _leave_duty(self, user: str | None, *, ends: bool, keep: str | None = None, client: str | None = None) -> Duty:
        self._do("INSERT INTO duties (user, ends, keep, client) VALUES (?, ?, ?, ?)", (user, int(ends), keep, client))
        number = self._connection.last_insert_rowid()
        return Duty(number=number, user=user, ends=ends, keep=keep, client=client)

    # --- clients ---

    async def add_client(self, client: Client) -> Outcome | None:
        def step() -> Outcome | None:
            if self._do("SELECT 1 FROM clients WHERE id = ?", (client.id,)).get:
                return Outcome.NAME_TAKEN
            flags = (int(client.is_browser), int(client.may_sign_in), int(client.is_disabled))
            row = (client.id, client.secret, json.dumps(client.audiences), *flags, client.created_at)
            self._do("INSERT INTO clients VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            return None

        return await self._run(step)

    async def client(self, ident: str) -> Client | None:
        def step() -> Client | None:
            row = self._do("SELECT * FROM clients WHERE id = ?", (ident,)).fetchone()
            return None if row is None else _client(row)

        return await self._run(step)

    async def clients(self) -> list[Client]:
        return await self._run(
            lambda: [_client(row) for row in self._do("SELECT * FROM clients ORDER BY id").fetchall()]
        )

    async def set_client_secret(self, ident: str, secret: bytes) -> Outcome | None:
        update = "UPDATE clients SET secret = ? WHERE id = ? RETURNING 1"
        found = await self._run(lambda: self._do(update, (secret, ident)).get)
        return None if found else Outcome.UNKNOWN

    async def disable_client(self, ident: str) -> Duty | Outcome:
        def step() -> Duty | Outcome:
            if not self._do("UPDATE clients SET is_disabled = 1 WHERE id = ? RETURNING 1", (ident,)).get:
                return Outcome.UNKNOWN
            # With a user: a process that does not know of clients' duties must not take it for everybody's.
            return self._leave_duty(subject_of(ident), ends=True, client=ident)

        return await self._run(step)

    # --- limits ---

    async def begin_try(self, buckets: Sequence[Bucket], *, now: int) -> int:
        def step() -> int:
            wait = max((self._wait(bucket, now) for bucket in buckets), default=0)
            if wait <= 0:
                self._connection.executemany(
                    "INSERT INTO tries (bucket, at) VALUES (?, ?)", [(bucket.key, now) for bucket in buckets]
                )
            return max(0, wait)

        return await self._run(step)

    def _wait(self, bucket: Bucket, now: int) -> int:
        select = "SELECT count(*), max(at) FROM tries WHERE bucket = ? AND at > ?"
        count, last = self._do(select, (bucket.key, now - bucket.span_s)).fetchone()
        # Never above the pace, whatever a clock that was set back makes of *last*.
        return 0 if count < bucket.free else min(last + bucket.pace_s - now, bucket.pace_s)

    async def forgive(self, buckets: Sequence[Bucket], *, now: int) -> None:
        delete = "DELETE FROM tries WHERE id = (SELECT id FROM tries WHERE bucket = ? AND at = ? LIMIT 1)"
        await self._run(lambda: self._connection.executemany(delete, [(bucket.key, now) for bucket in buckets]))

    # --- audit ---

    async def note(self, entry: Entry, *, most_per_minute: int | None = None) -> None:
        await self._run(lambda: self._note(entry, most_per_minute))

    def _note(self, entry: Entry, most_per_minute: int | None) -> None:
        if most_per_minute is not None:
            recent = (
                "SELECT count(*) FROM (SELECT at FROM audit WHERE event = ? ORDER BY number DESC LIMIT ?) WHERE at > ?"
            )
            if self._do(recent, (entry.event.value, most_per_minute, entry.at - 60)).get >= most_per_minute:
                return self._suppress(entry)
        self._insert(entry)

    def _suppress(self, entry: Entry) -> None:
        select = "SELECT number, detail FROM audit WHERE event = 'suppressed' AND at > ? ORDER BY number DESC"
        for number, text in self._do(select, (entry.at - 60,)).fetchall():
            detail = json.loads(text)
            if detail.get("event") == entry.event.value:
                detail["count"] += 1
                self._do("UPDATE audit SET detail = ? WHERE number = ?", (json.dumps(detail), number))
                return
        detail = {"event": entry.event.value, "count": 1}
        self._insert(Entry(at=entry.at, event=Event.SUPPRESSED, detail=detail))

    def _insert(self, entry: Entry) -> None:
        row = (
            entry.at,
            entry.event.value,
            entry.actor,
            entry.user,
            entry.sid,
            entry.device.ip,
            entry.device.user_agent,
        )
        self._do(
            "INSERT INTO audit (at, event, actor, user, sid, ip, user_agent, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, json.dumps(dict(entry.detail))),
        )

    async def trail(
        self, *, events: Sequence[Event] = (), user: str | None = None, before: int | None = None, limit: int
    ) -> list[Entry]:
        select = f"""SELECT {_ENTRY} FROM audit
                     WHERE (?1 = '[]' OR event IN (SELECT value FROM json_each(?1)))
                       AND (?2 IS NULL OR user = ?2 OR actor = ?2) AND (?3 IS NULL OR number < ?3)
                     ORDER BY number DESC LIMIT ?4"""
        values = (json.dumps([event.value for event in events]), user, before, limit)
        return await self._run(lambda: [_entry(row) for row in self._do(select, values).fetchall()])

    # --- upkeep ---

    async def sweep(self, *, now: int, audit_s: int, limit: int) -> int:
        def step() -> int:
            gone = 0
            for table, key, where, at in (
                ("tries", "id", "at <= ?", now - LONGEST_SPAN_S),
                ("codes", "digest", "ends_at <= ?", now),
                ("audit", "number", "at <= ?", now - audit_s),
            ):
                chosen = f"SELECT {key} FROM {table} WHERE {where} LIMIT ?"
                self._do(f"DELETE FROM {table} WHERE {key} IN ({chosen})", (at, limit))
                gone += self._connection.changes()
            return gone

        return await self._run(step)

    async def export(self) -> list[Table]:
        def step() -> list[Table]:
            return [
                Table(name, columns, self._do(f"SELECT {', '.join(columns)} FROM {name}").fetchall())
                for name, columns in ((name, self._columns(name)) for name in _KEPT)
            ]

        return await self._run(step)

    async def replace(self, tables: Sequence[Table], *, as_it_was: bool = False) -> Outcome | None:
        def step() -> None:
            self._do("CREATE TEMP TABLE before AS SELECT * FROM users")  # a rollback takes it away, too
            self._fill(tables)
            if not as_it_was:
                self._keep_stricter()
            self._do("DROP TABLE temp.before")
            self._leave_duty(None, ends=True)

        try:
            await self._run(step)
        except _NobodyLeft:
            return Outcome.LAST_ADMIN
        return None

    def _columns(self, table: str) -> tuple[str, ...]:
        return tuple(name for (name,) in self._do("SELECT name FROM pragma_table_info(?)", (table,)))

    def _fill(self, tables: Sequence[Table]) -> None:
        for name in ("users", "codes", "duties", "tries", "audit"):
            self._do(f"DELETE FROM {name}")
        for table in tables:
            # Names become part of a statement, so only names that the schema has get there.
            if table.name not in _KEPT or not set(table.columns) <= set(self._columns(table.name)):
                raise StoreUnusable(f"the backup holds {table.name[:64]!a} in a form that this version does not know")
            marks = ", ".join("?" * len(table.columns))
            insert = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks})"
            try:
                self._connection.executemany(insert, table.rows)
            except (apsw.ConstraintError, apsw.MismatchError):
                raise StoreUnusable(f"the backup holds rows of {table.name} that do not fit") from None
        self._do("UPDATE server SET set_up = EXISTS (SELECT 1 FROM users)")

    def _keep_stricter(self) -> None:
        admins = "SELECT 1 FROM users WHERE is_admin AND NOT is_disabled"
        had_admin = self._do(admins).get
        self._do(
            """UPDATE users SET
                   is_admin = min(users.is_admin, before.is_admin),
                   is_disabled = max(users.is_disabled, before.is_disabled),
                   password = iif(before.password_at > users.password_at, before.password, users.password),
                   password_at = max(before.password_at, users.password_at)
               FROM temp.before WHERE before.id = users.id"""
        )
        if had_admin and not self._do(admins).get:
            raise _NobodyLeft

    # --- parts ---

    async def _run(self, step: Callable[[], T]) -> T:
        if self._thread is None:
            raise NotOpen("the database is not open")
        # Shielded: a caller that goes away does not leave a step half awaited, and a write is never in doubt.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, step))

    def _transaction(self, step: Callable[[], T]) -> T:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                result = step()
                self._connection.execute("COMMIT")
            except BaseException:
                if not self._connection.get_autocommit():
                    self._connection.execute("ROLLBACK")
                raise
        except apsw.Error as error:
            raise file.unavailable(error) from None
        return result

    def _do(self, statement: str, values: Sequence[Any] = ()) -> Any:
        # Rows are of our own making, so their types are known; the driver's stubs cannot know them.
        return self._connection.execute(statement, tuple(values))


def _user(row: Sequence[Any]) -> User:
    ident, name, is_admin, is_disabled, created_at, password_at = row[:6]
    return User(
        id=ident,
        name=name,
        is_admin=bool(is_admin),
        is_disabled=bool(is_disabled),
        created_at=created_at,
        password_at=password_at,
    )


def _client(row: Sequence[Any]) -> Client:
    ident, secret, audiences, is_browser, may_sign_in, is_disabled, created_at = row
    return Client(
        id=ident,
        secret=secret,
        audiences=tuple(json.loads(audiences)),
        is_browser=bool(is_browser),
        may_sign_in=bool(may_sign_in),
        is_disabled=bool(is_disabled),
        created_at=created_at,
    )


def _entry(row: Sequence[Any]) -> Entry:
    number, at, event, actor, user, sid, ip, agent, detail = row
    return Entry(
        number=number,
        at=at,
        event=Event(event),
        actor=actor,
        user=user,
        sid=sid,
        device=Device(ip=ip, user_agent=agent),
        detail=json.loads(detail),
    )
