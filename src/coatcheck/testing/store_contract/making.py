"""What the tests of the contract are made of: small records, keys and families. Floor 5; may import: floors 0 to 4."""

from __future__ import annotations

import hashlib
from typing import Any

from coatcheck.records import Digest, Family, KeyRow, Record, Session
from coatcheck.stores.base import Stamp


def make_digest(name: str) -> Digest:
    """Return the digest that stands for *name* in a test."""
    return Digest(hashlib.sha256(name.encode()).digest())


def make_record(name: str, *, sub: str | None = "maria", **fields: Any) -> Record:
    """Return a record whose ``sid`` and digest are made of *name*; *fields* are those of the session."""
    defaults: dict[str, Any] = {"created_at": 0, "seen_at": 0, "expires_at": 1000, "idle_s": 100}
    return Record(digest=make_digest(name), session=Session(sid=name, sub=sub, **(defaults | fields)))


def make_stamp(now: int = 0, *, keep_s: int = 1000) -> Stamp:
    """Return a stamp whose traces are kept for *keep_s* seconds."""
    return Stamp(now=now, forget_change=now + keep_s, forget_token=now + keep_s)


def make_key(kid: str, epoch: int = 1, *, signs_from: int = 0, seal_id: str = "s1") -> KeyRow:
    """Return a signing key that signs nothing."""
    return KeyRow(
        kid=kid,
        alg="ES256",
        public=b"public",
        sealed=b"sealed " + kid.encode(),
        epoch=epoch,
        published_at=3,
        signs_from=signs_from,
        seal_id=seal_id,
    )


def make_family(name: str, sid: str, **fields: Any) -> Family:
    """Return the first generation of a family whose id is made of *name*."""
    defaults: dict[str, Any] = {
        "client_id": "cli",
        "audiences": ("orders", "bílling"),
        "generation": 1,
        "nonce": make_digest("nonce of " + name),
        "key_id": "s1",
        "rotated_at": 7,
        "expires_at": 1000,
    }
    return Family(id=make_digest(name)[:16], sid=sid, **(defaults | fields))
