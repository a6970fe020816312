"""Cancel, retry, forget."""

from typing import Any

import msgspec
import pytest

from support.front import TENANT, Front, request
from support.job_samples import attempt
from tunegate.contract.job import JobError
from tunegate.contract.problems import Problem
from tunegate.control.kept_log import kept_log
from tunegate.control.records import JobRecord, JobState
from tunegate.control.sealed import CALLBACKS, REQUEST, open_request
from tunegate.control.service import JobService
from tunegate.control.store.protocol import Change
from tunegate.sdk.errors import TunegateError, job_error

TOKEN = {"provider": "huggingface", "model_name": "meta-llama/Llama-2-7b", "auth_token": "hf-1"}


async def record(front: Front) -> JobRecord:
    job = await front.store.get_job("acme", "job-1")
    assert job is not None
    return job


async def change(front: Front, **more: Any) -> JobRecord:
    job = await record(front)
    after = await front.store.apply(Change(uid=job.uid, version=job.version, **more))
    assert after is not None
    return after


async def end(
    front: Front,
    state: JobState = JobState.FAILED,
    *,
    used_ms: int = 1000,
    sealed_goes: bool = True,
) -> JobRecord:
    """The job runs once and ends, as the reconciler would write it."""
    job = await change(
        front,
        fields={"state": JobState.LAUNCHING, "attempt": 1},
        new_attempt=attempt(await record(front)),
    )
    error = job_error("run_lost") if state is JobState.FAILED else None
    return await change(
        front,
        fields={"state": state, "error": error, "used_ms": used_ms, "retries_left": 0},
        attempt_number=1,
        attempt_fields={"ended_ms": job.updated_ms, "cleaned": True},
        destroy_sealed=[REQUEST, CALLBACKS] if sealed_goes else [],
    )


def code_of(caught: pytest.ExceptionInfo[TunegateError]) -> str:
    return caught.value.code


