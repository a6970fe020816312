"""Gateways that take turns with a job: what one of them saw long ago proves nothing now."""

from collections.abc import Sequence

from support.control_world import FakeEngine, FakeTrainer, World
from support.situations import SUCCEEDED
from tunegate.contract.attempt import PhaseEvent
from tunegate.control.reconciler import Reconciler
from tunegate.control.records import JobState
from tunegate.sdk.launcher import RunState, RunStatus

TRAINING = PhaseEvent(phase="training", detail="Training")


class HurriedEngine(FakeEngine):
    """The trainer says its last word and leaves while its engine is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.leaving: FakeTrainer | None = None

    async def poll(self, names: Sequence[str]) -> dict[str, RunStatus]:
        if self.leaving is not None:
            await self.leaving.report(SUCCEEDED)
            self.leaving.exit(0)
            self.leaving = None
        return await super().poll(names)


async def handed_over(world: World, engine: FakeEngine) -> tuple[FakeTrainer, Reconciler]:
    """A gateway saw no run, submitted one and heard no answer; another one looks after it from then on."""
    world.engine = engine
    world.restart()
    first = world.reconciler
    engine.loses_answer = True
    await world.submit()
    await world.settle()
    world.restart()
    trainer = FakeTrainer(world)
    assert await trainer.start()
    await trainer.report(TRAINING)
    await world.pass_time(10)
    assert (await world.job()).state is JobState.RUNNING
    return trainer, first


async def test_last_words_that_come_while_the_engine_is_asked_count(world: World) -> None:
    engine = HurriedEngine()
    trainer, first = await handed_over(world, engine)
    world.reconciler = first
    engine.leaving = trainer
    await world.pass_time(10)
    job = await world.job()
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)


async def test_one_answer_that_there_is_no_run_is_not_two(world: World) -> None:
    engine = FakeEngine()
    trainer, first = await handed_over(world, engine)
    world.reconciler = first
    status = engine.runs.pop(trainer.run_name)
    await world.pass_time(2)
    engine.runs[trainer.run_name] = status
    await world.pass_time(5)
    job = await world.job()
    assert (job.state, job.attempt) == (JobState.RUNNING, 1)


async def test_what_one_gateway_saw_another_one_takes_up(world: World) -> None:
    engine = FakeEngine()
    trainer, first = await handed_over(world, engine)
    engine.say(trainer.run_name, RunState.FAILED, exit_code=1)
    await world.pass_time(1)
    since_ms = (await world.attempt()).ended_since_ms
    world.reconciler = first
    await world.pass_time(2)
    assert since_ms is not None
    assert (await world.attempt()).ended_since_ms == since_ms
    assert (await world.job()).state is JobState.FAILED
