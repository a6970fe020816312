"""The saver against a store that is slow, gone for a while, or never answers. No model: a snapshot of one number."""

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch

from tunegate.contract.attempt import CheckpointEvent, NoteEvent
from tunegate.contract.training import StoragePolicy
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.storage import ObjectInfo, StoreUnavailable
from tunegate.storage.file import FileStore
from tunegate.trainer import saver as savers
from tunegate.trainer.background import Background
from tunegate.trainer.checkpoint import MARKER, SavedState, Snapshot, write_checkpoint
from tunegate.trainer.deadline import Deadline
from tunegate.trainer.resume import fetch_newest
from tunegate.trainer.saver import CheckpointSaver
from tunegate.trainer.state import TrainState
from tunegate.trainer.stop import StopFlag

DIGEST = "of this training"


class Store(FileStore):
    """Uploads wait while `gate` is closed and fail as often as `refusals` says."""

    def __init__(self) -> None:
        super().__init__(StoragePolicy(file_roots=["/"]))
        self.gate = asyncio.Event()
        self.gate.set()
        self.refusals = 0

    async def upload(self, source: Path, uri: str) -> ObjectInfo:
        await self.gate.wait()
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("planted")
        return await super().upload(source, uri)


class Heard:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def emit(self, event: Any) -> None:
        self.events.append(event)

    def note(self, text: str) -> None:
        self.emit(NoteEvent(text=text))

    say = note

    @property
    def saved(self) -> list[int]:
        return [event.step for event in self.events if isinstance(event, CheckpointEvent)]


class Training:
    """What the saver sees of a loop."""

    def __init__(self) -> None:
        self.state = TrainState()


class World:
    def __init__(self, folder: Path, background: Background, save_steps: int | None = 2) -> None:
        self.folder, self.background = folder, background
        self.store, self.heard, self.loop = Store(), Heard(), Training()
        self.stop, self.now_s = StopFlag(lambda: self.now_s), 0.0
        self.prefix = f"file://{folder}/out/"
        self.saver = CheckpointSaver(
            self.store, self.prefix, folder / "work", DIGEST, background, self.heard,
            Deadline(self.stop, SystemClock(), float("inf")), save_steps, self._after, lambda: self.now_s,
        )  # fmt: skip

    async def _after(self) -> None:
        return

    def step(self) -> bool:
        """One step later; whether a checkpoint was begun."""
        self.loop.state.step += 1
        self.now_s += 1.0
        due = self.saver.due(self.loop.state.step)
        if due:
            self.saver.save(self.loop)
        return due

    def gate(self, *, is_open: bool) -> None:
        change = self.store.gate.set if is_open else self.store.gate.clear
        self.background.run(as_work(change))

    def newest(self) -> str | None:
        found = self.background.run(
            fetch_newest(self.store, self.prefix, self.folder / "again", DIGEST)
        )
        return found.name if found else None


async def as_work(change: Any) -> None:
    change()


@pytest.fixture(autouse=True)
def _no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(savers, "take_snapshot", snapshot)


def snapshot(loop: Training, digest: str) -> Snapshot:
    state = SavedState(train=TrainState(step=loop.state.step), optimizer={})
    numbers = {"w": torch.full((2,), float(loop.state.step))}
    return Snapshot(digest=digest, state=state, weights=numbers, optimizer={}, best=None)


@pytest.fixture
def background() -> Generator[Background]:
    with Background() as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, background: Background) -> World:
    return World(tmp_path, background)


def test_training_never_waits_for_a_slow_store(world: World) -> None:
    world.gate(is_open=False)
    assert [world.step() for _ in range(5)] == [False, True, False, False, False]
    world.gate(is_open=True)
    world.saver.wait()
    assert world.step()  # what came due meanwhile
    world.saver.wait()
    assert world.heard.saved == [2, 6]
    assert not world.step()
    assert world.step()


