"""
Is this session over? Floor 1; may import: floor 0.

Rules of this module:

1. Ends are exclusive: at its last second a session is already over.
2. The stricter of the session's own limits and today's policy holds, so lowering a policy takes effect at once.
"""

from __future__ import annotations

from coatcheck.policy import Policy
from coatcheck.records import Reason, Session


def ends_at(session: Session, policy: Policy) -> int:
    """Return the second at which *session* is over however busy it is."""
    return min(session.expires_at, session.created_at + policy.absolute_s)


def idle_s(session: Session, policy: Policy) -> int:
    """Return the seconds without activity after which *session* is over."""
    return min(session.idle_s, policy.idle_s)


def judge(session: Session, *, now: int, policy: Policy) -> Reason | None:
    """Return why *session* is over at *now*, or None while it lives."""
    if now >= ends_at(session, policy):
        return Reason.EXPIRED
    if now >= session.seen_at + idle_s(session, policy):
        return Reason.IDLE
    return None


def lifetimes(policy: Policy, *, idle_s: int | None, absolute_s: int | None) -> tuple[int, int]:
    """Return ``(idle_s, absolute_s)`` of a new session: what was asked for, never above the policy."""
    absolute = min(policy.absolute_s, policy.absolute_s if absolute_s is None else absolute_s)
    return min(policy.idle_s, absolute, policy.idle_s if idle_s is None else idle_s), absolute
