"""Reading a log that may still grow."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from tunegate.sdk.clock import Clock

CHUNK_BYTES = 64 * 1024
INTERVAL_S = 1.0
"""Between two looks at a file on a network file system."""


async def follow_log(
    path: Path, offset: int, clock: Clock, is_over: Callable[[], Awaitable[bool]] | None
) -> AsyncIterator[bytes]:
    """The bytes from `offset` on; with `is_over`, all that comes until then. A missing file is an empty one."""
    while True:
        # Asked first: what was said before the end is read.
        over = is_over is None or await is_over()
        while chunk := await asyncio.to_thread(_read, path, offset):
            offset += len(chunk)
            yield chunk
        if over:
            return
        await clock.sleep(INTERVAL_S)


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(CHUNK_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return b""
