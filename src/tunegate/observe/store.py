"""A job store that is watched: every call is timed, and what its values say is counted."""

import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from inspect import iscoroutinefunction
from typing import Any, cast

from msgspec.structs import replace

from tunegate.contract.attempt import SequencedEvent
from tunegate.contract.container import ContainerSpec
from tunegate.control.records import FINAL, JobRecord, JobState
from tunegate.control.store.protocol import Change, Claim, JobStore, Submission
from tunegate.observe.metrics import ControlMetrics
from tunegate.sdk.clock import Clock
from tunegate.sdk.errors import CATALOGUE
from tunegate.tracing import Tracing

LATE_S = 45.0
"""Trainers speak every 15 seconds; three missed in a row are late."""
_REMEMBERED = 100_000
_Call = Callable[..., Coroutine[Any, Any, Any]]


def watched(
    store: JobStore, metrics: ControlMetrics, clock: Clock, tracing: Tracing | None = None
) -> JobStore:
    """The same store; whoever calls it sees no difference. With `tracing` jobs carry the trace that they came with."""
    return cast("JobStore", _WatchedStore(store, metrics, clock, tracing))


class _WatchedStore:
    """Passes everything on. What it remembers of jobs is bounded and may be forgotten."""

    def __init__(
        self, store: JobStore, metrics: ControlMetrics, clock: Clock, tracing: Tracing | None
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._leased_at_s = _Recent()
        self._driven = _Recent()
        self._spoke_at_s = _Recent()
        self._tracing = tracing
        self._before: dict[str, Callable[[Any], Any]] = (
            {"create_job": self._with_trace, "apply": self._retried_with_trace} if tracing else {}
        )
        self._after: dict[str, Callable[..., None]] = {
            "lease_due": self._leased,
            "apply": self._applied,
            "claim_attempt": self._claimed,
            "add_trainer_events": self._told,
            "destroy_sealed": lambda _, _uid, fields: metrics.secrets_destroyed.inc(len(fields)),
            "delivered": lambda *_: metrics.deliveries.labels("delivered").inc(),
            "postpone": lambda *_: metrics.deliveries.labels("retried").inc(),
            "bury": lambda *_: metrics.deliveries.labels("dead").inc(),
        }

    def __getattr__(self, name: str) -> Any:
        """Asked once per name: the call stays as an attribute."""
        found = getattr(self._store, name)
        passed = self._timed(name, found) if iscoroutinefunction(found) else found
        setattr(self, name, passed)
        return passed

    def _timed(self, name: str, call: _Call) -> _Call:
        seconds = self._metrics.store_seconds.labels(name)
        errors = self._metrics.store_errors.labels(name)
        waiting = self._metrics.store_waiting
        before, after = self._before.get(name), self._after.get(name)

        async def timed(*arguments: Any, **named: Any) -> Any:
            if before is not None:
                arguments = (before(arguments[0]), *arguments[1:])
            began_s = time.perf_counter()
            waiting.inc()
            try:
                result = await call(*arguments, **named)
            except Exception:
                errors.inc()
                raise
            finally:
                waiting.dec()
                seconds.observe(time.perf_counter() - began_s)
            if after is not None:
                after(result, *arguments, **named)
            return result

        return timed

    def _with_trace(self, submission: Submission) -> Submission:
        job = submission.job
        return replace(submission, job=replace(job, container=self._carrying(job.container)))

    def _retried_with_trace(self, change: Change) -> Change:
        container = change.fields.get("container")
        if container is None:
            return change
        return replace(change, fields={**change.fields, "container": self._carrying(container)})

    def _carrying(self, container: ContainerSpec) -> ContainerSpec:
        ours = self._tracing.environment() if self._tracing is not None else {}
        return replace(container, env={**ours, **container.env})

    def _leased(self, jobs: Sequence[JobRecord], *_: Any, **__: Any) -> None:
        now_s = self._clock.monotonic_s()
        for job in jobs:
            self._leased_at_s.keep(job.uid, now_s)
            under_way = job.state is not JobState.QUEUED and job.state not in FINAL
            if self._driven.keep(job.uid, 1.0) is None and under_way:
                self._metrics.taken_over.inc()

    def _applied(self, job: JobRecord | None, change: Change, *_: Any, **__: Any) -> None:
        if job is None:
            return
        if change.destroy_sealed:
            self._metrics.secrets_destroyed.inc(len(change.destroy_sealed))
        if (
            change.releases_lease
            and (leased_at_s := self._leased_at_s.drop(change.uid)) is not None
        ):
            self._metrics.pass_seconds.observe(self._clock.monotonic_s() - leased_at_s)
        if "state" in change.fields and job.state in FINAL:
            code = job.error.code if job.error is not None else ""
            known = code if code in CATALOGUE else "other" if code else ""
            self._metrics.finished.labels(job.state.value, known).inc()

    def _claimed(self, claim: Claim, *_: Any, **__: Any) -> None:
        attempt = claim.attempt
        if not claim.granted or attempt is None:
            self._metrics.claims_refused.inc()
        elif attempt.claimed_ms is not None:
            seconds = max(0, attempt.claimed_ms - attempt.created_ms) / 1000
            self._metrics.launch_seconds.labels(attempt.launcher).observe(seconds)

    def _told(
        self, stored: object, attempt_id: str, _run: str, events: Sequence[SequencedEvent]
    ) -> None:
        if stored is None or not events:
            return
        lag_ms = self._clock.now_ms() - events[-1].at_ms
        self._metrics.event_lag.observe(max(0, lag_ms) / 1000)
        now_s = self._clock.monotonic_s()
        before_s = self._spoke_at_s.keep(attempt_id, now_s)
        if before_s is not None and now_s - before_s > LATE_S:
            self._metrics.late_heartbeats.inc()


class _Recent:
    """The newest of what was kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, float] = OrderedDict()

    def keep(self, key: str, value: float) -> float | None:
        """Returns what stood there."""
        before = self._kept.pop(key, None)
        self._kept[key] = value
        if len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)
        return before

    def drop(self, key: str) -> float | None:
        return self._kept.pop(key, None)
