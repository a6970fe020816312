"""What clients read of a job: itself, lists, its event log (as pages and live), metrics, checkpoints."""

from collections.abc import AsyncGenerator, Sequence
from functools import partial

import msgspec

from tunegate.contract.job import (
    Checkpoint,
    CheckpointList,
    EventPage,
    Job,
    JobEvent,
    JobPage,
    MetricPoint,
    MetricSeries,
)
from tunegate.control.context import ControlContext
from tunegate.control.fair import COUNTED
from tunegate.control.principal import Principal
from tunegate.control.records import FINAL, JobRecord
from tunegate.control.store.protocol import JobFilter
from tunegate.control.views import job_view
from tunegate.control.wakeups import Wakeups
from tunegate.sdk.errors import TunegateError

_PAGE = 500
_POLL_S = 1.0
"""Changes made by another replica give no hint here: look anyway."""


async def find(context: ControlContext, principal: Principal, job_id: str) -> JobRecord:
    """Raises job_not_found, also for jobs of other tenants."""
    job = await context.store.get_job(principal.name, job_id)
    if job is None:
        raise TunegateError("job_not_found")
    return job


async def page(
    context: ControlContext,
    principal: Principal,
    wanted: JobFilter,
    after: str | None,
    limit: int,
) -> JobPage:
    """Jobs, newest first, from behind the job `after`."""
    jobs, more = await context.store.list_jobs(principal.name, wanted, after, limit)
    return JobPage(data=[job_view(job, context.jobs_url) for job in jobs], has_more=more)


async def get(context: ControlContext, principal: Principal, job_id: str) -> Job:
    """The job; one that waits to be launched says why."""
    record = await find(context, principal, job_id)
    view = job_view(record, context.jobs_url)
    if not record.is_queued or record.queue_reason is not None:
        return view
    ahead = await context.store.queue_position(record.uid)
    if ahead is None:
        return view
    reason = await _over_limit(context, record) or _turn(record.launcher, ahead)
    return msgspec.structs.replace(view, queue_position=ahead + 1, queue_reason=reason)


async def _over_limit(context: ControlContext, record: JobRecord) -> str | None:
    if record.gpu_limit is None or not record.gpus:
        return None
    held = await context.store.held_by(record.tenant)
    if held.gpus + record.gpus <= record.gpu_limit:
        return None
    return (
        f"It waits for {record.gpus} of the {record.gpu_limit} GPUs that the tenant may hold; "
        f"its running jobs hold {held.gpus}."
    )


def _turn(launcher: str, ahead: int) -> str:
    if ahead == 0:
        return f"It is launched on {launcher} as soon as there is room."
    count = f"{ahead} or more" if ahead >= COUNTED else f"about {ahead}"
    return f"It waits for its turn on {launcher}; {count} ahead of it."


async def events(
    context: ControlContext, job: JobRecord, after: int, limit: int, types: Sequence[str] | None
) -> EventPage:
    """Events with a number above `after`, oldest first."""
    found = await context.store.read_events(job.uid, after, limit + 1, types)
    return EventPage(data=found[:limit], has_more=len(found) > limit)


async def follow(
    context: ControlContext, wakeups: Wakeups, job: JobRecord, after: int
) -> AsyncGenerator[JobEvent]:
    """Every event after number `after`, as it comes; ends with the last event of a finished job."""
    with wakeups.of(job.uid) as changed:
        while True:
            changed.clear()
            batch = await wakeups.shared(
                job.uid, after, partial(context.store.read_events, job.uid, after, _PAGE)
            )
            for event in batch:
                yield event
                after = event.sequence
            if batch:
                continue
            look = partial(context.store.get_by_uid, job.uid)
            now = await wakeups.shared(job.uid, None, look)
            if now is None or (now.state in FINAL and now.last_sequence <= after):
                return
            if now.last_sequence <= after:
                await wakeups.wait(changed, _POLL_S)


async def metrics(context: ControlContext, job: JobRecord, after: int = 0) -> MetricSeries:
    """The metrics of all attempts behind event number `after`, in the order in which they came."""
    return MetricSeries(
        data=[
            MetricPoint(
                step=event.data["step"],
                attempt=event.attempt,
                timestamp=event.timestamp,
                values=event.data["values"],
                sequence=event.sequence,
            )
            async for event in every_event(context, job, "job.metrics", after)
        ]
    )


async def checkpoints(context: ControlContext, job: JobRecord) -> CheckpointList:
    """Every checkpoint that a trainer reported as complete."""
    return CheckpointList(
        data=[
            Checkpoint(
                step=event.data["step"],
                uri=event.data["uri"],
                size_bytes=event.data["size_bytes"],
                timestamp=event.timestamp,
            )
            async for event in every_event(context, job, "job.checkpoint")
        ]
    )


async def every_event(
    context: ControlContext, job: JobRecord, kind: str, after: int = 0
) -> AsyncGenerator[JobEvent]:
    """The log of one type behind event number `after`, page by page."""
    while batch := await context.store.read_events(job.uid, after, _PAGE, [kind]):
        for event in batch:
            yield event
        after = batch[-1].sequence
