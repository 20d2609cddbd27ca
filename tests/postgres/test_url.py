"""What a PostgreSQL URL may say, and what is shown of it."""

import subprocess
import sys

import pytest

from coatcheck.errors import ConfigError
from coatcheck.stores import from_url
from coatcheck.stores._postgres_url import parse

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("url", "shown", "identity"),
    [
        (f"postgresql://me:{SECRET}@db/app", "postgresql://me@db/app", "postgresql://db/app?schema=coatcheck"),
        (f"postgres://me:{SECRET}@db:1/app", "postgresql://me@db:1/app", "postgresql://db:1/app?schema=coatcheck"),
        (
            f"postgresql://db/app?user=me&password={SECRET}&sslpassword={SECRET}&schema=x&sslmode=require",
            "postgresql://db/app?user=me&schema=x",
            "postgresql://db/app?schema=x",
        ),
        (
            "postgresql:///app?host=/run/pg&port=1",
            "postgresql:///app?host=/run/pg&port=1",
            "postgresql:///run/pg/app?schema=coatcheck",
        ),
        (
            f"postgresql://me:p%40%2F{SECRET}@[::1]:5432,db2:5433/app",
            "postgresql://me@[::1]:5432,db2:5433/app",
            "postgresql://[::1]:5432,db2:5433/app?schema=coatcheck",
        ),
        ("postgresql://", "postgresql:///", "postgresql:///?schema=coatcheck"),
    ],
)
def test_what_is_shown_of_a_url(url, shown, identity):
    """User, host, database and schema; never a password, wherever it stands."""
    store = from_url(url)
    assert (repr(store), store.identity) == (f"PostgresStore({shown!r})", identity)
    assert SECRET not in repr(store) + repr(store._settings) + store.identity


def test_options_are_ours_or_the_drivers():
    """Ours are taken out; those of the driver stay as they are; what is left out has a default."""
    settings = parse("postgresql://db/app?pool=3&pgbouncer=true&schema=a_1&sslmode=verify-full&application_name=a+b")
    assert (settings.pool, settings.pgbouncer, settings.schema) == (3, True, "a_1")
    assert settings.dsn == "postgresql://db/app?sslmode=verify-full&application_name=a+b"
    settings = parse("postgresql://db/app")
    assert (settings.pool, settings.pgbouncer, settings.schema) == (8, False, "coatcheck")


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@1@db/app",
        f"postgresql://me:{SECRET}/1@db/app",
        f"postgresql://me:5/{SECRET}@db/app",
        f"postgresql://me:{SECRET}#1@db/app",
        f"postgresql://me:{SECRET}?1@db/app",
        f"postgresql://me:{SECRET}?a={SECRET}@db/app",
        f"postgresql://me:{SECRET}:1@db/app",
        f"postgresql://me:{SECRET}@db:port/app",
        f"postgresql://me:{SECRET}@[::1/app",
        f"postgresql://me:{SECRET}@db/app?{SECRET}",
        f"postgresql://me:{SECRET}@db/app?pool={SECRET}",
        f"postgresql://me:{SECRET}@db/app?pgbouncer={SECRET}",
        f"postgresql://me:{SECRET}@db/app?schema={SECRET}\x00",
        f"postgresql://me:{SECRET}@db/app?schema=pg_{SECRET}",
        f"postgresql://me:{SECRET}@db/app?schema=a;drop",
        f"postgresql://me:{SECRET}@db/app?schema=",
        f"postgresql://me:{SECRET}@db/app?schema=1a",
        f"postgresql://me:{SECRET}@db/app?schema={'a' * 49}",
        f"postgresql://me:{SECRET}@db/app?schema=a&schema=b",
        f"postgresql://me:{SECRET}@db/app?sslmod=require",
        f"postgresql://me:{SECRET}@db/app?search_path=x",
        f"postgresql://me:{SECRET}@db/app?pool=0",
        f"postgresql://me:{SECRET}@db/app?pool=65",
        f"postgresql://me:{SECRET}@db/app?pool=\uff11",
        f"postgresql://me:{SECRET}@db/app?host=other",
        f"postgresql://me:{SECRET}\n@db/app",
    ],
)
def test_a_url_that_makes_no_sense_is_refused(url):
    """When the store is made, in words that hold nothing of the password, however badly it was escaped."""
    with pytest.raises(ConfigError) as caught:
        from_url(url)
    assert caught.value.setting == "store"
    assert SECRET not in str(caught.value)


def test_without_the_driver_it_is_named():
    """Nothing else of the package needs it."""
    code = """
import sys
sys.modules["asyncpg"] = None
from coatcheck import Coatcheck, ConfigError
Coatcheck("memory://")
try:
    Coatcheck("postgresql://db/app")
except ConfigError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "coatcheck[postgres]"' in ran.stdout
