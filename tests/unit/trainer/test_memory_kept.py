"""The formula for activations beside what autograd really keeps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from support.trainer_bench import Bench, rows
from tunegate.sdk import memory
from tunegate.sdk.architecture import Architecture
from tunegate.sdk.memory import LargestPass, kept_pairs, predict
from tunegate.trainer import loss
from tunegate.trainer.adapters import make_trainable
from tunegate.trainer.data.packing import IGNORED, PackedBatch
from tunegate.trainer.device import choose_precision, pick_device
from tunegate.trainer.forward import CausalForward, probe
from tunegate.trainer.kernels import head, segments
from tunegate.trainer.model import load_model
from tunegate.trainer.tiny import make_tiny_model

BF16, NF4 = {"precision": "bf16"}, {"kind": "nf4", "compute_dtype": "bfloat16"}
PLAIN, DROPOUT = {"adapter": {"dropout": 0.0}}, {"adapter": {"dropout": 0.05}}
CHECKPOINT = {"tuning": {"gradient_checkpointing": True}}
WAYS: dict[str, dict[str, Any]] = {
    "lora": PLAIN,
    "lora-bf16": PLAIN | BF16,
    "lora-some": {"adapter": {"dropout": 0.0, "target_modules": ["q_proj", "v_proj"]}},
    "dropout": DROPOUT,
    "dropout-bf16": DROPOUT | BF16,
    "qlora": PLAIN | {"method": "qlora", "quantization": NF4},
    "int8": PLAIN | BF16 | {"quantization": {"kind": "int8"}},
    "full": {"method": "full", "adapter": None},
    "full-bf16": {"method": "full", "adapter": None} | BF16,
    "checkpoint": PLAIN | CHECKPOINT,
    "checkpoint-full-bf16": {"method": "full", "adapter": None} | BF16 | CHECKPOINT,
}
SHORT, LONG = 200, 900


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    corpus = [message["content"] for row in rows(200) for message in row["messages"]]
    make_tiny_model(folder, corpus=corpus, hidden=128, layers=6, vocab=400)
    return folder


def kept(forward: CausalForward, tokens: int) -> int:
    """Bytes that wait for the backward pass of a text of so many tokens."""
    labels = np.full((1, tokens), IGNORED)
    labels[0, -2:] = 7
    batch = PackedBatch(
        input_ids=np.arange(tokens)[None] % 101,
        labels=labels,
        position_ids=np.arange(tokens)[None],
        cu_seqlens=np.array([0, tokens], np.int32),
        example_ids=np.array([0]),
        num_targets=2,
    )
    standing = {p.untyped_storage().data_ptr() for p in forward.model.parameters()}
    found: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if (place := tensor.untyped_storage().data_ptr()) not in standing:
            found[place] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward.loss(batch)
    return sum(tensor.untyped_storage().nbytes() for tensor in found.values())


@pytest.mark.parametrize("way", WAYS)
def test_autograd_keeps_what_the_formula_says(model: Path, tmp_path: Path, way: str) -> None:
    bench = Bench(model, tmp_path)
    spec = bench.spec("kept", **{"tuning": {"gradient_checkpointing": False}} | WAYS[way])
    device = pick_device(1)
    precision = choose_precision(spec, device)
    loaded = load_model(model, spec, precision, device)
    architecture = Architecture.from_config(loaded.config.to_dict())
    trained, _ = make_trainable(loaded, spec)
    forward = probe(trained, device, precision)
    assert architecture is not None

    def told(tokens: int) -> int:
        largest = LargestPass(tokens=tokens, targets=10_000, pairs=kept_pairs([tokens]))
        return predict(spec, architecture, largest, cuda=False).activations

    measured = kept(forward, LONG) - kept(forward, SHORT)
    expected = told(LONG) - told(SHORT)
    if spec.tuning.gradient_checkpointing:
        # The formula counts the block that is computed again too, which lives in the backward pass alone.
        assert measured == pytest.approx((LONG - SHORT) * 128 * 4 * 7, rel=0.15)
        assert measured < expected
        return
    assert measured == pytest.approx(expected, rel=0.1)


def test_the_formulas_numbers_are_the_trainers() -> None:
    assert memory.MOST_LOGITS == loss.MOST_LOGITS
    assert kept_pairs([segments.KEPT]) == kept_pairs([segments.KEPT + 1])
    assert kept_pairs([segments.KEPT - 1]) < kept_pairs([segments.KEPT])
    assert kept_pairs([segments.BLOCK]) == segments.BLOCK**2
    assert (memory.CPU_CHUNK, memory.GPU_CHUNK) == (head.CPU_CHUNK, head.GPU_CHUNK)
