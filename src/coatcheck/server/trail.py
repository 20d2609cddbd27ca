"""
Writing the audit trail. Floor 6; may import: floors 0 to 5.

Rules of this module:

1. What a stranger can cause is bounded in rate; what is over the rate is counted, not kept.
2. No entry holds a token or a password. A name that nobody has is kept as a keyed hash (:func:`visitor.hidden`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coatcheck.clock import Clock
from coatcheck.records import Device
from coatcheck.server.database.base import Database, Entry, Event
from coatcheck.server.visitor import Visitor

BY_STRANGERS_PER_MINUTE = 120
KEPT_S = 90 * 86400
COMMAND = "command"
_BY_STRANGERS = frozenset({Event.SIGN_IN_FAILED, Event.SET_UP_FAILED})


class Trail:
    """The audit trail of one database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.count: Callable[[str], None] = lambda event: None  # the metrics' ear, if there is one

    async def note(
        self,
        event: Event,
        visitor: Visitor | None,
        *,
        user: str | None = None,
        sid: str | None = None,
        actor: str | None = None,
        **detail: Any,
    ) -> None:
        """
        Write down what happened now.

        Args:
            visitor: Who caused it: from where, and unless *actor* says so, who. None for the command line.

            user, sid: What it is about.
        """
        self.count(event.value)
        session = visitor.session if visitor else None
        entry = Entry(
            at=self._clock.now(),
            event=event,
            actor=actor or (COMMAND if visitor is None else session.sub if session else None),
            user=user,
            sid=sid,
            device=visitor.device if visitor else Device(),
            detail=detail,
        )
        most = BY_STRANGERS_PER_MINUTE if event in _BY_STRANGERS else None
        await self._database.note(entry, most_per_minute=most)
