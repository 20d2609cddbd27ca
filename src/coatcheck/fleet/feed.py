"""
The change log of an issuer, over HTTP, for a service without the store. Floor 3; may import: floors 0 to 2.

A :class:`~coatcheck.stores.base.ChangeFeed` like any other: :mod:`coatcheck.fleet.lease` drives it, and everything that
is said there holds here. What goes over the wire is in ``docs/reference/feed.md``.

Rules of this module:

1. Every request is a heartbeat: it says what is applied, and gets what follows.
2. Keys come along with the part of the log that announces them, and are applied with it.
3. Whatever the issuer does not say clearly counts as no answer.
4. The secret is in one header, and in no text.
"""

from __future__ import annotations

import asyncio
import base64
import http
import os
from typing import Any, Literal
from urllib.parse import quote_plus, unquote, urlsplit

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from coatcheck.errors import ConfigError, StoreUnavailable
from coatcheck.fleet.fetching import keys_in
from coatcheck.fleet.lease import BEATS_PER_LEASE
from coatcheck.fleet.news import MOST, PATH, News, Poll
from coatcheck.fleet.posting import Poster
from coatcheck.policy import check_issuer
from coatcheck.records import Change, KeyRow, Kind, Tail
from coatcheck.secret import Secret
from coatcheck.stores.base import LEASE_MOST_S

CLIENT_ID, CLIENT_SECRET = "COATCHECK_CLIENT_ID", "COATCHECK_CLIENT_SECRET"
_JOIN_S = 10.0
_PAUSE_S = 0.1
_LABEL_LONGEST = 100
_LOST = Tail(epoch=0, trimmed=MOST, head=MOST)
_WHERE = f'set {CLIENT_ID} and {CLIENT_SECRET} to what "coatcheck clients add" printed'


class Feed:
    """
    See :class:`coatcheck.stores.base.ChangeFeed`.

    Args:
        url: The issuer, ``https://auth.example.com``; http on loopback only. With ``client_id:client_secret@`` before
            the host, or with these two in ``COATCHECK_CLIENT_ID`` and ``COATCHECK_CLIENT_SECRET``.

    Raises:
        ConfigError: It is no such URL, or there are no credentials.
    """

    is_embedded: Literal[False] = False

    def __init__(self, url: str) -> None:
        plain, ident, secret = _parts(url)
        pair = f"{quote_plus(ident)}:{quote_plus(secret)}"
        self._name = urlsplit(plain).netloc
        self._poster = Poster(urlsplit(plain), Secret("Basic " + base64.b64encode(pair.encode()).decode()))
        self._node: str | None = None
        self._beats = 0
        self._epoch = 0
        self._lease_s = 0.0
        self._joined: Tail | None = None
        self._keys: list[KeyRow] = []
        self._has_failed = False

    def __repr__(self) -> str:
        return f"<Feed of {self._name}>"

    async def open(self) -> None:
        """Nothing to do: the first request connects."""

    async def close(self) -> None:
        """Let go of the connection."""
        await self._poster.close()

    async def join(self, node: str, *, label: str) -> float:
        # The issuer names the node; ours is a name for the caller alone.
        self._node = None
        news = await self._ask(Poll(label=label[:_LABEL_LONGEST]), after=0, timeout_s=_JOIN_S)
        if news is None:
            raise StoreUnavailable(f"{self._name} does not let this node join")
        self._beats = 0
        self._node, self._joined = news.node, self._read(news)
        return self._lease_s

    async def tail(self, after: int) -> Tail:
        # The join has read the log already, after the row was written.
        joined, self._joined = self._joined, None
        if joined is not None and after == 0:
            return joined
        return await self._beat(after, self._epoch) or _LOST

    async def beat(self, node: str, *, beat: int, applied: int, epoch: int) -> Tail | None:
        # Requests between heartbeats count too, so the counter is ours.
        loop = asyncio.get_running_loop()
        had_failed, until = self._has_failed, loop.time() + self._lease_s / BEATS_PER_LEASE
        tail = await self._beat(applied, epoch)
        while tail is not None and tail.head == applied and not had_failed and loop.time() < until:
            # Not held, or not for as long as it may be: an issuer that is about to end does that.
            await asyncio.sleep(_PAUSE_S)
            tail = await self._beat(applied, epoch)
        return tail

    async def leave(self, node: str) -> None:
        ours, self._node = self._node, None
        if ours is not None:
            await self._send("DELETE", f"{PATH}/{ours}", b"", timeout_s=1.0)

    async def keys(self) -> list[KeyRow]:
        return self._keys  # as new as anything that was ever returned here

    async def pushed(self) -> None:
        await asyncio.Event().wait()  # the issuer answers as soon as there is something

    async def _beat(self, applied: int, epoch: int) -> Tail | None:
        if self._node is None:
            return None
        self._beats += 1
        # After a failure nothing is held: an answer now is worth more than one with news in it.
        wait_s = 0.0 if self._has_failed else None
        poll = Poll(node=self._node, beat=self._beats, applied=applied, epoch=epoch, wait_s=wait_s)
        # Held for a quarter, and another one for the way: then there is time to try again before the lease runs out.
        news = await self._ask(poll, after=applied, timeout_s=self._lease_s * 2 / BEATS_PER_LEASE)
        return None if news is None else self._read(news)

    def _read(self, news: News) -> Tail:
        changes = [
            Change(position=line.position, kind=Kind(line.kind), sid=line.sid, version=line.version)
            for line in news.changes
        ]
        kind = Kind.DATA
        if news.keys is not UNSET:
            kind = Kind.KEYS
            self._keys = _rows(news.keys, news.epoch)
        # For what the issuer left out, or said in another way: the tail ends where its part of the log ends.
        changes.append(Change(position=news.upto, kind=kind, version=0))
        self._epoch, self._lease_s = news.epoch, news.lease_s
        return Tail(epoch=news.epoch, trimmed=news.trimmed, head=news.head, changes=tuple(changes))

    async def _ask(self, poll: Poll, *, after: int, timeout_s: float) -> News | None:
        status, raw = await self._send("POST", PATH, msgspec.json.encode(poll), timeout_s=timeout_s)
        if status == http.HTTPStatus.GONE:
            return None
        try:
            news = _decoder.decode(raw)
            _check(news, after)
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise StoreUnavailable(f"{self._name} does not answer as a feed does") from None
        return news

    async def _send(self, method: str, path: str, body: bytes, *, timeout_s: float) -> tuple[int, bytes]:
        self._has_failed = True
        status, raw = await self._poster.send(method, path, body, timeout_s=timeout_s)
        if status in (http.HTTPStatus.OK, http.HTTPStatus.NO_CONTENT, http.HTTPStatus.GONE):
            self._has_failed = False
        elif status == http.HTTPStatus.UNAUTHORIZED:
            raise ConfigError("feed", f"{self._name} does not know this client, or its secret is another", _WHERE)
        elif status == http.HTTPStatus.TOO_MANY_REQUESTS:
            raise StoreUnavailable(f"{self._name}: this client has as many nodes as it may have")
        else:
            raise StoreUnavailable(f"{self._name} answers {status}")
        return status, raw


