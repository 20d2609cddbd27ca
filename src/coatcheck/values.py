"""
JSON values: what claims and session data may hold. Floor 0; may import: errors.

Rules of this module:

1. What goes in comes out equal: text, whole numbers of 64 bits, finite numbers, booleans, null, lists, objects with
   text keys. Anything else is refused by name, not converted.
2. Values that several requests share cannot be changed in place (:class:`FrozenDict`, :class:`FrozenList`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import msgspec

from coatcheck.errors import InvalidInput

_DEEPEST = 32
_LARGEST = 2**63
_SHARED_LONGEST, _SHARED_MOST = 256, 1024
_PLAIN = frozenset({str, int, float, bool, type(None)})

encode = msgspec.json.Encoder(order="sorted").encode
"""JSON bytes of a checked value; equal values give equal bytes."""

_decode = msgspec.json.Decoder().decode


def _read_only(self: object, *args: object, **kwargs: object) -> NoReturn:
    raise TypeError("this value is shared and read-only; change it with update_claims() or update_data()")


class FrozenDict(dict[str, Any]):
    """A dict that cannot be changed; equal to the plain dict, and JSON encoders take it for one."""

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = _read_only
    clear = pop = popitem = setdefault = update = _read_only

    def __reduce__(self) -> tuple[Any, ...]:
        return (dict, (dict(self),))  # copies and pickles are plain, and the reader's own


class FrozenList(list[Any]):
    """A list that cannot be changed; equal to the plain list, and JSON encoders take it for one."""

    __slots__ = ()

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _read_only
    append = extend = insert = pop = remove = clear = sort = reverse = _read_only

    def __reduce__(self) -> tuple[Any, ...]:
        return (list, (list(self),))


def frozen(value: Any) -> Any:
    """Return *value* with every dict and list in it made read-only."""
    # Most of what is in them is plain, and not called for: this runs at every sign-in and for every new token.
    if isinstance(value, dict):
        return FrozenDict({key: at if type(at) in _PLAIN else frozen(at) for key, at in value.items()})
    if isinstance(value, list):
        return FrozenList([at if type(at) in _PLAIN else frozen(at) for at in value])
    return value


NOTHING = FrozenDict()


def decode(raw: bytes) -> dict[str, Any]:
    """Return the JSON object *raw*, the caller's own to change."""
    value: dict[str, Any] = _decode(raw)
    return value


_shared: dict[bytes, FrozenDict] = {b"{}": NOTHING}


def decode_frozen(raw: bytes) -> FrozenDict:
    """
    Return the JSON object *raw*, read-only.

    Equal short objects are one: claims such as ``{"roles":["member"]}`` come a hundred thousand times over.
    """
    known = _shared.get(raw)
    if known is None:
        known = frozen(_decode(raw))
        if len(raw) <= _SHARED_LONGEST:
            if len(_shared) >= _SHARED_MOST:
                _shared.clear()
            _shared[raw] = known
    return known


def recognised(value: Mapping[str, Any]) -> FrozenDict | None:
    """Return the shared object that equals *value*, when there is one already: then *value* need not be looked into."""
    if type(value) is not dict:
        return None
    try:
        known = _shared.get(encode(value))
    except Exception:
        return None  # whatever is wrong with it, checked() will say it by name
    # Compared, because other values have the same JSON text: a tuple, a date.
    return known if known is not None and known == value else None


def checked(value: Mapping[str, Any], *, field: str) -> dict[str, Any]:
    """
    Return a copy of the JSON object *value*.

    Raises:
        InvalidInput: Something in it is not JSON. ``field['key']`` is named, the value is not shown.
    """
    if not isinstance(value, Mapping):
        raise InvalidInput(field, f"is {type(value).__name__}, not a mapping", "give a dict with text keys")
    return _object(value, field, _DEEPEST)


def checked_keys(keys: Iterable[str], *, field: str) -> list[str]:
    """Return *keys* as a list of text; a single text is refused, since it would be read letter by letter."""
    try:
        found: list[Any] = [keys] if isinstance(keys, str) else list(keys)
    except TypeError:
        found = [None]
    if isinstance(keys, str) or not all(isinstance(key, str) for key in found):
        raise InvalidInput(field, "is not a list of text", 'give a list, such as ["cart"]')
    return found


def merged(old: Mapping[str, Any], change: Mapping[str, Any], unset: Iterable[str]) -> dict[str, Any]:
    """Return *old* with the keys of *change* set and those of *unset* gone."""
    gone = frozenset(unset)
    return {key: value for key, value in {**old, **change}.items() if key not in gone or key in change}


def fitted(value: dict[str, Any], *, limit: int, field: str) -> bytes:
    """
    Return *value* as JSON bytes.

    Raises:
        InvalidInput: More than *limit* bytes; the largest key is named.
    """
    raw = encode(value)
    if len(raw) <= limit:
        return raw
    largest = max(value, key=lambda key: len(encode(value[key])))
    problem = f"{len(raw)} bytes of JSON, {limit} are allowed, and this key is the largest"
    raise InvalidInput(f"{field}[{_shown(largest)}]", problem, "keep large values elsewhere and store a reference")


def _shown(key: object) -> str:
    return ascii(key if len(str(key)) <= 64 else str(key)[:64] + "…")


def _object(value: Mapping[Any, Any], field: str, depth: int) -> dict[str, Any]:
    for key in value:
        if not isinstance(key, str) or not _is_text(key):
            raise InvalidInput(f"{field}[{_shown(key)}]", "the key is not text", "use text keys")
    return {key: _any(inner, f"{field}[{_shown(key)}]", depth - 1) for key, inner in value.items()}


def _any(value: Any, field: str, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if depth <= 0:
        raise InvalidInput(field, f"is nested deeper than {_DEEPEST} levels", "flatten it")
    if type(value) is str and _is_text(value):
        return value
    if type(value) is int and -_LARGEST <= value < _LARGEST:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, Mapping):
        return _object(value, field, depth)
    if isinstance(value, list | tuple):
        return [_any(inner, f"{field}[{at}]", depth - 1) for at, inner in enumerate(value)]
    problem = f"is not JSON ({type(value).__name__})"
    raise InvalidInput(field, problem, "use text, finite numbers of 64 bits, booleans, None, lists and dicts")


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
