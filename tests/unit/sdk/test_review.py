from typing import Any

import msgspec
import pytest

from tunegate.sdk.backend import BackendPlugin, Review
from tunegate.sdk.resolve import TrainerOptions, TrainingMethod
from tunegate.sdk.review import review_training
from tunegate.sdk.testing.samples import form_body, minimal_body, put, train_request


def review(
    method: TrainingMethod, fields: dict[str, Any], options: TrainerOptions | None = None
) -> Review:
    body = minimal_body(method)
    for path, value in fields.items():
        put(body, path, value)
    return review_training(
        train_request(body),
        options or TrainerOptions(),
        method=method,
        providers=BackendPlugin.providers,
    )


MODEL, CUSTOM, TUNING = "base_model", "customization", "tuning_parameters"
DATA = {"source": "s3://data/a", "format": "auto"}
GRADIENT = "extra_parameters.unsloth.gradient_accumulation"


@pytest.mark.parametrize(
    ("method", "fields", "path", "code"),
    [
        ("lora", {f"{MODEL}.provider": "bim"}, "base_model.provider", "not_supported"),
        ("lora", {f"{MODEL}.model_name": "/m/a.NEMO"}, "base_model.model_name", "not_supported"),
        ("lora", {f"{MODEL}.weights_url": "https://h/a.nemo?x=1"}, "base_model.weights_url", "not_supported"),
        ("lora", {f"{CUSTOM}.rank": 1025}, "customization.rank", "out_of_range"),
        ("lora", {f"{CUSTOM}.lora": {"rank": 2000}}, "customization.lora.rank", "out_of_range"),
        ("lora", {f"{CUSTOM}.lora_dropout": 1.0}, "customization.lora_dropout", "out_of_range"),
        ("lora", {f"{CUSTOM}.rank": 8, f"{CUSTOM}.lora": {"rank": 4}}, "customization.lora.rank", "conflicting_fields"),
        ("lora", {f"{CUSTOM}.rank": 8, f"{CUSTOM}.peft": {"config": {"r": 4}}}, "customization.peft.config.r", "conflicting_fields"),
        ("lora", {f"{CUSTOM}.peft": {"config": {"r": "x"}}}, "customization.peft.config.r", "wrong_type"),
        ("lora", {f"{CUSTOM}.peft": {"config": {"peft_type": "IA3"}}}, "customization.peft.config.peft_type", "conflicting_fields"),
        ("peft", {f"{CUSTOM}.peft": {"config": {"peft_type": 3}}}, "customization.peft.config.peft_type", "wrong_type"),
        ("full", {f"{CUSTOM}.precision": "int8"}, "customization.precision", "not_supported"),
        ("qlora", {f"{CUSTOM}.precision": "int8"}, "customization.precision", "not_supported"),
        ("full", {f"{CUSTOM}.trainable_layers": ["a.1", "lm_head"]}, "customization.trainable_layers[1]", "invalid_format"),
        ("lora", {f"{CUSTOM}.trainable_layers": ["layers.5000"]}, "customization.trainable_layers[0]", "out_of_range"),
        ("lora", {f"{TUNING}.micro_batch_size": 33}, "tuning_parameters.micro_batch_size", "conflicting_fields"),
        ("lora", {f"{CUSTOM}.gradient_checkpointing": True, f"{TUNING}.gradient_checkpointing": False}, "tuning_parameters.gradient_checkpointing", "conflicting_fields"),
        ("lora", {GRADIENT: "4"}, GRADIENT, "wrong_type"),
        ("lora", {GRADIENT: True}, GRADIENT, "wrong_type"),
        ("lora", {GRADIENT: 64}, GRADIENT, "conflicting_fields"),
        ("lora", {GRADIENT: 4, f"{TUNING}.micro_batch_size": 2}, GRADIENT, "conflicting_fields"),
        ("lora", {"datasets": [DATA, DATA]}, "datasets[1]", "conflicting_fields"),
        ("lora", {"datasets": [{**DATA, "split": "validation"}]}, "datasets", "conflicting_fields"),
        ("lora", {"datasets": [{"source": "s3://data/a", "format": "hf"}]}, "datasets[0].source", "invalid_format"),
    ],
)  # fmt: skip
def test_problem(method: TrainingMethod, fields: dict[str, Any], path: str, code: str) -> None:
    problems = review(method, fields).problems
    assert [(problem.path, problem.code) for problem in problems] == [(f"$.{path}", code)]


