"""From a request to a stored job. The 201 follows the commit."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from tunegate.contract.container import ContainerSpec
from tunegate.contract.problems import Problem
from tunegate.contract.request import Status, TrainRequest
from tunegate.control.admission import Admission, AdmissionRules, admit, gpus_of
from tunegate.control.context import ControlContext
from tunegate.control.deliveries import new_deliveries
from tunegate.control.options import ROOT, launcher_name
from tunegate.control.principal import Principal
from tunegate.control.records import JobRecord, JobState, NewEvent
from tunegate.control.sealed import callbacks_of, canonical, lacks_nothing, seal_request
from tunegate.control.store.protocol import JobFilter, Submission
from tunegate.sdk.backend import AnyBackend
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.launcher import Launcher
from tunegate.sdk.redact import redacted_request

_PAGE = 500
_UNFINISHED: tuple[Status, ...] = ("queued", "running")


@dataclass(frozen=True, slots=True)
class Admitted:
    """A job that may run, with what runs it."""

    request: TrainRequest
    backend: AnyBackend
    launcher: Launcher
    admission: Admission
    container: ContainerSpec


async def submit(
    context: ControlContext, principal: Principal, request: TrainRequest, pinned: str | None
) -> tuple[JobRecord, bool]:
    """Store the job, or find the one that the same request made before (then the flag is False)."""
    request = pin(request, pinned)
    digest = context.sealer.digest(canonical(request))
    async with counting_gpus(context, principal):
        try:
            admitted = await examine(context, principal, request)
        except TunegateError:
            # Asked only now: most jobs are new and good, and for the others creating tells the same.
            present = await context.store.get_job(principal.name, request.job_id)
            if present is None:
                raise
            return _same(present, digest), False
        job = _new_job(context, principal, admitted, digest)
        event = status_event(job)
        created = await context.store.create_job(
            Submission(
                job=job,
                sealed=await seal_request(context.sealer, job.tenant, job.uid, request),
                events=[event],
                deliveries=new_deliveries(job, [event], context.webhooks),
            )
        )
    return (created.job if created.created else _same(created.job, digest)), created.created


@asynccontextmanager
async def counting_gpus(context: ControlContext, principal: Principal) -> AsyncGenerator[None]:
    """Of a token with a limit one job at a time, from the count until it is stored."""
    if principal.max_gpus is None:
        yield
        return
    async with context.gpu_count_lock:
        yield


async def examine(
    context: ControlContext,
    principal: Principal,
    request: TrainRequest,
    *,
    of: JobRecord | None = None,
) -> Admitted:
    """Everything that is wrong with the job at once, as `invalid_job`; else what would run.

    `of` is the finished job that is to be retried: it keeps its backend.
    """
    backend = context.backends.choose(
        request.customization.method,
        request.base_model.provider,
        of.backend if of is not None else request.backend,
    )
    launcher = _choose_launcher(context, request)
    rules = AdmissionRules(
        principal=principal,
        trainer=context.trainer,
        storage=context.storage,
        check_url=context.check_url,
        gpus_in_use=await _gpus_in_use(context, principal),
    )
    admission = admit(
        request,
        None if isinstance(backend, Problem) else backend,
        None if isinstance(launcher, Problem) else launcher,
        rules,
    )
    chosen = [choice for choice in (backend, launcher) if isinstance(choice, Problem)]
    problems = (*chosen, *admission.problems)
    if isinstance(backend, Problem) or isinstance(launcher, Problem) or admission.container is None:
        raise TunegateError("invalid_job", _summary(problems), problems=problems)
    return Admitted(request, backend, launcher, admission, admission.container)


def _summary(problems: tuple[Problem, ...]) -> str:
    if len(problems) == 1:
        return f"{problems[0].path}: {problems[0].message}"
    return f"{len(problems)} problems; `errors` lists them."


def pin(request: TrainRequest, pinned: str | None) -> TrainRequest:
    """The path's backend becomes the request's, so that both spellings are the same job."""
    if pinned is None or request.backend == pinned:
        return request
    if request.backend is not None:
        problem = Problem(
            path="$.backend",
            code="conflicting_fields",
            message="The path and the body name different backends.",
        )
        raise TunegateError("invalid_job", _summary((problem,)), problems=(problem,))
    return msgspec.structs.replace(request, backend=pinned)


def _same(present: JobRecord, digest: bytes) -> JobRecord:
    if present.body_digest != digest:
        raise TunegateError("job_conflict")
    return present


def _choose_launcher(context: ControlContext, request: TrainRequest) -> Launcher | Problem:
    name = launcher_name(request.extra_parameters, context.control.default_launcher)
    if isinstance(name, Problem):
        return name
    launcher = context.launchers.get(name)
    if launcher is not None:
        return launcher
    there = ", ".join(context.launchers.names()) or "none"
    return Problem(
        path=f"{ROOT}.launcher",
        code="not_supported",
        message=f"No launcher of this name is in use. In use are: {there}.",
    )


async def _gpus_in_use(context: ControlContext, principal: Principal) -> int:
    """GPUs that the token's unfinished jobs ask for; counted only where it matters."""
    if principal.max_gpus is None:
        return 0
    total = 0
    for status in _UNFINISHED:
        after, more = None, True
        while more:
            jobs, more = await context.store.list_jobs(
                principal.name, JobFilter(status=status), after, _PAGE
            )
            total += sum(gpus_of(job.container) for job in jobs)
            after = jobs[-1].job_id if jobs else None
    return total


def status_event(job: JobRecord) -> NewEvent:
    """The log line of the state that the job is in."""
    return NewEvent(
        type="job.status",
        status=job.status,
        phase=job.phase,
        detail=job.detail,
        attempt=job.attempt,
    )


def request_fields(admitted: Admitted, digest: bytes) -> dict[str, Any]:
    """The fields of a record that follow from the request; a retry writes them anew."""
    request = admitted.request
    callbacks, told = request.callbacks, callbacks_of(request)
    redacted = redacted_request(request)
    return {
        "launcher": admitted.launcher.name,
        "launcher_options": admitted.admission.launcher_options,
        "container": admitted.container,
        "budget_ms": round(admitted.container.resources.max_duration_s * 1000),
        "request": redacted,
        "body_digest": digest,
        "has_secrets": not lacks_nothing(redacted, request),
        "has_webhook": told is not None and told.webhook_url is not None,
        "has_stream": told is not None and told.status_stream_url is not None,
        "event_filter": callbacks.event_filter if callbacks is not None else None,
        "interval_s": callbacks.interval_seconds if callbacks is not None else None,
    }


def _new_job(
    context: ControlContext, principal: Principal, admitted: Admitted, digest: bytes
) -> JobRecord:
    request, admission = admitted.request, admitted.admission
    now_ms, uid = context.store.now_ms(), context.new_uid()
    return JobRecord(
        uid=uid,
        tenant=principal.name,
        job_id=request.job_id,
        backend_job_id=f"{admitted.backend.name}-{uid}",
        backend=admitted.backend.name,
        state=JobState.QUEUED,
        phase="queued",
        detail="Job accepted",
        output_uri=admission.output_uri,
        log_uri=admission.log_uri,
        created_ms=now_ms,
        updated_ms=now_ms,
        due_ms=now_ms,
        retries_left=context.control.retries,
        ignored=admission.ignored,
        notes=admission.notes,
        metadata=request.metadata or {},
        **request_fields(admitted, digest),
    )
