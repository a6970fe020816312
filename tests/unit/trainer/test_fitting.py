"""Forward passes that fit the memory: foretold, and after the memory did not suffice."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from support.trainer_bench import Bench
from tunegate.contract.training import TuningPlan
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.memory import LargestPass, MemoryNeed
from tunegate.trainer import fitting, free_memory
from tunegate.trainer.data import BatchPlan, PackedBatch, batch_plan
from tunegate.trainer.data.tokens import ROW, TokenStore
from tunegate.trainer.objective import Likelihood, Score
from tunegate.trainer.reporter import Reporter
from tunegate.trainer.state import TrainState

STILL: dict[str, Any] = {"adapter": {"dropout": 0.0}}


def plan(lengths: list[int], **tuning: Any) -> BatchPlan:
    table = np.zeros(len(lengths), ROW)
    table["length"] = table["targets"] = lengths
    table["start"] = np.cumsum(lengths) - lengths
    total = sum(lengths)
    store = TokenStore(np.zeros(total, np.int32), np.ones(total, np.bool_), table)
    return batch_plan(store, TuningPlan(batch_size=8, num_epochs=1, **tuning))


def need(largest: LargestPass) -> MemoryNeed:
    """A byte per token, beside 1000 that stand."""
    return MemoryNeed(
        base=1000, weights=0, adapters=0, gradients=0, optimizer=0, logits=0, slack=0,
        activations=largest.tokens, total=1000 + largest.tokens,
    )  # fmt: skip


class TestEased:
    """After attempts that were killed for their memory."""

    @pytest.mark.parametrize(("kills", "tokens"), [(0, 2048), (1, 1024), (2, 512), (3, 300)])
    def test_each_halves_the_passes_down_to_the_longest_example(
        self, kills: int, tokens: int
    ) -> None:
        notes: list[str] = []
        reporter = cast("Reporter", SimpleNamespace(note=notes.append))
        found = fitting.eased(plan([100] * 31 + [300], max_sequence_length=400), kills, reporter)
        assert found.micro_tokens == tokens
        assert len(notes) == (kills > 0)


class TestForetold:
    def test_what_fits_stays(self) -> None:
        assert fitting.fit(plan([100] * 32, max_sequence_length=400), need, 10_000) == 2048

    def test_the_largest_that_fits_is_found(self) -> None:
        wide = plan([100] * 32, max_sequence_length=800)
        assert 300 <= fitting.fit(wide, need, 300) < 400
        assert 500 <= fitting.fit(wide, need, 599) < 600

    def test_not_less_than_the_longest_example(self) -> None:
        assert fitting.fit(plan([100] * 31 + [290], max_sequence_length=800), need, 300) >= 290

    def test_a_little_too_much_is_tried_all_the_same(self) -> None:
        assert fitting.fit(plan([100] * 31 + [290], max_sequence_length=800), need, 250) == 290

    def test_what_can_not_fit_is_refused_with_advice(self) -> None:
        with pytest.raises(TunegateError, match="gradient_checkpointing") as caught:
            fitting.fit(plan([100] * 31 + [290], max_sequence_length=800), need, 200)
        assert caught.value.code == "out_of_memory"

    def test_without_packing_a_pass_is_one_example(self) -> None:
        single = plan([100] * 32, max_sequence_length=800, packing=False)
        assert fitting.fit(single, need, 120) == 2048
        with pytest.raises(TunegateError):
            fitting.fit(single, need, 20)


def planted(monkeypatch: pytest.MonkeyPatch, holds: int) -> list[int]:
    """A device that holds passes of so many tokens; the tokens of those that were too large."""
    score, refused = Likelihood.score, list[int]()

    def limited(self: Likelihood, batch: PackedBatch) -> Score:
        found = score(self, batch)
        if torch.is_grad_enabled() and batch.num_tokens > holds:
            refused.append(batch.num_tokens)
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return found

    monkeypatch.setattr(Likelihood, "score", limited)
    return refused


def adapter(bench: Bench, job_id: str) -> dict[str, Tensor]:
    return load_file(bench.output(job_id) / "adapter_model.safetensors")


def notes(bench: Bench, job_id: str) -> list[str]:
    return [event["text"] for event in bench.events(job_id) if event["kind"] == "note"]


def test_smaller_passes_are_the_same_training(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sgd = {"optimizer": "sgd", "learning_rate": 0.5, "micro_batch_size": 8}
    assert bench.run(bench.spec("whole", **STILL, tuning=sgd)) == 0
    refused = planted(monkeypatch, holds=150)
    assert bench.run(bench.spec("halved", **STILL, tuning=sgd)) == 0
    assert refused, "the plant bore no fruit"
    said = [note for note in notes(bench, "halved") if "did not suffice" in note]
    assert len(said) == len(refused)
    assert said[0].startswith("step 1:")
    assert f"at most {refused[0] // 2} tokens from here on, in place of 1024" in said[0]
    assert bench.metrics("halved")["loss"] == pytest.approx(
        bench.metrics("whole")["loss"], rel=1e-5
    )
    whole = adapter(bench, "whole")
    for name, tensor in adapter(bench, "halved").items():
        torch.testing.assert_close(tensor, whole[name], rtol=1e-4, atol=1e-6)


def test_nothing_of_the_failed_try_is_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was halved in its first step is bit for bit the one that had small passes from the start."""
    with monkeypatch.context() as here:
        refused = planted(here, holds=150)
        assert bench.run(bench.spec("halved")) == 0
    monkeypatch.setattr(fitting, "fit", lambda *_: refused[-1] // 2)
    assert bench.run(bench.spec("small")) == 0
    assert any("are not foreseen to fit" in note for note in notes(bench, "small"))
    small = adapter(bench, "small")
    assert all(torch.equal(t, small[name]) for name, t in adapter(bench, "halved").items())


def test_one_example_too_large_ends_the_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, holds=10)
    assert bench.run(bench.spec("hopeless")) == 74
    last = bench.last("hopeless")
    assert (last["kind"], last["code"]) == ("failed", "out_of_memory")
    assert "one example at a time, seen at step 1" in last["detail"]


