"""
Every exception this package raises. Floor 0; may import: nothing.

Rules of this module:

1. One root, :class:`CoatcheckError`. Nothing else escapes from this package on purpose.
2. ``code`` is stable and documented in ``docs/reference/errors.md``; texts may change.
3. No text here ever holds a token, a digest or a secret. Messages name the field and the remedy.

What is *expected* (an expired session, an unknown token) is no exception: see :class:`coatcheck.Refused`.
"""

from __future__ import annotations


class CoatcheckError(Exception):
    """
    Root of every exception of this package.

    Attributes:
        code: Stable name of the fault, safe to show and to count.

        http_status: What a server may answer when nobody catches this.
    """

    code = "coatcheck"
    http_status = 500


class ConfigError(CoatcheckError, ValueError):
    """
    A setting is wrong. Raised while a program starts, never later.

    Attributes:
        setting: The name of the setting, as its user wrote it.
    """

    code = "config"

    def __init__(self, setting: str, problem: str, remedy: str) -> None:
        super().__init__(f"{setting}: {problem}; {remedy}")
        self.setting = setting


class InvalidInput(CoatcheckError, ValueError):
    """
    An argument of a call cannot be used. Nothing was written.

    Attributes:
        field: The argument, with the key inside it where there is one: ``set['cart']``.
    """

    code = "invalid_input"
    http_status = 400

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}; {remedy}")
        self.field = field


class StoreUnusable(CoatcheckError):
    """The store is there and must not be used: not ours, too new, too open, on a network file system."""

    code = "store_unusable"


class StoreUnavailable(CoatcheckError):
    """The store cannot answer now. Says nothing about any session; try again."""

    code = "store_unavailable"
    http_status = 503


class BarrierIncomplete(CoatcheckError):
    """
    The store was lost while a change waited to be in force everywhere. The change is committed and will reach every
    node; call the same again, and it waits again.

    Attributes:
        position: The change's place in the log.

        nodes: Ids of those that had not said that they applied it. Each answers by the old state for one lease at most.
    """

    code = "barrier_incomplete"
    http_status = 503

    def __init__(self, position: int, nodes: tuple[str, ...] = ()) -> None:
        super().__init__(f"change {position} is committed, and the store was lost before {len(nodes)} nodes applied it")
        self.position = position
        self.nodes = nodes


class NotOpen(CoatcheckError):
    """The engine is not open: before ``async with``, or after it."""

    code = "not_open"


class Forked(CoatcheckError):
    """
    An engine that was opened before ``fork()`` is used in the child.

    A SQLite connection carried over a fork can lose commits that were acknowledged, so every call is refused.
    Open the engine in each worker, after the fork.
    """

    code = "forked"


class AlreadyExists(CoatcheckError):
    """A store was asked to create what is there. Nothing was overwritten."""

    code = "already_exists"
