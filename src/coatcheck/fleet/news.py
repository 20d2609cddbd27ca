"""
What a feed says over HTTP, in both directions: ``docs/reference/feed.md``. Floor 3; may import: floors 0 to 2.

Rules of this module:

1. Names and meanings are a contract with programs in other languages. What is added later must be something that they
   may overlook.
2. What goes out says which sessions ended or changed, and nothing else about them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

PATH = "/feed"

MOST = 2**53
"""Whole numbers up to here are the same in every language."""

Number = Annotated[int, Meta(ge=0, le=MOST)]
NodeName = Annotated[str, Meta(min_length=32, max_length=32, pattern="^[0-9a-f]*$")]


Told = Literal["revoked", "renewed", "claims"]


class Poll(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """
    One request of a node. Without ``node`` it joins; with it, it is a heartbeat.

    Attributes:
        node: As the answer to the join named it. label: for people, said at the join: host and process.

        beat: A counter, higher each time.

        applied: Everything up to this position is applied, keys included. epoch: of the log that it belongs to.

        wait_s: How long to hold the answer when there is nothing new, seconds; a quarter of the lease at most, which it
            also is when left out.
    """

    node: NodeName | None = None
    label: Annotated[str, Meta(max_length=100)] = ""
    beat: Number = 0
    applied: Number = 0
    epoch: Number = 0
    wait_s: Annotated[float, Meta(ge=0, le=60)] | None = None


class Line(Struct, frozen=True, kw_only=True):
    """
    One line of the change log: access tokens of session ``sid`` with a ``ver`` below ``version`` are refused.

    Attributes:
        position: Its place in the log.

        kind: Whether the session was ``revoked`` (then no version counts any more), ``renewed``, or had its ``claims``
            changed.
    """

    position: int
    kind: Told
    sid: str
    version: int


class News(Struct, frozen=True, kw_only=True):
    """
    The answer: what is new after ``applied``; to a join, every line that is not forgotten yet.

    Attributes:
        node: To be given with the next request.

        epoch: Of the log. trimmed: lines up to this position are forgotten. head: the newest position.

        upto: Everything up to this position is in this answer; below ``head`` there is more to ask for.

        changes: Lines, the oldest first; positions that concern no access token are left out.

        keys: The JWK set that counts from here on, in place of the one before; missing when it has not changed.

        lease_s: The lease, seconds.
    """

    node: str
    epoch: int
    trimmed: int
    head: int
    upto: int
    changes: list[Line]
    lease_s: float
    keys: dict[str, Any] | UnsetType = UNSET
