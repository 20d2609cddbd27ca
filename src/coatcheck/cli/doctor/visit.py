"""
Goes through a site, and gathers what the checks look at. Floor 6; may import: floor 0.

Rules of this module:

1. The page that was typed must answer. Everything else may be missing.
2. A redirect is followed within the origin only. One that leads elsewhere is told, with the address to type instead.
"""

from __future__ import annotations

import asyncio
import re
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from coatcheck.cli.doctor.address import Ip, Target
from coatcheck.cli.doctor.answer import Answer
from coatcheck.cli.doctor.client import ALL_S, Client, Unreachable
from coatcheck.cli.doctor.page import page as page_of
from coatcheck.cli.doctor.seen import STRANGER, Seen, bare, origin_of
from coatcheck.cli.mistakes import WRONG, Mistake
from coatcheck.clock import SystemClock

MOST_HOPS = 5
NOWHERE = "/coatcheck-doctor-looks-for-nothing"
METADATA = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")
JWKS = "/.well-known/jwks.json"
_SIGN_IN = re.compile(r"(?:^|/)(?:sign|log)[-_]?in/?$", re.IGNORECASE)


async def visit(
    target: Target, *, connect: Ip | None = None, saved: tuple[Answer, ...] = (), session_name: str | None = None
) -> Seen:
    """
    Return what is to be seen of a site.

    Raises:
        Mistake: It does not answer, or it is elsewhere.
    """
    visitor = _Visitor(Client(target, connect=connect))
    try:
        async with asyncio.timeout(ALL_S):
            return await visitor.go(saved, session_name)
    except TimeoutError:
        raise _unreachable(f"it did not answer everything within {ALL_S:.0f} s") from None


def _unreachable(said: str) -> Mistake:
    return Mistake("unreachable", f"URL: {said}", exit_code=WRONG)


class _Visitor:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._target = client.target
        self._clock = SystemClock()

    async def go(self, saved: tuple[Answer, ...], session_name: str | None) -> Seen:
        try:
            visited = await self._follow(self._target.path)
        except Unreachable as error:
            raise _unreachable(str(error)) from None
        skew_s = self._skew(visited[-1])
        if sign_in := self._sign_in(visited[-1]):
            visited += await self._maybe_follow(sign_in)
        path = visited[-1].path
        metadata = await self._metadata()
        return Seen(
            origin=self._target.origin,
            is_local=self._target.is_localhost,
            visited=tuple(visited),
            missing=await self._maybe(NOWHERE),
            cross=await self._maybe(path, **{"Origin": f"https://{STRANGER}", "Sec-Fetch-Site": "cross-site"}),
            forwarded=await self._maybe(path, **{"X-Forwarded-Host": STRANGER}),
            metadata=metadata,
            jwks=await self._jwks(metadata),
            skew_s=skew_s,
            saved=saved,
            session_name=session_name,
            distrust=self._client.distrust,
            now=self._clock.now(),
        )

    async def _maybe(self, path: str, **more: str) -> Answer | None:
        try:
            return await self._client.get(path, more=more)
        except Unreachable:
            return None

    async def _maybe_follow(self, path: str) -> list[Answer]:
        try:
            return await self._follow(path)
        except (Unreachable, Mistake):
            return []

    async def _follow(self, path: str) -> list[Answer]:
        """Return the answers from *path* to where its redirects end."""
        found: list[Answer] = []
        for _ in range(MOST_HOPS + 1):
            answer = await self._client.get(path)
            found.append(answer)
            location = answer.one("location")
            if not 300 <= answer.status < 400 or location is None:
                return found
            url = Seen(origin=self._target.origin, now=0).url(answer, location)
            if origin_of(url) != self._target.origin:
                # Even to https of the same host: whoever typed http asked that, and another origin is another site.
                told = f"it leads to {bare(url)}, another origin, which is not followed; give that URL if you mean it"
                raise Mistake("elsewhere", f"URL: {told}", exit_code=WRONG)
            parts = urlsplit(url)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            if not path.isascii() or not path.isprintable() or " " in path:
                raise Unreachable("it redirects to an address that makes no sense")
        raise Unreachable(f"it redirects more than {MOST_HOPS} times")

    def _sign_in(self, answer: Answer) -> str | None:
        """Return the path of the sign-in that a page without one links to."""
        if not answer.is_html:
            return None
        page = page_of(answer.text)
        if any(form.has_password for form in page.forms):
            return None
        seen = Seen(origin=self._target.origin, now=0)
        for link in page.links:
            url = seen.url(answer, link)
            path = urlsplit(url).path if seen.is_own(url) else ""
            if _SIGN_IN.search(path) and path.isascii() and path.isprintable() and " " not in path:
                return path
        return None

    async def _metadata(self) -> dict[str, Any] | None:
        for path in METADATA:
            answer = await self._maybe(path)
            found = answer.json() if answer is not None and answer.status == 200 else None
            if isinstance(found, dict) and "issuer" in found:
                return found
        return None

    async def _jwks(self, metadata: dict[str, Any] | None) -> Answer | None:
        """Return what is where keys should be: where the metadata say, or at the usual place if it is something."""
        said = (metadata or {}).get("jwks_uri")
        if isinstance(said, str):
            if origin_of(said) != self._target.origin or not said.isascii() or not said.isprintable() or " " in said:
                return None
            parts = urlsplit(said)
            return await self._maybe((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        answer = await self._maybe(JWKS)
        found = answer.json() if answer is not None and answer.status == 200 else None
        return answer if isinstance(found, dict) and "keys" in found else None

    def _skew(self, answer: Answer) -> float | None:
        try:
            return parsedate_to_datetime(answer.one("date") or "").timestamp() - self._clock.wall()
        except (ValueError, TypeError, OverflowError):
            return None
