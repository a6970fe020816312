"""`WorstRows`: the examples that the model does not come to terms with, the user's first hint at bad data."""

import heapq
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tunegate.contract.base import Wire
from tunegate.trainer.data import TokenStore

KEPT = 100
NEIGHBOURS = 64
"""Examples whose median loss a new one is measured against; early losses are high for all, which says nothing."""


class Seen(Wire):
    """A loss of one example (per target token, or of a pair), and how far it was above the usual one of its time."""

    example: int
    loss: float
    above: float
    step: int


class WorstRow(Wire):
    """A line of worst_rows.jsonl. `row` is FILE:LINE, `tokens` counts the example's targets; never its content."""

    row: str
    loss: float
    above: float
    tokens: int
    step: int


@dataclass(slots=True)
class WorstRows:
    """Bounded: the worst of this epoch and of the one before. Part of a training's state."""

    now: list[Seen] = field(default_factory=list[Seen])
    before: list[Seen] = field(default_factory=list[Seen])
    recent: list[float] = field(default_factory=list[float])

    def take(self, step: int, examples: Sequence[int], losses: Sequence[float]) -> None:
        """The losses of one step's examples."""
        pairs = [pair for pair in zip(examples, losses, strict=True) if math.isfinite(pair[1])]
        if not pairs:
            return
        fresh = [loss for _, loss in pairs]
        self.recent = [*self.recent, *fresh][-max(NEIGHBOURS, len(fresh)) :]
        usual = statistics.median(self.recent)
        seen = [Seen(example=e, loss=x, above=x - usual, step=step) for e, x in pairs]
        self.now = heapq.nlargest(KEPT, [*self.now, *seen], key=lambda one: one.above)

    def next_epoch(self) -> None:
        """All examples come again."""
        self.before, self.now = self.now, []

    def worst(self, *, epoch_over: bool) -> Iterator[Seen]:
        """The worst first, each example once; those of an epoch that is not over are filled up from the one before."""
        seen = self.now if epoch_over else [*self.now, *self.before]
        newest = {one.example: one for one in sorted(seen, key=lambda one: one.step)}
        return iter(heapq.nlargest(KEPT, newest.values(), key=lambda one: one.above))


def named(seen: Iterator[Seen], store: TokenStore) -> list[WorstRow]:
    """The rows that the examples came from."""
    return [
        WorstRow(
            row=store.where(one.example),
            loss=round(one.loss, 4),
            above=round(one.above, 4),
            tokens=int(store.rows["targets"][one.example]),
            step=one.step,
        )
        for one in seen
    ]


def write_worst(path: Path, rows: Sequence[WorstRow]) -> None:
    """One JSON object a line, the worst first."""
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


def hint(rows: Sequence[WorstRow]) -> str:
    """The first three, in a sentence."""
    first = ", ".join(f"{row.row} (loss {row.loss:.2f})" for row in rows[:3])
    return f"rows with the highest loss in the last epoch, worth a look: {first}"
