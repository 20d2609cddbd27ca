"""
Sessions in a dict: the reference implementation. Floor 2; may import: floor 0.

Small enough to be the specification of what the other stores do. Lives and dies with its process; for tests, and for
trying things out.

Rules of this module:

1. No method awaits anything, so each is one step in its event loop. The lock is for other threads that read the log.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec.structs import replace

from coatcheck.errors import AlreadyExists
from coatcheck.records import (
    ENDED,
    Change,
    Digest,
    Ended,
    Family,
    KeyRow,
    Kind,
    Node,
    Nodes,
    Reason,
    Record,
    Session,
    Tail,
)
from coatcheck.stores.base import LEASE_S, MOVED, Moved, Place, Reset, Seen, Stamp
from coatcheck.values import decode, decode_frozen, fitted, merged


class MemoryStore:
    """See :class:`coatcheck.stores.base.EmbeddedStore`."""

    is_embedded: Literal[True] = True

    def __init__(self) -> None:
        self._pulse = [0]
        self._lock = threading.Lock()
        self._rows: dict[str, Record] = {}  # by sid, the oldest first
        self._sids: dict[Digest, str] = {}
        self._subjects: dict[str, dict[str, None]] = {}  # sub -> its sids, the oldest first
        self._ended: dict[Digest, tuple[Ended, int]] = {}
        self._owners: dict[str, tuple[str | None, int]] = {}  # sid -> whose it was, of sessions that ended
        self._generations: dict[str, int] = {}
        self._changes: list[Change] = []
        self._keys: list[KeyRow] = []
        self._families: dict[bytes, Family] = {}
        self._nodes: dict[str, Node] = {}
        self._secrets: dict[str, bool] = {}  # by their ids: whether it was declared lost
        self._numbers = itertools.count(1)
        self._head = self._trimmed = 0
        self._epoch = 1

    def __repr__(self) -> str:
        return "MemoryStore()"

    @property
    def pulse(self) -> Sequence[int]:
        return self._pulse

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    # --- reading ---

    async def load(self, digest: Digest) -> Record | Ended | None:
        sid = self._sids.get(digest)
        if sid is not None:
            return self._rows[sid]
        ended = self._ended.get(digest)
        return None if ended is None else ended[0]

    async def load_sid(self, sid: str) -> Record | None:
        return self._rows.get(sid)

    async def load_subject(self, sub: str) -> list[Session]:
        return [record.session for record in reversed(self._of(sub))]

    async def generation(self, sub: str) -> int:
        return self._epoch + self._generations.get(sub, 0)

    async def tail(self, after: int) -> Tail:
        return self.tail_now(after)

    def tail_now(self, after: int) -> Tail:
        with self._lock:
            news = tuple(change for change in self._changes if change.position > after)
            return Tail(epoch=self._epoch, trimmed=self._trimmed, head=self._head, changes=news)

    def changed_behind_pulse(self) -> bool:
        return False

    # --- writing ---

    async def create(
        self, record: Record, *, generation: int | None, most: int, stamp: Stamp, place: Place | None = None
    ) -> int | Moved | None:
        sub = record.session.sub
        if sub is not None and generation is not None and generation != await self.generation(sub):
            return MOVED
        if place is not None and self._was_ended(record.session.sid, place):
            return MOVED
        if record.session.sid in self._rows or record.digest in self._sids:
            raise AlreadyExists("a session with this token or sid exists")
        self._put(record)
        return self._end_surplus(sub, record.session.sid, most, stamp)

    async def renew(
        self, old: Digest, record: Record, *, generation: int | None, most: int, stamp: Stamp
    ) -> int | Moved | None:
        sid, sub = record.session.sid, record.session.sub
        if sub is not None and generation is not None and generation != await self.generation(sub):
            return MOVED
        row = self._rows.get(sid)
        if self._sids.get(old) != sid or row is None or row.session.version != record.session.version - 1:
            return None
        self._forget_token(old, Reason.RENEWED, stamp)
        self._put(replace(record, data=row.data))
        self._append(Kind.RENEWED, [(sid, record.session.version)], stamp)
        self._end_surplus(sub, sid, most, stamp)
        return self._head

    async def change_claims(
        self, sub: str, change: Mapping[str, Any], unset: Sequence[str], *, limit: int, stamp: Stamp
    ) -> int:
        changed = []
        for record in self._of(sub):
            raw = fitted(merged(record.session.claims, change, unset), limit=limit, field="claims")
            session = replace(record.session, claims=decode_frozen(raw), version=record.session.version + 1)
            changed.append(replace(record, session=session))
        self._rows.update((record.session.sid, record) for record in changed)
        self._generations[sub] = self._generations.get(sub, 0) + 1
        named = [(record.session.sid, record.session.version) for record in changed]
        return self._append(Kind.CLAIMS, named, stamp)

    async def change_data(
        self, sid: str, change: Mapping[str, Any], unset: Sequence[str], *, limit: int, stamp: Stamp
    ) -> int | None:
        record = self._rows.get(sid)
        if record is None or stamp.now >= record.session.expires_at:
            return None
        raw = fitted(merged(decode(record.data), change, unset), limit=limit, field="set")
        self._rows[sid] = replace(record, data=raw)
        return self._append(Kind.DATA, [(sid, 0)], stamp)

    async def end(self, sid: str, *, of: str | None, kind: Kind, note: str, stamp: Stamp) -> int | None:
        record = self._rows.get(sid)
        owner = record.session.sub if record else self._owners.get(sid, (None, 0))[0]
        if of is not None and owner != of:
            return None
        return self._end([sid], kind, stamp)

    async def end_subject(self, sub: str, *, keep: str | None, note: str, stamp: Stamp) -> int:
        self._generations[sub] = self._generations.get(sub, 0) + 1
        sids = [record.session.sid for record in self._of(sub) if record.session.sid != keep]
        return self._end(sids, Kind.REVOKED, stamp)

    async def end_everyone(self, *, note: str, stamp: Stamp) -> int:
        for digest in list(self._sids):
            self._forget_token(digest, Reason.REVOKED, stamp)
        self._rows.clear()
        self._subjects.clear()
        self._epoch += 1
        self._families.clear()
        self._keys.clear()
        return self._append(Kind.EVERYONE, [(None, ENDED)], stamp)

    async def touch(self, seen: Sequence[Seen]) -> list[str]:
        missed = []
        for span in seen:
            record = self._rows.get(span.sid)
            if record is None or not span.since <= record.session.seen_at < span.at:
                missed.append(span.sid)
            else:
                self._rows[span.sid] = replace(record, session=replace(record.session, seen_at=span.at))
        return missed

    async def sweep(self, *, now: int, limit: int, trim_to: int | None = None) -> int:
        over = [
            record
            for record in self._rows.values()
            if now >= min(record.session.expires_at, record.session.seen_at + record.session.idle_s)
        ][:limit]
        for record in over:
            self._take(record.session.sid)
            del self._sids[record.digest]
        tokens = [digest for digest, (_, until) in self._ended.items() if now >= until][:limit]
        for digest in tokens:
            del self._ended[digest]
        for sid in [sid for sid, (_, until) in self._owners.items() if now >= until][:limit]:
            del self._owners[sid]
        families = [family.id for family in self._families.values() if self._is_over(family, now)][:limit]
        for ident in families:
            del self._families[ident]
        return len(over) + len(tokens) + len(families) + self._trim(now, limit, trim_to)

    # --- signing keys and refresh tokens ---

    async def keys(self) -> list[KeyRow]:
        return self.keys_now()

    def keys_now(self) -> list[KeyRow]:
        with self._lock:
            return list(self._keys)

    async def add_key(self, row: KeyRow, *, newest: str | None, stamp: Stamp) -> int | None:
        if row.epoch != self._epoch or newest != self._newest() or await self.is_lost(row.seal_id):
            return None
        with self._lock:
            self._keys.append(replace(row, number=next(self._numbers)))
        return self._append(Kind.KEYS, [(None, 0)], stamp)

    async def drop_key(self, kid: str, *, stamp: Stamp) -> int:
        with self._lock:
            self._keys = [row for row in self._keys if row.kid != kid]
        return self._append(Kind.KEYS, [(None, 0)], stamp)

    def _newest(self) -> str | None:
        return self._keys[-1].kid if self._keys else None

    async def admit_secret(self, ident: str, *, newest: str | None) -> bool:
        if newest != self._newest() or await self.is_lost(ident):
            return False
        self._secrets[ident] = False
        return True

    async def is_lost(self, ident: str) -> bool:
        return self._secrets.get(ident, False)

    async def reset_keys(self, *, stamp: Stamp) -> Reset:
        sealing, making = (row.seal_id for row in self._keys), (family.key_id for family in self._families.values())
        # A key from before these ids were kept has none, and no secret is to be lost on its account.
        self._secrets = {ident: True for ident in (*self._secrets, *sealing, *making) if ident}
        families = len(self._families)
        self._families.clear()
        with self._lock:
            self._keys = []
        return Reset(position=self._append(Kind.KEYS, [(None, 0)], stamp), families=families)

    async def add_family(self, family: Family) -> bool:
        if family.sid not in self._rows or await self.is_lost(family.key_id):
            return False
        self._families[family.id] = family
        return True

    async def family(self, ident: bytes) -> Family | None:
        family = self._families.get(ident)
        return family if family is not None and family.sid in self._rows else None

    async def end_client(self, client_id: str, *, note: str, stamp: Stamp) -> int:
        theirs = [family for family in self._families.values() if family.client_id == client_id]
        for family in theirs:
            del self._families[family.id]
        live = [family for family in theirs if family.sid in self._rows]
        owned = dict.fromkeys(family.sid for family in live if family.owns_session)
        raised = []
        for sid in dict.fromkeys(family.sid for family in live if family.sid not in owned):
            record = self._rows[sid]
            session = replace(record.session, version=record.session.version + 1)
            self._rows[sid] = replace(record, session=session)
            raised.append((sid, session.version))
        self._append(Kind.CLAIMS, raised, stamp)
        return self._end(list(owned), Kind.REVOKED, stamp)

    async def rotate_family(self, ident: bytes, *, generation: int, now: int) -> bool:
        family = await self.family(ident)
        if family is None or family.generation != generation:
            return False
        self._families[ident] = replace(family, generation=generation + 1, rotated_at=now)
        return True

    # --- nodes ---

    async def join(self, node: str, *, label: str) -> float:
        row = self._nodes.get(node)
        # The counter never goes back: what arrives late would make a living row look as it did long ago.
        self._nodes[node] = Node(id=node, label=label, beat=row.beat if row else 0, applied=0, epoch=0)
        return LEASE_S

    async def beat(self, node: str, *, beat: int, applied: int, epoch: int) -> Tail | None:
        row = self._nodes.get(node)
        if row is None:
            return None
        self._nodes[node] = replace(row, beat=max(beat, row.beat), applied=applied, epoch=epoch)
        return self.tail_now(applied)

    async def leave(self, node: str) -> None:
        self._nodes.pop(node, None)

    async def nodes(self) -> Nodes:
        return Nodes(epoch=self._epoch, head=self._head, lease_s=LEASE_S, rows=tuple(self._nodes.values()))

    async def drop_node(self, node: str, *, beat: int) -> bool:
        row = self._nodes.get(node)
        if row is None or row.beat != beat:
            return False
        del self._nodes[node]
        return True

    async def wall(self) -> None:
        return None

    def _is_over(self, family: Family, now: int) -> bool:
        return now >= family.expires_at or family.sid not in self._rows

    # --- steps ---

    def _of(self, sub: str | None) -> list[Record]:
        return [self._rows[sid] for sid in self._subjects.get(sub, ())] if sub is not None else []

    def _was_ended(self, sid: str, place: Place) -> bool:
        if self._epoch != place.epoch or self._trimmed > place.position:
            return True
        return any(change.sid == sid for change in self._changes if change.position > place.position)

    def _put(self, record: Record) -> None:
        session = record.session
        self._rows[session.sid] = record
        self._sids[record.digest] = session.sid
        if session.sub is not None:
            self._subjects.setdefault(session.sub, {})[session.sid] = None

    def _take(self, sid: str) -> Record | None:
        record = self._rows.pop(sid, None)
        if record is not None and record.session.sub is not None:
            mine = self._subjects[record.session.sub]
            del mine[sid]
            if not mine:
                del self._subjects[record.session.sub]
        return record

    def _end_surplus(self, sub: str | None, newest: str, most: int, stamp: Stamp) -> int | None:
        if sub is None:
            return None
        others = [record.session.sid for record in self._of(sub) if record.session.sid != newest]
        surplus = others[: max(0, len(others) - most + 1)]
        return self._end(surplus, Kind.REVOKED, stamp) if surplus else None

    def _end(self, sids: list[str], kind: Kind, stamp: Stamp) -> int:
        for sid in sids:
            record = self._take(sid)
            if record is not None:
                self._owners[sid] = (record.session.sub, stamp.forget_token)
                self._forget_token(record.digest, Reason.REVOKED, stamp)
        return self._append(kind, [(sid, ENDED) for sid in sids], stamp)

    def _forget_token(self, digest: Digest, reason: Reason, stamp: Stamp) -> None:
        del self._sids[digest]
        self._ended[digest] = (Ended(reason), stamp.forget_token)

    def _append(self, kind: Kind, named: Sequence[tuple[str | None, int]], stamp: Stamp) -> int:
        until = stamp.forget_change
        with self._lock:
            for (sid, version), position in zip(named, itertools.count(self._head + 1), strict=False):
                self._changes.append(Change(position=position, kind=kind, sid=sid, version=version, forget_after=until))
                self._head = position
        self._pulse[0] += 1
        return self._head

    def _trim(self, now: int, limit: int, trim_to: int | None) -> int:
        with self._lock:
            most = self._head if trim_to is None else trim_to
            over = itertools.takewhile(
                lambda change: change.forget_after <= now and change.position <= most, self._changes[:limit]
            )
            count = len(list(over))
            if count:
                self._trimmed = self._changes[count - 1].position
                del self._changes[:count]
        return count
