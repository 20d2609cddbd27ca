"""
Passwords: which are accepted, and how they are checked. Floor 6; may import: floor 0.

Rules of this module:

1. A password is taken as it was typed: nothing is cut, trimmed or folded.
2. A check takes a good part of a second of one core and 64 MiB, on purpose. At most two run at once, off the event
   loop; some more wait, and the rest is told to come back (:class:`Busy`).
3. A name that nobody has costs the same check as one that somebody has.
"""

from __future__ import annotations

import asyncio
import functools
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

T = TypeVar("T")

SHORTEST, LONGEST = 8, 256
AT_ONCE = 2
MOST_WAITING = 32


class Busy(Exception):
    """Too many passwords are being checked; try again in a moment."""


def why_not(password: str, name: str = "") -> str | None:
    """Say what is wrong with a new *password* of *name*; None when it can be used (NIST SP 800-63B-4, 3.1.1.2)."""
    if not SHORTEST <= len(password) <= LONGEST:
        return f"a password has {SHORTEST} to {LONGEST} characters"
    if any("\ud800" <= letter <= "\udfff" for letter in password):
        return "a password has no broken characters"
    folded = password.casefold()
    if folded in _commonest() or len(set(folded)) <= 2:
        return "that password is among the commonest, which are tried first; choose another"
    if name and folded == name.casefold():
        return "a password is not the name"
    return None


@functools.cache
def _commonest() -> frozenset[str]:
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= SHORTEST)


class Passwords:
    """
    Hashes and checks passwords (argon2id).

    Args:
        hasher: Its settings; the library's own by default, above what OWASP ASVS 5.0 asks for. Raising them slows every
            sign-in; stored hashes follow at each person's next one.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._nobody = self._hasher.hash(secrets.token_urlsafe())
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="coatcheck-password")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """
        Return the hash to store.

        Raises:
            Busy: Too many are waiting.
        """
        return await self._run(functools.partial(self._hasher.hash, password.encode("utf-8", "replace")))

    async def is_right(self, known: str | None, password: str) -> bool:
        """
        Say whether *password* is the one whose hash is *known*; None is nobody's, and takes as long.

        Raises:
            Busy: Too many are waiting.
        """
        return await self._run(functools.partial(self._is_right, known, password))

    def _is_right(self, known: str | None, password: str) -> bool:
        try:
            # Longer ones belong to nobody, and are not to buy an attacker a longer check.
            typed = password[: LONGEST + 1].encode("utf-8", "replace")
            return self._hasher.verify(known or self._nobody, typed) and known is not None
        except (Argon2Error, InvalidHashError):
            return False

    def is_outdated(self, known: str) -> bool:
        """Say whether a hash was made with other settings than today's."""
        return self._hasher.check_needs_rehash(known)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= AT_ONCE + MOST_WAITING:
            raise Busy
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
