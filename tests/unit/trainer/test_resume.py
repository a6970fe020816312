"""A stopped and resumed training is the unbroken one, bit for bit."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from support.trainer_bench import Bench
from tunegate.trainer import loop as loops
from tunegate.trainer.loop import Loop


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Ask for a stop when a step is finished, as a signal would."""
    train_step = Loop._train_step

    def and_stop(self: Loop) -> None:
        train_step(self)
        if self.state.step == step:
            self.stop.request("signal")

    monkeypatch.setattr(loops.Loop, "_train_step", and_stop)


def weights(bench: Bench, job_id: str) -> bytes:
    return next(bench.output(job_id).glob("*model.safetensors")).read_bytes()


def interrupted(bench: Bench, monkeypatch: pytest.MonkeyPatch, step: int, **fields: Any) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, step)
        assert bench.run(bench.spec("broken", **fields), "first") == 77
    last = bench.last("broken")
    assert (last["kind"], last["checkpoint_step"]) == ("stopped", step)
    assert not (bench.output("broken") / "manifest.json").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"method": "full", "adapter": None},
        {"tuning": {"optimizer": "adamw_8bit"}},
        {"tuning": {"early_stopping_patience": 9, "eval_steps": 2, "num_epochs": 2}},
        {"tuning": {"neftune_noise_alpha": 5.0, "loraplus_lr_ratio": 4.0, "optimizer": "muon"}},
        {"method": "peft", "adapter": {"options": {"init_lora_weights": "pissa_niter_2"}}},
        {
            "tuning": {"optimizer": "lion_8bit", "learning_rate": 5e-4},
            "method": "full",
            "adapter": None,
        },
    ],
    ids=[
        "lora with dropout",
        "full",
        "8-bit optimizer",
        "early stopping",
        "NEFTune, LoRA+, Muon",
        "PiSSA by chance",
        "lion",
    ],
)
def test_resumed_equals_unbroken(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    assert bench.run(bench.spec("unbroken", **fields)) == 0
    interrupted(bench, monkeypatch, 3, **fields)
    assert bench.run(bench.spec("broken", **fields), "second") == 0
    assert weights(bench, "broken") == weights(bench, "unbroken")
    record = json.loads((bench.output("broken") / "training.json").read_text())
    assert record["resumed_at"] == [3]
    one, other = bench.metrics("unbroken"), bench.metrics("broken")
    assert [one[k] for k in ("first_eval_loss", "eval_loss", "tokens")] == [
        other[k] for k in ("first_eval_loss", "eval_loss", "tokens")
    ]


def newest(bench: Bench) -> Path:
    return max((bench.output("broken") / "checkpoints").glob("*/complete.json")).parent


def tear(folder: Path) -> None:
    file = folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def change(folder: Path) -> None:
    file = folder / "optimizer.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def unmark(folder: Path) -> None:
    (folder / "complete.json").unlink()


@pytest.mark.parametrize("spoil", [tear, change, unmark])
def test_a_torn_checkpoint_is_passed_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, spoil: Any
) -> None:
    assert bench.run(bench.spec("unbroken")) == 0
    for step in (3, 5):
        interrupted(bench, monkeypatch, step)
    assert newest(bench).name == "step-000005"
    spoil(newest(bench))
    assert bench.run(bench.spec("broken"), "third") == 0
    record = json.loads((bench.output("broken") / "training.json").read_text())
    assert record["resumed_at"] == [3]
    assert weights(bench, "broken") == weights(bench, "unbroken")


def test_two_checkpoints_are_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (2, 4, 6):
        interrupted(bench, monkeypatch, step)
    markers = (bench.output("broken") / "checkpoints").glob("*/complete.json")
    assert sorted(marker.parent.name for marker in markers) == ["step-000004", "step-000006"]


def test_a_checkpoint_of_other_settings_is_not_taken(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(bench, monkeypatch, 3)
    assert bench.run(bench.spec("broken", tuning={"learning_rate": 1e-3}), "second") == 0
    record = json.loads((bench.output("broken") / "training.json").read_text())
    assert record["resumed_at"] == []


def test_superseded_publishes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        train_step = Loop._train_step

        def and_lose(self: Loop) -> None:
            train_step(self)
            self.stop.request("superseded")

        patch.setattr(loops.Loop, "_train_step", and_lose)
        assert bench.run(bench.spec("lost")) == 78
    shutil.rmtree(bench.output("lost"), ignore_errors=True)
    assert bench.last("lost")["kind"] not in {"stopped", "failed", "succeeded"}


def test_the_deadline_leaves_a_checkpoint(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        train_step = Loop._train_step

        def late(self: Loop) -> None:
            train_step(self)
            if self.state.step == 2:
                self.stop.request("deadline")

        patch.setattr(loops.Loop, "_train_step", late)
        assert bench.run(bench.spec("broken")) == 77
    last = bench.last("broken")
    assert (last["kind"], last["code"]) == ("failed", "deadline_exceeded")
    assert last["detail"] == "The time of the job is used up; checkpoint of step 2 is kept."
