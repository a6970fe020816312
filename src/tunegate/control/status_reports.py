"""Reports by Kubeflow Trainer's progress protocol become events of the job, for programs that only report."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from tunegate.contract.attempt import MetricsEvent, ProgressEvent, SequencedEvent, TrainerEvent
from tunegate.contract.trainer_status import StatusReport, TrainerStatus
from tunegate.control.attempts import authenticated
from tunegate.control.context import ControlContext
from tunegate.control.records import AttemptRecord
from tunegate.control.store.protocol import JobStore
from tunegate.sdk.errors import TunegateError

MIN_INTERVAL_S = 4.0
"""Clients keep five seconds between two reports by clocks of their own; the last report may come at once."""
_TAIL = 16
"""A report makes fewer events than this, so that the newest so many tell how far the attempt was."""
_VALUES_MAX = 64
_COMPLETE = 100
_STEP, _STEPS, _EPOCH, _TOKENS = (
    "current_step",
    "total_steps",
    "current_epoch",
    "num_input_tokens_seen",
)
_POSITIONS = frozenset({_STEP, _STEPS, _EPOCH, "epoch"})
"""Metrics that say where the training is, not how it does."""


async def report(
    context: ControlContext, attempt_id: str, token: str, wanted: StatusReport
) -> None:
    """Take one report. Raises unauthorized, forbidden (not such a program, or its attempt is over), rate_limited."""
    attempt = await authenticated(context, attempt_id, token)
    job = await context.store.get_by_uid(attempt.uid)
    if job is None or job.container.protocol != "kubeflow":
        raise TunegateError("forbidden", "The job's program reports by the attempt protocol.")
    if not await record(context.store, attempt, wanted.trainer_status or TrainerStatus()):
        raise TunegateError("forbidden", "The attempt is over.")


async def record(store: JobStore, attempt: AttemptRecord, status: TrainerStatus) -> bool:
    """Store what the status says; False when the attempt is over. Raises rate_limited."""
    before = await _newest(store, attempt)
    if _is_early(attempt, before, status, store.now_ms()):
        raise TunegateError("rate_limited", retry_after_s=MIN_INTERVAL_S)
    events = events_of(status, before)
    return await store.append_trainer_events(attempt.attempt_id, events) is not None


async def pass_on(store: JobStore, attempt: AttemptRecord, status: TrainerStatus) -> None:
    """Store what an engine repeats of a report, where it is news and its time has come."""
    before = await _newest(store, attempt)
    if _is_early(attempt, before, status, store.now_ms()):
        return
    events = events_of(status, before)
    if any(_is_news(event, before, attempt) for event in events):
        await store.append_trainer_events(attempt.attempt_id, events)


def events_of(status: TrainerStatus, before: ProgressEvent | None) -> list[TrainerEvent]:
    """Progress and metrics; nothing where the report was overtaken by one that is further. Pure."""
    numbers = dict(_numbers(status))
    progress = _progress(status, numbers, before)
    if progress is not None and before is not None and _share(progress) < _share(before):
        return []
    step = (progress or before or _START).step
    values = iter([item for item in numbers.items() if item[0] not in _POSITIONS])
    metrics: list[MetricsEvent] = []
    while some := dict(islice(values, _VALUES_MAX)):
        metrics.append(MetricsEvent(step=step, values=some, latest=True))
    return [*([] if progress is None else [progress]), *metrics]


def _progress(
    status: TrainerStatus, numbers: Mapping[str, float], before: ProgressEvent | None
) -> ProgressEvent | None:
    """In steps where the program tells them, else in hundredths."""
    percent = status.progress_percentage
    last = before or _START
    total = int(numbers.get(_STEPS, 0)) or last.total_steps or _COMPLETE
    if _STEP in numbers:
        step = int(numbers[_STEP])
    elif percent is not None:
        step = total * percent // 100
    else:
        return None
    return ProgressEvent(
        step=step,
        total_steps=total,
        epoch=numbers.get(_EPOCH, last.epoch),
        tokens=int(numbers.get(_TOKENS, last.tokens)),
        tokens_per_s=0.0,
        eta_s=status.estimated_remaining_s,
    )


_START = ProgressEvent(step=0, total_steps=0, epoch=0.0, tokens=0, tokens_per_s=0.0)


def _is_early(
    attempt: AttemptRecord, before: ProgressEvent | None, status: TrainerStatus, now_ms: int
) -> bool:
    if not attempt.received_through or attempt.last_seen_ms is None:
        return False
    completes = status.progress_percentage == _COMPLETE and (before is None or _share(before) < 1)
    return not completes and now_ms - attempt.last_seen_ms < MIN_INTERVAL_S * 1000


def _is_news(event: TrainerEvent, before: ProgressEvent | None, attempt: AttemptRecord) -> bool:
    if isinstance(event, MetricsEvent):
        return not event.values.items() <= attempt.latest.items()
    return event != before


async def _newest(store: JobStore, attempt: AttemptRecord) -> ProgressEvent | None:
    """How far the attempt was."""
    after = max(0, attempt.received_through - _TAIL)
    return _progress_of(await store.read_trainer_events(attempt.attempt_id, after, _TAIL))


def _share(progress: ProgressEvent) -> float:
    return progress.step / max(progress.total_steps, 1)


def _progress_of(events: Sequence[SequencedEvent]) -> ProgressEvent | None:
    found = [item.event for item in events if isinstance(item.event, ProgressEvent)]
    return found[-1] if found else None


def _numbers(status: TrainerStatus) -> Iterator[tuple[str, float]]:
    """The metrics that are finite numbers; a position that is negative is none."""
    for metric in status.metrics or ():
        try:
            value = float(metric.value)
        except ValueError:
            continue
        if math.isfinite(value) and (value >= 0 or metric.name not in {*_POSITIONS, _TOKENS}):
            yield metric.name, value
