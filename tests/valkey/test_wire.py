"""Calls to one Valkey server, and to one with a replica: what goes together, and when it counts."""

import asyncio
import ctypes
import gc
import os

import pytest
from tests.servers import valkey
from tests.servers.wire import Wire as Cut
from tests.valkey.wires import ADD, FAIL, PATIENCE_S, add, get, naps, opened, put, quick, until

from coatcheck.errors import Forked, NotOpen, StoreUnavailable
from coatcheck.stores import _valkey_disks, _valkey_line
from coatcheck.stores._valkey_wire import Purpose

__all__ = ["naps", "quick"]


@pytest.fixture(scope="module")
def server():
    """A server that tests of this module pause, and that goes on."""
    mine = valkey.start()
    yield mine
    mine.close()


@pytest.fixture(scope="module")
def pair():
    """A primary and a replica that tests of this module pause, and that go on."""
    mine = valkey.replicated()
    yield mine
    mine.close()


@pytest.fixture
def url(server):
    server.call("FLUSHALL")
    return server.url()


def calls(server, command):
    """How often a command was run since the server started, or its counters were reset."""
    return server.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"]


async def test_what_is_written_is_read(url):
    """By scripts and by commands; numbers and text go as they are; what is not there is None."""
    async with opened(url) as wire:
        assert await get(wire) is None
        assert await put(wire, "v") == b"v" == await get(wire)
        assert await put(wire, 7, durable=False) == b"7"
        assert await put(wire, b"\x00\r\n" * 9000) == b"\x00\r\n" * 9000
        assert (await wire.command("HMGET", b"{k}h", "a", "b", key=b"{k}h")).value == [None, None]
        assert await wire.wall(b"{k}") > 1.7e9
        assert [reply.value for reply in await wire.everywhere("DBSIZE")] == [1]
        assert wire.most_replicas == 0 and not wire.is_slow_to_sync


@pytest.mark.parametrize("kind", ["server", "pair"])
async def test_those_who_wait_share_one_wait_for_the_disks(kind, request):
    """Two hundred writes at once: each has its own answer, and the disks were waited for a few times only."""
    group = request.getfixturevalue(kind)
    server = group if kind == "server" else group.primary
    async with opened(group.url()) as wire:
        await put(wire, "first")
        server.call("CONFIG", "RESETSTAT")
        writes = [put(wire, f"v{n}", b"{k}%d" % n) for n in range(200)]
        assert await asyncio.gather(*writes) == [b"v%d" % n for n in range(200)]
        assert calls(server, "evalsha") == 200
        # Two go alone, the rest together; a replica may be asked again.
        assert 1 <= calls(server, "waitaof") <= (3 if kind == "server" else 40)


async def test_reads_wait_for_no_disk(server, url):
    """What does not have to last is not followed by WAITAOF."""
    async with opened(url) as wire:
        server.call("CONFIG", "RESETSTAT")
        await asyncio.gather(*(get(wire) for _ in range(50)), *(put(wire, "v", durable=False) for _ in range(50)))
        assert calls(server, "waitaof") == 0 and calls(server, "get") == 100


@pytest.mark.parametrize("kind", ["server", "pair"])
async def test_the_disks_are_asked_on_the_connection_that_wrote(kind, request):
    """WAITAOF speaks of what its own connection wrote."""
    group = request.getfixturevalue(kind)
    server = group if kind == "server" else group.primary
    async with opened(group.url()) as wire:
        await put(wire, "first")
        with server.client() as client, client.monitor() as monitor:
            await asyncio.gather(*(put(wire, "v", purpose=purpose) for purpose in Purpose))
            client.execute_command("ECHO", "over")
            wrote, asked = [], []
            while "ECHO" not in (seen := monitor.next_command())["command"]:
                if seen["client_type"] != "lua":
                    {"EVALSHA": wrote, "WAITAOF": asked}.get(seen["command"].split()[0], []).append(seen["client_port"])
        wrote = [port for port in wrote if wrote.count(port)]
        assert len(set(wrote)) == len(Purpose)
        assert set(asked) == set(wrote)


async def test_a_replica_that_stands_still(pair):
    """What is not on its disk does not count, within the call's time, and the error says what is missing."""
    async with opened(pair.url()) as wire:
        assert wire.most_replicas == 1
        pair.replicas[0].pause()
        try:
            async with asyncio.timeout(PATIENCE_S):
                with pytest.raises(StoreUnavailable, match="on 1 of 2 disks, 1 of 1 replicas are missing"):
                    await put(wire, "v", wait_s=0.5)
            assert await get(wire) == b"v"  # written it is
            async with opened(pair.url(durability="0")) as careless:
                assert await put(careless, "w") == b"w"
        finally:
            pair.replicas[0].go_on()
        assert await put(wire, "x") == b"x"


