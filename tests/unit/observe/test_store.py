"""The watched store: the same answers, and the numbers that they stand for."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from conformance.job_store_suite.changes import change
from support.job_samples import ManualClock, submission
from tunegate.control.records import JobState
from tunegate.control.store.protocol import JobFilter
from tunegate.control.store.sqlite import SqliteStore
from tunegate.observe.metrics import ControlMetrics
from tunegate.observe.store import watched
from tunegate.sdk.errors import TunegateError


def value(metrics: ControlMetrics, name: str, **labels: str) -> float:
    return metrics._own.get_sample_value(name, labels) or 0.0


@pytest.fixture
def metrics() -> ControlMetrics:
    return ControlMetrics()


async def test_calls_are_timed_and_answers_pass_through(
    tmp_path: Path, metrics: ControlMetrics
) -> None:
    clock = ManualClock()
    store = watched(SqliteStore(tmp_path / "jobs.db", clock), metrics, clock)
    await store.open()
    created = await store.create_job(submission())
    assert created.created
    assert store.now_ms() == clock.now_ms()
    assert value(metrics, "tunegate_store_seconds_count", operation="create_job") == 1
    with pytest.raises(TunegateError):
        await store.list_jobs(
            "nobody",
            JobFilter(),
            "gone",
            5,
        )
    assert value(metrics, "tunegate_store_errors_total", operation="list_jobs") == 1
    assert value(metrics, "tunegate_store_calls") == 0
    await store.close()


async def test_a_pass_ends_with_the_lease_and_the_end_is_counted_once(
    tmp_path: Path, metrics: ControlMetrics
) -> None:
    clock = ManualClock()
    store = watched(SqliteStore(tmp_path / "jobs.db", clock), metrics, clock)
    await store.open()
    job = (await store.create_job(submission())).job
    [leased] = await store.lease_due("a", 5, 10_000)
    ended = change(leased, fields={"state": JobState.CANCELLED})
    assert await store.apply(replace(ended, epoch=leased.epoch, releases_lease=True))
    assert value(metrics, "tunegate_job_pass_seconds_count") == 1
    assert value(metrics, "tunegate_jobs_finished_total", status="cancelled", code="") == 1
    assert value(metrics, "tunegate_jobs_taken_over_total") == 0
    await store.destroy_sealed(job.uid, ["a", "b"])
    assert value(metrics, "tunegate_secrets_destroyed_total") == 2
    await store.close()
