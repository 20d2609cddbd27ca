"""What the metrics listener shows of the engine."""

import httpx

from coatcheck import Coatcheck, StoreUnavailable
from coatcheck.server.metrics import Metrics
from coatcheck.tokens import session_token


async def _shown(metrics):
    transport = httpx.ASGITransport(app=metrics.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        text = (await client.get("/metrics")).text
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def test_the_engine_is_seen_from_outside(tmp_path):
    """Checks by what came of them, the share from memory, waits, the store's answers, nodes and their lag."""
    metrics = Metrics()
    url = f"sqlite:///{tmp_path / 'a.db'}"
    async with Coatcheck(url, on_store_call=metrics.store_called) as auth:
        metrics.follow(auth)
        signed_in = await auth.sign_in("maria")
        for _ in range(3):
            assert await auth.check(signed_in.token)
        await auth.check(session_token.mint())
        await auth._store.join("n1", label="a service")
        waiting = await auth.revoke(signed_in.session.sid)
        assert waiting.nodes == 1
        shown = await _shown(metrics)
        assert shown['coatcheck_check_total{result="memory"}'] == 3
        assert shown['coatcheck_check_total{result="unknown"}'] == 1
        assert shown["coatcheck_cache_ratio"] == 0.75
        assert shown["coatcheck_barrier_seconds_count"] == 1
        assert shown["coatcheck_lease_lapsed_total"] == 0
        assert shown["coatcheck_nodes"] == 1
        assert shown["coatcheck_feed_lag_positions"] == 1
        assert shown["coatcheck_clock_skew_seconds"] == 0
        assert shown['coatcheck_store_seconds_count{operation="create"}'] == 1


async def test_a_store_that_does_not_answer_costs_its_own_figures_only(monkeypatch):
    """The rest is shown all the same."""
    metrics = Metrics()
    async with Coatcheck("memory://") as auth:
        metrics.follow(auth)

        async def lost():
            raise StoreUnavailable("lost")

        monkeypatch.setattr(auth._store, "nodes", lost)
        shown = await _shown(metrics)
        assert str(shown["coatcheck_nodes"]) == "nan"
        assert shown["coatcheck_lease_lapsed_total"] == 0
