"""The blocking engine and verifier: the same as the async ones, from many threads."""

import asyncio
import inspect
import signal
import sys
import threading
import types

import pytest

from coatcheck import Coatcheck as AsyncCoatcheck
from coatcheck import ConfigError, NotOpen, Refused, Session, StoreUnavailable, blocking
from coatcheck import Verifier as AsyncVerifier

ISSUER = "https://auth.example.com"
ASYNC_ONLY = {"lifespan", "feed", "open_connection"}


@pytest.fixture
def url(tmp_path):
    """The URL of an empty store."""
    return f"sqlite:///{tmp_path}/coatcheck.db"


@pytest.fixture
def auth(url):
    """An engine that is closed at the end."""
    with blocking.Coatcheck(url, issuer=ISSUER) as engine:
        yield engine


def in_threads(*works):
    """Do all of *works* at once, each in a thread; return what came of each."""
    outcomes = [None] * len(works)

    def keep(number, work):
        try:
            outcomes[number] = work()
        except Exception as error:
            outcomes[number] = error

    threads = [threading.Thread(target=keep, args=pair, daemon=True) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return outcomes


def methods(kind):
    """The public methods of a class, by name, and its constructor."""
    return {name: found for name, found in inspect.getmembers(kind, callable) if name[:1] != "_" or name == "__init__"}


@pytest.mark.parametrize(("ours", "theirs"), [(blocking.Coatcheck, AsyncCoatcheck), (blocking.Verifier, AsyncVerifier)])
def test_the_surface_is_the_same(ours, theirs):
    """Every method of the async class, with the same arguments and the same answers."""
    mine, others = methods(ours), methods(theirs)
    assert others.keys() - mine.keys() == ASYNC_ONLY & others.keys()
    for name in others.keys() - ASYNC_ONLY:
        assert str(inspect.signature(mine[name])) == str(inspect.signature(others[name])), name


def test_what_the_async_engine_does_is_done_here(auth):
    """Sign in, check, change, end, with tokens: one after the other, without a loop in sight."""
    done = auth.sign_in("maria", claims={"roles": ["admin"]})
    assert auth.check_now(done.token) == auth.check(done.token) == done.session
    assert auth.cookie(done).startswith(f"__Host-session={done.token.reveal()}; ")
    pair = auth.issue_refresh(done.session, client_id="cli", audience="orders")
    with blocking.Verifier(ISSUER, audience="orders", feed=auth) as verifier:
        assert verifier.verify(pair.access_token).sub == "maria"
        auth.update_data(done.session.sid, set={"cart": [1]})
        assert auth.data(done.session.sid) == {"cart": [1]}
        fresh = auth.renew(done.token, amr=("otp",))
        assert auth.check(done.token) == Refused("renewed")
        assert verifier.verify(pair.access_token) == Refused("renewed")
        auth.revoke(fresh.session.sid, of="maria")
        assert auth.check(fresh.token) == Refused("revoked")


def test_a_verifier_on_the_store_itself(auth, url):
    """With a thread and a node of its own, and the same promise."""
    done = auth.sign_in("maria")
    jwt = auth.access_token(done.session, audience="orders")
    with blocking.Verifier(ISSUER, audience="orders", feed=url) as verifier:
        assert verifier.verify(jwt).sid == done.session.sid
        auth.revoke(done.session.sid)
        assert verifier.verify(jwt) == Refused("revoked")


def test_wrong_settings_are_refused_when_it_is_built(tmp_path):
    """Not at the first use, which may be a request."""
    with pytest.raises(ConfigError, match="issuer"):
        blocking.Coatcheck("memory://", issuer="auth.example.com")
    with pytest.raises(ConfigError, match="feed"):
        blocking.Verifier(ISSUER, audience="orders", feed="memory://")


def test_a_warm_check_stays_on_the_calling_thread(auth):
    """With the engine's own thread held up, what memory knows is answered all the same."""
    done, cold = auth.sign_in("maria"), auth.sign_in("jorge")
    jwt = auth.access_token(done.session, audience="orders")
    stop = threading.Event()
    auth._kept._home._loop.call_soon_threadsafe(stop.wait)
    try:
        assert auth.check(done.token).sub == "maria"
        assert auth.verify(jwt, audience="orders").sub == "maria"
        assert auth.recall(b"\0" * 32) is None
        auth._kept.now._memory._cache.drop()
        assert auth.check_now(cold.token) is None
    finally:
        stop.set()
    assert auth.check(cold.token).sub == "jorge"


def test_it_opens_at_the_first_use_and_is_refused_after_close(url):
    """Nothing happens when it is built; check_now alone never waits, so it does not open it either."""
    auth = blocking.Coatcheck(url)
    assert threading.active_count() == (before := threading.active_count())
    assert auth.check_now("x" * 43) is None
    assert threading.active_count() == before
    done = auth.sign_in("maria")
    auth.close()
    auth.close()
    assert threading.active_count() == before
    for call in (lambda: auth.check(done.token), lambda: auth.check_now(done.token), auth.figures, auth.fleet):
        with pytest.raises(NotOpen):
            call()
    auth.open()
    assert auth.check(done.token).sub == "maria"
    auth.close()


def test_a_store_that_cannot_be_opened_says_so_at_each_call(tmp_path):
    """And it is tried again at the next one."""
    auth = blocking.Coatcheck(f"sqlite:///{tmp_path}/later/coatcheck.db")
    for _ in range(2):
        with pytest.raises(Exception, match="there is no folder"):
            auth.sign_in("maria")
    (tmp_path / "later").mkdir()
    assert auth.check(auth.sign_in("maria").token)
    auth.close()


def test_many_threads_at_once(auth):
    """Each gets its own answer, and of parallel writes none is lost."""
    done = auth.sign_in("maria")

    def write(number):
        return auth.update_data(done.session.sid, set={f"key{number}": number})

    outcomes = in_threads(*(lambda number=number: write(number) for number in range(16)))
    assert all(outcome.position for outcome in outcomes)
    assert auth.data(done.session.sid) == {f"key{number}": number for number in range(16)}


def test_first_uses_at_once_open_one_engine(url):
    """Two requests that come first do not open it twice."""
    auth = blocking.Coatcheck(url)
    sessions = in_threads(*(lambda: auth.sign_in("maria") for _ in range(8)))
    assert [type(auth.check(one.token)) for one in sessions] == [Session] * 8
    assert [thread.name for thread in threading.enumerate()].count("coatcheck") == 1
    auth.close()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_nothing_is_accepted_after_a_revocation_returned(auth, url, elsewhere):
    """Threads check all the time while others end sessions, here or in another engine, which others still begin."""
    revoker = blocking.Coatcheck(url) if elsewhere else auth
    current, accepted_late, stop = {}, [], threading.Event()

    def keep_checking():
        while not stop.is_set():
            for token, (is_over,) in list(current.items()):
                was_over = is_over.is_set()  # looked at first: then no check that begins now may accept
                if auth.check(token) and was_over:
                    accepted_late.append(token)

    def keep_ending():
        for _ in range(60):
            done, is_over = auth.sign_in("maria"), threading.Event()
            current[done.token.reveal()] = (is_over,)
            revoker.revoke(done.session.sid)
            is_over.set()

    checkers = [threading.Thread(target=keep_checking, daemon=True) for _ in range(3)]
    for thread in checkers:
        thread.start()
    outcomes = in_threads(keep_ending, keep_ending)
    stop.set()
    for thread in checkers:
        thread.join(30)
    if elsewhere:
        revoker.close()
    assert outcomes == [None, None]
    assert accepted_late == []


def test_a_call_from_the_engines_own_thread_is_refused(url):
    """It would wait for itself."""
    heard = []

    def hear(name, seconds):
        try:
            auth.data("x" * 27)
        except ConfigError as error:
            heard.append(str(error))

    auth = blocking.Coatcheck(url, on_store_call=hear)
    auth.sign_in("maria")
    auth.close()
    assert "waiting for itself" in heard[0]


def test_who_stops_waiting_leaves_nothing_behind(auth):
    """Ctrl-C in the middle of a call: the call is cancelled, and the engine goes on, and closes."""
    done = auth.sign_in("maria")
    store, waiting, cancelled = auth._kept.now._store, threading.Event(), threading.Event()

    async def never(sid):
        waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    load, store.load_sid = store.load_sid, never
    main = threading.main_thread().ident

    def interrupt():
        waiting.wait(30)
        # Until then it may still be on its way into the wait, where Python raises as well and nothing is there to undo.
        while sys._current_frames()[main].f_code is not threading.Condition.wait.__code__:
            pass
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        auth.data(done.session.sid)
    assert cancelled.wait(30)
    store.load_sid = load
    assert auth.data(done.session.sid) == {}
    assert auth._kept._busy == 0


def test_close_waits_for_the_calls_of_other_threads(auth):
    """What is under way is finished; what comes later is refused."""
    done = auth.sign_in("maria")
    store, waiting, go_on = auth._kept.now._store, threading.Event(), threading.Event()
    load = store.load_sid

    async def late(sid):
        waiting.set()
        await asyncio.to_thread(go_on.wait, 30)
        return await load(sid)

    store.load_sid = late

    def close():
        waiting.wait(30)
        threading.Timer(0.05, go_on.set).start()
        auth.close()

    assert in_threads(lambda: auth.data(done.session.sid), close) == [{}, None]
    with pytest.raises(NotOpen):
        auth.data(done.session.sid)


def test_threads_that_are_none_are_refused(url, monkeypatch):
    """Under gevent or eventlet the loop would never get its turn; it says what to use."""
    monkeypatch.setitem(sys.modules, "gevent.monkey", types.SimpleNamespace(is_module_patched=lambda name: True))
    auth = blocking.Coatcheck(url)
    with pytest.raises(ConfigError, match="gthread"):
        auth.sign_in("maria")


def test_errors_come_through_as_they_are(auth):
    """The same exceptions as in the async engine, in the caller's thread."""
    store = auth._kept.now._store

    async def down(digest):
        raise StoreUnavailable("down")

    store.load = down
    with pytest.raises(StoreUnavailable, match="down"):
        auth.check("x" * 43)
