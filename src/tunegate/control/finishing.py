"""After an attempt: its log is kept, then the engine's object goes."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import cast

from tunegate.control.kept_log import kept_log
from tunegate.control.records import AttemptRecord
from tunegate.sdk.launcher import Launcher

LOG_CAP_BYTES = 64 * 2**20
"""No more of a log than this is kept."""
KEEP_LOG_TIMEOUT_S = 300.0


async def keep_log(launcher: Launcher, attempt: AttemptRecord, state_dir: Path) -> None:
    """Copy the run's output, whole or not at all. A run without any leaves no file. Raises EngineUnavailable."""
    target = kept_log(state_dir, attempt.uid, attempt.number)
    partial = target.with_suffix(".partial")
    stream = cast("AsyncGenerator[bytes, None]", launcher.logs(attempt.run_name, follow=False))
    size = 0
    async with aclosing(stream):
        async for chunk in stream:
            piece = chunk[: LOG_CAP_BYTES - size]
            await asyncio.to_thread(_append, partial, piece, first=size == 0)
            size += len(piece)
            if size >= LOG_CAP_BYTES:
                break
    if size:
        await asyncio.to_thread(partial.replace, target)


def _append(path: Path, piece: bytes, *, first: bool) -> None:
    if first:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if first else os.O_APPEND)
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(piece)
