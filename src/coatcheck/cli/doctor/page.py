"""
What is in a page: forms, links, scripts. Floor 6; may import: nothing of ours.

Read, never run. What a script would add to a page is not seen.
"""

from __future__ import annotations

from html.parser import HTMLParser

import msgspec

Attributes = list[tuple[str, str | None]]


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


class Page(HTMLParser):
    """
    A page, taken apart.

    Attributes:
        forms, links, scripts: What there is; *metas* by their names in small letters.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.scripts: list[dict[str, str]] = []
        self.loads: list[str] = []
        self.metas: dict[str, str] = {}
        self._form: Form | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        """See :class:`html.parser.HTMLParser`."""
        has = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(method=has.get("method", "get").lower(), action=has.get("action", ""))
            self.forms.append(self._form)
        elif tag in ("input", "button") and self._form is not None:
            self._form.fields.append(has)
        elif tag == "a" and "href" in has:
            self.links.append(has["href"])
        elif tag == "meta":
            self.metas[has.get("name", has.get("http-equiv", "")).lower()] = has.get("content", "")
        elif tag == "script" and "src" in has:
            self.scripts.append(has)
        if tag in ("script", "iframe") and "src" in has:
            self.loads.append(has["src"])
        elif tag == "link" and "stylesheet" in has.get("rel", "").lower():
            self.loads.append(has.get("href", ""))
            self.scripts.append(has | {"src": has.get("href", "")})

    def handle_endtag(self, tag: str) -> None:
        """See :class:`html.parser.HTMLParser`."""
        if tag == "form":
            self._form = None
