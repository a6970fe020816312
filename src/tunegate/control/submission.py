"""From a request to a stored job. The 201 follows the commit."""

from dataclasses import dataclass
from typing import Any

import msgspec

from tunegate.contract.container import ContainerSpec
from tunegate.contract.problems import Problem
from tunegate.contract.request import TrainRequest
from tunegate.control.admission import Admission, AdmissionRules, admit, gpus_of
from tunegate.control.caller import current_caller
from tunegate.control.context import ControlContext
from tunegate.control.deliveries import new_deliveries
from tunegate.control.foresight import foreseen
from tunegate.control.options import ROOT, launcher_name
from tunegate.control.principal import Principal
from tunegate.control.records import JobRecord, JobState, NewEvent
from tunegate.control.sealed import callbacks_of, canonical, lacks_nothing, seal_request
from tunegate.control.store.protocol import Submission
from tunegate.sdk.backend import AnyBackend
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.launcher import Launcher
from tunegate.sdk.redact import redacted_request


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
    plain = canonical(request)
    digest = context.sealer.digest(plain)
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
            sealed=await seal_request(context.sealer, job.tenant, job.uid, request, plain),
            events=[event],
            deliveries=new_deliveries(job, [event], context.webhooks),
            caller=current_caller(),
            max_jobs=principal.max_jobs,
        )
    )
    if not created.created:
        return _same(created.job, digest), False
    context.receivers.note_all(job.uid, callbacks_of(request))
    return created.job, True


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
    launcher = _choose_launcher(context, principal, request)
    rules = AdmissionRules(
        principal=principal,
        trainer=context.trainer,
        storage=context.storage,
        check_url=context.check_url,
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


def _choose_launcher(
    context: ControlContext, principal: Principal, request: TrainRequest
) -> Launcher | Problem:
    allowed = principal.launchers
    usual = context.control.default_launcher
    if allowed is not None and usual not in allowed:
        usual = next((name for name in allowed if context.launchers.get(name)), usual)
    name = launcher_name(request.extra_parameters, usual)
    if isinstance(name, Problem):
        return name
    if allowed is not None and name not in allowed:
        message = f"The token does not allow this launcher. It allows: {', '.join(allowed)}."
        return Problem(path=f"{ROOT}.launcher", code="not_allowed", message=message)
    launcher = context.launchers.get(name)
    if launcher is not None:
        return launcher
    there = ", ".join(context.launchers.names()) or "none"
    return Problem(
        path=f"{ROOT}.launcher",
        code="not_supported",
        message=f"No launcher of this name is in use. In use are: {there}.",
    )


def status_event(job: JobRecord) -> NewEvent:
    """The log line of the state that the job is in."""
    return NewEvent(
        type="job.status",
        status=job.status,
        phase=job.phase,
        detail=job.detail,
        attempt=job.attempt,
    )


def request_fields(admitted: Admitted, principal: Principal, digest: bytes) -> dict[str, Any]:
    """The fields of a record that follow from the request; a retry writes them anew."""
    request = admitted.request
    callbacks, told = request.callbacks, callbacks_of(request)
    redacted = redacted_request(request)
    return {
        "launcher": admitted.launcher.name,
        "launcher_options": admitted.admission.launcher_options,
        "container": admitted.container,
        "gpus": gpus_of(admitted.container),
        "gpu_limit": principal.max_gpus,
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
        notes=[
            *admission.notes,
            *foreseen(admitted.container, request.base_model.model_name),
        ],
        metadata=request.metadata or {},
        **request_fields(admitted, principal, digest),
    )
