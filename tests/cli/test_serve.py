"""coatcheck serve: from options to settings. Serving itself is tested with the server."""

import pytest

from coatcheck import CAREFUL, EVERYDAY, STRICT, StoreUnusable
from coatcheck.cli import main
from coatcheck.server import run
from coatcheck.server.settings import Settings


@pytest.fixture
def served(monkeypatch):
    """What would be served."""
    seen = []

    def serve(settings):
        seen.append(settings)
        return 0

    monkeypatch.setattr(run, "serve", serve)
    return seen


def test_the_defaults_are_those_of_the_settings(cli, served):
    """Nobody wrote them down twice in different words."""
    assert cli("serve").code == 0
    assert served == [Settings()]


def test_every_option_arrives(cli, served):
    """Each under its name."""
    ran = cli(
        *("serve", "--host", "0.0.0.0", "--port", "9000", "--store", "memory://", "--database", "sqlite:///d.db"),
        *("--public-url", "https://auth.example.com", "--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "192.0.2.1"),
        *("--tls-self-signed", "--metrics-port", "0", "--policy", "careful"),
    )
    assert ran.code == 0, ran.err
    assert served == [
        Settings(
            host="0.0.0.0",
            port=9000,
            store="memory://",
            database="sqlite:///d.db",
            public_url="https://auth.example.com",
            trusted_proxies=("10.0.0.0/8", "192.0.2.1"),
            tls_self_signed=True,
            metrics_port=0,
            policy=CAREFUL,
        )
    ]


@pytest.mark.parametrize(("name", "policy"), [("everyday", EVERYDAY), ("careful", CAREFUL), ("strict", STRICT)])
def test_policies_have_names(cli, served, name, policy):
    """The three of the library."""
    assert cli("serve", "--policy", name).code == 0
    assert served[0].policy is policy


def test_the_environment_names_the_store(cli, served, monkeypatch):
    """An option counts for more."""
    monkeypatch.setenv("COATCHECK_STORE", "sqlite:///a.db")
    monkeypatch.setenv("COATCHECK_DATABASE", "sqlite:///b.db")
    cli("serve", "--store", "sqlite:///c.db")
    assert (served[0].store, served[0].database) == ("sqlite:///c.db", "sqlite:///b.db")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--host", "0.0.0.0"), "--host: "),
        (("--port", "70000"), "--port: "),
        (("--port", "x"), "'--port'"),
        (("--metrics-port", "-1"), "--metrics-port: "),
        (("--public-url", "http://auth.example.com"), "--public-url: "),
        (("--public-url", "https://auth.example.com/path"), "--public-url: "),
        (("--trusted-proxy", "everybody"), "--trusted-proxy: "),
        (("--policy", "lax"), "'--policy'"),
        (("--no-such-option",), "--no-such-option"),
        (("stray",), "stray"),
    ],
)
def test_wrong_options_are_named(cli, served, args, said):
    """One line, exit code 2, and nothing is served."""
    ran = cli("serve", *args)
    assert ran.code == 2
    assert said in ran.err
    assert served == []


@pytest.mark.parametrize("code", [0, 1, 2])
def test_what_serving_returns_is_the_exit_code(monkeypatch, code):
    """As it is."""
    monkeypatch.setattr(run, "serve", lambda settings: code)
    assert main(["serve"]) == code


def test_a_store_that_must_not_be_used(cli, monkeypatch):
    """The library's words, exit code 2."""

    def serve(settings):
        raise StoreUnusable("coatcheck.db is not ours")

    monkeypatch.setattr(run, "serve", serve)
    ran = cli("serve")
    assert (ran.code, ran.err) == (2, "error: coatcheck.db is not ours\n")
