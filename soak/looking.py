"""
Every check of a worker: what is hot is checked all the time, from memory where memory answers.

Rules of this module:

1. The beginning is noted before the call, the end after it, with nothing between.
2. What memory cannot answer is asked for beside, so that a store that does not answer stops no check from memory.
3. A refusal must last, so it is asked for again, less and less often: each costs a read of the store.
"""

from __future__ import annotations

import asyncio
import collections
from typing import Protocol

from coatcheck import Claims, CoatcheckError, Refused, Session, StoreUnavailable
from soak.board import Ticket, name
from soak.history import Recorder, now

HOT = 200  # of each kind; those that were refused leave by themselves
PAUSE_S = 0.003
MOST_COLD = 16
_AGAIN = 6  # times, after 1, 2, 4, … rounds
PATIENCE_S = 60.0


class Engine(Protocol):
    """What is asked of an engine here."""

    def check_now(self, token: str) -> Session | Refused | None: ...
    async def check(self, token: str) -> Session | Refused: ...


class Verify(Protocol):
    """Verifies an access token."""

    def __call__(self, jwt: str, /) -> Claims | Refused: ...


class Hot:
    """
    A ticket that is looked at all the time.

    Attributes:
        refused: How often. at: the round from which it is looked at again. asked: a cold check of it is under way.
    """

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self.name = name(ticket.text)
        self.refused = 0
        self.at = 0
        self.asked = False


class Looking:
    """
    Checks what is hot.

    Args:
        engine: None where there is only *verify*.

    Attributes:
        sessions, tokens: What is hot, by its text, the newest last.

        counted: How many checks there were, by their outcome.
    """

    def __init__(self, recorder: Recorder, verify: Verify, engine: Engine | None) -> None:
        self.recorder = recorder
        self.sessions: collections.OrderedDict[str, Hot] = collections.OrderedDict()
        self.tokens: collections.OrderedDict[str, Hot] = collections.OrderedDict()
        self.counted: collections.Counter[str] = collections.Counter()
        self._verify = verify
        self._engine = engine
        self._round = 0
        self._cold: set[asyncio.Task[None]] = set()

    def add(self, ticket: Ticket) -> None:
        """Look at this ticket, too; the one longest here goes."""
        where = self.tokens if ticket.kind == "j" else self.sessions
        where[ticket.text] = Hot(ticket)
        while len(where) > HOT:
            where.popitem(last=False)

    def look(self) -> None:
        """Check everything that is hot, once."""
        self._round += 1
        if self._engine is not None:
            for hot in list(self.sessions.values()):
                if hot.at <= self._round:
                    self._check(self._engine, hot)
        for hot in list(self.tokens.values()):
            if hot.at <= self._round:
                self.verify(hot)

    def _check(self, engine: Engine, hot: Hot) -> None:
        text = hot.ticket.text
        begin = now()
        found = engine.check_now(text)
        end = now()
        if found is not None:
            self.note(hot, found, begin, end, warm=True)
        elif not hot.asked and len(self._cold) < MOST_COLD:
            hot.asked = True
            task = asyncio.ensure_future(self._ask(engine, hot))
            self._cold.add(task)
            task.add_done_callback(self._cold.discard)

    async def _ask(self, engine: Engine, hot: Hot) -> None:
        begin = now()
        try:
            async with asyncio.timeout(PATIENCE_S):
                found = await engine.check(hot.ticket.text)
        except StoreUnavailable:
            self.count_unavailable(hot.name, begin)
        except TimeoutError:
            self.recorder.note("crash", begin, note=f"a check did not return within {PATIENCE_S:.0f} s")
        except (CoatcheckError, Exception) as error:
            self.recorder.note("crash", begin, note=f"a check raised {describe(error)}")
        else:
            self.note(hot, found, begin, now(), warm=False)
        finally:
            hot.asked = False

    def count_unavailable(self, named: str, begin: int) -> None:
        """Write down a check that the store did not answer."""
        self.counted["unavailable"] += 1
        self.recorder.fold(begin, now(), "check", "unknown", "unavailable", "", named, 0, "", False)

    def note(self, hot: Hot, found: Session | Refused, begin: int, end: int, *, warm: bool) -> None:
        """Write down what a check showed."""
        if isinstance(found, Session):
            said = str(found.claims.get("n", ""))
            self.recorder.fold(begin, end, "check", "ok", "", found.sid, hot.name, found.version, said, warm)
            self.counted["warm" if warm else "cold"] += 1
        else:
            self.recorder.fold(begin, end, "check", "refused", str(found.reason), "", hot.name, 0, "", warm)
            self._refuse(hot, found, self.sessions)

    def verify(self, hot: Hot) -> None:
        """Verify an access token, and write down what came of it."""
        text = hot.ticket.text
        begin = now()
        found = self._verify(text)
        end = now()
        if isinstance(found, Refused):
            self.recorder.fold(begin, end, "verify", "refused", str(found.reason), "", hot.name, 0, "", True)
            self._refuse(hot, found, self.tokens)
        else:
            self.recorder.fold(begin, end, "verify", "ok", "", found.sid, hot.name, found.version, "", True)
            self.counted["verified"] += 1

    def _refuse(self, hot: Hot, found: Refused, where: collections.OrderedDict[str, Hot]) -> None:
        self.counted[f"refused {found.reason}"] += 1
        if found.reason != "unsure":
            hot.refused += 1
            hot.at = self._round + (1 << hot.refused)
            if hot.refused > _AGAIN:
                where.pop(hot.ticket.text, None)

    async def settle(self) -> None:
        """Wait for the checks under way."""
        while self._cold:
            await asyncio.wait(self._cold)


def describe(error: BaseException) -> str:
    """Return what was raised, and where."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    where = "" if at is None else f" in {at.tb_frame.f_code.co_filename.rpartition('/')[2]}:{at.tb_lineno}"
    return f"{type(error).__name__}: {error}"[:300] + where
