"""
The contract of the server's database as tests: inherit :class:`DatabaseContract`, and a new kind is tested like ours.
Floor 6; may import: floors 0 to 2.
"""

from coatcheck.server.database.contract._accounts import Accounts
from coatcheck.server.database.contract._audit import Audit
from coatcheck.server.database.contract._clients import Clients
from coatcheck.server.database.contract._limits import Limits
from coatcheck.server.database.contract._opening import Opening
from coatcheck.server.database.contract._set_up import SetUp

__all__ = ["DatabaseContract"]


class DatabaseContract(Opening, SetUp, Accounts, Clients, Limits, Audit):
    """
    What every database of the server promises (:mod:`coatcheck.server.database.base`), as tests for pytest.

    A subclass gives :meth:`make_database`; each test gets a fresh, open one, closed at its end.
    """
