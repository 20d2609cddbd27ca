"""
Checks of what a site says about its tokens: metadata and keys. Floor 6; may import: floor 0 and tokens/.

Only what is published is looked at. A site without metadata and keys has nothing to look at here.
"""

from __future__ import annotations

import re
from typing import Any

from coatcheck.cli.doctor.checks import Checks, Level, Said
from coatcheck.cli.doctor.seen import Seen, bare, origin_of
from coatcheck.clock import DAY
from coatcheck.tokens import base64url

TOKENS = Checks[Seen]()

CACHED_MOST_S = DAY
RSA_LEAST_BITS = 3072
# OWASP ASVS 5.0, appendix C: RSA with PKCS#1 v1.5 is out for signatures.
_APPROVED = ("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "Ed25519", "Ed448", "EdDSA")
_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "k")
_MOST_KEYS = 100


def _texts(seen: Seen, name: str) -> list[str]:
    found = (seen.metadata or {}).get(name)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


@TOKENS.add(
    "metadata-issuer",
    Level.HIGH,
    asvs="10.5.3",
    why="Whoever verifies compares the issuer to the letter; metadata of another name are another's.",
    fix="Let issuer be exactly the https URL that tokens carry, and serve the metadata below it.",
)
def _issuer(seen: Seen) -> Said:
    if seen.metadata is None:
        return None
    said = seen.metadata["issuer"]
    if isinstance(said, str) and said.rstrip("/") == seen.origin:
        return []
    return [f"the metadata say that the issuer is {bare(said) if isinstance(said, str) else 'no text'}"]


@TOKENS.add(
    "metadata-jwks-uri",
    Level.MEDIUM,
    asvs="9.1.3",
    why="Keys that come from elsewhere, or not by https, are somebody else's to exchange.",
    fix="Serve the keys below the issuer, by https.",
)
def _jwks_uri(seen: Seen) -> Said:
    said = (seen.metadata or {}).get("jwks_uri")
    if said is None:
        return None
    if isinstance(said, str) and origin_of(said) == seen.origin:
        return []
    return [f"the keys are at {bare(said) if isinstance(said, str) else 'no URL'}"]


@TOKENS.add(
    "metadata-grants",
    Level.MEDIUM,
    asvs="10.4.4",
    why="The password grant gives passwords to every client, the implicit grant puts tokens into addresses.",
    fix="Offer authorization_code with PKCE, refresh_token and client_credentials; take password and implicit away.",
)
def _grants(seen: Seen) -> Said:
    if seen.metadata is None:
        return None
    bad = [one for one in _texts(seen, "grant_types_supported") if one in ("password", "implicit")]
    bad += [one for one in _texts(seen, "response_types_supported") if "token" in one.split()]
    return [f"it offers {one!a}" for one in bad]


@TOKENS.add(
    "metadata-pkce",
    Level.MEDIUM,
    asvs="10.4.6",
    why="A code that is caught on its way is enough for a token.",
    fix="Require PKCE with S256, refuse plain, and say so in code_challenge_methods_supported.",
)
def _pkce(seen: Seen) -> Said:
    if "authorization_endpoint" not in (seen.metadata or {}):
        return None
    offered = _texts(seen, "code_challenge_methods_supported")
    return [] if offered == ["S256"] else [f"the ways of PKCE it names are {', '.join(offered)[:40] or 'none'}"]


# --- keys ---


def _keys(seen: Seen) -> list[dict[str, Any]] | None:
    """Return the keys that are published; None where there is no set of keys."""
    found = seen.jwks.json() if seen.jwks is not None and seen.jwks.status == 200 else None
    listed = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        return None
    return [key for key in listed[:_MOST_KEYS] if isinstance(key, dict)]


def _name(key: dict[str, Any]) -> str:
    kid = key.get("kid")
    return f"the key {kid[:32]!a}" if isinstance(kid, str) else "a key without kid"


