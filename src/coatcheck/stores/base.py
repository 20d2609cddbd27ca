"""
The contract of a store, in prose. Read this first. Floor 2; may import: floor 0.

A store keeps; it decides nothing. Every store makes these promises, and
:class:`coatcheck.testing.StoreContract` tests them:

1. It sees digests, never tokens.
2. It reads no clock: *now* is given, so that all stores agree on what is over.
3. "Not there" is an answer (None, an empty list). :class:`StoreUnavailable` means that the store itself failed.
4. Every method is one atomic step. It is done, durable and in the log when it returns, or nothing of it happened.
5. A write changes rows that exist. Nothing but :meth:`Store.create` brings a session into being, so a slow request
   cannot bring back what was revoked.
6. What somebody may hold in memory changes only together with a line in the change log, in the same step. Positions
   follow the order of the commits. A sign-in and *seen at* append nothing: nobody can hold a session before it exists,
   and *seen at* only ever prolongs.
7. Ending what is ended already, or was never there, appends again: a caller that waits must have something to wait for.
   Where a whole subject is meant and nothing is left to name, the position returned is a head read after everything
   that the call saw was committed.
8. Positions only rise, through every epoch.
9. A *node* answers checks from memory. Its row says how far it has come, and only what it said itself. Nothing in a row
   is a time: how long a row stood still is judged by each reader's own clock.
10. A secret is known here by an id only, from which it cannot be found. One that was declared lost stays lost for ever:
   what would be made with it is refused in the very step that would add it, whoever asks, however long ago they began.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from coatcheck.errors import ConfigError
from coatcheck.records import Digest, Ended, Family, KeyRow, Kind, Nodes, Record, Session, Tail

LEASE_S = 2.0
"""
How long a node may trust its memory after a heartbeat, seconds, where the store says nothing else. Longer: fewer
heartbeats, and a revocation waits longer for a node that died. Shorter: a slow store makes nodes ask it more often.
"""

LEASE_LEAST_S, LEASE_MOST_S = 0.2, 60.0

ERA_BITS = 20
"""An epoch above these bits is its *era*. Another era: what was committed may be lost, by a failover or a restore."""


def next_era(epoch: int, *, draw: int) -> int:
    """
    Return the first epoch of a new era.

    Args:
        draw: Random, below 2**18. Two stores that part from each other must not both call their next era the same.
    """
    return ((epoch >> ERA_BITS) + 1 + draw) << ERA_BITS


class Stamp(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    When a write happens and how long its traces are kept. Seconds UTC.

    Attributes:
        now: The writer's clock.

        forget_change: When the line in the log may be trimmed. forget_token: when the old token becomes unknown.
    """

    now: int
    forget_change: int
    forget_token: int


class Seen(msgspec.Struct, frozen=True, gc=False):
    """
    A span of activity without an idle gap, seconds UTC.

    Attributes:
        since: What *seen at* was when the span began. at: the last activity.
    """

    sid: str
    since: int
    at: int


class Place(msgspec.Struct, frozen=True):
    """A position in the log of an epoch."""

    epoch: int
    position: int


class Moved(msgspec.Struct, frozen=True):
    """What was read before is no longer so: the subject's sessions, or this one, were ended meanwhile."""


MOVED = Moved()


class Reset(msgspec.Struct, frozen=True, kw_only=True):
    """
    What :meth:`Store.reset_keys` has done.

    Attributes:
        position: Of its line in the log. families: how many families of refresh tokens there were.
    """

    position: int
    families: int


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """
    What bringing a store up to date has done, or would do.

    Attributes:
        schema: Where: the schema, or the prefix. before, after: the version of what stands there; 0 where nothing does.

        lease_s: The lease of the store afterwards, seconds.
    """

    schema: str
    before: int
    after: int
    lease_s: float


def check_lease(lease_s: float) -> None:
    """
    Refuse what is no sensible length of a lease.

    Raises:
        ConfigError: It is not.
    """
    if not LEASE_LEAST_S <= lease_s <= LEASE_MOST_S:
        raise ConfigError("lease", "makes no sense", f"give {LEASE_LEAST_S:g} to {LEASE_MOST_S:g} seconds")


