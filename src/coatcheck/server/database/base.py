"""
What the ready-made server keeps, and the contract of what keeps it. Floor 6; may import: floors 0 to 2.

Sessions are not here: they are the library's, in its store.

Rules of this module:

1. Every method is one transaction. What must be decided together is one method, so no two processes decide it twice.
2. Times are whole seconds UTC and are given; nothing here reads a clock.
3. A change that must end sessions leaves a *duty* in the same transaction. The duty is removed when the sessions have
   ended, so a crash in between is made good by whoever comes next.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from coatcheck.records import Device

LONGEST_SPAN_S = 3600


class User(msgspec.Struct, frozen=True, kw_only=True):
    """
    An account.

    Attributes:
        id: Random, 22 characters, never given to anybody else. It is the ``sub`` of the user's sessions.

        name: As it was typed, 1 to 128 characters; no other account has the same one, small and capital letters apart.

        password_at: When the password was last set.
    """

    id: str
    name: str
    is_admin: bool = False
    is_disabled: bool = False
    created_at: int
    password_at: int


class Event(enum.StrEnum):
    """What the audit trail tells of."""

    SET_UP = "set_up"
    SET_UP_FAILED = "set_up_failed"
    SIGN_IN = "sign_in"
    SIGN_IN_FAILED = "sign_in_failed"
    FRESH_FAILED = "fresh_failed"
    SIGN_OUT = "sign_out"
    SESSION_ENDED = "session_ended"
    RENEWED = "renewed"
    PASSWORD_CHANGED = "password_changed"
    PASSWORD_RESET = "password_reset"
    USER_ADDED = "user_added"
    DISABLED = "disabled"
    ENABLED = "enabled"
    PROMOTED = "promoted"
    DEMOTED = "demoted"
    EVERYONE_ENDED = "everyone_ended"
    CLIENT_ADDED = "client_added"
    CLIENT_SECRET = "client_secret"
    CLIENT_DISABLED = "client_disabled"
    THEFT = "theft"
    KEYS = "keys"
    RESTORED = "restored"
    PANIC = "panic"
    SUPPRESSED = "suppressed"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line of the audit trail. It never holds a token or a password.

    Attributes:
        number: 1, 2, 3, … in the order of writing; 0 before it is written.

        actor: Id of who did it; ``"command"`` for the command line; None for a visitor. user: id of whose account it is
            about. sid: the session it is about.

        device: From where.

        detail: More, as JSON. A name that nobody has is there as a keyed hash only: it may be a mistyped password.
    """

    number: int = 0
    at: int
    event: Event
    actor: str | None = None
    user: str | None = None
    sid: str | None = None
    device: Device = Device()
    detail: Mapping[str, Any] = {}


class Bucket(msgspec.Struct, frozen=True):
    """
    A count of failures.

    Attributes:
        key: What is counted.

        free: Failures within *span_s* seconds before tries are slowed down; then one per *pace_s* seconds. No span is
            longer than :data:`LONGEST_SPAN_S`.
    """

    key: str
    free: int
    span_s: int
    pace_s: int

    def wait_s(self, count: int, last: int, now: int) -> int:
        """Say how long the next try must wait, after *count* failures within the span, the last one at *last*."""
        if count < self.free:
            return 0
        # Never above the pace, whatever a clock that was set back makes of *last*.
        return max(0, min(last + self.pace_s - now, self.pace_s))


class Duty(msgspec.Struct, frozen=True, kw_only=True):
    """
    Sessions that are still to be brought in line with an account, or a client.

    Attributes:
        number: To be given to :meth:`Database.done`. None is ever given twice.

        user: Whose; for a client, the subject of its own sessions. None: everybody's sessions end.

        ends: Whether all sessions of *user* end, but *keep*; else their claims are set to what the account says.

        client: Id of the client whose refresh tokens end, too, and all that was made by them.
    """

    number: int
    user: str | None
    ends: bool
    keep: str | None = None
    client: str | None = None


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """
    A program that is given tokens.

    Attributes:
        id: Chosen by whoever adds it. secret: SHA-256 of its secret; None for a public client, which cannot keep one.

        audiences: Whom its tokens may be for.

        is_browser: Whether pages of this server's origin get tokens in its name, for their session cookie.

        may_sign_in: Whether people may sign in through it with name and password, for tokens instead of a cookie.
    """

    id: str
    secret: bytes | None
    audiences: tuple[str, ...]
    is_browser: bool = False
    may_sign_in: bool = False
    is_disabled: bool = False
    created_at: int


def subject_of(ident: str) -> str:
    """Return whose sessions the own ones of the client *ident* are. No account has such an id."""
    return f"client:{ident}"


class Outcome(enum.Enum):
    """Why a change of an account did not happen."""

    UNKNOWN = "unknown"
    NAME_TAKEN = "name_taken"
    LAST_ADMIN = "last_admin"  # nobody would be left who can let anybody in
    WRONG_CODE = "wrong_code"
    SET_UP_ALREADY = "set_up_already"
    CHANGED_MEANWHILE = "changed_meanwhile"
    AUDIENCE_TAKEN = "audience_taken"


class Table(msgspec.Struct, frozen=True):
    """One table of a backup. The values of a row are text, whole numbers or None, in the order of *columns*."""

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class Changed(msgspec.Struct, frozen=True):
    """
    An account after a change.

    Attributes:
        before: What it was before. duty: what the change left to be done.
    """

    user: User
    before: User
    duty: Duty


class Migrated(msgspec.Struct, frozen=True):
    """
    What a migration did to the tables.

    Attributes:
        before: Their version before it; 0 when there were none. after: their version now.
    """

    before: int
    after: int


