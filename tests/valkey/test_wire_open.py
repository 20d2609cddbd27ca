"""Which servers a wire accepts, and what it says of those that it does not."""

import asyncio
import logging
import os
import shutil
import subprocess
import tempfile
import urllib.parse
from pathlib import Path

import pytest
from tests.servers import valkey
from tests.servers.valkey_process import free_port, until
from tests.valkey.wires import PATIENCE_S, SCRIPTS, get, opened, put, quick

from coatcheck.errors import StoreUnavailable, StoreUnusable
from coatcheck.stores._valkey_refuse import check
from coatcheck.stores._valkey_url import parse
from coatcheck.stores._valkey_wire import Script, Wire

__all__ = ["quick"]
OLD = Path("/usr/bin/redis-server")


@pytest.fixture(scope="module")
def server():
    """A server whose configuration tests change, and put back."""
    mine = valkey.start()
    yield mine
    mine.close()


@pytest.fixture
def changed(server):
    """A server that is what it was after the test."""
    before = {name: server.call("CONFIG", "GET", name) for name in ("appendonly", "appendfsync", "maxmemory-policy")}
    yield server
    for answer in before.values():
        server.call("CONFIG", "SET", *(answer.popitem() if isinstance(answer, dict) else answer))
    until(lambda: not server.info("persistence")["aof_rewrite_in_progress"], "it does not write its log")


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("appendonly", "no", "CONFIG SET appendonly yes"),
        ("appendfsync", "no", "CONFIG SET appendfsync always"),
        ("maxmemory-policy", "allkeys-lru", "CONFIG SET maxmemory-policy noeviction"),
        ("maxmemory-policy", "volatile-ttl", "CONFIG SET maxmemory-policy noeviction"),
    ],
)
async def test_a_server_that_loses_or_forgets_is_refused(changed, setting, value, remedy):
    """When the store is opened, with what to do about it."""
    changed.call("CONFIG", "SET", setting, value)
    with pytest.raises(StoreUnusable, match=remedy):
        await Wire(parse(changed.url()), SCRIPTS).open()


async def test_a_server_that_came_back_otherwise_is_not_used(changed, caplog):
    """An open store does not write to what it would have refused; the log says so once."""
    async with opened(changed.url()) as wire:
        await put(wire, "v")
        changed.configure(maxmemory_policy="allkeys-lru")
        changed.restart()
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="noeviction"):
                await get(wire)
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        changed.configure(maxmemory_policy="noeviction")
        changed.restart()
        assert await get(wire) == b"v"


async def test_a_server_that_syncs_once_a_second_is_slow(changed, caplog):
    """It is accepted; the log says once what it costs."""
    caplog.set_level(logging.WARNING, "coatcheck")
    changed.config(appendfsync="everysec")
    async with opened(changed.url()) as wire:
        assert wire.is_slow_to_sync
        assert await asyncio.gather(put(wire, "v"), put(wire, "w")) == [b"v", b"w"]
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "appendfsync everysec" in caplog.text


@pytest.fixture
def old(tmp_path):
    """The port of a Redis that is too old: the one of Debian 12."""
    if not OLD.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("an old Redis is missing in CI")
        pytest.skip("an old Redis is not on this machine (apt install redis-server): nothing was tested with it")
    version = subprocess.run([OLD, "--version"], capture_output=True, text=True, check=True).stdout
    if "v=7.0" not in version and "v=6" not in version:
        pytest.skip(f"the Redis of this machine is not old: {version}")
    port = free_port()
    words = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--appendonly", "yes", "--save", ""]
    running = subprocess.Popen([OLD, *words], stdout=subprocess.DEVNULL)
    yield port
    running.terminate()
    running.wait()


async def test_a_server_that_is_too_old_is_refused(old):
    """It does not know how to say what is on which disk."""
    with pytest.raises(StoreUnusable, match="too old; use Valkey 8 or Redis"):
        await Wire(parse(f"redis://127.0.0.1:{old}"), SCRIPTS).open()


