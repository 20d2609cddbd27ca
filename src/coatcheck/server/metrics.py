"""
What the server counts, for Prometheus. Floor 6; may import: the engine, errors.

Rules of this module:

1. Served on a listener of its own, on loopback: figures tell an attacker how an attack is going.
2. No label holds what a visitor, or a node on the feed, made up.
3. What only the store can tell is asked when somebody looks; a store that does not answer costs these figures only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from coatcheck.engine import Coatcheck
from coatcheck.errors import CoatcheckError

_FAST = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "coatcheck_requests_total", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "coatcheck_request_seconds",
            "Time from the request's arrival to the end of its answer.",
            ["route"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=self.registry,
        )

        self._events = Counter(
            "coatcheck_events_total",
            "What the audit trail tells of: sign-ins, failures, …",
            ["event"],
            registry=self.registry,
        )
        self._store = Histogram(
            "coatcheck_store_seconds",
            "Time that the store took to answer.",
            ["operation"],
            buckets=_FAST,
            registry=self.registry,
        )
        self._barrier = Histogram(
            "coatcheck_barrier_seconds",
            "Time that a change waited, after its commit, to be in force in every process.",
            buckets=_FAST,
            registry=self.registry,
        )
        self._nodes = Gauge("coatcheck_nodes", "Processes that answer from memory.", registry=self.registry)
        self._lag = Gauge(
            "coatcheck_feed_lag_positions",
            "How many changes the slowest node has not said to have applied.",
            registry=self.registry,
        )
        self._skew = Gauge(
            "coatcheck_clock_skew_seconds",
            "By how much the store's calendar is ahead of this machine's.",
            registry=self.registry,
        )
        self._auth: Coatcheck | None = None

    def follow(self, auth: Coatcheck) -> None:
        """Show the figures of an engine that is open."""
        self._auth = auth
        auth.on_wait(self._barrier.observe)
        self.registry.register(_Checks(auth))

    def store_called(self, operation: str, seconds: float) -> None:
        """Count one call of the store."""
        self._store.labels(operation).observe(seconds)

    def count_event(self, event: str) -> None:
        """Count one event of the audit trail."""
        self._events.labels(event).inc()

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one response."""
        known = method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def app(self) -> Starlette:
        """Return the application of the metrics listener."""

        async def metrics(request: Request) -> Response:
            await self._ask_store()
            return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

        return Starlette(routes=[Route("/metrics", metrics)])

    async def _ask_store(self) -> None:
        if self._auth is None:
            return
        try:
            fleet = await self._auth.fleet()
            self._nodes.set(len(fleet.rows))
            self._lag.set(max((fleet.head - node.applied for node in fleet.rows), default=0))
            self._skew.set(await self._auth.clock_skew())
        except CoatcheckError:
            for gauge in (self._nodes, self._lag, self._skew):
                gauge.set(math.nan)


class _Checks(Collector):
    """What the engine has counted, read when somebody looks."""

    def __init__(self, auth: Coatcheck) -> None:
        self._auth = auth

    def collect(self) -> Iterator[Metric]:
        """Yield the figures as they stand now."""
        figures = self._auth.figures()
        checks = CounterMetricFamily("coatcheck_check", "Session checks, by what came of them.", labels=["result"])
        checks.add_metric(["memory"], figures.warm)
        for result, count in sorted(figures.asked.items()):
            checks.add_metric(["store" if result == "accepted" else result], count)
        yield checks
        total = figures.warm + sum(figures.asked.values())
        ratio = "Share of the checks that were answered from memory."
        yield GaugeMetricFamily("coatcheck_cache_ratio", ratio, value=figures.warm / total if total else math.nan)
        yield GaugeMetricFamily("coatcheck_cached_sessions", "Sessions in memory.", value=figures.cached)
        lapsed = "How often the lease had run out when memory was asked."
        yield CounterMetricFamily("coatcheck_lease_lapsed", lapsed, value=figures.lapses)