async def test_a_replica_that_went_away_is_missed(pair):
    """Also by a wire that never saw it, and was told that there was one."""
    pair.replicas[0].stop()
    try:
        async with opened(pair.url()) as wire:
            await until(lambda: pair.primary.info("replication")["connected_slaves"] == 0)
            assert await put(wire, "v") == b"v"
            wire.most_replicas = 1
            with pytest.raises(StoreUnavailable, match="on 1 of 2 disks"):
                await put(wire, "v", wait_s=0.5)
    finally:
        pair.replicas[0].start()
        pair.attach(pair.replicas[0])


async def test_a_replica_that_came_later_counts(pair, monkeypatch):
    """It is seen while changes are written, without a new connection."""
    monkeypatch.setattr(_valkey_disks, "LOOK_S", 0.0)
    pair.replicas[0].call("REPLICAOF", "NO", "ONE")
    await until(lambda: pair.primary.info("replication")["connected_slaves"] == 0)
    async with opened(pair.url()) as wire:
        await put(wire, "v")
        assert wire.most_replicas == 0
        pair.attach(pair.replicas[0])
        await put(wire, "v")
        assert wire.most_replicas == 1


async def test_more_replicas_than_there_are_are_missed(url):
    """``durability=`` asks for so many, whoever is there."""
    async with opened(url + "&durability=2") as wire:
        with pytest.raises(StoreUnavailable, match="on 1 of 3 disks, 2 of 2 replicas are missing"):
            await put(wire, "v", wait_s=0.3)


async def test_a_log_that_was_switched_off(server, url):
    """A change that is on no disk at all does not count, and the error says what to do."""
    async with opened(url) as wire:
        await put(wire, "v")
        server.config(appendonly="no")
        try:
            with pytest.raises(StoreUnavailable, match="CONFIG SET appendonly yes"):
                await put(wire, "v")
        finally:
            server.config(appendonly="yes")
            await until(lambda: not server.info("persistence")["aof_rewrite_in_progress"])


async def test_a_server_that_stands_still(server, url):
    """Whoever asks it hears so in bounded time; it goes on as if nothing had been."""
    async with opened(url) as wire:
        await asyncio.gather(put(wire, "v"), get(wire))
        server.pause()
        try:
            async with asyncio.timeout(PATIENCE_S):
                for call in (put(wire, "w", wait_s=0.3), put(wire, "w", wait_s=0.3, purpose=Purpose.HEART)):
                    with pytest.raises(StoreUnavailable, match=r"no answer for 0\.3 s"):
                        await call
                waiting = [put(wire, "w", wait_s=0.3) for _ in range(20)]
                outcomes = await asyncio.gather(*waiting, return_exceptions=True)
                assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
        finally:
            server.go_on()
        assert await put(wire, "x") == b"x"


async def test_no_purpose_waits_for_another(pair):
    """While a write waits for a disk that does not come, all others go on."""
    async with opened(pair.url()) as wire:
        pair.replicas[0].pause()
        try:
            writing = [asyncio.create_task(put(wire, "v", b"{k}%d" % n, wait_s=2)) for n in range(5)]
            await until(lambda: pair.primary.call("GET", "{k}0"))
            for purpose in Purpose:
                if purpose != Purpose.WRITES:
                    await get(wire, purpose=purpose)
            assert not any(task.done() for task in writing)
            outcomes = await asyncio.gather(*writing, return_exceptions=True)
            assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
        finally:
            pair.replicas[0].go_on()


async def test_whoever_gives_up_takes_nobody_else_with_him(server, url):
    """Of those who go together, the others have their answers."""
    async with opened(url) as wire:
        await put(wire, "v")
        server.pause()
        try:
            tasks = [asyncio.create_task(put(wire, f"v{n}", b"{k}%d" % n)) for n in range(6)]
            await asyncio.sleep(0)
            for given_up in (0, 3):  # one that went alone, one of those who gather
                tasks[given_up].cancel()
            await asyncio.wait([tasks[0], tasks[3]])
        finally:
            server.go_on()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [True, False, False, True] + [
            False
        ] * 2
        assert outcomes[1:3] == [b"v1", b"v2"] and outcomes[4:] == [b"v4", b"v5"]


