"""The engine from its opening to its close, and what is seen of it from outside. Floor 4; may import: floors 0 to 3."""

from __future__ import annotations

import asyncio
import logging
import os
import weakref
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Self

from coatcheck import arguments
from coatcheck.clock import DAY, HOUR, Clock, SystemClock
from coatcheck.errors import CoatcheckError, ConfigError, Forked, NotOpen
from coatcheck.fleet.live import Connection, End
from coatcheck.fleet.memory import Memory
from coatcheck.fleet.timed import timed
from coatcheck.fleet.tokens import Tokens
from coatcheck.policy import EVERYDAY, Policy, check_issuer
from coatcheck.records import Claims, Digest, Figures, Kind, Nodes, Reason, Receipt, Refused, Session
from coatcheck.secret import RootSecret
from coatcheck.stores import from_url
from coatcheck.stores.base import Stamp

log = logging.getLogger("coatcheck")

# Longer than any process keeps a session in memory without reading it again, and than any access token lives.
_REMEMBER_CHANGES_S = 2 * HOUR
_REMEMBER_TOKENS_S = DAY  # for the reason that is given; afterwards they are merely unknown

_UNKNOWN = Refused(Reason.UNKNOWN)

_engines: weakref.WeakSet[Life] = weakref.WeakSet()


