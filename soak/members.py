"""A worker process through all its lives, as the driver sees it."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import signal
from typing import Any

import msgspec


class Member:
    """
    One worker process, through all its lives.

    Attributes:
        counted: Checks by their outcome, of all lives. ended: revocations.

        is_to_end: Whether its end is no surprise.

        was_ahead: Whether its calendar has been ahead in this life.
    """

    def __init__(self, number: int, role: str) -> None:
        self.number = number
        self.role = role
        self.life = 0
        self.process: asyncio.subprocess.Process | None = None
        self.ready = asyncio.Event()
        self.gone = asyncio.Event()
        self._heard = asyncio.Event()
        self.is_to_end = False
        self.was_ahead = False
        self.counted: collections.Counter[str] = collections.Counter()
        self.ended = 0
        self._before: collections.Counter[str] = collections.Counter()
        self._ended_before = 0

    @property
    def name(self) -> str:
        """Number and life, as in the history."""
        return f"{self.number}.{self.life}"

    @property
    def accepted(self) -> int:
        """What it has accepted from memory."""
        return self.counted["verified"] if self.role == "verifier" else self.counted["warm"]

    def hear(self, said: dict[str, Any]) -> None:
        """Take a line that the process wrote."""
        if "ready" in said:
            self.ready.set()
        if "counted" in said:
            self.counted = self._before + collections.Counter(said["counted"])
            self.ended = self._ended_before + said["ended"]
            self._heard.set()

    async def begins(self) -> bool:
        """Return when it has begun to work; False when it has ended instead."""
        ways = [asyncio.ensure_future(event.wait()) for event in (self.ready, self.gone)]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
        return self.ready.is_set()

    async def reaches(self, accepted: int) -> None:
        """Return when it has accepted so much from memory."""
        while self.accepted < accepted:
            self._heard.clear()
            await self._heard.wait()

    def dies(self) -> None:
        """What it counted is kept; the next life counts anew."""
        self._before, self._ended_before = self.counted, self.ended

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it is there."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    async def tell(self, **command: Any) -> None:
        """Give a command."""
        if self.process is not None and self.process.stdin is not None:
            with contextlib.suppress(ConnectionError):
                self.process.stdin.write(msgspec.json.encode(command) + b"\n")
                await self.process.stdin.drain()
