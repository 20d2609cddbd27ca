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

import re
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
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
_MOST = 2**53

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
    if type(token) is not str or len(token) > LONGEST or (parts := _COMPACT.fullmatch(token)) is None:
        return _MALFORMED
    header_text, body_text, signature_text = parts.groups()
    raw_header, raw_body = base64url.decode(header_text), base64url.decode(body_text)
    signature = base64url.decode(signature_text)
    if raw_header is None or raw_body is None or signature is None:
        return _MALFORMED
    try:
        header = _headers.decode(raw_header)
    except _UNREADABLE:
        return _MALFORMED
    if header.crit is not msgspec.UNSET or header.b64 is not msgspec.UNSET:
        return _MALFORMED
    if header.typ.lower() not in _TYPES:
        return _WRONG_TYPE
    key = key_of(header.kid)
    if key is None:
        return _UNKNOWN_KEY
    if header.alg != key.alg or not key.is_signed(f"{header_text}.{body_text}".encode("ascii"), signature):
        return _BAD_SIGNATURE
    try:
        body = frozen(_bodies.decode(raw_body))  # many requests share it while the token is remembered
    except _UNREADABLE:
        return _MALFORMED
    if body.get("iss") != issuer:
        return Refused(Reason.WRONG_ISSUER)
    return _claims(body, key.kid)


def _claims(body: dict[str, Any], kid: str) -> Claims | Refused:
    # Plain loops: this runs while whoever sent the token waits, and generators would take as long as the hashing.
    get = body.get
    for at in (get("exp"), get("iat"), get("nbf", 0)):
        if type(at) is not int or not 0 <= at < _MOST:
            return _MALFORMED
    for text in (get("sub"), get("client_id"), get("jti"), get("sid")):
        if type(text) is not str or not text:
            return _MALFORMED
    if type(get("ver")) is not int:
        return _MALFORMED
    audience = get("aud")
    audiences = (audience,) if type(audience) is str else audience
    if not isinstance(audiences, list | tuple) or not audiences:
        return _MALFORMED
    for one in audiences:
        if type(one) is not str:
            return _MALFORMED
    return Claims(
        sub=body["sub"],
        sid=body["sid"],
        version=body["ver"],
        audience=tuple(audiences),
        expires_at=body["exp"],
        issued_at=body["iat"],
        not_before=body.get("nbf", 0),
        client_id=body["client_id"],
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