class TestCancel:
    async def test_it_is_durable_and_wakes_the_loop(
        self, front: Front, service: JobService
    ) -> None:
        await service.submit(TENANT, request())
        await change(front, fields={"due_ms": front.clock.time_ms + 60_000})
        assert await front.store.lease_due("me", 5, 1000) == []
        job = await service.cancel(TENANT, "job-1")
        assert (job.status, job.detail) == ("queued", "Cancellation asked for")
        after = await record(front)
        assert (after.desired, after.stop_reason) == ("stop", "cancel")
        assert len(await front.store.lease_due("me", 5, 1000)) == 1

    async def test_a_lease_that_somebody_holds_does_not_delay_it(
        self, front: Front, service: JobService
    ) -> None:
        await service.submit(TENANT, request())
        [held] = await front.store.lease_due("me", 5, 60_000)
        await service.cancel(TENANT, "job-1")
        later = front.clock.time_ms + 60_000
        await change(front, epoch=held.epoch, fields={"due_ms": later}, releases_lease=True)
        assert len(await front.store.lease_due("you", 5, 1000)) == 1

    async def test_twice_is_once(self, front: Front, service: JobService) -> None:
        await service.submit(TENANT, request())
        await service.cancel(TENANT, "job-1")
        before = await record(front)
        await service.cancel(TENANT, "job-1")
        assert await record(front) == before

    async def test_a_deadline_that_came_first_stays(
        self, front: Front, service: JobService
    ) -> None:
        await service.submit(TENANT, request())
        await change(front, fields={"desired": "stop", "stop_reason": "deadline"})
        await service.cancel(TENANT, "job-1")
        assert (await record(front)).stop_reason == "deadline"

    async def test_a_finished_job_comes_back_as_it_is(
        self, front: Front, service: JobService
    ) -> None:
        await service.submit(TENANT, request())
        before = await end(front, JobState.SUCCEEDED)
        job = await service.cancel(TENANT, "job-1")
        assert job.status == "succeeded"
        assert job.detail == "The job had already succeeded; there was nothing to cancel."
        assert await record(front) == before

    async def test_it_wins_against_writes_that_come_between(
        self, front: Front, service: JobService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await service.submit(TENANT, request())
        real, interruptions = front.store.apply, [1, 2, 3]

        async def racing(one: Change) -> JobRecord | None:
            if interruptions:
                interruptions.pop()
                job = await record(front)
                await real(Change(uid=job.uid, version=job.version, fields={"phase": "pending"}))
            return await real(one)

        monkeypatch.setattr(front.store, "apply", racing)
        await service.cancel(TENANT, "job-1")
        assert (await record(front)).desired == "stop"

    async def test_an_unknown_job(self, service: JobService) -> None:
        with pytest.raises(TunegateError) as caught:
            await service.cancel(TENANT, "job-1")
        assert code_of(caught) == "job_not_found"


class TestRetry:
    async def test_a_failed_job_begins_anew(self, front: Front, service: JobService) -> None:
        await service.submit(TENANT, request(callbacks=None))
        await end(front, used_ms=5000)
        job = await service.retry(TENANT, "job-1")
        assert (job.status, job.phase, job.error, job.attempt) == ("queued", "queued", None, 1)
        after = await record(front)
        assert (after.state, after.desired, after.retries_left) == (JobState.QUEUED, "run", 2)
        assert after.used_ms == 5000, "running time adds up over attempts"
        last = (await service.events(TENANT, "job-1", 0, 100)).data[-1]
        assert (last.type, last.status, last.detail) == ("job.status", "queued", job.detail)
        assert len(await front.store.lease_due("me", 5, 1000)) == 1

    async def test_a_cancelled_one_too(self, front: Front, service: JobService) -> None:
        await service.submit(TENANT, request())
        await service.cancel(TENANT, "job-1")
        await end(front, JobState.CANCELLED)
        await service.retry(TENANT, "job-1")
        after = await record(front)
        assert (after.desired, after.stop_reason) == ("run", None)

    @pytest.mark.parametrize("state", [JobState.SUCCEEDED, None])
    async def test_others_are_not(
        self, front: Front, service: JobService, state: JobState | None
    ) -> None:
        await service.submit(TENANT, request())
        if state is not None:
            await end(front, state)
        with pytest.raises(TunegateError) as caught:
            await service.retry(TENANT, "job-1")
        assert code_of(caught) == "job_not_retryable"

    async def test_credentials_that_are_gone_must_be_sent_again(
        self, front: Front, service: JobService
    ) -> None:
        await service.submit(TENANT, request(base_model=TOKEN))
        await end(front)
        with pytest.raises(TunegateError) as caught:
            await service.retry(TENANT, "job-1")
        assert code_of(caught) == "secrets_gone"
        fresh = request(base_model=TOKEN | {"auth_token": "hf-2"})
        await service.retry(TENANT, "job-1", fresh)
        opened = await open_request(front.store, front.context.sealer, await record(front))
        assert opened == fresh

    async def test_credentials_that_are_kept_serve_again(
        self, front: Front, service: JobService
    ) -> None:
        wanted = request(base_model=TOKEN)
        await service.submit(TENANT, wanted)
        await end(front, sealed_goes=False)
        await service.retry(TENANT, "job-1")
        opened = await open_request(front.store, front.context.sealer, await record(front))
        assert opened == wanted

    async def test_the_first_body_still_finds_the_job(
        self, front: Front, service: JobService
    ) -> None:
        await service.submit(TENANT, request())
        await end(front)
        await service.retry(TENANT, "job-1")
        assert (await service.submit(TENANT, request()))[1] is False

    @pytest.mark.parametrize(
        "fields",
        [
            {"customization": {"method": "lora", "rank": 4}},
            {"datasets": [{"source": "s3://bucket/other.jsonl", "format": "auto"}]},
            {"artifacts": {"output_uri": "s3://bucket/elsewhere"}},
            {"resources": {"gpus": 2}},
            {"job_id": "job-2"},
            {"backend": "plain"},
        ],
    )
    async def test_another_job_in_disguise_is_refused(
        self, front: Front, service: JobService, fields: dict[str, Any]
    ) -> None:
        await service.submit(TENANT, request())
        await end(front)
        with pytest.raises(TunegateError) as caught:
            await service.retry(TENANT, "job-1", request(**fields))
        assert code_of(caught) == "job_conflict"

    async def test_credentials_launcher_callbacks_and_duration_may_change(
        self, front: Front, service: JobService
    ) -> None:
        await service.submit(TENANT, request())
        await end(front)
        changed = request(
            base_model=TOKEN,
            resources={"max_duration_minutes": 600},
            extra_parameters={"launcher": "other"},
            callbacks={"webhook_url": "https://h/x"},
            datasets=[
                {"source": "s3://bucket/data/train.jsonl", "format": "auto", "auth": {"aws_region": "eu"}}
            ],
        )  # fmt: skip
        job = await service.retry(TENANT, "job-1", changed)
        after = await record(front)
        assert job.launcher == "other"
        assert after.budget_ms == 600 * 60_000
        assert after.container.resources.max_duration_s == 600 * 60
        assert after.has_webhook
        assert after.has_secrets
        assert await front.store.pending_deliveries(after.uid, "webhook") == 1

    async def test_a_used_up_budget_needs_a_larger_one(
        self, front: Front, service: JobService
    ) -> None:
        await service.submit(TENANT, request(resources={"max_duration_minutes": 10}))
        await end(front, used_ms=600_000)
        for same in (None, request(resources={"max_duration_minutes": 10})):
            with pytest.raises(TunegateError, match="used up its max_duration_minutes") as caught:
                await service.retry(TENANT, "job-1", same)
            assert code_of(caught) == "job_not_retryable"
        await service.retry(TENANT, "job-1", request(resources={"max_duration_minutes": 11}))

    async def test_it_counts_again(self, front: Front, service: JobService) -> None:
        limited = msgspec.structs.replace(TENANT, max_jobs=1)
        await service.submit(limited, request())
        await end(front)
        await service.submit(limited, request(job_id="job-2"))
        with pytest.raises(TunegateError, match="too_many_jobs"):
            await service.retry(limited, "job-1")

    async def test_what_would_be_refused_now_is_refused(
        self, front: Front, service: JobService
    ) -> None:
        await service.submit(TENANT, request())
        await end(front)
        with pytest.raises(TunegateError) as caught:
            await service.retry(TENANT, "job-1", request(extra_parameters={"launcher": "moon"}))
        assert [problem.path for problem in caught.value.problems] == [
            "$.extra_parameters.launcher"
        ]
        assert isinstance(caught.value.problems[0], Problem)
        assert isinstance((await record(front)).error, JobError)


class TestForget:
    async def test_the_records_go(self, front: Front, service: JobService) -> None:
        await service.submit(TENANT, request())
        job = await end(front)
        log = kept_log(front.context.state_dir, job.uid, 1)
        log.parent.mkdir(parents=True)
        log.write_text("line")
        await service.forget(TENANT, "job-1")
        assert await front.store.get_job("acme", "job-1") is None
        assert not log.parent.exists()
        with pytest.raises(TunegateError) as caught:
            await service.forget(TENANT, "job-1")
        assert code_of(caught) == "job_not_found"
        assert (await service.submit(TENANT, request(metadata={"a": "b"})))[1] is True

    async def test_not_of_an_active_job(self, front: Front, service: JobService) -> None:
        await service.submit(TENANT, request())
        with pytest.raises(TunegateError) as caught:
            await service.forget(TENANT, "job-1")
        assert code_of(caught) == "job_not_finished"