_decoder = msgspec.json.Decoder(News)


def _check(news: News, after: int) -> None:
    """Refuse, with ValueError, what cannot be: nothing of it may be believed then."""
    positions = [after, *(line.position for line in news.changes), news.upto]
    if positions != sorted(positions) or not 0 <= news.trimmed <= news.head or news.upto > news.head:
        raise ValueError
    if not 0 < news.lease_s <= LEASE_MOST_S or news.epoch < 1 or not all(line.sid for line in news.changes):
        raise ValueError


def _rows(jwks: dict[str, Any], epoch: int) -> list[KeyRow]:
    listed = jwks.get("keys")
    # When a key stops counting is for the issuer to say; so by our calendar it never does.
    found = keys_in(listed if isinstance(listed, list) else []).values()
    return [replace(key.row, signs_from=MOST, epoch=epoch) for key in found]


def _parts(url: str) -> tuple[str, str, str]:
    """Return the URL without credentials, the client's id, and its secret."""
    # Nothing of the URL is ever shown: it may hold the secret, anywhere if it is mistyped.
    remedy = 'write feed="https://auth.example.com"'
    try:
        split = urlsplit(url)
        credentials, _, host = split.netloc.rpartition("@")
        plain = check_issuer(split._replace(netloc=host).geturl())
    except (ConfigError, ValueError):
        raise ConfigError("feed", "is not the https URL of an issuer (http is for localhost)", remedy) from None
    if credentials:
        ident, _, secret = (unquote(part) for part in credentials.partition(":"))
    else:
        ident, secret = os.environ.get(CLIENT_ID, ""), os.environ.get(CLIENT_SECRET, "").strip()
    if not ident or not secret:
        missing = "the client's id" if not ident else "the client's secret"
        raise ConfigError("feed", f"{missing} is missing", _WHERE)
    return plain, ident, secret
