"""What clients do to a job that is there: cancel, retry, forget."""

import asyncio
import shutil
from typing import Any

import msgspec

from tunegate.contract.job import Job
from tunegate.contract.request import TrainRequest
from tunegate.control.context import ControlContext
from tunegate.control.deliveries import new_deliveries
from tunegate.control.kept_log import kept_logs
from tunegate.control.principal import Principal
from tunegate.control.reading import find
from tunegate.control.records import FINAL, JobRecord, JobState
from tunegate.control.sealed import ALL, canonical, open_request, redacted, seal_request
from tunegate.control.store.protocol import Change
from tunegate.control.submission import examine, request_fields, status_event
from tunegate.control.views import job_view
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.redact import redacted_request

_TRIES = 16
"""Guarded writes that lose to the reconciler are decided anew; so many losses in a row mean a sick store."""


async def cancel(context: ControlContext, principal: Principal, job_id: str) -> Job:
    """Durable once this returns. A finished job is returned as it is, with a detail that says so."""
    for _ in range(_TRIES):
        job = await find(context, principal, job_id)
        if job.state in FINAL:
            detail = f"The job had already {_ENDED[job.state]}; there was nothing to cancel."
            return job_view(job, context.jobs_url, detail=detail)
        if job.desired == "stop":
            return job_view(job, context.jobs_url)
        changed = await context.store.apply(
            Change(
                uid=job.uid,
                version=job.version,
                fields={
                    "desired": "stop",
                    "stop_reason": "cancel",
                    "detail": "Cancellation asked for",
                    "due_ms": context.store.now_ms(),
                },
            )
        )
        if changed is not None:
            await context.store.wake(job.uid)
            return job_view(changed, context.jobs_url)
    raise _sick()


async def retry(
    context: ControlContext, principal: Principal, job_id: str, request: TrainRequest | None
) -> Job:
    """A failed or cancelled job goes on from its last checkpoint as a new attempt.

    `request` brings fresh credentials, a longer `max_duration_minutes` or another launcher; the rest must be as it was.
    """
    for _ in range(_TRIES):
        job = await find(context, principal, job_id)
        if job.state not in (JobState.FAILED, JobState.CANCELLED):
            raise TunegateError("job_not_retryable", f"The job is {job.status}.")
        await _hold_to_limit(context, principal)
        change = await _new_beginning(context, principal, job, request)
        changed = await context.store.apply(change)
        if changed is not None:
            await context.store.wake(job.uid)
            return job_view(changed, context.jobs_url)
    raise _sick()


async def _hold_to_limit(context: ControlContext, principal: Principal) -> None:
    most = principal.max_jobs
    if most is not None and await context.store.unfinished_jobs(principal.name) >= most:
        raise TunegateError("too_many_jobs", f"The tenant may have {most} unfinished jobs.")


async def forget(context: ControlContext, principal: Principal, job_id: str) -> None:
    """Remove a finished job's records and kept logs; its artifacts stay."""
    job = await find(context, principal, job_id)
    if not await context.store.forget(principal.name, job_id):
        raise TunegateError("job_not_finished")
    folder = kept_logs(context.state_dir, job.uid)
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


_ENDED = {
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "been cancelled",
}


async def _new_beginning(
    context: ControlContext, principal: Principal, job: JobRecord, brought: TrainRequest | None
) -> Change:
    request = await _request_to_retry(context, job, brought)
    admitted = await examine(context, principal, request, of=job)
    digest = context.sealer.digest(canonical(request))
    fields = {**request_fields(admitted, principal, digest), **_fresh_start(context)}
    if job.used_ms >= fields["budget_ms"]:
        raise TunegateError(
            "job_not_retryable",
            "The job used up its max_duration_minutes; send its request with a larger one.",
        )
    after = msgspec.structs.replace(job, **fields, updated_ms=context.store.now_ms())
    event = status_event(after)
    return Change(
        uid=job.uid,
        version=job.version,
        fields=fields,
        events=[event],
        deliveries=new_deliveries(after, [event], context.webhooks),
        destroy_sealed=list(ALL),
        sealed=await seal_request(context.sealer, job.tenant, job.uid, request, canonical(request)),
    )


def _fresh_start(context: ControlContext) -> dict[str, Any]:
    return {
        "state": JobState.QUEUED,
        "phase": "queued",
        "detail": "Retry accepted; the job goes on from its last checkpoint",
        "desired": "run",
        "stop_reason": None,
        "stop_at_ms": None,
        "error": None,
        "queue_reason": None,
        "retries_left": context.control.retries,
        "preemptions": 0,
        "memory_kills": 0,
        "due_ms": context.store.now_ms(),
    }


async def _request_to_retry(
    context: ControlContext, job: JobRecord, brought: TrainRequest | None
) -> TrainRequest:
    """The body's, else the sealed one, else the redacted one where nothing was lost. Raises secrets_gone."""
    was = redacted(job)
    if brought is not None:
        brought = msgspec.structs.replace(brought, backend=brought.backend or was.backend)
        if _fixed(brought) != _fixed(was):
            raise TunegateError(
                "job_conflict",
                "A retry may change credentials, callbacks, max_duration_minutes and the launcher; "
                "the rest must be as it was.",
            )
        return brought
    full = await open_request(context.store, context.sealer, job)
    if full is None and job.has_secrets:
        raise TunegateError(
            "secrets_gone",
            "The job's credentials were destroyed when it ended: send its full request as the body of the retry.",
        )
    return full or was


def _fixed(request: TrainRequest) -> dict[str, Any]:
    """The part of a request that a retry may not change."""
    plain: dict[str, Any] = msgspec.json.decode(redacted_request(request))
    plain.get("resources", {}).pop("max_duration_minutes", None)
    plain.get("extra_parameters", {}).pop("launcher", None)
    for token in ("auth_token", "huggingface_token"):
        plain["base_model"].pop(token, None)
    for holder in (*plain["datasets"], plain["artifacts"]):
        holder.pop("auth", None)
    plain.pop("callbacks", None)
    plain["artifacts"].pop("status_stream_url", None)
    return {key: value for key, value in plain.items() if value != {}}


def _sick() -> TunegateError:
    return TunegateError("unavailable", "The job changes too fast to be written.", retry_after_s=1)
