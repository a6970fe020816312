"""Numbered moments of a gateway's life, and SIGKILL at one of them. Installed in a process that will serve, never in `src`."""

import mmap
import os
import signal
import struct
import threading
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import aiohttp.http_writer
import apsw
import psycopg

from tunegate.commands import serve
from tunegate.control.store.postgres import dialect
from tunegate.control.store.sqlite import store as sqlite_store
from tunegate.egress import EgressClient
from tunegate.launchers.local import folder, runs
from tunegate.launchers.local.launcher import LocalLauncher

P = ParamSpec("P")
R = TypeVar("R")
KINDS: tuple[str, ...] = ("store", "engine", "webhook", "answer")
"""Statements and commits; calls and their steps; bytes of webhooks, and what is before and behind; answers of the API."""
_COUNTS = struct.Struct(f"<{len(KINDS)}q")


class Points:
    """Each kind has numbers of its own, from 1. `counts` outlive the process: see `read_counts`."""

    def __init__(self, kind: str | None, number: int, record: Path) -> None:
        self.kind = kind
        self._number = number
        self._counts: dict[str, int] = dict.fromkeys(KINDS, 0)
        self._lock = threading.Lock()
        self._label = record.with_suffix(".point")
        self._label.unlink(missing_ok=True)
        record.write_bytes(bytes(_COUNTS.size))
        with record.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _COUNTS.size)

    def pass_by(self, kind: str, label: str) -> None:
        """One moment; at the armed one this does not return."""
        if self.reach(kind, 1) is not None:
            self.die(label)

    def reach(self, kind: str, length: int) -> int | None:
        """So many moments at once: how many of them may still be lived, when the armed one is among them."""
        with self._lock:
            before = self._counts[kind]
            self._counts[kind] = before + length
            _COUNTS.pack_into(self._shared, 0, *self._counts.values())
        if kind == self.kind and before < self._number <= before + length:
            return self._number - before
        return None

    def die(self, label: str) -> None:
        """As the machine would have it."""
        self._label.write_text(label)
        os.kill(os.getpid(), signal.SIGKILL)

    def around(self, kind: str, owner: Any, name: str) -> None:
        """A moment before and one after each call of `owner.name`."""
        real, label = getattr(owner, name), f"{kind}: {name}"

        @wraps(real)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.pass_by(kind, f"before {label}")
            result = real(*args, **kwargs)
            self.pass_by(kind, f"after {label}")
            return result

        setattr(owner, name, call)

    def around_async(self, kind: str, owner: Any, name: str) -> None:
        """The same for a coroutine function."""
        real, label = getattr(owner, name), f"{kind}: {name}"

        @wraps(real)
        async def call(*args: Any, **kwargs: Any) -> Any:
            self.pass_by(kind, f"before {label}")
            result = await real(*args, **kwargs)
            self.pass_by(kind, f"after {label}")
            return result

        setattr(owner, name, call)


def read_counts(record: Path) -> dict[str, int]:
    """How many moments of each kind a process lived through."""
    content = record.read_bytes() if record.exists() else b""
    values = _COUNTS.unpack(content) if len(content) == _COUNTS.size else [0] * len(KINDS)
    return dict(zip(KINDS, values, strict=True))


def read_label(record: Path) -> str | None:
    """The moment at which it died, if that was a numbered one."""
    label = record.with_suffix(".point")
    return label.read_text() if label.exists() else None


def install(points: Points) -> None:
    """Into this process, before it serves."""
    _in_sqlite(points)
    _in_postgres(points)
    for name in ("submit", "poll", "cancel", "cleanup", "list_runs"):
        points.around_async("engine", LocalLauncher, name)
    for name in ("add", "stop", "remove", "_spawn"):
        points.around("engine", runs.Runs, name)
    points.around("engine", folder.RunFolder, "write")
    points.around("engine", folder, "write_private")
    _in_webhooks(points)
    _in_answers(points)


class _Connection:
    """A writer's connection with a moment before and after each statement, BEGIN and COMMIT too."""

    def __init__(self, real: apsw.Connection, points: Points) -> None:
        self._real: Any = real
        self._points = points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __enter__(self) -> Any:
        return self._real.__enter__()

    def __exit__(self, *exc: object) -> Any:
        return self._real.__exit__(*exc)

    def execute(self, sql: str, *values: Any) -> apsw.Cursor:
        return self._run(self._real.execute, sql, *values)

    def executemany(self, sql: str, *values: Any) -> apsw.Cursor:
        return self._run(self._real.executemany, sql, *values)

    def _run(self, call: Callable[..., apsw.Cursor], sql: str, *values: Any) -> apsw.Cursor:
        label = f"store: {' '.join(sql.split()[:3])}"
        self._points.pass_by("store", f"before {label}")
        cursor = call(sql, *values)
        self._points.pass_by("store", f"after {label}")
        return cursor


def _in_sqlite(points: Points) -> None:
    real = sqlite_store.open_writer

    def open_writer(path: Path) -> apsw.Connection:
        return cast("apsw.Connection", _Connection(real(path), points))

    sqlite_store.open_writer = open_writer


def _in_postgres(points: Points) -> None:
    points.around_async("store", psycopg.AsyncConnection, "execute")
    points.around_async("store", dialect, "send")


def _in_webhooks(points: Points) -> None:
    points.around_async("webhook", EgressClient, "post")
    writer = cast("Any", aiohttp.http_writer.StreamWriter)
    write = writer._write

    def write_bytes(self: Any, chunk: Any) -> None:
        content = bytes(chunk)
        lived = points.reach("webhook", len(content))
        if points.kind != "webhook":
            write(self, content)
            return
        # Past the event loop's buffer: what was written before the kill has left.
        descriptor = self.transport.get_extra_info("socket").fileno()
        if lived is not None:
            os.write(descriptor, content[:lived])
            points.die(f"byte {lived} of a webhook")
        sent = os.write(descriptor, content)
        if sent < len(content):
            write(self, content[sent:])

    def write_lines(self: Any, chunks: Iterable[Any]) -> None:
        write_bytes(self, b"".join(bytes(chunk) for chunk in chunks))

    writer._write = write_bytes
    writer._writelines = write_lines


def _in_answers(points: Points) -> None:
    real = serve.Gateway

    class Gateway(real):
        """Its app with a moment before each request and around each part of the answer."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            app = cast("Any", self.app)

            async def watched(scope: Any, receive: Any, send: Any) -> None:
                if scope["type"] != "http" or scope["path"] == "/readyz":
                    await app(scope, receive, send)
                    return
                label = f"{scope['method']} {scope['path'].split('/')[1]}"

                async def answer(message: Any) -> None:
                    points.pass_by("answer", f"before answer: {label}")
                    await send(message)
                    points.pass_by("answer", f"after answer: {label}")

                await app(scope, receive, answer)

            self.app = cast("Any", watched)

    serve.Gateway = Gateway
