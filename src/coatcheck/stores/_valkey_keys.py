"""
Which keys there are in Valkey, and what stands in them. Floor 2; may import: floor 0.

What is between ``{`` and ``}`` decides the slot, so all keys with one tag change in one script:

- ``{PREFIX}:…`` is *home*: what orders everything (``meta``, ``log``, ``nodes``, ``keys``, ``secrets``, ``clients``).
- ``{PREFIX.3fa}:…`` is one of :data:`BUCKETS` buckets. ``s:SID`` row, ``t:SID`` tombstone, ``d:DIGEST`` pointer,
  ``u:SUB`` the subject's list, ``g:SUB`` its numbers, ``f:ID`` family, ``c:CLIENT`` its families here; ``open``:
  changed here, and not yet in the log; ``ends``: what ends when.

Rules of this module:

1. What scripts read or change stands in front, in a fixed form, in the byte order of :data:`HEAD`; the same form is
   written in :mod:`._valkey_scripts`. The rest is for Python alone.
2. Numbers that a script computes with are below 2**53: Lua has no others.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Mapping
from typing import Any

import msgspec

from coatcheck.records import Device, Digest, Family, KeyRow, Record, Session
from coatcheck.values import decode_frozen, encode

BUCKETS = 1024
FORM = 1
_NOBODY = 0xFFFF

HEAD = struct.Struct(">BIQqqq32sH")
"""form, version, epoch, seen_at, idle_s, expires_at, digest, length of the subject; the subject follows."""

TOMB = struct.Struct(">?32sH")
"""noted: whether its end is in the log; digest, or zeros; length of the owner; the owner follows."""

FAMILY_HEAD = struct.Struct(">Iq")
"""generation, rotated_at; this is -1 once somebody ends what was made for its client."""

NO_DIGEST = bytes(32)


class Names:
    """
    The keys of one store.

    Args:
        prefix: What all of them begin with.
    """

    def __init__(self, prefix: str) -> None:
        home = f"{{{prefix}}}:"
        self._bucket = f"{{{prefix}."
        self.meta, self.log, self.nodes = (f"{home}{name}".encode() for name in ("meta", "log", "nodes"))
        self.keys, self.secrets, self.clients = (f"{home}{name}".encode() for name in ("keys", "secrets", "clients"))
        self.probe, self.news = f"{home}probe".encode(), f"{home}news".encode()

    def at(self, bucket: int) -> bytes:
        """Return what all keys of a bucket begin with."""
        return f"{self._bucket}{bucket:03x}}}:".encode()

    def tag(self, what: bytes) -> bytes:
        """Return the same for the bucket that *what* belongs to."""
        return self.at(int.from_bytes(hashlib.sha256(what).digest()[:2], "big") % BUCKETS)

    def row(self, sid: str) -> tuple[bytes, bytes]:
        """Return the tag of a session, and its ``sid`` as it stands in keys."""
        raw = sid.encode()
        return self.tag(raw), raw

    def pointer(self, digest: Digest) -> bytes:
        """Return the key that leads from a token's digest to its session."""
        return self.tag(digest) + b"d:" + digest

    def subject(self, sub: str) -> tuple[bytes, bytes]:
        """Return the keys of a subject: its list, its numbers."""
        raw = sub.encode()
        tag = self.tag(raw)
        return tag + b"u:" + raw, tag + b"g:" + raw

    def family(self, ident: bytes) -> bytes:
        """Return the key of a family."""
        return self.tag(ident) + b"f:" + ident

    @staticmethod
    def beside(key: bytes, name: str) -> bytes:
        """Return the key *name* in the bucket of *key*."""
        return key[: key.index(b"}:") + 2] + name.encode()


def tag_of(key: bytes) -> bytes:
    """Return what decides the slot of a key: the same for all keys of a bucket."""
    return key[1 : key.index(b"}")]


class Row(msgspec.Struct, frozen=True):
    """
    A session as it stands in its row.

    Attributes:
        epoch: In which it was made. life: of home, that it was made in: another one, and it does not count.

        tickets: for each claim that was changed, the number of the last change.
    """

    record: Record
    epoch: int
    life: bytes
    tickets: Mapping[str, int] = {}

    @property
    def ends_at(self) -> int:
        """From when on it is over, unless it is used."""
        session = self.record.session
        return min(session.expires_at, session.seen_at + session.idle_s)


