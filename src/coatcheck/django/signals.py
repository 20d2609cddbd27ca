"""
What happens when somebody logs in, or changes. Floor 5; may import: floors 0 to 4, Django.

Rules of this module:

1. A changed password, a user who was made inactive and one who is gone end their sessions everywhere, access tokens
   included. After the commit: an old password that is used until then gets a session, too, and it ends with the others.
2. The session of the request that changes its own user's password stays, if Django says so
   (``update_session_auth_hash``).
"""

from __future__ import annotations

import functools
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest

from coatcheck.django.calls import device_of
from coatcheck.django.conf import engine, options
from coatcheck.django.middleware import now_served
from coatcheck.django.store import SessionStore


def connect() -> None:
    """Hear of it from now on."""
    user_logged_in.connect(_logged_in, dispatch_uid="coatcheck")
    post_save.connect(_saved, sender=get_user_model(), dispatch_uid="coatcheck")
    post_delete.connect(_deleted, sender=get_user_model(), dispatch_uid="coatcheck")


def _logged_in(*, request: HttpRequest, user: Any, **_: Any) -> None:
    store = getattr(request, "session", None)
    if isinstance(store, SessionStore):
        store.find_device = functools.partial(device_of, request)
        claims = options().claims
        if claims is not None:
            store.claims = {**claims(user), **(store.claims or {})}


def _saved(*, instance: Any, created: bool, using: str | None, **_: Any) -> None:
    # As AbstractBaseUser.save() itself tells: set by set_password(), and not by the upgrade of an old hash.
    has_changed = getattr(instance, "_password", None) is not None
    if not created and (has_changed or not getattr(instance, "is_active", True)):
        reason = "password changed" if has_changed else "user is not active"
        transaction.on_commit(functools.partial(_end, _key(instance), reason), using=using)


def _deleted(*, instance: Any, using: str | None, **_: Any) -> None:
    transaction.on_commit(functools.partial(_end, _key(instance), "user deleted"), using=using)


def _key(user: Any) -> str:
    return str(user._meta.pk.value_to_string(user))  # noqa: SLF001  Django's own way to write a key


def _end(sub: str, reason: str) -> None:
    store = now_served()
    mine = None if store is None else store.record
    keep = None
    if store is not None and mine is not None and mine.sub == sub:
        keep, store.must_prove = mine.sid, True  # the middleware ends it, unless Django says that it goes on
    engine().revoke_user(sub, keep=keep, reason=reason)
