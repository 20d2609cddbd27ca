"""What goes wrong around PostgreSQL: bounded, said in words, and never in half."""

import asyncio
import contextlib
import gc
import os
import traceback
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace
from tests.postgres.gates import opened
from tests.servers import postgres
from tests.servers.wire import COMMIT, Wire

from coatcheck.errors import CoatcheckError, Forked, NotOpen, StoreUnavailable, StoreUnusable
from coatcheck.records import Kind, Record
from coatcheck.stores import postgres as module
from coatcheck.stores._postgres_connect import begin
from coatcheck.stores.base import Seen
from coatcheck.stores.postgres import PostgresStore, migrate
from coatcheck.testing.store_contract import make_digest, make_family, make_key, make_record, make_stamp
from coatcheck.values import decode

STAMP = make_stamp()
PATIENCE_S = 20


@pytest.fixture
def quick(monkeypatch):
    """Calls that wait for half a second at most."""
    monkeypatch.setattr(module, "WAIT_S", 0.5)
    monkeypatch.setattr(module, "PATIENT_S", 0.5)


@pytest.fixture(scope="module")
def shaken():
    """A server that is stopped, paused and killed by the tests of this module, and goes on."""
    mine = postgres.start(deadlock_timeout="10ms")
    yield mine
    mine.close()


def make_certificate(name):
    """Return a certificate for 127.0.0.1 and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(who, who, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    return certificate.public_bytes(encoding).decode(), secret.decode()


def end(store, sid="a"):
    return store.end(sid, of=None, kind=Kind.REVOKED, note="", stamp=STAMP)


def sign_in(store, name="a", **fields):
    return store.create(make_record(name, **fields), generation=None, most=9, stamp=STAMP)


def put(store, key, value=1):
    return store.change_data("a", {key: value}, [], limit=99, stamp=STAMP)


def renew(store):
    fresh = replace(make_record("a", version=2), digest=make_digest("a2"))
    return store.renew(make_digest("a"), fresh, generation=None, most=9, stamp=STAMP)


# --- servers that go away ---


@pytest.mark.parametrize("mode", ["immediate", "fast"])
async def test_a_restart_of_the_server_is_seen_by_nobody(shaken, mode):
    """Every call works the first time afterwards; what was acknowledged is there."""
    async with opened(shaken.url()) as (store, _):
        await sign_in(store)
        await store.join("n1", label="")
        calls = [
            lambda: store.load(make_digest("a")),
            lambda: put(store, "k"),
            lambda: store.beat("n1", beat=1, applied=0, epoch=1),
            store.nodes,
            lambda: end(store, "b"),
        ]
        for call in calls:
            await call()
        for position, call in enumerate(calls, 1):
            shaken.restart(mode)
            assert await call() is not None, position
        assert decode((await store.load_sid("a")).data) == {"k": 1}


@pytest.mark.parametrize(
    ("call", "outcome"),
    [
        (end, 2),
        (lambda store: store.end_subject("maria", keep=None, note="", stamp=STAMP), 2),
        (lambda store: store.drop_key("k", stamp=STAMP), 2),
        (lambda store: store.join("n1", label=""), 2.0),
        (lambda store: put(store, "k"), None),
        (renew, None),
        (lambda store: store.change_claims("maria", {"k": 1}, [], limit=99, stamp=STAMP), None),
        (lambda store: sign_in(store, "b"), None),
        (lambda store: store.add_key(make_key("k"), newest=None, stamp=STAMP), None),
        (lambda store: store.add_family(make_family("f", "a")), None),
        (lambda store: store.rotate_family(make_family("g", "a").id, generation=1, now=5), None),
    ],
    ids=[
        "end",
        "end_subject",
        "drop_key",
        "join",
        "put",
        "renew",
        "claims",
        "sign_in",
        "add_key",
        "add_family",
        "rotate",
    ],
)
async def test_a_commit_whose_answer_is_lost(server, call, outcome):
    """What may be done twice is; of anything else nobody says that it failed or was done, and it is done once."""
    url = server.url()
    async with Wire(server.port) as wire, opened(url) as (direct, _):
        await sign_in(direct)
        await direct.add_family(make_family("g", "a"))
        async with opened(url.replace(f":{server.port}/", f":{wire.port}/")) as (store, _):
            wire.cut_after(COMMIT)
            if outcome is None:
                with pytest.raises(StoreUnavailable):
                    await call(store)
            else:
                # The first line was appended, too, by the first commit.
                assert await call(store) in (outcome, 1)
        head = (await direct.tail(0)).head
        assert head <= 2
        generation = await direct.family(make_family("g", "a").id)
        assert generation is None or generation.generation <= 2


async def test_what_was_not_committed_is_tried_again(server):
    """A connection lost before the commit was sent: whatever it was, it did not happen, and is done now, once."""
    async with Wire(server.port) as wire, opened(server.url()) as (direct, _):
        await sign_in(direct)
        url = server.url(schema=direct._s).replace(f":{server.port}/", f":{wire.port}/")
        async with opened(url) as (store, _):
            wire.cut_after(b"SET data")
            assert await put(store, "k") == 1
        assert decode((await direct.load_sid("a")).data) == {"k": 1}


async def test_a_server_that_stands_still_is_unavailable(shaken, quick):
    """Every call ends in bounded time, says so, and works when the server goes on."""
    async with opened(shaken.url()) as (store, _):
        await sign_in(store)
        await store.join("n1", label="")
        calls = [
            lambda: store.load(make_digest("a")),
            lambda: put(store, "k"),
            lambda: store.beat("n1", beat=1, applied=0, epoch=1),
            store.nodes,
            lambda: end(store, "b"),
            lambda: store.reset_keys(stamp=STAMP),
            lambda: store.touch([Seen("a", 0, 5)]),
            lambda: store.sweep(now=0, limit=9),
        ]
        shaken.pause()
        try:
            async with asyncio.timeout(PATIENCE_S):
                for call in calls:
                    with pytest.raises(StoreUnavailable, match="no answer"):
                        await call()
                with pytest.raises(StoreUnavailable):
                    await PostgresStore(shaken.url()).open()
        finally:
            shaken.resume()
        for call in calls:
            assert await call() is not None


async def test_who_holds_the_log_and_falls_silent_is_put_out(server, url, others):
    """A process that was stopped in the middle of a revocation stops nobody else's."""
    async with opened(url) as (store, _):
        silent = await asyncpg.connect(server.url(socket=True).split("&schema")[0])
        await silent.execute(begin(0.3))
        await silent.execute(f"UPDATE {store._s}.log SET head = head")
        assert await end(store) == 1
        silent.terminate()


