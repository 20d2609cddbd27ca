"""
The setting ``COATCHECK``, and the engine that it makes. Floor 5; may import: floors 0 to 4, Django.

Rules of this module:

1. One engine for the process, made at the first use, opened at its own. A forked worker has one of its own.
2. What is wrong is said by name: the system checks ask :func:`options` before anybody is served.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from coatcheck import blocking
from coatcheck.errors import ConfigError
from coatcheck.http.headers import Network, networks
from coatcheck.policy import CAREFUL, EVERYDAY, STRICT, Policy

PRESETS = {"EVERYDAY": EVERYDAY, "CAREFUL": CAREFUL, "STRICT": STRICT}
_KEYS = ("STORE", "POLICY", "ORIGINS", "ISSUER", "AUDIENCE", "SECRET", "CLAIMS", "TRUSTED_PROXIES", "TOKEN_USER")


@dataclass(frozen=True, kw_only=True)
class Options:
    """
    ``settings.COATCHECK``, read and checked.

    Attributes:
        store: ``STORE``, a store URL; else ``coatcheck.db`` in ``settings.BASE_DIR``.

        policy: ``POLICY``, a Policy or the name of a preset, with ``ORIGINS``.

        issuer, audience, secret: For access tokens; the audience is the issuer where it is left out.

        claims: ``CLAIMS``, the path of a function: user -> what the session says of them.

        trusted: ``TRUSTED_PROXIES``, whose ``X-Forwarded-For`` counts.

        token_user: ``TOKEN_USER``, the path of a function: claims of an access token -> user, or None.
    """

    store: str
    policy: Policy
    issuer: str | None
    audience: str
    secret: Any
    claims: Callable[[Any], Mapping[str, Any]] | None
    trusted: tuple[Network, ...]
    token_user: Callable[[Any], Any] | None


_lock = threading.Lock()
_known: dict[str, Any] = {}


def options() -> Options:
    """
    Return the settings.

    Raises:
        ConfigError: One is wrong; it is named, as ``COATCHECK['…']``.
    """
    found = _known.get("options")
    if found is None:
        found = _known["options"] = _read(getattr(settings, "COATCHECK", {}))
    return found


def engine() -> blocking.Coatcheck:
    """
    Return the engine of this process. It opens itself at the first call that needs the store.

    Raises:
        ConfigError: A setting is wrong.
    """
    found = _known.get("engine")
    if found is None:
        with _lock:
            found = _known.get("engine") or _make(options())
            _known["engine"] = found
    return found


def reset() -> None:
    """Close the engine and forget the settings; the next use reads them anew. For tests."""
    with _lock:
        found = _known.pop("engine", None)
        _known.clear()
    if found is not None:
        found.close()


def _make(found: Options) -> blocking.Coatcheck:
    return blocking.Coatcheck(found.store, policy=found.policy, issuer=found.issuer, secret=found.secret)


def _read(given: Any) -> Options:
    if not isinstance(given, Mapping):
        raise ConfigError("COATCHECK", f"is {type(given).__name__}", 'give a dict, such as {"STORE": "sqlite:///…"}')
    unknown = [key for key in given if key not in _KEYS]
    if unknown:
        raise ConfigError(f"COATCHECK[{unknown[0]!a}]", "is no setting", f"the settings are {', '.join(_KEYS)}")
    issuer = given.get("ISSUER")
    return Options(
        store=_store(given.get("STORE")),
        policy=_policy(given.get("POLICY", "EVERYDAY"), given.get("ORIGINS", ())),
        issuer=issuer,
        audience=given.get("AUDIENCE") or issuer or "",
        secret=given.get("SECRET"),
        claims=_function(given, "CLAIMS"),
        trusted=networks(given.get("TRUSTED_PROXIES", ())),
        token_user=_function(given, "TOKEN_USER"),
    )


def _store(given: Any) -> str:
    if given is not None:
        return str(given)
    base = getattr(settings, "BASE_DIR", None)
    if base is None:
        raise ConfigError(
            "COATCHECK['STORE']", "is not set, and there is no BASE_DIR", 'give "sqlite:////…/coatcheck.db"'
        )
    return f"sqlite:///{Path(base).absolute() / 'coatcheck.db'}"


def _policy(given: Any, origins: Any) -> Policy:
    policy = PRESETS.get(given) if isinstance(given, str) else given
    if not isinstance(policy, Policy):
        raise ConfigError("COATCHECK['POLICY']", "is no policy", f"give a Policy, or one of {', '.join(PRESETS)}")
    named = (origins,) if isinstance(origins, str) else tuple(origins)
    return dataclasses.replace(policy, origins=named) if named else policy


def _function(given: Mapping[str, Any], key: str) -> Callable[[Any], Any] | None:
    path = given.get(key)
    if path is None or callable(path):
        return path
    try:
        found: Callable[[Any], Any] = import_string(path)
    except (ImportError, TypeError, AttributeError):
        raise ConfigError(
            f"COATCHECK[{key!r}]", f"{path!a} cannot be imported", 'give "package.module.function"'
        ) from None
    return found


def _changed(*, setting: str, **_: Any) -> None:
    if setting == "COATCHECK":
        reset()


setting_changed.connect(_changed)
