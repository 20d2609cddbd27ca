"""Token leaks: what opens a session stands in a log, an error page or a repr, and whoever reads those is signed in."""

import base64
import json
import logging
import traceback

import msgspec
import pytest
from tests.attacks.visitors import FORM, SAME_ORIGIN, ask, door_of, shake, with_cookie

from coatcheck import Coatcheck, CoatcheckError, ConfigError, Device, InvalidInput, NotOpen, Policy, StoreUnavailable
from coatcheck.tokens import session_token

SECRET = base64.urlsafe_b64encode(bytes(range(100, 132))).decode().rstrip("=")


def spellings(token):
    """Every way in which a token, or what the store has of it, could be written down."""
    digest = session_token.digest(token)
    raw = base64.urlsafe_b64decode(token + "=")
    for value in (digest, raw):
        yield from (value.hex(), value.hex().upper(), repr(value)[2:-1], str(list(value))[1:-1])
        yield from (base64.b64encode(value).decode().rstrip("="), base64.urlsafe_b64encode(value).decode().rstrip("="))
    yield token


def leaks(text, tokens):
    """The spellings of *tokens*, and of the secret, that stand in *text*."""
    return [found for token in [*tokens, SECRET] for found in spellings(token) if found in text]


def everything_in(record):
    """A log record with every attribute, extras among them, as JSON loggers write it."""
    return f"{record.getMessage()} {record.__dict__!r} {logging.Formatter().format(record)}"


@pytest.fixture
async def auth(url, clock):
    """An engine whose secret is known to the test."""
    async with Coatcheck(
        url, clock=clock, secret=SECRET, policy=Policy(origins=("https://app.example.com",))
    ) as engine:
        yield engine


async def story(auth, door, clock, monkeypatch):
    """Everything that happens to sessions, good and bad; returns the tokens there were and the exceptions raised."""
    tokens, errors = [], []

    async def fails(call, kind):
        with pytest.raises(kind) as raised:
            await call
        errors.append(raised.value)

    def kept(done):
        tokens.append(done.token.reveal())
        return done

    done = kept(await auth.sign_in("maria", claims={"a": 1}, device=Device(ip="::1", user_agent="x")))
    other, short = kept(await auth.sign_in("maria")), kept(await auth.sign_in("bob", idle_s=5))
    started, stored = kept(await auth.start()), kept(await auth.start({"cart": 1}))
    for token in (done.token, "A" * 43, "x"):
        await ask(door, headers=with_cookie(token))
        await ask(door, "POST", "/", with_cookie(token) | {"Content-Type": FORM}, body=b"a=1")
        await ask(door, "POST", "/", with_cookie(token) | {"Sec-Fetch-Site": "cross-site"})
        await ask(door, host="evil.example", headers=with_cookie(token))
        await shake(door, with_cookie(token) | {"Origin": "https://evil.example"})
    await ask(door, "GET", "/form", with_cookie(done.token))
    answer = await ask(door, "POST", "/sign-in", SAME_ORIGIN)
    tokens.append(answer.one("set-cookie").partition("=")[2].partition(";")[0])
    renewed = kept(await auth.renew(done.token, amr=("otp",)))
    signed = kept(await auth.renew(started.token, sub="maria"))
    await auth.renew(done.token)
    await auth.update_data(stored.session.sid, set={"a": 1})
    await auth.update_claims("maria", set={"b": 2})
    await fails(auth.renew(signed.token, sub="eve"), InvalidInput)
    await fails(auth.update_data(other.session.sid, set={"a": b""}), InvalidInput)
    await fails(auth.update_data(other.session.sid, set={"a": "x" * 70_000}), InvalidInput)
    await fails(auth.sign_in(""), InvalidInput)
    await fails(auth.revoke("\n"), InvalidInput)
    clock.advance(10)
    await auth.check(short.token)
    await auth.revoke(other.session.sid, reason="lost phone")
    await auth.revoke_user("maria", keep=renewed.session.sid)
    await auth.sweep()
    with monkeypatch.context() as patch:

        async def down(*args, **kwargs):
            raise StoreUnavailable("the store does not answer")

        for name in ("load", "create", "touch"):
            patch.setattr(auth._store, name, down)
        auth._memory._cache.drop()
        await fails(auth.check(renewed.token), StoreUnavailable)
        await fails(auth.renew(renewed.token), StoreUnavailable)
        await fails(auth.sign_in("maria"), StoreUnavailable)
        await ask(door, headers=with_cookie(renewed.token))
        await shake(door, with_cookie(renewed.token))
    await auth.revoke_everyone(reason="breach")
    await auth.close()
    await fails(auth.check(renewed.token), NotOpen)
    return tokens, errors