async def test_a_lock_that_does_not_come_is_unavailable(server, url, quick):
    """A revocation that waits for somebody says so after its time, and was not done."""
    async with opened(url) as (store, _):
        await sign_in(store)
        holder = await asyncpg.connect(server.url(socket=True).split("&schema")[0])
        await holder.execute(f"BEGIN; UPDATE {store._s}.log SET head = head")
        with pytest.raises(StoreUnavailable):
            await end(store)
        await holder.close()
        assert isinstance(await store.load(make_digest("a")), Record)


async def test_an_exhausted_pool_is_unavailable_and_stops_no_heart(server, quick):
    """Reads that hang take their own connections only: beats, revocations and barriers have others."""
    async with opened(server.url(socket=True, pool="1")) as (store, _):
        await store.join("n1", label="")
        await store._reads._free.acquire()
        with pytest.raises(StoreUnavailable, match="all 1 connections were busy"):
            await store.load(make_digest("b"))
        assert await end(store) == 1
        assert await store.beat("n1", beat=1, applied=0, epoch=1) is not None
        assert len((await store.nodes()).rows) == 1
        store._reads._free.release()
        assert await store.load(make_digest("a")) is None


async def test_a_cancelled_call_leaves_nothing_behind(url):
    """Its connection is gone with whatever it had begun; the next call gets another."""
    async with opened(url) as (store, gates):
        await sign_in(store)
        gate = gates.before("COMMIT")
        writing = asyncio.create_task(put(store, "lost"))
        await gate.reached()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert await put(store, "k") == 1
        assert decode((await store.load_sid("a")).data) == {"k": 1}


