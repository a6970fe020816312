"""Inside a trainer that will be killed: a journal of what it does, a slow store that tears, and bugs on demand."""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunegate.sdk.storage import ObjectInfo, StoreUnavailable
from tunegate.storage.addresses import file_path
from tunegate.storage.file import FileStore
from tunegate.trainer import checkpoint, export, optimizer, resume
from tunegate.trainer.data import BatchPlan, PackedBatch
from tunegate.trainer.loop import Loop

Write = Callable[[str], None]
STEP_S = 0.03
"""Added to every step: so several checkpoints find the time to become complete in a training of few steps."""


def install(journal: Path, latency_s: float, refuse_every: int, plant: str | None) -> None:
    """Into this process. `refuse_every`: so many uploads of checkpoint files go well before one finds the store gone."""
    descriptor = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(line: str) -> None:
        os.write(descriptor, f"{line}\n".encode())

    _journal_steps(write)
    _journal_writing(write)
    _slow_uploads(write, latency_s, refuse_every)
    if plant is not None:
        PLANTS[plant]()


def _journal_steps(write: Write) -> None:
    run, train_step, micro_batches = Loop.run, Loop._train_step, BatchPlan.micro_batches
    fed: list[str] = []

    def noting_rows(self: BatchPlan, step: int) -> list[PackedBatch]:
        batches = micro_batches(self, step)
        content = hashlib.sha256()
        for batch in batches:
            content.update(batch.input_ids.tobytes())
        rows = ",".join(str(row) for batch in batches for row in batch.example_ids)
        fed.append(f"{content.hexdigest()[:16]} {rows}")
        return batches

    def noting_start(self: Loop) -> None:
        write(f"run {self.state.step} {self.plan.total_steps} {self.plan.steps_per_epoch}")
        run(self)

    def noting_step(self: Loop) -> None:
        step = self.state.step
        time.sleep(STEP_S)
        train_step(self)
        write(f"step {step} {fed.pop()}")

    BatchPlan.micro_batches, Loop.run, Loop._train_step = noting_rows, noting_start, noting_step


def _journal_writing(write: Write) -> None:
    describe, make = checkpoint.describe_files, export.export

    def describing(folder: Path) -> Any:
        write("begin write")
        time.sleep(0.005)  # a moment in which the marker is not there yet
        return describe(folder)

    def exporting(*arguments: Any, **named: Any) -> Any:
        write("begin export")
        return make(*arguments, **named)

    checkpoint.describe_files, export.export = describing, exporting


def _slow_uploads(write: Write, latency_s: float, refuse_every: int) -> None:
    upload, done = FileStore.upload, [0]

    async def torn_for_a_while(self: FileStore, source: Path, uri: str) -> ObjectInfo:
        kind = "upload" if "/checkpoints/" in uri else "logs" if "/logs/" in uri else "publish"
        done[0] += kind == "upload"
        write(f"begin {kind}")
        if kind == "upload" and done[0] % refuse_every == 0:
            raise StoreUnavailable("planted: 503")
        target = Path(file_path(uri))
        target.parent.mkdir(parents=True, exist_ok=True)
        content = source.read_bytes()
        target.write_bytes(content[: len(content) // 2])  # a store that shows unfinished objects
        await asyncio.sleep(latency_s)
        return await upload(self, source, uri)

    FileStore.upload = torn_for_a_while


def _forget_optimizer() -> None:
    def forget(*_: Any) -> None:
        return

    optimizer.restore = forget


def _forget_cursor() -> None:
    load = checkpoint.load_checkpoint

    def load_and_skip(folder: Path, loop: Loop) -> None:
        load(folder, loop)
        loop.state.step += 1

    checkpoint.load_checkpoint = load_and_skip


def _trust_all() -> None:
    def trust(*_: Any) -> bool:
        return True

    resume.verifies = trust


TRUSTING = "torn files trusted"
PLANTS = {
    "optimizer forgotten": _forget_optimizer,
    "cursor forgotten": _forget_cursor,
    TRUSTING: _trust_all,
}
