"""`JobService`: everything that can be asked of the control plane, one method per question. Errors are TunegateError."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from tunegate.contract.attempt import ClaimGrant, ClaimRequest, EventBatch, EventReceipt
from tunegate.contract.job import (
    CheckpointList,
    DryRun,
    EventPage,
    FileList,
    InstalledList,
    Job,
    JobEvent,
    JobPage,
    MetricSeries,
)
from tunegate.contract.request import TrainRequest
from tunegate.contract.trainer_status import StatusReport
from tunegate.contract.webhooks import ReplayRequest, ReplayResult, WebhookPage
from tunegate.control import (
    artifacts,
    attempts,
    commands,
    dry_run,
    reading,
    replaying,
    run_log,
    status_reports,
    submission,
)
from tunegate.control.context import ControlContext
from tunegate.control.principal import Principal
from tunegate.control.store.protocol import JobFilter
from tunegate.control.turns import Turns
from tunegate.control.views import job_view
from tunegate.control.wakeups import Wakeups
from tunegate.sdk.errors import TunegateError


class JobService:
    """The facade that the door calls. A tenant sees its own jobs only; a read-only token changes nothing."""

    def __init__(self, context: ControlContext) -> None:
        self._context = context
        self._wakeups = Wakeups(context.store, context.clock)
        self._dry_runs = Turns()

    async def submit(
        self, principal: Principal, request: TrainRequest, *, pinned_backend: str | None = None
    ) -> tuple[Job, bool]:
        """The job, and whether it is new. The same request again finds the same job; another one is job_conflict."""
        _may_write(principal)
        job, created = await submission.submit(self._context, principal, request, pinned_backend)
        return job_view(job, self._context.jobs_url), created

    async def dry_run(
        self, principal: Principal, request: TrainRequest, pinned_backend: str | None = None
    ) -> DryRun:
        """What would run, with what data and for how long. Nothing is stored or launched. It reads the beginnings of data
        sets, so a tenant has a few under way and the next one is `unavailable`.
        """
        return await dry_run.dry_run(
            self._context, self._dry_runs, principal, request, pinned_backend
        )

    async def get(self, principal: Principal, job_id: str) -> Job:
        return await reading.get(self._context, principal, job_id)

    async def list(
        self, principal: Principal, wanted: JobFilter, after: str | None, limit: int
    ) -> JobPage:
        """Newest first; `after` is the job_id of the last one seen."""
        return await reading.page(self._context, principal, wanted, after, limit)

    async def cancel(self, principal: Principal, job_id: str) -> Job:
        """Idempotent; a finished job comes back as it is, with a detail that says so."""
        _may_write(principal)
        return await commands.cancel(self._context, principal, job_id)

    async def retry(
        self, principal: Principal, job_id: str, request: TrainRequest | None = None
    ) -> Job:
        """A failed or cancelled job goes on. Raises job_not_retryable, secrets_gone, job_conflict, invalid_job."""
        _may_write(principal)
        return await commands.retry(self._context, principal, job_id, request)

    async def forget(self, principal: Principal, job_id: str) -> None:
        """Removes a finished job's records. Raises job_not_finished."""
        _may_write(principal)
        await commands.forget(self._context, principal, job_id)

    async def events(
        self,
        principal: Principal,
        job_id: str,
        after: int,
        limit: int,
        types: Sequence[str] | None = None,
    ) -> EventPage:
        """The log from behind event number `after`, oldest first."""
        job = await reading.find(self._context, principal, job_id)
        return await reading.events(self._context, job, after, limit, types)

    async def follow_events(
        self, principal: Principal, job_id: str, after: int = 0
    ) -> AsyncGenerator[JobEvent]:
        """What was missed, then what comes; ends when the job has ended. The first step may raise job_not_found."""
        job = await reading.find(self._context, principal, job_id)
        async with aclosing(reading.follow(self._context, self._wakeups, job, after)) as coming:
            async for event in coming:
                yield event

    async def request(self, principal: Principal, job_id: str) -> bytes:
        """What was asked for, as canonical JSON with every secret replaced."""
        return (await reading.find(self._context, principal, job_id)).request

    async def metrics(self, principal: Principal, job_id: str, after: int = 0) -> MetricSeries:
        """The numbers from behind event number `after`."""
        job = await reading.find(self._context, principal, job_id)
        return await reading.metrics(self._context, job, after)

    async def checkpoints(self, principal: Principal, job_id: str) -> CheckpointList:
        job = await reading.find(self._context, principal, job_id)
        return await reading.checkpoints(self._context, job)

    async def artifacts(self, principal: Principal, job_id: str) -> FileList:
        job = await reading.find(self._context, principal, job_id)
        return await artifacts.artifacts(self._context, job)

    async def logs(
        self, principal: Principal, job_id: str, follow: bool = False, offset: int = 0
    ) -> AsyncGenerator[bytes]:
        """The latest run's output from byte `offset`. The first step may raise job_not_found."""
        job = await reading.find(self._context, principal, job_id)
        log = run_log.read_log(self._context, self._wakeups, job, follow=follow, offset=offset)
        async with aclosing(log):
            async for chunk in log:
                yield chunk

    async def webhooks(
        self, principal: Principal, job_id: str, after: int, limit: int
    ) -> WebhookPage:
        """What became of the job's webhooks, from behind event `after`, oldest first."""
        return await replaying.history(self._context, principal, job_id, after, limit)

    async def replay_webhooks(
        self, principal: Principal, job_id: str, wanted: ReplayRequest
    ) -> ReplayResult:
        """Webhooks that ended are sent again. Raises invalid_job, nobody_to_tell."""
        _may_write(principal)
        return await replaying.replay(self._context, principal, job_id, wanted)

    async def claim(self, attempt_id: str, token: str, request: ClaimRequest) -> ClaimGrant:
        """A trainer claims its attempt. Raises unauthorized, claim_refused."""
        return await attempts.claim(self._context, attempt_id, token, request)

    async def ingest(self, attempt_id: str, token: str, batch: EventBatch) -> EventReceipt:
        """A trainer pushes events. Raises unauthorized, invalid_request."""
        return await attempts.ingest(self._context, attempt_id, token, batch)

    async def report(self, attempt_id: str, token: str, report: StatusReport) -> None:
        """A program reports its progress. Raises unauthorized, forbidden, rate_limited."""
        await status_reports.report(self._context, attempt_id, token, report)

    def backends(self) -> InstalledList:
        return self._context.backends.installed()

    def launchers(self) -> InstalledList:
        return self._context.launchers.installed()

    async def ready(self) -> None:
        """Raises unavailable when the store can't be written or a background loop has died."""
        await self._context.store.ping()
        trouble = self._context.trouble()
        if trouble is not None:
            raise TunegateError("unavailable", trouble)


def _may_write(principal: Principal) -> None:
    if principal.read_only:
        raise TunegateError("forbidden", "The token is read-only.")
