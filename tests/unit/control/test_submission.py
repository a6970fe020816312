"""Submitting: idempotent, sealed, all in one transaction."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.front import TENANT, Front, QueueLauncher, build_front, request
from tunegate.contract.job import WebhookBody
from tunegate.control.addresses import CheckUrl
from tunegate.control.principal import Principal
from tunegate.control.records import JobState
from tunegate.control.sealed import CALLBACKS, REQUEST, open_callbacks, open_request
from tunegate.control.service import JobService
from tunegate.control.store.protocol import JobFilter
from tunegate.sdk.errors import TunegateError

CANARY = "canary-7Zq+/x"


def secretive() -> dict[str, Any]:
    """A canary in every place that may hold a secret."""
    return {
        "base_model": {
            "provider": "huggingface",
            "model_name": "org/tiny-7b",
            "auth_token": f"{CANARY}1",
            "huggingface_token": f"{CANARY}2",
            "weights_url": f"https://h/weights?sig={CANARY}3",
        },
        "datasets": [
            {"source": f"https://h/x.jsonl?sig={CANARY}4", "format": "auto", "auth": {"token": f"{CANARY}5"}},
            {"source": "https://h/y.jsonl", "format": "auto", "auth": {"username": f"{CANARY}6", "password": f"{CANARY}7"}},
        ],
        "artifacts": {
            "output_uri": "s3://b/results",
            "status_stream_url": f"https://h/stream/{CANARY}8",
            "auth": {
                "aws_access_key_id": f"{CANARY}9",
                "aws_secret_access_key": f"{CANARY}10",
                "aws_session_token": f"{CANARY}11",
            },
        },
        "callbacks": {"webhook_url": f"https://h/hook/{CANARY}12", "auth_header": f"Bearer {CANARY}13"},
        "extra_parameters": {"unsloth": {"api_token": f"{CANARY}14"}},
    }  # fmt: skip


def code_of(caught: pytest.ExceptionInfo[TunegateError]) -> str:
    return caught.value.code


async def test_a_job_is_stored_with_its_event_and_answered(
    front: Front, service: JobService
) -> None:
    job, created = await service.submit(TENANT, request(metadata={"team": "a"}))
    assert created
    assert (job.status, job.phase, job.detail) == ("queued", "queued", "Job accepted")
    assert (job.backend, job.launcher, job.backend_job_id) == (
        "trainer",
        "queue",
        "trainer-uid0001",
    )
    assert job.dashboard_url == "https://gateway.test/train/job-1"
    assert job.created_at == "2030-03-17T17:46:40.000Z"
    assert job.metadata == {"team": "a"}
    first = "It is launched on queue as soon as there is room."
    assert await service.get(TENANT, "job-1") == msgspec.structs.replace(
        job, queue_position=1, queue_reason=first
    )
    await service.submit(TENANT, request(job_id="job-2"))
    second = await service.get(TENANT, "job-2")
    assert second.queue_reason == "It waits for its turn on queue; about 1 ahead of it."
    [event] = (await service.events(TENANT, "job-1", 0, 10)).data
    assert (event.sequence, event.type, event.status) == (1, "job.status", "queued")
    record = await front.store.get_job("acme", "job-1")
    assert record is not None
    assert record.budget_ms == 480 * 60_000
    assert not record.has_secrets
    due = await front.store.lease_due("me", 5, 1000)
    assert [j.uid for j in due] == ["uid0001", "uid0002"]


async def test_the_same_request_again_is_the_same_job(front: Front, service: JobService) -> None:
    job, _ = await service.submit(TENANT, request(callbacks=None))
    assert await service.submit(TENANT, request()) == (job, False)
    assert await front.store.pending_deliveries("uid0001") == 0


async def test_an_identical_request_is_found_even_when_it_would_be_refused_now(
    tmp_path: Path,
) -> None:
    allowed = True
    check: CheckUrl = lambda _: None if allowed else "Not allowed any more."  # noqa: E731
    front = await build_front(tmp_path, check_url=check)
    service = JobService(front.context)
    wanted = request(callbacks={"webhook_url": "https://h/x"})
    await service.submit(TENANT, wanted)
    allowed = False
    assert (await service.submit(TENANT, wanted))[1] is False
    await front.store.close()


@pytest.mark.parametrize(
    "fields",
    [
        {"metadata": {"a": "b"}},
        {"base_model": {"provider": "huggingface", "model_name": "meta-llama/Llama-2-7b", "auth_token": "other"}},
    ],
)  # fmt: skip
async def test_another_request_conflicts_secrets_included(
    service: JobService, fields: dict[str, Any]
) -> None:
    await service.submit(TENANT, request())
    with pytest.raises(TunegateError) as caught:
        await service.submit(TENANT, request(**fields))
    assert code_of(caught) == "job_conflict"


async def test_tenants_do_not_meet(service: JobService) -> None:
    other = Principal(name="other")
    _, first = await service.submit(TENANT, request())
    _, second = await service.submit(other, request(metadata={"a": "b"}))
    assert (first, second) == (True, True)
    assert len((await service.list(other, JobFilter(), None, 10)).data) == 1
    with pytest.raises(TunegateError) as caught:
        await service.get(Principal(name="third"), "job-1")
    assert code_of(caught) == "job_not_found"


async def test_racing_submissions_make_one_job(service: JobService) -> None:
    answers = await asyncio.gather(*(service.submit(TENANT, request()) for _ in range(20)))
    assert sum(created for _, created in answers) == 1
    assert len({job.backend_job_id for job, _ in answers}) == 1


class TestPinnedBackend:
    async def test_it_is_the_same_job_as_naming_it(self, service: JobService) -> None:
        job, _ = await service.submit(TENANT, request(), pinned_backend="trainer")
        assert await service.submit(TENANT, request(backend="trainer")) == (job, False)

    async def test_it_must_serve_the_method(self, service: JobService) -> None:
        with pytest.raises(TunegateError) as caught:
            await service.submit(TENANT, request(), pinned_backend="plain")
        assert [problem.code for problem in caught.value.problems] == ["no_backend"]

    async def test_the_body_may_not_name_another(self, service: JobService) -> None:
        with pytest.raises(TunegateError) as caught:
            await service.submit(TENANT, request(backend="trainer"), pinned_backend="plain")
        assert [problem.code for problem in caught.value.problems] == ["conflicting_fields"]


async def test_nothing_of_a_refused_job_is_stored(front: Front, service: JobService) -> None:
    fields = {"customization": {"method": "peft"}, "extra_parameters": {"launcher": "moon"}}
    with pytest.raises(TunegateError) as caught:
        await service.submit(TENANT, request(**fields, artifacts={"output_uri": "ftp://x"}))
    assert code_of(caught) == "invalid_job"
    assert [problem.path for problem in caught.value.problems] == [
        "$.customization.method",
        "$.extra_parameters.launcher",
        "$.artifacts.output_uri",
    ]
    assert await front.store.get_job("acme", "job-1") is None


async def test_the_job_chooses_its_launcher(service: JobService) -> None:
    job, _ = await service.submit(TENANT, request(extra_parameters={"launcher": "other"}))
    assert job.launcher == "other"


async def test_a_read_only_token_changes_nothing(service: JobService) -> None:
    await service.submit(TENANT, request())
    reader = Principal(name="acme", read_only=True)
    assert (await service.get(reader, "job-1")).job_id == "job-1"
    for call in (
        service.submit(reader, request()),
        service.cancel(reader, "job-1"),
        service.retry(reader, "job-1"),
        service.forget(reader, "job-1"),
    ):
        with pytest.raises(TunegateError) as caught:
            await call
        assert code_of(caught) == "forbidden"


async def test_a_job_keeps_its_tokens_limit_and_waits_for_it(
    front: Front, service: JobService
) -> None:
    limited = Principal(name="acme", max_gpus=3)
    for name in ("a", "b"):
        await service.submit(limited, request(job_id=name, resources={"gpus": 2}))
    assert [job.job_id for job in await front.store.lease_due("me", 9, 60_000, {"queue": 9})] == [
        "a"
    ]
    waiting = await service.get(limited, "b")
    assert waiting.queue_reason == (
        "It waits for 2 of the 3 GPUs that the tenant may hold; its running jobs hold 2."
    )
    with pytest.raises(TunegateError, match="may hold 3 GPUs at once, and this job asks for 4"):
        await service.submit(limited, request(job_id="c", resources={"gpus": 4}))


async def test_no_more_unfinished_jobs_than_allowed(service: JobService) -> None:
    limited = Principal(name="acme", max_jobs=2)

    def job(name: str) -> Any:
        return service.submit(limited, request(job_id=name))

    answers = await asyncio.gather(*map(job, "abcd"), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, TunegateError)]
    assert [error.code for error in refused] == ["too_many_jobs"] * 2
    there = {answer[0].job_id for answer in answers if isinstance(answer, tuple)}
    job_id = min(there)
    assert (await job(job_id))[1] is False
    await service.submit(Principal(name="other", max_jobs=2), request(job_id="a"))


async def test_launchers_of_the_token(service: JobService) -> None:
    elsewhere = Principal(name="acme", launchers=["moon"])
    with pytest.raises(TunegateError) as caught:
        await service.submit(elsewhere, request())
    assert [(p.path, p.code) for p in caught.value.problems] == [
        ("$.extra_parameters.launcher", "not_allowed")
    ]
    with pytest.raises(TunegateError) as caught:
        await service.submit(elsewhere, request(extra_parameters={"launcher": "queue"}))
    assert [(p.path, p.code) for p in caught.value.problems] == [
        ("$.extra_parameters.launcher", "not_allowed")
    ]
    job, _ = await service.submit(Principal(name="acme", launchers=["moon", "queue"]), request())
    assert job.launcher == "queue"


class TestSecrets:
    async def test_none_is_stored_or_answered_in_clear(
        self, front: Front, service: JobService
    ) -> None:
        job, _ = await service.submit(TENANT, request(**secretive()))
        record = await front.store.get_job("acme", "job-1")
        assert record is not None
        assert record.has_secrets
        assert CANARY not in str(job)
        assert CANARY not in str(record)
        for file in front.path.parent.rglob("*"):
            if file.is_file():
                assert CANARY.encode() not in file.read_bytes(), file

    async def test_they_can_be_opened_where_they_belong(
        self, front: Front, service: JobService
    ) -> None:
        wanted = request(**secretive())
        await service.submit(TENANT, wanted)
        record = await front.store.get_job("acme", "job-1")
        assert record is not None
        assert await open_request(front.store, front.context.sealer, record) == wanted
        callbacks = await open_callbacks(front.store, front.context.sealer, record)
        assert callbacks is not None
        assert callbacks.webhook_url is not None
        assert callbacks.webhook_url.reveal() == f"https://h/hook/{CANARY}12"
        assert callbacks.auth_header is not None
        assert callbacks.status_stream_url is not None

    async def test_the_request_can_be_read_again_without_them(self, service: JobService) -> None:
        await service.submit(TENANT, request(**secretive()))
        kept = await service.request(TENANT, "job-1")
        assert CANARY.encode() not in kept
        assert b"***" in kept
        with pytest.raises(TunegateError, match="job_not_found"):
            await service.request(Principal(name="other"), "job-1")

    async def test_a_job_is_looked_at_on_the_page_where_there_is_one(self, front: Front) -> None:
        service = JobService(replace(front.context, dashboard=True))
        job, _ = await service.submit(TENANT, request())
        assert job.dashboard_url == "https://gateway.test/ui#/jobs/job-1"

    async def test_a_dry_run_shows_none_and_stores_nothing(
        self, front: Front, service: JobService
    ) -> None:
        answer = await service.dry_run(TENANT, request(**secretive()))
        assert CANARY not in str(answer)
        assert await front.store.get_job("acme", "job-1") is None


class TestWebhooks:
    async def test_the_first_one_waits_for_the_receiver(
        self, front: Front, service: JobService
    ) -> None:
        await service.submit(TENANT, request(callbacks={"webhook_url": "https://h/x"}))
        assert await front.store.lease_deliveries("me", 5, 1000) == []
        front.clock.time_ms += 1000
        [delivery] = await front.store.lease_deliveries("me", 5, 1000)
        told = msgspec.json.decode(delivery.body, type=WebhookBody)
        assert (told.status, told.log, told.sequence) == ("queued", "Job accepted", 1)

    async def test_a_stream_to_the_same_address_is_webhooks_only(
        self, front: Front, service: JobService
    ) -> None:
        url = "https://h/x"
        artifacts = {"output_uri": "s3://b/x", "status_stream_url": url}
        await service.submit(TENANT, request(artifacts=artifacts, callbacks={"webhook_url": url}))
        record = await front.store.get_job("acme", "job-1")
        assert record is not None
        assert (record.has_webhook, record.has_stream) == (True, False)
        assert await front.store.pending_deliveries(record.uid, "stream") == 0

    async def test_without_callbacks_nothing_is_sealed_for_them(
        self, front: Front, service: JobService
    ) -> None:
        await service.submit(TENANT, request())
        assert await front.store.get_sealed("uid0001", CALLBACKS) is None
        assert await front.store.get_sealed("uid0001", REQUEST) is not None
        record = await front.store.get_by_uid("uid0001")
        assert record is not None
        assert record.state is JobState.QUEUED


async def test_ready_asks_the_store_and_the_loops(tmp_path: Path) -> None:
    trouble: list[str] = []
    front = await build_front(tmp_path, trouble=lambda: trouble[0] if trouble else None)
    service = JobService(front.context)
    await service.ready()
    trouble.append("The loop died.")
    with pytest.raises(TunegateError, match="The loop died"):
        await service.ready()
    await front.store.close()
    trouble.clear()
    with pytest.raises(TunegateError) as caught:
        await service.ready()
    assert code_of(caught) == "unavailable"


def test_what_is_installed(front: Front, service: JobService) -> None:
    assert [entry.name for entry in service.backends().data] == ["plain", "trainer"]
    assert [entry.name for entry in service.launchers().data] == ["other", "queue"]
    assert isinstance(front.launcher, QueueLauncher)
