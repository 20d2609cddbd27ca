"""
Is this session enough for what is asked? Floor 1; may import: floor 0.

Rules of this module:

1. How long ago, and how, the visitor proved who they are is one question (sign in again: 401, RFC 9470), what they may
   do another (403).
2. What a session does not tell, it does not have: without ``auth_time`` nothing is fresh.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from coatcheck.errors import ConfigError
from coatcheck.records import Session

Wanted = str | tuple[str, Any] | Mapping[str, Any] | None


@dataclass(frozen=True)
class Lack:
    """
    Why a session is not enough.

    Attributes:
        status: 401: signing in again helps; 403: it does not.

        error: ``insufficient_user_authentication`` (RFC 9470, section 3) or ``insufficient_claims``.

        text: For people.

        max_age_s: How long ago the sign-in may be at most, seconds, where that is what is missing.
    """

    _: KW_ONLY
    status: int
    error: str
    text: str
    max_age_s: int | None = None

    def challenge(self, scheme: str) -> str:
        """Return the ``WWW-Authenticate`` value: RFC 9470 for ``Bearer``, the same words for ``Cookie``."""
        head = f'{scheme} realm="coatcheck", error="{self.error}", error_description="{self.text}"'
        return head if self.max_age_s is None else f'{head}, max_age="{self.max_age_s}"'


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """
    What a session must have, above being signed in.

    Args:
        fresh_s: The sign-in, or the last step-up, was at most so many seconds ago. Lower asks people more often.

        amr: Each of these methods was used (RFC 8176): ``("otp",)``.

        claim: A claim that must be there and true: ``"email_verified"``; or must be, or hold, a value: ``("roles",
            "admin")``; or several of these: ``{"roles": "admin", "plan": "pro"}``.

    Raises:
        ConfigError: One of them is not such a value.
    """

    fresh_s: int | None = None
    amr: Iterable[str] = ()
    claim: Wanted = None

    def __post_init__(self) -> None:
        if self.fresh_s is not None and (type(self.fresh_s) is not int or self.fresh_s < 1):
            raise ConfigError("fresh_s", "is not a whole number of seconds above 0", "give a number such as 300")
        amr = (self.amr,) if isinstance(self.amr, str) else tuple(self.amr)
        if not all(isinstance(one, str) and one for one in amr):
            raise ConfigError("amr", "is not a list of methods", 'give amr=("otp",)')
        object.__setattr__(self, "amr", amr)
        object.__setattr__(self, "claim", _claims(self.claim))

    def lack(self, session: Session, *, now: int) -> Lack | None:
        """Return what *session* lacks; None when it has everything."""
        if self.fresh_s is not None and (session.auth_time is None or now - session.auth_time > self.fresh_s):
            text = "Sign in again to do this"
            return Lack(status=401, error="insufficient_user_authentication", text=text, max_age_s=self.fresh_s)
        if missing := [one for one in self.amr if one not in session.amr]:
            text = f"This needs a sign-in with: {' '.join(missing)}"
            return Lack(status=401, error="insufficient_user_authentication", text=text)
        wanted: Mapping[str, Any] = self.claim  # type: ignore[assignment]  # as __post_init__ has left it
        if not all(_has(session.claims, name, value) for name, value in wanted.items()):
            return Lack(status=403, error="insufficient_claims", text="You are not allowed to do this")
        return None


_TRUE = object()


def _claims(wanted: Wanted) -> Mapping[str, Any]:
    if wanted is None:
        return {}
    if isinstance(wanted, str) and wanted:
        return {wanted: _TRUE}
    if isinstance(wanted, tuple) and len(wanted) == 2 and isinstance(wanted[0], str):
        return {wanted[0]: wanted[1]}
    if isinstance(wanted, Mapping) and all(isinstance(name, str) for name in wanted):
        return dict(wanted)
    raise ConfigError("claim", "names no claim", 'give claim="email_verified" or claim=("roles", "admin")')


def _has(claims: Mapping[str, Any], name: str, value: object) -> bool:
    found = claims.get(name)
    if value is _TRUE:
        return bool(found)
    if isinstance(found, (list, tuple)):
        return any(_same(one, value) for one in found)
    return name in claims and _same(found, value)


def _same(found: object, value: object) -> bool:
    return type(found) is type(value) and found == value  # 1 is not True
