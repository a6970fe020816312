"""The learning rate as a pure function of the step."""

import math

from tunegate.contract.request import LrScheduler
from tunegate.contract.training import TuningPlan

DECAY_SHARE = 0.1
"""Part of all steps over which warm-up-stable-decay goes down to zero."""


def learning_rate(tuning: TuningPlan, step: int, total_steps: int) -> float:
    """The rate of the step after `step` finished ones. No step is wasted on a rate of zero."""
    warm_up = 0 if tuning.lr_scheduler == "constant" else warm_up_steps(tuning, total_steps)
    if step < warm_up:
        return tuning.learning_rate * (step + 1) / (warm_up + 1)
    fall = max(1, total_steps - warm_up)
    if tuning.lr_scheduler == "wsd":
        fall = min(fall, math.ceil(DECAY_SHARE * total_steps))
    gone = min(max(0.0, (step - (total_steps - fall)) / fall), 1.0)
    return tuning.learning_rate * _share(tuning.lr_scheduler, gone)


def warm_up_steps(tuning: TuningPlan, total_steps: int) -> int:
    """Steps with a growing rate."""
    return math.ceil(tuning.warmup_ratio * total_steps)


def _share(scheduler: LrScheduler, gone: float) -> float:
    """The part of the full rate when this part (0-1) of the fall is behind us."""
    match scheduler:
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * gone))
        case "linear" | "wsd":
            return 1.0 - gone
        case "constant" | "constant_with_warmup":
            return 1.0