async def test_those_who_wait_are_bounded(server, url, monkeypatch):
    """One too many is told so at once; those who wait already are served."""
    monkeypatch.setattr(_valkey_line, "MOST_WAITING", 3)
    async with opened(url) as wire:
        await put(wire, "v")
        server.pause()
        try:
            tasks = [asyncio.create_task(put(wire, "v")) for _ in range(9)]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            assert all("3 calls are waiting already" in str(task.exception()) for task in done)
        finally:
            server.go_on()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert outcomes.count(b"v") == 2 + 3


@pytest.mark.parametrize("again", [True, False])
async def test_a_call_whose_answer_is_lost(server, url, again):
    """What may be done twice is; of anything else nobody says that it failed or was done, and it is done once."""
    async with Cut(server.port) as cut, opened(url.replace(f":{server.port}", f":{cut.port}")) as wire:
        await add(wire)
        cut.cut_after(ADD.sha.encode())
        if again:
            assert await add(wire) == 3
        else:
            with pytest.raises(StoreUnavailable, match="nobody knows"):
                await add(wire, again=False)
        assert await add(wire) == (4 if again else 3)


async def test_a_restart_of_the_server_is_seen_by_nobody(server, url):
    """Every call works the first time afterwards, also one that may not be done twice; what was said to be kept is."""
    async with opened(url) as wire:
        for number in range(1, 4):
            assert await add(wire, again=False) == number
            server.kill()
            server.start()
            assert await get(wire, b"{n}") == b"%d" % number


async def test_a_server_that_is_not_there_yet(server, url, naps):
    """A call waits for it, as long as its time lasts."""
    async with opened(url) as wire:
        await put(wire, "v")
        server.kill()
        with pytest.raises(StoreUnavailable, match="nobody listens"):
            await put(wire, "v", wait_s=0.3)
        writing = asyncio.create_task(add(wire, again=False, wait_s=PATIENCE_S))
        await naps.some()
        await asyncio.to_thread(server.start)
        assert await writing == 1


async def test_a_server_that_is_loading(server, url, naps):
    """Nothing was executed, so the call waits."""
    server.call("DEBUG", "POPULATE", 4000)
    server.call("BGREWRITEAOF")
    await until(lambda: not server.info("persistence")["aof_rewrite_in_progress"])
    async with opened(url) as wire:
        await put(wire, "v")
        server.kill()
        server.configure(key_load_delay="200", loading_process_events_interval_bytes="1024")
        starting = asyncio.create_task(asyncio.to_thread(server.start))
        said = []
        while not said or "loading" not in said[-1]:
            try:
                await put(wire, "w", wait_s=0.2)
            except StoreUnavailable as error:
                said.append(str(error))
            assert not starting.done()
        assert await put(wire, "x", wait_s=PATIENCE_S) == b"x"
        await starting


async def test_a_primary_that_became_a_replica(pair, naps):
    """It is not asked; when it is the primary again, the call goes on."""
    async with opened(pair.url()) as wire:
        await put(wire, "v")
        pair.replicas[0].call("REPLICAOF", "NO", "ONE")
        pair.primary.call("REPLICAOF", "127.0.0.1", pair.replicas[0].port)
        try:
            with pytest.raises(StoreUnavailable, match="is a replica"):
                await put(wire, "w", wait_s=0.3)
            writing = asyncio.create_task(put(wire, "w", wait_s=PATIENCE_S))
            await naps.some(2)
        finally:
            pair.primary.call("REPLICAOF", "NO", "ONE")
            pair.attach(pair.replicas[0])
        assert await writing == b"w"


async def test_a_primary_that_was_deposed(pair, monkeypatch):
    """Its replicas follow another, so it makes nothing durable any more: nothing that it accepts counts, ever."""
    monkeypatch.setattr(_valkey_disks, "LOOK_S", 0.0)
    async with opened(pair.url()) as wire:
        await put(wire, "v")
        old = pair.promote(pair.replicas[0])
        try:
            for _ in range(3):
                with pytest.raises(StoreUnavailable, match="on 1 of 2 disks"):
                    await put(wire, "w", wait_s=0.3)
            assert wire.most_replicas == 1
        finally:
            pair.attach(old)
            pair.promote(old)


async def test_a_server_that_forgot_the_scripts(url):
    """They are loaded again, and the call goes on; it was executed once."""
    async with opened(url) as wire:
        assert await add(wire, again=False) == 1
        await wire.everywhere("SCRIPT", "FLUSH")
        assert sorted(await asyncio.gather(*(add(wire, again=False) for _ in range(20)))) == [*range(2, 22)]


