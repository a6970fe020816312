"""The trainer's calls: who may claim, what is given, which events are taken."""

import math
from typing import Any

import pytest

from support.front import TENANT, Front, request
from support.job_samples import attempt
from tunegate.contract.attempt import (
    ClaimRequest,
    EventBatch,
    MetricsEvent,
    NoteEvent,
    ProgressEvent,
    SequencedEvent,
    SucceededEvent,
    TrainerEvent,
)
from tunegate.control.records import JobRecord, JobState
from tunegate.control.sealed import REQUEST
from tunegate.control.service import JobService
from tunegate.control.store.protocol import Change
from tunegate.sdk.errors import TunegateError

TOKEN = "claim-token"
ID = "uid0001-1"
RUN, OTHER = ClaimRequest(run_uid="run-00000001"), ClaimRequest(run_uid="run-00000002")


async def change(front: Front, **more: Any) -> JobRecord:
    job = await front.store.get_by_uid("uid0001")
    assert job is not None
    after = await front.store.apply(Change(uid=job.uid, version=job.version, **more))
    assert after is not None
    return after


@pytest.fixture
async def launched(front: Front, service: JobService) -> Front:
    token = {"provider": "huggingface", "model_name": "org/m", "huggingface_token": "hf-1"}
    await service.submit(TENANT, request(base_model=token, resources={"max_duration_minutes": 2}))
    job = await front.store.get_by_uid("uid0001")
    assert job is not None
    new = attempt(job, token_hash=front.context.sealer.token_hash(TOKEN), resume=True)
    fields = {"state": JobState.STARTING, "attempt": 1, "used_ms": 30_000}
    await change(front, fields=fields, new_attempt=new)
    return front


def batch(*events: TrainerEvent, run_uid: str = RUN.run_uid, first: int = 1) -> EventBatch:
    numbered = [
        SequencedEvent(sequence=first + index, at_ms=1, event=one)
        for index, one in enumerate(events)
    ]
    return EventBatch(run_uid=run_uid, events=numbered)


def code_of(caught: pytest.ExceptionInfo[TunegateError]) -> str:
    return caught.value.code


class TestClaim:
    async def test_the_winner_is_given_all(self, launched: Front, service: JobService) -> None:
        grant = await service.claim(ID, TOKEN, RUN)
        assert (grant.attempt, grant.resume, grant.remaining_s) == (1, True, 90.0)
        assert grant.secrets.hub_token is not None
        assert grant.secrets.hub_token.reveal() == "hf-1"
        assert grant.secrets.datasets == [None]

    async def test_it_may_ask_again_but_its_time_runs(
        self, launched: Front, service: JobService
    ) -> None:
        first = await service.claim(ID, TOKEN, RUN)
        launched.clock.time_ms += 40_000
        again = await service.claim(ID, TOKEN, RUN)
        assert (again.fence, again.remaining_s) == (first.fence, 50.0)
        launched.clock.time_ms += 400_000
        assert (await service.claim(ID, TOKEN, RUN)).remaining_s == 0

    async def test_another_run_is_refused(self, launched: Front, service: JobService) -> None:
        await service.claim(ID, TOKEN, RUN)
        with pytest.raises(TunegateError) as caught:
            await service.claim(ID, TOKEN, OTHER)
        assert code_of(caught) == "claim_refused"

    @pytest.mark.parametrize(("attempt_id", "token"), [(ID, "wrong"), (ID, ""), ("none", TOKEN)])
    async def test_a_wrong_token_looks_like_an_unknown_attempt(
        self, launched: Front, service: JobService, attempt_id: str, token: str
    ) -> None:
        for call in (
            service.claim(attempt_id, token, RUN),
            service.ingest(attempt_id, token, batch(NoteEvent(text="x"))),
        ):
            with pytest.raises(TunegateError) as caught:
                await call
            assert code_of(caught) == "unauthorized"
        assert (await service.claim(ID, TOKEN, RUN)).attempt == 1, "nobody took the claim"

    async def test_nothing_is_given_once_the_credentials_are_gone(
        self, launched: Front, service: JobService
    ) -> None:
        await launched.store.destroy_sealed("uid0001", [REQUEST])
        with pytest.raises(TunegateError) as caught:
            await service.claim(ID, TOKEN, RUN)
        assert code_of(caught) == "claim_refused"

    async def test_a_cancelled_job_can_not_be_claimed(
        self, launched: Front, service: JobService
    ) -> None:
        await service.cancel(TENANT, "job-1")
        with pytest.raises(TunegateError) as caught:
            await service.claim(ID, TOKEN, RUN)
        assert code_of(caught) == "claim_refused"