@pytest.mark.parametrize(
    ("versions", "is_old"),
    [
        ("redis_version:7.0.15", True),
        ("redis_version:7.2.0", False),
        ("redis_version:8.4.1", False),
        ("redis_version:7.2.4\r\nvalkey_version:7.2.11", True),
        ("redis_version:7.2.4\r\nvalkey_version:8.0.0", False),
        ("redis_version:255.255.255\r\nvalkey_version:10.0.0-rc1", False),
        ("", True),
    ],
)
def test_versions(versions, is_old):
    """Valkey says which Redis it is compatible with, which says nothing of its own age."""
    rest = "role:master\r\naof_enabled:1\r\nmaxmemory_policy:noeviction\r\ncluster_enabled:0"
    info = f"# Server\r\n{versions}\r\n{rest}\r\n".encode()
    if is_old:
        with pytest.raises(Exception, match="too old"):
            check([info, []], in_cluster=False)
    else:
        assert check([info, [b"appendfsync", b"always"]], in_cluster=False).replicas == 0


async def test_whoever_is_not_let_in():
    """A wrong password, none, and an unknown user; the error holds no password."""
    server = valkey.start(password=True)
    try:
        async with opened(server.url()) as wire:
            await put(wire, "v")
        good = urllib.parse.quote(server.password)
        for who in (":s3cr3t@", "", "eva:s3cr3t@", f"eva:{good}@"):
            with pytest.raises(StoreUnusable, match="password") as caught:
                await Wire(parse(f"valkey://{who}{server.address}"), SCRIPTS).open()
            assert "s3cr3t" not in str(caught.value) and good not in str(caught.value)
    finally:
        server.close()


@pytest.mark.parametrize("missing", ["waitaof", "evalsha", "info", "script|load"])
async def test_a_user_who_may_not_do_what_is_needed(server, missing):
    """The command that is missing is named when the store is opened; that CONFIG is not allowed does no harm."""
    user = f"eva-{missing.replace('|', '-')}"
    server.call("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", "-config")
    url = server.url().replace("valkey://", f"valkey://{user}:pw@")
    async with opened(url) as wire:
        assert await put(wire, "v") == b"v"
    server.call("ACL", "SETUSER", user, f"-{missing}")
    with pytest.raises(StoreUnusable, match=f"may not run {missing.upper().replace('|', '.')}"):
        await Wire(parse(url), SCRIPTS).open()


async def test_a_right_that_was_taken_away(server):
    """The call says so; nothing else breaks."""
    server.call("ACL", "SETUSER", "max", "on", ">pw", "~*", "&*", "+@all")
    async with opened(server.url().replace("valkey://", "valkey://max:pw@")) as wire:
        await put(wire, "v")
        server.call("ACL", "SETUSER", "max", "-get")
        with pytest.raises(StoreUnavailable, match="may not run GET"):
            await get(wire)
        server.call("ACL", "SETUSER", "max", "+get", "resetkeys", "~other")
        with pytest.raises(StoreUnavailable, match="the user lacks a right"):
            await get(wire)


async def test_one_is_taken_for_another(server):
    """A server for a cluster, and the other way round; each for a sentinel: the error says what to write."""
    cluster = valkey.shared("cluster")
    for url, remedy in (
        (server.url(cluster="true"), "take cluster=true out"),
        (cluster.nodes[0].url(), r"write \?cluster=true"),
        (server.url(sentinel="main"), "take sentinel= out"),
    ):
        with pytest.raises(StoreUnusable, match=remedy):
            await Wire(parse(url), SCRIPTS).open()


async def test_sentinels_and_names(server):
    """A sentinel is not a server; a name that no sentinel knows is said to be unknown."""
    watched = valkey.sentinel()
    try:
        for url, remedy in (
            (watched.sentinels[0].url(), r"write \?sentinel=NAME"),
            (watched.url().replace("sentinel=coatcheck", "sentinel=other"), "know no primary of this name"),
        ):
            with pytest.raises(StoreUnusable, match=remedy):
                await Wire(parse(url), SCRIPTS).open()
    finally:
        watched.close()


