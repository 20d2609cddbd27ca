"""
How the server is run. Floor 6; may import: floor 0, http, and its neighbour dialects.

Frozen, keyword-only, checked when built: what would fail later is refused here, with the name of the option.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from coatcheck import arguments
from coatcheck.errors import ConfigError, InvalidInput
from coatcheck.http.headers import networks
from coatcheck.policy import EVERYDAY, LOOPBACK, Policy, check_origin
from coatcheck.server.dialects import DIALECTS

LOOPBACK_HOSTS = {"localhost": "127.0.0.1", "127.0.0.1": "127.0.0.1", "::1": "::1"}

_NOT_PUBLIC = networks(("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1", "fc00::/7"))


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

        front_door: ``HOST:PORT`` where proxies ask for each request whether it may pass, a loopback or private address;
            port 0: any free one. Whoever reaches it can try cookies there, so never a public one.

        upstreams: ``HOST=AUDIENCE`` for each application behind the front door: the host as browsers ask for it, and
            whom its access tokens are for.

        proxy: Which proxy asks at the front door: ``nginx``, ``caddy``, ``traefik`` or ``envoy``. It decides which
            headers are read: those of another are the visitor's, who could say by them that a POST is a GET.

        policy: Lifetimes and limits of sessions.
    """

    host: str = "localhost"
    port: int = 8000
    store: str = field(default="sqlite:///coatcheck.db", repr=False)  # either may hold a password
    database: str = field(default="sqlite:///coatcheck.db", repr=False)
    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    tls_self_signed: bool = False
    metrics_port: int | None = None
    front_door: str | None = None
    upstreams: tuple[str, ...] = ()
    proxy: str = "nginx"
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
        self._check_front_door()

    def _check_front_door(self) -> None:
        if (self.front_door is None) != (not self.upstreams):
            missing = "--front-door" if self.front_door is None else "--upstream"
            remedy = "give both: --front-door 127.0.0.1:8001 --upstream app.example.com=app"
            raise ConfigError(missing, "is missing", remedy)
        if self.proxy not in DIALECTS:
            raise ConfigError("--proxy", f"{self.proxy[:80]!a} is not known", f"it is one of {', '.join(DIALECTS)}")
        if self.front_door is not None:
            front_door_address(self.front_door)
            audiences(self.upstreams)

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


def front_door_address(text: str) -> tuple[str, int]:
    """
    Return the address and the port of ``HOST:PORT``.

    Raises:
        ConfigError: It is not that, or other machines than one's own could reach it.
    """
    host, _, port = text.rpartition(":")
    host = LOOPBACK_HOSTS.get(host, host.removeprefix("[").removesuffix("]"))
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ConfigError("--front-door", f"{text!a} is not ADDRESS:PORT", "write 127.0.0.1:8001") from None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise ConfigError("--front-door", f"{port!a} is not a port", "write 127.0.0.1:8001")
    if not any(address in network for network in _NOT_PUBLIC):
        problem = f"{host} can be reached by others than your proxies"
        raise ConfigError("--front-door", problem, "use a loopback or private address, such as 127.0.0.1:8001")
    return host, int(port)


def audiences(upstreams: tuple[str, ...]) -> dict[str, str]:
    """
    Return, for each host of ``HOST=AUDIENCE``, the audience.

    Raises:
        ConfigError: One is not that, or a host is there twice.
    """
    found: dict[str, str] = {}
    for text in upstreams:
        host, equals, audience = text.partition("=")
        if not equals:
            raise ConfigError("--upstream", f"{text[:80]!a} is not HOST=AUDIENCE", "write app.example.com=app")
        check_origin(f"https://{host}", setting="--upstream")
        if host in found:
            raise ConfigError("--upstream", f"{host} is there twice", "give each host one audience")
        try:
            found[host] = arguments.audience(audience)[0]
        except InvalidInput:
            raise ConfigError("--upstream", f"{audience[:80]!a} is no audience", "write app.example.com=app") from None
    return found
