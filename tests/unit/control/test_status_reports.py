"""Who may report by Kubeflow Trainer's protocol, and how often."""

from typing import Any

import msgspec
import pytest

from support.front import TENANT, Front, request
from support.job_samples import attempt
from tunegate.contract.attempt import ClaimRequest
from tunegate.contract.trainer_status import Metric, StatusReport, TrainerStatus
from tunegate.control.records import JobRecord, JobState
from tunegate.control.service import JobService
from tunegate.control.store.protocol import Change
from tunegate.sdk.errors import TunegateError

TOKEN = "claim-token"
ID = "uid0001-1"


async def change(front: Front, **more: Any) -> JobRecord:
    job = await front.store.get_by_uid("uid0001")
    assert job is not None
    after = await front.store.apply(Change(uid=job.uid, version=job.version, **more))
    assert after is not None
    return after


@pytest.fixture
async def launched(front: Front, service: JobService) -> Front:
    await service.submit(TENANT, request())
    job = await front.store.get_by_uid("uid0001")
    assert job is not None
    container = msgspec.structs.replace(job.container, protocol="kubeflow")
    new = attempt(job, token_hash=front.context.sealer.token_hash(TOKEN))
    fields = {"state": JobState.STARTING, "attempt": 1, "container": container}
    await change(front, fields=fields, new_attempt=new)
    return front


def at(percent: int, **metrics: str) -> StatusReport:
    told = [Metric(name=name, value=value) for name, value in metrics.items()]
    return StatusReport(trainer_status=TrainerStatus(progress_percentage=percent, metrics=told))


async def code(service: JobService, report: StatusReport, token: str = TOKEN, id_: str = ID) -> str:
    try:
        await service.report(id_, token, report)
    except TunegateError as error:
        return error.code
    return ""


async def test_the_attempts_own_token_alone(launched: Front, service: JobService) -> None:
    assert await code(service, at(1), token="another") == "unauthorized"
    assert await code(service, at(1), id_="uid0001-2") == "unauthorized"
    assert await code(service, at(1)) == ""


async def test_a_trainer_that_claims_does_not_report_so(
    launched: Front, service: JobService
) -> None:
    job = await launched.store.get_by_uid("uid0001")
    assert job is not None
    container = msgspec.structs.replace(job.container, protocol="attempt")
    await change(launched, fields={"container": container})
    assert await code(service, at(1)) == "forbidden"
    assert await launched.store.read_trainer_events(ID, 0, 10) == []


async def test_after_the_end_nothing_is_taken(launched: Front, service: JobService) -> None:
    await change(launched, attempt_number=1, attempt_fields={"ended_ms": 5})
    assert await code(service, at(1)) == "forbidden"


async def test_after_another_attempt_has_begun_neither(
    launched: Front, service: JobService
) -> None:
    job = await launched.store.get_by_uid("uid0001")
    assert job is not None
    await change(launched, fields={"attempt": 2}, new_attempt=attempt(job, 2))
    assert await code(service, at(1)) == "forbidden"


async def test_one_report_in_five_seconds_and_the_last_at_once(
    launched: Front, service: JobService
) -> None:
    assert await code(service, at(0)) == ""
    assert await code(service, at(10)) == "rate_limited"
    launched.clock.time_ms += 5000
    assert await code(service, at(10, loss="0.5")) == ""
    assert await code(service, at(100, loss="0.25")) == ""
    assert await code(service, at(100, loss="0.125")) == "rate_limited"
    assert await code(service, StatusReport()) == "rate_limited"


async def test_a_program_may_claim_for_its_credentials_and_report(
    launched: Front, service: JobService
) -> None:
    await service.report(ID, TOKEN, at(0))
    grant = await service.claim(ID, TOKEN, ClaimRequest(run_uid="run-00000001"))
    assert grant.fence > 0
    launched.clock.time_ms += 5000
    assert await code(service, at(10)) == ""
    assert len(await launched.store.read_trainer_events(ID, 0, 10)) == 2
