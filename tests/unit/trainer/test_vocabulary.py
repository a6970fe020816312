"""Tokenizers with more tokens than the model has rows for."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from support.trainer_bench import Bench
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.adapters import make_trainable
from tunegate.trainer.device import Device, Precision
from tunegate.trainer.model import load_model
from tunegate.trainer.vocabulary import grow_vocabulary, with_new_tokens

CPU, FP32 = Device(torch.device("cpu")), Precision(torch.float32, torch.float32)
NEW = 70
"""More than the rows that the model has to spare."""


@pytest.fixture(params=[False, True], ids=["own head", "tied head"])
def base(request: pytest.FixtureRequest, base: Path, tmp_path: Path) -> Path:
    """A base whose tokenizer was given tokens."""
    folder = tmp_path / "base"
    shutil.copytree(base, folder)
    if request.param:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
        weights = load_file(folder / "model.safetensors")
        del weights["lm_head.weight"]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<{number}>" for number in range(NEW)])
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.parametrize("options", [{}, {"modules_to_save": ["embed_tokens", "lm_head"]}, {"init_lora_weights": "pissa"}])  # fmt: skip
def test_new_rows_train_and_come_with_the_adapter(
    bench: Bench, tmp_path: Path, options: dict[str, Any]
) -> None:
    from tunegate.trainer.residual import give_back, taken_from_base

    spec = bench.spec("x", adapter={"dropout": 0.0, "rank": 4, "options": options})
    tokenizer = AutoTokenizer.from_pretrained(bench.base)
    torch.manual_seed(0)
    model: Any = load_model(bench.base, spec, FP32, CPU)
    before = model.get_input_embeddings().weight.shape[0]
    new = grow_vocabulary(model, tokenizer)
    assert (new.start, new.stop) == (before, len(tokenizer))
    trained: Any = make_trainable(model, spec, new)[0]
    taken = taken_from_base(trained)
    ids = torch.tensor([[3, 4, new.start, 5, new.stop - 1, 6]])
    optimizer = torch.optim.AdamW([p for p in trained.parameters() if p.requires_grad], lr=5e-3)
    losses: list[float] = []
    for _ in range(4):
        loss = trained(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    trained.save_pretrained(tmp_path / "result", save_embedding_layers=False)
    if taken:
        give_back(tmp_path / "result", taken)
    tokenizer.save_pretrained(tmp_path / "result")

    reloaded = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "result").eval()
    with torch.no_grad():
        expected = trained.eval()(input_ids=ids).logits
        found = reloaded(input_ids=ids).logits
    torch.testing.assert_close(found[..., ids[0]], expected[..., ids[0]], rtol=1e-4, atol=1e-4)


def test_a_whole_training(bench: Bench) -> None:
    rows = [
        {"prompt": f"what is <{number}>", "completion": f"<{(number + 1) % NEW}>"}
        for number in range(48)
    ]
    bench.data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, fields in {"lora": {}, "full": {"method": "full", "adapter": None}}.items():
        assert bench.run(bench.spec(name, **fields)) == 0, bench.last(name)
        notes = [event["text"] for event in bench.events(name) if event["kind"] == "note"]
        assert any("tokens that its tokenizer has beyond it" in note for note in notes)
    model = AutoModelForCausalLM.from_pretrained(bench.output("full"))
    assert len(AutoTokenizer.from_pretrained(bench.output("full"))) == model.config.vocab_size


def test_rows_that_were_asked_for_train_too(bench: Bench) -> None:
    model = load_model(bench.base, bench.spec("x"), FP32, CPU)
    plan = bench.spec("x", adapter={"options": {"trainable_token_indices": [2]}}).adapter
    assert plan is not None
    found = with_new_tokens(model, plan, range(7, 9)).options["trainable_token_indices"]
    assert found["embed_tokens"] == [2, 7, 8]


def test_other_adapters_can_not_learn_tokens(bench: Bench) -> None:
    model = load_model(bench.base, bench.spec("x"), FP32, CPU)
    spec = bench.spec("x", adapter={"peft_type": "IA3"})
    with pytest.raises(TunegateError, match="only LoRA and full") as caught:
        make_trainable(model, spec, range(7, 9))
    assert caught.value.code == "model_invalid"


def test_a_tokenizer_that_fits_changes_nothing(bench: Bench, base: Path) -> None:
    model = load_model(bench.base, bench.spec("x"), FP32, CPU)
    tokenizer = AutoTokenizer.from_pretrained(base)
    grow_vocabulary(model, tokenizer)
    assert not grow_vocabulary(model, tokenizer)
