"""The ready-made server with its sessions in Valkey."""

import asyncio
import contextlib

import httpx
import pytest
from tests.server.test_metrics import _shown as shown
from tests.servers import valkey
from tests.serving import started

from coatcheck import Coatcheck
from coatcheck.server.metrics import Metrics

pytestmark = pytest.mark.long

PASSWORD = "correct horse battery"
HEADERS = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def own_server():
    """A Valkey that may be stopped, with a password."""
    with contextlib.closing(valkey.start(password=True)) as mine:
        yield mine


async def entered(client, path, **body):
    """Send a form that lets somebody in; return their cookie."""
    answer = await client.post(path, json={"username": "root", "password": PASSWORD, **body})
    assert answer.status_code == 200, answer.text
    return {"cookie": answer.headers["set-cookie"].partition(";")[0]}


async def test_two_servers(own_server, tmp_path):
    """A kick by one counts at the other; while Valkey is away both say so; then both go on."""
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("A" * 43)
    where = {"store": own_server.url(), "secret": secret}
    with started(tmp_path, **where) as one, started(tmp_path, **where) as two:
        assert "Accounts are in" in one.greeting and "on this machine alone" in one.greeting
        async with (
            httpx.AsyncClient(base_url=one.url, headers=HEADERS, timeout=30) as first,
            httpx.AsyncClient(base_url=two.url, headers=HEADERS, timeout=30) as second,
        ):
            phone = await entered(first, "/api/set-up", code=one.code)
            laptop = await entered(second, "/api/sign-in")
            assert (await second.get("/api/session", headers=phone)).status_code == 200
            kicked = await second.delete("/api/sessions", params={"keep": "current"}, headers=laptop)
            assert kicked.status_code == 204
            assert (await first.get("/api/session", headers=phone)).status_code == 401
            assert (await first.get("/readyz")).status_code == 200

            await asyncio.to_thread(own_server.stop)
            ready = await first.get("/readyz")
            assert (ready.status_code, ready.text) == (503, "the store does not answer\n")
            assert (await first.get("/healthz")).status_code == 200
            answer = await first.post("/api/sign-in", json={"username": "root", "password": PASSWORD})
            assert answer.status_code == 503 and answer.headers["retry-after"]
            await asyncio.to_thread(own_server.start)
            again = await entered(first, "/api/sign-in")
            assert (await second.get("/api/session", headers=again)).status_code == 200
            assert (await second.get("/api/session", headers=laptop)).status_code == 200, "nobody was signed out"
    for server in (one, two):
        assert valkey.PASSWORD not in server.greeting + server.said


async def test_where_accounts_are_is_not_said_where_it_is_no_surprise(tmp_path):
    """Both in one file: nobody thinks that they are elsewhere."""
    with started(tmp_path) as server:
        assert "Accounts are in" not in server.greeting


@pytest.mark.parametrize("kind", ["single", "cluster"])
async def test_its_figures_are_seen(kind):
    """Waits, the store's answers, nodes, their lag, and its calendar."""
    metrics = Metrics()
    async with Coatcheck(valkey.shared(kind).url(), on_store_call=metrics.store_called) as auth:
        metrics.follow(auth)
        signed_in = await auth.sign_in("maria")
        assert await auth.check(signed_in.token)
        await auth.revoke(signed_in.session.sid)
        seen = await shown(metrics)
    assert seen["coatcheck_nodes"] == 1
    assert seen["coatcheck_feed_lag_positions"] == 0
    assert seen["coatcheck_barrier_seconds_count"] == 1
    assert seen["coatcheck_lease_lapsed_total"] == 0
    assert abs(seen["coatcheck_clock_skew_seconds"]) < 1
    for operation in ("create", "end", "beat", "nodes"):
        assert seen[f'coatcheck_store_seconds_count{{operation="{operation}"}}'] >= 1
