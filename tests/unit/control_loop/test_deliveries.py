import msgspec
import pytest

from support.job_samples import event, job
from tunegate.contract.job import JobEvent, WebhookBody
from tunegate.control.deliveries import new_deliveries
from tunegate.control.records import JobRecord, JobState, NewEvent
from tunegate.control.settings import WebhookSettings

SETTINGS = WebhookSettings()
QUEUED, RUNNING = event(), event(status="running")
PROGRESS = event(type="job.progress", status="running")
SUCCEEDED = event(status="succeeded")


def told(record: JobRecord, *events: NewEvent, report: bool = False) -> list[tuple[str, int]]:
    rows = new_deliveries(record, events, SETTINGS, report=report)
    return [(row.channel, row.event_index) for row in rows]


def test_nobody_asked_nobody_told() -> None:
    assert told(job(), QUEUED) == []


def test_a_webhook_for_each_status_and_nothing_else() -> None:
    record = job(has_webhook=True, state=JobState.RUNNING)
    phase = event(type="job.phase")
    assert told(record, phase, RUNNING, PROGRESS) == [("webhook", 1)]


def test_every_event_goes_to_the_stream() -> None:
    record = job(has_stream=True, state=JobState.RUNNING)
    assert told(record, RUNNING, PROGRESS) == [("stream", 0), ("stream", 1)]


def test_a_due_report_is_the_last_progress() -> None:
    record = job(has_webhook=True, state=JobState.RUNNING)
    assert told(record, PROGRESS, PROGRESS, report=True) == [("webhook", 1)]


@pytest.mark.parametrize("state", [JobState.STOPPING, JobState.RECOVERING])
def test_passing_states_are_not_told(state: JobState) -> None:
    assert told(job(has_webhook=True, state=state), RUNNING) == []


@pytest.mark.parametrize(
    ("wanted", "indices"),
    [(["submitted"], [0]), (["queued"], [0]), (["running", "succeeded"], [1, 2]), ([], [0, 1, 2]), (None, [0, 1, 2])],
)  # fmt: skip
def test_the_filter_picks_statuses(wanted: list[str] | None, indices: list[int]) -> None:
    record = job(has_webhook=True, event_filter=wanted, state=JobState.SUCCEEDED)
    assert told(record, QUEUED, RUNNING, SUCCEEDED) == [("webhook", i) for i in indices]


def test_numbers_follow_the_last_one_and_bodies_hold_the_contract() -> None:
    record = job(has_webhook=True, has_stream=True, last_sequence=7, state=JobState.SUCCEEDED)
    webhook, stream = new_deliveries(record, [SUCCEEDED], SETTINGS)
    body = msgspec.json.decode(webhook.body, type=WebhookBody)
    assert (body.sequence, body.status, body.job_id) == (8, "succeeded", "job-1")
    assert body.log.startswith("Succeeded: ")
    assert msgspec.json.decode(stream.body, type=JobEvent).sequence == 8
    assert webhook.final
    assert stream.final


def test_the_first_webhook_leaves_a_second_after_the_201() -> None:
    young = job(has_webhook=True)
    (row,) = new_deliveries(young, [QUEUED], SETTINGS)
    assert row.not_before_ms == young.created_ms + 1000
    old = msgspec.structs.replace(young, updated_ms=young.created_ms + 9000)
    (row,) = new_deliveries(old, [QUEUED], SETTINGS)
    assert row.not_before_ms == old.updated_ms