class Store(Protocol):
    """Where sessions are kept. Methods return the position of the last change they appended where they append one."""

    @property
    def is_embedded(self) -> bool:
        """Whether it is an :class:`EmbeddedStore`; else it is a :class:`FleetStore`."""

    async def open(self) -> None:
        """
        Make ready: create or migrate the schema, start what runs in the background.

        Raises:
            StoreUnusable: It is there and must not be used. StoreUnavailable: it does not answer.
        """

    async def close(self) -> None:
        """Finish what was accepted and let go of everything. Calling it again does nothing."""

    async def create(
        self, record: Record, *, generation: int | None, most: int, stamp: Stamp, place: Place | None = None
    ) -> int | Moved | None:
        """
        Add *record*.

        Of the subject's sessions more than *most*, the oldest are ended (and announced) in the same step.

        Args:
            generation: When given, and the subject's is another by now: add nothing, return :data:`MOVED`.

            place: For a session that was begun before: when the epoch is another by now, or the log names the session
                after that position, it was ended meanwhile: add nothing, return :data:`MOVED`.

        Returns:
            The position of the end of those that were too many; None where none was.
        """

    async def load(self, digest: Digest) -> Record | Ended | None:
        """Return the record under *digest*; or why it ended, while that is remembered; or None."""

    async def load_sid(self, sid: str) -> Record | None:
        """Return the record of the session *sid*."""

    async def load_subject(self, sub: str) -> list[Session]:
        """Return all sessions of *sub*, the newest first, those that are over included."""

    async def renew(
        self, old: Digest, record: Record, *, generation: int | None, most: int, stamp: Stamp
    ) -> int | Moved | None:
        """
        Put *record* in the place of the row under *old*, under its new digest; its data stay as they are in the row.

        Returns:
            None, and nothing is written, when no row is under *old* any more or its version is not the one before
            *record*'s.
        """

    async def change_claims(
        self, sub: str, change: Mapping[str, Any], unset: Sequence[str], *, limit: int, stamp: Stamp
    ) -> int:
        """
        Set and unset claims in every session of *sub*; raise their versions and the subject's generation.

        Raises:
            InvalidInput: The claims of one session would pass *limit* bytes. No session is changed.
        """

    async def change_data(
        self, sid: str, change: Mapping[str, Any], unset: Sequence[str], *, limit: int, stamp: Stamp
    ) -> int | None:
        """
        Set and unset keys of the session's data; parallel changes of other keys survive.

        Returns:
            None when there is no such session, or it is past its absolute end.
        """

    async def end(self, sid: str, *, of: str | None, kind: Kind, note: str, stamp: Stamp) -> int | None:
        """End one session. None, and nothing happens, when *of* is given and the session is not that subject's."""

    async def end_subject(self, sub: str, *, keep: str | None, note: str, stamp: Stamp) -> int:
        """End all sessions of *sub* but *keep*, and raise the subject's generation."""

    async def end_everyone(self, *, note: str, stamp: Stamp) -> int:
        """End all sessions by a new epoch, in one small step however many there are; raise every generation."""

    async def generation(self, sub: str) -> int:
        """Return a number that rises whenever the subject's sessions were ended, or its claims changed, as a whole."""

    async def touch(self, seen: Sequence[Seen]) -> list[str]:
        """
        Move *seen at* forward, where the span joins what the row says: ``since <= seen_at < at``.

        Returns:
            Those *sid*s that were not written: gone, or seen later already.
        """

    async def sweep(self, *, now: int, limit: int, trim_to: int | None = None) -> int:
        """
        Remove up to *limit* rows of each kind that are over; return how many. Call again until it returns 0.

        Args:
            trim_to: No line of the log after this position is removed; None sets no such bound.
        """

    async def tail(self, after: int) -> Tail:
        """
        Return the log after position *after*, the oldest first. Where that is very much, only the first part:
        then the last of the changes is not the head.
        """

    # --- signing keys and refresh tokens ---

    async def keys(self) -> list[KeyRow]:
        """Return the signing keys of the log's epoch, the oldest first."""

    async def add_key(self, row: KeyRow, *, newest: str | None, stamp: Stamp) -> int | None:
        """
        Add a key, and announce it.

        Args:
            row: Its number is given by the store.

            newest: The ``kid`` of the key made last in this epoch; None when there is none.

        Returns:
            None, and nothing is written, when *newest* is another by now, or the epoch: somebody else has added one;
            and when the secret that seals it (``row.seal_id``) was declared lost.
        """

    async def drop_key(self, kid: str, *, stamp: Stamp) -> int:
        """Remove a key, and announce it; also when there is none: an earlier call may still be waiting."""

    async def admit_secret(self, ident: str, *, newest: str | None) -> bool:
        """
        Note that keys and refresh tokens are made with the secret *ident* from now on. Nothing is announced.

        Args:
            newest: As in :meth:`add_key`: up to this key the caller has seen that the secret opens them.

        Returns:
            True also when it was noted before. False, and nothing is written, when *newest* is another by now, or the
            secret was declared lost.
        """

    async def is_lost(self, ident: str) -> bool:
        """Say whether the secret *ident* was declared lost. One that is not known here was not."""

    async def reset_keys(self, *, stamp: Stamp) -> Reset:
        """
        Declare every secret lost that is known here, remove all keys and all families, and announce it, in one step.

        Known are those that were admitted, those that seal keys, and those that made families. It is announced also
        when there is nothing to remove.
        """

    async def add_family(self, family: Family) -> bool:
        """
        Add a family of refresh tokens.

        Returns:
            False, and nothing is written, when its session is not there, or its secret (``family.key_id``) was declared
            lost.
        """

    async def family(self, ident: bytes) -> Family | None:
        """Return a family, of a session that is still there."""

    async def end_client(self, client_id: str, *, note: str, stamp: Stamp) -> int:
        """
        End what was made for a client: its families, and what was made by them, whichever sessions they are of.

        A session that one of these families owns ends, as by :meth:`end`. Of any other session that has one the version
        rises, so that its access tokens count no more (a line ``CLAIMS``); nothing else of it changes.
        """

    async def rotate_family(self, ident: bytes, *, generation: int, now: int) -> bool:
        """Raise the generation by one, if it is still *generation*; False, and nothing is written, otherwise."""

    # --- nodes: who answers from memory, and how far each has come ---

    async def join(self, node: str, *, label: str) -> float:
        """
        Write the row of a node that knows nothing yet: beat 0, applied 0, epoch 0. As durable as any write here. A row
        that is there keeps its counter.

        Args:
            node: Random, new at every join. label: for people: the host and the process.

        Returns:
            The lease in seconds: a setting of the store, the same for all.
        """

    async def beat(self, node: str, *, beat: int, applied: int, epoch: int) -> Tail | None:
        """
        First write the row, as durable as any write here; only then, in a later snapshot, return :meth:`tail`.

        One statement that does both would read too early: its snapshot is older than its commit, and a change committed
        between the two would be missing from an answer that prolongs the lease.

        Args:
            beat: A counter, higher each time; a row never goes back to a lower one. applied, epoch: what the node has
                in memory now.

        Returns:
            None when there is no such row: the node was taken for dead, and must forget everything and join anew.
        """

    async def leave(self, node: str) -> None:
        """Remove the row of a node that answers no more checks."""

    async def nodes(self) -> Nodes:
        """Return all rows, with the epoch and the lease, in one snapshot."""

    async def drop_node(self, node: str, *, beat: int) -> bool:
        """Remove the row if its counter is still *beat*, in one step; False otherwise."""

    async def wall(self) -> float | None:
        """Return the store's own calendar, seconds, for people to look at; None where it is this machine's."""


