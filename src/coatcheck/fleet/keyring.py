"""
The signing keys in memory, and what keeps them turning. Floor 3; may import: floors 0 to 2.

Rules of this module:

1. Keys are read with the log: whenever it says that they changed, before the next answer.
2. Of several processes that want to add a key, one does (compare-and-swap on the newest), and all follow.
3. A key that our secret does not open verifies; it never signs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from coatcheck.errors import ConfigError, StoreUnavailable
from coatcheck.records import KeyRow
from coatcheck.stores.base import Stamp, Store
from coatcheck.tokens import keys
from coatcheck.tokens.keys import Algorithm, Key, KeySet

log = logging.getLogger("coatcheck")

_TRIES = 8


class Keyring:
    """
    The keys of one engine.

    Args:
        seals: Keys that open the private halves, derived from the secret; the first seals. None: only to verify.
    """

    def __init__(self, store: Store, *, seals: Sequence[bytes] | None, alg: Algorithm) -> None:
        self._store = store
        self._seals = seals
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

    async def check(self) -> None:
        """
        Refuse a secret that opens none of the keys.

        Raises:
            ConfigError: It does not.
        """
        rows = await self._store.keys()
        if rows and not any(self._open(row).private for row in rows):
            remedy = 'give the secret they were made with; if it is lost: "coatcheck keys reset --secret-lost"'
            raise ConfigError("secret", "does not open the signing keys in the store", remedy)

    async def ensure(self, *, now: int, stamp: Stamp) -> None:
        """Add the key that the schedule asks for, if it asks for one; and remove those whose time is over."""
        for _ in range(_TRIES):
            # Looked at here and not kept: only what is read along with the log goes into memory (rule 1). What is read
            # here may be out of date when it arrives.
            there = KeySet(keys.public_only(row) for row in await self._store.keys())
            signs_from = there.needed(now)
            if signs_from is None:
                break
            await self._add(there, signs_from, now, stamp)
        for kid, state in there.states(now).items():
            if state == "gone":
                await self._store.drop_key(kid, stamp=stamp)

    async def rotate(self, *, now: int, stamp: Stamp) -> str:
        """Add a key that signs from now on; return its ``kid``."""
        for _ in range(_TRIES):
            there = KeySet(keys.public_only(row) for row in await self._store.keys())
            kid = await self._add(there, now, now, stamp)
            if kid is not None:
                return kid
        raise StoreUnavailable("the signing keys change all the time; call again")

    async def revoke(self, kid: str, *, now: int, stamp: Stamp) -> int:
        """Remove a key; return the position. First another is added, if this one signs or is to sign."""
        there = KeySet(keys.public_only(row) for row in await self._store.keys())
        if there.states(now).get(kid) in ("signing", "published"):
            # Before, not after: no older key comes to sign again, and there is always one that does.
            await self.rotate(now=now, stamp=stamp)
        return await self._store.drop_key(kid, stamp=stamp)

    async def _add(self, there: KeySet, signs_from: int, now: int, stamp: Stamp) -> str | None:
        if self._seals is None:
            raise AssertionError("who only verifies makes no keys")
        epoch = (await self._store.tail(2**62)).epoch
        row = keys.generate(self._alg, seal=self._seals[0], epoch=epoch, now=now, signs_from=signs_from)
        added = await self._store.add_key(row, newest=there.newest(), stamp=stamp)
        return None if added is None else row.kid

    def jwks(self, now: int) -> dict[str, Any]:
        """Return the public halves."""
        return self.keys.jwks(now)