async def test_a_server_that_is_full(server, url):
    """It refuses what would grow it; the error says what to do; reads go on."""
    async with opened(url) as wire:
        await put(wire, "v")
        server.config(maxmemory="1mb")
        try:
            with pytest.raises(StoreUnavailable, match="raise maxmemory"):
                await put(wire, "v")
            assert await get(wire) == b"v"
        finally:
            server.config(maxmemory="0")
        assert await put(wire, "w") == b"w"


async def test_an_error_shows_no_value(url):
    """Whatever the server says of what was being written stays behind."""
    async with opened(url) as wire:
        with pytest.raises(StoreUnavailable) as caught:
            await wire.run(FAIL, [b"{k}"], ["s3cr3t"], purpose=Purpose.WRITES, durable=True)
        assert str(caught.value) == "Valkey: error ERR; look at the log of the server"
        with pytest.raises(StoreUnavailable, match="error WRONGTYPE"):
            await wire.command("LPUSH", b"{k}", "s3cr3t", key=b"{k}")
            await put(wire, "v")
            await wire.command("LPUSH", b"{k}", "s3cr3t", key=b"{k}")
        assert await put(wire, "v", b"{l}") == b"v"  # the connection is as good as before


async def test_news(server, url):
    """Whoever waits for news has it when it comes, and not before; also what came before he waited."""
    async with opened(url) as wire:
        await wire.pushed(b"{home}")  # nobody listens yet
        await until(lambda: server.call("PUBSUB", "SHARDNUMSUB", "{home}")[1] == 1)
        await wire.pushed(b"{home}")  # what was said before that nobody heard
        waiting = asyncio.create_task(wire.pushed(b"{home}"))
        await get(wire)
        assert not waiting.done()
        server.call("SPUBLISH", "{home}", "x")
        await asyncio.wait_for(waiting, PATIENCE_S)
        assert server.call("SPUBLISH", "{home}", "x") == 1
        await asyncio.wait_for(wire.pushed(b"{home}"), PATIENCE_S)


async def test_news_of_a_server_that_is_not_there(server, url):
    """It never fails; it looks now and then, and listens again when it can."""
    async with opened(url) as wire:
        await wire.pushed(b"{home}")
        await until(lambda: server.call("PUBSUB", "SHARDNUMSUB", "{home}")[1] == 1)
        server.kill()
        for _ in range(3):
            await asyncio.wait_for(wire.pushed(b"{home}"), PATIENCE_S)
        await asyncio.to_thread(server.start)
        await until(lambda: server.call("PUBSUB", "SHARDNUMSUB", "{home}")[1] == 1)


async def test_closing_finishes_what_was_accepted(server, url):
    """What is under way comes to its end, what waits too; later calls are refused; it can be opened again."""
    async with opened(url) as wire:
        await put(wire, "v")
        server.pause()
        tasks = [asyncio.create_task(put(wire, f"v{n}")) for n in range(10)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(wire.close())
        await asyncio.sleep(0)
        with pytest.raises(NotOpen):
            await get(wire)
        server.go_on()
        assert await asyncio.gather(*tasks) == [b"v%d" % n for n in range(10)]
        await closing
        await wire.close()
        await wire.open()
        assert await get(wire) in [b"v%d" % n for n in range(10)]


async def test_closing_waits_for_nobody_for_ever(server, url, quick):
    """A server that stands still keeps nobody from closing."""
    async with opened(url) as wire:
        await put(wire, "v")
        server.pause()
        try:
            tasks = [asyncio.create_task(put(wire, "v", wait_s=600)) for n in range(10)]
            await asyncio.sleep(0)
            await asyncio.wait_for(wire.close(), PATIENCE_S)
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(outcome, NotOpen | StoreUnavailable) for outcome in outcomes)
        finally:
            server.go_on()


async def test_a_fork_leaves_the_parents_connections_alone(server, url):
    """The child is refused; nothing that it does on its way out reaches the parent's connections."""
    async with opened(url) as wire:
        await asyncio.gather(put(wire, "v"), get(wire), wire.pushed(b"{home}"))
        await until(lambda: server.call("PUBSUB", "SHARDNUMSUB", "{home}")[1] == 1)
        before = ids(server)
        child = os.fork()
        if not child:
            outcome = 1
            try:
                for thing in wire.abandon():
                    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
                gc.collect()
                try:
                    wire._check_usable()
                except Forked:
                    outcome = 0
            finally:
                os._exit(outcome)
        assert os.waitpid(child, 0)[1] == 0
        assert await put(wire, "w") == b"w" == await get(wire)
        assert ids(server) == before and before


def ids(server):
    """The connections that a server has, but the one that asks."""
    with server.client() as client:
        return sorted(one["id"] for one in client.client_list() if int(one["id"]) != client.client_id())
