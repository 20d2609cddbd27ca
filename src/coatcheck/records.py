"""
The nouns: what a session is, what can be answered about one, what changes. Floor 0; may import: errors, secret, values.

Rules of this module:

1. Everything here is immutable. A change is a new object.
2. A :class:`Session` is public and holds nothing secret: no token, no digest.
3. An expected outcome is a value. :class:`Refused` is false, so ``if session:`` cannot let anybody in by mistake.
"""

from __future__ import annotations

import enum
from typing import Any, NewType

import msgspec

from coatcheck.errors import InvalidInput
from coatcheck.secret import Secret
from coatcheck.values import FrozenDict

Digest = NewType("Digest", bytes)
"""SHA-256 of a session token's text: 32 bytes. The only form of a token that a store ever sees."""

USER_AGENT_LONGEST = 512
ADDRESS_LONGEST = 64


class Reason(enum.StrEnum):
    """Why a credential was refused. Log it and count it; tell the visitor only to sign in."""

    MALFORMED = "malformed"  # not our text at all
    UNKNOWN = "unknown"  # no such session here, or not this person's
    REVOKED = "revoked"  # ended on purpose
    RENEWED = "renewed"  # replaced by a newer token of the same session
    IDLE = "idle"  # not used for longer than its idle time
    EXPIRED = "expired"  # past its absolute end
    REUSED = "reused"  # a spent refresh token came back
    NOT_GENUINE = "not_genuine"  # not made with our secret
    WRONG_CLIENT = "wrong_client"
    BAD_SIGNATURE = "bad_signature"
    UNKNOWN_KEY = "unknown_key"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    WRONG_TYPE = "wrong_type"
    NOT_YET_VALID = "not_yet_valid"
    UNSURE = "unsure"  # memory cannot be trusted now, and there is nobody to ask


class Refused(msgspec.Struct, frozen=True):
    """
    The answer "no". It is false.

    Attributes:
        reason: One of the closed list :class:`Reason`; equal to its plain text.
    """

    reason: Reason

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "reason", Reason(self.reason))

    def __bool__(self) -> bool:
        return False


