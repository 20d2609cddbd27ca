"""
What a session is at its beginning, and what it becomes at a renewal. Floor 1; may import: floor 0 and lifetime.

Rules of this module:

1. No lifetime is ever above the policy's.
2. A renewal never moves the absolute end. A sign-in does: from there on the session is somebody's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from coatcheck import arguments
from coatcheck.decide.lifetime import lifetimes
from coatcheck.errors import InvalidInput
from coatcheck.policy import Policy
from coatcheck.records import Device, Session


def new_session(
    sid: str,
    sub: str | None,
    *,
    now: int,
    policy: Policy,
    claims: Mapping[str, Any] | None = None,
    amr: Iterable[str] = (),
    device: Device | None = None,
    idle_s: int | None = None,
    absolute_s: int | None = None,
    persistent: bool = True,
) -> Session:
    """Return a session that begins at *now*, signed in if it has a subject."""
    idle, absolute = policy.idle_s, policy.absolute_s
    if idle_s is not None or absolute_s is not None:
        asked = {"idle_s": arguments.whole(idle_s, "idle_s"), "absolute_s": arguments.whole(absolute_s, "absolute_s")}
        idle, absolute = lifetimes(policy, **asked)
    return Session(
        sid=sid,
        sub=sub,
        claims=arguments.claims(claims),
        amr=arguments.methods(amr),
        created_at=now,
        auth_time=None if sub is None else now,
        seen_at=now,
        expires_at=now + absolute,
        idle_s=idle,
        persistent=bool(persistent),
        device=arguments.device(device),
    )


def renewed(
    session: Session,
    *,
    now: int,
    policy: Policy,
    sub: str | None,
    claims: Mapping[str, Any] | None,
    amr: Iterable[str] | None,
    device: Device | None,
) -> Session:
    """
    Return *session* as it is after a renewal. What is None stays.

    Raises:
        InvalidInput: *sub* is not the session's own: its data would fall into somebody else's hands.
    """
    if sub is not None and session.sub not in (None, arguments.subject(sub)):
        raise InvalidInput("sub", "is not the subject of this session", "revoke it and sign the other subject in")
    if sub is not None and session.sub is None:
        idle, absolute = lifetimes(policy, idle_s=None, absolute_s=None)
        session = replace(session, sub=sub, created_at=now, idle_s=idle, expires_at=now + absolute)
    return replace(
        session,
        claims=session.claims if claims is None else arguments.claims(claims),
        amr=session.amr if amr is None else arguments.methods(amr),
        device=session.device if device is None else arguments.device(device),
        auth_time=session.auth_time if sub is None and amr is None else now,
        seen_at=max(now, session.seen_at),
        version=session.version + 1,
    )
