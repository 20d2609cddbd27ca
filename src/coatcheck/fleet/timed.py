"""
A store whose calls are timed, for who wants to see that. Floor 3; may import: floors 0 to 2.

It is put around a store only when somebody listens, so that nobody else pays for it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from coatcheck.clock import SystemClock
from coatcheck.stores.base import Store

S = TypeVar("S", bound=Store)

_WAITS = frozenset({"pushed", "open", "close"})  # waiting for news, or for a process to end, is no answer of the store


def timed(store: S, hear: Callable[[str, float], None]) -> S:
    """Return *store*, calling *hear* with the name of each call and the seconds that it took."""
    return cast("S", _Timed(store, hear))


class _Timed:
    def __init__(self, store: Any, hear: Callable[[str, float], None]) -> None:
        self._store = store
        self._hear = hear
        self._elapsed = SystemClock().elapsed

    def __repr__(self) -> str:
        return repr(self._store)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name.startswith("_") or name in _WAITS or not inspect.iscoroutinefunction(found):
            return found

        @functools.wraps(found)
        async def call(*args: Any, **kwargs: Any) -> Any:
            began = self._elapsed()
            try:
                return await found(*args, **kwargs)
            finally:
                self._hear(name, self._elapsed() - began)

        # Kept, so that it is looked up once.
        setattr(self, name, call)
        return call
