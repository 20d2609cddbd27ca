"""coatcheck keys."""

import asyncio
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from tests.serving import started

from coatcheck import Claims, Coatcheck, ConfigError, Reason, Refused, TokenPair
from coatcheck.clock import SystemClock
from coatcheck.tokens.keys import PUBLISH_AHEAD_S, SIGN_S, VERIFY_ON_S

URL = "sqlite:///coatcheck.db"
ISSUER = "https://auth.example.com"
SECRET = Path("coatcheck.db-secret")


@pytest.fixture(autouse=True)
def _server(add):
    """There is one, with an account."""
    add("root", admin=True)


def with_engine(work, **more):
    """Call something with an engine such as a server has."""

    async def call():
        async with Coatcheck(URL, issuer=ISSUER, **more) as auth:
            return await work(auth)

    return asyncio.run(call())


@pytest.fixture
def token(sign_in):
    """An access token, signed by the key that signs now."""
    session, _ = sign_in("root")

    async def make(auth):
        return await auth.fresh_token(session, audience="api")

    return with_engine(make)


def verdict(token):
    """What a server says of a token."""

    async def ask(auth):
        return auth.verify(token, audience="api")

    return with_engine(ask)


def listed(cli):
    """The keys, by their kid."""
    return {key["kid"]: key["state"] for key in cli("keys", "list", "--json").json}


def test_the_list_holds_nothing_private(cli, token):
    """Name, algorithm, state and times, in one JSON and in plain columns."""
    (key,) = cli("keys", "list", "--json").json
    assert list(key) == ["kid", "alg", "state", "published_at", "signs_from", "verifies_until"]
    assert (key["alg"], key["state"], key["verifies_until"]) == ("ES256", "signing", None)
    ran = cli("keys", "list")
    heading, line = ran.out.splitlines()
    assert heading.split() == ["kid", "alg", "state", "published", "signs", "from", "verifies", "until"]
    assert line.split() == [value for value in key.values() if value]
    assert SECRET.read_text().strip() not in ran.out
    # The same key as the server's: the token names it, and is still accepted.
    assert verdict(token).kid == key["kid"]


def test_the_times_of_the_keys(cli, token):
    """When each was published, begins to sign, and counts no more: as the schedule says, to the second."""
    (first,) = times(cli)
    cli("keys", "rotate")
    old, new = times(cli)
    assert (old["state"], new["state"]) == ("verifying", "signing")
    assert (old["kid"], old["published_at"], old["signs_from"]) == (
        first["kid"],
        first["published_at"],
        first["signs_from"],
    )
    assert new["published_at"] == new["signs_from"] >= old["signs_from"]
    assert (old["verifies_until"], new["verifies_until"]) == (new["signs_from"] + VERIFY_ON_S, None)

    async def upkeep(auth):
        # As it will be when the next one is due: that is published, and signs later.
        now = new["signs_from"] + SIGN_S - PUBLISH_AHEAD_S
        await auth._tokens.keyring.ensure(now=now, stamp=auth._stamp())

    with_engine(upkeep)
    new, after = times(cli)
    assert (new["state"], after["state"]) == ("signing", "published")
    assert after["signs_from"] == new["signs_from"] + SIGN_S
    assert (new["verifies_until"], after["verifies_until"]) == (after["signs_from"] + VERIFY_ON_S, None)


def times(cli):
    """The list, with times as seconds."""
    keys = cli("keys", "list", "--json").json
    return [{name: value if name == "kid" else at(value) for name, value in key.items()} for key in keys]


def at(value):
    """A time as seconds; anything else as it is (a kid can end in Z, too)."""
    is_time = isinstance(value, str) and value.endswith("Z")
    return int(datetime.fromisoformat(value).timestamp()) if is_time else value


