"""A loss that jumps, one that runs away, and one that is merely uneven."""

import math
import random

import pytest

from support.trainer_bench import Bench
from tunegate.sdk.errors import CATALOGUE
from tunegate.trainer.divergence import FATAL, MOST_NOTES, NOTED, LossWatch, Verdict
from tunegate.trainer.objective import Means, Scores


def verdicts(losses: list[float]) -> list[Verdict]:
    watch = LossWatch()
    return [watch.take(loss) for loss in losses]


def test_a_loss_that_has_run_away() -> None:
    found = verdicts([1.0] * 20 + [9.0] * FATAL)
    assert found.index("spike") == 20 + NOTED - 1
    assert found.index("diverged") == 20 + FATAL - 1
    assert found.count("spike") == 1


@pytest.mark.parametrize(
    "losses",
    [
        [1.0] * 20 + [9.0] * (NOTED - 1) + [1.0] * 20,
        [0.01] * 20 + [1.5] * 60,
        [3.0] * 20 + [8.9] * 60,
        [10.0 * math.exp(-step / 20) for step in range(100)],
        [0.5] * 3 + [50.0] * 60,
    ],
    ids=["a jump", "less than 2 nats", "less than 3 times", "falling", "too few to judge"],
)
def test_no_reason_to_worry(losses: list[float]) -> None:
    assert set(verdicts(losses)) == {"fine"}


def test_notes_are_few_and_uneven_losses_do_not_fail() -> None:
    found = verdicts(([1.0] * 10 + [9.0] * NOTED) * 20)
    assert found.count("spike") == MOST_NOTES
    draw = random.Random(0)
    assert "diverged" not in verdicts([draw.choice([0.2, 4.0]) for _ in range(20_000)])


def test_the_job_fails_with_a_sentence(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Scores.read

    def worse(self: Scores) -> Means:
        counted.append(1)
        return read(self)._replace(loss=1.0 if len(counted) < 12 else 9.5)

    counted: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(Scores, "read", worse)
        tuning = {"num_epochs": 9, "held_out_fraction": 0.0}
        code = bench.run(bench.spec("away", tuning=tuning))
    assert code == CATALOGUE["diverged"].exit_code
    last = bench.last("away")
    assert (last["kind"], last["code"]) == ("failed", "diverged")
    assert "rose from about 1 to 9.5" in last["detail"]
    notes = [event["text"] for event in bench.events("away") if event["kind"] == "note"]
    assert any("may be diverging" in note for note in notes)
    assert not (bench.output("away") / "manifest.json").exists()