def test_the_size_is_part_of_a_checkpoint() -> None:
    state = TrainState(micro_tokens=77)
    assert msgspec.json.decode(msgspec.json.encode(state), type=TrainState).micro_tokens == 77


class TestFree:
    def group(self, root: Path, memory: str, files: dict[str, str]) -> None:
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/meminfo").write_text("MemTotal: 99 kB\nMemAvailable: 1000 kB\n")
        (root / "proc/self/cgroup").write_text(memory)
        for name, content in files.items():
            path = root / "sys/fs/cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    def free(self, root: Path) -> int:
        return min(free_memory._machine(root))  # pyright: ignore[reportPrivateUsage]

    def test_a_group_of_version_2(self, tmp_path: Path) -> None:
        files = {
            "pod/run/memory.max": "max", "pod/run/memory.current": "5", "pod/run/memory.stat": "",
            "pod/memory.max": "9000", "pod/memory.current": "5000",
            "pod/memory.stat": "anon 4000\nactive_file 300\ninactive_file 200\n",
        }  # fmt: skip
        self.group(tmp_path, "0::/pod/run\n", files)
        assert self.free(tmp_path) == 4500

    def test_a_group_of_version_1_seen_from_inside(self, tmp_path: Path) -> None:
        top = {"limit_in_bytes": "700", "usage_in_bytes": "600", "stat": "total_inactive_file 50\n"}
        files = {f"memory/memory.{name}": content for name, content in top.items()}
        self.group(tmp_path, "4:cpu,memory:/docker/abc\n", files)
        assert self.free(tmp_path) == 150

    def test_without_limits_the_machine_is_the_limit(self, tmp_path: Path) -> None:
        files = {"memory/memory.limit_in_bytes": "9223372036854771712"}
        self.group(tmp_path, "4:memory:/\n", files)
        assert self.free(tmp_path) == 1_024_000
