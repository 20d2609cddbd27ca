"""
System checks: what would be unsafe is refused before anybody is served. Floor 5; may import: floors 0 to 4, Django.

``manage.py check``, ``runserver`` and ``migrate`` run them; so does a server that asks for it (the how-to says how).
While ``DEBUG`` is on, what only matters on the network is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Hint
from django.utils.module_loading import import_string

from coatcheck.django.conf import engine, options
from coatcheck.errors import CoatcheckError

_ENGINE = "coatcheck.django"


def look(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """Return what is wrong."""
    if settings.SESSION_ENGINE != _ENGINE:
        text = "SESSION_ENGINE is not ours, so sessions are kept elsewhere."
        return [Hint(text, hint=f'Set SESSION_ENGINE = "{_ENGINE}".', id="coatcheck.W001")]
    return [*_settings(), *_cookie(), *_middleware()]


def _settings() -> Iterator[CheckMessage]:
    try:
        engine()  # made, not opened
        found = options()
    except CoatcheckError as error:
        yield Error(str(error), id="coatcheck.E002")
        return
    if found.store.startswith("memory:"):
        text = "COATCHECK['STORE'] is memory://: each process has sessions of its own, and forgets them at its end."
        yield _serious(text, "Use sqlite:///, postgresql:// or valkey://.", 3)
    if not found.policy.origins:
        text = "COATCHECK['ORIGINS'] is empty, so only browsers that send Sec-Fetch-Site can do without CSRF tokens."
        yield Hint(text, hint='Name the addresses: ("https://app.example.com",).', id="coatcheck.W004")
    if found.policy.absolute_s < settings.SESSION_COOKIE_AGE:
        text = "SESSION_COOKIE_AGE is above what the policy lets a session live, so cookies outlive their sessions."
        hint = f"Lower it to {found.policy.absolute_s} at most, or give another POLICY."
        yield Hint(text, hint=hint, id="coatcheck.W005")


def _cookie() -> Iterator[CheckMessage]:
    name = settings.SESSION_COOKIE_NAME
    if not settings.SESSION_COOKIE_SECURE:
        text = "SESSION_COOKIE_SECURE is off: the session travels in the clear, for anybody on the way to take."
        yield _serious(text, "Set SESSION_COOKIE_SECURE = True. Browsers take it on http://localhost, too.", 6)
    if not settings.SESSION_COOKIE_HTTPONLY:
        text = "SESSION_COOKIE_HTTPONLY is off: any script in a page can read the session's key."
        yield Error(text, hint="Remove the setting.", id="coatcheck.E007")
    if settings.SESSION_COOKIE_SAMESITE not in ("Lax", "Strict"):
        text = "SESSION_COOKIE_SAMESITE lets other sites send the session along."
        yield _serious(text, 'Set "Lax" or "Strict".', 8)
    is_host = name.startswith("__Host-")
    if is_host and (
        settings.SESSION_COOKIE_DOMAIN or settings.SESSION_COOKIE_PATH != "/" or not settings.SESSION_COOKIE_SECURE
    ):
        text = "SESSION_COOKIE_NAME begins with __Host-, and browsers refuse such a cookie with these settings."
        hint = "It must be Secure, with the path / and without a domain."
        yield Error(text, hint=hint, id="coatcheck.E009")
    if not is_host:
        text = "SESSION_COOKIE_NAME does not begin with __Host-, so a sibling domain can set one of its own."
        yield Hint(text, hint='Set SESSION_COOKIE_NAME = "__Host-session".', id="coatcheck.W010")
    if "Pickle" in str(settings.SESSION_SERIALIZER):
        text = "SESSION_SERIALIZER unpickles: who can write to the store can run code here."
        yield Error(text, hint="Remove the setting; data are JSON here anyway.", id="coatcheck.E011")


def _middleware() -> Iterator[CheckMessage]:
    from django.contrib.sessions.middleware import SessionMiddleware as Djangos
    from django.middleware.csrf import CsrfViewMiddleware

    from coatcheck.django.middleware import SessionMiddleware

    kinds = [found for path in settings.MIDDLEWARE if isinstance(found := _kind(path), type)]
    if not any(issubclass(kind, Djangos) for kind in kinds):
        text = "There is no session middleware, so nobody can log in."
        hint = 'Put "coatcheck.django.middleware.SessionMiddleware" into MIDDLEWARE.'
        yield Error(text, hint=hint, id="coatcheck.E012")
    elif not any(issubclass(kind, SessionMiddleware) for kind in kinds):
        text = "Django's own session middleware answers 500 while the store is away, and deletes cookies of others."
        hint = 'Put "coatcheck.django.middleware.SessionMiddleware" in its place.'
        yield Hint(text, hint=hint, id="coatcheck.W013")
    if not any(issubclass(kind, CsrfViewMiddleware) for kind in kinds):
        text = "There is no CSRF middleware: other sites can act in your users' name."
        hint = 'Put "coatcheck.django.middleware.CsrfMiddleware" into MIDDLEWARE.'
        yield _serious(text, hint, 14)


def _kind(path: str) -> Any:
    try:
        return import_string(path)
    except ImportError:
        return None  # Django itself says so


def _serious(text: str, hint: str, number: int) -> CheckMessage:
    if settings.DEBUG:
        return Hint(text, hint=hint, id=f"coatcheck.W{number:03}")
    return Error(text, hint=hint, id=f"coatcheck.E{number:03}")