async def test_a_revocation_goes_on_when_its_caller_is_cancelled(url):
    """It is in a group with others, who do not suffer by it; what waits for the next group is left out."""
    async with opened(url) as (store, gates):
        for name in ("a", "b", "c"):
            await sign_in(store, name)
        gate = gates.before("COMMIT")
        first = asyncio.create_task(end(store, "a"))
        await gate.reached()
        second, third = (asyncio.create_task(end(store, name)) for name in ("b", "c"))
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        gate.open()
        assert await third == 2
        for task in (first, second):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert [session.sid for session in await store.load_subject("maria")] == ["b"]


async def test_transactions_that_lock_each_other_out_are_tried_again(shaken):
    """The server undoes one of the two; if it was ours, it is done afterwards."""
    async with opened(shaken.url()) as (store, _):
        await sign_in(store)
        other = await asyncpg.connect(shaken.url().split("?")[0])
        await other.execute(f"BEGIN; UPDATE {store._s}.log SET head = head")
        ending = asyncio.create_task(end(store))
        async with asyncio.timeout(PATIENCE_S):
            while "Lock" not in shaken.psql("SELECT coalesce(wait_event_type, '') FROM pg_stat_activity"):
                await asyncio.sleep(0)
        with contextlib.suppress(asyncpg.DeadlockDetectedError):
            await other.execute(f"SELECT 1 FROM {store._s}.sessions FOR UPDATE")
        await other.close()
        assert await ending == 1


# --- what is durable, and where ---


async def test_a_commit_that_no_standby_has_is_not_acknowledged(shaken):
    """Somebody cancels the wait for the standby: the revocation is here, perhaps nowhere else, and raises."""
    async with opened(shaken.url()) as (store, _):
        await end(store)
        shaken.psql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'; SELECT pg_reload_conf()")
        try:
            ending = asyncio.create_task(end(store))
            waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            async with asyncio.timeout(PATIENCE_S):
                while not shaken.psql(f"SELECT pg_cancel_backend(pid) FROM ({waiting}) AS waiting"):
                    await asyncio.sleep(0.01)
            with pytest.raises(StoreUnavailable, match="durable"):
                await ending
        finally:
            shaken.psql("ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf()")


@pytest.mark.parametrize(("theirs", "ours"), [("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")])
async def test_commits_wait_for_the_disk_whatever_the_role_says(server, theirs, ours):
    """A weaker setting is set right for our transactions; a stronger one stays."""
    connection = await asyncpg.connect(server.url(socket=True).split("&schema")[0])
    await connection.execute(f"SET synchronous_commit = {theirs}")
    await connection.execute("SET default_transaction_isolation = 'serializable'")
    await connection.execute(begin(5))
    assert await connection.fetchval("SHOW synchronous_commit") == ours
    assert await connection.fetchval("SHOW transaction_isolation") == "read committed"
    await connection.close()


async def test_a_standby_is_refused_and_its_promotion_begins_an_epoch():
    """Never asked while it follows. When it leads: sessions live, nodes must forget, keys are made anew."""
    primary = postgres.start()
    url = primary.url(socket=True)
    async with opened(url) as (store, _):
        await sign_in(store)
        await store.add_key(make_key("k"), newest=None, stamp=STAMP)
        await store.join("n1", label="")
        await store.beat("n1", beat=1, applied=1, epoch=1)
        standby = postgres.standby_of(primary)
        there = standby.url(socket=True, schema=store._s)
    try:
        with pytest.raises(StoreUnavailable, match="standby"):
            await PostgresStore(there).open()
        hosts = f"host={standby.folder},{primary.folder}&port={standby.port},{primary.port}"
        async with opened(f"postgresql://postgres@/postgres?{hosts}&schema={store._s}") as (chosen, _):
            assert (await chosen.tail(0)).epoch == 1
        primary.kill()
        assert standby.psql("SELECT pg_promote()") == "t"
        async with opened(there) as (one, _), opened(there) as (two, _):
            assert [(await each.tail(0)).epoch for each in (one, two)] == [2, 2]
            assert await two.keys() == []
            assert isinstance(await two.load(make_digest("a")), Record)
            nodes = await two.nodes()
            assert (nodes.epoch, [row.epoch for row in nodes.rows]) == (2, [1])
            assert await two.add_key(make_key("l", epoch=2), newest=None, stamp=STAMP) is not None
    finally:
        standby.close()
        primary.close()


