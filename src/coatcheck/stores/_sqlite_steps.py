"""
What each write does to the tables, as plain SQL. Floor 2; may import: floor 0.

Rules of this module:

1. Every method runs inside a transaction that holds the write lock: what it reads cannot change under it.
2. A change that somebody may hold in memory is appended to the log in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import apsw

from coatcheck.errors import AlreadyExists
from coatcheck.records import ENDED, Digest, Family, KeyRow, Kind, Reason, Record
from coatcheck.stores._rows import FAMILY, RECORD, columns_of, family_columns_of
from coatcheck.stores.base import MOVED, Moved, Place, Reset, Seen, Stamp
from coatcheck.values import decode, fitted, merged

_COUNT = "SELECT count(*) FROM sessions WHERE sub = ?"
_INSERT = f"INSERT INTO sessions ({RECORD}) VALUES ({', '.join('?' * 15)})"
LIVE = "id > (SELECT bar FROM meta)"
LIVE_SESSION = f"sessions.{LIVE}"
NEWEST_FIRST = "created_at DESC, id DESC"  # not the id alone: a started session keeps its row when it is signed in
IS_LOST = "SELECT 1 FROM secrets WHERE id = ? AND is_lost"


class Steps:
    """
    The writes of one connection.

    Attributes:
        moved: Whether others must look at the log, on account of anything done here since this was last cleared.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        # Rows are of our own making, so their types are known; the driver's stubs cannot know them.
        self._do: Callable[..., Any] = connection.execute
        self._connection = connection
        self.moved = False

    def create(
        self, record: Record, generation: int | None, most: int, stamp: Stamp, place: Place | None
    ) -> int | Moved | None:
        sub = record.session.sub
        if self._has_moved(sub, generation) or (place is not None and self._was_ended(record.session.sid, place)):
            return MOVED
        try:
            self._do(_INSERT, columns_of(record))
        except apsw.ConstraintError:
            raise AlreadyExists("a session with this token or sid exists") from None
        return self._end_surplus(sub, record.session.sid, most, stamp)

    def renew(self, old: Digest, record: Record, generation: int | None, most: int, stamp: Stamp) -> int | Moved | None:
        session = record.session
        if self._has_moved(session.sub, generation):
            return MOVED
        columns = [name for name in RECORD.split(", ") if name != "data"]
        changed = self._do(
            f"UPDATE sessions SET ({', '.join(columns)}) = ({', '.join('?' * len(columns))}) "
            f"WHERE digest = ? AND sid = ? AND version = ? AND {LIVE} RETURNING id",
            (*columns_of(record)[:-1], old, session.sid, session.version - 1),
        ).fetchall()
        if not changed:
            return None
        self._remember([(old, session.sid, session.sub)], Reason.RENEWED, "", stamp)
        self._append(Kind.RENEWED, [(session.sid, session.version)], stamp)
        self._end_surplus(session.sub, session.sid, most, stamp)
        return self._head()

    def change_claims(self, sub: str, change: Mapping[str, Any], unset: Sequence[str], limit: int, stamp: Stamp) -> int:
        rows = self._do(f"SELECT id, sid, claims, version FROM sessions WHERE sub = ? AND {LIVE}", (sub,)).fetchall()
        news = [
            (fitted(merged(decode(claims), change, unset), limit=limit, field="claims"), ident)
            for ident, _, claims, _ in rows
        ]
        self._connection.executemany("UPDATE sessions SET claims = ?, version = version + 1 WHERE id = ?", news)
        self._raise_generation(sub)
        return self._append(Kind.CLAIMS, [(sid, version + 1) for _, sid, _, version in rows], stamp)

    def change_data(
        self, sid: str, change: Mapping[str, Any], unset: Sequence[str], limit: int, stamp: Stamp
    ) -> int | None:
        raw = self._do(f"SELECT data FROM sessions WHERE sid = ? AND expires_at > ? AND {LIVE}", (sid, stamp.now)).get
        if raw is None:
            return None
        fresh = fitted(merged(decode(raw), change, unset), limit=limit, field="set")
        self._do("UPDATE sessions SET data = ? WHERE sid = ?", (fresh, sid))
        return self._append(Kind.DATA, [(sid, 0)], stamp)

    def end(self, sid: str, of: str | None, kind: Kind, note: str, stamp: Stamp) -> int | None:
        if of is not None and of != self._owner(sid):
            return None
        self._end(self._do("SELECT digest, sid, sub FROM sessions WHERE sid = ?", (sid,)).fetchall(), note, stamp)
        # Appended though there may be nothing to end: an earlier call may have ended it and still be waiting.
        return self._append(kind, [(sid, ENDED)], stamp)

    def end_subject(self, sub: str, keep: str | None, note: str, stamp: Stamp) -> int:
        self._raise_generation(sub)
        select = f"SELECT digest, sid, sub FROM sessions WHERE sub = ? AND sid IS NOT ? AND {LIVE}"
        rows = self._do(select, (sub, keep)).fetchall()
        self._end(rows, note, stamp)
        return self._append(Kind.REVOKED, [(sid, ENDED) for _, sid, _ in rows], stamp)

    def end_everyone(self, stamp: Stamp) -> int:
        # The rows go in the sweep, a batch at a time: a million deletions here would hold the lock for seconds.
        self._do("UPDATE meta SET epoch = epoch + 1, bar = coalesce((SELECT max(id) FROM sessions), bar)")
        self._do("DELETE FROM keys")  # each belongs to one epoch
        return self._append(Kind.EVERYONE, [(None, ENDED)], stamp)

    def touch(self, seen: Iterable[Seen]) -> list[str]:
        update = "UPDATE sessions SET seen_at = ? WHERE sid = ? AND seen_at >= ? AND seen_at < ? RETURNING 1"
        return [span.sid for span in seen if self._do(update, (span.at, span.sid, span.since, span.at)).get is None]

    def sweep(self, now: int, limit: int, trim_to: int | None) -> int:
        gone = self._delete("sessions", "id", "dies_at <= ?", now, limit)
        gone += self._delete("sessions", "id", "id <= (SELECT bar FROM meta) AND ?", 1, limit)
        gone += self._delete("families", "id", "expires_at <= ?", now, limit)
        gone += self._delete("ended", "digest", "forget_after <= ?", now, limit)
        # Only from the old end, without a gap: a reader must be able to tell what it missed.
        last = self._do(
            """SELECT max(position) FROM (SELECT position FROM changes WHERE position <
                   coalesce((SELECT position FROM changes WHERE forget_after > ? ORDER BY position LIMIT 1),
                            (SELECT head + 1 FROM meta))
               AND position <= coalesce(?, position) ORDER BY position LIMIT ?)""",
            (now, trim_to, limit),
        ).get
        if last is not None:
            self._do("DELETE FROM changes WHERE position <= ?", (last,))
            gone += self._connection.changes()
            self._do("UPDATE meta SET trimmed = ?", (last,))
        return gone

    # --- signing keys and refresh tokens ---

    def add_key(self, row: KeyRow, newest: str | None, stamp: Stamp) -> int | None:
        if self._do("SELECT epoch FROM meta").get != row.epoch or not self._may_make(row.seal_id, newest):
            return None
        columns = (row.kid, row.alg, row.public, row.sealed, row.epoch, row.published_at, row.signs_from, row.seal_id)
        self._do(
            "INSERT INTO keys (kid, alg, public, sealed, epoch, published_at, signs_from, seal_id) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            columns,
        )
        return self._append(Kind.KEYS, [(None, 0)], stamp)

    def drop_key(self, kid: str, stamp: Stamp) -> int:
        self._do("DELETE FROM keys WHERE kid = ?", (kid,))
        return self._append(Kind.KEYS, [(None, 0)], stamp)

    def _may_make(self, seal_id: str, newest: str | None) -> bool:
        known = self._do("SELECT kid FROM keys ORDER BY number DESC LIMIT 1").get
        return bool(known == newest and not self._do(IS_LOST, (seal_id,)).get)

    def admit_secret(self, ident: str, newest: str | None) -> bool:
        if not self._may_make(ident, newest):
            return False
        self._do("INSERT OR IGNORE INTO secrets VALUES (?, 0)", (ident,))
        return True

    def reset_keys(self, stamp: Stamp) -> Reset:
        # A key from before these ids were kept has none, and no secret is to be lost on its account.
        self._do(
            """INSERT INTO secrets SELECT id, 1 FROM
                   (SELECT id FROM secrets UNION SELECT seal_id FROM keys UNION SELECT key_id FROM families)
               WHERE id <> '' ON CONFLICT (id) DO UPDATE SET is_lost = 1"""
        )
        self._do("DELETE FROM keys")
        self._do("DELETE FROM families")
        families = self._connection.changes()
        return Reset(position=self._append(Kind.KEYS, [(None, 0)], stamp), families=families)

    def add_family(self, family: Family) -> bool:
        if not self._do(f"SELECT 1 FROM sessions WHERE sid = ? AND {LIVE}", (family.sid,)).get:
            return False
        if self._do(IS_LOST, (family.key_id,)).get:
            return False
        self._do(f"INSERT INTO families ({FAMILY}) VALUES ({', '.join('?' * 10)})", family_columns_of(family))
        return True

    def end_client(self, client_id: str, note: str, stamp: Stamp) -> int:
        theirs = "SELECT sid FROM families WHERE client_id = ?"
        raised = self._do(
            f"""UPDATE sessions SET version = version + 1 WHERE sid IN ({theirs}) AND {LIVE}
                AND sid NOT IN ({theirs} AND owns_session) RETURNING sid, version""",
            (client_id, client_id),
        ).fetchall()
        select = f"SELECT digest, sid, sub FROM sessions WHERE sid IN ({theirs} AND owns_session) AND {LIVE}"
        owned = self._do(select, (client_id,)).fetchall()
        self._end(owned, note, stamp)
        self._do("DELETE FROM families WHERE client_id = ?", (client_id,))
        self._append(Kind.CLAIMS, raised, stamp)
        return self._append(Kind.REVOKED, [(sid, ENDED) for _, sid, _ in owned], stamp)

    def rotate_family(self, ident: bytes, generation: int, now: int) -> bool:
        # The session is looked at in the same transaction: the last refresh must not overtake its end.
        live = f"EXISTS (SELECT 1 FROM sessions WHERE sessions.sid = families.sid AND {LIVE_SESSION})"
        update = f"""UPDATE families SET generation = generation + 1, rotated_at = ?
                     WHERE id = ? AND generation = ? AND {live} RETURNING 1"""
        return self._do(update, (now, ident, generation)).get is not None

    # --- nodes ---

    def join(self, node: str, label: str) -> float:
        # The counter never goes back: what arrives late would make a living row look as it did long ago.
        self._do(
            """INSERT INTO nodes VALUES (?, ?, 0, 0, 0)
               ON CONFLICT (id) DO UPDATE SET label = excluded.label, applied = 0, epoch = 0""",
            (node, label),
        )
        return float(self._do("SELECT lease_s FROM meta").get)

    def beat(self, node: str, beat: int, applied: int, epoch: int) -> bool:
        update = "UPDATE nodes SET beat = max(beat, ?), applied = ?, epoch = ? WHERE id = ? RETURNING 1"
        return self._do(update, (beat, applied, epoch, node)).get is not None

    def leave(self, node: str) -> None:
        self._do("DELETE FROM nodes WHERE id = ?", (node,))

    def drop_node(self, node: str, beat: int) -> bool:
        return self._do("DELETE FROM nodes WHERE id = ? AND beat = ? RETURNING 1", (node, beat)).get is not None

    # --- parts ---

    def _delete(self, table: str, key: str, where: str, value: int, limit: int) -> int:
        choose = f"SELECT {key} FROM {table} WHERE {where} LIMIT {int(limit)}"
        self._do(f"DELETE FROM {table} WHERE {key} IN ({choose})", (value,))
        return self._connection.changes()

    def _head(self) -> int:
        return int(self._do("SELECT head FROM meta").get)

    def _append(self, kind: Kind, named: Sequence[tuple[str | None, int]], stamp: Stamp) -> int:
        head = self._head()
        if named:
            rows = [
                (head + at, kind.value, sid, stamp.now, stamp.forget_change, version)
                for at, (sid, version) in enumerate(named, 1)
            ]
            self._connection.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?)", rows)
            head += len(named)
            self._do("UPDATE meta SET head = ?", (head,))
        # Also when nothing was appended: what there was to do, another process may have done, and not yet told anybody.
        # Our caller is told "in force", so everyone must look at the log now.
        self.moved = True
        return head

    def _has_moved(self, sub: str | None, generation: int | None) -> bool:
        if sub is None or generation is None:
            return False
        select = "SELECT epoch + coalesce((SELECT generation FROM subjects WHERE sub = ?), 0) FROM meta"
        return bool(self._do(select, (sub,)).get != generation)

    def _was_ended(self, sid: str, place: Place) -> bool:
        named = "SELECT 1 FROM changes WHERE position > ? AND sid = ?"
        select = f"SELECT epoch <> ? OR trimmed > ? OR EXISTS ({named}) FROM meta"
        return bool(self._do(select, (place.epoch, place.position, place.position, sid)).get)

    def _raise_generation(self, sub: str) -> None:
        self._do(
            "INSERT INTO subjects VALUES (?, 1) ON CONFLICT (sub) DO UPDATE SET generation = generation + 1", (sub,)
        )

    def _owner(self, sid: str) -> str | None:
        select = "SELECT sub FROM sessions WHERE sid = ?1 UNION ALL SELECT sub FROM ended WHERE sid = ?1 LIMIT 1"
        owner: str | None = self._do(select, (sid,)).get
        return owner

    def _end_surplus(self, sub: str | None, newest: str, most: int, stamp: Stamp) -> int | None:
        if sub is None or self._do(_COUNT, (sub,)).get <= most:
            return None
        select = f"SELECT digest, sid, sub FROM sessions WHERE sub = ? AND sid <> ? AND {LIVE} ORDER BY {NEWEST_FIRST}"
        surplus = self._do(f"{select} LIMIT -1 OFFSET ?", (sub, newest, most - 1)).fetchall()
        if not surplus:
            return None
        self._end(surplus, "too many sessions", stamp)
        return self._append(Kind.REVOKED, [(sid, ENDED) for _, sid, _ in surplus], stamp)

    def _end(self, rows: Sequence[tuple[bytes, str, str | None]], note: str, stamp: Stamp) -> None:
        self._remember(rows, Reason.REVOKED, note, stamp)
        self._connection.executemany("DELETE FROM sessions WHERE digest = ?", [(digest,) for digest, _, _ in rows])

    def _remember(self, rows: Sequence[tuple[bytes, str, str | None]], reason: Reason, note: str, stamp: Stamp) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO ended VALUES (?, ?, ?, ?, ?, ?)",
            [(digest, sid, sub, reason.value, note, stamp.forget_token) for digest, sid, sub in rows],
        )
