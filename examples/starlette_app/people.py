"""
Who may sign in: a text file with one person a line, ``name:hash``.

The file holds Argon2id hashes, never passwords. It is read anew at each sign-in, so a changed line counts at once.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import anyio
from anyio import to_thread
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import Argon2Error, InvalidHashError

NAME_LONGEST = 128
PASSWORD_LONGEST = 256
_AT_ONCE = 4
_LETTERS = "abcdefghijkmnpqrstuvwxyz"  # without l and o, which are easily misread


class UsersFileError(Exception):
    """The users file cannot be used; the text says why."""


class People:
    """
    The people of one users file.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hasher = PasswordHasher()
        # Checked when there is no such person, so that the answer takes as long and does not tell who has an account.
        self._nobody = self._hasher.hash(secrets.token_urlsafe())
        # One check takes 64 MiB of memory for a moment, on purpose. A rush of sign-ins waits here, not in swap.
        self._limit = anyio.CapacityLimiter(_AT_ONCE)

    async def is_right(self, name: str, password: str) -> bool:
        """
        Say whether *password* is the one of *name*. Off the event loop: a check takes a good part of a second.

        Raises:
            UsersFileError: The file was changed and can no longer be read.
        """
        return await to_thread.run_sync(self._is_right, name, password, limiter=self._limit)

    def _is_right(self, name: str, password: str) -> bool:
        known = self.load().get(name)
        try:
            return self._hasher.verify(known or self._nobody, password) and known is not None
        except Argon2Error:
            return False

    def load(self) -> dict[str, str]:
        """
        Read the file: name to hash.

        Raises:
            UsersFileError: It cannot be read, or a line makes no sense.
        """
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsersFileError(f"cannot read {self.path}: {_short(error)}") from None
        people: dict[str, str] = {}
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.startswith("#"):
                continue
            name, colon, hashed = line.partition(":")
            if not colon or why_not(name) is not None or name in people:
                raise UsersFileError(f"{self.path}, line {number}: write name:hash, each name once")
            try:
                kind = extract_parameters(hashed.strip()).type.name
            except InvalidHashError:
                kind = "none"
            if kind != "ID":
                raise UsersFileError(f"{self.path}, line {number}: the hash of {name} is not an Argon2id hash")
            people[name] = hashed.strip()
        return people

    def set_password(self, name: str, password: str) -> None:
        """
        Add *name*, or give them another password.

        Raises:
            UsersFileError: The file cannot be read or written.
        """
        people = self.load() if self.path.exists() else {}
        people[name] = self._hasher.hash(password)
        self._write(people)

    def create_with_passwords(self, *names: str) -> dict[str, str]:
        """
        Create the file; return the fresh random password of each of *names*. They are kept nowhere else.

        Raises:
            UsersFileError: The file cannot be written.
        """
        made = {name: _fresh_password() for name in names}
        self._write({name: self._hasher.hash(password) for name, password in made.items()})
        return made

    def _write(self, people: dict[str, str]) -> None:
        text = "# Who may sign in, one a line: name:argon2id-hash\n"
        text += "".join(f"{name}:{hashed}\n" for name, hashed in people.items())
        # Written beside it and renamed, so that a reader finds the old file or the new one, never half a file.
        fresh = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise UsersFileError(f"cannot write {self.path}: {_short(error)}") from None


def why_not(name: str) -> str | None:
    """Say what is wrong with *name*; None when it can be used."""
    if not name or len(name) > NAME_LONGEST:
        return f"a name has 1 to {NAME_LONGEST} characters"
    if not name.isprintable() or ":" in name or name != name.strip() or name.startswith("#"):
        return "a name has no colon, no control character, no # in front and no space around it"
    return None


def _fresh_password() -> str:
    """Three groups of four letters: 54 random bits, and easy to type from one screen to another."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(3))


def _short(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or "unknown fault" if isinstance(error, OSError) else "it is not UTF-8 text"
