"""`TrainState`: how far a training is; with the weights and the optimizer it is all that a resumed run needs."""

import math
from dataclasses import dataclass, field

from tunegate.trainer.divergence import LossWatch
from tunegate.trainer.worst_rows import WorstRows

MOST_POINTS = 1000


@dataclass(slots=True)
class TrainState:
    """Counts are of finished steps. Random draws need no state: each step seeds them from (seed, step)."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    skipped: int = 0
    """Steps without an update in a row, because a gradient was not finite."""
    last_loss: float | None = None
    first_loss: float | None = None
    eval_step: int | None = None
    first_eval_loss: float | None = None
    last_eval_loss: float | None = None
    best_eval_loss: float | None = None
    best_step: int | None = None
    evals_without_gain: int = 0
    loss_scale: float | None = None
    watch: LossWatch = field(default_factory=LossWatch)
    worst: WorstRows = field(default_factory=WorstRows)
    eval_values: dict[str, float] = field(default_factory=dict[str, float])
    """What the last evaluation found besides its loss."""
    micro_tokens: int | None = None
    """Of a forward pass: fewer than the job says where the memory did not suffice, also for the runs that go on."""
    resumed_at: list[int] = field(default_factory=list[int])
    """Steps at which a run took up from a checkpoint."""
    losses: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    eval_losses: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    """The curves so far, by step."""

    def note_loss(self) -> None:
        """Put the loss of the last step on the curve."""
        if self.last_loss is not None:
            _add(self.losses, (self.step, self.last_loss))

    def note_eval(self, loss: float) -> bool:
        """Take in an evaluation; True when it is the best of the trained ones so far."""
        _add(self.eval_losses, (self.step, loss))
        self.eval_step, self.last_eval_loss = self.step, loss
        if self.step == 0:
            self.first_eval_loss = loss
            return False
        if self.best_eval_loss is None or loss < self.best_eval_loss:
            self.best_eval_loss, self.best_step, self.evals_without_gain = loss, self.step, 0
            return True
        self.evals_without_gain += 1
        return False


def _add(curve: list[tuple[int, float]], point: tuple[int, float]) -> None:
    """A point that is a number; a curve that grows long is thinned to half."""
    if math.isfinite(point[1]):
        curve.append(point)
    if len(curve) > MOST_POINTS:
        del curve[1:-1:2]
