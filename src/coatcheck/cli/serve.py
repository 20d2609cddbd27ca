"""``coatcheck serve``. Floor 6; may import: floors 0 to 6."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from coatcheck.cli.options import DEFAULT_URL, DatabaseUrl, Store, examples
from coatcheck.policy import CAREFUL, EVERYDAY, STRICT

EXAMPLES = examples(
    "coatcheck serve",
    "coatcheck serve --port 9000 --policy careful --tls-self-signed",
    "coatcheck serve --host 0.0.0.0 --public-url https://auth.example.com --trusted-proxy 10.0.0.0/8",
    "coatcheck serve --store valkey://cache.example.com --database postgresql://coatcheck@db.example.com/coatcheck",
    "coatcheck serve --front-door 127.0.0.1:8001 --upstream localhost:8002=orders",
)


class PolicyName(enum.StrEnum):
    """The policies that have a name."""

    EVERYDAY = "everyday"
    CAREFUL = "careful"
    STRICT = "strict"


class ProxyName(enum.StrEnum):
    """The proxies whose way to ask is known."""

    NGINX = "nginx"
    CADDY = "caddy"
    TRAEFIK = "traefik"
    ENVOY = "envoy"


POLICIES = {PolicyName.EVERYDAY: EVERYDAY, PolicyName.CAREFUL: CAREFUL, PolicyName.STRICT: STRICT}


def serve(
    *,
    host: Annotated[
        str,
        typer.Option("--host", help="Address to listen on; one that other machines can reach needs --public-url."),
    ] = "localhost",
    port: Annotated[int, typer.Option("--port", help="Port to listen on; 0: any free one.")] = 8000,
    store: Store = DEFAULT_URL,
    database: DatabaseUrl = DEFAULT_URL,
    public_url: Annotated[
        str | None,
        typer.Option(
            "--public-url", metavar="URL", help="The https address that browsers use, behind a proxy with TLS."
        ),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--trusted-proxy", metavar="NET", help="A network whose X-Forwarded-For is believed. Can be repeated."
        ),
    ] = None,
    tls_self_signed: Annotated[
        bool, typer.Option("--tls-self-signed", help="Serve https by a certificate made at the start; browsers warn.")
    ] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            "--metrics-port", help="Port of /metrics on 127.0.0.1; 0: none.", show_default="9464, if it is free"
        ),
    ] = None,
    front_door: Annotated[
        str | None,
        typer.Option(
            "--front-door",
            metavar="HOST:PORT",
            help="Where proxies ask whether a request may pass; a loopback or private address.",
        ),
    ] = None,
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            "--upstream",
            metavar="HOST=AUDIENCE",
            help="An application behind the front door, and whom its tokens are for. Can be repeated.",
        ),
    ] = None,
    proxy: Annotated[
        ProxyName, typer.Option("--proxy", help="Which proxy asks at the front door: it decides which headers count.")
    ] = ProxyName.NGINX,
    policy: Annotated[
        PolicyName, typer.Option("--policy", help="How long sessions live: 30 days, 24 hours or 12 hours at most.")
    ] = PolicyName.EVERYDAY,
) -> None:
    """Serve sign-in pages and the JSON interface until Ctrl-C. The first start prints a set-up code."""
    from coatcheck.server.settings import Settings  # with a web framework, which --help does not need

    settings = Settings(
        host=host,
        port=port,
        store=store,
        database=database,
        public_url=public_url,
        trusted_proxies=tuple(trusted_proxy or ()),
        tls_self_signed=tls_self_signed,
        metrics_port=metrics_port,
        front_door=front_door,
        upstreams=tuple(upstream or ()),
        proxy=proxy.value,
        policy=POLICIES[policy],
    )
    from coatcheck.server import run  # here: no other command needs a web server

    raise typer.Exit(run.serve(settings))
