"""`CheckpointSaver`: when to save, and the way of a checkpoint to the bucket while training goes on."""

import asyncio
import concurrent.futures
import shutil
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from tunegate.contract.attempt import CheckpointEvent
from tunegate.sdk.storage import ObjectStore, StorageError
from tunegate.storage.transfer import in_parallel
from tunegate.trainer.background import Background
from tunegate.trainer.checkpoint import (
    MARKER,
    Marker,
    Snapshot,
    folder_name,
    take_snapshot,
    write_checkpoint,
)
from tunegate.trainer.deadline import Deadline
from tunegate.trainer.pace import SavePace
from tunegate.trainer.reporter import Reporter
from tunegate.trainer.resume import list_checkpoints
from tunegate.trainer.stop import StopFlag

if TYPE_CHECKING:
    from tunegate.trainer.loop import Loop

KEPT = 2
LAST_TRIES = 3


class CheckpointSaver:
    """Writes below `work_dir`, uploads below `prefix`; the newest two of this training stay.

    Training stands still for the copy in memory alone. One checkpoint is on its way at a time: the next one that comes
    due begins when the last is complete. `after` is awaited in the background after each one.
    """

    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        work_dir: Path,
        digest: str,
        background: Background,
        reporter: Reporter,
        deadline: Deadline,
        save_steps: int | None,
        after: Callable[[], Awaitable[None]],
        clock_s: Callable[[], float] = time.monotonic,
        announce: Callable[[bool], object] = lambda _: None,
    ) -> None:
        """`announce` tells the other ranks whether a snapshot is taken now, where they must help with it."""
        self._store = store
        self._prefix = prefix
        self._folder = work_dir / "checkpoints"
        self._digest = digest
        self._background = background
        self._reporter = reporter
        self._deadline = deadline
        self._save_steps = save_steps
        self._after = after
        self._clock_s = clock_s
        self._announce = announce
        self._pace = SavePace(clock_s())
        self._running: Future[None] | None = None
        self._begun_step = 0
        self._complete: list[int] = []

    @property
    def saved_step(self) -> int | None:
        """The newest complete checkpoint."""
        return self._complete[-1] if self._complete else None

    def resumed(self, step: int) -> None:
        """The training goes on from a checkpoint that is there."""
        self._begun_step = step
        self._complete = [step]

    def due(self, step: int) -> bool:
        """Ask after every step: the steps are timed by it. A named number of steps wins over the pace."""
        due = self._due(step)
        self._announce(due)
        return due

    def _due(self, step: int) -> bool:
        self._pace.step_ended(self._clock_s())
        self._deadline.reserve(self._pace.reserve_s)
        if self._running is not None and not self._running.done():
            return False
        if self._save_steps:
            return step // self._save_steps > self._begun_step // self._save_steps
        return self._pace.due

    def save(self, loop: "Loop") -> None:
        """Copy now, write and upload in the background."""
        self.wait()
        began_s = self._clock_s()
        snapshot = take_snapshot(loop, self._digest)
        self._pace.begun_s, self._pace.copy_s = began_s, self._clock_s() - began_s
        self._begun_step = snapshot.state.train.step
        self._running = self._background.start(self._store_away(snapshot))

    def finish(self, loop: "Loop", stop: StopFlag) -> None:
        """A last checkpoint, if the time that is left suffices for it; never at the cost of one that is on its way."""
        self._wait_until(stop)
        for _ in range(LAST_TRIES):
            if self.saved_step == loop.state.step or stop.left_s < self._pace.save_s:
                break
            self._announce(True)
            self.save(loop)
            self._wait_until(stop)
        self._announce(False)

    def wait(self) -> None:
        """Until the last checkpoint is complete. A failed upload is noted; training goes on without it."""
        if self._running is None:
            return
        running, self._running = self._running, None
        try:
            self._background.wait(running)
        except (StorageError, OSError) as error:
            self._reporter.note(f"a checkpoint could not be saved ({type(error).__name__})")

    def _wait_until(self, stop: StopFlag) -> None:
        running = self._running
        if running is None:
            return
        concurrent.futures.wait([running], timeout=max(0.0, stop.left_s))
        if running.done():
            self.wait()
            return
        running.cancel()
        self._running = None
        self._reporter.note("no time was left to complete the last checkpoint")

    async def _store_away(self, snapshot: Snapshot) -> None:
        began_s, step = self._clock_s(), snapshot.state.train.step
        folder = self._folder / folder_name(step)
        address = f"{self._prefix}checkpoints/{folder_name(step)}/"
        try:
            marker = await asyncio.to_thread(write_checkpoint, snapshot, folder)
            await self._upload(folder, address, marker)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        self._pace.store_s = self._clock_s() - began_s
        self._complete = [*self._complete, step][-KEPT:]
        size = sum(file.size_bytes for file in marker.files)
        self._reporter.emit(CheckpointEvent(step=step, uri=address, size_bytes=size))
        await self._prune()
        await self._after()

    async def _upload(self, folder: Path, address: str, marker: Marker) -> None:
        """The marker comes when all else is there."""

        async def one(name: str) -> None:
            await self._store.upload(folder / name, address + name)

        await in_parallel([file.path for file in marker.files], one)
        await one(MARKER)

    async def _prune(self) -> None:
        """Remove what is older than the newest two. What is newer may belong to a run that has overtaken this one."""
        try:
            by_step = await list_checkpoints(self._store, self._prefix)
            for step in sorted(by_step):
                if step >= self._complete[0]:
                    break
                # The marker goes first, so that what is half removed is no checkpoint any more.
                for uri in sorted(by_step[step], key=lambda uri: not uri.endswith(MARKER)):
                    await self._store.delete(uri)
        except StorageError as error:
            self._reporter.say(f"old checkpoints could not be removed ({type(error).__name__})")
