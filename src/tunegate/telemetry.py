"""Logs: one JSON object per line (or colours on a terminal), made of known fields only, so that no secret can slip in."""

import asyncio
import atexit
import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

ALLOWED_FIELDS = frozenset({
    "attempt", "attempt_id", "backend", "backends", "channel", "code", "count", "delivery_id", "duration_ms",
    "epoch", "error_type", "event", "exit_code", "host", "job_id", "launcher", "launchers", "level", "logger", "method",
    "native_state", "outcome", "path", "phase", "pid", "port", "reason", "request_id", "retry_in_s", "route",
    "run_name", "sequence", "signal", "state", "status", "store", "tenant", "timestamp", "trace_id", "tries", "uid", "version",
    "where",
})  # fmt: skip
"""Anything else is dropped before it is written: a field must be added here by somebody who thought of secrets."""

_OWN = "tunegate"
_TRUSTED = ("uvicorn.error", _OWN)
"""Loggers of the standard library whose messages are passed on; of all others only the place is."""


def get_logger(name: str) -> Any:
    """A logger of ours: `log.info("what_happened", job_id=…)` with fields of ALLOWED_FIELDS."""
    return structlog.stdlib.get_logger(name)


class LineLog:
    """A logger for one kind of line that every request writes: the same JSON in a small part of the time.

    Only where lines are JSON and nobody has put a handler of his own; people and tests get them by the usual way.
    """

    def __init__(self, name: str, event: str) -> None:
        self._logger = logging.getLogger(name)
        self._usual = get_logger(name)
        self._event = event

    def write(self, **fields: Any) -> None:
        """One line of level info."""
        if not self._logger.isEnabledFor(logging.INFO):
            return
        stream = _lines.stream
        if stream is None or self._logger.handlers:
            self._usual.info(self._event, **fields)
            return
        said = structlog.contextvars.get_contextvars() | fields
        line = {key: value for key, value in said.items() if key in ALLOWED_FIELDS}
        line |= {"event": self._event, "logger": self._logger.name, "level": "info"}
        line["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        _lines.add(_encode(line) + "\n")


class _Lines:
    """Where `configure` sends lines of JSON; None = to people, or not configured.

    What one turn of the event loop has to say is written at once at its end: a call into the kernel for each line would
    cost more than the line.
    """

    stream: TextIO | None = None

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._writer: asyncio.AbstractEventLoop | None = None
        """The loop that will write what waits."""

    def add(self, line: str) -> None:
        self._waiting.append(line)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.write()
            return
        if self._writer is not loop:
            self._writer = loop
            loop.call_soon(self.write)

    def write(self) -> None:
        """Write what waits. Where that can't be done nobody stops for it, as with all logging."""
        text = "".join(self._waiting)
        self._waiting.clear()
        self._writer = None
        if text and self.stream is not None:
            with suppress(OSError, ValueError):  # ValueError: it is closed
                self.stream.write(text)


_lines = _Lines()
atexit.register(_lines.write)


@contextmanager
def bound(**fields: str) -> Generator[None]:
    """Fields that all log lines of this task carry until the block ends, such as the job_id."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield


def configure(*, level: str = "info", console: bool | None = None) -> None:
    """Set up logging for the process. `console` None = colours when stderr is a terminal, JSON otherwise."""
    to_people = sys.stderr.isatty() if console is None else console
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        known_fields_only,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer() if to_people else structlog.processors.JSONRenderer(_encode)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    _lines.stream = None if to_people else sys.stderr
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(withhold_foreign)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_add_place, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.raiseExceptions = False  # a failing log call would print its arguments
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in _TRUSTED:
        logging.getLogger(name).setLevel(level.upper())


def place_of(error: BaseException) -> dict[str, str]:
    """The kind of an error and the innermost lines of code it passed: never its message, which may hold a value."""
    frames: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return {"error_type": type(error).__name__, "where": " < ".join(reversed(frames[-6:]))}


def _add_place(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """What `logger.exception` of the standard library knows, without the message of the exception."""
    record: logging.LogRecord | None = event.get("_record")
    error = record.exc_info[1] if record is not None and record.exc_info else None
    return {**event, **place_of(error)} if error is not None else event


def known_fields_only(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop every field that nobody vouched for."""
    internal = ("_record", "_from_structlog")
    return {k: v for k, v in event.items() if k in ALLOWED_FIELDS or k in internal}


def withhold_foreign(record: logging.LogRecord) -> bool:
    """Libraries log addresses, headers and bodies: keep the place and the level, not the words or the traceback."""
    record.exc_text, record.stack_info = None, None
    if not record.name.startswith(_TRUSTED):
        record.msg, record.args = f"{record.name}:{record.lineno} spoke", None
    elif isinstance(record.msg, str) and "\n" in record.msg:
        record.msg = record.msg.split("\n", 1)[0]  # what follows is a traceback in words
    return True


def _encode(event: Any, **_options: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()
