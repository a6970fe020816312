"""Loss on the rows that are not trained on."""

import torch

from tunegate.trainer.data import BatchPlan, TokenStore, eval_batches
from tunegate.trainer.forward import CausalForward
from tunegate.trainer.stop import StopFlag


@torch.no_grad()
def evaluate(forward: CausalForward, store: TokenStore, plan: BatchPlan, stop: StopFlag) -> float:
    """Mean loss per target token. Raises StopRequested when a stop is asked for meanwhile."""
    forward.model.eval()
    total, targets = 0.0, 0
    try:
        for batch in eval_batches(store, plan):
            if batch.num_targets:
                stop.check()
                total += forward.loss(batch).item()
                targets += batch.num_targets
    finally:
        forward.model.train()
    return total / targets
