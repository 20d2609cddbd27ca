"""
Measures three ways of carrying one session, on one store. Floor 6; may import: floors 0 to 6.

Two engines are open on the store, as in two processes: the *giver* signs in and revokes, the *taker* checks. What a
machine does besides is in every figure, so what is compared is measured turn by turn, there and back again; a time is
the best of the rounds, and a ratio the median of those of each round by itself.

Rules of this module:

1. A check is timed as an application would call it; nothing is reached into, to make it look better.
2. A *cold* check is the first that the taker ever sees of that cookie or token.
3. What was revoked is asked for as soon as the call returns. That it is still accepted then would be counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import msgspec

from coatcheck._asgi_tokens import ACCESS_COOKIE, Sessions, find_pair
from coatcheck.engine import Coatcheck
from coatcheck.policy import Policy
from coatcheck.records import Claims, Session, SignedIn
from coatcheck.stores import from_url
from coatcheck.tokens import bare
from coatcheck.tokens.keys import public_only

WAYS = ("cookie", "jwt", "hybrid")
ISSUER = "https://auth.example.com"
AUDIENCE = "compare"
LOOKUP, SIGNATURE = "dict_lookup", "signature"
ROUNDS, REPEAT = 60, 200
COLD_ROUNDS, COLD_EACH = 20, 10
REVOCATIONS = 12
LATE_TRIES = 500
_NAP_S = 0.002  # heartbeats go on between rounds

POLICY = Policy(mode="hybrid", sessions_per_subject=10_000)


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """
    What something takes.

    Attributes:
        us: Microseconds, the best of the rounds. lookups, signatures: how many times a dict lookup, and a bare
            signature check, the median of the rounds.
    """

    us: float
    lookups: float
    signatures: float


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """
    One way, measured.

    Attributes:
        wire_bytes: The header field that each request carries it in. warm, cold: a check.

        revoked_ms: From the call of *revoke* to the refusal by another engine, the median. accepted_after: how often it
            was still accepted when the call had returned.
    """

    wire_bytes: int
    warm: Cost
    cold: Cost
    revoked_ms: float
    accepted_after: int


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """
    All that was measured.

    Attributes:
        lookup_us, signature_us: What the ratios are to. ways: by their names.
    """

    lookup_us: float
    signature_us: float
    ways: dict[str, Way]


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """One session, carried in each of the ways. *pair* is the whole Cookie field of the hybrid."""

    signed_in: SignedIn
    cookie: str
    jwt: str
    pair: bytes

    def __repr__(self) -> str:
        return f"Carried({self.signed_in.session.sid!r})"


async def measure(url: str, advance: Callable[[int], None]) -> Found:
    """
    Measure on the store at *url*.

    Args:
        advance: Is told of each step.
    """
    sub = f"compare-{secrets.token_hex(7)}"  # as long as an id of the ready-made server
    async with _engine(url) as giver, _engine(url) as taker:
        try:
            return await _Run(giver, taker, sub, advance).go(await _first_key(url))
        finally:
            await giver.revoke_user(sub, reason="compare")


@contextlib.asynccontextmanager
async def _engine(url: str) -> AsyncIterator[Coatcheck]:
    async with Coatcheck(url, policy=POLICY, issuer=ISSUER) as auth:
        yield auth


async def _first_key(url: str) -> dict[str, Any]:
    """Return the public keys of the store, by their names."""
    store = from_url(url)
    await store.open()
    try:
        return {row.kid: public_only(row) for row in await store.keys()}
    finally:
        await store.close()


Action = Callable[[Carried], Awaitable[Any]]


class _Run:
    """One run of all measurements."""

    def __init__(self, giver: Coatcheck, taker: Coatcheck, sub: str, advance: Callable[[int], None]) -> None:
        self._giver = giver
        self._taker = taker
        self._sub = sub
        self._advance = advance
        self._sessions = Sessions(COLD_EACH)  # as in an adapter

    async def go(self, keys: Mapping[str, Any]) -> Found:
        carried = await self._carried(1)
        one = carried[0]
        warm = await self._warm(one, self._bare(one, keys))
        cold = await self._cold(keys)
        ends = await self._ends()
        sizes = {
            "cookie": len(f"Cookie: {self._giver.policy.cookie.name}={one.cookie}"),
            "jwt": len(f"Authorization: Bearer {one.jwt}"),
            "hybrid": len(b"Cookie: " + one.pair),
        }
        return Found(
            lookup_us=min(warm[LOOKUP]),
            signature_us=min(warm[SIGNATURE]),
            ways={
                way: Way(
                    wire_bytes=sizes[way],
                    warm=_cost(warm, way),
                    cold=_cost(cold, way),
                    revoked_ms=statistics.median(ends[way][0]) * 1e3,
                    accepted_after=ends[way][1],
                )
                for way in WAYS
            },
        )

    def _bare(self, one: Carried, keys: Mapping[str, Any]) -> Callable[[], None]:
        claims = self._giver.verify(one.jwt, audience=AUDIENCE)
        if not isinstance(claims, Claims):
            raise TypeError(claims)  # a fault of ours: it was made a moment ago
        return bare.verifier(one.jwt, keys[claims.kid])

    # --- what is carried ---

    async def _carried(self, count: int) -> list[Carried]:
        """Sign in *count* times, and carry each session in each way."""
        begun = await asyncio.gather(
            *(self._giver.sign_in(self._sub, claims={"roles": ["member"]}, amr=("pwd",)) for _ in range(count))
        )
        return [await self._carry(one) for one in begun]

    async def _carry(self, signed_in: SignedIn) -> Carried:
        token = signed_in.token.reveal()
        jwt = await self._giver.fresh_token(signed_in.session, audience=AUDIENCE)
        name = self._giver.policy.cookie.name
        _, fresh = await find_pair(b"", token.encode(), self._giver, AUDIENCE, self._sessions)
        if not isinstance(jwt, str) or fresh is None:
            raise TypeError(jwt)  # as above
        beside = fresh.partition(";")[0].removeprefix(f"{ACCESS_COOKIE}=")
        pair = f"{name}={token}; {ACCESS_COOKIE}={beside}".encode()
        return Carried(signed_in=signed_in, cookie=token, jwt=jwt, pair=pair)

    async def _check(self, way: str, one: Carried) -> bool:
        """Let the taker check it, and say whether it is accepted."""
        if way == "cookie":
            return isinstance(await self._taker.check(one.cookie), Session)
        if way == "jwt":
            return isinstance(self._taker.verify(one.jwt, audience=AUDIENCE), Claims)
        return isinstance(
            (await find_pair(one.pair, one.cookie.encode(), self._taker, AUDIENCE, self._sessions))[0], Session
        )

    # --- times ---

    async def _warm(self, one: Carried, signature: Callable[[], None]) -> dict[str, list[float]]:
        known = {one.cookie: object()}
        taker, token, jwt, pair, raw = self._taker, one.cookie, one.jwt, one.pair, one.cookie.encode()

        async def paired(times: int) -> None:
            for _ in range(times):
                await find_pair(pair, raw, taker, AUDIENCE, self._sessions)

        plain: dict[str, Callable[[], object]] = {
            LOOKUP: lambda: known[token],
            SIGNATURE: signature,
            "cookie": lambda: taker.check_now(token),
            "jwt": lambda: taker.verify(jwt, audience=AUDIENCE),
        }
        times: dict[str, list[float]] = {name: [] for name in (*plain, "hybrid")}
        for number in range(ROUNDS):
            for way in WAYS:
                await self._check(way, one)  # should the lease have run out, nothing below would be a check
            for name in list(times)[:: -1 if number % 2 else 1]:
                count = REPEAT // 10 if name == SIGNATURE else REPEAT
                began = time.perf_counter()
                if name == "hybrid":
                    await paired(count)
                else:
                    _repeat(plain[name], count)
                times[name].append((time.perf_counter() - began) / count * 1e6)
            self._advance(1)
            await asyncio.sleep(_NAP_S)
        return times

    async def _cold(self, keys: Mapping[str, Any]) -> dict[str, list[float]]:
        times: dict[str, list[float]] = {name: [] for name in (LOOKUP, SIGNATURE, *WAYS)}
        for number in range(COLD_ROUNDS):
            fresh = await self._carried(COLD_EACH * len(WAYS))
            known = {one.cookie: one for one in fresh}
            signatures = [self._bare(one, keys) for one in fresh[:COLD_EACH]]
            for name in list(times)[:: -1 if number % 2 else 1]:
                # Each way has sessions of its own: what one has read, another would find in memory.
                first = WAYS.index(name) * COLD_EACH if name in WAYS else 0
                chosen = fresh[first : first + COLD_EACH]
                began = time.perf_counter()
                if name == LOOKUP:
                    for one in chosen:
                        known[one.cookie]
                elif name == SIGNATURE:
                    for check in signatures:
                        check()
                else:
                    for one in chosen:
                        await self._check(name, one)
                times[name].append((time.perf_counter() - began) / COLD_EACH * 1e6)
            self._advance(1)
            await asyncio.sleep(_NAP_S)
        return times

    async def _ends(self) -> dict[str, tuple[list[float], int]]:
        """Return, for each way, the seconds from *revoke* to the refusal, and how often it came after the return."""
        spans: dict[str, list[float]] = {way: [] for way in WAYS}
        late = dict.fromkeys(WAYS, 0)
        fresh = iter(await self._carried(REVOCATIONS * len(WAYS)))
        for number in range(REVOCATIONS):
            for way in WAYS[:: -1 if number % 2 else 1]:
                one = next(fresh)
                await self._check(way, one)
                began = time.perf_counter()
                await self._giver.revoke(one.signed_in.session.sid, reason="compare")
                late[way] += await self._is_late(way, one)
                spans[way].append(time.perf_counter() - began)
            self._advance(1)
        return {way: (spans[way], late[way]) for way in WAYS}

    async def _is_late(self, way: str, one: Carried) -> bool:
        """Say whether it is still accepted; if it is, wait until it is not, for a while."""
        for tries in range(LATE_TRIES):
            if not await self._check(way, one):
                return tries > 0
            await asyncio.sleep(_NAP_S)
        return True


def _repeat(action: Callable[[], object], times: int) -> None:
    for _ in range(times):
        action()


def _cost(times: Mapping[str, list[float]], way: str) -> Cost:
    return Cost(
        us=min(times[way]),
        lookups=_ratio(times[way], times[LOOKUP]),
        signatures=_ratio(times[way], times[SIGNATURE]),
    )


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(one / max(other, 1e-3) for one, other in zip(ours, theirs, strict=True))