class TestEvents:
    async def test_they_are_stored_and_counted(self, launched: Front, service: JobService) -> None:
        await service.claim(ID, TOKEN, RUN)
        receipt = await service.ingest(ID, TOKEN, batch(NoteEvent(text="a"), NoteEvent(text="b")))
        assert (receipt.accepted_through, receipt.stop) == (2, None)
        receipt = await service.ingest(ID, TOKEN, batch(NoteEvent(text="b"), first=2))
        assert receipt.accepted_through == 2
        assert len(await launched.store.read_trainer_events(ID, 0, 10)) == 2

    async def test_a_run_without_the_claim_is_told_to_leave(
        self, launched: Front, service: JobService
    ) -> None:
        await service.claim(ID, TOKEN, RUN)
        told = batch(NoteEvent(text="x"), run_uid=OTHER.run_uid)
        assert (await service.ingest(ID, TOKEN, told)).stop == "superseded"
        assert await launched.store.read_trainer_events(ID, 0, 10) == []

    async def test_a_run_of_an_older_attempt_too(
        self, launched: Front, service: JobService
    ) -> None:
        await service.claim(ID, TOKEN, RUN)
        await change(launched, fields={"attempt": 2})
        assert (await service.ingest(ID, TOKEN, batch(NoteEvent(text="x")))).stop == "superseded"

    @pytest.mark.parametrize("reason", ["cancel", "deadline"])
    async def test_the_receipt_asks_to_stop(
        self, launched: Front, service: JobService, reason: str
    ) -> None:
        await service.claim(ID, TOKEN, RUN)
        await change(launched, fields={"desired": "stop", "stop_reason": reason})
        assert (await service.ingest(ID, TOKEN, batch(NoteEvent(text="x")))).stop == reason

    @pytest.mark.parametrize(
        "bad",
        [
            MetricsEvent(step=1, values={"loss": math.nan}),
            MetricsEvent(step=-1, values={}),
            ProgressEvent(step=1, total_steps=2, epoch=math.inf, tokens=1, tokens_per_s=1),
            ProgressEvent(step=1, total_steps=2, epoch=1, tokens=-1, tokens_per_s=1),
            SucceededEvent(
                manifest_uri="", manifest_sha256="", detail="", metrics={"x": -math.inf}
            ),
        ],
    )
    async def test_numbers_that_are_none_are_refused(
        self, launched: Front, service: JobService, bad: TrainerEvent
    ) -> None:
        await service.claim(ID, TOKEN, RUN)
        with pytest.raises(TunegateError) as caught:
            await service.ingest(ID, TOKEN, batch(NoteEvent(text="fine"), bad))
        assert [problem.path for problem in caught.value.problems] == ["$.events[1].event"]
        assert await launched.store.read_trainer_events(ID, 0, 10) == []

    async def test_losses_below_zero_are_numbers(
        self, launched: Front, service: JobService
    ) -> None:
        await service.claim(ID, TOKEN, RUN)
        told = batch(MetricsEvent(step=1, values={"reward": -3.5}))
        assert (await service.ingest(ID, TOKEN, told)).accepted_through == 1
