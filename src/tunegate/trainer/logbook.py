"""`Logbook`: the run's own folder of logs: train.log, events.ndjson and TensorBoard scalars."""

import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tunegate.contract.attempt import (
    CheckpointEvent,
    FailedEvent,
    HeartbeatEvent,
    IgnoredEvent,
    MetricsEvent,
    NoteEvent,
    PhaseEvent,
    ProgressEvent,
    StoppedEvent,
    SucceededEvent,
    TrainerEvent,
)
from tunegate.trainer.files import files_below
from tunegate.trainer.scalars import write_scalars


class Logbook:
    """Writes every event as a line for people (also to stdout) and one for machines. Safe for several threads."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self._lock = threading.Lock()
        self._scalars: list[MetricsEvent] = []
        self._log = (folder / "train.log").open("a", encoding="utf-8")
        self._events = (folder / "events.ndjson").open("ab")

    def event(self, event: TrainerEvent, at_ms: int) -> None:
        """Note an event."""
        if isinstance(event, HeartbeatEvent):
            return
        with self._lock:
            line = msgspec.json.encode({"at_ms": at_ms, "event": event})
            self._events.write(line + b"\n")
            self._events.flush()
            if isinstance(event, MetricsEvent):
                self._scalars.append(event)
        self.line(describe(event), at_ms)

    def line(self, text: str, at_ms: int) -> None:
        """Note a line that is no event: what a library says, a traceback."""
        time = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S")
        with self._lock:
            print(f"{time} {text}", file=self._log, flush=True)
            print(f"{time} {text}", file=sys.stdout, flush=True)

    def complain(self, text: str) -> None:
        """A line from where there is no clock at hand."""
        self.line(text, time.time_ns() // 1_000_000)

    def write_scalars(self) -> None:
        """Bring the TensorBoard files up to date. The import is slow, so this is for quiet moments."""
        with self._lock:
            scalars, self._scalars = self._scalars, []
        if scalars:
            write_scalars(self.folder / "tensorboard", scalars)

    def files(self) -> list[Path]:
        """All files, for the upload."""
        return files_below(self.folder)

    def close(self) -> None:
        self._log.close()
        self._events.close()


def describe(event: TrainerEvent) -> str:
    """One line that a person can read."""
    match event:
        case PhaseEvent():
            return f"{event.phase}: {event.detail}"
        case ProgressEvent():
            return (
                f"step {event.step}/{event.total_steps}, epoch {event.epoch:.2f}, "
                f"{event.tokens:,} tokens, {event.tokens_per_s:,.0f} tokens/s"
            )
        case MetricsEvent():
            values = ", ".join(f"{name} {value:.6g}" for name, value in event.values.items())
            return f"step {event.step}: {values}"
        case NoteEvent():
            return f"note: {event.text}"
        case IgnoredEvent():
            return f"ignored: {event.path}: {event.reason}"
        case CheckpointEvent():
            return f"checkpoint of step {event.step} complete, {event.size_bytes:,} bytes"
        case SucceededEvent():
            return f"succeeded: {event.detail}"
        case FailedEvent():
            return f"failed ({event.code}): {event.detail}"
        case StoppedEvent():
            return f"stopped: {event.detail}"
        case HeartbeatEvent():
            return "heartbeat"
