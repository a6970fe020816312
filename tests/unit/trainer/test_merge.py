"""The merged model is PEFT's own, in little memory; what can't be merged says why."""

import copy
import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from tunegate.trainer.merge import NotMergeable, merge_adapter

LINEAR = ["q_proj", "v_proj", "up_proj", "down_proj"]
KINDS: dict[str, Any] = {
    "lora": peft.LoraConfig(r=4, target_modules=LINEAR),
    "patterns": peft.LoraConfig(
        r=4,
        target_modules=LINEAR,
        rank_pattern={"q_proj": 2},
        alpha_pattern={"layers.1.mlp.up_proj": 3},
    ),
    "rslora": peft.LoraConfig(r=4, lora_alpha=16, target_modules=LINEAR, use_rslora=True),
    "dora": peft.LoraConfig(r=4, target_modules=LINEAR, use_dora=True),
    "pissa": peft.LoraConfig(r=4, target_modules=LINEAR, init_lora_weights="pissa"),
    "olora": peft.LoraConfig(r=4, target_modules=LINEAR, init_lora_weights="olora"),
    "one block": peft.LoraConfig(
        r=4, target_modules=LINEAR, layers_to_transform=[1], layers_pattern="layers"
    ),
    "whole head": peft.LoraConfig(r=4, target_modules=LINEAR, modules_to_save=["lm_head"]),
    "embeddings": peft.LoraConfig(r=4, target_modules=["embed_tokens", "lm_head", "q_proj"]),
    "some tokens": peft.LoraConfig(r=4, target_modules=LINEAR, trainable_token_indices=[3, 5]),
    "biases": peft.LoraConfig(r=4, target_modules=LINEAR, bias="all"),
    "ia3": peft.IA3Config(target_modules=LINEAR, feedforward_modules=["down_proj"]),
    "loha": peft.LoHaConfig(r=4, target_modules=LINEAR),
    "lokr": peft.LoKrConfig(r=4, target_modules=LINEAR),
    "oft": peft.OFTConfig(oft_block_size=8, target_modules=LINEAR),
}
REFUSED: dict[str, tuple[Any, str]] = {
    "prompt": (peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4), "before the prompt"),
    "vera": (peft.VeraConfig(r=4, target_modules=["q_proj"]), "belongs to no single layer"),
}  # fmt: skip


def make_base(folder: Path, **config: Any) -> Path:
    """Llama with biases and an output layer of its own, in several files."""
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 128, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "attention_bias": True,
        "tie_word_embeddings": False,
    } | config  # fmt: skip
    model = LlamaForCausalLM(LlamaConfig(**sizes))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    model.save_pretrained(folder, max_shard_size="40KB")
    return folder


def make_adapter(base: Path, folder: Path, config: Any) -> Path:
    """As if trained: every tensor of the adapter stirred."""
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), copy.deepcopy(config))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    model.save_pretrained(folder, save_embedding_layers=False)
    return folder


def load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.mark.parametrize("name", KINDS)
def test_merged_as_peft_merges(tmp_path: Path, name: str) -> None:
    base = make_base(tmp_path / "base")
    adapter = make_adapter(base, tmp_path / "adapter", KINDS[name])
    merge_adapter(adapter, base, tmp_path / "merged", largest_bytes=50_000)
    merged = load(tmp_path / "merged").state_dict()
    expected = peft.PeftModel.from_pretrained(load(base), str(adapter)).merge_and_unload()
    changed = 0
    for key, tensor in expected.state_dict().items():
        torch.testing.assert_close(merged[key], tensor, rtol=1e-5, atol=1e-6)
        changed += not torch.equal(tensor, load(base).state_dict()[key])
    assert changed
    index = json.loads((tmp_path / "merged" / "model.safetensors.index.json").read_text())
    files = {file.name: load_file(file) for file in (tmp_path / "merged").glob("*.safetensors")}
    assert set(index["weight_map"].values()) == set(files)
    assert all(name in files[file] for name, file in index["weight_map"].items())


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_merged_form(tmp_path: Path, name: str) -> None:
    config, words = REFUSED[name]
    base = make_base(tmp_path / "base")
    adapter = make_adapter(base, tmp_path / "adapter", config)
    with pytest.raises(NotMergeable, match=words):
        merge_adapter(adapter, base, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings")
def test_an_adapter_on_tied_embeddings(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", tie_word_embeddings=True)
    config = peft.LoraConfig(r=4, target_modules=["embed_tokens", "q_proj"])
    adapter = make_adapter(base, tmp_path / "adapter", config)
    with pytest.raises(NotMergeable, match="twice"):
        merge_adapter(adapter, base, tmp_path / "merged")


def test_files_that_leave_the_first_part_of_names_out(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

    config = GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=128, n_positions=64)
    whole = GPT2LMHeadModel(config)
    GPT2Model.save_pretrained(whole.transformer, tmp_path / "base")
    chosen = peft.LoraConfig(r=4, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)
    adapter = make_adapter(tmp_path / "base", tmp_path / "adapter", chosen)
    merge_adapter(adapter, tmp_path / "base", tmp_path / "merged")
    expected = peft.PeftModel.from_pretrained(
        load(tmp_path / "base"), str(adapter)
    ).merge_and_unload()
    merged = load(tmp_path / "merged").state_dict()
    for key, tensor in expected.state_dict().items():
        torch.testing.assert_close(merged[key], tensor, rtol=1e-5, atol=1e-6)


def test_half_precision_is_rounded_once(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", dtype="bfloat16")
    load(base).to(torch.bfloat16).save_pretrained(tmp_path / "half")
    adapter = make_adapter(tmp_path / "half", tmp_path / "adapter", KINDS["lora"])
    merge_adapter(adapter, tmp_path / "half", tmp_path / "merged")
    exact = AutoModelForCausalLM.from_pretrained(tmp_path / "half", dtype=torch.float32)
    exact = peft.PeftModel.from_pretrained(exact, str(adapter)).merge_and_unload().state_dict()
    merged = load_file(tmp_path / "merged" / "model.safetensors")
    assert {tensor.dtype for tensor in merged.values()} == {torch.bfloat16}
    for key, tensor in merged.items():
        assert torch.equal(tensor, exact[key].to(torch.bfloat16))


def peak_above_start_bytes(work: Callable[[], None]) -> int:
    """The most memory that `work` added to this process, as the kernel counts it."""

    def status(field: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))

    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    work()
    return status("VmHWM") - before


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="counts memory as Linux does"
)
def test_two_files_worth_of_memory(tmp_path: Path) -> None:
    shard = 16 * 10**6
    sizes = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 6}
    base = make_base(tmp_path / "base", vocab_size=512, **sizes)
    load(base).save_pretrained(tmp_path / "large", max_shard_size=shard)
    files = list((tmp_path / "large").glob("*.safetensors"))
    assert len(files) >= 6
    adapter = make_adapter(base, tmp_path / "adapter", KINDS["lora"])
    merge_adapter(adapter, tmp_path / "large", tmp_path / "warm", shard)
    gc.collect()
    peak = peak_above_start_bytes(
        lambda: merge_adapter(adapter, tmp_path / "large", tmp_path / "merged", shard)
    )
    assert peak <= 2 * shard
