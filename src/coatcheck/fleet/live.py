"""
Connections that stay open: WebSockets and event streams end with their session. Floor 3; may import: floors 0 to 2.

What a request asks once, a connection must ask at every message: may this still pass? The answer comes from memory.

Rules of this module:

1. Where a change is applied, the connections it names are ended in the same step, under the same lock. Nobody is waited
   for: a connection hears of it, and sees to its own closing.
2. First whether memory may be trusted, then the connection: what was applied meanwhile has ended it already.
3. A connection is noted first, and then proved: found live in memory, or in the store by its ``sid``. What ends the
   session from then on is applied here. Who missed a part of the log has proved nothing.
4. A renewal keeps a connection; other claims end it, since its application was told the old ones.
5. An open connection is no activity, and neither is what it sends. What it receives is, as a request would be.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from coatcheck.clock import Clock
from coatcheck.errors import CoatcheckError, StoreUnavailable
from coatcheck.fleet.cache import Cache, Entry
from coatcheck.fleet.seen import SeenAt
from coatcheck.records import Change, Claims, Kind, Reason, Refused, Session
from coatcheck.values import FrozenDict

if TYPE_CHECKING:
    from coatcheck.fleet.trust import Trust  # which has the connections in what it knows

log = logging.getLogger("coatcheck")

LOOK_S = 0.1
"""How often the log is looked at for connections that are quiet, on an embedded store."""

_ROUND = 10  # looks; then every connection is asked once, since time alone may have ended it
_IN_A_TURN = 500
_AT_ONCE = 32
_TRIES = 8


class End(enum.StrEnum):
    """Why a connection has ended."""

    OVER = "over"  # with its session, or the access token that it was opened with
    CHANGED = "changed"  # the session lives, with other claims: whoever comes back is told the new ones
    UNSURE = "unsure"  # nobody can say whether the session lives
    CLOSED = "closed"  # the engine was closed


class Connections:
    """
    The open connections of one process. Used under the cache's lock, by whoever applies the log.

    Attributes:
        drops: How often a part of the log may have been missed.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self.lock = lock
        self.drops = 0
        self._of: dict[str, set[Connection]] = {}

    def __len__(self) -> int:
        return len(self._of)

    def all(self) -> list[Connection]:
        """Return every one of them."""
        with self.lock:
            return [one for some in self._of.values() for one in some]

    def add(self, one: Connection) -> None:
        """Note a connection: from now on it is ended with its session."""
        with self.lock:
            self._of.setdefault(one.sid, set()).add(one)

    def remove(self, one: Connection) -> None:
        """Forget a connection that is closed."""
        with self.lock:
            some = self._of.get(one.sid, set())
            some.discard(one)
            if not some:
                self._of.pop(one.sid, None)

    def apply(self, changes: Iterable[Change]) -> None:
        """End what *changes* end."""
        if not self._of:
            return
        with self.lock:
            for change in changes:
                if change.kind is Kind.EVERYONE:
                    self.end(self.all(), End.OVER)
                elif change.sid is None or change.kind is Kind.DATA:
                    continue
                elif change.kind is Kind.REVOKED:
                    self.end(self._of.get(change.sid, ()), End.OVER)
                else:
                    for one in self._of.get(change.sid, ()):
                        one.doubt()

    def end(self, some: Iterable[Connection], why: End) -> None:
        """End these."""
        for one in some:
            one.end(why)

    def drop(self) -> None:
        """Believe none of them until it is proved anew."""
        self.drops += 1


