"""From the request to what the trainer reads: all defaults decided, secrets left behind for the claim."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tunegate.contract.base import Strict
from tunegate.contract.container import ResourceRequest
from tunegate.contract.request import Resources, TrainRequest, TuningParameters
from tunegate.contract.secret import Secret
from tunegate.contract.training import (
    DataSource,
    HubPlan,
    ModelSource,
    OutputPlan,
    QuantizationPlan,
    TrackerKind,
    TrackerPlan,
    TrainerSecrets,
    TrainingSpec,
    TuningPlan,
)
from tunegate.sdk.adapter import adapter_plan
from tunegate.sdk.addresses import job_folder, query_of, without_query
from tunegate.sdk.backend import BuildContext

__all__ = (
    "TrainerOptions",
    "TrainingMethod",
    "job_folder",
    "query_of",
    "resolve_resources",
    "resolve_training",
    "trainer_secrets",
    "without_query",
)

TrainingMethod = Literal["lora", "qlora", "full", "peft"]
"""What the trainer can do; requests also say `adapter`, which is `peft`."""

LEARNING_RATE, LEARNING_RATE_FULL = 2e-4, 2e-5
DPO_DIVISOR = 10
"""With objective dpo the usual learning rate is divided by this."""
REPO_ID = r"^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(?![\s\S])"


class HubPush(Strict):
    """`push_to_hub`: where on the model hub the result goes too."""

    repo_id: Annotated[str, Meta(pattern=REPO_ID, extra={"form": "a hub id, OWNER/NAME"})]
    private: bool = True
    revision: Annotated[str, Meta(min_length=1, max_length=255)] = "main"
    token: Secret | None = None
    """One that may write; without it the token of the base model is taken."""


class Tracker(Strict):
    """An entry of `trackers`: an experiment tracker that is told the metrics."""

    kind: TrackerKind
    tracking_uri: Annotated[str, Meta(min_length=1, max_length=2048)] | None = None
    """The server. MLflow needs one (http, https, or a folder: file); W&B and Trackio write to the log folder without."""
    experiment: Annotated[str, Meta(min_length=1, max_length=128)] = "tunegate"
    """MLflow's experiment, the project of W&B and Trackio."""
    entity: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    """The team of W&B."""
    api_key: Secret | None = None


class TrainerOptions(Strict):
    """The keys of `extra_parameters` that every backend on the shared trainer takes."""

    container_image: str | None = None
    """Runs instead of the gateway's trainer image; it must hold the same trainer."""
    held_out_fraction: Annotated[float, Meta(ge=0, le=0.5)] | None = None
    """Share of the training rows kept for evaluation where no data set is marked as validation."""
    over_length: Literal["truncate", "drop", "error"] | None = None
    """What to do with rows longer than max_sequence_length."""
    merge_adapter: bool | None = None
    """Also write the base model with the adapter merged into it, to `merged/` beside the adapter."""
    push_to_hub: HubPush | None = None
    """Push the result to the model hub too; a failed push is a note, the job's result is in its bucket."""
    trackers: Annotated[list[Tracker], Meta(max_length=8)] | None = None
    """TensorBoard files at log_uri are always written; these get the metrics as well."""


def resolve_training(
    job: TrainRequest,
    options: TrainerOptions,
    context: BuildContext,
    *,
    method: TrainingMethod,
    backend: str,
) -> TrainingSpec:
    """The job.json of a job whose review found no problem. Pure, and free of secrets."""
    custom, model = job.customization, job.base_model
    return TrainingSpec(
        job_id=context.job_id,
        method=method,
        model=ModelSource(
            name=model.model_name,
            provider=model.provider,
            revision=model.revision or "main",
            weights_url=None if model.weights_url is None else without_query(model.weights_url),
            allow_pickle=context.allow_pickle,
        ),
        datasets=_data_sources(job),
        output=_output(options, context, method),
        adapter=None if method == "full" else adapter_plan(custom),
        quantization=_quantization(job, method),
        precision="bf16"
        if custom.precision is None or custom.precision == "int8"
        else custom.precision,
        trainable_layers=custom.trainable_layers or None,
        trainable_layers_advisory=context.trainable_layers_advisory,
        tuning=_tuning(job, options, method),
        storage=context.storage,
        backend=backend,
        max_duration_s=resolve_resources(job).max_duration_s,
        metadata=job.metadata or {},
    )