class Database(Protocol):
    """
    Accounts, limits, set-up and the audit trail.

    Every method raises :class:`coatcheck.StoreUnavailable` when the database cannot answer; nothing was written then.
    Only where a connection breaks at the very commit, nobody can tell: then the error says so.
    """

    async def open(self, *, may_be_new: bool = True) -> None:
        """
        Make what is missing. A file is brought up to date, too; a database that others may use at this moment is not.

        Args:
            may_be_new: Whether there may be nothing yet.

        Raises:
            StoreUnusable: It must not be used.
        """

    async def migrate(self, *, dry_run: bool = False) -> Migrated:
        """
        Make the tables, or bring them up to date. For one that is not open.

        Args:
            dry_run: Only say what would be done. A file is always brought up to date.
        """

    async def close(self) -> None:
        """Let go of it. Calling it again does nothing."""

    # --- set-up ---

    async def is_set_up(self) -> bool:
        """Say whether there is, or ever was, an account."""

    async def add_code(self, digest: bytes, *, ends_at: int, tries: int) -> None:
        """Add a set-up code, by its SHA-256."""

    async def set_up(self, digest: bytes, user: User, password: str, *, now: int) -> Outcome | None:
        """Add the first account, an administrator, if *digest* is that of a live code. A wrong one costs all a try."""

    async def check_code(self, digest: bytes, *, now: int) -> Outcome | None:
        """Say whether :meth:`set_up` would take the code. A wrong one costs all a try."""

    # --- accounts ---

    async def add_user(self, user: User, password: str) -> Outcome | None:
        """Add an account. *password* is its hash. From then on the set-up is over."""

    async def user(self, ident: str) -> tuple[User, str] | None:
        """Return an account and the hash of its password."""

    async def user_named(self, name: str) -> User | None:
        """Return the account called *name*, small and capital letters apart."""

    async def users(self, *, like: str = "", after: str = "", limit: int) -> list[User]:
        """Return accounts whose names hold *like*, in the order of their names, those that follow the name *after*."""

    async def names_of(self, idents: Sequence[str]) -> dict[str, str]:
        """Return the names of these accounts, as far as they exist."""

    async def change_user(
        self, ident: str, *, is_admin: bool | None = None, is_disabled: bool | None = None
    ) -> Changed | Outcome:
        """Promote, demote, disable, enable. The duty: all sessions end when it was disabled, else the claims change."""

    async def set_password(
        self, ident: str, password: str, *, now: int, expected: str | None = None, keep: str | None = None
    ) -> Changed | Outcome:
        """Set a new hash, if the hash is still *expected*. The duty: all sessions end, but *keep*."""

    async def rehash(self, ident: str, password: str, *, expected: str) -> None:
        """Set a better hash of the same password, if the hash is still *expected*. No duty."""

    async def duties(self) -> list[Duty]:
        """Return what is still to be done."""

    async def is_due(self, number: int) -> bool:
        """Say whether a duty is still to be done."""

    async def done(self, number: int) -> None:
        """Remove a duty."""

    # --- clients ---

    async def add_client(self, client: Client) -> Outcome | None:
        """
        Add a client.

        Returns:
            ``NAME_TAKEN``: there is one with this id, small and capital letters apart. ``AUDIENCE_TAKEN``: it is a
            browser client, and pages get tokens for one of its audiences in the name of another.
        """

    async def client(self, ident: str) -> Client | None:
        """Return a client."""

    async def clients(self) -> list[Client]:
        """Return all clients in the order of their ids."""

    async def set_client_secret(self, ident: str, secret: bytes) -> Outcome | None:
        """Give a client another secret."""

    async def disable_client(self, ident: str) -> Duty | Outcome:
        """Give a client no more tokens. The duty: what was made for it, and its own sessions, end."""

    # --- limits ---

    async def begin_try(self, buckets: Sequence[Bucket], *, now: int) -> int:
        """Count a try as failed in each of *buckets* and return 0; or count nothing and return seconds to wait."""

    async def forgive(self, buckets: Sequence[Bucket], *, now: int) -> None:
        """Take back what :meth:`begin_try` counted at *now*: the try was right, or never happened."""

    # --- audit ---

    async def note(self, entry: Entry, *, most_per_minute: int | None = None) -> None:
        """Append *entry*; above the rate, only count it in one line ``suppressed`` for that minute."""

    async def trail(
        self, *, events: Sequence[Event] = (), user: str | None = None, before: int | None = None, limit: int
    ) -> list[Entry]:
        """Return entries, newest first: of these kinds, about or by this account, with a lower number than *before*."""

    # --- upkeep ---

    async def sweep(self, *, now: int, audit_s: int, limit: int) -> int:
        """Remove at most *limit* rows of each kind that is past its time; return how many."""


@runtime_checkable
class Portable(Database, Protocol):
    """A database whose backups are this program's business; others have programs of their own for that."""

    async def export(self) -> list[Table]:
        """Return everything that belongs into a backup: table by table, in one snapshot."""

    async def replace(self, tables: Sequence[Table], *, as_it_was: bool = False) -> Outcome | None:
        """
        Put a backup in the place of everything there is.

        An account that is here now keeps what was taken from it since the backup: it stays disabled, stays without
        administration, and keeps a newer password. Nothing is replaced when no administrator who can sign in would be
        left (``LAST_ADMIN``).

        Args:
            as_it_was: Take the accounts as the backup has them, whatever was done to them since.

        Raises:
            StoreUnusable: The tables are not those of this version.
        """
