"""What no measuring says of a cookie, a JWT and the hybrid. Floor 6; may import: nothing of ours."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

STORAGE: Mapping[str, str] = MappingProxyType(
    {
        "cookie": "a row in the store; a random id in the browser",
        "jwt": "signed claims at the client; a row for its end",
        "hybrid": "a row; a random id and signed claims in the browser",
    }
)
LOOKUP: Mapping[str, str] = MappingProxyType(
    {
        "cookie": "memory; the store at the first request",
        "jwt": "none: the signature, once, then memory",
        "hybrid": "memory; the store every few minutes",
    }
)
BEST_FOR: Mapping[str, str] = MappingProxyType(
    {
        "cookie": "one backend, or a small cluster; most applications",
        "jwt": "many services that verify by themselves; clients without cookies",
        "hybrid": "pages whose requests pass through services that only verify",
    }
)
FAILURE: Mapping[str, str] = MappingProxyType(
    {
        "cookie": "store away: cold checks are 503, warm ones go on for a lease",
        "jwt": "issuer away: no new tokens; a verifier out of touch refuses after a lease",
        "hybrid": "either: the token carries on until it ends, then the session is asked",
    }
)
EVERYWHERE_ELSE = (
    "A verifier without the feed or the store accepts a revoked JWT until it expires: up to {minutes} minutes here."
)
ADVICE = "Most applications should take the session cookie: docs/how-to/choose-a-way.md"
