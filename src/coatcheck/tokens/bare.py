"""
The bare signature check: cryptography's own call, and nothing around it. Floor 1; may import: its neighbours in
tokens/.

For measuring only: what a token costs is said beside what no verifier of tokens can do without. It accepts nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from coatcheck.tokens import base64url
from coatcheck.tokens.keys import Key


def verifier(token: str, key: Key) -> Callable[[], None]:
    """Return what checks the signature of *token* alone; the key, the bytes and the form are made beforehand."""
    signed, _, text = token.rpartition(".")
    message, signature = signed.encode("ascii"), base64url.decode(text) or b""
    public = key.public.get_op_key("verify")
    if isinstance(public, ed25519.Ed25519PublicKey):
        return lambda: public.verify(signature, message)
    half = len(signature) // 2
    der = encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
    algorithm = ec.ECDSA(SHA256())
    return lambda: public.verify(der, message, algorithm)