async def test_nothing_is_asked_of_a_promoted_server_before_its_epoch(server, url):
    """Whichever connection comes first, whatever it wants: the epoch begins before its first statement."""
    async with opened(url) as (store, _):
        await sign_in(store)
        for call in (lambda: store.load(make_digest("a")), store.nodes, lambda: end(store), lambda: store.tail(0)):
            server.psql(f"UPDATE {store._s}.meta SET timeline = '000000FF'")
            for lane in store._lanes:
                lane._drop_idle()
            before = int(server.psql(f"SELECT epoch FROM {store._s}.meta"))
            await call()
            assert int(server.psql(f"SELECT epoch FROM {store._s}.meta")) == before + 1


# --- opening ---


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda url: url.replace("pass-word%20of", "pass-word%20off"), StoreUnusable, "does not let this role in"),
        (lambda url: url.replace("postgres:", "nobody:"), StoreUnusable, "does not let this role in"),
        (lambda url: url.replace("/postgres?", "/nowhere?"), StoreUnusable, "no such database"),
        (lambda url: url.replace("127.0.0.1", "no-such-host.invalid"), StoreUnavailable, "name of the host"),
        (lambda url: url + "&sslmode=require", StoreUnavailable, "sslmode"),
        (lambda url: url + "&sslmode=nonsense", StoreUnusable, "option of the URL"),
        (lambda url: url + "&sslmode=verify-full&sslrootcert=/nowhere", StoreUnavailable, "certificate"),
        (
            lambda url: url.replace("@127.0.0.1", "@%2Fnowhere"),
            StoreUnavailable,
            "no such socket",
        ),
    ],
    ids=["password", "role", "database", "host", "tls", "sslmode", "certificate", "socket"],
)
async def test_a_url_that_leads_nowhere_says_why(server, change, kind, words):
    """The remedy is named; the password is not, neither here nor in what is printed of the error."""
    store = PostgresStore(change(server.url()))
    with pytest.raises(kind, match=words) as caught:
        await store.open()
    printed = "".join(traceback.format_exception(caught.value)) + repr(store)
    assert "pass-word" not in printed and "pass-word" not in str(caught.value)
    with pytest.raises(NotOpen):
        await store.load(make_digest("a"))


async def test_the_certificate_of_the_server_is_looked_at(tmp_path):
    """With verify-full a stranger's is refused; the right one opens an encrypted connection."""
    server = postgres.start("15")  # the wheel of 18 is built without TLS
    try:
        right, wrong = (make_certificate(name) for name in ("db", "stranger"))
        for name, (certificate, _) in (("right.pem", right), ("wrong.pem", wrong)):
            (tmp_path / name).write_text(certificate)
        server.put("server.crt", right[0])
        server.put("server.key", right[1])
        server.psql("ALTER SYSTEM SET ssl = on; SELECT pg_reload_conf()")
        url = server.url() + f"&sslmode=verify-full&sslrootcert={tmp_path}"
        async with opened(f"{url}/right.pem") as (store, _):
            assert await store._read("SELECT 1 FROM pg_stat_ssl WHERE ssl AND pid = pg_backend_pid()")
        with pytest.raises(StoreUnavailable, match="certificate of the server is not accepted"):
            await PostgresStore(f"{url}/wrong.pem").open()
    finally:
        server.close()


async def test_nobody_listens(server):
    """A refused connection is told from a silent one."""
    free = postgres._free_port()
    with pytest.raises(StoreUnavailable, match="nobody listens"):
        await PostgresStore(server.url().replace(f":{server.port}/", f":{free}/")).open()


