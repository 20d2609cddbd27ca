"""Settings are checked when they are built: a wrong one is refused and named."""

import dataclasses

import pytest

from coatcheck import CAREFUL, EVERYDAY, STRICT, Coatcheck, ConfigError, CookiePolicy, CsrfPolicy, Policy

DAY, HOUR, MINUTE = 86_400, 3_600, 60


@pytest.mark.parametrize(
    ("preset", "idle_s", "absolute_s", "seen_interval_s"),
    [
        (EVERYDAY, 14 * DAY, 30 * DAY, 60),
        (CAREFUL, HOUR, DAY, 60),
        (STRICT, 15 * MINUTE, 12 * HOUR, 60),
        (Policy(idle_s=100), 100, 30 * DAY, 10),
        (Policy(idle_s=5), 5, 30 * DAY, 1),
        (Policy(idle_s=1, absolute_s=1), 1, 1, 1),
        (Policy(absolute_s=HOUR), HOUR, HOUR, 60),
        (Policy(absolute_s=400 * DAY), 14 * DAY, 400 * DAY, 60),
    ],
)
def test_lifetimes(preset, idle_s, absolute_s, seen_interval_s):
    """The presets are the documented ones, and what is left out follows from what is given."""
    assert (preset.idle_s, preset.absolute_s, preset.seen_interval_s) == (idle_s, absolute_s, seen_interval_s)


def test_the_default_is_everyday_and_all_safe_together():
    """What you get without asking: every safe setting at once."""
    assert Policy() == EVERYDAY
    assert EVERYDAY.cookie == CookiePolicy(name="__Host-session", path="/", domain=None, secure=True, same_site="Lax")
    assert (EVERYDAY.csrf.trusted_origins, EVERYDAY.csrf.exempt) == ((), ())
    assert (EVERYDAY.sessions_per_subject, EVERYDAY.reread_s) == (100, 300)
    assert (EVERYDAY.cached_sessions, EVERYDAY.data_bytes) == (200_000, 65_536)


