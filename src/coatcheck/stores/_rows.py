"""
Which columns a record, a family and a key have in a table, in which order. Floor 2; may import: floor 0.

Shared by the stores that speak SQL: the columns of their tables have the same names.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import msgspec

from coatcheck.records import Device, Digest, Family, KeyRow, Record, Session
from coatcheck.values import decode_frozen, encode

SESSION = (
    "sid, sub, claims, amr, created_at, auth_time, seen_at, expires_at, idle_s, persistent, ip, user_agent, version"
)
RECORD = f"{SESSION}, digest, data"
_texts = msgspec.json.Decoder(tuple[str, ...])
# Few ways to sign in, many sessions: equal ones are one object, which saves a hundred bytes for each session in memory.
_amr = functools.lru_cache(256)(_texts.decode)


def session_of(row: Sequence[Any]) -> Session:
    """Return the session in the first columns of *row*, which are :data:`SESSION`."""
    sid, sub, claims, amr, created_at, auth_time, seen_at, expires_at, idle_s, persistent, ip, agent, version = row[:13]
    return Session(
        sid=sid,
        sub=sub,
        claims=decode_frozen(claims),
        amr=_amr(amr),
        created_at=created_at,
        auth_time=auth_time,
        seen_at=seen_at,
        expires_at=expires_at,
        idle_s=idle_s,
        persistent=bool(persistent),
        device=Device(ip=ip, user_agent=agent),
        version=version,
    )


def record_of(row: Sequence[Any]) -> Record:
    """Return the record in the first columns of *row*, which are :data:`RECORD`."""
    return Record(session=session_of(row), digest=Digest(row[13]), data=row[14])


def columns_of(record: Record) -> tuple[Any, ...]:
    """Return the values of the columns :data:`RECORD`."""
    session = record.session
    return (
        session.sid,
        session.sub,
        encode(session.claims),
        encode(session.amr).decode(),
        session.created_at,
        session.auth_time,
        session.seen_at,
        session.expires_at,
        session.idle_s,
        session.persistent,
        session.device.ip,
        session.device.user_agent,
        session.version,
        record.digest,
        record.data,
    )


FAMILY = "id, sid, client_id, audiences, generation, nonce, key_id, rotated_at, expires_at, owns_session"


def family_of(row: Sequence[Any]) -> Family:
    """Return the family in the columns :data:`FAMILY`."""
    ident, sid, client_id, audiences, generation, nonce, key_id, rotated_at, expires_at, owns = row
    return Family(
        id=ident,
        sid=sid,
        client_id=client_id,
        audiences=_texts.decode(audiences),
        generation=generation,
        nonce=nonce,
        key_id=key_id,
        rotated_at=rotated_at,
        expires_at=expires_at,
        owns_session=bool(owns),
    )


KEY = "kid, alg, public, sealed, epoch, published_at, signs_from, number, seal_id"


def key_of(row: Sequence[Any]) -> KeyRow:
    """Return the key in the columns :data:`KEY`."""
    kid, alg, public, sealed, epoch, published_at, signs_from, number, seal_id = row
    return KeyRow(
        kid=kid,
        alg=alg,
        public=public,
        sealed=sealed,
        epoch=epoch,
        published_at=published_at,
        signs_from=signs_from,
        number=number,
        seal_id=seal_id,
    )


def family_columns_of(family: Family) -> tuple[Any, ...]:
    """Return the values of the columns :data:`FAMILY`."""
    return (
        family.id,
        family.sid,
        family.client_id,
        encode(family.audiences).decode(),
        family.generation,
        family.nonce,
        family.key_id,
        family.rotated_at,
        family.expires_at,
        family.owns_session,
    )
