"""`JobView`: what a job's events add up to, for whoever shows them. Pure."""

from typing import Any

import msgspec

from tunegate.contract.base import Wire
from tunegate.contract.job import TERMINAL, Job, JobError, JobEvent, Progress

_LOSSES_KEPT = 400


class JobView(Wire):
    """A job at one moment. `losses` are (step, loss) of the running attempt, thinned out when there are many."""

    job_id: str
    status: str
    phase: str
    detail: str
    progress: Progress | None = None
    losses: list[tuple[int, float]] = []
    error: JobError | None = None
    output_uri: str | None = None
    attempt: int = 0

    @classmethod
    def of(cls, job: Job) -> "JobView":
        """As the gateway tells it; the curve is in the events."""
        same = {name: getattr(job, name) for name in cls.__struct_fields__ if hasattr(job, name)}
        return cls(**same)

    @property
    def over(self) -> bool:
        return self.status in TERMINAL

    def after(self, event: JobEvent) -> "JobView":
        """The view once this event has happened."""
        changed: dict[str, Any] = {"status": event.status, "phase": event.phase}
        if event.type in {"job.status", "job.phase", "job.progress", "job.note"} and event.detail:
            changed["detail"] = event.detail
        losses = self.losses
        if event.attempt > self.attempt:
            changed["attempt"] = event.attempt
            losses = [] if self.attempt else losses
        if event.type == "job.progress":
            changed["progress"] = _progress(event.data) or self.progress
        if event.type == "job.metrics":
            changed |= _measured(self.progress, losses, event.data)
        else:
            changed["losses"] = losses
        return msgspec.structs.replace(self, **changed)


class _Metrics(Wire):
    step: int
    values: dict[str, float]


def _progress(data: dict[str, Any]) -> Progress | None:
    try:
        return msgspec.convert(data, Progress)
    except msgspec.ValidationError:
        return None


def _measured(
    progress: Progress | None, losses: list[tuple[int, float]], data: dict[str, Any]
) -> dict[str, Any]:
    """The fields that one step's numbers change."""
    try:
        found = msgspec.convert(data, _Metrics)
    except msgspec.ValidationError:
        return {}
    changed: dict[str, Any] = {}
    seen = {name: found.values[name] for name in ("loss", "eval_loss") if name in found.values}
    if progress is not None and seen:
        changed["progress"] = msgspec.structs.replace(progress, **seen)
    if "loss" in seen:
        kept = losses[::2] if len(losses) >= _LOSSES_KEPT else losses
        changed["losses"] = [*kept, (found.step, seen["loss"])]
    return changed


def duration(seconds: float | None) -> str:
    """`1 h 02 min`, `3 min 05 s`, `12 s`; a dash where it is not known."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def line(view: JobView) -> str:
    """The view in one line of text."""
    parts = [view.job_id, view.status]
    if view.phase != view.status:
        parts.append(view.phase)
    if view.progress is not None and not view.over:
        p = view.progress
        parts.append(f"{p.percent:.0f}%  step {p.step:,}/{p.total_steps:,}")
        parts += [f"loss {p.loss:.4g}"] if p.loss is not None else []
        parts += [f"{duration(p.eta_s)} left"] if p.eta_s is not None else []
    elif view.error is not None:
        parts.append(f"{view.error.code}: {view.error.message}")
    elif view.detail:
        parts.append(view.detail)
    return "  ".join(parts)
