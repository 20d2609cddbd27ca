"""
What of the JOSE library and of cryptography the keys need. Floor 1; may import: its neighbours in tokens/.

Loaded with the first key, see :mod:`coatcheck.tokens.keys`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc.jwk import ECKey, OKPKey
from joserfc.jws import JWSRegistry

__all__ = ["AESGCM", "KINDS", "REGISTRY", "InvalidTag"]


class _Settled:
    """
    A key of the JOSE library's, which at every signature makes sure anew that it is one for signing, or for verifying.
    It never becomes another, and the asking costs more than the conversions around it; so it is asked once for each.
    """

    @cached_property
    def _settled(self) -> dict[str, Any]:
        return {}

    def get_op_key(self, operation: Any) -> Any:
        """Return the value to do *operation* with; an error, each time, when it is not for that."""
        value = self._settled.get(operation)
        if value is None:
            value = self._settled[operation] = super().get_op_key(operation)  # type: ignore[misc]
        return value


class _ECKey(_Settled, ECKey):
    pass


class _OKPKey(_Settled, OKPKey):
    pass


KINDS: dict[str, Any] = {"ES256": _ECKey, "Ed25519": _OKPKey}
"""The kind of key for each algorithm."""

REGISTRY = JWSRegistry(algorithms=list(KINDS))
"""The algorithms that there are."""
