"""Sentences for people: the `detail` of events and the one-line `log` of webhooks."""

from collections.abc import Mapping

from tunegate.contract.job import Progress
from tunegate.control.records import JobRecord, NewEvent

LOG_MAX_BYTES = 2000
"""Receivers keep every line: longer ones bring them down."""


def log_line(job: JobRecord, event: NewEvent) -> str:
    """What the reader of a webhook sees; `job` is as it is after the event. One line, never empty."""
    return one_line(_sentence(job, event)) or f"The job is {event.status}"


def _sentence(job: JobRecord, event: NewEvent) -> str:
    if event.type == "job.progress":
        return event.detail
    match event.status:
        case "failed" if job.error is not None:
            return f"Failed: {_stop(job.error.message)} {job.error.advice}"
        case "succeeded":
            return f"Succeeded: {_stop(event.detail)} The result is in {job.output_uri}"
        case "running":
            return f"Running on {job.launcher}: {event.detail}"
        case _:
            return event.detail


def progress_line(progress: Progress) -> str:
    """`Step 120 of 240, loss 1.83, 12 s left`."""
    parts = [f"Step {progress.step} of {progress.total_steps}"]
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.4g}")
    if progress.eta_s is not None:
        parts.append(f"{_duration(progress.eta_s)} left")
    return ", ".join(parts)


def metrics_line(step: int, values: Mapping[str, float]) -> str:
    """`Step 120: loss 1.83, learning_rate 0.0002`."""
    shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    return f"Step {step}: {shown}"


def one_line(text: str) -> str:
    """Whitespace and control characters become single spaces; at most LOG_MAX_BYTES of UTF-8."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line.encode()[:LOG_MAX_BYTES].decode(errors="ignore")


def _stop(sentence: str) -> str:
    text = sentence.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