@pytest.mark.parametrize(
    ("method", "fields", "path"),
    [
        ("full", {f"{CUSTOM}.rank": 8}, "customization.rank"),
        ("full", {f"{CUSTOM}.target_modules": ["q"]}, "customization.target_modules"),
        ("full", {f"{CUSTOM}.lora": {"rank": 8}}, "customization.lora"),
        ("full", {f"{CUSTOM}.peft": {"use": True}}, "customization.peft"),
        ("lora", {f"{CUSTOM}.qlora": {"use_double_quant": True}}, "customization.qlora"),
        ("full", {f"{TUNING}.loraplus_lr_ratio": 16}, "tuning_parameters.loraplus_lr_ratio"),
        ("peft", {f"{TUNING}.loraplus_lr_ratio": 16, f"{CUSTOM}.peft": {"config": {"peft_type": "IA3"}}}, "tuning_parameters.loraplus_lr_ratio"),
        ("lora", {f"{CUSTOM}.peft": {"use": False, "config": {"use_dora": True}}}, "customization.peft.config"),
        ("peft", {f"{CUSTOM}.peft": {"use": False}}, "customization.peft.use"),
        ("peft", {f"{CUSTOM}.rank": 8, f"{CUSTOM}.peft": {"config": {"peft_type": "IA3"}}}, "customization.rank"),
        ("lora", {f"{CUSTOM}.target_modules": []}, "customization.target_modules"),
        ("lora", {f"{CUSTOM}.trainable_layers": []}, "customization.trainable_layers"),
        ("lora", {f"{MODEL}.model_name": "s3://m/a", f"{MODEL}.revision": "v2"}, "base_model.revision"),
        ("lora", {"datasets": [DATA, {**DATA, "split": "validation", "weight": 2}]}, "datasets[1].weight"),
        ("lora", {f"{TUNING}.objective": "sft", f"{TUNING}.dpo_beta": 0.2}, "tuning_parameters.dpo_beta"),
        ("lora", {f"{TUNING}.objective": "dpo", f"{TUNING}.train_on": "all"}, "tuning_parameters.train_on"),
    ],
)  # fmt: skip
def test_ignored(method: TrainingMethod, fields: dict[str, Any], path: str) -> None:
    seen = review(method, fields)
    assert seen.problems == []
    assert [entry.path for entry in seen.ignored] == [f"$.{path}"]


def test_the_same_value_in_two_places_is_fine() -> None:
    fields = {
        f"{CUSTOM}.rank": 8,
        f"{CUSTOM}.lora": {"rank": 8},
        GRADIENT: 4,
        f"{TUNING}.micro_batch_size": 8,
    }
    assert review("lora", fields) == Review()


def test_early_stopping_needs_evaluation_data() -> None:
    none = TrainerOptions(held_out_fraction=0.0)
    patience, steps = f"{TUNING}.early_stopping_patience", f"{TUNING}.eval_steps"
    assert review("lora", {patience: 2}).problems == []
    (problem,) = review("lora", {patience: 2}, none).problems
    assert problem.path == f"$.{patience}"
    assert [entry.path for entry in review("lora", {steps: 2}, none).ignored] == [f"$.{steps}"]
    marked = {"datasets": [DATA, {**DATA, "split": "test"}], patience: 2}
    assert review("lora", marked, none) == Review()
    held_out = review("lora", marked, TrainerOptions(held_out_fraction=0.1))
    assert [entry.path for entry in held_out.ignored] == ["$.extra_parameters.held_out_fraction"]


def test_what_forms_send_with_full() -> None:
    job = train_request(form_body("full"))
    seen = review_training(job, TrainerOptions(), method="full", providers=BackendPlugin.providers)
    assert seen.problems == []
    assert {entry.path.rpartition(".")[2] for entry in seen.ignored} == {
        "target_modules", "lora_alpha", "lora_dropout", "qlora",
    }  # fmt: skip
    assert seen.notes == ["only block 0 of the model will train, as trainable_layers asks"]


def test_layers_that_are_advisory_are_not_promised() -> None:
    seen = review_training(
        train_request(form_body("lora")),
        TrainerOptions(),
        method="lora",
        providers=BackendPlugin.providers,
        trainable_layers_advisory=True,
    )
    assert seen.notes == [
        "all blocks of the model will train: the operator made trainable_layers advisory"
    ]


def test_messages_never_quote_addresses() -> None:
    secret = "X-Amz-Signature=canary"
    fields = {
        f"{MODEL}.weights_url": f"https://h/a.nemo?{secret}",
        "datasets": [{"source": f"https://h/a?{secret}", "format": "hf"}] * 2,
    }
    assert b"canary" not in msgspec.json.encode(review("lora", fields))
