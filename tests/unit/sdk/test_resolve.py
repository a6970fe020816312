from typing import Any, get_args

import msgspec
import pytest
from msgspec import inspect

from tunegate.contract.request import TrainRequest
from tunegate.contract.training import AdapterPlan, QuantizationPlan, TrainingSpec
from tunegate.sdk.resolve import (
    TrainerOptions,
    TrainingMethod,
    resolve_resources,
    resolve_training,
    trainer_secrets,
)
from tunegate.sdk.testing.samples import (
    CANARY,
    CHANGES,
    GATEWAY_FIELDS,
    canary_body,
    minimal_body,
    put,
    sample_context,
    train_request,
)


def resolved(
    method: TrainingMethod, options: TrainerOptions | None = None, **fields: Any
) -> TrainingSpec:
    body = minimal_body(method)
    for path, value in fields.items():
        put(body, path.replace("__", "."), value)
    job = train_request(body)
    given = options or TrainerOptions()
    return resolve_training(job, given, sample_context(job), method=method, backend="b")


@pytest.mark.parametrize("method", get_args(TrainingMethod))
def test_defaults(method: TrainingMethod) -> None:
    spec = resolved(method)
    assert spec.tuning.learning_rate == (2e-5 if method == "full" else 2e-4)
    assert spec.adapter == (None if method == "full" else AdapterPlan())
    assert spec.quantization == (QuantizationPlan(kind="nf4") if method == "qlora" else None)
    assert (spec.precision, spec.tuning.batch_size, spec.tuning.seed) == ("bf16", 32, 42)
    assert spec.output.output_uri == "s3://results/team/sample-1/"


@pytest.mark.parametrize(("method", "rate"), [("lora", 2e-5), ("full", 2e-6)])
def test_preferences_are_learnt_more_slowly(method: TrainingMethod, rate: float) -> None:
    tuning = resolved(method, tuning_parameters__objective="dpo").tuning
    assert (tuning.objective, tuning.dpo_beta) == ("dpo", 0.1)
    assert tuning.learning_rate == pytest.approx(rate)
    named = {"tuning_parameters__objective": "dpo", "tuning_parameters__learning_rate": 1e-3}
    assert resolved(method, **named).tuning.learning_rate == 1e-3


def test_int8_is_a_quantization() -> None:
    spec = resolved("lora", customization__precision="int8")
    assert spec.quantization == QuantizationPlan(kind="int8")
    assert spec.precision == "bf16"


def test_qlora_options() -> None:
    asked = {
        "use_double_quant": False,
        "bnb_4bit_compute_dtype": "float32",
        "bnb_4bit_quant_type": "fp4",
    }
    spec = resolved("qlora", customization__qlora=asked)
    assert spec.quantization == QuantizationPlan(
        kind="fp4", double_quant=False, compute_dtype="float32"
    )


@pytest.mark.parametrize(
    "fields",
    [
        {
            "customization__rank": 4,
            "customization__lora_alpha": 8,
            "customization__lora_dropout": 0.5,
        },
        {"customization__lora": {"rank": 4, "alpha": 8, "dropout": 0.5}},
        {"customization__peft": {"config": {"r": 4, "lora_alpha": 8, "lora_dropout": 0.5}}},
    ],
)
def test_three_spellings_mean_the_same(fields: dict[str, Any]) -> None:
    assert resolved("lora", **fields).adapter == AdapterPlan(rank=4, alpha=8, dropout=0.5)


def test_peft_types_keep_their_own_settings() -> None:
    config = {"peft_type": "ia3", "feedforward_modules": ["down"], "target_modules": ["down", "k"]}
    adapter = resolved("peft", customization__peft={"use": True, "config": config}).adapter
    assert adapter == AdapterPlan(
        peft_type="IA3", target_modules=["down", "k"], options={"feedforward_modules": ["down"]}
    )


