"""From rows of any database to what they mean. Floor 6; may import: floors 0 to 2."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from coatcheck.records import Device
from coatcheck.server.database.base import Client, Duty, Entry, Event, User

USER = "id, name, is_admin, is_disabled, created_at, password_at"


def user_of(row: Sequence[Any]) -> User:
    """Return the account in the first columns of *row*, which are :data:`USER`."""
    ident, name, is_admin, is_disabled, created_at, password_at = row[:6]
    return User(
        id=ident,
        name=name,
        is_admin=bool(is_admin),
        is_disabled=bool(is_disabled),
        created_at=created_at,
        password_at=password_at,
    )


def duty_of(row: Sequence[Any]) -> Duty:
    """Return the duty in *row*: its number, whose it is, whether sessions end, which is kept, and for which client."""
    number, user, ends, keep, client = row
    return Duty(number=number, user=user, ends=bool(ends), keep=keep, client=client)


CLIENT = "id, secret, audiences, is_browser, may_sign_in, is_disabled, created_at"


def client_of(row: Sequence[Any]) -> Client:
    """Return the client in the columns :data:`CLIENT`."""
    ident, secret, audiences, is_browser, may_sign_in, is_disabled, created_at = row
    return Client(
        id=ident,
        secret=secret,
        audiences=tuple(json.loads(audiences)),
        is_browser=bool(is_browser),
        may_sign_in=bool(may_sign_in),
        is_disabled=bool(is_disabled),
        created_at=created_at,
    )


def entry_of(row: Sequence[Any]) -> Entry:
    """Return the entry in *row*: number, time, event, who, whose, which session, address, user agent, more as JSON."""
    number, at, event, actor, user, sid, ip, agent, detail = row
    return Entry(
        number=number,
        at=at,
        event=Event(event),
        actor=actor,
        user=user,
        sid=sid,
        device=Device(ip=ip, user_agent=agent),
        detail=json.loads(detail),
    )
