"""The log of a job's latest run: from its launcher while the run is there, from the kept copy afterwards."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from tunegate.control.context import ControlContext
from tunegate.control.kept_log import kept_log
from tunegate.control.records import FINAL, AttemptRecord, JobRecord
from tunegate.control.wakeups import Wakeups
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.launcher import EngineUnavailable

_CHUNK_BYTES = 2**16
_POLL_S = 1.0


async def read_log(
    context: ControlContext, wakeups: Wakeups, job: JobRecord, *, follow: bool, offset: int
) -> AsyncGenerator[bytes]:
    """The run's output from byte `offset`; with `follow` it waits for a run and goes on until that ends."""
    attempt = await _current(context, wakeups, job, follow=follow)
    if attempt is None:
        return
    launcher = context.launchers.get(attempt.launcher)
    if launcher is not None and not attempt.cleaned:
        stream = launcher.logs(attempt.run_name, follow=follow, offset=offset)
        try:
            async for chunk in stream:
                offset += len(chunk)
                yield chunk
        except EngineUnavailable as error:
            raise TunegateError(
                "unavailable", "The engine does not give its log now.", retry_after_s=5
            ) from error
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()
    # The clean-up may have come in between: what the engine did not give any more is in the copy.
    async for chunk in _read_file(kept_log(context.state_dir, job.uid, attempt.number), offset):
        yield chunk


async def _current(
    context: ControlContext, wakeups: Wakeups, job: JobRecord, *, follow: bool
) -> AttemptRecord | None:
    """The attempt that the job is at; with `follow` the first one is waited for."""
    with wakeups.of(job.uid) as changed:
        while True:
            changed.clear()
            now = await context.store.get_by_uid(job.uid)
            if now is None:
                return None
            attempt = await context.store.get_attempt(now.uid, now.attempt)
            if attempt is not None and (attempt.submitted or attempt.cleaned):
                return attempt
            if not follow or now.state in FINAL:
                return attempt
            await wakeups.wait(changed, _POLL_S)


async def _read_file(path: Path, offset: int) -> AsyncGenerator[bytes]:
    def part(position: int) -> bytes:
        try:
            with path.open("rb") as file:
                file.seek(position)
                return file.read(_CHUNK_BYTES)
        except FileNotFoundError:
            return b""

    while chunk := await asyncio.to_thread(part, offset):
        yield chunk
        offset += len(chunk)
