"""The series of the control plane. Labels come from fixed sets: never a job's id, a tenant or a client's text."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tunegate.contract.audit import AuditHead

_FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SLOW_S = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0)


class ControlMetrics(Collector):
    """All of them; register it with the registry that is scraped."""

    def __init__(self) -> None:
        own = self._own = CollectorRegistry()
        self.store_seconds = Histogram(
            "tunegate_store_seconds", "Time of a call of the job store, waiting for its turn included.",
            ("operation",), buckets=_FAST_S, registry=own,
        )  # fmt: skip
        self.store_errors = Counter(
            "tunegate_store_errors_total", "Calls of the job store that failed.", ("operation",), registry=own
        )  # fmt: skip
        self.store_waiting = Gauge(
            "tunegate_store_calls", "Calls of the job store under way or waiting.", registry=own
        )
        self.launch_seconds = Histogram(
            "tunegate_launch_seconds", "From an attempt's intent until its trainer claims it.",
            ("launcher",), buckets=_SLOW_S, registry=own,
        )  # fmt: skip
        self.claims_refused = Counter(
            "tunegate_claims_refused_total", "Claims that came second: doubled or outdated runs.", registry=own
        )  # fmt: skip
        self.pass_seconds = Histogram(
            "tunegate_job_pass_seconds", "From leasing a job until it is let go: one pass of the reconciler.",
            buckets=_FAST_S, registry=own,
        )  # fmt: skip
        self.taken_over = Counter(
            "tunegate_jobs_taken_over_total", "Jobs under way that another process had driven before this one.", registry=own
        )  # fmt: skip
        self.event_lag = Histogram(
            "tunegate_event_lag_seconds", "From a trainer's event until it is stored, by both machines' clocks.",
            buckets=_SLOW_S, registry=own,
        )  # fmt: skip
        self.late_heartbeats = Counter(
            "tunegate_heartbeats_late_total", "Times that a trainer was silent for too long and then spoke again.", registry=own
        )  # fmt: skip
        self.deliveries = Counter(
            "tunegate_deliveries_total", "Tries to deliver a message, by what came of it: delivered, retried, dead.",
            ("outcome",), registry=own,
        )  # fmt: skip
        self.secrets_destroyed = Counter(
            "tunegate_secrets_destroyed_total",
            "Sealed fields of jobs that were destroyed.",
            registry=own,
        )
        self.finished = Counter(
            "tunegate_jobs_finished_total", "Jobs that ended, by how, and by the code of their error.",
            ("status", "code"), registry=own,
        )  # fmt: skip
        self.engine_seconds = Histogram(
            "tunegate_engine_seconds", "Time of a call to an engine.",
            ("launcher", "call"), buckets=_SLOW_S, registry=own,
        )  # fmt: skip
        self.engine_errors = Counter(
            "tunegate_engine_errors_total", "Calls to an engine that failed.", ("launcher", "call"), registry=own
        )  # fmt: skip

        self.audit_entries = Gauge(
            "tunegate_audit_sequence", "Number of the newest entry of the audit log.", registry=own
        )

        self.expired = Counter(
            "tunegate_expired_total", "What retention removed: jobs, their events, logs and deliveries, tokens, audit entries.",
            ("what",), registry=own,
        )  # fmt: skip

    def removed(self, what: str, count: int) -> None:
        self.expired.labels(what).inc(count)

    def audited(self, head: AuditHead) -> None:
        self.audit_entries.set(head.sequence)

    def collect(self) -> Iterable[Metric]:
        return self._own.collect()
