"""The trainer's events become fields of the job and lines of its log. Pure: doubled or reordered delivery changes nothing."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

import msgspec

from tunegate.contract.attempt import (
    CheckpointEvent,
    FailedEvent,
    IgnoredEvent,
    MetricsEvent,
    NoteEvent,
    PhaseEvent,
    ProgressEvent,
    SequencedEvent,
    StoppedEvent,
    SucceededEvent,
)
from tunegate.contract.job import Progress
from tunegate.contract.problems import Ignored
from tunegate.control.narration import metrics_line, progress_line
from tunegate.control.records import AttemptRecord, JobRecord, JobState, NewEvent

NOTES_MAX = 200
"""A job keeps no more notes and ignored fields than this; the log has them all."""


class Folded:
    """The effect of a batch of events, gathered one by one. `job` and `attempt` are as they will be."""

    def __init__(self, job: JobRecord, attempt: AttemptRecord) -> None:
        self.job = job
        self.attempt = attempt
        self.fields: dict[str, Any] = {}
        self.attempt_fields: dict[str, Any] = {}
        self.events: list[NewEvent] = []
        self._before = attempt.folded_through
        self._progressed = False

    def is_full(self, page: int) -> bool:
        """Whether as many events were taken as one page holds: more may wait."""
        return self.attempt.folded_through - self._before >= page

    def add(self, item: SequencedEvent) -> None:
        """Take the event that follows the last one. After the trainer's last word nothing counts, whenever it comes."""
        self._set_attempt(folded_through=item.sequence)
        if self.attempt.outcome is None:
            self._take(item)

    def close(self) -> None:
        """Many progress reports of one batch make one line of the log."""
        if self._progressed and self.job.progress is not None:
            data = msgspec.to_builtins(self.job.progress)
            self._log("job.progress", progress_line(self.job.progress), data)

    def _take(self, item: SequencedEvent) -> None:
        match item.event:
            case PhaseEvent(phase=phase, detail=detail):
                self._enter(phase, detail)
            case ProgressEvent() as event:
                self._advance(event)
            case MetricsEvent() as event:
                self._measure(event)
            case NoteEvent(text=text):
                self._note(text)
            case IgnoredEvent(path=path, reason=reason):
                self._ignore(Ignored(path=path, reason=reason))
            case CheckpointEvent() as event:
                data = {"step": event.step, "uri": event.uri, "size_bytes": event.size_bytes}
                self._log("job.checkpoint", f"Checkpoint of step {event.step} is complete", data)
            case SucceededEvent() | FailedEvent() | StoppedEvent():
                self._set_attempt(outcome=item)
            case _:
                pass

    def _enter(self, phase: str, detail: str) -> None:
        if self.job.state is JobState.STOPPING:
            self._set(detail=detail)
        else:
            self._set(phase=phase, detail=detail)
        self._log("job.phase", detail, {"phase": phase})

    def _advance(self, event: ProgressEvent) -> None:
        before = self.job.progress
        total = max(event.total_steps, 1)
        self._set(
            progress=Progress(
                step=event.step,
                total_steps=event.total_steps,
                percent=round(min(100.0, 100.0 * event.step / total), 2),
                epoch=event.epoch,
                tokens=event.tokens,
                tokens_per_s=event.tokens_per_s,
                eta_s=event.eta_s,
                loss=before.loss if before else None,
                eval_loss=before.eval_loss if before else None,
            )
        )
        self._progressed = True

    def _measure(self, event: MetricsEvent) -> None:
        values = {name: value for name, value in event.values.items() if isfinite(value)}
        if event.latest:
            told = self.attempt.latest
            values = {name: value for name, value in values.items() if told.get(name) != value}
            if not values:
                return
            self._set_attempt(latest=told | values)
        progress = self.job.progress
        seen = {name: values[name] for name in ("loss", "eval_loss") if name in values}
        if progress is not None and seen:
            self._set(progress=msgspec.structs.replace(progress, **seen))
        self._log(
            "job.metrics", metrics_line(event.step, values), {"step": event.step, "values": values}
        )

    def _note(self, text: str) -> None:
        if text in self.job.notes:
            return
        if len(self.job.notes) < NOTES_MAX:
            self._set(notes=[*self.job.notes, text])
        self._log("job.note", text)

    def _ignore(self, ignored: Ignored) -> None:
        if ignored in self.job.ignored:
            return
        if len(self.job.ignored) < NOTES_MAX:
            self._set(ignored=[*self.job.ignored, ignored])
        self._log("job.ignored", f"{ignored.path}: {ignored.reason}", msgspec.to_builtins(ignored))

    def _set(self, **fields: Any) -> None:
        self.job = msgspec.structs.replace(self.job, **fields)
        self.fields |= fields

    def _set_attempt(self, **fields: Any) -> None:
        self.attempt = msgspec.structs.replace(self.attempt, **fields)
        self.attempt_fields |= fields

    def _log(self, event_type: str, detail: str, data: dict[str, Any] | None = None) -> None:
        self.events.append(
            NewEvent(
                type=event_type,
                status=self.job.status,
                phase=self.job.phase,
                detail=detail,
                attempt=self.attempt.number,
                data=data or {},
            )
        )


def fold(job: JobRecord, attempt: AttemptRecord, events: Sequence[SequencedEvent]) -> Folded:
    """Take the events that follow `attempt.folded_through` without a gap; the state stays, `lifecycle` moves it."""
    folded = Folded(job, attempt)
    items = {item.sequence: item for item in events}
    while (item := items.get(folded.attempt.folded_through + 1)) is not None:
        folded.add(item)
    folded.close()
    return folded
