"""`TrainState`: how far a training is; with the weights and the optimizer it is all that a resumed run needs."""

from dataclasses import dataclass, field


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
    resumed_at: list[int] = field(default_factory=list[int])
    """Steps at which a run took up from a checkpoint."""

    def note_eval(self, loss: float) -> bool:
        """Take in an evaluation; True when it is the best of the trained ones so far."""
        self.eval_step, self.last_eval_loss = self.step, loss
        if self.step == 0:
            self.first_eval_loss = loss
            return False
        if self.best_eval_loss is None or loss < self.best_eval_loss:
            self.best_eval_loss, self.best_step, self.evals_without_gain = loss, self.step, 0
            return True
        self.evals_without_gain += 1
        return False
