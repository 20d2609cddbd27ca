"""Several servers, each a process of its own, with their accounts in one PostgreSQL."""

import asyncio
import contextlib
from pathlib import Path

import httpx
import pytest
from tests.servers import postgres
from tests.serving import started

PASSWORD = "correct horse battery"
HEADERS = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def own_server():
    """A PostgreSQL that may be restarted."""
    mine = postgres.start()
    yield mine
    mine.close()


def client_of(server):
    """A browser at *server*; the cookies are sent by hand, since it does not keep Secure ones over http."""
    return httpx.AsyncClient(base_url=server.url, headers=HEADERS, timeout=30)


async def sign_in(client, name="root"):
    answer = await client.post("/api/sign-in", json={"username": name, "password": PASSWORD})
    cookie = answer.headers.get("set-cookie", "").partition(";")[0]
    return answer.status_code, {"cookie": cookie}


@pytest.mark.long
@pytest.mark.parametrize("sessions", ["in a file", "there, too"])
async def test_three_servers(own_server, tmp_path, sessions):
    """One first administrator; a kick by one counts in all; after a restart of PostgreSQL all go on."""
    url, secret = own_server.url(), tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("A" * 43)
    where = {"database": url, "secret": secret} | ({"store": url} if sessions == "there, too" else {})
    async with contextlib.AsyncExitStack() as stack:
        servers = [stack.enter_context(started(tmp_path, **where)) for _ in range(3)]
        clients = [await stack.enter_async_context(client_of(server)) for server in servers]
        for server in servers:
            assert postgres.PASSWORD not in Path(f"/proc/{server.pid}/cmdline").read_text()
        tries = [
            client.post("/api/set-up", json={"code": server.code, "username": name, "password": PASSWORD})
            for client, server in zip(clients, servers, strict=True)
            for name in ("root", "Root", "ROOT")
        ]
        statuses = sorted([answer.status_code for answer in await asyncio.gather(*tries)])
        assert statuses == [200] + [409] * 8

        status, phone = await sign_in(clients[0])
        assert status == 200
        _, laptop = await sign_in(clients[1])
        assert [(await client.get("/api/session", headers=phone)).status_code for client in clients] == [200] * 3
        kicked = await clients[2].delete("/api/sessions", params={"keep": "current"}, headers=laptop)
        assert kicked.status_code == 204
        assert [(await client.get("/api/session", headers=phone)).status_code for client in clients] == [401] * 3

        await asyncio.to_thread(own_server.restart)
        assert [status for status, _ in await asyncio.gather(*map(sign_in, clients))] == [200] * 3
        await asyncio.to_thread(own_server.stop, "immediate")
        answers = await asyncio.gather(*map(sign_in, clients))
        assert [status for status, _ in answers] == [503] * 3
        ready = await clients[0].get("/readyz")
        assert (ready.status_code, ready.text) == (503, "the store does not answer\n")
        still = (await clients[0].get("/api/session", headers=laptop)).status_code
        assert still == (200 if sessions == "in a file" else 503)
        await asyncio.to_thread(own_server.start)
        assert [status for status, _ in await asyncio.gather(*map(sign_in, clients))] == [200] * 3
    assert all(postgres.PASSWORD not in server.said for server in servers)
    assert own_server.psql(f"SELECT count(*) FROM {url.rpartition('=')[2]}.users") == "1"


@pytest.mark.long
def test_a_server_whose_database_is_away_does_not_start(tmp_path):
    """One line, before anybody is served."""
    url = "postgresql://u:hunter2@127.0.0.1:9/d"
    refused = pytest.raises(pytest.fail.Exception, match="nobody listens at this host")
    with refused as failed, started(tmp_path, database=url):
        pass
    assert "hunter2" not in str(failed.value) and "Traceback" not in str(failed.value)