def test_looking_makes_nothing(cli, monkeypatch):
    """Neither the first key, nor a secret, nor a line in the log; no secret is asked for, and no issuer."""

    async def head():
        async with Coatcheck(URL, secret="B" * 43) as auth:
            return (await auth._store.tail(0)).head, await auth._store.keys()

    SECRET.unlink()
    before, files = asyncio.run(head()), sorted(path.name for path in Path().iterdir())
    monkeypatch.setenv("COATCHECK_SECRET", "too short")
    ran = cli("keys", "list")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "There is no key yet; a server makes the first when it starts.\n"
    assert cli("keys", "list", "--json").json == []
    assert asyncio.run(head()) == before == (0, [])
    assert sorted(path.name for path in Path().iterdir()) == files


def test_the_list_while_a_server_runs_with_another_secret(cli, token, monkeypatch):
    """It is asked when something is wrong, so it works then, too."""
    before = listed(cli)
    monkeypatch.setenv("COATCHECK_SECRET", "B" * 43)
    assert listed(cli) == before
    assert len(before) == 1


def test_a_key_that_is_gone_is_not_listed(cli, token, monkeypatch):
    """Though nothing has removed it yet: no server runs."""
    (old,) = listed(cli)
    new = cli("keys", "rotate", "--json").json["signing"]
    now = SystemClock().now()
    for later, kids in ((VERIFY_ON_S - 60, [old, new]), (VERIFY_ON_S + 60, [new])):
        monkeypatch.setattr("coatcheck.clock._wall", lambda at=now + later: at)
        assert list(listed(cli)) == kids


def test_rotating(cli, token):
    """Another signs; what was signed stays valid; it is written down."""
    (old,) = listed(cli)
    ran = cli("keys", "rotate", "--json")
    new = ran.json["signing"]
    assert listed(cli) == {old: "verifying", new: "signing"}
    assert isinstance(verdict(token), Claims)
    (entry,) = cli("audit", "--event", "keys", "--json").json
    assert (entry["actor"], entry["detail"]) == ("command", {"what": "rotated", "kid": new})
    ran = cli("keys", "rotate")
    assert (ran.code, ran.err) == (0, "")
    (signing,) = [kid for kid, state in listed(cli).items() if state == "signing"]
    assert signing in ran.out


def test_revoking(cli, token):
    """Nothing that it signed counts any more, and another key signs."""
    (old,) = listed(cli)
    ran = cli("keys", "revoke", old, "--json")
    assert ran.json["revoked"] == old
    assert listed(cli) == {ran.json["signing"]: "signing"}
    assert verdict(token) == Refused(Reason.UNKNOWN_KEY)
    (entry,) = cli("audit", "--event", "keys", "--json").json
    assert entry["detail"] == {"what": "revoked", "kid": old}
    ran = cli("keys", "revoke", *listed(cli))
    assert old not in ran.out
    assert next(iter(listed(cli))) in ran.out


def test_a_kid_may_look_like_an_option(cli, monkeypatch):
    """One in thirty or so begins with a hyphen."""
    cli("keys", "rotate")
    for kid in ("-AAAAAAAAAAAAAAA", "--AAAAAAAAAAAAAA", "-hAAAAAAAAAAAAAA"):
        with monkeypatch.context() as patched:
            patched.setattr("coatcheck.tokens.keys.secrets.token_urlsafe", lambda count, kid=kid: kid)
            assert cli("keys", "rotate", "--json").json["signing"] == kid
        ran = cli("keys", "revoke", kid)
        assert (ran.code, ran.err) == (0, "")
        assert kid not in listed(cli)


def test_no_such_key(cli, token):
    """It is not repeated, for it might be a token; nothing changed, nothing is written down."""
    before = listed(cli)
    ran = cli("keys", "revoke", token)
    assert (ran.code, ran.out) == (1, "")
    assert "coatcheck keys list" in ran.err
    assert token not in ran.err
    assert listed(cli) == before
    assert cli("audit", "--event", "keys", "--json").json == []


