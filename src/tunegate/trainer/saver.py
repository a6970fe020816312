"""`CheckpointSaver`: when to save, and the way of a checkpoint to the bucket while training goes on."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from tunegate.contract.attempt import CheckpointEvent
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.storage import (
    AccessDenied,
    ObjectNotFound,
    ObjectStore,
    StorageError,
    StoreUnavailable,
)
from tunegate.trainer.background import Background
from tunegate.trainer.checkpoint import (
    MARKER,
    Snapshot,
    folder_name,
    step_of,
    take_snapshot,
    verifies,
    write_checkpoint,
)
from tunegate.trainer.reporter import Reporter

if TYPE_CHECKING:
    from tunegate.trainer.loop import Loop

EVERY_S = 600.0
"""Seconds between checkpoints when the job names no number of steps."""
KEPT = 2
LARGEST_SHARE = 0.05
"""Part of the training time that copying and writing may take; slow checkpoints come more rarely."""


class CheckpointSaver:
    """Writes below `work_dir`, uploads below `prefix`; the newest two stay. One at a time: a new one waits for the last.

    `after` is awaited in the background after each one.
    """

    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        work_dir: Path,
        digest: str,
        background: Background,
        reporter: Reporter,
        save_steps: int | None,
        after: Callable[[], Awaitable[None]],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._folder = work_dir / "checkpoints"
        self._digest = digest
        self._background = background
        self._reporter = reporter
        self._save_steps = save_steps
        self._after = after
        self._clock_s = clock_s
        self._saved_at_s = clock_s()
        self._cost_s = 0.0
        self._running: Future[None] | None = None
        self.saved_step: int | None = None
        """The newest complete checkpoint."""

    def due(self, step: int) -> bool:
        if self._save_steps:
            return step % self._save_steps == 0
        wait_s = max(EVERY_S, self._cost_s / LARGEST_SHARE)
        return self._clock_s() - self._saved_at_s >= wait_s

    def save(self, loop: "Loop") -> None:
        """Copy now, write and upload in the background."""
        self.wait()
        self._saved_at_s = self._clock_s()
        snapshot = take_snapshot(loop, self._digest)
        self._running = self._background.start(self._store_away(snapshot))

    def wait(self) -> None:
        """Until the last checkpoint is complete. A failed upload is noted; training goes on without it."""
        if self._running is None:
            return
        running, self._running = self._running, None
        try:
            self._background.wait(running)
        except (StorageError, OSError) as error:
            self._reporter.note(f"a checkpoint could not be saved ({type(error).__name__})")

    async def _store_away(self, snapshot: Snapshot) -> None:
        step = snapshot.state.train.step
        folder = self._folder / folder_name(step)
        marker = await asyncio.to_thread(write_checkpoint, snapshot, folder)
        address = f"{self._prefix}checkpoints/{folder_name(step)}/"
        uploads = [self._store.upload(folder / f.path, address + f.path) for f in marker.files]
        await asyncio.gather(*uploads)
        await self._store.upload(folder / MARKER, address + MARKER)
        size = sum(file.size_bytes for file in marker.files)
        self._cost_s = self._clock_s() - self._saved_at_s
        self.saved_step = step
        self._reporter.emit(CheckpointEvent(step=step, uri=address, size_bytes=size))
        shutil.rmtree(folder)
        await self._prune()
        await self._after()

    async def _prune(self) -> None:
        by_step = await list_checkpoints(self._store, self._prefix)
        for step in sorted(by_step)[:-KEPT]:
            # The marker goes first, so that what is half removed is no checkpoint any more.
            for uri in sorted(by_step[step], key=lambda uri: not uri.endswith(MARKER)):
                await self._store.delete(uri)


async def list_checkpoints(store: ObjectStore, prefix: str) -> dict[int, list[str]]:
    """The files of every checkpoint below the output, complete or not, by step."""
    base = f"{prefix}checkpoints/"
    by_step: dict[int, list[str]] = {}
    async for info in store.list(base):
        step = step_of(info.uri.removeprefix(base).partition("/")[0])
        if step is not None:
            by_step.setdefault(step, []).append(info.uri)
    return by_step


async def fetch_newest(store: ObjectStore, prefix: str, work_dir: Path, digest: str) -> Path | None:
    """Download the newest checkpoint that verifies and is of this very training; None when there is none.

    A store that may be written but not listed counts as one without checkpoints. Raises TunegateError
    storage_unavailable.
    """
    try:
        by_step = await list_checkpoints(store, prefix)
        for step in sorted(by_step, reverse=True):
            uris = by_step[step]
            if not any(uri.endswith(f"/{MARKER}") for uri in uris):
                continue
            folder = work_dir / "resume" / folder_name(step)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, mode=0o700)
            await asyncio.gather(
                *(store.download(uri, folder / uri.rpartition("/")[2]) for uri in uris)
            )
            if await asyncio.to_thread(verifies, folder, digest):
                return folder
    except StoreUnavailable as error:
        sentence = "The checkpoints of the job can't be read."
        raise TunegateError("storage_unavailable", sentence) from error
    except (AccessDenied, ObjectNotFound):
        return None
    return None
