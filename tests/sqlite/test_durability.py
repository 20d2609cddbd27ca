"""What was acknowledged is on the disk; what could not be written is said, and is not half there."""

import asyncio
import itertools
import logging
import random
import threading

import apsw
import disks
import pytest

from coatcheck import Coatcheck, Policy, StoreUnavailable
from coatcheck.records import Kind
from coatcheck.stores.sqlite import SQLiteStore
from coatcheck.testing.store_contract import make_digest, make_record, make_stamp

names = (f"watched-{number}" for number in itertools.count())


@pytest.fixture
def disk():
    """A watched disk; unregistered afterwards."""
    watched = disks.WatchedDisk(next(names))
    yield watched
    watched.unregister()


@pytest.fixture
async def store(disk, tmp_path):
    """An open store on the watched disk, with one commit behind it: the first also syncs the log's header."""
    store = SQLiteStore(str(tmp_path / "coatcheck.db"), vfs=disk.name)
    await store.open()
    await sign_in(store, "first")
    yield store
    disk.broken.clear()
    disk.on_sync = lambda kind: None
    await store.close()


@pytest.fixture
def on_disk(disk, tmp_path, monkeypatch):
    """Make every engine of this test use the watched disk."""
    monkeypatch.setattr(
        "coatcheck.engine.life.from_url", lambda url: SQLiteStore(str(tmp_path / "coatcheck.db"), vfs=disk.name)
    )


async def sign_in(store, name, **fields):
    await store.create(make_record(name, **fields), generation=None, most=10_000, stamp=make_stamp())
    return name


async def all_at_once(*calls):
    """Start all of *calls* before any of them can end; return what they gave or raised."""
    return await asyncio.gather(*calls, return_exceptions=True)


def commits_of(store):
    """Return a list that grows by one with each commit of *store*."""
    commits = []
    store._write.set_commit_hook(lambda: bool(commits.append(1)))
    return commits


async def test_the_settings_took(store):
    """SQLite itself says: synchronous FULL, write-ahead log, on the connection that writes."""
    assert store._write.pragma("synchronous") == 2
    assert store._write.pragma("journal_mode") == "wal"
    assert store._write.pragma("fullfsync") == 1


async def test_a_group_shares_one_sync(store, disk):
    """64 sign-ins at once cost a few commits, and each commit exactly one sync of the log."""
    commits, before = commits_of(store), disk.syncs["wal"]
    told = await all_at_once(*(sign_in(store, f"s{number}") for number in range(64)))
    assert len(told) == 64 and not any(isinstance(outcome, Exception) for outcome in told)
    assert 1 <= len(commits) <= 8
    assert disk.syncs["wal"] - before == len(commits)


async def test_one_at_a_time_is_one_sync_each(store, disk):
    """A caller alone waits for one sync, no more and no less."""
    commits, before = commits_of(store), disk.syncs["wal"]
    for number in range(10):
        await sign_in(store, f"s{number}")
    assert len(commits) == disk.syncs["wal"] - before == 10


async def test_nobody_is_told_before_the_sync(store, disk):
    """While the sync of its group has not returned, no caller hears "done", and the sync covers what it wrote."""
    entered, go = threading.Semaphore(0), threading.Semaphore(0)

    def hold(kind):
        if kind == "wal":
            entered.release()
            assert go.acquire(timeout=10)

    disk.on_sync = hold
    told = []

    async def caller(name):
        await sign_in(store, name)
        told.append(name)

    tasks = [asyncio.create_task(caller(f"s{number}")) for number in range(32)]
    synced = 0
    while not all(task.done() for task in tasks):
        assert await asyncio.to_thread(entered.acquire, timeout=10)
        for _ in range(10):
            await asyncio.sleep(0)  # whoever was told would by now have said so
        assert len(told) <= synced, "told before the sync"
        assert disk.unsynced["wal"], "nothing was written before the sync"
        go.release()
        before = len(told)
        while len(told) == before:
            await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)
        synced = len(told)
    assert len(told) == 32