async def test_nothing_is_in_the_logs_the_errors_or_on_the_console(auth, clock, monkeypatch, caplog, capfd):
    """A whole story at DEBUG, extras included: no token, no digest, no secret, in any spelling."""
    caplog.set_level(logging.DEBUG)
    tokens, errors = await story(auth, door_of(auth), clock, monkeypatch)
    assert len(set(tokens)) >= 8
    ours = [record for record in caplog.records if record.name.startswith("coatcheck")]
    assert {record.levelname for record in ours} >= {"INFO", "WARNING"}, "the story logs nothing, so it proves nothing"
    for record in caplog.records:
        assert leaks(everything_in(record), tokens) == []
    assert len(errors) >= 9
    for error in errors:
        assert isinstance(error, CoatcheckError)
        assert leaks(f"{error} {error!r} {error.args!r} {vars(error)!r}", tokens) == []
        assert leaks("".join(traceback.format_exception(error)), tokens) == []
    shown = capfd.readouterr()
    assert leaks(shown.out + shown.err, tokens) == []


def test_the_search_finds_what_it_looks_for():
    """The test can fail: each spelling is recognised inside other text."""
    token = "A" * 43
    for spelling in spellings(token):
        assert leaks(f"x{spelling}y", [token])
    assert leaks("an innocent line", [token]) == []


async def test_no_public_object_shows_its_token(auth):
    """repr, str and JSON of what the engine gives out."""
    done = await auth.sign_in("maria", claims={"a": 1})
    found = await auth.check(done.token)
    receipt = await auth.revoke(done.session.sid)
    shown = [done, found, receipt, await auth.check(done.token), auth, [done], {"x": done}]
    text = " ".join(f"{each!r} {each} {each!s:>5}" for each in shown)
    text += json.dumps(msgspec.to_builtins(found))
    assert leaks(text, [done.token.reveal()]) == []
    assert done.session.sid in text, "the sid is public"


@pytest.mark.parametrize("path", ["/", "/form", "/nowhere", "/cart"])
async def test_no_answer_repeats_the_session_token(auth, path):
    """Neither a page nor a refusal has it in body or headers: it goes out once, in the answer that signs in."""
    door = door_of(auth)
    done = await auth.sign_in("maria")
    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, SAME_ORIGIN, {"Content-Type": FORM}):
        for method in ("GET", "POST"):
            answer = await ask(door, method, path, with_cookie(done.token) | headers)
            assert leaks(repr(answer), [done.token.reveal()]) == []


async def test_a_form_token_says_nothing_of_the_session_token(auth):
    """It is made of the sid, which is public."""
    done = await auth.sign_in("maria")
    answer = await ask(door_of(auth), path="/form", headers=with_cookie(done.token))
    assert done.token.reveal() not in answer.json["csrf"]
    assert leaks(base64.urlsafe_b64decode(answer.json["csrf"]).hex(), [done.token.reveal()]) == []


async def test_an_exception_in_the_application_carries_nothing(auth):
    """A traceback through the middleware, as a server logs it, has neither the token nor the secret."""
    done = await auth.sign_in("maria")

    async def broken(scope, receive, send):
        raise RuntimeError("a fault in the application")

    door = door_of(auth)
    door.app = broken
    with pytest.raises(RuntimeError, match="a fault in the application") as raised:
        await ask(door, headers=with_cookie(done.token))
    assert leaks("".join(traceback.format_exception(raised.value)), [done.token.reveal()]) == []


@pytest.mark.parametrize("build", [
    lambda: Coatcheck("memory://", secret=SECRET[:40]),
    lambda: Coatcheck("memory://", secret=[SECRET, SECRET[:40]]),
    lambda: Coatcheck("memory://", secret=SECRET + "!"),
    lambda: Coatcheck(f"redis://:{SECRET}@host/0?{SECRET}=1"),
    lambda: Coatcheck(f"redis://:{SECRET}@host/{SECRET}"),
])  # fmt: skip
def test_a_wrong_setting_is_not_repeated(build):
    """The message names the setting; what may be a secret is not in it, nor in its causes."""
    with pytest.raises(ConfigError) as refused:
        build()
    text = "".join(traceback.format_exception(refused.value))
    assert SECRET[:40] not in str(refused.value)
    assert refused.value.__cause__ is None
    assert SECRET not in text.rpartition("ConfigError")[2]


async def test_a_wrong_token_is_not_repeated(auth):
    """Whatever was presented, no exception and no log line has it."""
    for text in ("hunter2" * 7, "hunter2", "hunter2" * 100_000):
        assert "hunter2" not in repr(await auth.check(text))
    with pytest.raises(InvalidInput) as refused:
        await auth.revoke("hunter2\n")
    assert "hunter2" not in str(refused.value)
