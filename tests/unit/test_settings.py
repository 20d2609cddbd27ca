"""Settings that make no sense are refused by name when the engine or the middleware is built."""

import pytest

from coatcheck import Coatcheck, ConfigError, StoreUnusable
from coatcheck.asgi import SessionMiddleware


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sqlite",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///a?mode=ro",
        "memory://x",
        "mysql://h",
        5,
        "sqlite:///\udcff.db",
        "sqlite:///a\0b",
        None,
    ],
)
def test_a_wrong_store(url):
    """The error names the setting and says what to write."""
    with pytest.raises(ConfigError, match=r"^store: .*; (use|write) "):
        Coatcheck(url)


def test_a_password_in_a_url_is_not_shown():
    """Neither of a store nor of an issuer."""
    for wrong in (
        {"store": "postgresql://u:hunter2@h/d?nonsense=1"},
        {"store": "memory://", "issuer": "https://u:hunter2@h"},
    ):
        with pytest.raises(ConfigError) as caught:
            Coatcheck(**wrong)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("secret", [5, "", [], ["short"], [None], b"x"])
def test_a_wrong_secret(secret):
    """Refused when the engine is built."""
    with pytest.raises(ConfigError, match=r"^secret: "):
        Coatcheck("memory://", secret=secret)


@pytest.mark.parametrize("exclude", [5, "/static/", (1,), ("static/",), ("",)])
def test_a_wrong_exclude(exclude):
    """A text would be taken letter by letter; an empty prefix would exclude everything."""
    with pytest.raises(ConfigError, match=r"^exclude: "):
        SessionMiddleware(None, auth=Coatcheck("memory://"), exclude=exclude)


async def test_a_name_longer_than_the_system_takes(tmp_path):
    """The system's refusal becomes ours."""
    with pytest.raises(StoreUnusable):
        await Coatcheck(f"sqlite:///{tmp_path}/{'x' * 300}/a.db").open()
    with pytest.raises(StoreUnusable):
        await Coatcheck(f"sqlite:///{tmp_path}/{'x' * 300}.db").open()