class Connection:
    """
    One open connection of a session.

    Args:
        session: As it was when the connection was opened.

        verify: Says whether the access token counts that the connection was opened with; None for a cookie.

        hear: Called once, when it ends by itself, in whatever thread and under the cache's lock. Must not wait.

    Attributes:
        over: Why it has ended; None while it is open.
    """

    def __init__(
        self,
        live: Live,
        session: Session,
        *,
        verify: Callable[[], Claims | Refused] | None,
        hear: Callable[[End], None],
    ) -> None:
        self.sid = session.sid
        self.over: End | None = None
        self._live = live
        self._all = live.connections
        self._verify = verify
        self._hear = hear
        self._version = session.version
        self._told: FrozenDict | None = None  # the claims that its application was told, as the store has them
        self._entry: Entry | None = None
        self._doubts = 0
        self._proved: tuple[int, int] | None = None
        self._all.add(self)

    # --- ending ---

    def end(self, why: End) -> None:
        """Let nothing pass from here on."""
        with self._all.lock:
            if self.over is None:
                self.over = why
                self._hear(why)

    def leave(self) -> None:
        """Note that it is closed, whoever closed it."""
        self._all.remove(self)

    def doubt(self) -> None:
        """The session was changed: prove it anew."""
        self._doubts += 1

    # --- asked at every message ---

    def passes(self, *, touch: bool) -> bool | None:
        """
        Say whether a message may pass now; None when only :meth:`prove` can tell.

        Args:
            touch: Whether it counts as activity.

        Raises:
            CoatcheckError: The engine was closed, or forked.
        """
        live = self._live
        elapsed = live.clock.elapsed()
        if self.over is not None:
            return False
        if not live.watch.is_sure(elapsed):
            return None
        if self.over is not None:  # by what was applied just now
            return False
        if self._verify is not None:
            return self._judge(self._verify())
        entry = self._proof(elapsed)
        if entry is None:
            return None if self.over is None else False
        now = live.watch.now
        if now >= entry.ends_at:
            self.end(End.OVER)
            return False
        if now >= entry.session.seen_at + entry.idle_s:
            return None  # another process may have seen it since
        if touch and now > entry.session.seen_at:
            live.seen.touch(entry, now)
        return True

    def _judge(self, found: Claims | Refused) -> bool | None:
        if not isinstance(found, Refused):
            return True
        if found.reason is Reason.UNSURE:
            return None
        self.end(End.CHANGED if found.reason is Reason.RENEWED else End.OVER)
        return False

    def _proof(self, elapsed: float) -> Entry | None:
        entry = self._entry
        if entry is not None and self._proved == (self._all.drops, self._doubts) and elapsed < entry.reread_at:
            return entry
        with self._all.lock:
            entry = self._live.cache.of(self.sid)
            if entry is None or elapsed >= entry.reread_at:
                return None
            return self._take(entry)

    def _take(self, entry: Entry) -> Entry | None:
        """Hold on to what the session is now, unless its application was told otherwise."""
        session = entry.session
        # What an access token beside the cookie tells is a part of the claims; so at first the version is compared.
        is_told = session.version == self._version if self._told is None else session.claims == self._told
        if not is_told:
            self.end(End.CHANGED)
            return None
        self._told, self._entry, self._proved = session.claims, entry, (self._all.drops, self._doubts)
        return entry

    async def prove(self, *, touch: bool = False) -> bool:
        """Like :meth:`passes`; the store is asked where memory does not know."""
        try:
            for _ in range(_TRIES):
                found = self.passes(touch=touch)
                if found is not None:
                    return found
                if self._verify is None:
                    await self._read()
                else:
                    await self._live.watch.be_sure()
            self.end(End.UNSURE)
        except StoreUnavailable:
            self.end(End.UNSURE)
        except CoatcheckError:
            self.end(End.CLOSED)
        return False

    async def _read(self) -> None:
        live = self._live
        before = await live.watch.be_sure()
        mark = self._all.drops, self._doubts
        entry = await live.read(self.sid)
        if not live.watch.holds(before):
            return
        if entry is None:
            self.end(End.OVER)
            return
        with self._all.lock:
            if mark == (self._all.drops, self._doubts):
                self._take(entry)


class Live:
    """
    Opens connections, and looks after those that are quiet. Belongs to the engine's event loop.

    Args:
        read: Returns what the store has of a session that lives; None when it is over.
    """

    def __init__(
        self, watch: Trust, cache: Cache, seen: SeenAt, clock: Clock, read: Callable[[str], Awaitable[Entry | None]]
    ) -> None:
        self.watch = watch
        self.connections = watch.knowledge.connections
        self.cache = cache
        self.seen = seen
        self.clock = clock
        self.read = read
        self._task: asyncio.Task[None] | None = None

    def open(
        self, session: Session, *, verify: Callable[[], Claims | Refused] | None, hear: Callable[[End], None]
    ) -> Connection:
        """Note a connection; see :class:`Connection`."""
        one = Connection(self, session, verify=verify, hear=hear)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._look(), name="coatcheck-live")
        return one

    async def stop(self) -> None:
        """End them all."""
        self.connections.end(self.connections.all(), End.CLOSED)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _look(self) -> None:
        turn = 0
        while self.connections:
            await asyncio.sleep(LOOK_S)
            turn += 1
            try:
                # Whoever is unsure lets nothing pass; there is nothing to hurry about.
                if self.watch.is_sure(self.clock.elapsed()) and turn % _ROUND == 0:
                    await self._ask_all()
            except CoatcheckError:
                continue  # the store cannot be used now, or not any more: nothing passes meanwhile
            except Exception:
                # A fault of ours. Messages are asked about all the same; the task goes on, for those that are quiet.
                log.exception("looking after open connections failed and is tried again")

    async def _ask_all(self) -> None:
        unknown = []
        for count, one in enumerate(self.connections.all(), 1):
            if one.passes(touch=False) is None:
                unknown.append(one)
            if count % _IN_A_TURN == 0:
                await asyncio.sleep(0)  # others have a turn
        for first in range(0, len(unknown), _AT_ONCE):
            await asyncio.gather(*(one.prove() for one in unknown[first : first + _AT_ONCE]))
