"""Programs that speak no attempt protocol: what their engine says, their reports and their exit code decide."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.control_world import UID, FakeEngine, World
from support.job_samples import GENERATION
from support.job_samples import job as sample_job
from tunegate.contract.attempt import ManifestFile, MetricsEvent, ProgressEvent
from tunegate.contract.trainer_status import Metric, TrainerStatus
from tunegate.control import status_reports
from tunegate.control.launching import run_name
from tunegate.control.observation import ManifestVerdict
from tunegate.control.records import JobRecord, JobState
from tunegate.control.store.protocol import Change
from tunegate.sdk.launcher import RunState

RUN = run_name(GENERATION, UID, 1)
FOREIGN = msgspec.structs.replace(sample_job().container, protocol="kubeflow")
LEFT = ManifestVerdict(files=[ManifestFile(path="model.bin", size_bytes=3, sha256="")])


@pytest.fixture
async def world(tmp_path: Path) -> Any:
    world = World(tmp_path)
    await world.sqlite.open()
    world.verdict = LEFT
    await world.submit(container=FOREIGN)
    await world.settle()
    yield world
    await world.sqlite.close()


def engine(world: World) -> FakeEngine:
    assert isinstance(world.engine, FakeEngine)
    return world.engine


async def runs(world: World) -> JobRecord:
    engine(world).say(RUN, RunState.RUNNING)
    await world.pass_time(20)
    return await world.job()


async def ends(world: World, state: RunState, **fields: Any) -> JobRecord:
    engine(world).say(RUN, state, **fields)
    await world.pass_time(20)
    return await world.job()


def status(percent: int | None, **metrics: float) -> TrainerStatus:
    told = [Metric(name=name, value=str(value)) for name, value in metrics.items()]
    return TrainerStatus(progress_percentage=percent, metrics=told)


async def test_it_runs_when_its_engine_says_so_and_its_time_counts(world: World) -> None:
    job = await runs(world)
    assert (job.state, job.phase) == (JobState.RUNNING, "training")
    attempt = await world.attempt()
    assert attempt.claimed_by is None
    assert attempt.claimed_ms is not None
    await world.pass_time(600, step_s=30)
    assert (await world.job()).state is JobState.RUNNING, "nobody has to hear of it"


async def test_its_time_ends_as_everybodys(world: World) -> None:
    job = await runs(world)
    await world.pass_time(job.budget_ms / 1000, step_s=60)
    assert engine(world).cancelled == [RUN] * len(engine(world).cancelled) != []
    assert (await ends(world, RunState.STOPPED)).error.code == "deadline_exceeded"  # type: ignore[union-attr]


async def test_exit_0_and_a_result_is_success(world: World) -> None:
    await runs(world)
    job = await ends(world, RunState.SUCCEEDED, exit_code=0)
    assert job.state is JobState.SUCCEEDED
    last = (await world.events("job.status"))[-1]
    assert [file["path"] for file in last.data["files"]] == ["model.bin"]


async def test_so_is_a_run_that_was_never_seen_running(world: World) -> None:
    job = await ends(world, RunState.SUCCEEDED, exit_code=0)
    assert job.state is JobState.SUCCEEDED


async def test_exit_0_without_a_result_is_none(world: World) -> None:
    world.verdict = ManifestVerdict(problem="The job's folder is empty.")
    await runs(world)
    job = await ends(world, RunState.SUCCEEDED, exit_code=0)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.code == "output_missing"


@pytest.mark.parametrize("code", [1, 2, 65, 78, 128])
async def test_exit_codes_are_its_own(world: World, code: int) -> None:
    await runs(world)
    job = await ends(world, RunState.FAILED, exit_code=code)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.code == "program_failed"
    assert str(code) in job.error.message


@pytest.mark.parametrize("said", [{"exit_code": 137}, {"failure": "run_lost"}])
async def test_what_its_engine_did_to_it_is_tried_again(world: World, said: dict[str, Any]) -> None:
    await runs(world)
    await ends(world, RunState.FAILED, **said)
    assert (await world.job()).attempt == 2


async def test_a_lost_run_is_no_success(world: World) -> None:
    await runs(world)
    engine(world).runs.clear()
    await world.pass_time(60)
    assert (await world.job()).attempt == 2


async def test_a_cancelled_one_is_cancelled(world: World) -> None:
    job = await runs(world)
    fields = {"desired": "stop", "stop_reason": "cancel"}
    await world.sqlite.apply(Change(uid=UID, version=job.version, fields=fields))
    await world.sqlite.wake(UID)
    await world.pass_time(2)
    assert RUN in engine(world).cancelled
    job = await ends(world, RunState.STOPPED)
    assert job.state is JobState.CANCELLED


async def test_reports_become_progress_and_metrics(world: World) -> None:
    await runs(world)
    attempt = await world.attempt()
    assert await status_reports.record(world.sqlite, attempt, status(0, total_steps=50))
    for step, loss in ((10, 2.0), (20, 2.0), (30, 1.5)):
        await world.pass_time(5)
        told = status(2 * step, current_step=step, total_steps=50, loss=loss, learning_rate=0.1)
        assert await status_reports.record(world.sqlite, await world.attempt(), told)
    await world.pass_time(1)
    progress = (await world.job()).progress
    assert progress is not None
    assert (progress.step, progress.total_steps, progress.percent, progress.loss) == (
        30,
        50,
        60,
        1.5,
    )
    metrics = [event.data for event in await world.events("job.metrics")]
    assert metrics == [
        {"step": 10, "values": {"loss": 2.0, "learning_rate": 0.1}},
        {"step": 30, "values": {"loss": 1.5}},
    ], "what was told already is no new point"
    await status_reports.record(world.sqlite, await world.attempt(), status(100))
    await world.pass_time(1)
    progress = (await world.job()).progress
    assert progress is not None
    assert (progress.step, progress.percent) == (50, 100)


async def test_what_its_engine_repeats_is_told_once(world: World) -> None:
    half = status(50, current_step=25, total_steps=50, loss=1.0)
    engine(world).say(RUN, RunState.RUNNING, report=half)
    await world.pass_time(60)
    assert [event.data["step"] for event in await world.events("job.progress")] == [25]
    assert [event.data["values"] for event in await world.events("job.metrics")] == [{"loss": 1.0}]
    engine(world).say(RUN, RunState.RUNNING, report=status(80, current_step=40, total_steps=50))
    await world.pass_time(20)
    progress = (await world.job()).progress
    assert progress is not None
    assert (progress.step, progress.loss) == (40, 1.0)


async def test_a_report_says_that_it_runs_before_its_engine_does(world: World) -> None:
    assert (await world.job()).state is JobState.PENDING
    await status_reports.record(world.sqlite, await world.attempt(), status(5))
    await world.settle()
    assert (await world.job()).state is JobState.RUNNING


async def test_reports_after_the_end_are_refused(world: World) -> None:
    await runs(world)
    attempt = await world.attempt()
    await ends(world, RunState.FAILED, failure="run_lost")
    assert not await status_reports.record(world.sqlite, attempt, status(50))


def test_an_overtaken_report_changes_nothing() -> None:
    before = ProgressEvent(step=30, total_steps=50, epoch=0.0, tokens=0, tokens_per_s=0.0)
    assert status_reports.events_of(status(40), before) == []
    assert status_reports.events_of(status(50, current_step=25, total_steps=50), before) == []


def test_what_is_no_finite_number_is_left_out() -> None:
    told = [
        Metric(name="loss", value="nan"),
        Metric(name="grad_norm", value="inf"),
        Metric(name="stage", value="warm-up"),
        Metric(name="current_step", value="-3"),
        Metric(name="lr", value="1e-05"),
    ]
    events = status_reports.events_of(TrainerStatus(metrics=told), None)
    assert events == [MetricsEvent(step=0, values={"lr": 1e-05}, latest=True)]


def test_no_report_is_too_large_for_the_store() -> None:
    told = [Metric(name=f"m{number}", value=str(number)) for number in range(256)]
    events = status_reports.events_of(TrainerStatus(progress_percentage=1, metrics=told), None)
    assert len(events) == 5
    assert sum(len(e.values) for e in events if isinstance(e, MetricsEvent)) == 256
    assert max(len(e.values) for e in events if isinstance(e, MetricsEvent)) == 64
