"""
What callers may pass in. Floor 0; may import: errors, records, values.

Rules of this module:

1. Every check names the argument and the remedy, and shows no value that could be a token.
2. What is returned is ours: no later change of the caller's object reaches it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from coatcheck.errors import InvalidInput
from coatcheck.records import Device
from coatcheck.values import NOTHING, FrozenDict, checked, checked_keys, decode_frozen, fitted, recognised

CLAIMS_BYTES = 8 * 1024
SUBJECT_LONGEST = 255
NOTE_LONGEST = 200
_NOWHERE = Device()


def subject(sub: Any) -> str:
    """Return *sub*; refuse what is not 1 to 255 printable characters."""
    if not isinstance(sub, str) or not 1 <= len(sub) <= SUBJECT_LONGEST or not sub.isprintable():
        remedy = "give the subject's identifier, one that is never used for somebody else"
        raise InvalidInput("sub", f"is not 1 to {SUBJECT_LONGEST} printable characters", remedy)
    return sub


def is_sid(text: Any) -> bool:
    """Say whether *text* could be a ``sid`` at all. What could not is unknown, and never reaches a store."""
    return isinstance(text, str) and 1 <= len(text) <= SUBJECT_LONGEST and text.isprintable()


def sid(text: Any, field: str) -> str:
    """Return *text*; refuse what could not be a ``sid``."""
    if not is_sid(text):
        raise InvalidInput(field, "is not a sid", "give the sid of a Session")
    return str(text)


def claims(given: Mapping[str, Any] | None) -> FrozenDict:
    """Return *given* as read-only JSON of at most 8 KiB."""
    if given is None:
        return NOTHING
    if (known := recognised(given)) is not None:
        return known
    return decode_frozen(fitted(checked(given, field="claims"), limit=CLAIMS_BYTES, field="claims"))


def methods(amr: Iterable[str]) -> tuple[str, ...]:
    """Return the authentication methods *amr*: at most 16 short words (RFC 8176)."""
    return _methods(amr) if type(amr) is tuple else _methods(tuple(checked_keys(amr, field="amr")))


@functools.lru_cache(256)  # the same few combinations at every sign-in
def _methods(words: tuple[str, ...]) -> tuple[str, ...]:
    checked_keys(words, field="amr")
    if len(words) > 16 or not all(0 < len(word) <= 32 and word.isprintable() for word in words):
        raise InvalidInput("amr", "is not a few short words", 'give RFC 8176 values, such as ("pwd", "otp")')
    return words


def device(given: Any) -> Device:
    """Return *given*, or a device of which nothing is known."""
    if given is not None and not isinstance(given, Device):
        raise InvalidInput("device", f"is {type(given).__name__}", "give a coatcheck.Device")
    return given or _NOWHERE


def whole(value: Any, field: str) -> int | None:
    """Return *value*; refuse what is neither None nor a whole number above 0."""
    if value is not None and (type(value) is not int or value < 1):
        raise InvalidInput(field, "is not a whole number above 0", "give a number, or leave it out")
    return value


def note(reason: Any) -> str:
    """Return the free text *reason*; refuse more than 200 printable characters."""
    if not isinstance(reason, str) or len(reason) > NOTE_LONGEST or not reason.isprintable():
        raise InvalidInput("reason", f"is not at most {NOTE_LONGEST} printable characters", "shorten it")
    return reason


def audience(value: object) -> tuple[str, ...]:
    """
    Return whom a token is for, as a tuple.

    Raises:
        InvalidInput: Nobody, more than 16, or something else than text of 1 to 255 printable characters.
    """
    if type(value) is str:
        return _one_audience(value)
    many = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else ()
    if not 1 <= len(many) <= 16 or not all(_is_name(one) for one in many) or len(set(many)) != len(many):
        raise InvalidInput("audience", "is not one to 16 names, each once", 'give audience="orders"')
    return many


def one_audience(value: object) -> str:
    """
    Return who asks about a token.

    Raises:
        InvalidInput: Not text of 1 to 255 printable characters. Several would leave open which of them is meant.
    """
    if type(value) is not str:
        raise InvalidInput("audience", "is not one name", 'give audience="orders"')
    return _one_audience(value)[0]


@functools.lru_cache(maxsize=1024)
def _one_audience(value: str) -> tuple[str]:
    if not _is_name(value):
        raise InvalidInput("audience", "is not text of 1 to 255 printable characters", 'give audience="orders"')
    return (value,)


@functools.lru_cache(maxsize=1024)
def _client_id(value: str) -> str:
    if not _is_name(value):
        raise InvalidInput("client_id", "is not text of 1 to 255 printable characters", 'give client_id="cli"')
    return value


def client_id(value: object) -> str:
    """
    Return the name of a client.

    Raises:
        InvalidInput: It is not text of 1 to 255 printable characters.
    """
    return _client_id(value if type(value) is str else "")


def kid(value: object) -> str:
    """
    Return the name of a key.

    Raises:
        InvalidInput: It is not text of 1 to 255 printable characters.
    """
    if not _is_name(value):
        raise InvalidInput("kid", "is not the name of a key", 'give a "kid" of auth.jwks()')
    return str(value)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 255 and value.isprintable()
