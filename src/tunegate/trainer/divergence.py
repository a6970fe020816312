"""`LossWatch`: tells a loss that has run away from one that only jumps."""

import statistics
from dataclasses import dataclass, field
from typing import Literal

WINDOW, FEWEST = 32, 8
"""Losses that say what is usual: the last ones that were not high, and how few are enough."""
TIMES, NATS = 3.0, 2.0
"""A loss is high when it is more than this many times the usual one, and at least so much above it."""
NOTED, FATAL = 5, 30
"""High steps in a row after which the client hears of it, and after which the training fails."""
MOST_NOTES = 3

Verdict = Literal["fine", "spike", "diverged"]


@dataclass(slots=True)
class LossWatch:
    """Part of a training's state, so that a resumed one judges alike."""

    recent: list[float] = field(default_factory=list[float])
    high: int = 0
    """High losses in a row, up to now."""
    notes: int = 0

    @property
    def usual(self) -> float:
        """Median of the recent losses that were not high; infinite while there are too few."""
        return statistics.median(self.recent) if len(self.recent) >= FEWEST else float("inf")

    def take(self, loss: float) -> Verdict:
        """Judge the finite loss of one more step."""
        usual = self.usual
        if loss <= max(TIMES * usual, usual + NATS):
            self.high = 0
            self.recent = [*self.recent, loss][-WINDOW:]
            return "fine"
        self.high += 1
        if self.high >= FATAL:
            return "diverged"
        if self.high != NOTED or self.notes == MOST_NOTES:
            return "fine"
        self.notes += 1
        return "spike"
