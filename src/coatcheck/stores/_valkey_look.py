"""
What Valkey servers say of themselves. Floor 2; may import: floor 0.

Also those that the store refuses: whoever wants to know why it does asks here.
"""

from __future__ import annotations

import asyncio
from typing import Any

from coatcheck.errors import StoreUnavailable
from coatcheck.stores._valkey_connect import Connector
from coatcheck.stores._valkey_faults import Fault
from coatcheck.stores._valkey_places import places
from coatcheck.stores._valkey_refuse import parse_info
from coatcheck.stores._valkey_url import Host, Settings, parse, shown_host

WAIT_S = 5.0
_SETTINGS = ("appendfsync", "maxmemory-policy")
_KEPT = ("role", "aof_enabled", "maxmemory_policy", "connected_slaves", "valkey_version", "redis_version")


async def look(url: str) -> tuple[dict[str, str], ...]:
    """
    Return what each primary says.

    Raises:
        StoreUnavailable: One does not answer.
    """
    settings = parse(url)
    connector = Connector(settings, ())
    found = places(settings, connector, lambda server: None)
    try:
        async with asyncio.timeout(WAIT_S):
            await found.look()
            return tuple([await _ask(connector, settings, server.host) for server in found.servers])
    except Fault as fault:
        raise StoreUnavailable(f"Valkey: {fault.said}") from None
    except TimeoutError:
        raise StoreUnavailable("Valkey: no answer") from None
    finally:
        await found.close()


async def _ask(connector: Connector, settings: Settings, host: Host) -> dict[str, str]:
    asked: list[Any] = [("INFO",), *(("CONFIG", "GET", name) for name in _SETTINGS)]
    info, *answers = await connector.ask(host, settings.user, settings.password, *asked)
    if isinstance(info, Exception):
        raise StoreUnavailable("Valkey: the user may not run INFO; look at: ACL SETUSER") from None
    told = parse_info(info)
    durability = "" if settings.durability is None else str(settings.durability)
    said = {"server": settings.socket or shown_host(host), "durability": durability}
    said |= {name: told[name] for name in _KEPT if name in told}
    for name, answer in zip(_SETTINGS, answers, strict=True):
        if isinstance(answer, list) and len(answer) == 2:  # not every user may ask
            said[name.replace("-", "_")] = answer[1].decode("utf-8", "replace")
    return said
