"""
The access token: one JWT profile, and nothing else. Floor 1; may import: floor 0 and its neighbours in tokens/.

RFC 9068 claims, plus ``sid`` and ``ver``, the session's version. Signing and verifying of bytes is the JOSE library's;
what a token may look like, and what it must say, is here.

Rules of this module:

1. Whatever is not exactly the profile is refused: the whole token, with one reason (RFC 8725, section 3.2).
2. The header chooses a key by ``kid`` and nothing more: not the algorithm, not where keys come from.
3. Whether the session was revoked is not known here. A verified token is not yet an accepted one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from coatcheck.errors import InvalidInput
from coatcheck.records import Claims, Reason, Refused
from coatcheck.tokens import base64url
from coatcheck.tokens.keys import LEEWAY_S, TYPE, Key
from coatcheck.values import frozen

_TYPES = (TYPE, f"application/{TYPE}")
LONGEST = 8 * 1024
LONGEST_MINTED = 2048
_MOST = 2**53
_HEADERS = 32  # a service sees one or two for as long as the keys stay

_MALFORMED, _WRONG_TYPE = Refused(Reason.MALFORMED), Refused(Reason.WRONG_TYPE)
_UNKNOWN_KEY, _BAD_SIGNATURE = Refused(Reason.UNKNOWN_KEY), Refused(Reason.BAD_SIGNATURE)


class _Header(msgspec.Struct, frozen=True):
    """What is read of a header. Nothing else in it is looked at, but for ``crit`` and ``b64``, which must not be."""

    alg: str
    kid: str
    typ: str
    crit: Any = msgspec.UNSET
    b64: Any = msgspec.UNSET


# The last: more brackets than the decoder goes along with.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_headers = msgspec.json.Decoder(_Header)
_bodies = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


class _Unreadable(Exception):
    """A header that is none. Raised and not returned: what is raised is not remembered."""


@functools.lru_cache(_HEADERS)
def _header_of(text: str) -> _Header:
    # Every token of a key has the same header to the letter, and what a text says does not change; so it is read once.
    # It follows from the text alone: whether there is such a key is asked each time.
    raw = base64url.decode(text)
    if not raw:
        raise _Unreadable
    try:
        header = _headers.decode(raw)
    except _UNREADABLE:
        raise _Unreadable from None
    if header.crit is not msgspec.UNSET or header.b64 is not msgspec.UNSET:
        raise _Unreadable
    return header


def sign(key: Key, claims: Mapping[str, Any]) -> str:
    """
    Return *claims* as a signed token.

    Raises:
        InvalidInput: Above 2,048 bytes; the largest claim is named.
    """
    signed = f"{key.header}.{base64url.encode(_encode(claims))}"
    token = f"{signed}.{base64url.encode(key.sign(signed.encode('ascii')))}"
    if len(token) > LONGEST_MINTED:
        largest = max(claims, key=lambda name: len(_encode(claims[name])))
        problem = (
            f"the token would have {len(token)} bytes, {LONGEST_MINTED} are allowed, and this claim is the largest"
        )
        raise InvalidInput(f"claims[{largest!a}]", problem, "leave it out of Policy.access_claims, or make it smaller")
    return token


def verify(token: str, key_of: Callable[[str], Key | None], *, issuer: str) -> Claims | Refused:
    """
    Return what *token* says, if it is genuine.

    Times and audience are not compared here: they change while a token is remembered (:func:`judge`).

    Args:
        key_of: Returns the key called so, if it is in use.

        issuer: Compared exactly.
    """
    if type(token) is not str or len(token) > LONGEST:
        return _MALFORMED
    header_text, _, rest = token.partition(".")
    body_text, _, signature_text = rest.partition(".")
    # A part that is missing is empty, and one dot more is a letter that is not in the alphabet.
    raw_body, signature = base64url.decode(body_text), base64url.decode(signature_text)
    if not raw_body or not signature:
        return _MALFORMED
    try:
        header = _header_of(header_text)
    except _Unreadable:
        return _MALFORMED
    if header.typ.lower() not in _TYPES:
        return _WRONG_TYPE
    key = key_of(header.kid)
    if key is None:
        return _UNKNOWN_KEY
    if header.alg != key.row.alg or not key.is_signed(f"{header_text}.{body_text}".encode("ascii"), signature):
        return _BAD_SIGNATURE
    try:
        body = frozen(_bodies.decode(raw_body))  # many requests share it while the token is remembered
    except _UNREADABLE:
        return _MALFORMED
    if body.get("iss") != issuer:
        return Refused(Reason.WRONG_ISSUER)
    return _claims(body, header.kid)


def _claims(body: dict[str, Any], kid: str) -> Claims | Refused:
    # No loops and no generators: this runs while whoever sent the token waits, and they take as long as the hashing.
    get = body.get
    exp, iat, nbf, version = get("exp"), get("iat"), get("nbf", 0), get("ver")
    if type(exp) is not int or type(iat) is not int or type(nbf) is not int or type(version) is not int:
        return _MALFORMED
    if not (0 <= exp < _MOST and 0 <= iat < _MOST and 0 <= nbf < _MOST):
        return _MALFORMED
    sub, sid, client_id, jti = get("sub"), get("sid"), get("client_id"), get("jti")
    if type(sub) is not str or type(sid) is not str or type(client_id) is not str or type(jti) is not str:
        return _MALFORMED
    if not (sub and sid and client_id and jti):
        return _MALFORMED
    audience = get("aud")
    audiences = (audience,) if type(audience) is str else audience
    if not isinstance(audiences, list | tuple) or not audiences:
        return _MALFORMED
    for one in audiences:
        if type(one) is not str:
            return _MALFORMED
    return Claims(
        sub=sub,
        sid=sid,
        version=version,
        audience=tuple(audiences),
        expires_at=exp,
        issued_at=iat,
        not_before=nbf,
        client_id=client_id,
        kid=kid,
        all=body,
    )


def judge(claims: Claims, *, audience: str, now: int) -> Reason | None:
    """Return why *claims* do not count for *audience* at *now*; None when they do."""
    if audience not in claims.audience:
        return Reason.WRONG_AUDIENCE
    if now >= claims.expires_at:
        return Reason.EXPIRED
    if claims.issued_at > now + LEEWAY_S or claims.not_before > now + LEEWAY_S:
        return Reason.NOT_YET_VALID
    return None
