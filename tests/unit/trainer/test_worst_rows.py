"""Rows that stay hard are named, by file and line, never by content."""

import json
import random

import pytest

from support.trainer_bench import Bench, rows
from tunegate.trainer.worst_rows import KEPT, WorstRows

PLANTED = (17, 48, 92, 133, 181)
"""Lines with a wrong answer."""


def test_the_early_losses_of_all_say_nothing_of_a_row() -> None:
    worst = WorstRows()
    for step in range(40):
        usual = 8.0 - step / 10
        losses = [usual + place / 100 for place in range(8)]
        if step == 30:
            losses[3] += 1.0  # 6.03 + 1 is less than every loss of the first steps
        worst.take(step, list(range(8 * step, 8 * step + 8)), losses)
    assert next(worst.worst(epoch_over=True)).example == 8 * 30 + 3


def test_bounded_and_of_the_last_epoch() -> None:
    worst = WorstRows()
    draw = random.Random(0)
    for _ in range(3):
        worst.next_epoch()
        for step in range(100):
            examples = list(range(10 * step, 10 * step + 10))
            worst.take(step, examples, [draw.random() for _ in examples])
    assert len(worst.now) == len(worst.before) == KEPT
    assert len(worst.recent) == 64
    seen = [one.example for one in worst.worst(epoch_over=True)]
    assert seen == [one.example for one in worst.now]
    mixed = list(worst.worst(epoch_over=False))
    assert len({one.example for one in mixed}) == len(mixed) == KEPT


def test_a_loss_that_is_no_number_is_passed_over() -> None:
    worst = WorstRows()
    worst.take(0, [1, 2], [float("nan"), 1.0])
    worst.take(1, [3], [float("inf")])
    assert [one.example for one in worst.worst(epoch_over=True)] == [2]


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, 3])
def test_planted_rows_are_found(bench: Bench, epochs: int) -> None:
    made = rows(200, 5)
    for line in PLANTED:
        answer = made[line - 1]["messages"][1]
        answer["content"] = "Banana seven under without canary."
    bench.data.write_text("".join(json.dumps(row) + "\n" for row in made))
    tuning = {"num_epochs": epochs, "held_out_fraction": 0.0}
    assert bench.run(bench.spec("planted", tuning=tuning)) == 0
    text = (bench.output("planted") / "worst_rows.jsonl").read_text()
    found = [json.loads(line) for line in text.splitlines()]
    assert {f"rows.jsonl:{line}" for line in PLANTED} <= {row["row"] for row in found[:10]}
    assert len(found) == KEPT
    assert found[0].keys() == {"row", "loss", "above", "tokens", "step"}
    card = (bench.output("planted") / "README.md").read_text()
    assert all(f"| rows.jsonl:{line} |" in card for line in PLANTED)
    notes = [event["text"] for event in bench.events("planted") if event["kind"] == "note"]
    assert any(note.startswith("rows with the highest loss") for note in notes)
    assert "Banana" not in text + card + "".join(notes)