async def test_a_script_that_makes_no_sense(server):
    """It is found when the store is opened."""
    with pytest.raises(StoreUnusable, match="script"):
        await Wire(parse(server.url()), [Script("broken", "this is no Lua")]).open()


@pytest.mark.long
async def test_nobody_there(server, quick):
    """Opening ends in bounded time, and says why."""
    for url, why in (
        (f"valkey://127.0.0.1:{free_port()}", "nobody listens"),
        (f"valkey://127.0.0.1:{free_port()}?cluster=true", "nobody listens"),
        (f"valkey://127.0.0.1:{free_port()}?sentinel=main", "nobody listens"),
        ("valkey://no-such-host.invalid", "the name of the host is not known"),
    ):
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(StoreUnavailable, match=why):
                await Wire(parse(url), SCRIPTS).open()
    server.pause()
    try:
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(StoreUnavailable, match="no answer"):
                await Wire(parse(server.url()), SCRIPTS).open()
    finally:
        server.go_on()


async def test_a_replica_is_not_asked(quick):
    """A URL that names one is told to name the primary."""
    pair = valkey.replicated()
    try:
        with pytest.raises(StoreUnavailable, match="is a replica; name the primary"):
            await Wire(parse(pair.replicas[0].url()), SCRIPTS).open()
    finally:
        pair.close()


@pytest.fixture
def front(server):
    """TLS before the server."""
    with valkey.tls(server) as found:
        yield found


async def test_tls(server, front, quick):
    """Whom the certificate does not name, or nobody trusts, is refused; so are plain words."""
    url = f"valkeys://127.0.0.1:{front.port}?tls_ca={front.ca}"
    async with opened(url) as wire:
        assert await asyncio.gather(put(wire, "v"), put(wire, "v" * 100_000)) == [b"v", b"v" * 100_000]
    with pytest.raises(StoreUnusable, match="certificate of the server is not accepted"):
        await Wire(parse(f"valkeys://127.0.0.1:{front.port}"), SCRIPTS).open()
    with pytest.raises(StoreUnusable, match="certificate of the server is not accepted"):
        await Wire(parse(url.replace("127.0.0.1", "127.1")), SCRIPTS).open()
    with pytest.raises(StoreUnusable, match="no such file of TLS"):
        await Wire(parse(url + ".missing"), SCRIPTS).open()
    with pytest.raises(StoreUnavailable, match="wants TLS"):
        await Wire(parse(f"valkey://127.0.0.1:{front.port}"), SCRIPTS).open()
    with pytest.raises(StoreUnavailable, match=r"no answer|connection was lost|TLS failed"):
        await Wire(parse(f"valkeys://{server.address}?tls_ca={front.ca}"), SCRIPTS).open()


async def test_a_unix_socket(quick):
    """Instead of a host; one that is not there is named."""
    folder = tempfile.mkdtemp(prefix="coatcheck-")  # the path of a socket must be short
    server = valkey.start(unixsocket=f"{folder}/s", unixsocketperm="700")
    try:
        async with opened(f"valkey:///3?socket={folder}/s") as wire:
            assert await put(wire, "v") == b"v"
            assert server.info("keyspace").keys() == {"db3"}
        with pytest.raises(StoreUnusable, match="no such socket"):
            await Wire(parse(f"valkey:///?socket={folder}/missing"), SCRIPTS).open()
    finally:
        server.close()
        shutil.rmtree(folder)


async def test_a_database_that_is_not_there(server, quick):
    """The error says it without the URL."""
    with pytest.raises(StoreUnusable, match="no such database"):
        await Wire(parse(server.url().replace("/0?", "/99?")), SCRIPTS).open()