def resolve_resources(job: TrainRequest) -> ResourceRequest:
    """What the job may use; the defaults are those of ResourceRequest."""
    asked = job.resources or Resources()
    fields: dict[str, Any] = _given(asked, "gpus", "gpu_type", "cpus", "nodes")
    if asked.memory_gb is not None:
        fields["memory_bytes"] = asked.memory_gb * 2**30
    if asked.max_duration_minutes is not None:
        fields["max_duration_s"] = asked.max_duration_minutes * 60.0
    defaulted = [name for name in asked.__struct_fields__ if getattr(asked, name) is None]
    return ResourceRequest(**fields, defaulted=defaulted)


def trainer_secrets(request: TrainRequest) -> TrainerSecrets:
    """What the attempt that wins the claim is given."""
    model, extra = request.base_model, request.extra_parameters or {}
    trackers = extra.get("trackers")
    return TrainerSecrets(
        hub_token=_filled(model.auth_token) or _filled(model.huggingface_token),
        weights_query=_query(model.weights_url),
        artifacts=request.artifacts.auth,
        datasets=[dataset.auth for dataset in request.datasets],
        dataset_queries=[_query(dataset.source) for dataset in request.datasets],
        push_token=_secret_of(extra.get("push_to_hub"), "token"),
        tracker_keys=[_secret_of(one, "api_key") for one in trackers]
        if isinstance(trackers, list)
        else [],
    )


def accumulation_steps(job: TrainRequest) -> int | None:
    """`extra_parameters.unsloth.gradient_accumulation`, where it is a whole number above zero."""
    unsloth = (job.extra_parameters or {}).get("unsloth")
    steps: Any = unsloth.get("gradient_accumulation") if isinstance(unsloth, dict) else None
    return steps if isinstance(steps, int) and not isinstance(steps, bool) and steps > 0 else None


def _output(options: TrainerOptions, context: BuildContext, method: TrainingMethod) -> OutputPlan:
    push = options.push_to_hub
    return OutputPlan(
        output_uri=context.output_uri,
        log_uri=context.log_uri,
        merge_adapter=bool(options.merge_adapter) and method != "full",
        push_to_hub=push
        and HubPlan(repo_id=push.repo_id, private=push.private, revision=push.revision),
        trackers=[
            TrackerPlan(
                kind=one.kind,
                experiment=one.experiment,
                **_given(one, "tracking_uri", "entity"),
            )
            for one in options.trackers or []
        ],
    )


def _data_sources(job: TrainRequest) -> list[DataSource]:
    return [
        DataSource(
            source=without_query(dataset.source),
            **_given(dataset, "format", "split", "streaming", "weight"),
        )
        for dataset in job.datasets
    ]


def _quantization(job: TrainRequest, method: TrainingMethod) -> QuantizationPlan | None:
    custom = job.customization
    if method == "qlora":
        asked = custom.qlora
        return QuantizationPlan(
            kind=(asked and asked.bnb_4bit_quant_type) or "nf4",
            double_quant=asked is None or asked.use_double_quant is not False,
            compute_dtype=(asked and asked.bnb_4bit_compute_dtype) or "bfloat16",
        )
    return QuantizationPlan(kind="int8") if custom.precision == "int8" else None


def _tuning(job: TrainRequest, options: TrainerOptions, method: TrainingMethod) -> TuningPlan:
    usual = LEARNING_RATE_FULL if method == "full" else LEARNING_RATE
    asked = job.tuning_parameters
    dpo = asked is not None and asked.objective == "dpo"
    fields: dict[str, Any] = {"learning_rate": usual / DPO_DIVISOR if dpo else usual}
    checkpointing = job.customization.gradient_checkpointing
    if checkpointing is not None:
        fields["gradient_checkpointing"] = checkpointing
    if asked is not None:
        fields |= _given(asked, *TuningParameters.__struct_fields__)
    fields |= _given(options, "held_out_fraction", "over_length")
    plan = TuningPlan(**fields)
    accumulation = accumulation_steps(job)
    if plan.micro_batch_size is None and accumulation is not None:
        micro = max(plan.batch_size // accumulation, 1)
        return msgspec.structs.replace(plan, micro_batch_size=micro)
    return plan


def _given(value: msgspec.Struct, *names: str) -> dict[str, Any]:
    """The named fields that are not None, so that the rest take the target's defaults."""
    return {name: field for name in names if (field := getattr(value, name)) is not None}


def _filled(secret: Secret | None) -> Secret | None:
    """A token field left empty in a form is no token."""
    return secret if secret is not None and secret.reveal() else None


def _secret_of(options: Any, key: str) -> Secret | None:
    """A secret in the open `extra_parameters`, whose form was checked when the job was admitted."""
    value: Any = options.get(key) if isinstance(options, dict) else None
    return Secret(value) if isinstance(value, str) and value else None


def _query(uri: str | None) -> Secret | None:
    query = None if uri is None else query_of(uri)
    return None if query is None else Secret(query)
