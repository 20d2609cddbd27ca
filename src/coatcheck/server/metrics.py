"""
What the server counts, for Prometheus. Floor 6; may import: nothing of ours.

Rules of this module:

1. Served on a listener of its own, on loopback: figures tell an attacker how an attack is going.
2. No label holds what a visitor made up.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


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
            return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

        return Starlette(routes=[Route("/metrics", metrics)])
