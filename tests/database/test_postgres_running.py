"""The server's database in PostgreSQL while its server restarts, stands still, breaks off and is crowded."""

import asyncio
import contextlib

import asyncpg
import pytest

from coatcheck import StoreUnavailable
from coatcheck.server.database.base import Bucket, Changed, Entry, Event
from coatcheck.server.database.contract._play import make_user
from coatcheck.stores._postgres_connect import begin

SHORT_S = 0.5
BUCKET = Bucket("a", free=9, span_s=900, pace_s=30)


async def calls_of(database):
    """One call of each kind."""
    return await asyncio.gather(
        database.is_set_up(),
        database.user("nobody"),
        database.begin_try([BUCKET], now=1),
        database.note(Entry(at=1, event=Event.SIGN_IN)),
        database.change_user("id of Maria", is_admin=True),
        database.sweep(now=1, audit_s=1, limit=1),
        return_exceptions=True,
    )


def failures(answers):
    """Those that are exceptions."""
    return [answer for answer in answers if isinstance(answer, BaseException)]


# --- the server goes and comes ---


async def test_a_server_that_goes_and_comes_back(own_server, make):
    """After a restart nobody hears of it; while it is away each call says so at once; then all goes on."""
    database = await make(own_server.url(schema="mine"))
    await database.add_user(make_user("Maria"), "hash")
    assert failures(await calls_of(database)) == []
    await asyncio.to_thread(own_server.restart)
    assert failures(await calls_of(database)) == []
    assert len(await database.duties()) == 2
    await asyncio.to_thread(own_server.stop, "immediate")
    told = await calls_of(database)
    assert {type(answer) for answer in told} == {StoreUnavailable}
    assert {str(answer) for answer in told} == {"the database: PostgreSQL: nobody listens at this host and port"}
    await asyncio.to_thread(own_server.start)
    assert failures(await calls_of(database)) == []


@pytest.mark.long
async def test_a_server_that_stands_still_is_not_waited_for(own_server, make):
    """Neither by a step nor at the closing; and when it goes on, so does everybody."""
    database = await make(own_server.url(schema="mine"), wait_s=SHORT_S)
    await database.add_user(make_user("Maria"), "hash")
    await calls_of(database)
    own_server.pause()
    try:
        told = await calls_of(database)
        assert {type(answer) for answer in told} == {StoreUnavailable}
        assert all("no answer" in str(answer) for answer in told)
        await database.close()
    finally:
        own_server.resume()
    await database.open()
    assert failures(await calls_of(database)) == []


async def test_a_crowd_is_told_that_there_is_no_connection(server, make):
    """All are in use for too long: the next one hears so, and is served when they are free again."""
    database = await make(server.url(), wait_s=SHORT_S)
    patient = await make(server.url())
    gate, inside = asyncio.Event(), []

    async def step(connection):
        inside.append(connection)
        await gate.wait()

    holding = [asyncio.create_task(patient._link.write(step)) for _ in range(8)]
    while len(inside) < 8:
        await asyncio.sleep(0)
    patient._link._lane.wait_s = SHORT_S
    with pytest.raises(StoreUnavailable, match="all 8 connections were busy"):
        await patient.is_set_up()
    assert not await database.is_set_up(), "another process has connections of its own"
    gate.set()
    await asyncio.gather(*holding)
    assert not await patient.is_set_up()


async def test_who_falls_silent_in_a_step_is_put_out(server, make):
    """A process that was stopped there holds the lock of all accounts; the server takes it back."""
    url = server.url(schema="silent")
    database = await make(url)
    await database.add_user(make_user("Maria"), "hash")
    stopped = await asyncpg.connect(url.replace("schema=", "application_name="))
    await stopped.execute(begin(SHORT_S))
    await stopped.execute("SELECT 1 FROM silent.server FOR UPDATE")
    assert isinstance(await database.change_user("id of Maria", is_admin=True), Changed)
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        await stopped.execute("COMMIT")
        raise AssertionError("the stopped one went on")


# --- connections that break in the middle of a step ---


async def kill(server, connection):
    """End a connection from outside, and wait until the server has done so."""
    pid = await connection.fetchval("SELECT pg_backend_pid()")
    await asyncio.to_thread(server.psql, f"SELECT pg_terminate_backend({pid}, 5000)")


def broken(database, monkeypatch, server, *, at_the_end):
    """Let the first step that adds an account lose its connection; count the steps."""
    real, steps = database._add_user, []

    async def add(connection, user, password):
        steps.append(user)
        if len(steps) > 1 or at_the_end:
            outcome = await real(connection, user, password)
        if len(steps) == 1:
            await kill(server, connection)
        return await real(connection, user, password) if len(steps) == 1 and not at_the_end else outcome

    monkeypatch.setattr(database, "_add_user", add)
    return steps


