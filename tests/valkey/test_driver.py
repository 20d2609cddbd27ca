"""What the URL of a Valkey store is good for before anybody connects."""

import subprocess
import sys

import pytest

from coatcheck import ConfigError, Verifier
from coatcheck.server.database import from_url as database_of
from coatcheck.stores import from_url
from coatcheck.stores.valkey import ValkeyStore


@pytest.mark.parametrize("scheme", ["valkey", "redis", "valkeys", "rediss"])
def test_four_names_lead_here(scheme):
    """Two of them with TLS; a store, or a verifier's feed."""
    url = f"{scheme}://:hidden@127.0.0.1:9/1?prefix=mine"
    store = from_url(url)
    assert isinstance(store, ValkeyStore)
    assert store.identity == "valkey://127.0.0.1:9/1?prefix=mine"
    assert "hidden" not in repr(store)
    assert "hidden" not in repr(Verifier("https://auth.example.com", audience="orders", feed=url))


@pytest.mark.parametrize("scheme", ["valkey", "rediss"])
def test_accounts_are_kept_elsewhere(scheme):
    """It says where."""
    with pytest.raises(ConfigError, match=r"database: .* no accounts; write .*postgresql://") as caught:
        database_of(f"{scheme}://:hidden@127.0.0.1:9")
    assert "hidden" not in str(caught.value)


def test_without_the_driver_it_is_named():
    """Nothing else of the package needs it."""
    code = """
import sys
sys.modules["redis"] = None
from coatcheck import Coatcheck, ConfigError
Coatcheck("memory://")
try:
    Coatcheck("valkey://db")
except ConfigError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "coatcheck[valkey]"' in ran.stdout
