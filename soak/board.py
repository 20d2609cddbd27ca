"""
One file to which every process appends what it was given, for all the others. Tokens stand here, and nowhere else.

Rules of this module:

1. A token is posted after its giving was written down (:mod:`soak.history`): whoever can present it, may.
2. One ``write`` per line; a torn line is skipped.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec

_PART = 1 << 18


def name(text: str) -> str:
    """Return the name under which a token stands in the history."""
    return sha256(text.encode()).hexdigest()[:12]


class Ticket(msgspec.Struct, frozen=True):
    """
    A token that somebody was given.

    Attributes:
        kind: ``s``: of a session. ``j``: access token. ``r``: refresh token.

        version: Of the session, as an access token says it.
    """

    kind: Literal["s", "j", "r"]
    sid: str
    sub: str
    version: int
    text: str


_decode = msgspec.json.Decoder(Ticket).decode


class Board:
    """
    The board of one run.

    Args:
        recent: Begin near its end, not at its beginning.
    """

    def __init__(self, path: Path, *, recent: bool = False) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self._at = max(0, os.fstat(self._file).st_size - _PART // 4) if recent else 0
        self._rest = b""

    def post(self, ticket: Ticket) -> None:
        """Tell everyone."""
        os.write(self._file, msgspec.json.encode(ticket) + b"\n")

    def news(self) -> list[Ticket]:
        """Return what was posted since this was last called; of very much, the first part."""
        if os.fstat(self._file).st_size == self._at:
            return []
        text = os.pread(self._file, _PART, self._at)
        self._at += len(text)
        *lines, self._rest = (self._rest + text).split(b"\n")
        return [ticket for line in lines if (ticket := _read(line)) is not None]

    def all(self) -> list[Ticket]:
        """Return all that is left."""
        found = []
        while more := self.news():
            found += more
        return found

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def _read(line: bytes) -> Ticket | None:
    try:
        return _decode(line)
    except msgspec.DecodeError:
        return None
