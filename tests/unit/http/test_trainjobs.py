"""Progress by Kubeflow Trainer's protocol, as its clients send it."""

from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from support.door import FakeJobs
from tunegate.contract.trainer_status import STATUS_PATH, Metric, StatusReport, TrainerStatus

Client = AsyncTestClient[Litestar]
TOKEN = {"authorization": "Bearer attempt-token", "content-type": "application/json"}
PATH = STATUS_PATH.format(attempt_id="uid-1")


def body(**status: Any) -> dict[str, Any]:
    return {"trainerStatus": {"lastUpdatedTime": "2030-01-01T00:00:00+00:00", **status}}


async def test_a_report_is_taken_and_repeated(client: Client, jobs: FakeJobs) -> None:
    sent = body(
        progressPercentage=40,
        estimatedRemainingSeconds=7,
        metrics=[{"name": "loss", "value": "0.25"}],
    )
    answer = await client.post(PATH, json=sent, headers=TOKEN)
    assert answer.status_code == 200
    assert answer.json() == sent
    status = TrainerStatus(
        progress_percentage=40,
        estimated_remaining_s=7,
        metrics=[Metric(name="loss", value="0.25")],
        last_updated_time="2030-01-01T00:00:00+00:00",
    )
    assert jobs.calls == [("report", "uid-1", StatusReport(trainer_status=status))]


async def test_an_empty_report_is_a_report(client: Client) -> None:
    assert (await client.post(PATH, json={}, headers=TOKEN)).status_code == 200


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        (body(progressPercentage=101), "$.trainerStatus.progressPercentage"),
        (body(progressPercentage="40"), "$.trainerStatus.progressPercentage"),
        (body(estimatedRemainingSeconds=-1), "$.trainerStatus.estimatedRemainingSeconds"),
        (body(metrics=[{"name": "loss"}]), "$.trainerStatus.metrics[0].value"),
        (body(metrics=[{"name": "loss", "value": 0.25}]), "$.trainerStatus.metrics[0].value"),
        (body(metrics=[{"name": "x", "value": "1"}] * 257), "$.trainerStatus.metrics"),
        (body(metrics=[{"name": "x" * 65, "value": "1"}]), "$.trainerStatus.metrics[0].name"),
    ],
)
async def test_a_bad_report_is_422(
    client: Client, jobs: FakeJobs, sent: dict[str, Any], path: str
) -> None:
    answer = await client.post(PATH, json=sent, headers=TOKEN)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_status")
    assert [error["path"] for error in answer.json()["errors"]] == [path]
    assert jobs.calls == []


async def test_what_is_no_json_is_422_too(client: Client) -> None:
    for content in (b"{", b"\xff", b"[]", b'{"trainerStatus": {"metrics": [NaN]}}'):
        answer = await client.post(PATH, content=content, headers=TOKEN)
        assert answer.status_code == 422


async def test_no_more_than_64_kb(client: Client) -> None:
    answer = await client.post(PATH, content=b" " * 2**16 + b"{}", headers=TOKEN)
    assert answer.status_code == 413
