"""
What goes in and out of the JSON interface. Floor 6; may import: floors 0 to 5.

Rules of this module:

1. Times are whole seconds since 1970 UTC, as in a JWT.
2. Nothing that goes out holds a session token or a hash. Other tokens are in :class:`TokenOut` and its kind only.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from coatcheck import Session
from coatcheck.server.database.base import Entry, User

Name = Annotated[str, Meta(min_length=1, max_length=1024, description="The name of an account.")]
Password = Annotated[
    str, Meta(min_length=1, max_length=1024, description="As typed; new ones have 8 to 256 characters.")
]


class Body(Struct, frozen=True, forbid_unknown_fields=True):
    """What comes in. A field that nobody knows is a mistake, and said to be one."""


class SignIn(Body, frozen=True):
    """Who signs in. With mode ``token``, programs get tokens instead of a cookie, if their client may."""

    username: Name
    password: Password
    mode: Literal["cookie", "token"] = "cookie"
    client_id: Annotated[str, Meta(max_length=64)] | None = None


class TokenRequest(Body, frozen=True):
    """Whom an access token is to be for."""

    audience: Annotated[str, Meta(min_length=1, max_length=255)]


class TokenOut(Struct, frozen=True, kw_only=True):
    """An access token for the page that asked."""

    access_token: str
    expires_in: int
    token_type: str = "Bearer"


class TokenPairOut(TokenOut, frozen=True, kw_only=True):
    """Tokens for a client without cookies."""

    refresh_token: str


class SetUp(Body, frozen=True):
    """The first administrator, and the code that the server printed."""

    code: Annotated[str, Meta(max_length=128, description="What the server printed at its first start.")]
    username: Name
    password: Password


class Fresh(Body, frozen=True):
    """One's own password."""

    password: Password


class NewPassword(Body, frozen=True):
    """One's password, and the one to have from now on."""

    current_password: Password
    new_password: Password


class NewUser(Body, frozen=True):
    """An account to be added."""

    username: Name
    password: Password
    admin: bool = False


class UserChange(Body, frozen=True):
    """What is to be changed; what is left out stays."""

    admin: bool | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET
    password: Password | UnsetType = UNSET


class DeviceOut(Struct, frozen=True):
    """Where a session was opened, as the request told it. Hostile text."""

    ip: str | None
    user_agent: str | None


class SessionOut(Struct, frozen=True, kw_only=True):
    """A session. Times are seconds since 1970 UTC."""

    sid: str
    sub: str
    name: str
    roles: list[str]
    amr: list[str]
    created_at: int
    auth_time: int
    seen_at: int
    expires_at: int
    device: DeviceOut
    current: bool
    fresh: bool


class UserOut(Struct, frozen=True, kw_only=True):
    """An account. Times are seconds since 1970 UTC."""

    id: str
    name: str
    admin: bool
    disabled: bool
    created_at: int
    password_at: int


class EntryOut(Struct, frozen=True, kw_only=True):
    """A line of the audit trail."""

    number: int
    at: int
    event: str
    actor: str | None
    user: str | None
    sid: str | None
    device: DeviceOut
    detail: dict[str, Any]


class Sessions(Struct, frozen=True):
    """Sessions."""

    sessions: list[SessionOut]


class Users(Struct, frozen=True):
    """Accounts in the order of their names. next: to be given as ``after`` for those that follow; null at the end."""

    users: list[UserOut]
    next: str | None


class Trail(Struct, frozen=True):
    """Entries, newest first. next: to be given as ``before`` for those that follow; null at the end."""

    entries: list[EntryOut]
    next: int | None


def session_out(session: Session, *, current: str | None, fresh: bool) -> SessionOut:
    """Return *session* as it is shown."""
    return SessionOut(
        sid=session.sid,
        sub=session.sub or "",
        name=session.claims.get("name", ""),
        roles=list(session.claims.get("roles", ())),
        amr=list(session.amr),
        created_at=session.created_at,
        auth_time=session.auth_time or session.created_at,
        seen_at=session.seen_at,
        expires_at=session.expires_at,
        device=DeviceOut(session.device.ip, session.device.user_agent),
        current=session.sid == current,
        fresh=fresh,
    )


def user_out(user: User) -> UserOut:
    """Return *user* as it is shown."""
    return UserOut(
        id=user.id,
        name=user.name,
        admin=user.is_admin,
        disabled=user.is_disabled,
        created_at=user.created_at,
        password_at=user.password_at,
    )


def entry_out(entry: Entry) -> EntryOut:
    """Return *entry* as it is shown."""
    return EntryOut(
        number=entry.number,
        at=entry.at,
        event=entry.event.value,
        actor=entry.actor,
        user=entry.user,
        sid=entry.sid,
        device=DeviceOut(entry.device.ip, entry.device.user_agent),
        detail=dict(entry.detail),
    )
