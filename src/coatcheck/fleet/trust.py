"""
May memory be trusted now? The question, and what both answers share. Floor 3; may import: floors 0 to 2.

- :class:`coatcheck.fleet.watch.Watch` answers for an embedded store: before every check it looks whether somebody
  wrote.
- :class:`coatcheck.fleet.lease.Lease` answers for a store behind a network: it holds a lease, and renews it.

Rules of this module:

1. First this, then memory: what is remembered counts only if it is looked up after :meth:`Trust.is_sure` said yes.
2. It may be asked from any thread.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from coatcheck.clock import Clock
from coatcheck.errors import CoatcheckError
from coatcheck.fleet.knowledge import Knowledge
from coatcheck.stores.base import Place

NEVER = float("-inf")


class Trust(ABC):
    """
    Keeps what a node knows as true as its store.

    Attributes:
        pulse: Its item 0 moves when somebody writes, where that can be seen. seen: what it was when the log was read.

        ask_at: :meth:`Clock.elapsed` from which these two are not enough, and :meth:`catch_up` is asked.

        lapses: How often memory was not to be trusted when it was asked for the first time since it was.

        now: The calendar, whole seconds, a twentieth of a second old at most while sure.

        on_wake: Hears that the log may have grown: early, and not every time.
    """

    def __init__(self, knowledge: Knowledge, clock: Clock) -> None:
        self.knowledge = knowledge
        self._clock = clock
        self._fault: CoatcheckError | None = None
        self.pulse: Sequence[int] = (0,)
        self.seen: int | None = None
        self.ask_at = NEVER
        self.now = 0
        self.lapses = 0
        self.on_wake: Callable[[], None] = lambda: None

    def is_sure(self, elapsed: float) -> bool:
        """
        Say whether memory holds nothing that was changed before this call.

        Args:
            elapsed: :meth:`Clock.elapsed` of this check.

        Raises:
            CoatcheckError: The engine was forked or closed (see :meth:`stop`).
        """
        # The deadline first: most of the time it alone decides.
        if elapsed < self.ask_at and self.pulse[0] == self.seen:
            return True
        return self.catch_up(elapsed)

    def place(self) -> Place:
        """Return where in the log memory stands."""
        return self.knowledge.place()

    def stop(self, fault: CoatcheckError, *, forked: bool = False) -> None:
        """
        From now on raise *fault* at every check.

        Args:
            forked: This is the child of a fork. It has one thread, and nobody to wait for: who held the lock is gone.
        """
        # Under the lock, or a check in another thread that was about to say how long it is sure would say so after us.
        with contextlib.nullcontext() if forked else self.knowledge.cache.lock:
            self._fault = fault
            self.ask_at = NEVER
            self.pulse = (0,)  # the store takes its own away

    def _check_usable(self) -> None:
        if self._fault is not None:
            raise self._fault

    def wake(self) -> None:
        """Hear that something was just written here that we must apply; an embedded store is looked at anyway."""
        self.on_wake()

    @abstractmethod
    def catch_up(self, elapsed: float) -> bool:
        """Look whether memory counts; False when that cannot be told without waiting. Raises like :meth:`is_sure`."""

    @abstractmethod
    async def start(self) -> None:
        """
        Begin anew, knowing nothing of the log.

        Raises:
            StoreUnavailable: It does not answer.
        """

    @abstractmethod
    async def leave(self) -> None:
        """End what runs in the background. Call :meth:`stop` before."""

    @abstractmethod
    async def be_sure(self) -> Place | None:
        """
        Before the store is asked: see to it that its answer will be worth something.

        Returns:
            What to give to :meth:`holds` afterwards; None where every answer of the store is good.

        Raises:
            StoreUnavailable: That is not possible now.
        """

    def holds(self, before: Place | None) -> bool:
        """Say whether what the store answered since :meth:`be_sure` may be believed."""
        return before is None or (
            self.is_sure(self._clock.elapsed()) and self.knowledge.epoch == before.epoch and before.epoch != 0
        )
