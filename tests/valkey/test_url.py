"""What a Valkey URL may say, and what is shown of it."""

import pickle

import pytest

from coatcheck.errors import ConfigError
from coatcheck.stores._valkey_url import parse

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("url", "shown", "identity"),
    [
        ("valkey://db", "valkey://db", "valkey://db:6379/0?prefix=coatcheck"),
        ("redis://db/", "redis://db", "valkey://db:6379/0?prefix=coatcheck"),
        (f"valkey://me:{SECRET}@db:1/2", "valkey://me@db:1/2", "valkey://db:1/2?prefix=coatcheck"),
        (f"rediss://:{SECRET}@db?prefix=a-B_1", "rediss://db?prefix=a-B_1", "valkey://db:6379/0?prefix=a-B_1"),
        (
            f"valkey://me:p%40%2F{SECRET}@[::1],h2:7001,h3/?cluster=true",
            "valkey://me@[::1],h2:7001,h3?cluster=true",
            "valkey://[::1]:6379,h2:7001,h3:6379/cluster?prefix=coatcheck",
        ),
        (
            f"valkey://h1,h2:1/3?sentinel=main&sentinel_user=eva&sentinel_password={SECRET}",
            "valkey://h1,h2:1/3?sentinel=main&sentinel_user=eva",
            "valkey://h1:26379,h2:1/main/3?prefix=coatcheck",
        ),
        (
            "valkey:///1?socket=/run/valkey.sock",
            "valkey:///1?socket=/run/valkey.sock",
            "valkey:///run/valkey.sock/1?prefix=coatcheck",
        ),
        ("valkey://", "valkey:///0", "valkey://localhost:6379/0?prefix=coatcheck"),
    ],
)
def test_what_is_shown_of_a_url(url, shown, identity):
    """User, hosts, database and prefix; never a password, wherever it stands."""
    settings = parse(url)
    assert (repr(settings), settings.identity) == (f"Settings({shown!r})", identity)
    fields = {name: getattr(settings, name) for name in settings.__struct_fields__}
    assert SECRET not in repr(settings) + settings.identity + settings.shown + repr(fields)
    assert repr(parse(shown.replace("me@", "me:1@"))) == repr(settings)  # what is shown leads to the same place


def test_what_a_url_says():
    """Each part is where the wire looks for it, unescaped; what is left out has a default."""
    settings = parse("valkey://m%C3%A9:p%40s@db:1/2?durability=1&lease_s=0.5&prefix=x")
    assert (settings.user, settings.password.reveal(), settings.hosts) == ("mé", "p@s", (("db", 1),))
    assert (settings.database, settings.durability, settings.lease_s, settings.prefix) == (2, 1, 0.5, "x")
    assert (settings.mode, settings.tls, settings.master, settings.socket) == ("single", False, "", "")
    settings = parse("valkeys://[::1],h2?cluster=true&tls_ca=/a&tls_cert=/b&tls_key=/c&durability=0")
    assert (settings.mode, settings.hosts, settings.tls) == ("cluster", (("::1", 6379), ("h2", 6379)), True)
    assert (settings.tls_ca, settings.tls_cert, settings.tls_key, settings.durability) == ("/a", "/b", "/c", 0)
    settings = parse("redis://h/4?sentinel=main&sentinel_password=a%26b")
    assert (settings.mode, settings.master, settings.hosts) == ("sentinel", "main", (("h", 26379),))
    assert (settings.sentinel_password.reveal(), settings.password, settings.database) == ("a&b", None, 4)
    settings = parse("valkey://db")
    assert (settings.user, settings.password, settings.durability, settings.lease_s) == (None, None, None, None)
    assert (settings.prefix, settings.database) == ("coatcheck", 0)


def test_a_password_is_not_pickled():
    """It leaves its process in no other way either."""
    with pytest.raises(TypeError):
        pickle.dumps(parse(f"valkey://:{SECRET}@db"))


@pytest.mark.parametrize(
    "url",
    [
        f"valkey://me:{SECRET}@1@db/0",
        f"valkey://me:{SECRET}/1@db/0",
        f"valkey://me:5/{SECRET}@db/0",
        f"valkey://me:{SECRET}#1@db/0",
        f"valkey://me:{SECRET}?1@db/0",
        f"valkey://me:5?{SECRET}=1@db/0",
        f"valkey://me:{SECRET}?a={SECRET}@db/0",
        f"valkey://me:{SECRET}:1@db/0",
        f"valkey://me:{SECRET}@db:port/0",
        f"valkey://me:{SECRET}@db:0/0",
        f"valkey://me:{SECRET}@db:65536/0",
        f"valkey://me:{SECRET}@[::1/0",
        f"valkey://me:%ff{SECRET}@db/0",
        f"valkey://me:{SECRET}@db/{SECRET}",
        f"valkey://me:{SECRET}@db/-1",
        f"valkey://me:{SECRET}@db/\uff11",
        f"valkey://me:{SECRET}@db/0?{SECRET}",
        f"valkey://me:{SECRET}@db/0?timeout=1",
        f"valkey://me:{SECRET}@db/0?prefix=a&prefix=b",
        f"valkey://me:{SECRET}@db/0?prefix=",
        f"valkey://me:{SECRET}@db/0?prefix={'a' * 49}",
        f"valkey://me:{SECRET}@db/0?prefix=a%7Bb",
        f"valkey://me:{SECRET}@db/0?durability={SECRET}",
        f"valkey://me:{SECRET}@db/0?durability=-1",
        f"valkey://me:{SECRET}@db/0?durability=100",
        f"valkey://me:{SECRET}@db/0?lease_s=0.4",
        f"valkey://me:{SECRET}@db/0?lease_s=61",
        f"valkey://me:{SECRET}@db/0?lease_s=1e1",
        f"valkey://me:{SECRET}@db/0?cluster={SECRET}",
        f"valkey://me:{SECRET}@db/1?cluster=true",
        f"valkey://me:{SECRET}@db?cluster=true&sentinel=main",
        f"valkey://me:{SECRET}@db?sentinel={SECRET}%0a",
        f"valkey://me:{SECRET}@db?sentinel_password={SECRET}",
        f"valkey://me:{SECRET}@h1,h2/0",
        f"valkey://me:{SECRET}@db?socket=/run/x",
        f"valkey://me:{SECRET}@?socket=run/x",
        f"valkeys://me:{SECRET}@?socket=/run/x",
        f"valkey://me:{SECRET}@db?tls_ca=/x",
        f"valkeys://me:{SECRET}@db?tls_cert=/x",
        f"valkey://me:{SECRET}\n@db/0",
        f"http://me:{SECRET}@db/0",
    ],
)
def test_a_url_that_makes_no_sense_is_refused(url):
    """In words that hold nothing of the password, however badly it was escaped."""
    with pytest.raises(ConfigError) as caught:
        parse(url)
    assert caught.value.setting == "store"
    assert SECRET not in str(caught.value)
