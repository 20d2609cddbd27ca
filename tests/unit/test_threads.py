"""What the memory of an engine promises to checks in other threads. Each test stops one where it matters."""

import asyncio
import threading

import pytest

from coatcheck import Coatcheck, NotOpen, Refused
from coatcheck.errors import Forked
from coatcheck.fleet.fetching import Jwks
from coatcheck.testing import ManualClock
from coatcheck.tokens import session_token

ISSUER = "https://auth.example.com"


def beside(work):
    """Do *work* in another thread; it is given a moment, and if it waits for us it goes on later."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(0.1)
    return thread


class Stopping(ManualClock):
    """At the next look at the calendar it does something in another thread."""

    def __init__(self):
        super().__init__()
        self.then = None

    def now(self):
        then, self.then = self.then, None
        if then is not None:
            self.thread = beside(then)
        return super().now()


async def test_a_check_under_way_does_not_undo_a_close(tmp_path):
    """It was about to say how long memory counts; afterwards nothing is answered from memory."""
    clock = Stopping()
    auth = Coatcheck(f"sqlite:///{tmp_path}/coatcheck.db", clock=clock)
    await auth.open()
    done = await auth.sign_in("maria")
    watch = auth._memory._watch
    watch.seen = None  # the next check looks at the log, and at the calendar
    clock.then = lambda: auth._shut(NotOpen("closed"))
    try:
        auth.check_now(done.token)
        clock.thread.join()
        with pytest.raises(NotOpen):
            auth.check_now(done.token)
    finally:
        auth._fault = None
        await auth.close()


async def test_a_fork_does_not_wait_for_who_is_gone(auth):
    """In the child nobody gives the lock back."""
    taken, give_back, outcome = threading.Event(), threading.Event(), []

    def hold():
        with auth._memory._cache.lock:
            taken.set()
            outcome.append(give_back.wait(5))

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(30)
    auth._memory.shut(Forked("forked"), forked=True)
    with pytest.raises(Forked):
        auth._memory._watch.is_sure(0.0)
    give_back.set()
    thread.join()
    assert outcome == [True]


async def test_activity_does_not_bring_back_a_started_session_that_was_ended(auth, monkeypatch):
    """Another thread applies the end between our look and our note."""
    begun = await auth.start()
    unstored, sid = auth._memory._unstored, begun.session.sid
    get = unstored.get

    def get_and_lose(wanted):
        found = get(wanted)
        unstored.drop()
        return found

    monkeypatch.setattr(unstored, "get", get_and_lose)
    assert await auth.check(begun.token) == Refused("unknown")
    monkeypatch.undo()
    assert get(sid) is None
    assert unstored.sid_of(session_token.digest(begun.token.reveal())) is None


async def test_an_unknown_key_met_in_another_thread_wakes_the_loop(monkeypatch):
    """The loop sleeps; who verifies elsewhere must wake it, and not only leave a note."""
    loop, woken = asyncio.get_running_loop(), []
    wake = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *work: [woken.append(work), wake(*work)])
    jwks = Jwks(ISSUER, ManualClock(), size=9)
    jwks._fetch = dict
    await jwks.fetch()
    woken.clear()
    header = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImFiYyJ9"  # {"alg":"ES256","typ":"at+jwt","kid":"abc"}
    thread = threading.Thread(target=jwks.verify, args=(f"{header}.e30.{'A' * 86}", "orders"))
    thread.start()
    thread.join()
    assert woken == [(jwks._wanted.set,)]