class Life:
    """What an engine is made of, when it may be used, and how it ends. See :class:`coatcheck.Coatcheck`."""

    def __init__(
        self,
        store: str,
        *,
        policy: Policy = EVERYDAY,
        issuer: str | None = None,
        secret: str | Iterable[str] | None = None,
        clock: Clock | None = None,
        on_store_call: Callable[[str, float], None] | None = None,
    ) -> None:
        if not isinstance(policy, Policy):
            raise ConfigError("policy", f"is {type(policy).__name__}", "give a Policy, such as coatcheck.CAREFUL")
        if issuer is not None:
            check_issuer(issuer)
        self.policy = policy
        self.issuer = issuer
        self._store = from_url(store)
        if on_store_call is not None:
            self._store = timed(self._store, on_store_call)
        #: What the engine reads the time from.
        self.clock: Clock = SystemClock() if clock is None else clock
        self._given_secret = None if secret is None else RootSecret.parse(secret, setting="secret")
        self._machine = SystemClock()
        self._fault: CoatcheckError | None = None
        self._memory = Memory(self._store, self.clock, policy)
        self._tokens: Tokens | None = None
        #: :meth:`check_now` for the digest of a token: for adapters, which have the token as bytes.
        self.recall: Callable[[Digest], Session | Refused | None] = self._memory.recall
        #: :meth:`verify` for the SHA-256 of a token: for adapters, too. None for what was not met before.
        self.recall_token: Callable[[bytes, str], Claims | Refused | None] = _never_met
        self._shut(NotOpen('the engine is not open; use "async with", or lifespan=auth.lifespan'))

    def __repr__(self) -> str:
        return f"<Coatcheck on {self._store!r}>"

    # --- opening and closing ---

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Open and close with an application: ``Starlette(lifespan=auth.lifespan)``."""
        async with self:
            yield

    async def open(self) -> None:
        """
        Open the store and start the upkeep.

        Raises:
            ConfigError: The secret is unusable, opens none of the signing keys, or was declared lost. StoreUnusable:
                the store must not be used. StoreUnavailable: it does not answer.
        """
        if self._fault is None:
            raise ConfigError("engine", "is open already", "open one engine per application")
        await self._store.open()
        try:
            self._secret = self._given_secret or RootSecret.from_environment() or self._own_secret()
            if self.issuer is not None:
                self._tokens = await self._open_tokens(self.issuer)
            await self._memory.start()
        except BaseException:
            await self._store.close()
            raise
        if self._tokens is not None:
            self._memory.upkeep.also = self._tokens.upkeep
        self._fault = None
        _engines.add(self)

    async def _open_tokens(self, issuer: str) -> Tokens:
        ids = [key.hex()[:16] for key in self._secret.keys("refresh key ids 1")]
        seals = dict(zip(ids, self._secret.keys("signing keys 1"), strict=True))
        keys = dict(zip(ids, self._secret.keys("refresh 1"), strict=True))
        minting, verifying = self._memory.hold_tokens(issuer, seals)
        tokens = Tokens(self._store, minting, verifying, clock=self.clock, stamp=self._stamp)
        tokens.refreshing.start(keys, self._memory.ask_sid, self._end_for)
        await tokens.open()
        self.recall_token = verifying.recall
        return tokens

    async def _end_for(self, sid: str, reason: str) -> None:
        await self._end(sid, of=None, note=arguments.note(reason))

    async def _end(self, sid: str, *, of: str | None, note: str) -> Receipt | Refused:
        epoch = await self._memory.epoch()
        position = await self._store.end(sid, of=of, kind=Kind.REVOKED, note=note, stamp=self._stamp())
        if position is None:
            return _UNKNOWN
        log.info("session revoked", extra={"sid": sid, "reason": note})
        return await self._in_force(position, epoch)

    async def close(self) -> None:
        """Write what is still to be written and let go of the store. Calling it again does nothing."""
        if self._fault is not None:
            return
        self._shut(NotOpen("the engine is closed"))
        _engines.discard(self)
        try:
            await self._memory.leave()
        finally:
            # Shielded: a close that is cancelled half-way would leave a thread and open files behind.
            await asyncio.shield(self._store.close())

    def _shut(self, fault: CoatcheckError, *, forked: bool = False) -> None:
        self._fault = fault
        self._memory.shut(fault, forked=forked)

    def _forked(self) -> None:
        self._shut(Forked("the engine was opened before a fork; open it in each worker, after the fork"), forked=True)
        abandon = getattr(self._store, "abandon", None)
        if abandon is not None:
            abandon()

    def _own_secret(self) -> RootSecret:
        if not self._store.is_embedded:
            log.warning("no secret is given; one for this account is used, and other machines cannot know it")
            return RootSecret.of_account(self._store.identity)
        path = getattr(self._store, "path", None)
        return RootSecret.random() if path is None else RootSecret.beside(path.with_name(path.name + "-secret"))

    def _check_open(self) -> None:
        if self._fault is not None:
            raise self._fault

    # --- seen from outside ---

    async def fleet(self) -> Nodes:
        """Return who answers from memory, and how far each has come; on an embedded store those on the feed."""
        self._check_open()
        return await self._store.nodes()

    async def clock_skew(self) -> float:
        """Return by how many seconds the store's calendar is ahead of this machine's. No lease depends on either."""
        self._check_open()
        before = self._machine.wall()
        theirs = await self._store.wall()
        return 0.0 if theirs is None else theirs - (before + self._machine.wall()) / 2

    def figures(self) -> Figures:
        """Return what was counted since the engine was opened."""
        memory = self._memory
        return Figures(warm=memory.warm, asked=dict(memory.asked), cached=len(memory), lapses=memory.lapses)

    def on_wait(self, hear: Callable[[float], None]) -> None:
        """Call *hear* with how long each change waited to be in force everywhere, seconds. From the opening on."""
        self._check_open()
        self._memory.barrier.on_wait = hear

    # --- upkeep ---

    async def flush(self) -> None:
        """Write the activity gathered in memory now. It happens by itself; this is for tests and for shutdown."""
        self._check_open()
        await self._memory.seen.flush()

    async def sweep(self) -> int:
        """Remove what is over from the store, in small batches; return how many rows. It happens by itself, too."""
        self._check_open()
        return await self._memory.upkeep.sweep()

    # --- for the parts built on this one ---

    def open_connection(
        self,
        session: Session,
        *,
        hear: Callable[[End], None],
        verify: Callable[[], Claims | Refused] | None = None,
    ) -> Connection:
        """
        Tie a connection that stays open to *session*, so that it ends with it. Prove it before anything passes.

        Args:
            hear: Called once when it ends, in any thread; it must not wait.

            verify: For one opened with an access token: says whether that still counts.
        """
        self._check_open()
        return self._memory.live.open(session, verify=verify, hear=hear)

    async def in_force(self) -> Receipt:
        """
        Wait until all that was changed before this call is in force in every process, whoever changed it.

        For whoever finds that a session has ended, and is about to tell somebody so.
        """
        self._check_open()
        nodes = await self._store.nodes()
        return await self._in_force(nodes.head, nodes.epoch)

    async def _in_force(self, position: int, epoch: int) -> Receipt:
        # The epoch is from before the write: what answers afterwards may be another store.
        receipt = await self._memory.barrier.wait(position, epoch=epoch)
        self._memory.settle()
        return receipt

    def _stamp(self) -> Stamp:
        now = self.clock.now()
        return Stamp(now=now, forget_change=now + _REMEMBER_CHANGES_S, forget_token=now + _REMEMBER_TOKENS_S)


def _never_met(digest: bytes, audience: str) -> None:
    """Before the engine is open."""


def _forked() -> None:
    for engine in list(_engines):
        engine._forked()  # noqa: SLF001  one module, and no business of users


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
