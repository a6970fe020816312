"""`TrainingSpec`: what the trainer reads (job.json). Fully resolved and free of secrets; those come with the claim."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from tunegate.contract.base import Strict, Wire
from tunegate.contract.request import (
    Auth,
    ComputeDtype,
    DatasetFormat,
    LrScheduler,
    Objective,
    Optimizer,
    Provider,
    QuantType,
)
from tunegate.contract.secret import Secret

TrackerKind = Literal["mlflow", "wandb", "trackio"]
PROCESSES = "TUNEGATE_PROCESSES"
"""Variable with which a launcher tells the trainer how many processes to run on a machine: one for each GPU."""


class ModelSource(Strict):
    """Base weights. `name` is a hub id, a path, or a file:// or s3:// folder; `weights_url` (no query) wins over it."""

    name: str
    provider: Provider = "huggingface"
    revision: str = "main"
    weights_url: str | None = None
    allow_pickle: bool = False


class AdapterPlan(Strict):
    """A PEFT adapter. `target_modules` None = all linear layers; `options` go to the PEFT config class."""

    peft_type: str = "LORA"
    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.05
    target_modules: list[str] | None = None
    options: dict[str, Any] = {}


class QuantizationPlan(Strict):
    """Base weights in 4 bits (nf4, fp4) or 8 (int8); `compute_dtype` is that of the 4-bit products."""

    kind: QuantType | Literal["int8"]
    double_quant: bool = True
    compute_dtype: ComputeDtype = "bfloat16"


class DataSource(Strict):
    """Rows from one place; a query of the address travels with the secrets."""

    source: str
    format: DatasetFormat = "auto"
    split: str | None = None
    streaming: bool = False
    weight: float = 1.0


class TuningPlan(Strict):
    """Hyperparameters, all decided. Lengths in tokens, batches in examples, steps are optimizer steps."""

    objective: Objective | None = None
    """None = what the rows are made for: dpo where they have chosen and rejected answers, else sft."""
    dpo_beta: float = 0.1
    learning_rate: float = 2e-4
    batch_size: int = 32
    micro_batch_size: int | None = None
    num_epochs: float = 3.0
    max_steps: int | None = None
    warmup_ratio: float = 0.1
    lr_scheduler: LrScheduler = "cosine"
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    gradient_checkpointing: bool = True
    max_sequence_length: int = 2048
    seed: int = 42
    optimizer: Optimizer = "adamw"
    loraplus_lr_ratio: float = 1.0
    """LoRA+: the B matrices learn at this many times the learning rate."""
    neftune_noise_alpha: float | None = None
    """NEFTune: noise on the embeddings while training, up to alpha / sqrt(tokens * width) either way."""
    packing: bool = True
    train_on: Literal["completions", "all"] = "completions"
    eval_steps: int | None = None
    save_steps: int | None = None
    logging_steps: int | None = None
    early_stopping_patience: int | None = None
    held_out_fraction: Annotated[float, Meta(ge=0, lt=1)] = 0.05
    """Share of the training rows kept for evaluation when the job brings no validation split."""
    over_length: Literal["truncate", "drop", "error"] = "truncate"


class HubPlan(Strict):
    """Push the result to the model hub too. The token is the job's hub token unless `push_to_hub` brings its own."""

    repo_id: str
    private: bool = True
    revision: str = "main"


class TrackerPlan(Strict):
    """Metrics for an experiment tracker. `experiment` is the project of W&B and Trackio, `entity` W&B's team.

    Without an address W&B and Trackio write into the job's log folder.
    """

    kind: TrackerKind
    tracking_uri: str | None = None
    experiment: str = "tunegate"
    entity: str | None = None


class OutputPlan(Strict):
    """The job's own folders (they end in `/<job_id>/`), and what becomes of the result besides."""

    output_uri: str
    log_uri: str | None = None
    merge_adapter: bool = False
    """Also write the whole model with the adapter merged into it, below `merged/`."""
    push_to_hub: HubPlan | None = None
    trackers: list[TrackerPlan] = []


class StoragePolicy(Strict):
    """What the operator allows the object stores to do; never a credential."""

    s3_endpoint_url: str | None = None
    """Address of an S3 service that is not Amazon's; None = Amazon's own of the region."""
    s3_region: str = "us-east-1"
    """The region where the job's credentials name none."""
    s3_path_style: bool = False
    """Put the bucket into the path, not the host name: most self-hosted services want that."""
    sts_endpoint_url: str | None = None
    """Where roles are assumed; None = Amazon's own of the region."""
    allow_ambient_credentials: bool = False
    """Let the AWS SDK look for credentials of this machine when the job brings none."""
    file_roots: list[str] = []
    """file:// and plain paths are readable and writable below these folders only."""
    allow_http: bool = False
    """Plain http:// sources besides https://."""
    allow_private_addresses: bool = False
    """Loopback and private ranges may be dialled (laptops, tests, in-cluster stores)."""
    allowed_networks: list[str] = []
    """Networks (CIDR) that may be dialled whatever the other rules say: for a store in one's own network."""
    proxy_url: str | None = None
    """A proxy through which stores, model hub and trackers are reached; it must refuse private addresses itself."""
    hub_endpoint: str | None = None
    """A mirror of the model hub; None = the public one."""


class TrainingSpec(Strict):
    """All that the trainer needs but for secrets. `seconds` budgets are wall time."""

    job_id: str
    method: Literal["lora", "qlora", "full", "peft"]
    model: ModelSource
    datasets: Annotated[list[DataSource], Meta(min_length=1)]
    output: OutputPlan
    adapter: AdapterPlan | None = None
    quantization: QuantizationPlan | None = None
    precision: Literal["bf16", "fp16", "fp32"] = "bf16"
    trainable_layers: list[str] | None = None
    trainable_layers_advisory: bool = False
    tuning: TuningPlan = TuningPlan()
    storage: StoragePolicy = StoragePolicy()
    backend: str = "standalone"
    cpu_threads: int | None = None
    max_duration_s: float | None = None
    metadata: dict[str, str] = {}


class TrainerSecrets(Wire):
    """Credentials of one job, released to the attempt that wins the claim; lists run parallel to `TrainingSpec.datasets`."""

    hub_token: Secret | None = None
    weights_query: Secret | None = None
    artifacts: Auth | None = None
    datasets: list[Auth | None] = []
    dataset_queries: list[Secret | None] = []
    push_token: Secret | None = None
    tracker_keys: list[Secret | None] = []
    """Parallel to `OutputPlan.trackers`."""


class AttemptTicket(Wire):
    """`attempt.json`, written by the launcher beside job.json; without one the trainer runs on its own."""

    job_id: str
    attempt: int
    attempt_id: str
    run_name: str
    gateway_url: str
    token_file: str
    """Path (relative to the ticket) of a 0600 file that holds the claim token."""
    grant_file: str | None = None
    """Of a run that can't reach the gateway: path of a file that holds what the claim would give (`ClaimGrant`). The run
    claims by a conditional write beside the output, and leaves its events there."""