@pytest.mark.parametrize("args", [("rotate",), ("revoke", "x")])
def test_a_wrong_secret(cli, token, monkeypatch, args):
    """One line with the remedy, and neither secret in it."""
    monkeypatch.setenv("COATCHECK_SECRET", "B" * 43)
    ran = cli("keys", *args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: secret: ")
    assert "coatcheck keys reset --secret-lost" in ran.err
    assert "BBBB" not in ran.err


def test_a_lost_secret(cli, sign_in, check, monkeypatch):
    """Keys and refresh tokens go, sessions stay; the next server starts, with its own keys."""
    session, cookie = sign_in("root")

    async def begin(auth):
        return await auth.issue_refresh(session, client_id="app", audience="api")

    async def refresh(auth):
        return await auth.refresh(pair.refresh_token, client_id="app")

    async def nothing(auth):
        return auth.key_states()

    pair = with_engine(begin)
    assert isinstance(pair, TokenPair)
    old = listed(cli)
    kept = SECRET.read_text()
    monkeypatch.setenv("COATCHECK_SECRET", "B" * 43)
    with pytest.raises(ConfigError):
        with_engine(nothing)
    ran = cli("keys", "reset", "--secret-lost", "--yes", "--json")
    assert ran.json == {"reset": True, "families_ended": 1}
    assert SECRET.read_text() == kept
    assert not set(with_engine(nothing)) & set(old)
    assert not with_engine(refresh)
    assert check(cookie)
    (entry,) = cli("audit", "--event", "keys", "--json").json
    assert entry["detail"] == {"what": "reset", "families_ended": 1}


def test_a_server_that_runs_meanwhile_hinders_none_with_the_new_secret(cli, place):
    """It makes no keys with what it holds, says so once, and the next one gives tokens, before the first has ended."""
    secret = cli("clients", "add", "report", "--audience", "billing", "--json").json["secret"]

    def ask(server):
        form = {"grant_type": "client_credentials"}
        return httpx.post(f"{server.url}/oauth/token", data=form, auth=("report", secret)).status_code

    with started(place) as old:
        assert ask(old) == 200
        kept = SECRET.read_text()
        assert cli("keys", "reset", "--secret-lost", "--yes").code == 0
        assert [ask(old) for _ in range(3)] == [503] * 3
        SECRET.unlink()
        with started(place) as new:
            assert SECRET.read_text() != kept
            assert ask(new) == 200
            assert ask(old) == 503
    assert old.said.count("declared lost") == 1
    assert "declared lost" not in new.said


def test_a_reset_makes_no_secret(cli):
    """A file that was lost stays lost: the server makes the next, or is given one."""
    SECRET.unlink()
    ran = cli("keys", "reset", "--secret-lost", "--yes")
    assert ran.code == 0
    assert not SECRET.exists()
    assert "Restart all servers with a new secret" in ran.out
    assert "cookies stay" in ran.out


def test_a_reset_needs_a_reason_and_a_yes(cli, token):
    """A slip of the finger removes nothing."""
    before = listed(cli)
    ran = cli("keys", "reset", "--yes")
    assert ran.code == 2
    assert "--secret-lost" in ran.err
    assert cli("keys", "reset", "--secret-lost").code == 2
    ran = cli("keys", "reset", "--secret-lost", stdin="no\n", is_tty=True)
    assert ran.code == 1
    assert "No server gives tokens" in ran.err
    assert listed(cli) == before
    assert cli("keys", "reset", "--secret-lost", stdin="yes\n", is_tty=True).code == 0
    SECRET.unlink()
    assert not set(listed(cli)) & set(before)


def test_a_database_that_is_gone(cli, token):
    """The key is revoked none the less, and it is said what is missing."""
    (old,) = listed(cli)
    ran = cli("keys", "revoke", old, "--database", "sqlite:///no-such.db")
    assert ran.code == 2
    assert "it was done" in ran.err
    assert old not in listed(cli)
    assert not Path("no-such.db").exists()
