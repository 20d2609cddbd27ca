"""
The store contract as tests: inherit :class:`EmbeddedStoreContract` or :class:`FleetStoreContract`, and your store is
tested like ours. Floor 5; may import: floors 0 to 4.
"""

from __future__ import annotations

from coatcheck.testing.store_contract.behind_a_network import BehindANetwork
from coatcheck.testing.store_contract.embedded import Embedded
from coatcheck.testing.store_contract.ending import Ending
from coatcheck.testing.store_contract.families import Families
from coatcheck.testing.store_contract.keys import Keys
from coatcheck.testing.store_contract.log import Log
from coatcheck.testing.store_contract.making import make_digest, make_family, make_key, make_record, make_stamp
from coatcheck.testing.store_contract.nodes import NodeRows
from coatcheck.testing.store_contract.secrets import Secrets
from coatcheck.testing.store_contract.sessions import Sessions

__all__ = [
    "EmbeddedStoreContract",
    "FleetStoreContract",
    "StoreContract",
    "make_digest",
    "make_family",
    "make_key",
    "make_record",
    "make_stamp",
]


class StoreContract(Sessions, Ending, Log, Keys, Secrets, Families, NodeRows):
    """
    What every store promises (:mod:`coatcheck.stores.base`), as tests for pytest.

    A subclass gives :meth:`make_store`; each test gets a fresh, open store, closed at its end.
    """


class EmbeddedStoreContract(Embedded, StoreContract):
    """What a store inside the process promises (:class:`coatcheck.stores.base.EmbeddedStore`), all in all."""


class FleetStoreContract(BehindANetwork, StoreContract):
    """What a store behind a network promises (:class:`coatcheck.stores.base.FleetStore`), all in all."""