class Device(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    Where a session was opened, as the request told it. Hostile text: escape it where it is shown.

    Attributes:
        ip: Address of the client, at most 64 characters.

        user_agent: The header as it came, cut at 512 characters.
    """

    ip: str | None = None
    user_agent: str | None = None

    def __post_init__(self) -> None:
        for field, longest in (("ip", ADDRESS_LONGEST), ("user_agent", USER_AGENT_LONGEST)):
            text = getattr(self, field)
            if text is not None:
                if not isinstance(text, str):
                    raise InvalidInput(f"device.{field}", f"is {type(text).__name__}", "give text or None")
                # A lone surrogate comes from undecodable header bytes and cannot be stored.
                kept = text[:longest].encode("utf-8", "replace").decode()
                msgspec.structs.force_setattr(self, field, kept)


class Session(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    One sign-in on one device, as it stands on the server. Times are whole seconds UTC.

    Attributes:
        sid: Public identifier: for lists, logs and :meth:`Coatcheck.revoke`. Opens nothing.

        sub: Whose session it is; None before sign-in.

        claims: What the application said about the subject. Read-only JSON.

        amr: How the subject proved who they are (RFC 8176): ``("pwd", "otp")``.

        created_at: When this sign-in began. auth_time: when the subject last proved who they are.

        seen_at: Last activity.

        expires_at: Absolute end; activity does not move it. idle_s: seconds without activity after which it ends.

        persistent: Whether the cookie outlives the browser window.

        version: Rises by one when the token is renewed, the claims change, or a client's tokens are ended.
    """

    sid: str
    sub: str | None = None
    claims: FrozenDict = FrozenDict()
    amr: tuple[str, ...] = ()
    created_at: int
    auth_time: int | None = None
    seen_at: int
    expires_at: int
    idle_s: int
    persistent: bool = True
    device: Device = Device()
    version: int = 1


class SignedIn(msgspec.Struct, frozen=True, gc=False):
    """
    A session and the only copy of its token.

    Attributes:
        session: The :class:`Session`.

        token: ``token.reveal()`` is the cookie's value: 43 base64url characters. It is kept nowhere else.
    """

    session: Session
    token: Secret


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a change that is now in force everywhere has cost.

    Attributes:
        position: The change's place in the log: 1, 2, 3, …

        nodes: Processes that had to say that they applied it. On an embedded store only services on a feed: its own
            readers ask before every check and need not be waited for.

        waited_s: Seconds waited for them after the commit; 0 where there is nobody to wait for.
    """

    position: int
    nodes: int
    waited_s: float


class Kind(enum.StrEnum):
    """What a change in the log announces."""

    REVOKED = "revoked"
    RENEWED = "renewed"
    CLAIMS = "claims"
    DATA = "data"
    EVERYONE = "everyone"
    KEYS = "keys"


ENDED = 2**53
"""Above every version that a session can have."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line of the change log. It invalidates; it carries no values.

    Attributes:
        position: 1, 2, 3, … in the order of the commits. sid: the session it names; None for everyone, and for keys.

        version: The least version of the session that counts from here on; :data:`ENDED` when none does.

        forget_after: Calendar seconds from which no token lives that this change could concern.
    """

    position: int
    kind: Kind
    sid: str | None = None
    version: int = ENDED
    forget_after: int = ENDED


class Tail(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the log holds after a position, read in one snapshot.

    Attributes:
        epoch: Another epoch than before means: forget everything.

        trimmed: Positions up to this one are no longer in the log.

        head: The newest position. changes: the ones asked for, oldest first.
    """

    epoch: int
    trimmed: int
    head: int
    changes: tuple[Change, ...] = ()


GUEST = "feed:"
"""With this begins the id of a node that came through another."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """
    The row of one process that answers checks from memory.

    Attributes:
        id: Random, new at every join. label: host and process, for people.

        beat: Rises with every heartbeat. applied, epoch: how far it has come, by its own word.
    """

    id: str
    label: str
    beat: int
    applied: int
    epoch: int

    @property
    def is_guest(self) -> bool:
        """Whether it is a service on a feed: it holds keys and what was revoked, and neither sessions nor data."""
        return self.id.startswith(GUEST)


class Nodes(msgspec.Struct, frozen=True, kw_only=True):
    """
    All nodes of a store, in one snapshot.

    Attributes:
        epoch, head: Of the log. lease_s: how long a node may trust its memory after a heartbeat, seconds.
    """

    epoch: int
    head: int
    lease_s: float
    rows: tuple[Node, ...] = ()


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one engine has counted since it was opened.

    Attributes:
        warm: Checks answered from memory. asked: those that went to the store, by what came of it: ``accepted``, or the
            reason of the refusal.

        cached: Sessions in memory. lapses: how often the lease had run out when memory was asked.
    """

    warm: int
    asked: dict[str, int]
    cached: int
    lapses: int


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A session as a store keeps it: under the digest of its token, with its data as JSON bytes."""

    digest: Digest
    session: Session
    data: bytes = b"{}"


class Ended(msgspec.Struct, frozen=True):
    """What a store remembers of a token that no longer opens anything."""

    reason: Reason


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """
    A signing key as a store keeps it.

    Attributes:
        number: Order of making, given by the store. kid: its name.

        public: The public half, JWK as JSON. sealed: the private half, encrypted under the secret.

        epoch: Of the log. published_at, signs_from: calendar seconds.

        seal_id: Which value of the secret seals it; empty where that is not known.
    """

    kid: str
    alg: str
    public: bytes
    sealed: bytes
    epoch: int
    published_at: int
    signs_from: int
    number: int = 0
    seal_id: str = ""


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """
    The refresh tokens of one session and one client, one after the other.

    Attributes:
        id: 16 random bytes. generation: of the token that is current, from 1.

        nonce: Drawn once; without it no token of the family can be made.

        key_id: Which value of the secret makes its tokens.

        audiences: What its access tokens may be for.

        rotated_at: When the current token was made. expires_at: the absolute end of the session.

        owns_session: Whether the session was begun for this client alone, and ends with what is the client's.
    """

    id: bytes
    sid: str
    client_id: str
    audiences: tuple[str, ...]
    generation: int
    nonce: bytes
    key_id: str
    rotated_at: int
    expires_at: int
    owns_session: bool = False


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """
    What an accepted access token says.

    Attributes:
        sub, sid, version: Whose token it is, and of which session at which version.

        audience: Whom it is for. client_id: who asked for it.

        expires_at, issued_at, not_before: Calendar seconds.

        kid: The key that signed it. all: every claim, as it stands in the token, read-only.
    """

    sub: str
    sid: str
    version: int
    audience: tuple[str, ...]
    expires_at: int
    issued_at: int
    not_before: int
    client_id: str
    kid: str
    all: dict[str, Any]


class TokenPair(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a client gets (RFC 6749, section 5.1).

    Attributes:
        expires_in: Seconds until the access token ends.
    """

    access_token: str
    refresh_token: Secret
    expires_in: int

    def __repr__(self) -> str:
        return f"TokenPair(…, expires_in={self.expires_in})"
