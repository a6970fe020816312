from litestar import Litestar
from litestar.testing import AsyncTestClient
from prometheus_client.parser import text_string_to_metric_families

from support.door import READER, FakeJobs, event, job

Client = AsyncTestClient[Litestar]


async def samples(client: Client) -> dict[tuple[str, tuple[str, ...]], float]:
    text = (await client.get("/metrics", headers=READER)).text
    return {
        (sample.name, tuple(v for _, v in sorted(sample.labels.items()) if v)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_requests_are_counted_by_template_never_by_path(
    client: Client, jobs: FakeJobs
) -> None:
    jobs.add(job("canary-id"))
    await client.get("/train/canary-id", headers=READER)
    await client.get("/train/other", headers=READER)
    await client.get("/made/up/canary", headers=READER)
    found = await samples(client)
    assert found["tunegate_requests_total", ("GET", "/train/{job_id}", "200")] == 1
    assert found["tunegate_requests_total", ("GET", "/train/{job_id}", "404")] == 1
    assert found["tunegate_requests_total", ("GET", "none", "404")] == 1
    assert not any("canary" in label for _, labels in found for label in labels)


async def test_jobs_and_outbox_come_from_the_store(client: Client) -> None:
    found = await samples(client)
    assert found["tunegate_jobs", ("queued",)] == 3
    assert found["tunegate_jobs", ("running",)] == 0
    assert found["tunegate_outbox_rows", ()] == 2
    assert found["tunegate_oldest_queued_seconds", ()] == 1.5
    assert found["tunegate_oldest_delivery_seconds", ()] == 0


async def test_streams_have_no_latency(client: Client, jobs: FakeJobs) -> None:
    jobs.add(job("a", status="failed"), event(1, "failed"))
    await client.get("/train/a/events", headers=READER)
    found = await samples(client)
    assert found["tunegate_requests_total", ("GET", "/train/{job_id}/events", "200")] == 1
    assert ("tunegate_request_seconds_count", ("GET", "/train/{job_id}/events")) not in found
