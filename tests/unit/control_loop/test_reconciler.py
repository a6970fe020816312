"""Whole lives of jobs, on a real store with a scripted engine."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from support.control_world import (
    AUTH_HEADER,
    TRAINING,
    UID,
    FakeEngine,
    FakeTrainer,
    World,
    launched,
    running,
)
from support.job_samples import GENERATION
from support.situations import FAILED, STOPPED, SUCCEEDED
from tunegate.contract.attempt import MetricsEvent, NoteEvent, PhaseEvent, ProgressEvent
from tunegate.contract.job import WebhookBody
from tunegate.control import engines
from tunegate.control.launching import claim_token, run_name
from tunegate.control.observation import ManifestVerdict
from tunegate.control.records import JobState
from tunegate.control.settings import ControlSettings
from tunegate.control.store.errors import unavailable
from tunegate.control.store.protocol import Change
from tunegate.sdk.launcher import RunState
from tunegate.sdk.storage import StoreUnavailable

PROGRESS = ProgressEvent(step=1, total_steps=240, epoch=0.1, tokens=9, tokens_per_s=9.0)


async def cancel(world: World) -> None:
    job = await world.job()
    fields = {"desired": "stop", "stop_reason": "cancel"}
    await world.store.apply(Change(uid=UID, version=job.version, fields=fields))
    await world.store.wake(UID)
    await world.settle()


class TestTheGoodWay:
    async def test_a_job_runs_and_succeeds(self, world: World) -> None:
        trainer = await running(world)
        trainer.engine.output[trainer.run_name] = b"epoch 1\n"
        await trainer.report(PROGRESS, MetricsEvent(step=1, values={"loss": 2.0}))
        await trainer.report(PhaseEvent(phase="uploading", detail="Uploading"), SUCCEEDED)
        await world.settle()
        assert (await world.job()).state is JobState.UPLOADING
        trainer.exit(0)
        await world.pass_time(5)
        job, attempt = await world.job(), await world.attempt()
        assert (job.state, job.detail, job.error) == (
            JobState.SUCCEEDED,
            SUCCEEDED.detail,
            None,
        )
        assert attempt.cleaned
        assert attempt.exit_code == 0
        assert trainer.engine.created == trainer.engine.cleaned == [trainer.run_name]
        assert world.receiver.statuses() == ["queued", "running", "succeeded"]
        kept = world.path / "logs" / UID / "attempt-1.log"
        assert kept.read_bytes() == b"epoch 1\n"
        assert kept.stat().st_mode & 0o777 == 0o600

    async def test_credentials_are_gone_and_nothing_is_due_any_more(self, world: World) -> None:
        trainer = await running(world)
        assert await world.store.get_sealed(UID, "request") is not None
        await trainer.report(SUCCEEDED)
        trainer.exit(0)
        await world.pass_time(5)
        assert await world.store.get_sealed(UID, "request") is None
        assert await world.store.get_sealed(UID, "callbacks") is None
        world.clock.step(10_000)
        assert await world.reconciler.lease(10) == []

    async def test_the_log_tells_the_whole_story_in_order(self, world: World) -> None:
        trainer = await running(world)
        await trainer.report(NoteEvent(text="trains block 0 of 2"), PROGRESS, SUCCEEDED)
        trainer.exit(0)
        await world.pass_time(5)
        events = await world.events()
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert [(e.type, e.status) for e in events] == [
            ("job.status", "queued"),
            ("job.phase", "queued"),
            ("job.phase", "queued"),
            ("job.status", "running"),
            ("job.phase", "running"),
            ("job.note", "running"),
            ("job.progress", "running"),
            ("job.status", "succeeded"),
        ]

    async def test_the_claim_token_is_derived_and_only_its_hash_is_stored(
        self, world: World
    ) -> None:
        trainer = await launched(world)
        attempt = await world.attempt()
        token = claim_token(world.sealer, attempt.attempt_id).reveal()
        assert trainer.engine.tokens[trainer.run_name] == token
        assert attempt.token_hash == world.sealer.token_hash(token)

    async def test_webhooks_carry_the_clients_header_and_a_stable_id(self, world: World) -> None:
        await launched(world)
        await world.pass_time(2)
        _, body, headers = world.receiver.posts[0]
        assert headers["authorization"] == AUTH_HEADER
        assert headers["content-type"] == "application/json"
        assert headers["webhook-id"] == f"{UID}-webhook-1"
        assert msgspec.json.decode(body, type=WebhookBody).log == "Job accepted"

    async def test_progress_is_reported_at_the_interval(self, world: World) -> None:
        trainer = await running(world, interval_s=10.0)
        await trainer.report(PROGRESS)
        await world.settle()
        await world.pass_time(35)
        reports = [msgspec.json.decode(b, type=WebhookBody) for b in world.receiver.accepted]
        logs = [r.log for r in reports if r.log.startswith("Step")]
        assert len(logs) == 3


def test_run_names_fit_every_engine() -> None:
    name = run_name(GENERATION, "Some-UID_with/odd chars", 12)
    assert name == run_name(GENERATION, "Some-UID_with/odd chars", 12)
    assert name.startswith("tg-")
    assert name.endswith("-12")
    assert len(name) <= 63
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


class TestTrouble:
    async def test_the_trainers_failure_is_the_jobs(self, world: World) -> None:
        trainer = await running(world)
        await trainer.report(FAILED)
        trainer.exit(67)
        await world.pass_time(5)
        job = await world.job()
        assert job.state is JobState.FAILED
        assert job.error is not None
        assert job.error.code == "data_invalid"
        assert world.receiver.statuses() == ["queued", "running", "failed"]

    async def test_a_killed_run_goes_on_as_a_second_attempt(self, world: World) -> None:
        trainer = await running(world)
        trainer.exit(137)
        await world.pass_time(5)
        assert (await world.job()).state is JobState.RECOVERING
        assert trainer.engine.cleaned == [trainer.run_name]
        await world.pass_time(10)
        second = FakeTrainer(world, 2, "run-uid-2")
        assert (await world.attempt(2)).resume
        assert await second.start()
        assert not await trainer.start()
        await second.report(TRAINING, SUCCEEDED)
        second.exit(0)
        await world.pass_time(5)
        assert (await world.job()).state is JobState.SUCCEEDED
        assert len(trainer.engine.created) == 2

    async def test_retries_come_to_an_end(self, world: World) -> None:
        await world.submit()
        for number in (1, 2, 3):
            await world.pass_time(30)
            trainer = FakeTrainer(world, number, f"run-uid-{number}")
            assert await trainer.start()
            await trainer.report(TRAINING)
            trainer.exit(137)
            await world.pass_time(5)
        job = await world.job()
        assert job.state is JobState.FAILED
        assert job.error is not None
        assert job.error.code == "killed"

    async def test_an_incomplete_result_is_no_success(self, world: World) -> None:
        world.verdict = ManifestVerdict(problem="The file adapter.safetensors is missing.")
        trainer = await running(world, retries_left=0)
        await trainer.report(SUCCEEDED)
        trainer.exit(0)
        await world.pass_time(5)
        job = await world.job()
        assert job.error is not None
        assert (job.error.code, job.error.message) == (
            "manifest_invalid",
            "The file adapter.safetensors is missing.",
        )

    async def test_an_object_store_in_trouble_is_waited_for(self, world: World) -> None:
        world.verdict = StoreUnavailable("no answer")
        trainer = await running(world)
        await trainer.report(SUCCEEDED)
        trainer.exit(0)
        await world.pass_time(30)
        assert (await world.job()).state is JobState.RUNNING
        world.verdict = ManifestVerdict()
        await world.pass_time(5)
        assert (await world.job()).state is JobState.SUCCEEDED

    async def test_an_engine_in_trouble_changes_no_state(self, world: World) -> None:
        trainer = await running(world)
        trainer.engine.down = True
        await world.pass_time(600, step_s=5)
        job = await world.job()
        assert job.state is JobState.RUNNING
        assert job.queue_reason is not None
        assert "does not answer" in job.queue_reason
        trainer.engine.down = False
        await trainer.report(PROGRESS)
        await world.settle()
        await world.pass_time(5)
        assert (await world.job()).queue_reason is None

    async def test_a_refusal_of_the_engine_is_final(self, world: World) -> None:
        world.engine.refuses = "The queue does not exist."
        await world.submit()
        await world.pass_time(5)
        job = await world.job()
        assert job.error is not None
        assert (job.error.code, job.error.message) == (
            "launch_failed",
            "The queue does not exist.",
        )

    async def test_a_lost_answer_is_looked_up_and_not_submitted_again(self, world: World) -> None:
        world.engine.loses_answer = True
        await world.submit()
        await world.settle()
        assert (await world.job()).state is JobState.LAUNCHING
        await world.pass_time(5)
        assert (await world.job()).state is JobState.PENDING
        assert len(world.engine.created) == 1

    async def test_a_vanished_run_is_lost_only_after_a_second_look(self, world: World) -> None:
        trainer = await running(world)
        del trainer.engine.runs[trainer.run_name]
        await trainer.report(PROGRESS)
        await world.settle()
        assert (await world.job()).state is JobState.RUNNING
        await world.pass_time(8)
        assert (await world.job()).state is JobState.RECOVERING

    async def test_an_error_of_ours_backs_off_that_job_alone(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.verdict = RuntimeError("bug")
        trainer = await running(world)
        await trainer.report(SUCCEEDED)
        trainer.exit(0)
        await world.submit(job_id="job-2", uid="uid-2")
        await world.pass_time(3)
        assert (await world.job("uid-2")).state is JobState.PENDING
        assert "could not be looked after" in caplog.text
        world.verdict = ManifestVerdict()
        await world.pass_time(10)
        assert (await world.job()).state is JobState.SUCCEEDED

    async def test_trouble_of_the_store_however_often_delays_a_job_by_seconds(
        self, world: World
    ) -> None:
        world.verdict = unavailable()
        trainer = await running(world)
        await trainer.report(SUCCEEDED)
        trainer.exit(0)
        await world.pass_time(80)
        assert (await world.job()).state is JobState.RUNNING
        world.verdict = ManifestVerdict()
        await world.pass_time(5)
        assert (await world.job()).state is JobState.SUCCEEDED


class TestStopping:
    async def test_before_the_launch_at_once(self, world: World) -> None:
        await world.submit()
        await cancel(world)
        job = await world.job()
        assert job.state is JobState.CANCELLED
        assert world.engine.created == []
        await world.pass_time(3)
        assert world.receiver.statuses() == ["queued", "cancelled"]
        assert await world.store.get_sealed(UID, "callbacks") is None

    async def test_a_running_job_when_the_engine_confirms(self, world: World) -> None:
        trainer = await running(world)
        await cancel(world)
        assert (await world.job()).state is JobState.STOPPING
        assert trainer.engine.cancelled == [trainer.run_name]
        await trainer.report(STOPPED)
        trainer.exit(77)
        await world.pass_time(5)
        assert (await world.job()).state is JobState.CANCELLED
        assert trainer.engine.cancelled == [trainer.run_name]
        assert world.receiver.statuses() == ["queued", "running", "cancelled"]

    async def test_a_result_that_was_complete_before_wins(self, world: World) -> None:
        trainer = await running(world)
        await trainer.report(SUCCEEDED)
        await cancel(world)
        trainer.exit(143)
        await world.pass_time(5)
        assert (await world.job()).state is JobState.SUCCEEDED

    async def test_the_deadline_is_a_total_over_attempts(self, world: World) -> None:
        trainer = await running(world, budget_ms=60_000)
        await world.pass_time(40)
        trainer.exit(137)
        await world.pass_time(15)
        second = FakeTrainer(world, 2, "run-uid-2")
        assert await second.start()
        await second.report(TRAINING)
        await world.pass_time(10)
        assert (await world.job()).state is JobState.RUNNING
        await world.pass_time(15)
        assert (await world.job()).state is JobState.STOPPING
        second.exit(77)
        await world.pass_time(5)
        job = await world.job()
        assert job.error is not None
        assert job.error.code == "deadline_exceeded"
        assert job.used_ms >= 60_000


async def test_polls_of_one_moment_are_asked_as_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_GATHER_S", 0.3)  # a moment, on a machine that is busy
    for number in range(1, 5):
        await world.submit(job_id=f"job-{number}", uid=f"uid-{number}")
    await world.settle()
    world.engine.polls.clear()
    world.clock.step(5)
    jobs = await world.reconciler.lease(10)
    await asyncio.gather(*(world.reconciler.tend(job) for job in jobs))
    assert len(world.engine.polls) == 1
    assert len(world.engine.polls[0]) == 4


async def test_an_engine_is_given_what_it_has_room_for_in_order(world: World) -> None:
    engine = world.engine
    assert isinstance(engine, FakeEngine)
    engine.queue_depth = 2
    world.restart()
    names = [run_name(GENERATION, f"uid-{number}", 1) for number in range(1, 5)]
    for number in range(1, 5):
        await world.submit(job_id=f"job-{number}", uid=f"uid-{number}")
    await world.settle()
    assert engine.created == names[:2]
    assert (await world.job("uid-3")).attempt == 0
    engine.say(names[1], RunState.RUNNING)
    await world.pass_time(5)
    assert engine.created == names[:3]


async def test_kept_credentials_go_when_their_time_is_over(tmp_path: Path) -> None:
    world = World(tmp_path, control=ControlSettings(keep_secrets_for_retry_s=60.0))
    await world.sqlite.open()
    try:
        trainer = await running(world)
        await trainer.report(FAILED)
        trainer.exit(67)
        await world.pass_time(30)
        assert await world.store.get_sealed(UID, "request") is not None
        await world.pass_time(60)
        assert await world.store.get_sealed(UID, "request") is None
    finally:
        await world.sqlite.close()


async def test_the_loops_drive_a_job_by_themselves(world: World) -> None:
    """With the real loops, woken by hints: no step of this test leases or tends."""
    await world.reconciler.start()
    await world.outbox.start()
    try:
        await world.submit()
        await world.store.wake(UID)
        for _ in range(500):
            if (await world.job()).state is JobState.PENDING:
                break
            await world.clock.advance(0.1)
        assert (await world.job()).state is JobState.PENDING
        assert world.reconciler.trouble() is None
        assert world.outbox.trouble() is None
    finally:
        await world.reconciler.stop()
        await world.outbox.stop()
    assert world.reconciler.trouble() is not None