def test_the_pace_decides_where_no_steps_are_named(tmp_path: Path, background: Background) -> None:
    world = World(tmp_path, background, save_steps=None)
    assert [step for step in range(1, 130) if world.step() and not world.saver.wait()] == [60, 120]


def test_a_failed_upload_is_noted_and_the_next_one_counts(world: World) -> None:
    world.store.refusals = 1
    for _ in range(4):
        world.step()
        world.saver.wait()
    assert world.heard.saved == [4]
    assert "could not be saved (StoreUnavailable)" in world.heard.events[0].text
    assert world.newest() == "step-000004"


def test_the_last_checkpoint_is_tried_again(world: World) -> None:
    world.step()
    world.store.refusals = 1
    world.stop.request("signal")
    world.saver.finish(world.loop, world.stop)
    assert world.saver.saved_step == 1


def test_without_time_for_a_new_one_the_one_on_its_way_is_the_last(world: World) -> None:
    world.gate(is_open=False)
    world.step()
    world.step()
    world.loop.state.step += 1
    world.stop.request("deadline", within_s=50.0)
    world.now_s += 40.0
    world.gate(is_open=True)
    world.saver._pace.copy_s = 11.0  # of the 10 s that are left
    world.saver.finish(world.loop, world.stop)
    assert world.saver.saved_step == 2


def test_a_store_that_never_answers_does_not_hold_the_end_up(world: World) -> None:
    world.step()
    world.step()
    world.saver.wait()
    world.gate(is_open=False)
    world.step()
    world.step()
    world.stop.request("signal", within_s=0.1)
    world.saver.finish(world.loop, world.stop)
    assert world.saver.saved_step == 2
    assert world.newest() == "step-000002"
    assert world.heard.events[-1].text == "no time was left to complete the last checkpoint"


def test_only_what_is_older_goes(world: World) -> None:
    other = snapshot(world.loop, "another training")
    for step in (1, 9):
        write_checkpoint(other, world.folder / "out" / "checkpoints" / f"step-{step:06d}")
    for _ in range(6):
        world.step()
        world.saver.wait()
    files = (world.folder / "out" / "checkpoints").glob("*/*")
    folders = {path.parent.name for path in files}
    assert folders == {"step-000004", "step-000006", "step-000009"}
    assert world.newest() == "step-000006"


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A checkpoint of step 3 where a store has it."""
    training = Training()
    training.state.step = 3
    folder = tmp_path / "out" / "checkpoints" / "step-000003"
    write_checkpoint(snapshot(training, DIGEST), folder)
    return folder


def test_files_of_an_earlier_life_are_no_part_of_it(whole: Path) -> None:
    (whole / "best.safetensors").write_bytes(b"old")
    (whole / "complete.json").write_bytes(b"old")
    training = Training()
    training.state.step = 3
    marker = write_checkpoint(snapshot(training, DIGEST), whole)
    names = {file.path for file in marker.files}
    assert names == {"weights.safetensors", "optimizer.safetensors", "state.json"}


async def test_only_marked_files_are_taken(whole: Path, tmp_path: Path) -> None:
    (whole / "best.safetensors").write_bytes(b"of another training")
    folder = await fetch(tmp_path)
    assert folder is not None
    assert not (folder / "best.safetensors").exists()


@pytest.mark.parametrize(
    "spoil",
    [b"", b"{", b'{"step": 3, "digest": "of this training", "files": []}'],
    ids=["empty", "torn", "names nothing"],
)
async def test_a_marker_that_promises_nothing(whole: Path, tmp_path: Path, spoil: bytes) -> None:
    (whole / MARKER).write_bytes(spoil)
    assert await fetch(tmp_path) is None


async def test_a_marker_that_leads_astray(whole: Path, tmp_path: Path) -> None:
    marker = (whole / MARKER).read_bytes()
    (whole / MARKER).write_bytes(marker.replace(b'"state.json"', b'"../../state.json"'))
    assert await fetch(tmp_path) is None


async def fetch(folder: Path) -> Path | None:
    return await fetch_newest(Store(), f"file://{folder}/out/", folder / "work", DIGEST)
