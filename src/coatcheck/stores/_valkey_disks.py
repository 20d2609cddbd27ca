"""
On how many disks a change is. Floor 2; may import: floor 0.

A replica says what it has on disk when it is asked, and once a second by itself. It is asked by ``WAITAOF``, once, and
if the question reaches it together with what was written, it answers before it has synced, and then not for a second.
So the question goes out after the answers have come (the replica has the change by then), and is asked again soon,
also while the one before is not answered.

Rules of this module:

1. ``WAITAOF`` goes out on the connection that wrote, behind what was written: it speaks of what this connection wrote.
2. Both its counts are compared with what was asked for.
3. That a replica is away does not mean that it need not have the change.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from coatcheck.errors import StoreUnavailable
from coatcheck.stores._valkey_connect import Link
from coatcheck.stores._valkey_faults import of_sync
from coatcheck.stores._valkey_refuse import parse_info

LOOK_S = 1.0
"""How often a server is asked how many replicas it has."""

COUNT = b"*2\r\n$4\r\nINFO\r\n$11\r\nreplication\r\n"
"""The question how many replicas are connected, as it is sent."""

_FIRST_ROUND_S, _LONGEST_ROUND_S = 0.003, 0.1
_AHEAD_S = (
    0.002  # a server that nobody speaks to looks for what is over every 0.1 s only: it is over before we ask again
)


class NotOnDisk(StoreUnavailable):
    """Written, and not on as many disks as it must be on. This server may be one that was deposed."""


class Disks:
    """
    How many replicas of a server must have a change on disk.

    Args:
        needed: Says it. is_counting: whether to go on asking how many are connected.

    Attributes:
        needed: Their number. connected: how many the server had when it was last asked. most: how many it ever had.
    """

    def __init__(self, needed: Callable[[Disks], int], *, is_counting: bool) -> None:
        self._needed = needed
        self._asked_at = 0.0
        self._is_counting = is_counting
        self.connected = 0
        self.most = 0

    @property
    def needed(self) -> int:
        return self._needed(self)

    def is_due(self, now: float) -> bool:
        """Say whether to ask again now."""
        return self._is_counting and now - self._asked_at >= LOOK_S

    def saw(self, connected: int, now: float) -> None:
        """Note that the server has *connected* replicas."""
        self.connected = connected
        self.most = max(self.most, connected)
        self._asked_at = now

    def count(self, answer: Any, now: float) -> None:
        """Note what the server answered to :data:`COUNT`."""
        if isinstance(answer, bytes):
            self.saw(int(parse_info(answer).get("connected_slaves", "0")), now)


async def sync(link: Link, needed: int, until: float) -> tuple[Exception | None, bool]:
    """
    Wait until all that a connection wrote is on the disks of the server and of *needed* replicas.

    Returns:
        What is wrong if it is not; and whether the connection may be used again.
    """
    now, round_s, unread = asyncio.get_running_loop().time, _FIRST_ROUND_S, 0
    fault: Exception | None = NotOnDisk("Valkey: the server did not say in time whether a change is on its disks")
    while isinstance(fault, NotOnDisk) and (left := until - now()) > 0:
        round_s = min(round_s, left)
        await link.send([waitaof(needed, round_s - _AHEAD_S)])
        unread += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(round_s):
                while unread and isinstance(fault, NotOnDisk):
                    fault = judge(await link.read(), needed)
                    unread -= 1
        round_s = min(2 * round_s, _LONGEST_ROUND_S)
    if not isinstance(fault, NotOnDisk):
        for _ in range(unread):
            await link.read()  # they were asked before it was so, and are answered by it at once
        unread = 0
    return fault, unread == 0


def waitaof(replicas: int, wait_s: float) -> bytes:
    """Return the question whether all that its connection wrote is on so many disks, as it is sent."""
    millis = max(1, int(wait_s * 1000))  # 0 would be for ever
    words = (b"WAITAOF", b"1", b"%d" % replicas, b"%d" % millis)
    return b"*4\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def judge(answer: Any, replicas: int) -> Exception | None:
    """Return what is wrong with what WAITAOF answered."""
    if isinstance(answer, Exception):
        return of_sync(answer)
    here, there = int(answer[0]), int(answer[1])
    if here >= 1 and there >= replicas:
        return None
    missing = "that of the primary is missing" if here < 1 else f"{replicas - there} of {replicas} replicas are missing"
    remedy = "start what is missing; durability= in the URL asks for fewer, and says what may be lost"
    on = min(here, 1) + min(there, replicas)
    return NotOnDisk(f"Valkey: on {on} of {1 + replicas} disks, {missing}; {remedy}")
