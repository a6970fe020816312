"""Requests to test with: a plain one for every method, one full of canaries, and one change per field."""

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from tunegate.contract.base import Wire
from tunegate.contract.request import TrainRequest
from tunegate.contract.secret import decode_hook
from tunegate.contract.training import StoragePolicy
from tunegate.sdk.addresses import job_folder
from tunegate.sdk.backend import BuildContext

CANARY = "canary-7f3a9d"
"""Stands in every secret of `canary_request`; must be seen nowhere."""


def train_request(body: Mapping[str, Any]) -> TrainRequest:
    """Decode a body as the gateway does."""
    return msgspec.convert(body, TrainRequest, dec_hook=decode_hook, strict=True)


def minimal_body(method: str = "lora", provider: str = "huggingface") -> dict[str, Any]:
    """Only what is required."""
    return {
        "job_id": "sample-1",
        "base_model": {"provider": provider, "model_name": "acme/small"},
        "customization": {"method": method},
        "datasets": [{"source": "s3://data/train.jsonl", "format": "auto"}],
        "artifacts": {"output_uri": "s3://results/team"},
    }


def form_body(method: str = "lora", provider: str = "huggingface") -> dict[str, Any]:
    """What a form sends that fills in every field whatever the method is."""
    body = minimal_body(method, provider)
    body["base_model"] |= {"revision": "main", "auth_token": None, "weights_url": None}
    body["customization"] |= {
        "rank": None if method == "full" else 8,
        "target_modules": ["q_proj", "v_proj"],
        "lora_alpha": 16,
        "lora_dropout": 0.1,
        "trainable_layers": ["decoder.layers.0"],
        "precision": "bf16",
        "qlora": {"use_double_quant": True, "bnb_4bit_compute_dtype": "bfloat16"},
        "peft": {"use": method != "full", "config": {"task_type": "CAUSAL_LM"}},
    }
    body["resources"] = {"gpus": 2, "gpu_type": "A100", "cpus": 4, "memory_gb": 16}
    body["tuning_parameters"] = {"learning_rate": 1e-4, "batch_size": 8, "num_epochs": 1}
    return body