FAULTS = {
    "full": ("write", apsw.FullError("planted"), "SQLite: the disk is full"),
    "failing write": ("write", apsw.IOError("planted"), "SQLite: the disk reported an error"),
    "failing sync": ("sync", apsw.IOError("planted"), "SQLite: the disk reported an error"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_failing_disk_is_said_to_everyone_and_nothing_is_half_written(store, disk, fault):
    """Each caller of the group gets StoreUnavailable; nothing of it is there; the store recovers with the disk."""
    operation, error, said = FAULTS[fault]
    before = await store.tail(0)
    calls = [lambda number=number: sign_in(store, f"s{number}", sub=f"sub-{number}") for number in range(20)]
    calls.append(lambda: store.end("first", of=None, kind=Kind.REVOKED, note="", stamp=make_stamp()))
    calls.append(lambda: store.change_data("first", {"a": 1}, [], limit=99, stamp=make_stamp()))
    disk.broken[operation, "wal"] = error
    told = await all_at_once(*(call() for call in calls[:-2]))
    told += await all_at_once(*(call() for call in calls[-2:]))
    assert [type(outcome) for outcome in told] == [StoreUnavailable] * 22
    assert {str(outcome) for outcome in told} == {said}
    assert await store.tail(0) == before
    assert (await store.load(make_digest("first"))).data == b"{}"
    assert [await store.load(make_digest(f"s{number}")) for number in range(20)] == [None] * 20
    disk.broken.clear()
    assert [await call() for call in calls[:20]] == [f"s{number}" for number in range(20)]
    assert await calls[-1]() == before.head + 1
    assert store._write.execute("PRAGMA integrity_check").get == "ok"


async def test_a_failed_group_does_not_come_back_after_a_restart(store, disk, tmp_path):
    """What was refused because the disk was full is not there after reopening, either."""
    disk.broken["write", "wal"] = apsw.FullError("planted")
    told = await all_at_once(*(sign_in(store, f"s{number}") for number in range(20)))
    assert {type(outcome) for outcome in told} == {StoreUnavailable}
    disk.broken.clear()
    await sign_in(store, "later")
    other = SQLiteStore(str(tmp_path / "coatcheck.db"))
    await other.open()
    assert {session.sid for session in await other.load_subject("maria")} == {"first", "later"}
    await other.close()


async def test_a_database_that_may_not_grow_keeps_what_it_acknowledged(store):
    """With max_page_count reached, each caller is told the truth about its own sign-in; raising it is enough."""
    big = {"k": "x" * 3000}
    pages = store._write.pragma("page_count")
    store._write.pragma("max_page_count", pages + 20)
    said = {}
    for start in range(0, 60, 10):
        group = [f"s{number}" for number in range(start, start + 10)]
        said |= dict(zip(group, await all_at_once(*(sign_in(store, name, claims=big) for name in group)), strict=True))
    full = [outcome for outcome in said.values() if isinstance(outcome, Exception)]
    assert full and len(full) < 60
    assert {type(outcome) for outcome in full} == {StoreUnavailable}
    assert {str(outcome) for outcome in full} == {"SQLite: the disk is full"}
    for name, outcome in said.items():
        assert (await store.load(make_digest(name)) is not None) == (outcome == name)
    store._write.pragma("max_page_count", pages + 2000)
    await sign_in(store, "later", claims=big)
    assert store._write.execute("PRAGMA integrity_check").get == "ok"


@pytest.mark.usefixtures("on_disk")
async def test_activity_is_kept_until_the_disk_has_room(disk, clock, url, caplog):
    """A flush that fails loses nothing: the next one writes when the session was seen."""
    async with Coatcheck(url, clock=clock) as auth:
        signed_in = await auth.sign_in("maria")
        seen = clock.advance(200)
        assert auth.check_now(signed_in.token)
        disk.broken["write", "wal"] = apsw.FullError("planted")
        with pytest.raises(StoreUnavailable, match="the disk is full"):
            await auth.flush()
        assert (await auth._store.load_sid(signed_in.session.sid)).session.seen_at == signed_in.session.seen_at
        assert auth.check_now(signed_in.token)
        disk.broken.clear()
        await auth.flush()
        assert (await auth._store.load_sid(signed_in.session.sid)).session.seen_at == seen
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.usefixtures("on_disk")
async def test_a_refused_write_changes_no_answer(disk, clock, url):
    """A sign-in, a renewal and a revocation that failed are raised, and the session in memory stays what it was."""
    async with Coatcheck(url, clock=clock) as auth:
        signed_in = await auth.sign_in("maria", claims={"role": "user"})
        disk.broken["sync", "wal"] = apsw.IOError("planted")
        for call in (
            lambda: auth.sign_in("maria"),
            lambda: auth.renew(signed_in.token),
            lambda: auth.update_claims("maria", set={"role": "admin"}),
            lambda: auth.revoke(signed_in.session.sid),
            lambda: auth.revoke_user("maria"),
            auth.revoke_everyone,
        ):
            with pytest.raises(StoreUnavailable):
                await call()
        clock.outrun_backstop()
        found = await auth.check(signed_in.token)
        assert found.claims == {"role": "user"}
        assert [session.sid for session in await auth.sessions_of("maria")] == [signed_in.session.sid]
        disk.broken.clear()
        await auth.revoke(signed_in.session.sid)
        assert not await auth.check(signed_in.token)


async def check_after_power_cut(disk, folder, chance, live, ended):
    """Rebuild the files from what the disk held for certain, and some of the rest; open them; compare."""
    folder.mkdir()
    for kind, name in (("db", "coatcheck.db"), ("wal", "coatcheck.db-wal")):
        (folder / name).write_bytes(disk.after_power_cut(kind, chance))
        (folder / name).chmod(0o600)
    async with Coatcheck(f"sqlite:///{folder}/coatcheck.db") as auth:
        assert [sid for sid, token in live.items() if not await auth.check(token)] == []
        assert [sid for sid, token in ended.items() if await auth.check(token)] == []
        assert auth._store._write.execute("PRAGMA integrity_check").get == "ok"


async def power_cuts(disk, folder, monkeypatch, *, writes, every):
    """Write, and cut the power after some acknowledgements, with checkpoints under way as well."""
    chance = random.Random(1)
    live, ended = {}, {}
    monkeypatch.setattr(
        "coatcheck.engine.life.from_url",
        lambda url: SQLiteStore(url[len("sqlite:///") :], vfs=disk.name if str(folder / "real") in url else None),
    )
    (folder / "real").mkdir()
    policy = Policy(sessions_per_subject=10_000)
    async with Coatcheck(f"sqlite:///{folder}/real/coatcheck.db", policy=policy) as auth:
        auth._store._write.wal_autocheckpoint(60)
        cuts = 0
        for number in range(writes):
            if live and chance.random() < 0.3:
                sid = chance.choice(list(live))
                await auth.revoke(sid)
                ended[sid] = live.pop(sid)
            else:
                for signed_in in await asyncio.gather(*(auth.sign_in("maria") for _ in range(chance.randrange(1, 6)))):
                    live[signed_in.session.sid] = signed_in.token.reveal()
            if number % every == 0:
                cuts += 1
                await check_after_power_cut(disk, folder / f"cut-{number}", chance, live, ended)
    assert cuts > 10 and len(ended) > 20 and disk.syncs["db"] > 2


async def test_a_power_cut_loses_nothing_acknowledged(disk, tmp_path, monkeypatch):
    """With what was not synced gone, torn or out of order, everything acknowledged is there after reopening."""
    await power_cuts(disk, tmp_path, monkeypatch, writes=150, every=12)


@pytest.mark.long
async def test_a_power_cut_loses_nothing_acknowledged_whenever_it_comes(disk, tmp_path, monkeypatch):
    """The same after every acknowledgement."""
    await power_cuts(disk, tmp_path, monkeypatch, writes=500, every=1)
