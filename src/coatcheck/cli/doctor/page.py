"""
What is in a page: forms, links, scripts. Floor 6; may import: nothing of ours.

Read, never run. What a script would add to a page is not seen.

Rules of this module:

1. A page is hostile text. Each letter is looked at a fixed number of times, whatever stands around it. The parser of
   the standard library takes minutes for some pages of 64 KiB (seen with Python 3.11.7), so it is not used.
2. What browsers discard is discarded: comments, what is inside scripts, a tag that does not end.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from html import unescape

import msgspec

_NAME = re.compile(r"[a-zA-Z][^\s/>]{0,64}")
_SPACE = re.compile(r"[\s/]*")
_ATTRIBUTE = re.compile(r"([^\s/>][^\s/>=]*)(\s*=\s*)?")
_UNQUOTED = re.compile(r"[^\s>]*")
_RAW = ("script", "style", "title", "textarea", "template", "noscript", "xmp", "iframe")
_MOST_TAGS = 20_000


class Form(msgspec.Struct, kw_only=True):
    """A form: how and where it is sent, and what is in it."""

    method: str
    action: str
    fields: list[dict[str, str]] = []

    @property
    def has_password(self) -> bool:
        """Whether it asks for a password."""
        return any(field.get("type", "").lower() == "password" for field in self.fields)

    @property
    def hidden(self) -> list[dict[str, str]]:
        """Its hidden fields."""
        return [field for field in self.fields if field.get("type", "").lower() == "hidden"]


class Page:
    """
    A page, taken apart.

    Attributes:
        forms, links: What there is. scripts: scripts and styles from elsewhere. loads: addresses of what it loads and
            runs. metas: by their names in small letters.
    """

    def __init__(self, text: str) -> None:
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.scripts: list[dict[str, str]] = []
        self.loads: list[str] = []
        self.metas: dict[str, str] = {}
        form: Form | None = None
        for tag, has in tags(text):
            if tag == "form":
                form = Form(method=has.get("method", "get").lower(), action=has.get("action", ""))
                self.forms.append(form)
            elif tag == "/form":
                form = None
            elif tag in ("input", "button") and form is not None:
                form.fields.append(has)
            else:
                self._add(tag, has)

    def _add(self, tag: str, has: dict[str, str]) -> None:
        if tag == "a" and "href" in has:
            self.links.append(has["href"])
        elif tag == "meta":
            self.metas[has.get("name", has.get("http-equiv", "")).lower()] = has.get("content", "")
        elif tag in ("script", "iframe") and "src" in has:
            self.loads.append(has["src"])
            if tag == "script":
                self.scripts.append(has)
        elif tag == "link" and "stylesheet" in has.get("rel", "").lower():
            self.loads.append(has.get("href", ""))
            self.scripts.append(has | {"src": has.get("href", "")})


@functools.lru_cache(16)
def page(text: str) -> Page:
    """Return a page, taken apart; the checks ask for the same few again and again."""
    return Page(text)


def tags(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the tags of a page with their attributes, in small letters; ends as ``/name``."""
    low = text.lower() if len(text.lower()) == len(text) else text
    at = 0
    for _ in range(_MOST_TAGS):
        at = text.find("<", at)
        if at < 0:
            return
        if text.startswith("<!--", at):
            end = text.find("-->", at + 4)
            if end < 0:
                return
            at = end + 3
            continue
        is_end = text.startswith("/", at + 1)
        name = _NAME.match(text, at + 1 + is_end)
        if name is None:
            at += 1
            continue
        has: dict[str, str] = {}
        after = _attributes(text, name.end(), has)
        if after is None:
            return
        at, tag = after, name[0].lower()
        yield f"/{tag}" if is_end else tag, has
        if tag in _RAW and not is_end:
            at = low.find(f"</{tag}", at)
            if at < 0:
                return


def _attributes(text: str, at: int, has: dict[str, str]) -> int | None:
    """Read attributes into *has*, the first of each name; return where the tag ends, None where it does not."""
    while True:
        at = _end(_SPACE, text, at)
        found = _ATTRIBUTE.match(text, at)
        if found is None:
            return at + 1 if at < len(text) else None
        at, value = found.end(), ""
        if found[2]:
            quote = text[at : at + 1]
            if quote in ('"', "'"):
                end = text.find(quote, at + 1)
                if end < 0:
                    return None
                value, at = text[at + 1 : end], end + 1
            else:
                end = _end(_UNQUOTED, text, at)
                value, at = text[at:end], end
        has.setdefault(found[1].lower(), unescape(value))


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()
