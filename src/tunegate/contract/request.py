"""`TrainRequest`: the body of `POST /train`, field by field.

Every optional field is `None` when it was not given (`null` means the same). Defaults that depend on the
method are resolved by `tunegate.sdk.resolve`, not here, so that "given" and "defaulted" stay apart.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta

from tunegate.contract.base import Strict
from tunegate.contract.secret import Secret

JobId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(?![\s\S])",
        extra={"form": "letters, digits, dots, underscores and hyphens, a letter or digit first"},
        description="Chosen by the client, unique per token; the idempotency key of the submission.",
    ),
]
Uri = Annotated[str, Meta(min_length=1, max_length=2048)]
Name = Annotated[str, Meta(min_length=1, max_length=512)]
PositiveInt = Annotated[int, Meta(ge=1, le=2**31)]
PositiveFloat = Annotated[float, Meta(gt=0)]
NonNegativeFloat = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
MetadataKey = Annotated[str, Meta(min_length=1, max_length=64)]
MetadataValue = Annotated[str, Meta(max_length=512)]

Provider = Literal["huggingface", "meta", "nemo", "bim", "custom"]
Method = Literal["lora", "qlora", "full", "peft", "adapter", "new-transformer"]
Precision = Literal["bf16", "fp16", "fp32", "int8"]
ComputeDtype = Literal["bfloat16", "float16", "float32"]
QuantType = Literal["nf4", "fp4"]
DatasetFormat = Literal["jsonl", "parquet", "csv", "hf", "auto"]
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
StatusFilter = Literal["queued", "submitted", "running", "succeeded", "failed", "cancelled"]
LrScheduler = Literal["cosine", "linear", "constant", "constant_with_warmup", "wsd"]
Optimizer = Literal[
    "adamw",
    "adamw_torch",
    "adamw_8bit",
    "paged_adamw_8bit",
    "adafactor",
    "lion_8bit",
    "muon",
    "sgd",
]

Objective = Literal["sft", "dpo"]


class BaseModel(Strict):
    """Which weights to start from."""

    provider: Annotated[Provider, Meta(description="Where the model comes from.")]
    model_name: Annotated[
        Name, Meta(description="Hub id, or a path, file:// or s3:// folder for provider custom.")
    ]
    revision: Annotated[Name | None, Meta(description="Branch, tag or commit. Default: main.")] = (
        None
    )
    auth_token: Annotated[Secret | None, Meta(description="Hub token of this job.")] = None
    huggingface_token: Annotated[
        Secret | None, Meta(description="Hub token of the workspace, used without auth_token.")
    ] = None
    weights_url: Annotated[
        Uri | None,
        Meta(
            description="https://, s3:// or file:// folder or archive to take the weights from instead of the hub."
        ),
    ] = None


class LoraOptions(Strict):
    """The nested spelling of the LoRA fields; wins nothing over the flat one: both with different values is an error."""

    rank: PositiveInt | None = None
    target_modules: Annotated[list[Name], Meta(max_length=256)] | None = None
    alpha: PositiveFloat | None = None
    dropout: Fraction | None = None


class QloraOptions(Strict):
    """How the base weights are quantised to 4 bits."""

    use_double_quant: Annotated[bool | None, Meta(description="Default: true.")] = None
    bnb_4bit_compute_dtype: Annotated[
        ComputeDtype | None, Meta(description="Default: bfloat16.")
    ] = None
    bnb_4bit_quant_type: Annotated[QuantType | None, Meta(description="Default: nf4.")] = None


class PeftOptions(Strict):
    """Anything that PEFT offers: `config` goes to the PEFT config class as it is."""

    use: bool | None = None
    config: Annotated[
        dict[str, Any] | None,
        Meta(description="Open: keys of the PEFT config class (peft_type, use_dora, …)."),
    ] = None


class Customization(Strict):
    """The method and its settings."""

    method: Method
    rank: Annotated[PositiveInt | None, Meta(description="LoRA rank. Default: 16.")] = None
    target_modules: Annotated[
        Annotated[list[Name], Meta(max_length=256)] | None,
        Meta(description="Default: all linear layers."),
    ] = None
    lora_alpha: Annotated[PositiveFloat | None, Meta(description="Default: 32.")] = None
    lora_dropout: Annotated[Fraction | None, Meta(description="Default: 0.05.")] = None
    lora: LoraOptions | None = None
    trainable_layers: Annotated[
        Annotated[list[Name], Meta(max_length=1024)] | None,
        Meta(
            description="Only these decoder blocks train; decoder.layers.0, model.layers.0 and layers.0 all mean block 0."
        ),
    ] = None
    precision: Annotated[
        Precision | None, Meta(description="Default: bf16. int8 = 8-bit base weights.")
    ] = None
    gradient_checkpointing: bool | None = None
    qlora: QloraOptions | None = None
    peft: PeftOptions | None = None


class Resources(Strict):
    """What the job may use, per node."""

    gpus: Annotated[
        Annotated[int, Meta(ge=0, le=1024)] | None, Meta(description="GPUs per node. Default: 1.")
    ] = None
    gpu_type: Name | None = None
    cpus: Annotated[PositiveInt | None, Meta(description="Default: 8.")] = None
    memory_gb: Annotated[PositiveInt | None, Meta(description="Default: 64.")] = None
    max_duration_minutes: Annotated[
        PositiveInt | None, Meta(description="Total over all attempts. Default: 480.")
    ] = None
    nodes: Annotated[PositiveInt | None, Meta(description="Default: 1.")] = None


class Auth(Strict):
    """How to reach a data set or bucket: a role, static AWS keys, a bearer token, or user and password."""

    role_arn: (
        Annotated[
            str,
            Meta(
                min_length=20,
                max_length=2048,
                pattern=r"^arn:[a-z-]+:iam::",
                extra={"form": "the ARN of an IAM role"},
            ),
        ]
        | None
    ) = None
    external_id: Secret | None = None
    aws_access_key_id: Secret | None = None
    aws_secret_access_key: Secret | None = None
    aws_session_token: Secret | None = None
    aws_region: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=64,
                pattern=r"^[a-z0-9-]+(?![\s\S])",
                extra={"form": "lower case letters, digits and hyphens"},
            ),
        ]
        | None
    ) = None
    token: Secret | None = None
    username: Secret | None = None
    password: Secret | None = None


class Dataset(Strict):
    """One source of rows."""

    source: Annotated[
        Uri, Meta(description="s3://, https://, file://, a path, or a hub data set with format hf.")
    ]
    format: Annotated[DatasetFormat, Meta(description="auto: go by the name, then by the bytes.")]
    split: Annotated[
        Name | None, Meta(description="validation (eval, test) marks evaluation data.")
    ] = None
    auth: Auth | None = None
    streaming: bool | None = None
    weight: PositiveFloat | None = None


class Artifacts(Strict):
    """Where results, logs and events go."""

    output_uri: Annotated[Uri, Meta(description="The job writes under <output_uri>/<job_id>/.")]
    log_uri: Uri | None = None
    status_stream_url: Annotated[
        Uri | None, Meta(description="https, http, wss or ws: every event is pushed here.")
    ] = None
    auth: Auth | None = None


class TuningParameters(Strict):
    """Hyperparameters."""

    objective: Annotated[
        Objective | None,
        Meta(
            description="sft learns the answers; dpo learns to prefer `chosen` over `rejected`. Default: dpo where the rows have both, else sft."
        ),
    ] = None
    dpo_beta: Annotated[
        PositiveFloat | None,
        Meta(
            description="DPO: how strongly the model is held to what it was before. Default: 0.1."
        ),
    ] = None
    learning_rate: Annotated[
        PositiveFloat | None,
        Meta(
            description="Default: 2e-4 for adapters, 2e-5 for full; a tenth of it with objective dpo."
        ),
    ] = None
    batch_size: Annotated[
        PositiveInt | None, Meta(description="Global batch in examples. Default: 32.")
    ] = None
    micro_batch_size: PositiveInt | None = None
    num_epochs: Annotated[PositiveFloat | None, Meta(description="Default: 3.")] = None
    max_steps: PositiveInt | None = None
    warmup_ratio: Annotated[Fraction | None, Meta(description="Default: 0.1.")] = None
    lr_scheduler: Annotated[
        LrScheduler | None,
        Meta(
            description="Default: cosine. wsd: warm-up, then the full rate, and over the last tenth of the steps down to zero."
        ),
    ] = None
    weight_decay: Annotated[NonNegativeFloat | None, Meta(description="Default: 0.01.")] = None
    max_grad_norm: Annotated[PositiveFloat | None, Meta(description="Default: 1.0.")] = None
    gradient_checkpointing: Annotated[bool | None, Meta(description="Default: true.")] = None
    max_sequence_length: Annotated[
        PositiveInt | None, Meta(description="In tokens. Default: 2048.")
    ] = None
    seed: Annotated[
        Annotated[int, Meta(ge=0, le=2**32 - 1)] | None, Meta(description="Default: 42.")
    ] = None
    optimizer: Annotated[
        Optimizer | None,
        Meta(
            description="Default: adamw. muon: matrices by Muon, all else by AdamW, with rates as for AdamW. lion_8bit wants about a tenth of AdamW's rate."
        ),
    ] = None
    loraplus_lr_ratio: Annotated[
        PositiveFloat | None,
        Meta(
            description="LoRA+: the B matrices learn at this many times learning_rate. Default: 1."
        ),
    ] = None
    neftune_noise_alpha: Annotated[
        PositiveFloat | None,
        Meta(
            description="NEFTune: noise of this strength on the embeddings while training. Default: none."
        ),
    ] = None
    packing: Annotated[bool | None, Meta(description="Default: true.")] = None
    train_on: Annotated[
        Literal["completions", "all"] | None, Meta(description="Default: completions.")
    ] = None
    eval_steps: PositiveInt | None = None
    save_steps: PositiveInt | None = None
    logging_steps: PositiveInt | None = None
    early_stopping_patience: PositiveInt | None = None


class Callbacks(Strict):
    """Who is told of the job's statuses."""

    webhook_url: Uri | None = None
    auth_header: Annotated[
        Secret | None, Meta(description="Sent as the Authorization header, as it is.")
    ] = None
    event_filter: Annotated[list[StatusFilter], Meta(max_length=16)] | None = None
    interval_seconds: Annotated[
        PositiveFloat | None,
        Meta(description="A progress report every so often while the job runs."),
    ] = None


class TrainRequest(Strict):
    """The body of `POST /train`."""

    job_id: JobId
    base_model: BaseModel
    customization: Customization
    datasets: Annotated[list[Dataset], Meta(min_length=1, max_length=256)]
    artifacts: Artifacts
    backend: Name | None = None
    resources: Resources | None = None
    tuning_parameters: TuningParameters | None = None
    callbacks: Callbacks | None = None
    extra_parameters: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Open: per backend and launcher; each key is checked by whoever takes it."
        ),
    ] = None
    metadata: Annotated[dict[MetadataKey, MetadataValue], Meta(max_length=16)] | None = None
