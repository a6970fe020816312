"""The memory formula: larger sizes never need less, and figures that stay what they are."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate.contract.training import TrainingSpec
from tunegate.sdk.architecture import Architecture
from tunegate.sdk.memory import STATE_BYTES, LargestPass, MemoryNeed, predict

LLAMA_8B = Architecture(
    hidden=4096, inner=14336, layers=32, heads=32, key_value_heads=8, head_size=128, vocabulary=128_256
)  # fmt: skip
GROWING = ("hidden", "inner", "layers", "heads", "key_value_heads", "head_size", "vocabulary")
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"precision": "bf16"},
    "dropout": {"adapter": {"dropout": 0.1}},
    "qlora": {"method": "qlora", "quantization": {"kind": "nf4"}},
    "int8": {"quantization": {"kind": "int8"}},
    "full": {"method": "full", "adapter": None},
}


def spec(method: str = "lora", **fields: Any) -> TrainingSpec:
    plain: dict[str, Any] = {
        "job_id": "j", "method": "lora", "model": {"name": "m"}, "datasets": [{"source": "x"}],
        "output": {"output_uri": "o/"}, "adapter": {"dropout": 0.0},
    }  # fmt: skip
    return msgspec.convert(plain | METHODS[method] | fields, TrainingSpec)


def need(
    wanted: TrainingSpec, sizes: Architecture = LLAMA_8B, tokens: int = 2048, **more: Any
) -> MemoryNeed:
    largest = LargestPass(tokens=tokens, targets=tokens, accumulated=more.pop("accumulated", True))
    return predict(wanted, sizes, largest, **{"cuda": True} | more)


sizes = st.builds(
    Architecture,
    hidden=st.integers(64, 1024), inner=st.integers(64, 4096), layers=st.integers(1, 40),
    heads=st.integers(1, 32), key_value_heads=st.integers(1, 32), head_size=st.integers(16, 128),
    vocabulary=st.integers(100, 200_000), tied=st.booleans(),
)  # fmt: skip
specs = st.builds(
    lambda method, optimizer, checkpointing: spec(
        method, tuning={"optimizer": optimizer, "gradient_checkpointing": checkpointing}
    ),
    st.sampled_from(sorted(METHODS)), st.sampled_from(sorted(STATE_BYTES)), st.booleans(),
)  # fmt: skip


@given(specs, sizes, st.sampled_from(GROWING), st.integers(1, 4096), st.booleans())
def test_a_larger_model_never_needs_less(
    wanted: TrainingSpec, small: Architecture, field: str, tokens: int, cuda: bool
) -> None:
    large = msgspec.structs.replace(small, **{field: 2 * getattr(small, field)})
    assert (
        need(wanted, large, tokens, cuda=cuda).total >= need(wanted, small, tokens, cuda=cuda).total
    )


@given(specs, sizes, st.integers(1, 8192), st.integers(0, 8192), st.booleans())
def test_more_tokens_never_need_less(
    wanted: TrainingSpec, model: Architecture, tokens: int, more: int, cuda: bool
) -> None:
    few, many = (need(wanted, model, n, cuda=cuda).total for n in (tokens, tokens + more))
    assert few <= many


@given(specs, sizes, st.integers(1, 8192), st.booleans())
def test_the_parts_are_the_whole(
    wanted: TrainingSpec, model: Architecture, tokens: int, cuda: bool
) -> None:
    found = need(wanted, model, tokens, cuda=cuda)
    parts = [getattr(found, name) for name in found.__struct_fields__ if name != "total"]
    assert min(parts) >= 0
    assert found.total >= found.standing + found.optimizer
    assert need(wanted, model, tokens, cuda=cuda, accumulated=False).total <= found.total


def test_every_optimizer_is_known() -> None:
    from typing import get_args

    from tunegate.contract.request import Optimizer

    assert set(get_args(Optimizer)) <= STATE_BYTES.keys()


@pytest.mark.parametrize(
    ("less", "more"),
    [
        (spec("qlora"), spec("int8")),
        (spec("int8"), spec("lora")),
        (spec("lora"), spec("full")),
        (spec("lora", tuning={"gradient_checkpointing": True}), spec("lora", tuning={"gradient_checkpointing": False})),
        (spec("full", tuning={"optimizer": "adamw_8bit"}), spec("full", tuning={"optimizer": "muon"})),
        (spec("full", tuning={"optimizer": "muon"}), spec("full", tuning={"optimizer": "adamw"})),
        (spec("lora", adapter={"target_modules": ["q_proj"], "dropout": 0.0}), spec("lora")),
        (spec("full", trainable_layers=["layers.31"]), spec("full")),
        (spec("lora", precision="bf16"), spec("lora", precision="fp32")),
    ],
)  # fmt: skip
def test_what_saves_memory(less: TrainingSpec, more: TrainingSpec) -> None:
    assert need(less).total < need(more).total


GOLDEN = {
    "lora": (15.0, 0.16),
    "qlora": (5.4, 0.16),
    "full": (29.9, 0.0),
}
"""GiB of weights and of adapters of Llama 3 8B: 8.03 billion weights, 41.9 million at rank 16."""


@pytest.mark.parametrize("method", GOLDEN)
def test_the_known_figures_of_a_known_model(method: str) -> None:
    found = need(spec(method))
    weights, adapters = GOLDEN[method]
    assert found.weights / 2**30 == pytest.approx(weights, rel=0.02)
    assert found.adapters / 2**30 == pytest.approx(adapters, abs=0.01)


def test_shards_divide_what_is_divided() -> None:
    one, four = need(spec("full")), need(spec("full"), shards=4)
    assert four.weights == one.weights // 4
    assert four.optimizer == pytest.approx(one.optimizer / 4)
    assert four.activations == one.activations
