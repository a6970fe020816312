"""Whole trainings on a GPU, by optimizer, precision and method; one that runs ahead against one that does not."""

from typing import Any

import pytest

from support.trainer_bench import Bench
from tunegate.trainer.loop import Loop

NF4 = {"kind": "nf4", "double_quant": True, "compute_dtype": "bfloat16"}
RUNS: dict[str, dict[str, Any]] = {
    "lora, bf16": {"precision": "bf16"},
    "lora, fp16 with a scaled loss": {"precision": "fp16"},
    "lora, fp32": {"precision": "fp32"},
    "qlora": {"method": "qlora", "precision": "bf16", "quantization": NF4},
    "full, bf16": {"method": "full", "adapter": None, "precision": "bf16"},
    "paged 8-bit": {"precision": "bf16", "tuning": {"optimizer": "paged_adamw_8bit"}},
    "checkpointing": {"precision": "bf16", "tuning": {"gradient_checkpointing": True}},
}


@pytest.mark.parametrize("name", RUNS)
def test_it_learns(bench: Bench, name: str) -> None:
    fields = dict(RUNS[name])
    tuning = {"num_epochs": 4, **fields.pop("tuning", {})}
    if fields.get("method") == "full":
        tuning["learning_rate"] = 1e-3
    assert bench.run(bench.spec("gpu", tuning=tuning, **fields)) == 0
    metrics = [event["values"] for event in bench.events("gpu") if event["kind"] == "metrics"]
    losses = [values["loss"] for values in metrics if "loss" in values]
    assert losses[-1] < losses[0] - 0.3


def test_running_ahead_changes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    for ahead in (False, True):
        job = f"ahead-{ahead}"
        with monkeypatch.context() as patch:
            if not ahead:
                patch.setattr(Loop, "runs_ahead", property(lambda _: False))
            assert bench.run(bench.spec(job, precision="bf16", tuning={"save_steps": 3})) == 0
        metrics = [event["values"] for event in bench.events(job) if event["kind"] == "metrics"]
        told.append(str([values["loss"] for values in metrics if "loss" in values]))
    assert told[0] == told[1]
