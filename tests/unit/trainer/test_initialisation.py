"""Where LoRA may start from, and that what it then learns belongs on the base as everybody has it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from support.trainer_bench import Bench
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.adapters import make_trainable
from tunegate.trainer.device import Device, choose_precision
from tunegate.trainer.model import load_model
from tunegate.trainer.residual import give_back, taken_from_base

CPU = Device(torch.device("cpu"))
IDS = torch.arange(3, 40)[None]
MODULES = {"modules_to_save": ["lm_head"]}
RESIDUAL: dict[str, dict[str, Any]] = {
    "pissa": {"init_lora_weights": "pissa"},
    "pissa by chance": {"init_lora_weights": "pissa_niter_2"},
    "olora": {"init_lora_weights": "olora"},
    "rslora": {"init_lora_weights": "pissa", "use_rslora": True},
    "dora": {"init_lora_weights": "pissa", "use_dora": True},
    "patterns": {
        "init_lora_weights": "olora", "use_rslora": True,
        "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 7},
    },
    "head": {"init_lora_weights": "pissa", **MODULES},
}  # fmt: skip


def trained(bench: Bench, **fields: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    """A model after three steps, and what its adapter had taken from the base."""
    spec = bench.spec("x", **fields)
    torch.manual_seed(1)
    model = load_model(bench.base, spec, choose_precision(spec, CPU), CPU)
    adapted: Any = make_trainable(model, spec)[0]
    taken = taken_from_base(adapted)
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(3):
        adapted(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return adapted.eval(), taken


def plain_base(bench: Bench, **settings: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(bench.base, dtype=torch.float32, **settings)


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    return model.eval()(input_ids=IDS).logits


@pytest.mark.filterwarnings("ignore:Using Rank-Stabilized LoRA with")
@pytest.mark.parametrize("name", RESIDUAL)
def test_the_result_belongs_on_the_unchanged_base(bench: Bench, tmp_path: Path, name: str) -> None:
    model, taken = trained(bench, adapter={"rank": 4, "dropout": 0.0, "options": RESIDUAL[name]})
    assert taken
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    give_back(tmp_path, taken)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["init_lora_weights"], config["r"]) == (True, 8)
    reloaded = PeftModel.from_pretrained(plain_base(bench), tmp_path)
    torch.testing.assert_close(logits(reloaded), logits(model), rtol=1e-4, atol=1e-4)
    assert (logits(reloaded) - logits(plain_base(bench))).abs().max() > 0.01


@pytest.mark.parametrize("start", [True, False, "gaussian", "orthogonal"])
def test_other_starts_leave_the_base_alone(bench: Bench, tmp_path: Path, start: Any) -> None:
    options = {"init_lora_weights": start}
    model, taken = trained(bench, adapter={"rank": 4, "dropout": 0.0, "options": options})
    assert taken == {}
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    reloaded = PeftModel.from_pretrained(plain_base(bench), tmp_path)
    torch.testing.assert_close(logits(reloaded), logits(model), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_loftq_starts_nearer_to_the_unquantised_model(
    bench: Bench, tmp_path: Path, kind: str
) -> None:
    quantization = {"kind": kind, "compute_dtype": "float32"}

    def start(**options: Any) -> Any:
        adapter = {"rank": 16, "dropout": 0.0, "options": options}
        spec = bench.spec("x", method="qlora", quantization=quantization, adapter=adapter)
        model = load_model(bench.base, spec, choose_precision(spec, CPU), CPU)
        return make_trainable(model, spec)[0]

    wanted = logits(plain_base(bench))
    plain, loftq = (logits(start(**options)) for options in ({}, {"init_lora_weights": "loftq"}))
    assert (loftq - wanted).norm() < 0.8 * (plain - wanted).norm()

    adapter = {"rank": 4, "dropout": 0.0, "options": {"init_lora_weights": "loftq"}}
    model, taken = trained(bench, method="qlora", quantization=quantization, adapter=adapter)
    assert taken == {}
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    again = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )  # fmt: skip
    reloaded = PeftModel.from_pretrained(plain_base(bench, quantization_config=again), tmp_path)
    # In inference some processors multiply 4-bit weights in bf16 whatever was asked for.
    torch.testing.assert_close(logits(reloaded), logits(model), rtol=0, atol=0.01)
    assert (logits(reloaded) - wanted).abs().max() > 0.1


@pytest.mark.parametrize(
    ("start", "quantization", "words"),
    [
        ("eva", None, "see the data"),
        ("corda", None, "see the data"),
        ("lora_ga", None, "see the data"),
        ("loftq", None, "take method qlora"),
        ("loftq", {"kind": "int8"}, "take method qlora"),
        ("pissa", {"kind": "nf4"}, "changes the base weights"),
        ("olora", {"kind": "int8"}, "changes the base weights"),
    ],
)
def test_a_start_that_is_not_served(
    bench: Bench, start: str, quantization: dict[str, str] | None, words: str
) -> None:
    options = {"init_lora_weights": start}
    spec = bench.spec("x", quantization=quantization, adapter={"options": options})
    model = load_model(bench.base, spec, choose_precision(spec, CPU), CPU)
    with pytest.raises(TunegateError, match=words) as caught:
        make_trainable(model, spec)
    assert caught.value.code == "config_invalid"


def test_loftq_without_the_unquantised_weights(bench: Bench) -> None:
    options = {"init_lora_weights": "loftq"}
    spec = bench.spec("x", quantization={"kind": "nf4"}, adapter={"options": options})
    model = load_model(bench.base, spec, choose_precision(spec, CPU), CPU)
    model.name_or_path = str(bench.folder)
    with pytest.raises(TunegateError, match=r"no unquantised model\.layers\.0"):
        make_trainable(model, spec)
