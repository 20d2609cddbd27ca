"""
All that was seen of a site. Floor 6; may import: floor 0.

The checks read this and ask nothing. What is not there was not seen, and that is another thing than being in order.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from coatcheck.cli.doctor.answer import Answer, Cookie
from coatcheck.cli.doctor.page import Page, page

STRANGER = "coatcheck-doctor.invalid"
"""A host that nobody has (RFC 2606), to see whether a site believes whoever names one."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was seen.

    Attributes:
        origin: What was asked, as browsers write it; empty where only files were read.

        is_local: Whether it is this machine, where browsers trust http. distrust: why its certificate is not accepted.

        visited: The page that was asked for, redirects on the way to it, and the page with the sign-in.

        missing: What it answers where there is nothing. cross: what it answers a page of a stranger. forwarded: what it
            answers who says by a proxy's header that the site has another name.

        metadata: RFC 8414 or OpenID Connect. jwks: what is where keys should be. skew_s: how far its clock is ahead.

        saved: Responses from files. session_name: of the session cookie, if somebody told.
    """

    origin: str = ""
    is_local: bool = False
    distrust: str | None = None
    visited: tuple[Answer, ...] = ()
    missing: Answer | None = None
    cross: Answer | None = None
    forwarded: Answer | None = None
    metadata: dict[str, Any] | None = None
    jwks: Answer | None = None
    skew_s: float | None = None
    saved: tuple[Answer, ...] = ()
    session_name: str | None = None
    now: int

    @property
    def is_https(self) -> bool:
        """Whether it was asked by https."""
        return self.origin.startswith("https:")

    @property
    def answers(self) -> tuple[Answer, ...]:
        """What a browser would get."""
        return self.visited + self.saved

    @property
    def documents(self) -> list[Answer]:
        """Answers that are shown, as against redirects."""
        shown = [answer for answer in self.visited if not 300 <= answer.status < 400]
        return [*shown, *(answer for answer in self.saved if answer.is_html and answer.status < 300)]

    @property
    def pages(self) -> list[tuple[Answer, Page]]:
        """The pages among them, taken apart."""
        return [(answer, page(answer.text)) for answer in self.documents if answer.is_html]

    @property
    def cookies(self) -> list[tuple[Answer, Cookie]]:
        """All cookies that are set, not deleted."""
        found = ((answer, cookie) for answer in self.answers for cookie in answer.cookies)
        return [(answer, cookie) for answer, cookie in found if not cookie.is_deletion(self.now)]

    @property
    def sessions(self) -> list[tuple[Answer, Cookie]]:
        """Those of them that are sessions."""
        return self._sessions(self.cookies)

    def _sessions(self, cookies: list[tuple[Answer, Cookie]]) -> list[tuple[Answer, Cookie]]:
        if self.session_name is not None:
            return [pair for pair in cookies if pair[1].name == self.session_name]
        return [pair for pair in cookies if pair[1].looks_like_session]

    def url(self, answer: Answer, reference: str) -> str:
        """Return where *reference* leads from *answer*; empty where that makes no sense."""
        try:
            return urljoin(self.origin + answer.path, reference.strip())
        except ValueError:
            return ""

    def is_own(self, url: str) -> bool:
        """Say whether *url* is of this origin."""
        return origin_of(url) == self.origin


def origin_of(url: str) -> str:
    """Return the origin of *url*, as browsers write it; empty where it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + ("" if port in (None, usual) else f":{port}")


def bare(url: str) -> str:
    """Return *url* for people: without its query, which may hold a token."""
    return url.partition("#")[0].partition("?")[0][:120]
