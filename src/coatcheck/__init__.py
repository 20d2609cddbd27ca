"""
Coatcheck: who is making this request, answered from memory and revocable at once.

Everything a user needs is here; the adapters are modules of their own (:mod:`coatcheck.asgi`), the helpers for tests
are in :mod:`coatcheck.testing`.
"""

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
