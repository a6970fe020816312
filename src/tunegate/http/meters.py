"""What Prometheus reads at `/metrics`."""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tunegate.control.records import JobState
from tunegate.control.store.protocol import Counts
from tunegate.http.pressure import Pressure

CONTENT_TYPE = "text/plain; version=0.0.4"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Meters:
    """One registry per application; `count_jobs` is asked when somebody scrapes."""

    def __init__(self, count_jobs: Callable[[], Awaitable[Counts]]) -> None:
        self.registry = CollectorRegistry()
        self._count_jobs = count_jobs
        self._requests = Counter(
            "tunegate_requests_total",
            "Requests by route, method and status.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._latency = Histogram(
            "tunegate_request_seconds",
            "Time until a request was answered, streams apart.",
            ("route", "method"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._submissions = Counter(
            "tunegate_submissions_total",
            "Submissions by outcome: created, repeated, refused.",
            ("outcome",),
            registry=self.registry,
        )
        self.streams = self._gauge("tunegate_streams", "Event and log streams that are open.")
        self._outbox = self._gauge("tunegate_outbox_rows", "Messages not yet delivered.")
        self._oldest_queued = self._gauge(
            "tunegate_oldest_queued_seconds", "Age of the oldest job that waits."
        )
        self._oldest_delivery = self._gauge(
            "tunegate_oldest_delivery_seconds", "Age of the oldest message not yet delivered."
        )
        # Finding the series of some labels costs as much as all else about it.
        self._request_counter = cache(self._requests.labels)
        self._latency_of = cache(self._latency.labels)
        self._submission_counter = cache(self._submissions.labels)
        self._jobs = Gauge("tunegate_jobs", "Jobs by state.", ("state",), registry=self.registry)

    def watch(self, pressure: Pressure) -> None:
        """Say what is under way, and what was turned away."""
        under_way = self._gauge("tunegate_requests_under_way", "Requests worked on, streams apart.")
        under_way.set_function(lambda: pressure.requests)
        bodies = self._gauge("tunegate_body_bytes", "What the bodies of requests under way hold.")
        bodies.set_function(lambda: pressure.body_bytes)
        refused = self._gauge(
            "tunegate_requests_turned_away", "Requests answered 503 for pressure since the start."
        )
        refused.set_function(lambda: pressure.refused)

    def _gauge(self, name: str, help_text: str) -> Gauge:
        return Gauge(name, help_text, registry=self.registry)

    def observe(self, route: str, method: str, status: int, seconds: float | None) -> None:
        """Count a request; `seconds` None for streams, whose length says nothing."""
        self._request_counter(route, method, status).inc()
        if seconds is not None:
            self._latency_of(route, method).observe(seconds)

    def submitted(self, outcome: Literal["created", "repeated", "refused"]) -> None:
        """Count a submission."""
        self._submission_counter(outcome).inc()

    async def scrape(self) -> bytes:
        """All series in the text format."""
        counts = await self._count_jobs()
        for state in JobState:
            self._jobs.labels(state.value).set(counts.jobs.get(state.value, 0))
        self._outbox.set(counts.outbox)
        self._oldest_queued.set((counts.oldest_queued_ms or 0) / 1000)
        self._oldest_delivery.set((counts.oldest_delivery_ms or 0) / 1000)
        return generate_latest(self.registry)
