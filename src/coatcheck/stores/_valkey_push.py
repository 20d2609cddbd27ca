"""
News that Valkey pushes: hints, and nothing depends on them. Floor 2; may import: floor 0.

Rules of this module:

1. Nothing here fails, or keeps anybody from closing. Where nobody tells, the caller looks now and then.
2. A connection of its own, to the primary that has the channel's slot. It is made anew when that is another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from coatcheck.stores._valkey_connect import Link
from coatcheck.stores._valkey_faults import DRIVERS, Fault
from coatcheck.stores._valkey_places import Server

POLL_S = 0.1
"""How often to look where nobody tells."""

_LONGEST_NAP_S = 2.0


class Listener:
    """
    Listens to one channel.

    Args:
        find: Returns the primary that has the channel. connect: makes a connection to it.
    """

    def __init__(
        self, channel: bytes, find: Callable[[], Server | None], connect: Callable[[Server], Awaitable[Link]]
    ) -> None:
        self._channel = channel
        self._find = find
        self._connect = connect
        self._news = asyncio.Event()
        self._server: Server | None = None
        self._link: Link | None = None
        self._is_listening = False
        self._task = asyncio.create_task(self._listen())

    async def pushed(self) -> None:
        """Return when there is news, or may be."""
        if not self._is_listening:
            await asyncio.sleep(POLL_S)
            return
        await self._news.wait()
        self._news.clear()

    def look(self) -> None:
        """Go where the channel is now."""
        if self._link is not None and self._server is not self._find():
            self._link.terminate()

    async def _listen(self) -> None:
        nap_s = POLL_S
        while True:
            try:
                if (server := self._find()) is not None:
                    self._server, self._link = server, await self._connect(server)
                    await self._follow(self._link)
                    nap_s = POLL_S  # it listened for a while
            except (*DRIVERS, Fault):
                pass
            finally:
                self._is_listening = False
                self._news.set()
                if self._link is not None:
                    self._link.terminate()
                    self._link = None
            await asyncio.sleep(nap_s)
            nap_s = min(_LONGEST_NAP_S, 2 * nap_s)

    async def _follow(self, link: Link) -> None:
        """Return when this server does not tell any more."""
        (answer,) = await link.ask(("SSUBSCRIBE", self._channel))
        while isinstance(answer, list) and answer[0] in (b"ssubscribe", b"smessage"):
            self._is_listening = True
            self._news.set()  # also at first: what was said before nobody heard
            answer = await link.read()

    async def close(self) -> None:
        """Listen no more."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self._news.set()

    def abandon(self) -> list[Any]:
        """In a forked child: give away what is under way, untouched."""
        return [self._task, self._link]
