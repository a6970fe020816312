"""What must come of a stream, told naively: read the words in order, once each, up to the last one. Knows nothing of our fold."""

from typing import Any, NamedTuple

import msgspec

from faults.trainer_events.stream import Stream, Told
from tunegate.contract.attempt import SequencedEvent

ENDS = {"succeeded": ("succeeded", None), "failed": ("failed", "data_invalid")}


class Expected(NamedTuple):
    """The end of a job, and what its log must say of the trainer, in this order."""

    state: str
    code: str | None
    progress: dict[str, Any] | None
    notes: list[str]
    ignored: list[dict[str, str]]
    log: list[tuple[str, Any]]


def expected(stream: Stream) -> Expected:
    """By hand."""
    progress: dict[str, Any] | None = None
    notes: list[str] = []
    ignored: list[dict[str, str]] = []
    log: list[tuple[str, Any]] = []
    for told in stream.attempts:
        for word in _in_order(told):
            kind = word["kind"]
            if kind == "progress":
                seen = progress or {"loss": None, "eval_loss": None}
                percent = round(100.0 * word["step"] / word["total_steps"], 2)
                progress = {**{k: v for k, v in word.items() if k != "kind"}, "percent": percent}
                progress |= {"loss": seen["loss"], "eval_loss": seen["eval_loss"]}
            elif kind == "metrics":
                for name in ("loss", "eval_loss"):
                    if progress is not None and name in word["values"]:
                        progress[name] = word["values"][name]
                log.append(("job.metrics", {"step": word["step"], "values": word["values"]}))
            elif kind == "note" and word["text"] not in notes:
                notes.append(word["text"])
                log.append(("job.note", word["text"]))
            elif kind == "ignored":
                entry = {"path": word["path"], "reason": word["reason"]}
                if entry not in ignored:
                    ignored.append(entry)
                    log.append(("job.ignored", entry))
            elif kind == "checkpoint":
                log.append(("job.checkpoint", word["step"]))
            elif kind == "phase":
                log.append(("job.phase", word["phase"]))
    state, code = _end(stream.attempts[-1])
    return Expected(state, code, progress, notes, ignored, log)


def _in_order(told: Told) -> list[dict[str, Any]]:
    items: dict[int, SequencedEvent] = {item.sequence: item for item in told.said}
    return [msgspec.to_builtins(items[number].event) for number in sorted(items)]


def _end(told: Told) -> tuple[str, str | None]:
    kind = msgspec.to_builtins(told.said[-1].event)["kind"]
    if kind in ENDS:
        return ENDS[kind]
    # A trainer that stopped by itself was interrupted; one that says nothing is judged by its exit code, 67.
    return "failed", "interrupted" if kind == "stopped" else "data_invalid"