async def test_many_open_an_empty_database_at_once(url):
    """One makes the tables, the others find them."""
    stores = [PostgresStore(url) for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(*(end(store, str(n)) for n, store in enumerate(stores)))
    assert (await stores[0].tail(0)).head == 8
    for store in stores:
        await store.close()
        await store.close()


async def test_other_versions_of_the_tables_are_refused(server, url):
    """A newer one is never touched, an older one only by ``coatcheck migrate``."""
    async with opened(url) as (store, _):
        schema = store._s
    server.psql(f"INSERT INTO {schema}.migrations VALUES (99, now())")
    with pytest.raises(StoreUnusable, match="upgrade Coatcheck"):
        await PostgresStore(url).open()
    with pytest.raises(StoreUnusable, match="upgrade Coatcheck"):
        await migrate(url)
    server.psql(f"DELETE FROM {schema}.migrations")
    server.psql(f"INSERT INTO {schema}.migrations VALUES (0, now())")
    with pytest.raises(StoreUnusable, match="holds tables of another program"):
        await PostgresStore(url).open()


async def test_a_role_without_rights_is_told(server):
    """Neither tables nor the right to make some: what to grant is said. With rights on rows alone it works."""
    url, role = server.url(socket=True), f"r{os.getpid()}"
    server.psql(f"CREATE ROLE {role} LOGIN")
    mine = url.replace("postgres@", f"{role}@", 1)
    with pytest.raises(StoreUnusable, match="may not make the tables"):
        await PostgresStore(mine).open()
    await migrate(url)
    schema = PostgresStore(url)._s
    with pytest.raises(StoreUnusable, match="lacks a right"):
        await PostgresStore(mine).open()
    server.psql(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
    server.psql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}")
    async with opened(mine) as (store, _):
        await sign_in(store)
        await store.add_key(make_key("k"), newest=None, stamp=STAMP)
        assert await end(store) == 2
        await store.end_everyone(note="", stamp=STAMP)
        while await store.sweep(now=5000, limit=9):
            pass


async def test_a_server_that_does_not_tell_where_the_log_is(server, caplog):
    """It is warned of, and works; whoever is told more notes it, and from then on a failover is seen."""
    name = f"silent_{os.getpid()}"
    server.psql(f"CREATE ROLE {name} LOGIN")
    server.psql(f"CREATE DATABASE {name} OWNER {name}")
    functions = "pg_control_system(), pg_walfile_name(pg_lsn)"
    server.psql(f"REVOKE EXECUTE ON FUNCTION {functions} FROM public", database=name)
    url = server.url(socket=True, database=name)
    async with opened(url.replace("postgres@", f"{name}@")) as (store, _):
        assert "a failover goes unnoticed" in caplog.text
        await end(store)
        where = f"SELECT system, timeline FROM {store._s}.meta"
        assert server.psql(where, database=name) == "|"
        async with opened(url) as (seeing, _):
            assert (await seeing.tail(0)).epoch == 1
        assert server.psql(where, database=name).endswith("|00000001")
        async with opened(url.replace("postgres@", f"{name}@")) as (blind, _):
            assert (await blind.tail(0)).epoch == 1
    server.psql(f"UPDATE {store._s}.meta SET system = '7'", database=name)
    async with opened(url.replace("postgres@", f"{name}@")) as (blind, _):
        assert (await blind.tail(0)).epoch == 1
    async with opened(url) as (seeing, _):
        assert (await seeing.tail(0)).epoch == 2


async def test_a_fork_leaves_the_parents_connections_alone(server):
    """The child is refused; nothing that it does on its way out reaches the parent's connections."""
    name = f"fork_{os.getpid()}"
    backends = f"SELECT pid FROM pg_stat_activity WHERE application_name = '{name}' ORDER BY pid"
    async with opened(server.url(socket=True, application_name=name)) as (store, _):
        await sign_in(store)
        await end(store, "b")
        before = server.psql(backends)
        child = os.fork()
        if not child:
            outcome = 1
            try:
                store.abandon()
                gc.collect()
                try:
                    store._check_usable()
                except Forked:
                    outcome = 0
            finally:
                os._exit(outcome)
        assert os.waitpid(child, 0)[1] == 0
        assert isinstance(await store.load(make_digest("a")), Record)
        assert await end(store, "c") == 2
        assert server.psql(backends) == before and before


async def test_a_closed_store_says_so(url):
    """Calls that are under way come to their end; later ones are refused; it can be opened again."""
    async with opened(url) as (store, gates):
        gate = gates.before("COMMIT")
        writing = asyncio.create_task(end(store))
        await gate.reached()
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)
        with pytest.raises(CoatcheckError):
            await store.load(make_digest("a"))
        gate.open()
        assert await writing == 1
        await closing
        await store.open()
        assert (await store.tail(0)).head == 1