_Rest = tuple[bytes, bytes, tuple[str, ...], int, int | None, bool, str | None, str | None, bytes, dict[str, int]]
_rest = msgspec.msgpack.Decoder(_Rest)


def pack(row: Row) -> bytes:
    """Return what stands in a row."""
    session = row.record.session
    sub = b"" if session.sub is None else session.sub.encode()
    head = HEAD.pack(
        FORM,
        session.version,
        row.epoch,
        session.seen_at,
        session.idle_s,
        session.expires_at,
        row.record.digest,
        _NOBODY if session.sub is None else len(sub),
    )
    device = session.device
    rest = (
        encode(session.claims),
        row.record.data,
        session.amr,
        session.created_at,
        session.auth_time,
        session.persistent,
        device.ip,
        device.user_agent,
        row.life,
        row.tickets,
    )
    return head + sub + msgspec.msgpack.encode(rest)


@functools.lru_cache(256)
def _same(amr: tuple[str, ...]) -> tuple[str, ...]:
    # As in _rows.py: equal ones are one object.
    return amr


def unpack(sid: str, raw: bytes) -> Row:
    """Return what *raw* says of the session *sid*."""
    _, version, epoch, seen_at, idle_s, expires_at, digest, length = HEAD.unpack_from(raw)
    sub, at = _text(raw, HEAD.size, length)
    claims, data, amr, created_at, auth_time, persistent, ip, agent, life, tickets = _rest.decode(raw[at:])
    session = Session(
        sid=sid,
        sub=sub,
        claims=decode_frozen(claims),
        amr=_same(amr),
        created_at=created_at,
        auth_time=auth_time,
        seen_at=seen_at,
        expires_at=expires_at,
        idle_s=idle_s,
        persistent=persistent,
        device=Device(ip=ip, user_agent=agent),
        version=version,
    )
    return Row(Record(session=session, digest=Digest(digest), data=data), epoch, life, tickets)


def _text(raw: bytes, at: int, length: int) -> tuple[str | None, int]:
    return (None, at) if length == _NOBODY else (raw[at : at + length].decode(), at + length)


def digest_of_tomb(raw: bytes) -> Digest | None:
    """Return the last digest of the session that lies there."""
    digest = TOMB.unpack_from(raw)[1]
    return None if digest == NO_DIGEST else Digest(digest)


_FamilyRest = tuple[str, str, tuple[str, ...], bytes, str, int, bool]
_family_rest = msgspec.msgpack.Decoder(_FamilyRest)


def pack_family(family: Family) -> bytes:
    """Return what stands in a family."""
    rest: _FamilyRest = (
        family.sid,
        family.client_id,
        tuple(family.audiences),
        family.nonce,
        family.key_id,
        family.expires_at,
        family.owns_session,
    )
    return FAMILY_HEAD.pack(family.generation, family.rotated_at) + msgspec.msgpack.encode(rest)


def unpack_family(ident: bytes, raw: bytes) -> Family:
    """Return what *raw* says of the family *ident*."""
    generation, rotated_at = FAMILY_HEAD.unpack_from(raw)
    sid, client_id, audiences, nonce, key_id, expires_at, owns = _family_rest.decode(raw[FAMILY_HEAD.size :])
    return Family(
        id=ident,
        sid=sid,
        client_id=client_id,
        audiences=audiences,
        generation=generation,
        nonce=nonce,
        key_id=key_id,
        rotated_at=rotated_at,
        expires_at=expires_at,
        owns_session=owns,
    )


_key = msgspec.msgpack.Decoder(dict[str, Any])


def pack_key(row: KeyRow) -> bytes:
    """Return what stands for a signing key; home gives it its number."""
    return msgspec.msgpack.encode(msgspec.structs.asdict(row))


def unpack_key(raw: bytes, number: int) -> KeyRow:
    """Return the signing key that *raw* is."""
    return KeyRow(**(_key.decode(raw) | {"number": number}))