@pytest.mark.parametrize("policy", [Policy(), CookiePolicy(), CsrfPolicy()])
def test_settings_are_frozen(policy):
    """No setting changes after it was checked."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(policy, dataclasses.fields(policy)[0].name, 1)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Policy) if field.type == "int"])
@pytest.mark.parametrize("value", [-1, 1.5, "60", None, True, False])
def test_numbers_are_whole_and_above_zero(name, value):
    """Each number refuses what is none or below 1, and says which one it was."""
    with pytest.raises(ConfigError) as refused:
        Policy(**{name: value})
    assert refused.value.setting == f"Policy.{name}"


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"idle_s": 11, "absolute_s": 10}, "Policy.idle_s"),
        ({"idle_s": 31 * DAY}, "Policy.idle_s"),
        ({"absolute_s": 400 * DAY + 1}, "Policy.absolute_s"),
        ({"absolute_s": 0}, "Policy.absolute_s"),
        ({"idle_s": 10, "seen_interval_s": 11}, "Policy.seen_interval_s"),
        ({"reread_s": 301}, "Policy.reread_s"),
        ({"reread_s": 0}, "Policy.reread_s"),
        ({"sessions_per_subject": 10_001}, "Policy.sessions_per_subject"),
        ({"sessions_per_subject": 0}, "Policy.sessions_per_subject"),
        ({"data_bytes": 16 * 1024 * 1024 + 1}, "Policy.data_bytes"),
        ({"cached_sessions": 0}, "Policy.cached_sessions"),
        ({"origins": "https://app.example.com"}, "Policy.origins"),
        ({"origins": ["https://app.example.com"]}, "Policy.origins"),
        ({"origins": (None,)}, "Policy.origins"),
        ({"cookie": None}, "Policy.cookie"),
        ({"cookie": "__Host-session"}, "Policy.cookie"),
        ({"csrf": CookiePolicy()}, "Policy.csrf"),
    ],
)
def test_wrong_policies(settings, setting):
    """One past each limit, and combinations that contradict each other, are refused by name."""
    with pytest.raises(ConfigError) as refused:
        Policy(**settings)
    assert refused.value.setting == setting
    assert "; " in str(refused.value), "no remedy"


@pytest.mark.parametrize(
    "settings",
    [
        {"idle_s": 10, "absolute_s": 10, "seen_interval_s": 10},
        {"absolute_s": 400 * DAY, "idle_s": 400 * DAY},
        {"sessions_per_subject": 10_000, "reread_s": 300, "data_bytes": 16 * 1024 * 1024, "cached_sessions": 1},
        {"sessions_per_subject": 1, "reread_s": 1, "data_bytes": 1},
    ],
)
def test_the_last_good_values(settings):
    """Each limit itself is allowed."""
    policy = Policy(**settings)
    assert {name: getattr(policy, name) for name in settings} == settings


ORIGINS = [
    ("https://app.example.com", True),
    ("https://app.example.com:8443", True),
    ("https://xn--bcher-kva.example", True),
    ("https://10.0.0.7", True),
    ("https://[2001:db8::1]:8443", True),
    ("https://a_b.example", True),
    ("http://localhost", True),
    ("http://localhost:8000", True),
    ("http://127.0.0.1:8000", True),
    ("http://[::1]:8000", True),
    ("https://localhost:8443", True),
    ("", False),
    ("null", False),
    ("*", False),
    ("app.example.com", False),
    ("https://", False),
    ("https://app.example.com/", False),
    ("https://app.example.com/path", False),
    ("https://app.example.com?q=1", False),
    ("https://app.example.com#f", False),
    ("https://user@app.example.com", False),
    ("https://user:pw@app.example.com", False),
    ("https://ex ample.com", False),
    ("https://*.example.com", False),
    ("https://App.example.com", False),
    ("HTTPS://app.example.com", False),
    ("https://bücher.example", False),
    ("https://app.example.com:443", False),
    ("https://app.example.com:0443", False),
    ("http://localhost:80", False),
    ("https://app.example.com:70000", False),
    ("https://app.example.com:", False),
    ("https://app.example.com:80a", False),
    ("https://app.example.com\n", False),
    ("https://app.example.com\0", False),
    ("https:///app.example.com", False),
    ("https:/app.example.com", False),
    ("ftp://app.example.com", False),
    ("ws://app.example.com", False),
    ("http://app.example.com", False),
    ("http://127.0.0.1.evil.example", False),
    ("http://localhost.evil.example", False),
    ("http://127.0.0.2", False),
]


@pytest.mark.parametrize(("origin", "good"), ORIGINS)
@pytest.mark.parametrize(
    ("build", "setting"),
    [
        (lambda origin: Policy(origins=(origin,)), "Policy.origins"),
        (lambda origin: CsrfPolicy(trusted_origins=(origin,)), "CsrfPolicy.trusted_origins"),
    ],
    ids=["public", "trusted"],
)
def test_origins(build, setting, origin, good):
    """An origin is what a browser sends: scheme and host, a port unless it is the default; http on localhost only."""
    if good:
        build(origin)
    else:
        with pytest.raises(ConfigError) as refused:
            build(origin)
        assert refused.value.setting == setting
        assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "__Host-session"},
        {"name": "__Secure-session", "domain": "example.com", "path": "/app"},
        {"name": "session", "domain": "example.com", "path": "/app", "secure": False},
        {"name": "session", "same_site": "None"},
        {"name": "session", "same_site": "Strict"},
        {"name": "host-session", "secure": False},
        {"name": "a" * 128},
        {"name": "!#$%&'*+.^_`|~-9Zz"},
    ],
)
def test_good_cookies(settings):
    """What browsers keep is allowed."""
    CookiePolicy(**settings)


PREFIXES = ["__Host-", "__host-", "__HOST-", "__hOsT-"]
SECURE_PREFIXES = ["__Secure-", "__secure-", "__SECURE-"]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        *(({"name": f"{prefix}s", "domain": "example.com"}, "domain") for prefix in PREFIXES),
        *(({"name": f"{prefix}s", "path": "/app"}, "path") for prefix in PREFIXES),
        *(({"name": f"{prefix}s", "secure": False}, "secure") for prefix in [*PREFIXES, *SECURE_PREFIXES]),
        *(({"name": f"{prefix}s"}, "name") for prefix in [*PREFIXES[1:], *SECURE_PREFIXES[1:], "__http-"]),
        ({"name": "s", "same_site": "None", "secure": False}, "same_site"),
        ({"name": ""}, "name"),
        ({"name": "a" * 129}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "a=b"}, "name"),
        ({"name": "a;b"}, "name"),
        ({"name": "a\n"}, "name"),
        ({"name": "sessiön"}, "name"),
        ({"name": None}, "name"),
        ({"name": "s", "path": "app"}, "path"),
        ({"name": "s", "path": ""}, "path"),
        ({"name": "s", "path": "/a;b"}, "path"),
        ({"name": "s", "path": "/a b"}, "path"),
        ({"name": "s", "path": "/\r\n"}, "path"),
        ({"name": "s", "path": "/" + "a" * 256}, "path"),
        ({"name": "s", "domain": ""}, "domain"),
        ({"name": "s", "domain": ".example.com"}, "domain"),
        ({"name": "s", "domain": "Example.com"}, "domain"),
        ({"name": "s", "domain": "localhost"}, "domain"),
        ({"name": "s", "domain": "example.com; Secure"}, "domain"),
        ({"name": "s", "domain": "10.0.0.1"}, "domain"),
        ({"name": "s", "same_site": "lax"}, "same_site"),
        ({"name": "s", "same_site": None}, "same_site"),
        ({"name": "s", "same_site": "Lax; Domain=x"}, "same_site"),
        ({"name": "s", "secure": 1}, "secure"),
        ({"name": "__Http-s", "secure": False}, "secure"),
    ],
)
def test_wrong_cookies(settings, field):
    """What browsers would drop, or what could break out of the header, is refused by name; prefixes in any case."""
    with pytest.raises(ConfigError) as refused:
        CookiePolicy(**settings)
    assert refused.value.setting == f"CookiePolicy.{field}"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"exempt": "/hook"}, "exempt"),
        ({"exempt": ["/hook"]}, "exempt"),
        ({"exempt": ("hook",)}, "exempt"),
        ({"exempt": ("",)}, "exempt"),
        ({"exempt": ("/hook?x=1",)}, "exempt"),
        ({"exempt": ("/hooks/*",)}, "exempt"),
        ({"exempt": (b"/hook",)}, "exempt"),
        ({"trusted_origins": "https://a.example"}, "trusted_origins"),
        ({"header": ""}, "header"),
        ({"header": "x token"}, "header"),
        ({"header": "x\r\ny"}, "header"),
        ({"header": None}, "header"),
        ({"field": "a&b"}, "field"),
        ({"field": "a=b"}, "field"),
        ({"field": "9a"}, "field"),
    ],
)
def test_wrong_csrf_settings(settings, field):
    """Patterns, single texts and names that could not be in a request are refused by name."""
    with pytest.raises(ConfigError) as refused:
        CsrfPolicy(**settings)
    assert refused.value.setting == f"CsrfPolicy.{field}"


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [
        ({"store": None}, "store"),
        ({"store": ""}, "store"),
        ({"store": "coatcheck.db"}, "store"),
        ({"store": "memory://x"}, "store"),
        ({"store": "sqlite://coatcheck.db"}, "store"),
        ({"store": "sqlite:///"}, "store"),
        ({"store": "sqlite:///a.db?mode=ro"}, "store"),
        ({"store": "sqlite:///:memory:"}, "store"),
        ({"store": "mysql://root:hunter2@db/x"}, "store"),
        ({"policy": None}, "policy"),
        ({"policy": {"idle_s": 5}}, "policy"),
        ({"issuer": "http://auth.example.com"}, "issuer"),
        ({"issuer": "https://auth.example.com?x=1"}, "issuer"),
        ({"issuer": "https://auth.example.com#f"}, "issuer"),
        ({"issuer": "https://auth.example.com?"}, "issuer"),
        ({"issuer": "auth.example.com"}, "issuer"),
        ({"issuer": "https://[auth"}, "issuer"),
        ({"issuer": ""}, "issuer"),
        ({"issuer": 5}, "issuer"),
        ({"secret": "hunter2"}, "secret"),
        ({"secret": ""}, "secret"),
        ({"secret": []}, "secret"),
    ],
)
def test_wrong_engines(arguments, setting):
    """An engine with a wrong setting is not built; the setting is named and what may be a password is not shown."""
    with pytest.raises(ConfigError) as refused:
        Coatcheck(**({"store": "memory://"} | arguments))
    assert refused.value.setting == setting
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "issuer", ["https://auth.example.com", "https://auth.example.com/tenant/1", "http://localhost:8000"]
)
def test_good_issuers(issuer):
    """https, with a path if need be; http on this machine only."""
    assert Coatcheck("memory://", issuer=issuer).issuer == issuer
