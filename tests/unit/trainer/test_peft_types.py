"""Types of adapters: each trains on packed rows as it would alone, and its result is loaded with plain PEFT."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from support.trainer_bench import Bench
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.adapters import make_trainable
from tunegate.trainer.data.packing import PackedBatch
from tunegate.trainer.device import Device, Precision
from tunegate.trainer.forward import Isolation, probe
from tunegate.trainer.model import load_model

CPU, FP32 = Device(torch.device("cpu")), Precision(torch.float32, torch.float32)
TEXTS = [torch.arange(3, 12), torch.arange(20, 26), torch.arange(40, 57)]
VIRTUAL = {"num_virtual_tokens": 4}
ADAPTERS: dict[str, dict[str, Any]] = {
    "DoRA": {"options": {"use_dora": True}},
    "rsLoRA": {"options": {"use_rslora": True}},
    "head and norm whole": {"options": {"modules_to_save": ["lm_head", "norm"]}},
    "embeddings whole": {"options": {"modules_to_save": ["embed_tokens"]}},
    "IA3": {"peft_type": "IA3"},
    "IA3, attention": {"peft_type": "IA3", "target_modules": ["k_proj", "v_proj"]},
    "prompt tuning": {"peft_type": "PROMPT_TUNING", "options": VIRTUAL},
    "p-tuning": {"peft_type": "P_TUNING", "options": {**VIRTUAL, "encoder_hidden_size": 32}},
    "prefix tuning": {"peft_type": "PREFIX_TUNING", "options": VIRTUAL},
    "LN tuning": {"peft_type": "LN_TUNING"},
    "LoHa": {"peft_type": "LOHA"},
    "OFT": {"peft_type": "OFT"},
}
BY_ITSELF = {"prompt tuning", "p-tuning", "prefix tuning"}


def targets(text: torch.Tensor) -> torch.Tensor:
    """Every token but the first."""
    return torch.cat((torch.tensor([-100]), text[1:]))


def packed() -> PackedBatch:
    """All texts in one row; each learns all tokens but its first."""
    ids = torch.cat(TEXTS)
    labels = torch.cat([targets(text) for text in TEXTS])
    sizes = [len(text) for text in TEXTS]
    return PackedBatch(
        input_ids=ids[None].numpy(),
        labels=labels[None].numpy(),
        position_ids=np.concatenate([np.arange(size) for size in sizes])[None],
        cu_seqlens=np.cumsum([0, *sizes]).astype(np.int32),
        example_ids=np.arange(len(sizes)),
        num_targets=sum(sizes) - len(sizes),
    )


@torch.no_grad()
def alone(model: Any) -> float:
    """Summed loss of the texts, each in a pass of its own through the model as PEFT has it."""
    return sum(
        model.eval()(input_ids=text[None], labels=targets(text)[None]).loss.item() * (len(text) - 1)
        for text in TEXTS
    )


@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointed"])
@pytest.mark.parametrize("name", ADAPTERS)
def test_it_learns_and_loads(bench: Bench, tmp_path: Path, name: str, checkpointing: bool) -> None:
    adapter = {"dropout": 0.0, "rank": 4, **ADAPTERS[name]}
    tuning = {"gradient_checkpointing": checkpointing}
    spec = bench.spec("x", method="peft", adapter=adapter, tuning=tuning)
    torch.manual_seed(0)
    model: Any = make_trainable(load_model(bench.base, spec, FP32, CPU), spec)[0]
    forward = probe(model, CPU, FP32)
    assert forward.isolation is (Isolation.SINGLE if name in BY_ITSELF else Isolation.SEGMENTS)
    batch = packed()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses: list[float] = []
    for _ in range(4):
        loss = forward.loss(batch)
        (loss / batch.num_targets).backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    model.eval()
    with torch.no_grad():
        trained = forward.loss(batch).item()
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    plain = AutoModelForCausalLM.from_pretrained(bench.base, dtype=torch.float32)
    reloaded = PeftModel.from_pretrained(plain, tmp_path)
    assert alone(reloaded) == pytest.approx(trained, rel=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"modules_to_save": ["lm_head", "embed_tokens", "norm"]},
        {"trainable_token_indices": {"embed_tokens": [3, 40], "lm_head": [3, 40]}},
    ],
    ids=["modules", "tokens"],
)
def test_on_half_precision_weights_everything_trains_in_fp32(
    bench: Bench, options: dict[str, Any]
) -> None:
    half = Precision(torch.bfloat16, torch.bfloat16)
    spec = bench.spec("x", precision="bf16", adapter={"options": options})
    model: Any = make_trainable(load_model(bench.base, spec, half, CPU), spec)[0]
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert {parameter.dtype for parameter in parameters.values()} == {torch.float32}
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    forward, batch = probe(model, CPU, half), packed()
    optimizer = torch.optim.AdamW(parameters.values(), lr=1e-4, weight_decay=0.0)
    for _ in range(2):
        (forward.loss(batch) / batch.num_targets).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(not torch.equal(before[name], p) for name, p in parameters.items())


def test_prefix_tuning_says_that_it_does_without_checkpointing(bench: Bench) -> None:
    adapter = {"peft_type": "PREFIX_TUNING", "options": VIRTUAL}
    spec = bench.spec("x", adapter=adapter, tuning={"gradient_checkpointing": True})
    _, sentence = make_trainable(load_model(bench.base, spec, FP32, CPU), spec)
    assert "without gradient checkpointing" in sentence


@pytest.mark.parametrize("kind", ["ADALORA", "XLORA", "CPT", "MULTITASK_PROMPT_TUNING", "POLY", "SHADOW"])  # fmt: skip
def test_a_type_that_is_not_served(bench: Bench, kind: str) -> None:
    spec = bench.spec("x", adapter={"peft_type": kind})
    with pytest.raises(TunegateError, match="is not served") as caught:
        make_trainable(load_model(bench.base, spec, FP32, CPU), spec)
    assert caught.value.code == "config_invalid"
