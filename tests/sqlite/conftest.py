"""What the tests of the SQLite store may ask for."""

import sys
from pathlib import Path

import pytest

from coatcheck.fleet.watch import BACKSTOP_S
from coatcheck.testing import ManualClock

# The tests here share modules, and so do the processes they start.
sys.path.insert(0, str(Path(__file__).parent))


class FineClock(ManualClock):
    """A clock that can also move by less than a second, as far as only :meth:`elapsed` sees."""

    fine = 0.0

    def elapsed(self):
        return super().elapsed() + self.fine

    def outrun_backstop(self):
        """Let just so much time pass that the pulse alone is no longer trusted."""
        self.fine += BACKSTOP_S


@pytest.fixture
def clock():
    return FineClock()


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/coatcheck.db"