class ChangeFeed(Protocol):
    """What a node needs to hold a lease: see :class:`Store` for what the methods promise."""

    async def join(self, node: str, *, label: str) -> float: ...

    async def beat(self, node: str, *, beat: int, applied: int, epoch: int) -> Tail | None: ...

    async def leave(self, node: str) -> None: ...

    async def tail(self, after: int) -> Tail:
        """See :meth:`Store.tail`. Asked for only when everything up to *after* is applied: on a feed this says so."""

    async def keys(self) -> list[KeyRow]: ...

    async def pushed(self) -> None:
        """
        Return when somebody has appended to the log since this was last called, or may have.

        A hint, to be early: nothing depends on its coming. It does not fail; where it cannot tell, it waits.
        """


class Guests(Protocol):
    """What a node needs that somebody else speaks for: see :class:`Store` for what the methods promise."""

    async def join(self, node: str, *, label: str) -> float: ...

    async def beat(self, node: str, *, beat: int, applied: int, epoch: int) -> Tail | None: ...

    async def tail(self, after: int) -> Tail: ...

    async def keys(self) -> list[KeyRow]: ...


class FleetStore(ChangeFeed, Store, Protocol):
    """A store behind a network. Its readers hold a lease (:mod:`coatcheck.fleet.lease`)."""

    @property
    def is_embedded(self) -> Literal[False]: ...

    @property
    def guests(self) -> Guests:
        """The same for nodes that come through this process: however many, its own heartbeats need not wait."""

    @property
    def identity(self) -> str:
        """What the URL leads to (host, database, schema), without user and password; known before it is open."""


class EmbeddedStore(Store, Protocol):
    """A store inside this process. Its reader asks before every check whether anything changed: it needs no lease."""

    @property
    def is_embedded(self) -> Literal[True]: ...

    @property
    def pulse(self) -> Sequence[int]:
        """
        A sequence whose item 0 takes a new value at each change, in every process that has the store open.

        It does so after the commit and before the writing call returns. Reading it costs a tenth of a microsecond.
        """

    def tail_now(self, after: int) -> Tail | None:
        """Like :meth:`tail`, at once, from any thread. None when that is not possible without waiting."""

    def keys_now(self) -> list[KeyRow] | None:
        """Like :meth:`Store.keys`, at once, from any thread. None when that is not possible without waiting."""

    def changed_behind_pulse(self) -> bool | None:
        """
        Ask the store itself whether somebody wrote since this was last asked: the backstop of :attr:`pulse`.

        Returns:
            None when that cannot be told now.
        """