def canary_body(method: str = "lora", provider: str = "huggingface") -> dict[str, Any]:
    """A canary in every secret and in every place that may hold one."""
    auth = dict.fromkeys(("external_id", "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "token", "username", "password"), CANARY)  # fmt: skip
    link = f"https://data.example/{{}}?X-Amz-Signature={CANARY}"
    body = minimal_body(method, provider)
    body["base_model"] |= {
        "auth_token": CANARY,
        "huggingface_token": CANARY,
        "weights_url": link.format("weights.tar"),
    }
    body["datasets"] = [{"source": link.format("a.jsonl"), "format": "jsonl", "auth": auth}]
    body["artifacts"] |= {"auth": auth, "status_stream_url": f"https://events.example/{CANARY}"}
    body["callbacks"] = {"webhook_url": f"https://hook.example/{CANARY}", "auth_header": CANARY}
    return body


def sample_context(job: TrainRequest) -> BuildContext:
    """What a gateway would say of the job."""
    log_uri = job.artifacts.log_uri
    return BuildContext(
        job_id=job.job_id,
        output_uri=job_folder(job.artifacts.output_uri, job.job_id),
        log_uri=log_uri and job_folder(log_uri, job.job_id),
        storage=StoragePolicy(file_roots=["/data"]),
        labels={"tunegate.job-id": job.job_id},
    )


class Change(Wire):
    """A field at `path` with two values that must not mean the same; `given` are fields it makes sense with."""

    path: str
    one: Any
    other: Any
    given: dict[str, Any] = {}

    def body(self, value: Any, method: str, provider: str) -> dict[str, Any]:
        """The minimal body with this field set to `value`."""
        body = minimal_body(method, provider)
        for path, setting in {**self.given, self.path: value}.items():
            put(body, path, setting)
        return body


def put(body: dict[str, Any], path: str, value: Any) -> None:
    """Set `a.b.c` in nested objects; a number means an item of a list."""
    *parents, last = path.split(".")
    place: Any = body
    for part in parents:
        if isinstance(place, list):
            place = cast("list[Any]", place)[int(part)]
        else:
            place = cast("dict[str, Any]", place).setdefault(part, {})
    place[last] = value


_DORA = {"customization.peft.config": {"use_dora": True}}
_TUNING = "tuning_parameters."
CHANGES = (
    Change(path="job_id", one="job-a", other="job-b"),
    Change(path="base_model.provider", one="huggingface", other="meta"),
    Change(path="base_model.model_name", one="acme/a", other="acme/b"),
    Change(path="base_model.revision", one="main", other="v2"),
    Change(path="base_model.weights_url", one="https://w.example/a", other="https://w.example/b"),
    Change(path="customization.rank", one=4, other=8),
    Change(path="customization.target_modules", one=["q_proj"], other=["v_proj"]),
    Change(path="customization.lora_alpha", one=4, other=8),
    Change(path="customization.lora_dropout", one=0.1, other=0.2),
    Change(path="customization.lora.rank", one=4, other=8),
    Change(path="customization.lora.target_modules", one=["q_proj"], other=["v_proj"]),
    Change(path="customization.lora.alpha", one=4, other=8),
    Change(path="customization.lora.dropout", one=0.1, other=0.2),
    Change(path="customization.trainable_layers", one=["layers.0"], other=["layers.1"]),
    Change(path="customization.precision", one="fp16", other="fp32"),
    Change(path="customization.gradient_checkpointing", one=True, other=False),
    Change(path="customization.qlora.use_double_quant", one=True, other=False),
    Change(path="customization.qlora.bnb_4bit_compute_dtype", one="float16", other="float32"),
    Change(path="customization.qlora.bnb_4bit_quant_type", one="nf4", other="fp4"),
    Change(path="customization.peft.use", one=True, other=False, given=_DORA),
    Change(path="customization.peft.config", one={"use_dora": True}, other={"use_rslora": True}),
    Change(path="resources.gpus", one=1, other=2),
    Change(path="resources.gpu_type", one="A100", other="H100"),
    Change(path="resources.cpus", one=1, other=2),
    Change(path="resources.memory_gb", one=1, other=2),
    Change(path="resources.max_duration_minutes", one=1, other=2),
    Change(path="resources.nodes", one=1, other=2),
    Change(path="datasets.0.source", one="s3://data/a", other="s3://data/b"),
    Change(path="datasets.0.format", one="jsonl", other="csv"),
    Change(path="datasets.0.split", one="train", other="validation"),
    Change(path="datasets.0.streaming", one=True, other=False),
    Change(path="datasets.0.weight", one=1.0, other=2.0),
    Change(path="artifacts.output_uri", one="s3://results/a", other="s3://results/b"),
    Change(path="artifacts.log_uri", one="s3://logs/a", other="s3://logs/b"),
    Change(path=_TUNING + "objective", one="sft", other="dpo"),
    Change(path=_TUNING + "dpo_beta", one=0.1, other=0.2),
    Change(path=_TUNING + "learning_rate", one=1e-3, other=1e-4),
    Change(path=_TUNING + "batch_size", one=4, other=8),
    Change(path=_TUNING + "micro_batch_size", one=1, other=2),
    Change(path=_TUNING + "num_epochs", one=1, other=2),
    Change(path=_TUNING + "max_steps", one=1, other=2),
    Change(path=_TUNING + "warmup_ratio", one=0.1, other=0.2),
    Change(path=_TUNING + "lr_scheduler", one="linear", other="constant"),
    Change(path=_TUNING + "weight_decay", one=0.1, other=0.2),
    Change(path=_TUNING + "max_grad_norm", one=0.5, other=2.0),
    Change(path=_TUNING + "gradient_checkpointing", one=True, other=False),
    Change(path=_TUNING + "max_sequence_length", one=128, other=256),
    Change(path=_TUNING + "seed", one=1, other=2),
    Change(path=_TUNING + "optimizer", one="adamw", other="sgd"),
    Change(path=_TUNING + "loraplus_lr_ratio", one=4.0, other=16.0),
    Change(path=_TUNING + "neftune_noise_alpha", one=5.0, other=10.0),
    Change(path=_TUNING + "packing", one=True, other=False),
    Change(path=_TUNING + "train_on", one="completions", other="all"),
    Change(path=_TUNING + "eval_steps", one=1, other=2),
    Change(path=_TUNING + "save_steps", one=1, other=2),
    Change(path=_TUNING + "logging_steps", one=1, other=2),
    Change(path=_TUNING + "early_stopping_patience", one=1, other=2),
)
"""Every field that is a backend's to honour, or to report as ignored."""

GATEWAY_FIELDS = (
    "backend", "customization.method", "base_model.auth_token", "base_model.huggingface_token",
    "datasets.0.auth", "artifacts.auth", "artifacts.status_stream_url", "callbacks",
    "extra_parameters", "metadata",
)  # fmt: skip
"""Fields that the gateway uses itself: routing, secrets, callbacks, options, what is echoed."""
