"""
The engine for code without await, method for method. Floor 4; may import: floors 0 to 4.

Every docstring is the async method's; only what differs is said here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Self, TypeVar, overload

import coatcheck.engine
from coatcheck.blocking.thread import Kept
from coatcheck.clock import Clock
from coatcheck.errors import NotOpen
from coatcheck.policy import EVERYDAY, Policy
from coatcheck.records import (
    Claims,
    Device,
    Digest,
    Figures,
    Nodes,
    Receipt,
    Refused,
    Session,
    SignedIn,
    TokenPair,
)
from coatcheck.secret import Secret

T = TypeVar("T")


class Coatcheck:
    """
    :class:`coatcheck.Coatcheck` without await. Use it from any number of threads.

    It opens itself at the first use; :meth:`open` tells at once whether that works. In a forked child it is another
    node, opened there anew. It is closed at the end of the program, or by :meth:`close`, or by ``with``.

    Arguments and errors are those of :class:`coatcheck.Coatcheck`.

    Raises:
        ConfigError: From any call that has to wait: threads were replaced by gevent or eventlet, or the call comes from
            this engine's own thread (from ``on_store_call``, for example).
    """

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
        given = secret if secret is None or isinstance(secret, str) else tuple(secret)

        def make() -> coatcheck.engine.Coatcheck:
            return coatcheck.engine.Coatcheck(
                store, policy=policy, issuer=issuer, secret=given, clock=clock, on_store_call=on_store_call
            )

        #: Never opened; what it can tell, it can tell without a store.
        self.template = make()
        self.policy = policy
        self.issuer = issuer
        self.clock = self.template.clock
        self._kept = Kept(make, "engine", outlives_close=not store.startswith("memory:"))

    def __repr__(self) -> str:
        return f"<blocking {repr(self.template)[1:]}"

    # --- opening and closing ---

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def open(self) -> None:
        """See :meth:`coatcheck.Coatcheck.open`. Calling it again does nothing."""
        self._kept.open()

    def close(self) -> None:
        """See :meth:`coatcheck.Coatcheck.close`. Waits for the calls of other threads, 10 s at most."""
        self._kept.close()

    def run(self, work: Callable[[coatcheck.engine.Coatcheck], Coroutine[Any, Any, T]]) -> T:
        """
        Wait for a coroutine of your own, made with the async engine: several calls for one crossing.

        Args:
            work: Called with the engine; returns the coroutine, which runs on the engine's event loop. It must not
                block: heartbeats run there, too.
        """
        return self._kept.call(work)

    # --- answered on the calling thread ---

    def recall(self, digest: Digest) -> Session | Refused | None:
        """See :attr:`coatcheck.Coatcheck.recall`."""
        engine = self._kept.now
        if engine is not None:
            try:
                return engine.recall(digest)
            except NotOpen:
                pass
        self._kept.check_usable()
        return None

    def recall_token(self, digest: bytes, audience: str) -> Claims | Refused | None:
        """See :attr:`coatcheck.Coatcheck.recall_token`."""
        engine = self._kept.now
        if engine is not None:
            try:
                return engine.recall_token(digest, audience)
            except NotOpen:
                pass
        self._kept.check_usable()
        return None

    def check_now(self, token: str | Secret, *, touch: bool = True) -> Session | Refused | None:
        """See :meth:`coatcheck.Coatcheck.check_now`. None, too, before the first use has opened the store."""
        engine = self._kept.now
        if engine is not None:
            try:  # not suppress(): this runs at every request, and that costs as much as the check
                return engine.check_now(token, touch=touch)
            except NotOpen:  # closed since, perhaps only for a fork
                pass
        self._kept.check_usable()
        return None

    def check(self, token: str | Secret, *, touch: bool = True) -> Session | Refused:
        """See :meth:`coatcheck.Coatcheck.check`. What memory can tell never leaves the calling thread."""
        found = self.check_now(token, touch=touch)
        if found is not None:
            return found
        return self._kept.call(lambda engine: engine.check(token, touch=touch))

    def access_token(
        self,
        session: Session,
        *,
        audience: str | Iterable[str],
        lifetime_s: int | None = None,
        client_id: str = "browser",
    ) -> str | Refused:
        """See :meth:`coatcheck.Coatcheck.access_token`."""
        return self._kept.ask(
            lambda engine: engine.access_token(session, audience=audience, lifetime_s=lifetime_s, client_id=client_id)
        )

    def bound_token(
        self, session: Session, *, audience: str, lifetime_s: int, more: Mapping[str, Any]
    ) -> str | Refused:
        """See :meth:`coatcheck.Coatcheck.bound_token`."""
        return self._kept.ask(
            lambda engine: engine.bound_token(session, audience=audience, lifetime_s=lifetime_s, more=more)
        )

    def verify(self, jwt: str, *, audience: str) -> Claims | Refused:
        """See :meth:`coatcheck.Coatcheck.verify`."""
        return self._kept.ask(lambda engine: engine.verify(jwt, audience=audience))

    def jwks(self) -> dict[str, Any]:
        """See :meth:`coatcheck.Coatcheck.jwks`."""
        return self._kept.ask(lambda engine: engine.jwks())

    def key_states(self) -> dict[str, str]:
        """See :meth:`coatcheck.Coatcheck.key_states`."""
        return self._kept.ask(lambda engine: engine.key_states())

    def figures(self) -> Figures:
        """See :meth:`coatcheck.Coatcheck.figures`."""
        return self._kept.ask(lambda engine: engine.figures())

    def on_wait(self, hear: Callable[[float], None]) -> None:
        """See :meth:`coatcheck.Coatcheck.on_wait`. Called in the engine's own thread; ends with a fork."""
        self._kept.ask(lambda engine: engine.on_wait(hear))

    def derived_keys(self, label: str) -> tuple[bytes, ...]:
        """See :meth:`coatcheck.Coatcheck.derived_keys`."""
        return self._kept.ask(lambda engine: engine.derived_keys(label))

    def cookie(self, signed_in: SignedIn) -> str:
        """See :meth:`coatcheck.Coatcheck.cookie`."""
        return self.template.cookie(signed_in)

    def clear_cookie(self) -> str:
        """See :meth:`coatcheck.Coatcheck.clear_cookie`."""
        return self.template.clear_cookie()

    # --- beginning ---

    @overload
    def sign_in(
        self,
        sub: str,
        *,
        claims: Mapping[str, Any] | None = ...,
        amr: Iterable[str] = ...,
        device: Device | None = ...,
        idle_s: int | None = ...,
        absolute_s: int | None = ...,
        persistent: bool = ...,
        generation: None = ...,
    ) -> SignedIn: ...

    @overload
    def sign_in(
        self,
        sub: str,
        *,
        claims: Mapping[str, Any] | None = ...,
        amr: Iterable[str] = ...,
        device: Device | None = ...,
        idle_s: int | None = ...,
        absolute_s: int | None = ...,
        persistent: bool = ...,
        generation: int,
    ) -> SignedIn | Refused: ...

    def sign_in(
        self,
        sub: str,
        *,
        claims: Mapping[str, Any] | None = None,
        amr: Iterable[str] = (),
        device: Device | None = None,
        idle_s: int | None = None,
        absolute_s: int | None = None,
        persistent: bool = True,
        generation: int | None = None,
    ) -> SignedIn | Refused:
        """See :meth:`coatcheck.Coatcheck.sign_in`."""
        return self._kept.call(
            lambda engine: engine.sign_in(  # type: ignore[misc]  # mypy gives up on so many unions
                sub,
                claims=claims,
                amr=amr,
                device=device,
                idle_s=idle_s,
                absolute_s=absolute_s,
                persistent=persistent,
                generation=generation,  # type: ignore[arg-type]
            )
        )

    def start(
        self, data: Mapping[str, Any] | None = None, *, device: Device | None = None, persistent: bool = True
    ) -> SignedIn:
        """See :meth:`coatcheck.Coatcheck.start`."""
        return self._kept.call(lambda engine: engine.start(data, device=device, persistent=persistent))

    # --- changing ---

    def renew(
        self,
        token: str | Secret,
        *,
        sub: str | None = None,
        claims: Mapping[str, Any] | None = None,
        amr: Iterable[str] | None = None,
        device: Device | None = None,
        generation: int | None = None,
    ) -> SignedIn | Refused:
        """See :meth:`coatcheck.Coatcheck.renew`."""
        return self._kept.call(
            lambda engine: engine.renew(token, sub=sub, claims=claims, amr=amr, device=device, generation=generation)
        )

    def update_claims(self, sub: str, *, set: Mapping[str, Any] | None = None, unset: Iterable[str] = ()) -> Receipt:
        """See :meth:`coatcheck.Coatcheck.update_claims`."""
        return self._kept.call(lambda engine: engine.update_claims(sub, set=set, unset=unset))

    def data(self, sid: str) -> dict[str, Any] | Refused:
        """See :meth:`coatcheck.Coatcheck.data`."""
        return self._kept.call(lambda engine: engine.data(sid))

    def update_data(
        self, sid: str, *, set: Mapping[str, Any] | None = None, unset: Iterable[str] = (), wait: bool = True
    ) -> Receipt | Refused:
        """See :meth:`coatcheck.Coatcheck.update_data`."""
        return self._kept.call(lambda engine: engine.update_data(sid, set=set, unset=unset, wait=wait))

    # --- ending ---

    @overload
    def revoke(self, sid: str, *, of: None = ..., reason: str = ...) -> Receipt: ...

    @overload
    def revoke(self, sid: str, *, of: str, reason: str = ...) -> Receipt | Refused: ...

    def revoke(self, sid: str, *, of: str | None = None, reason: str = "") -> Receipt | Refused:
        """See :meth:`coatcheck.Coatcheck.revoke`."""
        return self._kept.call(lambda engine: engine.revoke(sid, of=of, reason=reason))

    def revoke_user(self, sub: str, *, keep: str | None = None, reason: str = "") -> Receipt:
        """See :meth:`coatcheck.Coatcheck.revoke_user`."""
        return self._kept.call(lambda engine: engine.revoke_user(sub, keep=keep, reason=reason))

    def revoke_client(self, client_id: str, *, reason: str = "") -> Receipt:
        """See :meth:`coatcheck.Coatcheck.revoke_client`."""
        return self._kept.call(lambda engine: engine.revoke_client(client_id, reason=reason))

    def revoke_everyone(self, *, reason: str = "") -> Receipt:
        """See :meth:`coatcheck.Coatcheck.revoke_everyone`."""
        return self._kept.call(lambda engine: engine.revoke_everyone(reason=reason))

    # --- looking ---

    def sessions_of(self, sub: str) -> list[Session]:
        """See :meth:`coatcheck.Coatcheck.sessions_of`."""
        return self._kept.call(lambda engine: engine.sessions_of(sub))

    def generation(self, sub: str) -> int:
        """See :meth:`coatcheck.Coatcheck.generation`."""
        return self._kept.call(lambda engine: engine.generation(sub))

    def fleet(self) -> Nodes:
        """See :meth:`coatcheck.Coatcheck.fleet`."""
        return self._kept.call(lambda engine: engine.fleet())

    def clock_skew(self) -> float:
        """See :meth:`coatcheck.Coatcheck.clock_skew`."""
        return self._kept.call(lambda engine: engine.clock_skew())

    # --- tokens ---

    def fresh_token(
        self, session: Session, *, audience: str | Iterable[str], client_id: str = "browser"
    ) -> str | Refused:
        """See :meth:`coatcheck.Coatcheck.fresh_token`."""
        return self._kept.call(lambda engine: engine.fresh_token(session, audience=audience, client_id=client_id))

    def issue_refresh(
        self, session: Session, *, client_id: str, audience: str | Iterable[str], owns_session: bool = False
    ) -> TokenPair | Refused:
        """See :meth:`coatcheck.Coatcheck.issue_refresh`."""
        return self._kept.call(
            lambda engine: engine.issue_refresh(
                session, client_id=client_id, audience=audience, owns_session=owns_session
            )
        )

    def refresh(
        self, refresh_token: str | Secret, *, client_id: str, audience: str | Iterable[str] | None = None
    ) -> TokenPair | Refused:
        """See :meth:`coatcheck.Coatcheck.refresh`."""
        return self._kept.call(lambda engine: engine.refresh(refresh_token, client_id=client_id, audience=audience))

    def revoke_refresh(self, refresh_token: str | Secret, *, client_id: str) -> Receipt | Refused:
        """See :meth:`coatcheck.Coatcheck.revoke_refresh`."""
        return self._kept.call(lambda engine: engine.revoke_refresh(refresh_token, client_id=client_id))

    def rotate_keys(self) -> str:
        """See :meth:`coatcheck.Coatcheck.rotate_keys`."""
        return self._kept.call(lambda engine: engine.rotate_keys())

    def revoke_key(self, kid: str) -> Receipt:
        """See :meth:`coatcheck.Coatcheck.revoke_key`."""
        return self._kept.call(lambda engine: engine.revoke_key(kid))

    def reset_keys(self) -> int:
        """See :meth:`coatcheck.Coatcheck.reset_keys`."""
        return self._kept.call(lambda engine: engine.reset_keys())

    # --- upkeep ---

    def in_force(self) -> Receipt:
        """See :meth:`coatcheck.Coatcheck.in_force`."""
        return self._kept.call(lambda engine: engine.in_force())

    def flush(self) -> None:
        """See :meth:`coatcheck.Coatcheck.flush`."""
        self._kept.call(lambda engine: engine.flush())

    def sweep(self) -> int:
        """See :meth:`coatcheck.Coatcheck.sweep`."""
        return self._kept.call(lambda engine: engine.sweep())
