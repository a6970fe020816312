"""A loop that launches the next step before it reads the last one gives what a loop gives that does not."""

import pytest

from support.trainer_bench import Bench
from tunegate.trainer.data import PackedBatch
from tunegate.trainer.loop import Loop
from tunegate.trainer.objective import Likelihood, Score

TUNING = {"num_epochs": 2, "eval_steps": 5, "save_steps": 3, "logging_steps": 1}


def adapter(bench: Bench, job: str) -> bytes:
    found = bench.output(job).rglob("adapter_model.safetensors")
    (file,) = [path for path in found if "checkpoints" not in path.parts]
    return file.read_bytes()


def told(bench: Bench, job: str) -> list[tuple[int, float]]:
    """Losses by step."""
    return [
        (event["step"], event["values"]["loss"])
        for event in bench.events(job)
        if event["kind"] == "metrics" and "loss" in event["values"]
    ]


@pytest.mark.parametrize("broken", [False, True])
def test_the_result_is_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    """Also where a step's loss is no number: no update is made then."""
    score = Likelihood.score
    skipped: list[int] = []

    def scored(self: Likelihood, batch: PackedBatch) -> Score:
        found = score(self, batch)
        training = self.forward.model.training
        if not (broken and training and 4 in batch.example_ids and not skipped):
            return found
        skipped.append(1)
        return found._replace(losses=found.losses * float("nan"))

    for ahead in (False, True):
        skipped.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Likelihood, "score", scored)
            patch.setattr(Loop, "runs_ahead", property(lambda _, ahead=ahead: ahead))
            assert bench.run(bench.spec(f"ahead-{ahead}", tuning=TUNING)) == 0
        assert bool(skipped) is broken
    assert adapter(bench, "ahead-True") == adapter(bench, "ahead-False")
    assert len(told(bench, "ahead-True")) == 14 - broken
    assert str(told(bench, "ahead-True")) == str(told(bench, "ahead-False"))
