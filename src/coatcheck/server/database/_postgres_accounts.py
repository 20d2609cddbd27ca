"""
Accounts in PostgreSQL, with the set-up that makes the first and the duties that changes leave. Floor 6; may import:
floors 0 to 2.

Whoever changes accounts or tries a code first locks the one row of ``server`` (:meth:`Steps._lock`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coatcheck.server.database._postgres_steps import DUTY, Steps, is_nowhere
from coatcheck.server.database._rows import USER, duty_of, user_of
from coatcheck.server.database.base import Changed, Duty, Outcome, User
from coatcheck.server.names import name_key


class AccountSteps(Steps):
    """See :class:`coatcheck.server.database.base.Database`."""

    # --- set-up ---

    async def is_set_up(self) -> bool:
        row = await self._one(f"SELECT set_up FROM {self.s}.server")
        return bool(row[0])

    async def add_code(self, digest: bytes, *, ends_at: int, tries: int) -> None:
        insert = f"""INSERT INTO {self.s}.codes VALUES ($1, $2, $3)
                     ON CONFLICT (digest) DO UPDATE SET ends_at = excluded.ends_at, tries = excluded.tries"""
        await self._do(insert, digest, ends_at, tries)

    async def check_code(self, digest: bytes, *, now: int) -> Outcome | None:
        return await self._link.write(lambda connection: self._check_code(connection, digest, now))

    async def _check_code(self, connection: Any, digest: bytes, now: int) -> Outcome | None:
        if await self._lock(connection):
            return Outcome.SET_UP_ALREADY
        # By the hash of what was sent: how long the search takes tells nothing about a code.
        select = f"SELECT 1 FROM {self.s}.codes WHERE digest = $1 AND ends_at > $2 AND tries > 0"
        if await connection.fetchval(select, digest, now):
            return None
        await connection.execute(f"UPDATE {self.s}.codes SET tries = tries - 1 WHERE tries > 0")
        return Outcome.WRONG_CODE

    async def set_up(self, digest: bytes, user: User, password: str, *, now: int) -> Outcome | None:
        async def step(connection: Any) -> Outcome | None:
            refusal = await self._check_code(connection, digest, now)
            return refusal or await self._add_user(connection, user, password)

        return await self._link.write(step)

    # --- accounts ---

    async def add_user(self, user: User, password: str) -> Outcome | None:
        async def step(connection: Any) -> Outcome | None:
            await self._lock(connection)
            return await self._add_user(connection, user, password)

        return await self._link.write(step)

    async def _add_user(self, connection: Any, user: User, password: str) -> Outcome | None:
        insert = f"""INSERT INTO {self.s}.users VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                     ON CONFLICT (name_key) DO NOTHING RETURNING 1"""
        row = (user.id, user.name, name_key(user.name), password, user.is_admin, user.is_disabled)
        if not await connection.fetchval(insert, *row, user.created_at, user.password_at):
            return Outcome.NAME_TAKEN
        await connection.execute(f"UPDATE {self.s}.server SET set_up = true")
        await connection.execute(f"DELETE FROM {self.s}.codes")
        return None

    async def user(self, ident: str) -> tuple[User, str] | None:
        if is_nowhere(ident):
            return None
        row = await self._one(f"SELECT {USER}, password FROM {self.s}.users WHERE id = $1", ident)
        return None if row is None else (user_of(row), row[6])

    async def user_named(self, name: str) -> User | None:
        key = name_key(name)
        if is_nowhere(key):
            return None
        row = await self._one(f"SELECT {USER} FROM {self.s}.users WHERE name_key = $1", key)
        return None if row is None else user_of(row)

    async def users(self, *, like: str = "", after: str = "", limit: int) -> list[User]:
        if is_nowhere(like):
            return []
        select = f"""SELECT {USER} FROM {self.s}.users WHERE name_key > $1 AND strpos(name_key, $2) > 0
                     ORDER BY name_key LIMIT $3"""
        # No name has a null character. So what follows "a\0…" is what follows "a".
        rows = await self._all(select, name_key(after).partition("\0")[0], name_key(like), limit)
        return [user_of(row) for row in rows]

    async def names_of(self, idents: Sequence[str]) -> dict[str, str]:
        wanted = [ident for ident in idents if not is_nowhere(ident)]
        rows = await self._all(f"SELECT id, name FROM {self.s}.users WHERE id = ANY($1::text[])", wanted)
        return {row[0]: row[1] for row in rows}

    async def change_user(
        self, ident: str, *, is_admin: bool | None = None, is_disabled: bool | None = None
    ) -> Changed | Outcome:
        async def step(connection: Any) -> Changed | Outcome:
            await self._lock(connection)
            user = await self._user(connection, ident)
            if user is None:
                return Outcome.UNKNOWN
            admin = user.is_admin if is_admin is None else is_admin
            disabled = user.is_disabled if is_disabled is None else is_disabled
            others = f"SELECT 1 FROM {self.s}.users WHERE is_admin AND NOT is_disabled AND id <> $1 LIMIT 1"
            if user.is_admin and not user.is_disabled and not (admin and not disabled):
                if not await connection.fetchval(others, ident):
                    return Outcome.LAST_ADMIN
            update = f"UPDATE {self.s}.users SET is_admin = $2, is_disabled = $3 WHERE id = $1"
            await connection.execute(update, ident, admin, disabled)
            return await self._changed(connection, user, ends=disabled, keep=None)

        return await self._link.write(step)

    async def set_password(
        self, ident: str, password: str, *, now: int, expected: str | None = None, keep: str | None = None
    ) -> Changed | Outcome:
        async def step(connection: Any) -> Changed | Outcome:
            await self._lock(connection)
            user = await self._user(connection, ident)
            if user is None:
                return Outcome.UNKNOWN
            known = await connection.fetchval(f"SELECT password FROM {self.s}.users WHERE id = $1", ident)
            if expected is not None and known != expected:
                return Outcome.CHANGED_MEANWHILE
            update = f"UPDATE {self.s}.users SET password = $2, password_at = $3 WHERE id = $1"
            await connection.execute(update, ident, password, now)
            return await self._changed(connection, user, ends=True, keep=keep)

        return await self._link.write(step)

    async def rehash(self, ident: str, password: str, *, expected: str) -> None:
        update = f"UPDATE {self.s}.users SET password = $2 WHERE id = $1 AND password = $3"
        await self._do(update, ident, password, expected)

    async def duties(self) -> list[Duty]:
        return [duty_of(row) for row in await self._all(f"SELECT {DUTY} FROM {self.s}.duties ORDER BY number")]

    async def is_due(self, number: int) -> bool:
        return await self._one(f"SELECT 1 FROM {self.s}.duties WHERE number = $1", number) is not None

    async def done(self, number: int) -> None:
        await self._do(f"DELETE FROM {self.s}.duties WHERE number = $1", number)

    async def _user(self, connection: Any, ident: str) -> User | None:
        if is_nowhere(ident):
            return None
        row = await connection.fetchrow(f"SELECT {USER} FROM {self.s}.users WHERE id = $1", ident)
        return None if row is None else user_of(row)

    async def _changed(self, connection: Any, before: User, *, ends: bool, keep: str | None) -> Changed:
        user = await self._user(connection, before.id)
        if user is None:
            raise AssertionError("the account was there a moment ago, under the same lock")
        return Changed(user, before, await self._leave_duty(connection, user.id, ends=ends, keep=keep))
