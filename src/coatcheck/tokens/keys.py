"""
Signing keys: one key, the set of them, and their schedule. Floor 1; may import: floor 0.

A key is *published* first (in the JWKS, so that everybody's cache knows it), then *signing*, then *verifying* (nothing
new is signed, what was signed is still accepted), then *gone*. Where it stands follows from when it and its successor
begin to sign; nothing has to be written for it to move on.

Rules of this module:

1. One key, one algorithm; the token's header is compared with it, never the other way round (RFC 8725, section 3.1).
2. The newest key that has begun signs.
3. A key belongs to one epoch of the log, and is worth nothing in another.
4. The JOSE library and cryptography are loaded with the first key, not with this module: who has cookies alone needs
   neither, and they take as long to load as all the rest.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from coatcheck.clock import DAY, HOUR, MINUTE
from coatcheck.records import KeyRow
from coatcheck.tokens import base64url

Algorithm = Literal["ES256", "Ed25519"]
TYPE = "at+jwt"
ALGORITHMS: tuple[Algorithm, ...] = ("ES256", "Ed25519")

LEEWAY_S = MINUTE
"""Between clocks, for ``iat`` and ``nbf``; ``exp`` gets none."""

JWKS_CACHE_S = 5 * MINUTE
"""How long others may keep the JWKS."""

PUBLISH_AHEAD_S = 2 * HOUR
SIGN_S = 30 * DAY
ACCESS_MOST_S = HOUR
"""No access token lives longer, so a key that signs no more is needed for this long."""

VERIFY_ON_S = ACCESS_MOST_S + LEEWAY_S + JWKS_CACHE_S
_NONCE_BYTES = 12


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """
    One key, ready for use.

    Attributes:
        model: The JOSE library's algorithm. public, private: its key objects; *private* is None where nobody signs.

        header: The header of every token that this key signs, as it stands in the token.
    """

    row: KeyRow
    model: Any
    public: Any
    private: Any = None
    header: str = ""

    @property
    def kid(self) -> str:
        """Its name in headers and in the JWKS."""
        return self.row.kid

    @property
    def alg(self) -> str:
        """Its one algorithm."""
        return self.row.alg

    def sign(self, message: bytes) -> bytes:
        """Return the JWS signature of *message*."""
        signature: bytes = self.model.sign(message, self.private)
        return signature

    def is_signed(self, message: bytes, signature: bytes) -> bool:
        """Say whether *signature* is of *message* by this key."""
        return bool(self.model.verify(message, signature, self.public))


def generate(alg: Algorithm, *, seal: bytes, seal_id: str, epoch: int, now: int, signs_from: int) -> KeyRow:
    """Return a fresh key, its private half sealed with *seal* (32 bytes), which the secret *seal_id* gives."""
    from coatcheck.tokens import jose

    key = jose.KINDS[alg].generate_key("P-256" if alg == "ES256" else "Ed25519", private=True)
    kid = secrets.token_urlsafe(12)
    private = json.dumps(key.as_dict(private=True), sort_keys=True).encode()
    public = json.dumps(key.as_dict(private=False), sort_keys=True).encode()
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return KeyRow(
        kid=kid,
        alg=alg,
        public=public,
        # Bound to its name and its public half: neither can be exchanged for another.
        sealed=nonce + jose.AESGCM(seal).encrypt(nonce, private, kid.encode() + b"\0" + public),
        epoch=epoch,
        published_at=now,
        signs_from=signs_from,
        seal_id=seal_id,
    )


def opened(row: KeyRow, seals: Sequence[bytes]) -> Key | None:
    """Return the key in *row* with its private half; None when none of *seals* opens it."""
    from coatcheck.tokens import jose

    nonce, sealed = row.sealed[:_NONCE_BYTES], row.sealed[_NONCE_BYTES:]
    for seal in seals:
        try:
            private = jose.AESGCM(seal).decrypt(nonce, sealed, row.kid.encode() + b"\0" + row.public)
        except jose.InvalidTag:
            continue
        return _key(row, json.loads(private))
    return None


def public_only(row: KeyRow) -> Key:
    """Return the key in *row* for verifying."""
    return _key(row, None)


def _key(row: KeyRow, private: Any) -> Key:
    from coatcheck.tokens import jose

    kind = jose.KINDS[row.alg]
    public = kind.import_key(json.loads(row.public))
    model = jose.REGISTRY.get_alg(row.alg)
    model.check_key(public)
    return Key(
        row=row,
        model=model,
        public=public,
        private=None if private is None else kind.import_key(private),
        header=base64url.encode(msgspec.json.encode({"alg": row.alg, "kid": row.kid, "typ": TYPE})),
    )


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """
    Where a key stands, and its times, calendar seconds.

    Attributes:
        state: published, signing, verifying or gone.

        verifies_until: From when on nothing counts that it has signed; None while no key is to follow it.
    """

    kid: str
    alg: str
    state: str
    published_at: int
    signs_from: int
    verifies_until: int | None


class KeySet:
    """
    The keys of one epoch, the oldest first.

    Args:
        keys: In any order. Revoked ones are left out by whoever makes the set.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = sorted(keys, key=lambda key: (key.row.signs_from, key.row.number))
        self._by_kid = {key.kid: key for key in self._keys}
        successors = [*(float(key.row.signs_from + VERIFY_ON_S) for key in self._keys[1:]), float("inf")]
        self._gone_at = {key.kid: gone_at for key, gone_at in zip(self._keys, successors, strict=False)}

    def __len__(self) -> int:
        return len(self._keys)

    def newest(self) -> str | None:
        """Return the ``kid`` of the key that was made last."""
        return max(self._keys, key=lambda key: key.row.number).kid if self._keys else None

    def signer(self, now: int) -> Key | None:
        """Return the key that signs at *now*: the newest that has begun."""
        begun = [key for key in self._keys if key.row.signs_from <= now]
        return begun[-1] if begun else None

    def signer_here(self, now: int) -> Key | None:
        """
        Return the newest key that has begun, that we can sign with, and that is accepted still.

        While a secret is being changed, process by process, the newest may be sealed with the one that we lack.
        """
        for key in reversed(self._keys):
            if key.private is not None and key.row.signs_from <= now < self._gone_at[key.kid]:
                return key
        return None

    def verifier(self, kid: str, now: int) -> Key | None:
        """Return the key called *kid*, if what it has signed is accepted at *now*."""
        key = self._by_kid.get(kid)
        return key if key is not None and now < self._gone_at[key.kid] else None

    def needed(self, now: int) -> int | None:
        """Return from when a key should sign that does not exist yet; None when there is nothing to do."""
        if self.signer(now) is None:
            return now
        newest = self._keys[-1].row.signs_from
        return max(newest + SIGN_S, now + PUBLISH_AHEAD_S) if now >= newest + SIGN_S - PUBLISH_AHEAD_S else None

    def jwks(self, now: int) -> dict[str, Any]:
        """Return the public halves as a JWK set (RFC 7517, section 5)."""
        live = (key for key in self._keys if now < self._gone_at[key.kid])
        return {"keys": [{**json.loads(key.row.public), "kid": key.kid, "alg": key.alg, "use": "sig"} for key in live]}

    def standings(self, now: int) -> list[Standing]:
        """Return where each key stands and its times, the oldest first."""
        states = self.states(now)
        ends = ((key, self._gone_at[key.kid]) for key in self._keys)
        return [
            Standing(
                kid=key.kid,
                alg=key.alg,
                state=states[key.kid],
                published_at=key.row.published_at,
                signs_from=key.row.signs_from,
                verifies_until=None if gone_at == float("inf") else int(gone_at),
            )
            for key, gone_at in ends
        ]

    def states(self, now: int) -> dict[str, str]:
        """Return where each key stands: published, signing, verifying or gone."""
        signer = self.signer(now)
        return {
            key.kid: "gone"
            if now >= self._gone_at[key.kid]
            else "published"
            if key.row.signs_from > now
            else "signing"
            if key is signer
            else "verifying"
            for key in self._keys
        }
