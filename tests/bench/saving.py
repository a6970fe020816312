"""What checkpoints cost a training whose object store takes 100 ms per request: `python -m tests.bench.saving`.

LoRA on the 5M model, one thread, a checkpoint every eighth step. Steps with one on its way are compared with the steps
between, in the same process, so that neighbours on the machine matter little; to that comes the copy, for which
training stands still. The share is of the interval that the saver keeps by itself.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from statistics import mean, median
from typing import Any

from tests.bench import chats, report

from tunegate.contract.training import (
    AdapterPlan,
    DataSource,
    ModelSource,
    OutputPlan,
    StoragePolicy,
    TrainingSpec,
    TuningPlan,
)
from tunegate.sdk.storage import ObjectInfo
from tunegate.storage.file import FileStore
from tunegate.trainer.attempt import run_attempt
from tunegate.trainer.config import Launch
from tunegate.trainer.loop import Loop
from tunegate.trainer.pace import interval_s
from tunegate.trainer.saver import CheckpointSaver

LATENCY_S = 0.1
EVERY, STEPS, WARM = 8, 96, 10
GOALS = {"lost_share": 0.01}


class Times:
    """Seconds of steps with a checkpoint on its way, of steps without, of copies, and from a save to its end."""

    def __init__(self) -> None:
        self.busy: list[float] = []
        self.idle: list[float] = []
        self.copies: list[float] = []
        self.stores: list[float] = []


def slow_store() -> None:
    """Every request to a file takes a store's time, as a request over the network does."""

    def slow(method: Any) -> Any:
        async def waiting(self: FileStore, *arguments: Any, **named: Any) -> Any:
            await asyncio.sleep(LATENCY_S)
            return await method(self, *arguments, **named)

        return waiting

    for name in ("upload", "write", "read", "download", "delete"):
        setattr(FileStore, name, slow(getattr(FileStore, name)))
    names = FileStore.list

    async def slow_list(self: FileStore, prefix: str) -> AsyncGenerator[ObjectInfo]:
        await asyncio.sleep(LATENCY_S)
        async for info in names(self, prefix):
            yield info

    FileStore.list = slow_list


def watch() -> Times:
    """Take the times of the training in this process."""
    times, train_step, save = Times(), Loop._train_step, CheckpointSaver.save

    def timed_step(self: Loop) -> None:
        assert isinstance(self.saver, CheckpointSaver)
        running = self.saver._running
        busy, began_s = running is not None and not running.done(), time.perf_counter()
        train_step(self)
        if self.state.step > WARM:
            (times.busy if busy else times.idle).append(time.perf_counter() - began_s)

    def timed_save(self: CheckpointSaver, loop: Loop) -> None:
        began_s = time.perf_counter()
        save(self, loop)
        times.copies.append(time.perf_counter() - began_s)
        if self._pace.store_s:
            times.stores.append(self._pace.store_s)

    Loop._train_step, CheckpointSaver.save = timed_step, timed_save
    return times


def spec(home: Path, model: Path, data: Path) -> TrainingSpec:
    return TrainingSpec(
        job_id="saving",
        method="lora",
        model=ModelSource(name=str(model), provider="custom"),
        datasets=[DataSource(source=str(data))],
        output=OutputPlan(output_uri=f"{home}/results/", log_uri=f"{home}/logs/"),
        adapter=AdapterPlan(dropout=0.0),
        precision="fp32",
        tuning=TuningPlan(
            batch_size=8, max_steps=STEPS, num_epochs=100, gradient_checkpointing=False,
            max_sequence_length=1024, held_out_fraction=0.0, logging_steps=1, save_steps=EVERY,
        ),
        storage=StoragePolicy(file_roots=[str(home)]),
        cpu_threads=1,
    )  # fmt: skip


def figures(times: Times) -> dict[str, float]:
    """Seconds lost per checkpoint, and the share that they are of the saver's own interval."""
    slower_s = max(0.0, mean(times.busy) - mean(times.idle)) * len(times.busy)
    copy_s = median(times.copies)
    lost_s = copy_s + slower_s / len(times.copies)
    store_s = median(times.stores)
    every_s = interval_s(copy_s, store_s)
    return {
        "step_idle_s": median(times.idle),
        "step_busy_s": median(times.busy),
        "copy_s": copy_s,
        "store_s": store_s,
        "lost_per_checkpoint_s": lost_s,
        "interval_s": every_s,
        "lost_share": lost_s / every_s,
        "waiting_share_if_it_blocked": store_s / every_s,
    }


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        model, data = chats.write_world(home / "world", 400, hidden=256, layers=4, vocab=4096)
        slow_store()
        times = watch()
        job = spec(home, model, data)
        (home / "work").mkdir()
        if code := run_attempt(Launch(spec=job, work_dir=home / "work")):
            return code
    found = figures(times)
    report.write("saving", found, {}, GOALS)
    return 0 if found["lost_share"] < GOALS["lost_share"] else 1


if __name__ == "__main__":
    sys.exit(main())
