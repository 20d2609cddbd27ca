"""
Coatcheck: who is making this request, answered from memory and revocable at once.

Everything a user needs is here; the adapters are modules of their own (:mod:`coatcheck.asgi`), the helpers for tests
are in :mod:`coatcheck.testing`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from coatcheck.engine import Coatcheck
from coatcheck.errors import (
    AlreadyExists,
    BarrierIncomplete,
    CoatcheckError,
    ConfigError,
    Forked,
    InvalidInput,
    NotOpen,
    StoreUnavailable,
    StoreUnusable,
)
from coatcheck.policy import CAREFUL, EVERYDAY, STRICT, CookiePolicy, CsrfPolicy, Policy
from coatcheck.records import Claims, Device, Reason, Receipt, Refused, Session, SignedIn, TokenPair
from coatcheck.secret import Secret
from coatcheck.verifier import Verifier

if TYPE_CHECKING:
    from coatcheck import blocking as blocking

__version__ = "0.1.0"

__all__ = [
    "CAREFUL",
    "EVERYDAY",
    "STRICT",
    "AlreadyExists",
    "BarrierIncomplete",
    "Claims",
    "Coatcheck",
    "CoatcheckError",
    "ConfigError",
    "CookiePolicy",
    "CsrfPolicy",
    "Device",
    "Forked",
    "InvalidInput",
    "NotOpen",
    "Policy",
    "Reason",
    "Receipt",
    "Refused",
    "Secret",
    "Session",
    "SignedIn",
    "StoreUnavailable",
    "StoreUnusable",
    "TokenPair",
    "Verifier",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # Who uses the async engine does not pay for the other.
    if name == "blocking":
        return import_module("coatcheck.blocking")
    raise AttributeError(f"module 'coatcheck' has no attribute {name!r}")
