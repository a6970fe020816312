"""A control plane kept in dicts, for tests of the door."""

import asyncio
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any

from tunegate.contract.attempt import ClaimGrant, EventReceipt
from tunegate.contract.job import (
    TERMINAL,
    CheckpointList,
    DryRun,
    EventPage,
    FileList,
    Installed,
    InstalledList,
    Job,
    JobEvent,
    JobPage,
    MetricSeries,
)
from tunegate.contract.secret import Secret
from tunegate.contract.training import TrainerSecrets
from tunegate.contract.webhooks import ReplayResult, WebhookPage
from tunegate.control.principal import Principal
from tunegate.control.store.protocol import Counts
from tunegate.sdk.errors import TunegateError

CANONICAL = files("tunegate.http").joinpath("examples", "canonical.json").read_bytes()
WRITER = {"authorization": "Bearer writer-token"}
READER = {"authorization": "Bearer reader-token"}
ADMIN = {"authorization": "Bearer admin-token"}
TOKENS = [
    (Secret("writer-token"), Principal(name="writer")),
    (Secret("reader-token"), Principal(name="reader", read_only=True)),
    (Secret("admin-token"), Principal(name="operator", admin=True)),
]


def job(job_id: str = "a", **changes: Any) -> Job:
    values: dict[str, Any] = {
        "job_id": job_id, "backend_job_id": f"lora-{job_id}", "backend": "huggingface-lora", "launcher": "local",
        "status": "queued", "phase": "queued", "detail": "Job accepted", "dashboard_url": None,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "progress": None, "error": None,
        "output_uri": "s3://b/o/a/", "log_uri": None, "ignored": [], "notes": [], "metadata": {},
    }  # fmt: skip
    return Job(**(values | changes))


def event(sequence: int, status: Any = "running", **data: Any) -> JobEvent:
    return JobEvent(
        sequence=sequence, type="job.status", status=status, phase=status, detail="", attempt=1,
        timestamp="2026-01-01T00:00:00Z", data=data,
    )  # fmt: skip


class FakeJobs:
    """The facade of the control plane, kept in dicts."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.requests: dict[str, Any] = {}
        self.event_log: dict[str, list[JobEvent]] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.grown = asyncio.Event()
        self.failure: Exception | None = None

    def add(self, held: Job, *events: JobEvent) -> None:
        self.jobs[held.job_id] = held
        self.event_log[held.job_id] = list(events)

    def grow(self, job_id: str, added: JobEvent) -> None:
        self.event_log[job_id].append(added)
        self.grown.set()

    async def submit(self, principal: Any, request: Any, *, pinned_backend: Any) -> Any:
        self.calls.append(("submit", principal.name, request.job_id, pinned_backend))
        if self.failure:
            raise self.failure
        if request.job_id in self.jobs:
            if self.requests[request.job_id] != request:
                raise TunegateError("job_conflict")
            return self.jobs[request.job_id], False
        self.requests[request.job_id] = request
        self.add(job(request.job_id))
        return self.jobs[request.job_id], True

    async def dry_run(self, principal: Any, request: Any, pinned_backend: Any) -> DryRun:
        self.calls.append(("dry_run", principal.name, request.job_id, pinned_backend))
        return DryRun(
            backend="b", launcher="local", ignored=[], notes=[], data=None, predicted=None, container={},
            launcher_request={},
        )  # fmt: skip

    async def get(self, principal: Any, job_id: str) -> Job:
        if self.failure:
            raise self.failure
        if job_id not in self.jobs:
            raise TunegateError("job_not_found")
        return self.jobs[job_id]

    async def cancel(self, principal: Any, job_id: str) -> Job:
        return await self.get(principal, job_id)

    async def forget(self, principal: Any, job_id: str) -> None:
        await self.get(principal, job_id)
        del self.jobs[job_id]

    async def retry(self, principal: Any, job_id: str, request: Any) -> Job:
        self.calls.append(("retry", job_id, request and request.job_id))
        return await self.get(principal, job_id)

    async def list(self, principal: Any, wanted: Any, after: Any, limit: int) -> JobPage:
        self.calls.append(("list", wanted, after, limit))
        return JobPage(data=list(self.jobs.values()), has_more=False)

    async def events(self, principal: Any, job_id: str, after: int, limit: int, types: Any) -> Any:
        await self.get(principal, job_id)
        rest = [e for e in self.event_log[job_id] if e.sequence > after]
        if types is not None:
            rest = [e for e in rest if e.type in types]
        return EventPage(data=rest[:limit], has_more=len(rest) > limit)

    async def follow_events(
        self, principal: Any, job_id: str, after: int
    ) -> AsyncIterator[JobEvent]:
        seen = after
        while True:
            self.grown.clear()
            for added in [e for e in self.event_log[job_id] if e.sequence > seen]:
                seen = added.sequence
                yield added
                if added.status in TERMINAL:
                    return
            await self.grown.wait()

    async def request(self, principal: Any, job_id: str) -> bytes:
        await self.get(principal, job_id)
        return CANONICAL

    async def metrics(self, principal: Any, job_id: str, after: int) -> MetricSeries:
        self.calls.append(("metrics", job_id, after))
        await self.get(principal, job_id)
        return MetricSeries(data=[])

    async def checkpoints(self, principal: Any, job_id: str) -> CheckpointList:
        await self.get(principal, job_id)
        return CheckpointList(data=[])

    async def artifacts(self, principal: Any, job_id: str) -> FileList:
        await self.get(principal, job_id)
        return FileList(data=[], complete=False)

    async def logs(
        self, principal: Any, job_id: str, follow: bool, offset: int
    ) -> AsyncIterator[bytes]:
        yield b"line one\nline two\n"[offset:]
        if follow:
            await self.grown.wait()
            yield b"line three\n"

    async def webhooks(self, principal: Any, job_id: str, after: int, limit: int) -> WebhookPage:
        await self.get(principal, job_id)
        return WebhookPage(data=[], has_more=False)

    async def replay_webhooks(self, principal: Any, job_id: str, wanted: Any) -> ReplayResult:
        self.calls.append(("replay", job_id, wanted))
        await self.get(principal, job_id)
        return ReplayResult(replayed=0)

    async def claim(self, attempt_id: str, token: str, request: Any) -> ClaimGrant:
        if token != "attempt-token":
            raise TunegateError("unauthorized")
        secrets = TrainerSecrets(hub_token=Secret("hf_canary"))
        return ClaimGrant(fence=1, attempt=1, resume=False, remaining_s=60.0, secrets=secrets)

    async def ingest(self, attempt_id: str, token: str, batch: Any) -> EventReceipt:
        if token != "attempt-token":
            raise TunegateError("unauthorized")
        return EventReceipt(accepted_through=batch.events[-1].sequence)

    async def report(self, attempt_id: str, token: str, report: Any) -> None:
        if token != "attempt-token":
            raise TunegateError("unauthorized")
        self.calls.append(("report", attempt_id, report))

    def backends(self) -> InstalledList:
        entry = Installed(
            name="qlora",
            version="1",
            distribution="d",
            description="",
            loaded=True,
            methods=["qlora"],
        )
        return InstalledList(data=[entry])

    def launchers(self) -> InstalledList:
        return InstalledList(data=[])

    async def ready(self) -> None:
        if self.failure:
            raise self.failure


async def count_jobs() -> Counts:
    return Counts(jobs={"queued": 3}, outbox=2, oldest_queued_ms=1500, oldest_delivery_ms=None)
