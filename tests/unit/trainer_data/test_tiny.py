"""The maker of tiny models gives what transformers loads and what can learn."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tunegate.trainer.tiny import make_tiny_model

CORPUS = ["Which river is long? The Nile is long.", "größe 日本"] * 10


def make(folder: Path, **sizes: int) -> Path:
    make_tiny_model(folder, corpus=CORPUS, **{"hidden": 64, "layers": 2, "vocab": 300, **sizes})
    return folder


def test_it_loads_with_transformers(tmp_path: Path) -> None:
    folder = make(tmp_path / "m")
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert all(
        size % 64 == 0 for weight in model.parameters() for size in weight.shape if size > 64
    )
    assert model.config.vocab_size >= len(tokenizer)
    assert (
        model.config.eos_token_id == model.generation_config.eos_token_id == tokenizer.eos_token_id
    )
    assert (
        tokenizer.convert_tokens_to_ids("<|im_end|>")
        == tokenizer.eos_token_id
        != tokenizer.pad_token_id
    )
    assert tokenizer.decode(tokenizer.encode("größe 日本 <new>")) == "größe 日本 <new>"
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    found = tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
    counted = [i for i, m in zip(found["input_ids"], found["assistant_masks"], strict=True) if m]
    assert tokenizer.decode(counted) == "ho<|im_end|>"


def test_the_seed_decides_the_weights_and_nothing_else_is_disturbed(tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    files = [
        make(tmp_path / name, seed=seed) / "model.safetensors"
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert torch.rand(1) == expected
    first, again, other = (file.read_bytes() for file in files)
    assert first == again != other


def test_sizes_that_kernels_refuse_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiple of 64"):
        make(tmp_path, hidden=96)
