"""
How a call to Valkey goes: to whom, how often, and how long. Floor 2; may import: floor 0.

Rules of this module:

1. What was not executed is tried again until the call's time is over: another server has the slot, the server is
   loading, became a replica, or is not there.
2. What was sent and not answered may have been executed. It is sent once more if its caller says that it may be done
   twice; else its caller hears that nobody knows.
3. Whatever goes wrong has somebody look where the primaries are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, NoReturn

from coatcheck.errors import NotOpen, StoreUnavailable
from coatcheck.stores._valkey_disks import NotOnDisk
from coatcheck.stores._valkey_faults import Lost, NotDone, Refused
from coatcheck.stores._valkey_line import Ask, Line
from coatcheck.stores._valkey_places import LOOK_AGAIN_S, Places, Server

log = logging.getLogger("coatcheck")
WAIT_S = 5.0
"""How long a call may take in all."""

NO_ANSWER = "no answer"
_FIRST_NAP_S, _LONGEST_NAP_S = 0.01, 0.25


class Purpose(StrEnum):
    """What a call is for. No purpose waits for another."""

    HEART = "heart"
    GUESTS = "guests"
    BARRIER = "barrier"
    ENDING = "ending"
    WRITES = "writes"
    READS = "reads"


class Reply(NamedTuple):
    """
    What a server answered.

    Attributes:
        shard: The part of the cluster that answered; empty where there is no cluster.
    """

    value: Any
    shard: str


class Call:
    """One call: what is sent, and how far it came."""

    __slots__ = ("again", "is_durable", "naps", "packed", "purpose", "said", "until", "was_lost")

    def __init__(self, packed: Sequence[bytes], purpose: Purpose, *, is_durable: bool, again: bool) -> None:
        self.packed = packed
        self.purpose = purpose
        self.is_durable = is_durable
        self.again = again
        self.until = 0.0
        self.naps = 0
        self.was_lost = False
        self.said = NO_ANSWER


class Calls:
    """
    The calls of one store.

    Args:
        line: Returns a server's line for a purpose. is_single: whether the server is always the same.
    """

    def __init__(self, places: Places, line: Callable[[Server, Purpose], Line], *, is_single: bool) -> None:
        self._places = places
        self._line = line
        self._is_single = is_single
        self._under_way = 0
        self._finished = asyncio.Event()
        self._is_over = False
        self._warned: set[str] = set()
        self._now = asyncio.get_running_loop().time

    async def run(
        self, call: Call, find: Callable[[], Server | None], *, slot: int = -1, wait_s: float | None = None
    ) -> Reply:
        """
        Return the answer to *call*.

        Args:
            find: Says who is to be asked. slot: of the keys, where they are what says it.

            wait_s: How long it may take in all.
        """
        wait_s = WAIT_S if wait_s is None else wait_s
        now = self._now()
        call.until = now + wait_s
        if call.is_durable and now - self._places.looked_at > LOOK_AGAIN_S and not self._is_single:
            self._places.look_behind()
        self._under_way += 1
        try:
            async with asyncio.timeout_at(call.until):
                return await self._again_and_again(call, find, slot)
        except TimeoutError:
            tried = "no answer for" if call.said == NO_ANSWER else f"{call.said}; tried for"
            raise StoreUnavailable(f"Valkey: {tried} {wait_s:g} s") from None
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._finished.set()

    async def _again_and_again(self, call: Call, find: Callable[[], Server | None], slot: int) -> Reply:
        asking: Server | None = None
        while not self._is_over:
            server = asking or find()
            try:
                if server is None:
                    raise NotDone("slots of the cluster have no server; look at: valkey-cli --cluster check")
                return await self._once(call, server, is_asking=asking is not None)
            except NotDone as fault:
                asking = await self._mend(call, fault, slot)
            except Lost as fault:
                self._lose(call, fault)
        raise NotOpen("the store is closed")

    async def _once(self, call: Call, server: Server, *, is_asking: bool) -> Reply:
        line = server.lines.get(call.purpose) or self._line(server, call.purpose)
        ask = Ask(call.packed, is_durable=call.is_durable, until=call.until, is_asking=is_asking)
        try:
            value = await line.ask(ask)
        except asyncio.CancelledError:
            if self._now() >= call.until:
                call.said = NO_ANSWER if ask.is_sent else call.said
                line.drop_idle()  # whatever swallowed this answer may swallow theirs
                self._places.look_behind()
            raise
        except NotOnDisk:
            self._places.look_behind()  # it may be a primary that was deposed
            raise
        except Refused as refused:
            self._refuse(refused)
        return Reply(value, ask.shard)

    async def _mend(self, call: Call, fault: NotDone, slot: int) -> Server | None:
        """Do what helps before the next try; return whom to ask, where that is another than has the slot."""
        call.said = fault.said
        call.naps += 1
        target = fault.target
        if slot >= 0 and target is not None and (server := self._places.at(target)) is not None and call.naps == 1:
            if fault.code == "ASK":
                return server
            self._places.point(slot, target)
            self._places.look_behind()
            return None
        if not self._is_single and (fault.look or target is not None):
            try:
                await self._places.look()
            except NotDone as nobody:
                call.said = nobody.said
            except Refused as refused:
                self._refuse(refused)
        if fault.code == "ASK" and target is not None:
            await nap(call.naps)
            return self._places.at(target)
        if fault.code != "NOSCRIPT" or call.naps > 1:
            await nap(call.naps)
        return None

    def _lose(self, call: Call, fault: Lost) -> None:
        self._places.look_behind()
        if call.was_lost or not call.again:
            raise StoreUnavailable(f"Valkey: {fault.said}; nobody knows whether it was done") from None
        call.was_lost = True
        call.said = fault.said

    def _refuse(self, refused: Refused) -> NoReturn:
        """Raise what a call hears of a server that must not be used."""
        if refused.said not in self._warned:
            self._warned.add(refused.said)
            log.error("Valkey: %s", refused.said)
        raise StoreUnavailable(f"Valkey: {refused.said}") from None

    async def finish(self) -> None:
        """Let what is under way come to its end, for as long as a call may take; let nothing be tried after that."""
        if self._under_way:
            self._finished.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WAIT_S):
                    await self._finished.wait()
        self._is_over = True


async def nap(naps: int) -> None:
    """Wait a little before the next try: the longer, the more there were."""
    longest = min(_LONGEST_NAP_S, _FIRST_NAP_S * 2 ** min(naps, 8))
    await asyncio.sleep(random.uniform(0.3, 1.0) * longest)  # noqa: S311  spreads load, guards nothing
