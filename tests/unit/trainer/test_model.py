"""Models that can't be loaded or trained: each says why."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from support.trainer_bench import Bench
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.adapters import make_trainable
from tunegate.trainer.device import Device, Precision, choose_precision
from tunegate.trainer.model import load_model, load_tokenizer

CPU, FP32 = Device(torch.device("cpu")), Precision(torch.float32, torch.float32)


def configure(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


def tear(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def drop_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "unknown architecture": (configure(model_type="mystery"), "architecture"),
    "code of its own": (
        configure(auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}, model_type="evil"),
        "foreign code",
    ),
    "no causal model": (configure(model_type="vit"), "vit"),
    "broken config": (lambda f: (f / "config.json").write_text("{") and None, "config.json"),
    "torn weights": (tear, "model.safetensors"),
    "a weight missing": (drop_a_weight, "lack 1 of its weights"),
    "other sizes": (configure(hidden_size=128), "do not fit"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_model_says_why(bench: Bench, tmp_path: Path, name: str) -> None:
    spoil, words = BAD[name]
    folder = tmp_path / "model"
    shutil.copytree(bench.base, folder)
    spoil(folder)
    with pytest.raises(TunegateError, match=words) as caught:
        load_model(folder, bench.spec("x"), FP32, CPU)
    assert caught.value.code == "model_invalid"


def test_a_broken_tokenizer(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bench.base, folder)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(TunegateError, match="tokenizer"):
        load_tokenizer(folder)


@pytest.mark.parametrize("config", ["{", '{"model_type": "llama", "num_hidden_layers": "two"}'])
def test_a_broken_configuration_is_not_the_tokenizers_fault(
    bench: Bench, tmp_path: Path, config: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bench.base, folder)
    (folder / "config.json").write_text(config)
    with pytest.raises(TunegateError, match=r"config.json can't be read"):
        load_tokenizer(folder)


def test_four_bit_layers_keep_their_gradient_after_an_evaluation(bench: Bench) -> None:
    """bitsandbytes would repack them in eval mode on some processors; the products have no gradient then."""
    spec = bench.spec("x", quantization={"kind": "nf4", "compute_dtype": "bfloat16"})
    model: Any = load_model(bench.base, spec, choose_precision(spec, CPU), CPU)
    ids = torch.arange(8)[None]

    def gradient() -> torch.Tensor:
        model.train()
        embedded = model.model.embed_tokens(ids).detach().requires_grad_()
        model(inputs_embeds=embedded).logits.float().square().sum().backward()
        assert embedded.grad is not None
        return embedded.grad

    before = gradient()
    model.eval()
    with torch.no_grad():
        model(input_ids=ids)
    torch.testing.assert_close(gradient(), before)


def test_eight_bit_weights_keep_their_scales_under_an_adapter_that_reads_them(bench: Bench) -> None:
    spec = bench.spec("x", quantization={"kind": "int8"}, adapter={"options": {"use_dora": True}})
    ids = torch.arange(8)[None]
    with torch.no_grad():
        plain: Any = load_model(bench.base, spec, choose_precision(spec, CPU), CPU)
        expected = plain(ids).logits
        model: Any = load_model(bench.base, spec, choose_precision(spec, CPU), CPU)
        adapted, _ = make_trainable(model, spec)
        adapted.eval()(ids)
        found = adapted(ids).logits  # the second time, after the weights were read
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()


def test_odd_sizes_are_refused_for_four_bits(bench: Bench, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64, hidden_size=96, intermediate_size=160, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    spec = bench.spec("x", quantization={"kind": "nf4"})
    with pytest.raises(TunegateError, match="multiples of 64") as caught:
        load_model(tmp_path, spec, choose_precision(spec, CPU), CPU)
    assert caught.value.code == "config_invalid"


def test_fp16_without_a_gpu_is_bf16_and_says_so(bench: Bench) -> None:
    precision = choose_precision(bench.spec("x", precision="fp16"), CPU)
    assert precision.compute is torch.bfloat16
    assert "no GPU" in precision.notes[0]


def test_full_training_keeps_its_weights_in_fp32(bench: Bench) -> None:
    precision = choose_precision(
        bench.spec("x", method="full", adapter=None, precision="bf16"), CPU
    )
    assert (precision.weights, precision.compute) == (torch.float32, torch.bfloat16)
