"""The learning rate as a pure function of the step."""

import math

from tunegate.contract.request import LrScheduler
from tunegate.contract.training import TuningPlan


def learning_rate(tuning: TuningPlan, step: int, total_steps: int) -> float:
    """The rate of the step after `step` finished ones. No step is wasted on a rate of zero."""
    warm_up = 0 if tuning.lr_scheduler == "constant" else warm_up_steps(tuning, total_steps)
    if step < warm_up:
        return tuning.learning_rate * (step + 1) / (warm_up + 1)
    progress = (step - warm_up) / max(1, total_steps - warm_up)
    return tuning.learning_rate * _share(tuning.lr_scheduler, min(progress, 1.0))


def warm_up_steps(tuning: TuningPlan, total_steps: int) -> int:
    """Steps with a growing rate."""
    return math.ceil(tuning.warmup_ratio * total_steps)


def _share(scheduler: LrScheduler, progress: float) -> float:
    """The part of the full rate after this part (0-1) of the steps that follow the warm-up."""
    match scheduler:
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * progress))
        case "linear":
            return 1.0 - progress
        case "constant" | "constant_with_warmup":
            return 1.0
