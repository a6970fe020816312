"""Sizes, steps, memory and time from numbers alone."""

from typing import Any

import pytest

from tunegate.contract.container import ResourceRequest
from tunegate.contract.training import (
    AdapterPlan,
    DataSource,
    ModelSource,
    OutputPlan,
    QuantizationPlan,
    TrainingSpec,
    TuningPlan,
)
from tunegate.control.estimate import DataSize, Estimate, estimate
from tunegate.control.model_shape import (
    ModelShape,
    shape_from_config,
    shape_from_name,
    usual_architecture,
)

LLAMA = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
}
SEVEN = ModelShape(
    architecture=usual_architecture(7_000_000_000), parameters=7_000_000_000, source="a test"
)
DATA = DataSize(rows=1000, tokens=500_000)


def spec(**fields: Any) -> TrainingSpec:
    plain: dict[str, Any] = {
        "job_id": "j",
        "method": "lora",
        "model": ModelSource(name="m"),
        "datasets": [DataSource(source="s3://b/x")],
        "output": OutputPlan(output_uri="s3://b/o/"),
        "adapter": AdapterPlan(),
    }
    return TrainingSpec(**(plain | fields))


def guess(
    data: DataSize | None = DATA, model: ModelShape | None = SEVEN, **fields: Any
) -> Estimate:
    return estimate(spec(**fields), ResourceRequest(gpu_type="A100"), data, model)


def total(**fields: Any) -> int:
    memory = guess(**fields).memory_bytes
    assert memory is not None
    return memory.total


def test_a_known_config_gives_the_known_size() -> None:
    shape = shape_from_config(LLAMA)
    assert shape is not None
    assert abs(shape.parameters - 6_738_415_616) < 1e6


def test_grouped_queries_tied_embeddings_and_experts_count() -> None:
    def parameters(**more: Any) -> int:
        shape = shape_from_config(LLAMA | more)
        assert shape is not None
        return shape.parameters

    assert parameters(num_key_value_heads=8) < parameters()
    assert parameters() - parameters(tie_word_embeddings=True) == 32000 * 4096
    assert parameters(num_local_experts=8) > 5 * parameters()


@pytest.mark.parametrize(
    "config", [{}, {"hidden_size": "4096"}, {"hidden_size": 8}, {"n_layer": 2}]
)
def test_a_config_without_sizes_says_nothing(config: dict[str, Any]) -> None:
    assert shape_from_config(config) is None


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("meta-llama/Llama-2-7b", 7e9),
        ("Qwen/Qwen2.5-0.5B-Instruct", 5e8),
        ("HuggingFaceTB/SmolLM-135M", 1.35e8),
        ("mistralai/Mixtral-8x7B-v0.1", 5.6e10),
        ("s3://bucket/models/llama-70b", 7e10),
        ("tests/tiny", None),
        ("org/b2b-model", None),
        ("7b/model", None),
    ],
)
def test_names(name: str, parameters: float | None) -> None:
    shape = shape_from_name(name)
    assert (shape.parameters if shape else None) == parameters


def test_the_depth_guessed_from_a_size_is_near_the_real_one() -> None:
    shape = shape_from_name("llama-7b")
    assert shape is not None
    assert 28 <= shape.architecture.layers <= 36


class TestSteps:
    def test_held_out_rows_do_not_train(self) -> None:
        found = guess(tuning=TuningPlan(batch_size=10, num_epochs=1))
        assert (found.steps, found.training_tokens) == (95, 475_000)

    def test_with_validation_data_all_rows_train(self) -> None:
        data = [DataSource(source="s3://b/x"), DataSource(source="s3://b/y", split="validation")]
        assert guess(tuning=TuningPlan(batch_size=10, num_epochs=1), datasets=data).steps == 100

    def test_max_steps_ends_it(self) -> None:
        found = guess(tuning=TuningPlan(batch_size=10, num_epochs=1, max_steps=7))
        assert (found.steps, found.training_tokens) == (7, 35_000)

    def test_without_data_only_max_steps_is_known(self) -> None:
        assert guess(None).steps is None
        assert guess(None, tuning=TuningPlan(max_steps=7)).steps == 7


def test_memory_by_method() -> None:
    qlora = total(quantization=QuantizationPlan(kind="nf4"))
    int8 = total(quantization=QuantizationPlan(kind="int8"))
    lora = total()
    full = total(method="full", adapter=None)
    assert qlora < int8 < lora < full
    assert 14e9 < lora < 20e9, "7 billion weights in bf16"
    assert full > 7e9 * 16


def test_memory_by_settings() -> None:
    assert total(precision="fp32") > total()
    assert total(tuning=TuningPlan(gradient_checkpointing=False)) > total()
    assert total(tuning=TuningPlan(micro_batch_size=8)) > total()


def test_frozen_blocks_cost_no_gradients() -> None:
    one = guess(method="full", adapter=None, trainable_layers=["layers.0"])
    architecture = SEVEN.architecture
    assert one.trainable_parameters == architecture.block_weights
    advisory = {"trainable_layers": ["layers.0"], "trainable_layers_advisory": True}
    assert guess(method="full", adapter=None, **advisory).trainable_parameters == 7_000_000_000


def test_an_adapter_is_small() -> None:
    found = guess(adapter=AdapterPlan(rank=16, target_modules=["q_proj", "v_proj"]))
    assert found.trainable_parameters == 16 * 2 * 4224 * 2 * 33


def test_time_depends_on_the_machine() -> None:
    def time_s(**resources: Any) -> float:
        found = estimate(spec(), ResourceRequest(**resources), DATA, SEVEN)
        assert found.time_s is not None
        return found.time_s

    assert time_s(gpu_type="H100") < time_s(gpu_type="A100-80GB") < time_s(gpu_type="T4")
    assert time_s(gpus=2) == pytest.approx(time_s(gpus=1) / 2, rel=0.01)
    assert time_s(gpus=0, cpus=8) > 100 * time_s()


def test_what_is_not_known_is_not_guessed() -> None:
    found = guess(model=None)
    assert (found.parameters, found.memory_bytes, found.time_s) == (None, None, None)
    assert "the model's size is not known" in found.assumptions
