"""
The signing keys in memory, and what keeps them turning. Floor 3; may import: floors 0 to 2.

Rules of this module:

1. Keys are read with the log: whenever it says that they changed, before the next answer.
2. Of several processes that want to add a key, one does (compare-and-swap on the newest), and all follow.
3. A key that our secret does not open verifies; it never signs.
4. A secret that was declared lost makes no key. The store refuses it; here it is said why, and what to do.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from coatcheck.clock import HOUR
from coatcheck.errors import ConfigError, StoreUnavailable
from coatcheck.records import KeyRow
from coatcheck.stores.base import Stamp, Store
from coatcheck.tokens import keys
from coatcheck.tokens.keys import Algorithm, Key, KeySet

log = logging.getLogger("coatcheck")

_TRIES = 8
_BUSY = "the signing keys change all the time; call again"


class Keyring:
    """
    The keys of one engine.

    Args:
        seals: Keys that open the private halves, derived from the values of the secret, by the ids of these; the first
            seals. None: only to verify.
    """

    def __init__(self, store: Store, *, seals: Mapping[str, bytes] | None, alg: Algorithm) -> None:
        self._store = store
        self._seals = None if seals is None else tuple(seals.values())
        self._seal_id = next(iter(seals)) if seals else ""
        self._told_at: int | None = None  # when it was last said that the secret was declared lost
        self._alg: Algorithm = alg
        self.keys = KeySet(())
        self._known: dict[str, Key] = {}

    def load(self, rows: Iterable[KeyRow]) -> None:
        """Take *rows* as they stand in the store."""
        self._known = {row.kid: self._known.get(row.kid) or self._open(row) for row in rows}
        self.keys = KeySet(self._known.values())

    def _open(self, row: KeyRow) -> Key:
        if self._seals is None:
            return keys.public_only(row)
        key = keys.opened(row, self._seals)
        if key is None:
            log.error("a signing key cannot be opened with this secret", extra={"kid": row.kid})
        return keys.public_only(row) if key is None else key

    async def check(self) -> str | None:
        """
        Refuse a secret that was declared lost, or opens none of the keys; return the ``kid`` of the newest.

        Raises:
            ConfigError: It is such a secret.
        """
        # First, and in its own words: who reads "opens none" would declare the new one lost, too.
        await self._check_not_lost()
        rows = await self._store.keys()
        if rows and not any(keys.opened(row, self._seals or ()) for row in rows):
            remedy = 'give the secret they were made with; if it is lost: "coatcheck keys reset --secret-lost"'
            raise ConfigError("secret", "does not open the signing keys in the store", remedy)
        return rows[-1].kid if rows else None

    async def admit(self) -> None:
        """
        Check once more, and have the store note that this secret is in use: a reset then declares it lost, too.

        After :meth:`ensure`, so that no wrong secret is ever noted: with a key there, one that opens none is refused.

        Raises:
            ConfigError: As :meth:`check`.
        """
        for _ in range(_TRIES):
            if await self._store.admit_secret(self._seal_id, newest=await self.check()):
                return
        raise StoreUnavailable(_BUSY)

    async def _check_not_lost(self) -> None:
        if await self._store.is_lost(self._seal_id):
            problem = "was declared lost (coatcheck keys reset, or panic), so nothing is made with it any more"
            remedy = "give a new one in its place; if it is the file beside the database, remove that file"
            raise ConfigError("secret", problem, remedy)

    async def tell_if_lost(self, now: int) -> bool:
        """Say whether our secret was declared lost; if so, write it into the log, once an hour."""
        if not await self._store.is_lost(self._seal_id):
            return False
        if self._told_at is None or now - self._told_at >= HOUR:
            self._told_at = now
            log.error(
                "the secret was declared lost: this process gives no tokens; restart it with the new secret",
                extra={"code": "secret_lost"},
            )
        return True

    async def ensure(self, *, now: int, stamp: Stamp) -> None:
        """Add the key that the schedule asks for, if it asks for one; and remove those whose time is over."""
        for _ in range(_TRIES):
            # Looked at here and not kept: only what is read along with the log goes into memory (rule 1). What is read
            # here may be out of date when it arrives.
            there = KeySet(keys.public_only(row) for row in await self._store.keys())
            signs_from = there.needed(now)
            if signs_from is None or await self.tell_if_lost(now):
                break
            await self._add(there, signs_from, now, stamp)
        for kid, state in there.states(now).items():
            if state == "gone":
                await self._store.drop_key(kid, stamp=stamp)

    async def rotate(self, *, now: int, stamp: Stamp) -> str:
        """
        Add a key that signs from now on; return its ``kid``.

        Raises:
            ConfigError: Our secret was declared lost.
        """
        for _ in range(_TRIES):
            await self._check_not_lost()
            there = KeySet(keys.public_only(row) for row in await self._store.keys())
            kid = await self._add(there, now, now, stamp)
            if kid is not None:
                return kid
        raise StoreUnavailable(_BUSY)

    async def revoke(self, kid: str, *, now: int, stamp: Stamp) -> int:
        """
        Remove a key; return the position. First another is added, if this one signs or is to sign.

        Raises:
            ConfigError: As :meth:`rotate`; the key stays.
        """
        there = KeySet(keys.public_only(row) for row in await self._store.keys())
        if there.states(now).get(kid) in ("signing", "published"):
            # Before, not after: no older key comes to sign again, and there is always one that does.
            await self.rotate(now=now, stamp=stamp)
        return await self._store.drop_key(kid, stamp=stamp)

    async def _add(self, there: KeySet, signs_from: int, now: int, stamp: Stamp) -> str | None:
        if self._seals is None:
            raise AssertionError("who only verifies makes no keys")
        epoch = (await self._store.tail(2**62)).epoch
        seal, seal_id = self._seals[0], self._seal_id
        row = keys.generate(self._alg, seal=seal, seal_id=seal_id, epoch=epoch, now=now, signs_from=signs_from)
        added = await self._store.add_key(row, newest=there.newest(), stamp=stamp)
        return None if added is None else row.kid

    def jwks(self, now: int) -> dict[str, Any]:
        """Return the public halves."""
        return self.keys.jwks(now)
