"""Opening, closing and failing half-way: nobody waits for ever, nothing is left behind."""

import asyncio
import threading

import pytest

from coatcheck import Coatcheck, CoatcheckError, NotOpen, StoreUnavailable
from coatcheck.stores._sqlite_pulse import Pulse


def threads():
    """The writers' threads of this process."""
    return [thread for thread in threading.enumerate() if thread.name == "coatcheck-sqlite"]


@pytest.fixture
def url(tmp_path):
    """The URL of an empty store."""
    return f"sqlite:///{tmp_path}/coatcheck.db"


async def test_who_writes_while_it_closes_gets_an_answer(url):
    """Done, or NotOpen; never silence. What was said to be done is there afterwards."""
    auth = Coatcheck(url)
    await auth.open()
    writers = [asyncio.create_task(auth.sign_in(f"user {n}")) for n in range(40)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(auth.close())
    late = [asyncio.create_task(auth.sign_in(f"late {n}")) for n in range(40)]
    done = await asyncio.wait_for(asyncio.gather(*writers, *late, return_exceptions=True), 30)
    await closing
    assert {type(one) for one in done if isinstance(one, Exception)} <= {NotOpen}
    async with Coatcheck(url) as again:
        for one in done:
            if not isinstance(one, Exception):
                assert await again.check(one.token)


async def test_a_close_that_is_cancelled_closes_all_the_same(url):
    """No thread and no file stays open, and the engine can be opened again."""
    auth = Coatcheck(url)
    await auth.open()
    await auth.sign_in("maria")
    before = len(threads())
    closing = asyncio.create_task(auth.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    async with Coatcheck(url) as again:  # its opening waits until the other has closed
        assert await again.sessions_of("maria")
        assert len(threads()) <= before


async def test_engines_that_open_at_once_in_one_process(url):
    """They take turns, so that none drops the others' locks, and work together afterwards."""
    engines = [Coatcheck(url) for _ in range(4)]
    await asyncio.gather(*(engine.open() for engine in engines))
    signed_in = await engines[0].sign_in("maria")
    assert all([await engine.check(signed_in.token) for engine in engines])
    await engines[1].revoke(signed_in.session.sid)
    assert not any([await engine.check(signed_in.token) for engine in engines])
    await asyncio.gather(*(engine.close() for engine in engines))


async def test_a_change_that_cannot_be_announced_says_so(url, monkeypatch):
    """It is written, not in force everywhere at once: the caller hears that, and may call again."""
    async with Coatcheck(url) as auth:
        signed_in = await auth.sign_in("maria")

        def broken(self):
            raise OSError

        with monkeypatch.context() as patched:
            patched.setattr(Pulse, "beat", broken)
            with pytest.raises(StoreUnavailable, match="could not be told"):
                await auth.revoke(signed_in.session.sid)
        await auth.revoke(signed_in.session.sid)
        assert not await auth.check(signed_in.token)


async def test_opening_twice_is_refused(url):
    """One engine is opened once; afterwards it works as before."""
    async with Coatcheck(url) as auth:
        with pytest.raises(CoatcheckError):
            await auth.open()
        assert await auth.check((await auth.sign_in("maria")).token)


async def test_a_long_absence_is_read_in_parts(url):
    """A process that missed thousands of changes reads them all, part by part, before it answers from memory."""
    async with Coatcheck(url) as here, Coatcheck(url) as there:
        signed_in = await here.sign_in("maria")
        assert await here.check(signed_in.token)
        await asyncio.gather(*(there.revoke(f"nobody-{n}") for n in range(5_100)))
        first = await there._store.tail(0)
        assert len(first.changes) < first.head == 5_100
        assert here.check_now(signed_in.token), "none of them was about this session"
        await there.revoke(signed_in.session.sid)
        await asyncio.gather(*(there.revoke(f"nobody-{n}") for n in range(5_100)))
        assert not here.check_now(signed_in.token)
        assert not await here.check(signed_in.token)
