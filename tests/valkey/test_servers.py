"""The servers that the tests of the Valkey store use do what these tests rely on."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from tests.servers import valkey
from tests.servers.valkey_process import processes, until

pytestmark = pytest.mark.long


@pytest.fixture
def server():
    mine = valkey.start(password=True)
    yield mine
    mine.close()


def test_what_is_written_survives_a_kill(server):
    """A server that is killed has all that it acknowledged when it is started again."""
    server.call("SET", "a", "1")
    assert server.call("WAITAOF", 1, 0, 1000) == [1, 0]
    server.kill()
    with pytest.raises(redis.ConnectionError):
        server.call("GET", "a")
    server.start()
    assert server.call("GET", "a") == "1"


def test_an_older_server_is_put_back(server):
    """A server that is put back has what it had when that was saved."""
    server.call("SET", "a", "saved")
    server.call("SAVE")
    server.call("SET", "a", "later")
    server.kill()
    server.put_back()
    server.restart()
    assert server.call("GET", "a") == "saved"


def test_a_paused_server_does_not_answer(server):
    """A paused server keeps its connections and says nothing, until it goes on."""
    with server.client(patience_s=0.2) as client:
        client.ping()
        server.pause()
        with pytest.raises(redis.TimeoutError):
            client.ping()
    server.go_on()
    assert server.call("PING")


def test_a_server_behind_tls(server):
    """Through its front, a server is reached by those who trust its certificate, and by nobody else."""
    with valkey.tls(server) as front:
        how = {"port": front.port, "password": server.password, "ssl": True, "retry": Retry(NoBackoff(), 0)}
        with redis.Redis(**how, ssl_ca_certs=str(front.ca)) as client:
            assert client.ping()
        with redis.Redis(**how) as client, pytest.raises(redis.ConnectionError):
            client.ping()


def test_a_promoted_replica_has_a_history_of_its_own():
    """After a promotion both answer, each under another name of its history, until the old one follows."""
    pair = valkey.replicated()
    pair.primary.call("SET", "a", "1")
    with pair.primary.client() as client:
        client.execute_command("SET", "b", "1")
        assert client.execute_command("WAITAOF", 1, 1, 1000) == [1, 1]
    old = pair.promote(pair.replicas[0])
    old.call("SET", "a", "old")
    pair.primary.call("SET", "a", "new")
    assert old.info("replication")["master_replid"] != pair.primary.info("replication")["master_replid"]
    pair.attach(old)
    assert old.call("GET", "a") == "new"
    pair.close()


@pytest.mark.long
def test_sentinels_promote_a_replica():
    """When the primary is killed, the sentinels name another, and the old one follows it."""
    watched = valkey.sentinel()
    killed = watched.primary
    killed.kill()
    until(lambda: watched.named() not in (None, killed), "nobody is promoted")  # None: they do not agree yet
    killed.start()
    watched.taken_back(killed)
    watched.close()


def test_a_cluster_fails_over_and_moves_slots():
    """A killed primary's replica takes over by itself, and slots move key by key."""
    cluster = valkey.cluster()
    slot = valkey.slot_of("{x}")
    first = cluster.primary_of("{x}")
    for key in ("{x}1", "{x}2"):
        first.call("SET", key, "1")
    new = cluster.lose(first)
    assert new is cluster.primary_of(slot) and new.call("GET", "{x}1") == "1"
    first.start()
    cluster.settle()
    assert cluster.replicas_of(new) == [first]

    to = next(node for node in cluster.primaries() if node is not new)
    steps = cluster.moving(slot, to)
    assert [next(steps), next(steps)] == ["marked", "key"]
    with pytest.raises(redis.exceptions.TryAgainError):
        new.call("MGET", "{x}1", "{x}2")
    gone = next(key for key in ("{x}1", "{x}2") if not holds(new, key))
    with pytest.raises(redis.exceptions.AskError):
        new.call("GET", gone)
    assert list(steps) == ["emptied", "moved"]
    assert cluster.primary_of("{x}") is to and to.call("GET", "{x}2") == "1"
    cluster.move_slot(slot, new, at_once=True)
    assert cluster.primary_of("{x}") is new and new.call("GET", "{x}2") == "1"
    cluster.close()


def holds(node, key):
    """Say whether a node has a key itself."""
    return key in node.call("CLUSTER", "GETKEYSINSLOT", valkey.slot_of(key), 10)


def test_nothing_outlives_a_killed_user():
    """Servers and their folder go when the process that started them is killed."""
    program = textwrap.dedent("""
        import os, signal
        from tests.servers import valkey
        print(valkey.replicated().folder, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    valkey.need()
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=Path.cwd()).stdout
    folder = Path(said.strip())
    assert folder.name.startswith("coatcheck-valkey-")
    until(lambda: not folder.exists(), "the folder is still there")
    assert not processes(folder)
