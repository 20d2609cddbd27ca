"""
How the server is run. Floor 6; may import: floor 0 and http.

Frozen, keyword-only, checked when built: what would fail later is refused here, with the name of the option.
"""

from __future__ import annotations

from dataclasses import dataclass

from coatcheck.errors import ConfigError
from coatcheck.http.headers import networks
from coatcheck.policy import EVERYDAY, LOOPBACK, Policy, check_origin

LOOPBACK_HOSTS = {"localhost": "127.0.0.1", "127.0.0.1": "127.0.0.1", "::1": "::1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    The options of ``coatcheck serve``.

    Attributes:
        host: Address to listen on. Any but a loopback address needs *public_url*.

        port: Port to listen on; 0: any free one.

        store: Where sessions are kept. database: where accounts, limits and the audit trail are kept.

        public_url: The https origin that browsers use, when a proxy with TLS stands in front.

        trusted_proxies: Networks whose ``X-Forwarded-For`` is believed. Too wide: visitors write their own address.

        tls_self_signed: Serve https by a certificate made at the start. Browsers warn; Safari needs https to keep the
            cookie, other browsers make an exception for localhost.

        metrics_port: Where ``/metrics`` is served, on 127.0.0.1 only; 0: nowhere. None: 9464 if it is free.

        policy: Lifetimes and limits of sessions.
    """

    host: str = "localhost"
    port: int = 8000
    store: str = "sqlite:///coatcheck.db"
    database: str = "sqlite:///coatcheck.db"
    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    tls_self_signed: bool = False
    metrics_port: int | None = None
    policy: Policy = EVERYDAY

    def __post_init__(self) -> None:
        for name, port in (("--port", self.port), ("--metrics-port", self.metrics_port or 0)):
            if not 0 <= port <= 65535:
                raise ConfigError(name, f"{port} is not a port", "ports go from 1 to 65535")
        networks(self.trusted_proxies)
        if self.public_url is not None:
            if not self.public_url.startswith("https://") and not self._is_loopback(self.public_url):
                raise ConfigError("--public-url", "does not start with https://", "write https://auth.example.com")
            check_origin(self.public_url.removesuffix("/"), setting="--public-url")
        elif self.host not in LOOPBACK_HOSTS:
            raise ConfigError(
                "--host",
                f"{self.host} can be reached from other machines, where passwords would travel in the clear",
                "put a proxy with TLS in front and add --public-url https://…",
            )

    @staticmethod
    def _is_loopback(url: str) -> bool:
        host = url.removeprefix("http://").removesuffix("/")
        return url.startswith("http://") and (host in LOOPBACK or host.rpartition(":")[0] in LOOPBACK)

    @property
    def address(self) -> str:
        """The address to bind."""
        return LOOPBACK_HOSTS.get(self.host, self.host)

    def origins(self, port: int) -> tuple[str, ...]:
        """Return the origins under which browsers see the server that listens on *port*; the best one first."""
        if self.public_url is not None:
            return (self.public_url.removesuffix("/"),)
        scheme, usual = ("https", 443) if self.tls_self_signed else ("http", 80)
        end = "" if port == usual else f":{port}"
        return tuple(f"{scheme}://{host}{end}" for host in ("localhost", "127.0.0.1", "[::1]"))
