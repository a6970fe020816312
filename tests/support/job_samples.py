"""Small, valid records for tests of the store: a submission, its attempt, its events."""

from typing import Any

from msgspec.structs import replace

from tunegate.contract.container import ContainerSpec, ResourceRequest
from tunegate.control.records import AttemptRecord, JobRecord, JobState, NewDelivery, NewEvent
from tunegate.control.store.protocol import Submission

GENERATION = "0a1b2c3d"
"""Of the stores of tests that name runs."""


class ManualClock:
    """Time that moves when told to."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.time_ms = now_ms

    def now_ms(self) -> int:
        return self.time_ms

    def monotonic_s(self) -> float:
        return self.time_ms / 1000

    async def sleep(self, delay_s: float) -> None:
        self.time_ms += int(delay_s * 1000)


def job(job_id: str = "job-1", now_ms: int = 1_700_000_000_000, **fields: Any) -> JobRecord:
    """A queued job, due at once."""
    record = JobRecord(
        uid=f"uid-{job_id}",
        tenant="acme",
        job_id=job_id,
        backend_job_id=f"huggingface-lora-{job_id}",
        backend="huggingface-lora",
        launcher="local",
        state=JobState.QUEUED,
        phase="queued",
        detail="waiting",
        output_uri=f"s3://bucket/out/{job_id}/",
        log_uri=None,
        container=ContainerSpec(image="trainer", command=["train"], resources=ResourceRequest()),
        launcher_options={},
        request=b'{"auth":"***"}',
        body_digest=b"digest",
        budget_ms=3_600_000,
        created_ms=now_ms,
        updated_ms=now_ms,
        due_ms=now_ms,
    )
    return replace(record, **fields)


def event(detail: str = "waiting", **fields: Any) -> NewEvent:
    plain = NewEvent(type="job.status", status="queued", phase="queued", detail=detail, attempt=0)
    return replace(plain, **fields)


def delivery(event_index: int = 0, **fields: Any) -> NewDelivery:
    plain = NewDelivery(
        channel="webhook", event_index=event_index, body=b"{}", not_before_ms=1_700_000_000_000
    )
    return replace(plain, **fields)


def submission(job_id: str = "job-1", **fields: Any) -> Submission:
    """A job with one event, one webhook and one sealed field."""
    return Submission(
        job=job(job_id, **fields),
        sealed={"secrets": b"sealed bytes"},
        events=[event()],
        deliveries=[delivery()],
    )


def attempt(record: JobRecord, number: int = 1, **fields: Any) -> AttemptRecord:
    plain = AttemptRecord(
        attempt_id=f"{record.uid}-{number}",
        uid=record.uid,
        number=number,
        run_name=f"tg-{record.uid}-{number}",
        launcher=record.launcher,
        token_hash=b"hash",
        created_ms=record.created_ms,
    )
    return replace(plain, **fields)
