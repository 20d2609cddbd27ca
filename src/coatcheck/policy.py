"""
Every setting of the library, checked when it is built. Floor 0; may import: errors, clock.

Rules of this module:

1. Frozen, keyword-only; a combination that would fail later is refused here and names the field.
2. Defaults are the safe settings, all of them together.
3. Each setting says what happens when you raise or lower it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

from coatcheck.clock import DAY, HOUR, MINUTE
from coatcheck.errors import ConfigError

RESERVED_CLAIMS = frozenset(
    {
        "iss",
        "sub",
        "aud",
        "exp",
        "iat",
        "nbf",
        "jti",
        "client_id",
        "auth_time",
        "amr",
        "acr",
        "sid",
        "ver",
        "cnf",
        "act",
        "th",
        "sxp",
    }
)
"""What tokens say anyway (RFC 9068, section 2.2); no claim of a session takes its place."""

COOKIE_LONGEST_S = 400 * DAY  # browsers cut longer ones (RFC 6265bis, section 5.5)
_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)
_COOKIE_PATH = re.compile(r"/[!-:<-~]{0,255}", re.ASCII)
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", re.ASCII)
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}", re.ASCII)
_HOST = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


def _positive(where: str, name: str, value: object, *, most: int | None = None) -> None:
    if type(value) is not int or value < 1:
        raise ConfigError(f"{where}.{name}", "is not a whole number above 0", "give a number such as 3600")
    if most is not None and value > most:
        raise ConfigError(f"{where}.{name}", f"{value} is more than {most}", f"lower it to {most} at most")


def _texts(where: str, name: str, value: object) -> None:
    if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{where}.{name}", "is not a tuple of text", f'write {name}=("…",)')


def check_origin(origin: str, *, setting: str) -> str:
    """
    Return *origin* when it is what a browser would send: ``https://host`` or ``https://host:port``, nothing behind it.

    Raises:
        ConfigError: It is not, or it is ``http`` and not on this machine (a Secure cookie would not come back).
    """
    scheme, _, host = origin.partition("://")
    if "@" in origin:
        raise ConfigError(setting, "holds a user name or a password", "write https://app.example.com")
    if scheme not in ("http", "https") or not _HOST.fullmatch(host):
        raise ConfigError(setting, f"{origin[:80]!a} is not an origin", "write https://app.example.com, no path")
    try:
        split = urlsplit(origin)
        port = split.port
    except ValueError:
        raise ConfigError(setting, f"{origin[:80]!a} has no such port", "use a port from 1 to 65535") from None
    if port == {"http": 80, "https": 443}[scheme]:
        raise ConfigError(setting, f"{origin} names the default port", "leave it out, as browsers do")
    if scheme == "http" and host.rsplit(":", 1)[0] not in LOOPBACK and host not in LOOPBACK:
        raise ConfigError(setting, f"{origin} is not https", "use https://; only localhost may be http")
    return origin


def check_issuer(issuer: str) -> str:
    """
    Return *issuer* when it is an https URL without query and fragment (RFC 8414, section 2); loopback may be http.

    Raises:
        ConfigError: It is not.
    """
    try:
        split = urlsplit(issuer if isinstance(issuer, str) else "")
        is_plain = not split.query and not split.fragment and issuer == split.geturl()
    except ValueError:
        is_plain = False
    if not is_plain:
        raise ConfigError("issuer", "has a query or a fragment, or is no URL", "write https://auth.example.com")
    check_origin(f"{split.scheme}://{split.netloc}", setting="issuer")
    return issuer


@dataclass(frozen=True, slots=True, kw_only=True)
class CookiePolicy:
    """
    How the session cookie is written. HttpOnly always.

    Attributes:
        name: ``__Host-`` makes browsers refuse a copy planted by a sibling domain or over http; without it, either can
            toss a cookie at you.

        path: Narrower than ``/`` separates nothing: pages of one origin can read each other anyway.

        domain: None keeps the cookie to this host; a domain hands it to every host below it.

        secure: False lets the cookie travel in the clear. Only for a network you would shout passwords across.

        same_site: ``Strict`` also withholds it from links into your site; ``None`` sends it everywhere and leaves only
            the CSRF check between you and other sites.
    """

    name: str = "__Host-session"
    path: str = "/"
    domain: str | None = None
    secure: bool = True
    same_site: Literal["Lax", "Strict", "None"] = "Lax"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _COOKIE_NAME.fullmatch(self.name):
            raise ConfigError("CookiePolicy.name", "is not a cookie name", "use letters, digits, - and _")
        if not isinstance(self.path, str) or not _COOKIE_PATH.fullmatch(self.path):
            raise ConfigError("CookiePolicy.path", "is not a cookie path", "use '/', no spaces or semicolons")
        if self.domain is not None and not (isinstance(self.domain, str) and _DOMAIN.fullmatch(self.domain)):
            raise ConfigError("CookiePolicy.domain", "is not a lower-case domain", "leave it out, or give example.com")
        if self.same_site not in ("Lax", "Strict", "None"):
            raise ConfigError("CookiePolicy.same_site", "is unknown", "use 'Lax', 'Strict' or 'None'")
        if not isinstance(self.secure, bool):
            raise ConfigError("CookiePolicy.secure", "is not a bool", "leave it True")
        self._check_together()

    def _check_together(self) -> None:
        # Browsers compare prefixes without regard to case (RFC 6265bis, section 5.7).
        prefix = self.name.lower()
        if prefix.startswith("__host-") and self.domain is not None:
            raise ConfigError("CookiePolicy.domain", "browsers drop a __Host- cookie with a domain", "leave it out")
        if prefix.startswith("__host-") and self.path != "/":
            raise ConfigError("CookiePolicy.path", "browsers drop a __Host- cookie with another path", "leave it '/'")
        if prefix.startswith(("__host-", "__secure-", "__http-")) and not self.secure:
            raise ConfigError("CookiePolicy.secure", f"browsers drop {self.name} without Secure", "leave it True")
        if prefix.startswith(("__host-", "__secure-", "__http-")) and not self.name.startswith(
            ("__Host-", "__Secure-", "__Http-")
        ):
            raise ConfigError("CookiePolicy.name", "has a prefix in the wrong case", "write __Host- or __Secure-")
        if self.same_site == "None" and not self.secure:
            raise ConfigError("CookiePolicy.same_site", "browsers drop 'None' without Secure", "leave secure=True")


@dataclass(frozen=True, slots=True, kw_only=True)
class CsrfPolicy:
    """
    Who may send unsafe requests. Judged by request, signed in or not.

    Attributes:
        trusted_origins: Other sites that may, cross-site too. Each one can act as any of your visitors.

        exempt: Paths, compared exactly, that anybody may post to (webhooks). They must not act on the cookie.

        header: Request header that may carry the token of :func:`coatcheck.asgi.csrf_token`.

        field: Field of an urlencoded form that may carry it.
    """

    trusted_origins: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()
    header: str = "x-csrf-token"
    field: str = "csrf_token"

    def __post_init__(self) -> None:
        _texts("CsrfPolicy", "trusted_origins", self.trusted_origins)
        _texts("CsrfPolicy", "exempt", self.exempt)
        for origin in self.trusted_origins:
            check_origin(origin, setting="CsrfPolicy.trusted_origins")
        for path in self.exempt:
            if not path.startswith("/") or "?" in path or "*" in path:
                raise ConfigError("CsrfPolicy.exempt", f"{path[:80]!a} is not a path", "write it out: '/hook'")
        for name in ("header", "field"):
            if not isinstance(getattr(self, name), str) or not _FIELD.fullmatch(getattr(self, name)):
                raise ConfigError(f"CsrfPolicy.{name}", "is not a plain name", "use letters, digits, - and _")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """
    How long sessions live, how many there are, what memory holds, and who is let in at the door.

    Attributes:
        idle_s: Seconds without a request after which a session ends. Longer: an abandoned computer stays signed in.
            Left out: 14 days, or ``absolute_s`` where that is shorter.

        absolute_s: Seconds from sign-in to the end, however busy. Longer: a stolen cookie works for longer.

        sessions_per_subject: At one more, the oldest is revoked. More: longer device lists, slower *revoke_user*.

        seen_interval_s: Activity reaches the store within this time. Longer: fewer writes, and a crash may end an idle
            session that much early. Left out: 60, or a tenth of ``idle_s`` where that is shorter.

        reread_s: A session in memory is read again after this time, 300 at most. Shorter: more reads.

        cached_sessions: Sessions kept in memory, about 1 KB each. Fewer: more reads of the store; never a wrong answer.

        data_bytes: JSON bytes of data per session. More: larger rows, slower writes.

        origins: The public origins of this application, such as ``("https://app.example.com",)``. Requests for another
            host get 421, and a browser too old for Fetch Metadata is recognised by them. Left out: the Host header is
            not checked, and such a browser cannot post.

        mode: What the adapters take. ``cookie``: the session cookie; no signature anywhere. ``jwt``: an access token as
            bearer, for clients without cookies; no CSRF through it, and its holder must keep it. ``hybrid``: a bearer,
            or the session cookie with a short access token in a cookie beside it; both costs, for pages that pass
            through services which only verify.

        access_s: Seconds an access token lives, 3600 at most, never past the session's end. Longer: fewer refreshes,
            and a verifier that hears no revocations believes it for longer.

        access_claims: Which of the session's claims go into the access tokens for which audience; ``"*"`` for all
            others. More: longer tokens, read by whoever holds one.

        refresh_grace_s: Seconds within which a refresh token that was just replaced gets the same successor again.
            Longer: a thief goes unnoticed for longer. Shorter: two tabs that refresh at once sign somebody out.

        signing: ``ES256``, which every library knows, or ``Ed25519``.

        cached_tokens: Verified access tokens kept in memory, and by each adapter as many of the sessions they speak of.
            Fewer: more signatures to check.

        cookie: See :class:`CookiePolicy`. csrf: see :class:`CsrfPolicy`.
    """

    idle_s: int = 0
    absolute_s: int = 30 * DAY
    sessions_per_subject: int = 100
    seen_interval_s: int = 0
    reread_s: int = 5 * MINUTE
    cached_sessions: int = 200_000
    data_bytes: int = 64 * 1024
    mode: Literal["cookie", "jwt", "hybrid"] = "cookie"
    access_s: int = 15 * MINUTE
    access_claims: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"*": ("roles",)})
    refresh_grace_s: int = 30
    signing: Literal["ES256", "Ed25519"] = "ES256"
    cached_tokens: int = 100_000
    origins: tuple[str, ...] = ()
    cookie: CookiePolicy = field(default_factory=CookiePolicy)
    csrf: CsrfPolicy = field(default_factory=CsrfPolicy)

    def __post_init__(self) -> None:
        _positive("Policy", "absolute_s", self.absolute_s, most=COOKIE_LONGEST_S)
        if self.idle_s == 0 and type(self.idle_s) is int:
            object.__setattr__(self, "idle_s", min(14 * DAY, self.absolute_s))
        _positive("Policy", "idle_s", self.idle_s)
        if self.idle_s > self.absolute_s:
            problem = f"{self.idle_s} s is longer than absolute_s ({self.absolute_s} s)"
            raise ConfigError("Policy.idle_s", problem, "lower idle_s or raise absolute_s")
        if self.seen_interval_s == 0 and type(self.seen_interval_s) is int:
            object.__setattr__(self, "seen_interval_s", min(MINUTE, max(1, self.idle_s // 10)))
        _positive("Policy", "seen_interval_s", self.seen_interval_s, most=self.idle_s)
        _positive("Policy", "sessions_per_subject", self.sessions_per_subject, most=10_000)
        _positive("Policy", "reread_s", self.reread_s, most=5 * MINUTE)
        _positive("Policy", "cached_sessions", self.cached_sessions)
        _positive("Policy", "data_bytes", self.data_bytes, most=16 * 1024 * 1024)
        self._check_tokens()
        self._check_parts()

    def _check_tokens(self) -> None:
        _positive("Policy", "access_s", self.access_s, most=HOUR)
        _positive("Policy", "cached_tokens", self.cached_tokens)
        if type(self.refresh_grace_s) is not int or not 0 <= self.refresh_grace_s < self.access_s:
            problem = "is not a whole number of seconds below access_s"
            raise ConfigError("Policy.refresh_grace_s", problem, "leave it at 30, or lower it with access_s")
        if self.mode not in ("cookie", "jwt", "hybrid"):
            raise ConfigError("Policy.mode", "is unknown", "use 'cookie', 'jwt' or 'hybrid'")
        if self.signing not in ("ES256", "Ed25519"):
            raise ConfigError("Policy.signing", "is unknown", "use 'ES256' or 'Ed25519'")
        if not isinstance(self.access_claims, Mapping):
            raise ConfigError("Policy.access_claims", "is not a mapping", 'write {"orders": ("roles",)}')
        # A copy: what is changed in place later would not be checked.
        object.__setattr__(self, "access_claims", MappingProxyType(dict(self.access_claims)))
        for audience, names in self.access_claims.items():
            _texts("Policy", f"access_claims[{audience!a}]", names)
            taken = sorted(RESERVED_CLAIMS & set(names))
            if taken:
                problem = f"{taken[0]} is a claim that tokens have anyway"
                raise ConfigError(f"Policy.access_claims[{audience!a}]", problem, "leave it out, or rename yours")

    def _check_parts(self) -> None:
        _texts("Policy", "origins", self.origins)
        for origin in self.origins:
            check_origin(origin, setting="Policy.origins")
        for name, kind in (("cookie", CookiePolicy), ("csrf", CsrfPolicy)):
            if not isinstance(getattr(self, name), kind):
                raise ConfigError(f"Policy.{name}", f"is not a {kind.__name__}", f"write {name}={kind.__name__}(…)")


EVERYDAY = Policy()
"""Most applications: 14 days idle, 30 days in all (NIST SP 800-63B-4, AAL1)."""

CAREFUL = Policy(idle_s=HOUR, absolute_s=DAY)
"""Money, health, administration: 1 hour idle, 24 hours in all (AAL2)."""

STRICT = Policy(idle_s=15 * MINUTE, absolute_s=12 * HOUR)
"""Where a session left open costs most: 15 minutes idle, 12 hours in all (AAL3)."""
