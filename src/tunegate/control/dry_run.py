"""`POST /train?dry_run=true`: the whole way of a job up to the point where something would be stored or launched."""

from typing import Any

import msgspec

from tunegate.contract.container import ContainerSpec, ResourceRequest
from tunegate.contract.job import DryRun
from tunegate.contract.request import TrainRequest
from tunegate.contract.secret import REDACTED, Secret, redact_hook
from tunegate.contract.training import TuningPlan
from tunegate.control.admission import Admission
from tunegate.control.context import ControlContext
from tunegate.control.estimate import as_object, estimate, memory_note, training_spec
from tunegate.control.preview import BYTES_PER_TOKEN, model_shape, sample_data, training_size
from tunegate.control.principal import Principal
from tunegate.control.submission import Admitted, examine, pin
from tunegate.control.turns import Turns
from tunegate.sdk.launcher import Launcher, Run

RUN_NAME = "tunegate-dry-run"


async def dry_run(
    context: ControlContext,
    turns: Turns,
    principal: Principal,
    request: TrainRequest,
    pinned: str | None,
) -> DryRun:
    """Raises invalid_job with every problem found. Data that can't be read is told in `data`."""
    request = pin(request, pinned)
    admitted = await examine(context, principal, request)
    spec = training_spec(admitted.container)
    tuning = spec.tuning if spec is not None else TuningPlan()
    async with turns.take(principal.name):
        samples = await sample_data(context, request, tuning.max_sequence_length)
        shape = await model_shape(context, request) if spec is not None else None
    size = training_size(samples)
    predicted: dict[str, Any] | None = None
    notes = admitted.admission.notes
    if spec is not None:
        found = estimate(spec, _available(admitted), size, shape)
        predicted = as_object(found)
        if (note := memory_note(found)) is not None:
            notes = [*notes, note]
    return DryRun(
        backend=admitted.backend.name,
        launcher=admitted.launcher.name,
        ignored=admitted.admission.ignored,
        notes=notes,
        data={
            "sources": msgspec.to_builtins(samples),
            "estimated_rows": size.rows if size else None,
            "estimated_tokens": size.tokens if size else None,
            "bytes_per_token": BYTES_PER_TOKEN,
        },
        predicted=predicted,
        container=msgspec.to_builtins(admitted.container),
        launcher_request=launcher_request(
            admitted.request.job_id,
            admitted.container,
            admitted.launcher,
            admitted.admission,
            gateway_url=context.public_url or "",
            grace_s=context.control.grace_s,
        ),
    )


def _available(admitted: Admitted) -> ResourceRequest:
    """What the job will have: no more GPUs than the launcher, whose review tells of the lack."""
    wanted, there = admitted.container.resources, admitted.launcher.capabilities.gpus
    gpus = wanted.gpus if there is None else min(wanted.gpus, there)
    return msgspec.structs.replace(wanted, gpus=gpus)


def launcher_request(
    job_id: str,
    container: ContainerSpec,
    launcher: Launcher,
    admission: Admission,
    *,
    gateway_url: str,
    grace_s: float,
) -> dict[str, Any]:
    """What the engine would be asked for, without a secret."""
    run = Run(
        name=RUN_NAME,
        job_id=job_id,
        attempt=1,
        attempt_id=RUN_NAME,
        container=container,
        gateway_url=gateway_url,
        claim_token=Secret(REDACTED),
        options=admission.launcher_options,
        remaining_s=container.resources.max_duration_s,
        grace_s=grace_s,
    )
    return msgspec.to_builtins(launcher.render(run), enc_hook=redact_hook)