async def test_before_the_commit_it_is_done_again(server, make, monkeypatch):
    """What was begun is undone, so the step is repeated, and counts once."""
    database = await make(server.url())
    steps = broken(database, monkeypatch, server, at_the_end=False)
    assert await database.add_user(make_user("Maria"), "hash") is None
    assert len(steps) == 2
    assert await database.users(limit=9) == [make_user("Maria")]


async def test_at_the_commit_nobody_knows_and_it_is_said(server, make, monkeypatch):
    """It is not repeated."""
    database = await make(server.url())
    steps = broken(database, monkeypatch, server, at_the_end=True)
    with pytest.raises(StoreUnavailable, match="may be there or not"):
        await database.add_user(make_user("Maria"), "hash")
    assert len(steps) == 1
    assert await database.users(limit=9) == []


class Cutting:
    """Stands between a client and the server, and cuts the connection when the server has committed."""

    def __init__(self, port):
        self.port = port
        self.is_cutting = False
        self._serving = set()

    async def end(self):
        """Wait until nothing is passed on any more."""
        await asyncio.wait(self._serving)

    async def serve(self, reader, writer):
        """Pass on both ways."""
        self._serving.add(asyncio.current_task())
        behind = await asyncio.open_connection("127.0.0.1", self.port)
        seen = asyncio.Event()

        async def up():
            while data := await reader.read(65536):
                if self.is_cutting and b"COMMIT\0" in data:
                    seen.set()
                behind[1].write(data)
            behind[1].close()

        async def down():
            while data := await behind[0].read(65536):
                if seen.is_set():
                    writer.transport.abort()
                    return
                writer.write(data)
            writer.close()

        await asyncio.gather(up(), down(), return_exceptions=True)
        for end in (writer, behind[1]):
            end.close()
            with contextlib.suppress(OSError):
                await end.wait_closed()


async def test_what_was_committed_unheard_is_not_done_again(server, make):
    """The answer to a COMMIT is lost: the entry is there once."""
    cutting = Cutting(server.port)
    between = await asyncio.start_server(cutting.serve, "127.0.0.1", 0)
    port = between.sockets[0].getsockname()[1]
    database = await make(server.url().replace(f":{server.port}", f":{port}"))
    cutting.is_cutting = True
    with pytest.raises(StoreUnavailable, match="may be there or not"):
        await database.note(Entry(at=1, event=Event.SIGN_IN))
    with pytest.raises(StoreUnavailable, match="may be there or not"):
        await database.add_user(make_user("Maria"), "hash")
    cutting.is_cutting = False
    assert [entry.number for entry in await database.trail(limit=9)] == [1]
    assert await database.users(limit=9) == [make_user("Maria")]
    await database.close()
    between.close()
    await cutting.end()
    await between.wait_closed()


async def test_a_caller_that_goes_away_leaves_nothing_half_done(server, make):
    """The step goes on without it, and the closing waits for the step."""
    database = await make(server.url())
    await database.add_user(make_user("Maria"), "hash")
    gate, inside = asyncio.Event(), asyncio.Event()

    async def step(connection):
        inside.set()
        await gate.wait()
        await connection.execute(f"UPDATE {database.s}.users SET is_admin = true")

    asking = asyncio.create_task(database._link.write(step))
    await inside.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    closing = asyncio.create_task(database.close())
    await asyncio.sleep(0)
    gate.set()
    await closing
    await database.open()
    assert (await database.user("id of Maria"))[0].is_admin


# --- settings of the server, and what it says ---


async def test_settings_of_the_role_do_not_weaken_it(server, make):
    """A commit is on the disk when it is answered, and each statement sees what was committed before it."""
    url = server.url(database="weak")
    server.psql("CREATE DATABASE weak ENCODING 'UTF8' TEMPLATE template0")
    server.psql("ALTER DATABASE weak SET synchronous_commit = off")
    server.psql("ALTER DATABASE weak SET default_transaction_isolation = serializable")
    first, second = await make(url), await make(url)
    settings = "SELECT current_setting('synchronous_commit') || ' ' || current_setting('transaction_isolation')"
    assert await first._do(settings) == "on read committed"
    tries = [database.begin_try([BUCKET], now=100) for database in (first, second) * 10]
    assert (await asyncio.gather(*tries)).count(0) == 9


async def test_what_the_server_says_of_values_is_not_passed_on(server, make):
    """It quotes them."""
    database = await make(server.url())
    await database.add_user(make_user("Maria", id="the id"), "hash")
    for failing in (
        database.add_user(make_user("Another", id="the id"), "the hash"),
        database.note(Entry(at=2**63, event=Event.SIGN_IN, sid="the sid")),
        database.rehash("the id", "a\0b", expected="hash"),
    ):
        with pytest.raises(StoreUnavailable) as failed:
            await failing
        assert not any(text in str(failed.value) for text in ("the id", "the hash", "the sid", "Another", str(2**63)))
    assert await database.users(limit=9) == [make_user("Maria", id="the id")]
