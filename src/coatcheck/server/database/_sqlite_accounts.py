"""
Accounts in SQLite, with the set-up that makes the first and the duties that changes leave. Floor 6; may import: floors
0 to 2.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from coatcheck.server.database._rows import USER, duty_of, user_of
from coatcheck.server.database._sqlite_steps import Steps
from coatcheck.server.database.base import Changed, Duty, Outcome, User
from coatcheck.server.names import name_key


class AccountSteps(Steps):
    """See :class:`coatcheck.server.database.base.Database`."""

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
            row = self._do(f"SELECT {USER}, password FROM users WHERE id = ?", (ident,)).fetchone()
            return None if row is None else (user_of(row), row[-1])

        return await self._run(step)

    async def user_named(self, name: str) -> User | None:
        def step() -> User | None:
            row = self._do(f"SELECT {USER} FROM users WHERE name_key = ?", (name_key(name),)).fetchone()
            return None if row is None else user_of(row)

        return await self._run(step)

    async def users(self, *, like: str = "", after: str = "", limit: int) -> list[User]:
        select = f"""SELECT {USER} FROM users WHERE name_key > ? AND instr(name_key, ?) > 0
                     ORDER BY name_key LIMIT ?"""
        values = (name_key(after), name_key(like), limit)
        return await self._run(lambda: [user_of(row) for row in self._do(select, values).fetchall()])

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
        select = "SELECT number, user, ends, keep, client FROM duties ORDER BY number"
        return await self._run(lambda: [duty_of(row) for row in self._do(select).fetchall()])

    async def is_due(self, number: int) -> bool:
        return await self._run(lambda: bool(self._do("SELECT 1 FROM duties WHERE number = ?", (number,)).get))

    async def done(self, number: int) -> None:
        await self._run(lambda: self._do("DELETE FROM duties WHERE number = ?", (number,)))

    def _user(self, ident: str) -> User | None:
        row = self._do(f"SELECT {USER} FROM users WHERE id = ?", (ident,)).fetchone()
        return None if row is None else user_of(row)

    def _changed(self, before: User, *, ends: bool, keep: str | None) -> Changed:
        user = self._user(before.id)
        if user is None:
            raise AssertionError("the account was there a moment ago, under the same lock")
        return Changed(user, before, self._leave_duty(user.id, ends=ends, keep=keep))
