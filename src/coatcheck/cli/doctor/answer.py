"""
One answer of a site, and the cookies in it. Floor 6; may import: floor 0.

Rules of this module:

1. A cookie is read as browsers read it (RFC 6265bis, section 5.6), whatever the site meant.
2. The value of a cookie is for counting and comparing; nothing here shows it.
"""

from __future__ import annotations

import math
import re
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote

import msgspec

from coatcheck.tokens import base64url

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
# By names that frameworks use; a word that merely holds one (sidebar, author) is none.
_SESSION = re.compile(
    r"session|sess(?:id|$|[^a-z])|(?:^|[^a-z])sid(?:$|[^a-z])|auth(?!or)|token|jwt|login|remember_?(?:me|token)|identity"
    r"|ticket(?:$|[^a-z])",
    re.IGNORECASE,
)
_NOT_SESSION = re.compile(r"c[sr]f|xsrf|csrf|locale|lang|theme|consent", re.IGNORECASE)
# It begins where a word does: else a page of nothing but beginnings would be read again from each of them.
_JWT = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_NAME_SHOWN = 64


class Cookie(msgspec.Struct, frozen=True, kw_only=True):
    """
    A cookie as a browser takes it.

    Attributes:
        attributes: In small letters, the last of each name; those without a value have an empty one.
    """

    name: str
    value: str
    attributes: dict[str, str]

    def __repr__(self) -> str:
        return f"Cookie({self.name!r})"

    @property
    def shown(self) -> str:
        """Its name, for people."""
        return self.name[:_NAME_SHOWN]

    def has(self, attribute: str) -> bool:
        """Say whether it has the attribute."""
        return attribute in self.attributes

    @property
    def same_site(self) -> str:
        """``lax``, ``strict`` or ``none``; empty where it says none of them."""
        said = self.attributes.get("samesite", "").lower()
        return said if said in ("lax", "strict", "none") else ""

    def lives_s(self, now: int) -> float | None:
        """Return for how long a browser keeps it, seconds; None: until its window closes."""
        age = self.attributes.get("max-age", "")
        if re.fullmatch(r"-?\d{1,12}", age):
            return int(age)
        try:
            return parsedate_to_datetime(self.attributes["expires"]).timestamp() - now
        except (KeyError, ValueError, TypeError, OverflowError):
            return None

    def is_deletion(self, now: int) -> bool:
        """Say whether it takes a cookie away."""
        lives_s = self.lives_s(now)
        return not self.value or (lives_s is not None and lives_s <= 0)

    @property
    def looks_like_session(self) -> bool:
        """Whether its name or its value is that of a session."""
        named = _SESSION.search(self.name) and not _NOT_SESSION.search(self.name)
        return bool(named) or self.jwt is not None

    @property
    def jwt(self) -> str | None:
        """The JWT that is its value, or a part of it."""
        found = _JWT.search(unquote(self.value))
        return found[0] if found else None

    @property
    def is_uuid(self) -> bool:
        """Whether the value is a UUID."""
        return bool(_UUID.fullmatch(unquote(self.value).strip('"')))

    @property
    def most_bits(self) -> float:
        """At most so many random bits are in the value: its length by its alphabet."""
        value = unquote(self.value).strip('"')
        for letters, count in (("0-9", 10), ("0-9a-f-", 16), ("0-9A-F-", 16), ("a-z0-9", 36), ("A-Z0-9", 36)):
            if re.fullmatch(f"[{letters}]+", value):
                return len(value) * math.log2(count)
        return len(value) * 6.0


def cookie(field: str) -> Cookie | None:
    """Read a ``Set-Cookie`` field; None where a browser drops it for its form."""
    pair, *rest = field.split(";")
    name, equals, value = pair.partition("=")
    if not equals or not name.strip():
        return None
    attributes: dict[str, str] = {}
    for part in rest:
        key, _, said = part.partition("=")
        attributes[key.strip().lower()] = said.strip()
    return Cookie(name=name.strip(), value=value.strip(), attributes=attributes)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """
    An answer.

    Attributes:
        what: What it answers, for people: ``GET /sign-in``. path: what was asked for, with the query; empty where that
            is not known.

        fields: Names in small letters. is_cut: whether the body was longer than what was read.
    """

    what: str
    path: str = ""
    status: int
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    is_cut: bool = False

    def __repr__(self) -> str:
        return f"Answer({self.what!r}, {self.status})"

    def all(self, name: str) -> list[str]:
        """Return the fields called so."""
        return [value for key, value in self.fields if key == name]

    def one(self, name: str) -> str | None:
        """Return what the fields called so say together; None where there is none."""
        found = self.all(name)
        return ", ".join(found) if found else None

    @property
    def cookies(self) -> list[Cookie]:
        """The cookies it sets or deletes."""
        return [found for field in self.all("set-cookie") if (found := cookie(field)) is not None]

    @property
    def is_html(self) -> bool:
        """Whether it says that it is a page."""
        return (self.one("content-type") or "").partition(";")[0].strip().lower() in (
            "text/html",
            "application/xhtml+xml",
        )

    @property
    def text(self) -> str:
        """The body, as far as it was read."""
        return self.body.decode("utf-8", "replace")

    @property
    def directives(self) -> dict[str, str]:
        """Cache-Control, taken apart."""
        parts = (part.strip().partition("=") for part in (self.one("cache-control") or "").lower().split(","))
        return {name.strip(): value.strip('" ') for name, _, value in parts if name.strip()}

    def json(self) -> Any:
        """Return the body as JSON; None where it is none."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


def jwts_in(text: str) -> list[str]:
    """Return the JWTs in *text*."""
    return list(dict.fromkeys(_JWT.findall(text)))


def jwt_parts(token: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return header and claims of a JWT, unverified; None where it is none."""
    parts = [_part(text) for text in token.split(".")[:2]]
    return (parts[0], parts[1]) if parts[0] is not None and parts[1] is not None else None


def _part(text: str) -> dict[str, Any] | None:
    raw = base64url.decode(text)
    try:
        return None if raw is None else msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
