"""
What stands at the door of every adapter: its settings, its judgement, its own answers. Floor 5; may import: 0 to 4.

A request is a *scope* here, as ASGI has it: ``method``, ``path``, ``headers`` as pairs of bytes, names in lower case.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, NamedTuple

from coatcheck.decide import csrf
from coatcheck.errors import ConfigError
from coatcheck.http import headers
from coatcheck.records import Reason, Refused

if TYPE_CHECKING:  # whoever uses the one does not load the other
    from coatcheck import blocking
    from coatcheck.engine import Coatcheck

    Auth = Coatcheck | blocking.Coatcheck

log = logging.getLogger("coatcheck")

Scope = MutableMapping[str, Any]

RETRY_AFTER_S = 5
_JUDGED = frozenset({b"sec-fetch-site", b"origin", b"content-type"})


class Door:
    """
    The settings of an adapter.

    Raises:
        ConfigError: One is wrong; it is named.
    """

    def __init__(
        self,
        policy_of: Auth,
        *,
        exclude: Iterable[str] = (),
        audience: str | None = None,
        trusted_proxies: Iterable[str] = (),
    ) -> None:
        policy, issuer = policy_of.policy, policy_of.issuer
        self._policy = policy
        self.cookie_name = policy.cookie.name.encode("ascii")
        self.hosts = headers.hosts_of(policy.origins)
        self.trusted = headers.networks(trusted_proxies)
        self.takes_tokens = policy.mode != "cookie"
        # A browser's own cache, too, must not give one bearer's page to the next.
        self.vary_on = (b"Cookie", b"Authorization") if self.takes_tokens else (b"Cookie",)
        self.audience = audience or issuer or ""
        if self.takes_tokens and issuer is None:
            problem = f"mode {policy.mode!r} needs access tokens, and the engine has no issuer"
            raise ConfigError("Policy.mode", problem, "give Coatcheck issuer=https://…, or leave mode 'cookie'")
        try:
            self.exclude = () if isinstance(exclude, str) else tuple(exclude)
        except TypeError:
            self.exclude = ("",)
        if isinstance(exclude, str) or not all(isinstance(one, str) and one[:1] == "/" for one in self.exclude):
            raise ConfigError("exclude", "is not a list of path prefixes", 'write exclude=("/static/",)')

    def judge(self, scope: Scope) -> csrf.Verdict:
        """Say whether a page of ours sent this request."""
        sent = [(name.lower(), value) for name, value in scope["headers"] if name.lower() in _JUDGED]
        found = dict(sent)
        if len(sent) != len(found):
            return csrf.Verdict.REFUSE  # no browser sends one of these twice
        return csrf.judge(
            self._policy,
            method=scope.get("method", "GET"),
            path=scope["path"],
            sec_fetch_site=_text(found.get(b"sec-fetch-site")),
            origin=_text(found.get(b"origin")),
            content_type=_text(found.get(b"content-type")),
            websocket=scope["type"] == "websocket",
        )

    def is_known_host(self, scope: Scope) -> bool:
        """Say whether the request is for one of the configured origins; any is, where none is configured."""
        if not self.hosts:
            return True
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        return len(hosts) == 1 and hosts[0].lower() in self.hosts


class Plain(NamedTuple):
    """An answer of the door's own."""

    status: int
    fields: list[tuple[bytes, bytes]]
    body: bytes


def wrong_host() -> Plain:
    """Answer a request for a host that we do not serve."""
    return _plain(421, "This server does not serve that host.")


def cross_site(scope: Scope) -> Plain:
    """Answer a request that no page of ours has sent."""
    log.info("cross-site request refused", extra={"path": ascii(scope["path"][:200])})
    text = (
        "This request did not come from a page of this site. "
        "Reload the page and try again; a program sends JSON, or the form token."
    )
    return _plain(403, text)


def later() -> Plain:
    """Answer a request with a credential that only the store can judge, and it is away."""
    log.warning("the store does not answer; a request with a session gets 503")
    return _plain(503, "Please try again in a moment.", [(b"retry-after", str(RETRY_AFTER_S).encode("ascii"))])


def signed_out() -> Plain:
    """Answer who was signed out between the check and the opening of a connection."""
    return _plain(401, "Please sign in again.")


def bad_token(refusal: Refused) -> Plain:
    """Answer a request with a bearer token that does not count."""
    if refusal.reason is Reason.UNSURE:
        return later()
    challenge = b'Bearer error="invalid_token"'  # RFC 6750, section 3.1; the reason is for the log
    log.info("bearer token refused", extra={"reason": refusal.reason.value})
    return _plain(401, "The access token is not accepted.", [(b"www-authenticate", challenge)])


def _plain(status: int, text: str, more: Iterable[tuple[bytes, bytes]] = ()) -> Plain:
    body = text.encode()
    fields = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"vary", b"Cookie"),
        *more,
    ]
    return Plain(status, fields, body)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
