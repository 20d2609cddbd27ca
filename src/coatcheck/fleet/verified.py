"""
Access tokens that were found genuine, in memory. Floor 3; may import: floors 0 to 2.

What is here is *positive* knowledge: forgetting it is always safe, it only costs a signature check.

Rules of this module:

1. A token is remembered by the hash of its whole text, never by its signature (ECDSA's can be altered). Only that it is
   genuine is remembered: whoever looks it up looks at times, audience, key and revocations each time.
2. It is read without a lock, from any thread, and written under one.
3. It has a size. The tokens longest in memory go first.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Container

from coatcheck.records import Claims

_PART = 64  # of the size, that goes at once


class Verified:
    """
    What verified tokens say, by SHA-256 of their text. Safe to use from several threads.

    Args:
        size: Tokens to remember.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._claims: dict[bytes, Claims] = {}
        self._lock = threading.Lock()
        # An attribute, not a method: it is called at every check.
        self.get: Callable[[bytes], Claims | None] = self._claims.get

    def __len__(self) -> int:
        return len(self._claims)

    def add(self, digest: bytes, claims: Claims) -> None:
        """Remember *claims*."""
        with self._lock:
            if len(self._claims) >= self._size:
                self._make_room()
            self._claims[digest] = claims

    def _make_room(self) -> None:
        # Some at a time. A dict finds its first entry by walking over all that were removed in front of it; done for
        # each, with 100,000, that takes as long as the signature check that it saves.
        for digest in list(itertools.islice(self._claims, max(1, self._size // _PART))):
            del self._claims[digest]

    def keep(self, kids: Container[str]) -> None:
        """Forget what other keys than *kids* have signed."""
        with self._lock:
            for digest in [digest for digest, claims in self._claims.items() if claims.kid not in kids]:
                del self._claims[digest]