@TOKENS.add(
    "jwks-there",
    Level.HIGH,
    asvs="9.1.3",
    why="Nobody can verify a token whose keys cannot be had.",
    fix='Serve {"keys": […]} there, with status 200.',
)
def _there(seen: Seen) -> Said:
    if seen.jwks is None:
        return None
    return [] if _keys(seen) else [f"{seen.jwks.what} answers {seen.jwks.status}, and holds no keys"]


@TOKENS.add(
    "jwks-private",
    Level.HIGH,
    asvs="13.3.1",
    why="Whoever has the private half makes tokens for everybody.",
    fix="Take the key back at once and make another; publish the public members only.",
)
def _private(seen: Seen) -> Said:
    keys = _keys(seen)
    if not keys:
        return None
    return [f"{_name(key)} is published with its private half" for key in keys if any(name in key for name in _PRIVATE)]


@TOKENS.add(
    "jwks-algorithm",
    Level.LOW,
    asvs="11.6.1",
    why="RSA signatures of PKCS#1 v1.5, and what is weaker, are no longer approved (ASVS 5.0, appendix C).",
    fix="Sign with ES256 or Ed25519, or with PS256 where it must be RSA.",
)
def _algorithm(seen: Seen) -> Said:
    said = [(key, key["alg"]) for key in _keys(seen) or [] if isinstance(key.get("alg"), str)]
    return [f"{_name(key)} is for {alg[:16]}" for key, alg in said if alg not in _APPROVED] if said else None


@TOKENS.add(
    "jwks-one-algorithm",
    Level.LOW,
    asvs="9.1.2",
    why="A key that does not say its algorithm is used with the one that a token names.",
    fix="Give each key an alg, one only.",
)
def _one_algorithm(seen: Seen) -> Said:
    keys = _keys(seen)
    return [f"{_name(key)} names no alg" for key in keys if not isinstance(key.get("alg"), str)] if keys else None


@TOKENS.add(
    "jwks-strength",
    Level.MEDIUM,
    asvs="11.2.3",
    why="Below 128 bits of security a key is within somebody's reach in the lifetime of what it protects.",
    fix="Use P-256, Ed25519 or more; where it must be RSA, 3,072 bits or more.",
)
def _strength(seen: Seen) -> Said:
    keys = _keys(seen)
    if not keys:
        return None
    found = ((key, _bits(key)) for key in keys if key.get("kty") == "RSA")
    return [f"{_name(key)} has {bits} bits" for key, bits in found if bits < RSA_LEAST_BITS]


def _bits(key: dict[str, Any]) -> int:
    modulus = key.get("n")
    raw = base64url.decode(re.sub(r"=+$", "", modulus)) if isinstance(modulus, str) else None
    return int.from_bytes(raw).bit_length() if raw else 0


@TOKENS.add(
    "jwks-kid",
    Level.MEDIUM,
    asvs="9.1.2",
    why="Without a name of its own for each key, a verifier tries them, or takes the wrong one after a rotation.",
    fix="Give each key a kid that no other ever had.",
)
def _kid(seen: Seen) -> Said:
    keys = _keys(seen)
    if not keys:
        return None
    kids = [key.get("kid") for key in keys]
    return [
        f"{_name(key)} is one of several" if key.get("kid") else _name(key)
        for key in keys
        if kids.count(key.get("kid")) > 1 or not key.get("kid")
    ]


@TOKENS.add(
    "jwks-cache",
    Level.LOW,
    asvs="11.2.2",
    why="A key that was taken back counts for as long as others may keep the set.",
    fix="Send Cache-Control: max-age=300 with the keys, and publish a new one for longer than that before it signs.",
)
def _cache(seen: Seen) -> Said:
    if not _keys(seen) or seen.jwks is None:
        return None
    age = seen.jwks.directives.get("max-age", "0")
    is_long = age.isdigit() and int(age[:12]) > CACHED_MOST_S
    return [f"{seen.jwks.what} may be kept for {int(age[:12]) / DAY:.0f} days"] if is_long else []