def test_peft_that_is_not_to_be_used() -> None:
    fields = {"customization__peft": {"use": False, "config": {"use_dora": True}}}
    lora, peft = resolved("lora", **fields).adapter, resolved("peft", **fields).adapter
    assert lora is not None
    assert peft is not None
    assert (lora.options, peft.options) == ({}, {"use_dora": True})


def test_a_pattern_of_modules_is_pefts_to_read() -> None:
    adapter = resolved("lora", customization__peft={"config": {"target_modules": ".*proj"}}).adapter
    assert adapter == AdapterPlan(options={"target_modules": ".*proj"})


def test_checkpointing_has_two_places() -> None:
    for place in ("customization", "tuning_parameters"):
        spec = resolved("lora", **{f"{place}__gradient_checkpointing": False})
        assert spec.tuning.gradient_checkpointing is False


@pytest.mark.parametrize(("steps", "micro"), [(4, 8), (32, 1), (5, 6), (64, 1)])
def test_accumulation_makes_the_micro_batch(steps: int, micro: int) -> None:
    extra = {"unsloth": {"gradient_accumulation": steps}}
    assert resolved("lora", extra_parameters=extra).tuning.micro_batch_size == micro


def test_options_reach_the_plan() -> None:
    tuning = resolved("lora", TrainerOptions(held_out_fraction=0.0, over_length="drop")).tuning
    assert (tuning.held_out_fraction, tuning.over_length) == (0.0, "drop")


def test_resources_in_bytes_and_seconds() -> None:
    body = minimal_body()
    body["resources"] = {"memory_gb": 2, "max_duration_minutes": 3, "gpus": 0}
    resources = resolve_resources(train_request(body))
    assert (resources.memory_bytes, resources.max_duration_s) == (2 * 2**30, 180.0)
    assert (resources.gpus, resources.cpus) == (0, 8)


def test_secrets_run_parallel_to_the_data_sets() -> None:
    body = canary_body()
    body["datasets"].append({"source": "s3://data/b?c", "format": "auto"})
    secrets = trainer_secrets(train_request(body))
    assert secrets.hub_token is not None
    assert secrets.weights_query is not None
    assert secrets.weights_query.reveal() == f"X-Amz-Signature={CANARY}"
    assert [auth is not None for auth in secrets.datasets] == [True, False]
    assert [query is not None for query in secrets.dataset_queries] == [True, False]
    assert secrets.artifacts is not None


@pytest.mark.parametrize(
    ("job", "workspace", "taken"),
    [("a", "b", "a"), (None, "b", "b"), ("", "b", "b"), ("", "", None)],
)
def test_the_jobs_own_token_wins(job: str | None, workspace: str, taken: str | None) -> None:
    body = minimal_body()
    body["base_model"] |= {"auth_token": job, "huggingface_token": workspace}
    token = trainer_secrets(train_request(body)).hub_token
    assert (token and token.reveal()) == taken


def leaves(struct: type[msgspec.Struct], path: str = "") -> set[str]:
    """Paths of all fields of the schema; `0` stands for the items of a list."""
    found: set[str] = set()
    for field in msgspec.structs.fields(struct):
        here, kind = f"{path}{field.name}", inspect.type_info(field.type)
        kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
        kinds = tuple(k.type if isinstance(k, inspect.Metadata) else k for k in kinds)
        nested = [(k.cls, f"{here}.") for k in kinds if isinstance(k, inspect.StructType)]
        nested += [
            (k.item_type.cls, f"{here}.0.")
            for k in kinds
            if isinstance(k, inspect.ListType) and isinstance(k.item_type, inspect.StructType)
        ]
        found |= {leaf for cls, below in nested for leaf in leaves(cls, below)} or {here}
    return found


def test_the_table_of_changes_names_every_field() -> None:
    changed = {change.path for change in CHANGES}
    missing = {
        leaf
        for leaf in leaves(TrainRequest) - changed
        if not any(leaf == known or leaf.startswith(f"{known}.") for known in GATEWAY_FIELDS)
    }
    assert missing == set()
    assert changed <= leaves(TrainRequest)
