"""The gateway dies at any step, before or after any call to the store, the engine or a receiver, and starts again.

Whatever the step: one effective run, the job has succeeded, the webhooks came in order and without a gap.
"""

import itertools
from collections.abc import AsyncIterator, Callable
from inspect import isasyncgenfunction, iscoroutinefunction
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.control_world import UID, FakeEngine, FakeReceiver, FakeTrainer, World
from support.job_samples import GENERATION
from support.situations import SUCCEEDED
from tunegate.contract.attempt import PhaseEvent, ProgressEvent
from tunegate.contract.job import WebhookBody
from tunegate.control.launching import run_name
from tunegate.control.records import JobState
from tunegate.control.settings import ControlSettings

TRAINING = PhaseEvent(phase="training", detail="Training")
PROGRESS = ProgressEvent(step=1, total_steps=2, epoch=0.5, tokens=9, tokens_per_s=9.0)


class CrashNow(BaseException):
    """kill -9: nothing in the code under test may catch it."""


class Failpoints:
    """Counts steps; the process dies at number `at`."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.passed = 0

    def step(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            raise CrashNow


class Mortal:
    """Stands before a dependency; each call has a step before and a step after."""

    def __init__(self, target: Any, failpoints: Failpoints) -> None:
        self._target = target
        self._failpoints = failpoints

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._target, name)
        if isasyncgenfunction(member):
            return self._stream(member)
        if iscoroutinefunction(member):
            return self._call(member)
        return member

    def _call(self, member: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            self._failpoints.step()
            result = await member(*args, **kwargs)
            self._failpoints.step()
            return result

        return call

    def _stream(self, member: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            self._failpoints.step()
            async for item in member(*args, **kwargs):
                yield item
                self._failpoints.step()

        return call


class MortalWorld(World):
    """A world whose gateway dies once. Engine, trainer, receiver and database live on."""

    def __init__(self, path: Path, at: int | None) -> None:
        self.failpoints = Failpoints(at)
        super().__init__(path, control=ControlSettings(grace_s=10.0, lease_s=3.0))
        self.real_engine = FakeEngine()
        self.real_receiver = FakeReceiver()
        self.real_engine.output[run_name(GENERATION, UID, 1)] = b"log\n"
        self.store = Mortal(self.sqlite, self.failpoints)
        self.engine = Mortal(self.real_engine, self.failpoints)
        self.receiver = Mortal(self.real_receiver, self.failpoints)
        self.restart()

    async def survive(self) -> None:
        try:
            await self.settle()
        except CrashNow:
            self.restart()


class Trainer(FakeTrainer):
    """Lives on its own: does its next act once the engine holds its run."""

    def __init__(self, world: MortalWorld) -> None:
        super().__init__(world)
        self._runs = world.real_engine
        self._acts = iter((self.start, self._train, self._finish, self._leave))

    @property
    def engine(self) -> FakeEngine:
        return self._runs

    async def act(self) -> None:
        if not self._runs.created:
            return
        self.run_name = self._runs.created[0]
        if self.run_name in self._runs.runs and (act := next(self._acts, None)) is not None:
            await act()

    async def _train(self) -> None:
        await self.report(TRAINING, PROGRESS)

    async def _finish(self) -> None:
        await self.report(SUCCEEDED)

    async def _leave(self) -> None:
        self.exit(0)


async def live_through(path: Path, at: int | None) -> MortalWorld:
    path.mkdir()
    world = MortalWorld(path, at)
    await world.sqlite.open()
    try:
        await world.submit()
        trainer = Trainer(world)
        for _ in range(200):
            await world.survive()
            await trainer.act()
            if await world.sqlite.get_sealed(UID, "callbacks") is None:
                break  # the last thing to happen
            world.clock.step(1.0)
        await check(world)
    finally:
        await world.sqlite.close()
    return world


async def check(world: MortalWorld) -> None:
    job, attempt = await world.job(), await world.attempt()
    assert job.state is JobState.SUCCEEDED
    assert (job.attempt, attempt.cleaned) == (1, True)
    engine = world.real_engine
    assert engine.created == [attempt.run_name]
    assert engine.runs == {}
    assert (world.path / "logs" / UID / "attempt-1.log").read_bytes() == b"log\n"
    assert await world.sqlite.get_sealed(UID, "request") is None
    assert await world.sqlite.get_sealed(UID, "callbacks") is None
    bodies = [msgspec.json.decode(b, type=WebhookBody) for b in world.real_receiver.accepted]
    # At least once: the same one may come twice in a row, never out of order.
    sequences = [body.sequence for body in bodies]
    assert sequences == sorted(sequences)
    once = [next(group) for _, group in itertools.groupby(bodies, key=lambda body: body.sequence)]
    assert [body.status for body in once] == ["queued", "running", "succeeded"]


async def test_without_a_crash(tmp_path: Path) -> None:
    world = await live_through(tmp_path / "w", None)
    assert world.failpoints.passed > 100


async def crash_at_each(path: Path, stride: int) -> None:
    steps = (await live_through(path / "whole", None)).failpoints.passed
    for at in range(1, steps + 1, stride):
        try:
            world = await live_through(path / f"{at}", at)
        except AssertionError as error:
            pytest.fail(f"crash at step {at} of {steps}: {error}")
        assert world.failpoints.passed >= at


async def test_with_a_crash_at_some_steps(tmp_path: Path) -> None:
    await crash_at_each(tmp_path, 3)


@pytest.mark.slow
async def test_with_a_crash_at_every_step(tmp_path: Path) -> None:
    await crash_at_each(tmp_path, 1)
