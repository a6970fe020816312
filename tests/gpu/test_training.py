"""Whole trainings on a GPU, by optimizer, precision and method; one that runs ahead against one that does not."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from support.trainer_bench import Bench, rows, write_rows
from tunegate.trainer.loop import Loop
from tunegate.trainer.tiny import make_tiny_model

NF4 = {"kind": "nf4", "double_quant": True, "compute_dtype": "bfloat16"}
RUNS: dict[str, dict[str, Any]] = {
    "lora, bf16": {"precision": "bf16"},
    "lora, fp16 with a scaled loss": {"precision": "fp16"},
    "lora, fp32": {"precision": "fp32"},
    "qlora": {"method": "qlora", "precision": "bf16", "quantization": NF4},
    "full, bf16": {"method": "full", "adapter": None, "precision": "bf16"},
    "paged 8-bit": {"precision": "bf16", "tuning": {"optimizer": "paged_adamw_8bit"}},
    "checkpointing": {"precision": "bf16", "tuning": {"gradient_checkpointing": True}},
    "8-bit AdamW": {"precision": "bf16", "tuning": {"optimizer": "adamw_8bit"}},
    "8-bit Lion": {"precision": "bf16", "tuning": {"optimizer": "lion_8bit", "learning_rate": 1e-3}},
    "Adafactor": {"precision": "bf16", "tuning": {"optimizer": "adafactor"}},
    "Muon": {"precision": "bf16", "tuning": {"optimizer": "muon"}},
    "int8": {"precision": "bf16", "quantization": {"kind": "int8"}},
    "fp4, fp16": {"method": "qlora", "quantization": {"kind": "fp4", "compute_dtype": "float16"}},
    "DoRA": {"precision": "bf16", "adapter": {"rank": 8, "options": {"use_dora": True}}},
    "no dropout": {"precision": "bf16", "adapter": {"dropout": 0.0, "rank": 8}},
    "qlora, all that saves memory": {
        "method": "qlora", "quantization": NF4, "adapter": {"dropout": 0.0, "rank": 8},
        "tuning": {"optimizer": "paged_adamw_8bit", "gradient_checkpointing": True},
    },
    "full, all that saves memory": {
        "method": "full", "adapter": None, "precision": "bf16",
        "tuning": {"optimizer": "paged_adamw_8bit", "gradient_checkpointing": True},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_it_learns(bench: Bench, name: str) -> None:
    fields = dict(RUNS[name])
    tuning = {"num_epochs": 4, **fields.pop("tuning", {})}
    if fields.get("method") == "full":
        tuning["learning_rate"] = 1e-3
    assert bench.run(bench.spec("gpu", tuning=tuning, **fields)) == 0
    losses = losses_of(bench, "gpu")
    assert losses[-1] < losses[0] - 0.3


def test_running_ahead_changes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[float]] = []
    for ahead in (False, True):
        job = f"ahead-{ahead}"
        with monkeypatch.context() as patch:
            if not ahead:
                patch.setattr(Loop, "runs_ahead", property(lambda _: False))
            assert bench.run(bench.spec(job, precision="bf16", tuning={"save_steps": 3})) == 0
        told.append(losses_of(bench, job))
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("fields", "within"),
    [
        ({"precision": "fp32"}, 1e-3),
        ({"precision": "bf16"}, 2e-2),
        ({"precision": "bf16", "method": "full"}, 2e-2),
        ({"precision": "bf16", "method": "qlora", "quantization": NF4}, 2e-2),
    ],
    ids=["lora, fp32", "lora, bf16", "full, bf16", "qlora, bf16"],
)
def test_the_losses_are_those_of_a_cpu(bench: Bench, fields: dict[str, Any], within: float) -> None:
    adapter = None if fields.get("method") == "full" else {"dropout": 0.0, "rank": 8}
    settings = {"adapter": adapter, "tuning": {"num_epochs": 3, "learning_rate": 2e-3}, **fields}
    assert bench.run(bench.spec("here", **settings)) == 0
    job = bench.folder / "job.json"
    job.write_bytes(msgspec.json.encode(bench.spec("cpu", **settings)))
    argv = [sys.executable, "-m", "tunegate.trainer", str(job)]
    argv += ["--work-dir", str(bench.folder / "work" / "cpu")]
    subprocess.run(argv, check=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
    here = losses_of(bench, "here")
    assert here == pytest.approx(losses_of(bench, "cpu"), rel=within)
    assert here[-1] < here[0] - 0.3


def test_passes_that_the_memory_does_not_hold_become_smaller(tmp_path: Path) -> None:
    corpus = [message["content"] for row in rows(200) for message in row["messages"]]
    make_tiny_model(tmp_path / "base", corpus=corpus, hidden=512, layers=8, vocab=400)
    bench = Bench(tmp_path / "base", tmp_path)
    write_rows(bench.data, 512)
    fields: dict[str, Any] = {
        "precision": "bf16",
        "adapter": {"dropout": 0.0, "rank": 8},
        "tuning": {"batch_size": 256, "micro_batch_size": 256, "held_out_fraction": 0.0},
    }
    assert bench.run(bench.spec("free", **fields)) == 0
    _, there = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(0.6 * torch.cuda.max_memory_allocated() / there)
    try:
        assert bench.run(bench.spec("narrow", **fields)) == 0
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    notes = [event["text"] for event in bench.events("narrow") if event["kind"] == "note"]
    assert any("the memory did not suffice" in note for note in notes)
    assert losses_of(bench, "narrow") == pytest.approx(losses_of(bench, "free"), rel=1e-2)


@pytest.mark.parametrize("optimizer", ["adamw", "paged_adamw_8bit"])
def test_it_goes_on_from_a_checkpoint(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    """Kernels add in any order, so the weights are not the same to the bit."""
    settings = {"precision": "bf16", "tuning": {"optimizer": optimizer, "num_epochs": 2}}
    assert bench.run(bench.spec("whole", **settings)) == 0
    train_step = Loop._train_step

    def and_stop(self: Loop) -> None:
        train_step(self)
        if self.state.step == 5:
            self.stop.request("signal")

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_train_step", and_stop)
        assert bench.run(bench.spec("broken", **settings), "first") == 77
    assert bench.run(bench.spec("broken", **settings), "second") == 0
    record = json.loads((bench.output("broken") / "training.json").read_text())
    assert record["resumed_at"] in ([5], [6])  # one more where the device was a step ahead
    whole, broken = losses_of(bench, "whole"), losses_of(bench, "broken")
    assert broken == pytest.approx(whole[-len(broken) :], rel=2e-2)


def test_preferences(bench: Bench) -> None:
    data = bench.folder / "pairs.jsonl"
    pairs = [
        {
            "prompt": row["messages"][0]["content"],
            "chosen": row["messages"][1]["content"],
            "rejected": "I will not say.",
        }
        for row in rows(64)
    ]
    data.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    spec = bench.spec("dpo", datasets=[{"source": str(data)}], precision="bf16")
    assert bench.run(spec) == 0
    losses = losses_of(bench, "dpo")
    assert losses[-1] < losses[0] - 0.2


def losses_of(bench: Bench, job: str) -> list[float]:
    metrics = [event["values"] for event in bench.events(job) if event["kind"] == "metrics"]
    return [values["loss"] for values in metrics if "loss" in values]
