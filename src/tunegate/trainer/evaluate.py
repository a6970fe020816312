"""How well the objective is met on rows that are not trained on."""

from dataclasses import dataclass

import torch

from tunegate.trainer.data import BatchPlan, TokenStore, eval_batches
from tunegate.trainer.distributed.ranks import Ranks
from tunegate.trainer.objective import Means, Objective, Scores
from tunegate.trainer.stop import StopFlag


@dataclass(frozen=True)
class HeldOut:
    """The rows, and the objective as it is on them."""

    store: TokenStore
    objective: Objective


@torch.no_grad()
def evaluate(held_out: HeldOut, plan: BatchPlan, stop: StopFlag, ranks: Ranks) -> Means:
    """Means over all the rows. Raises StopRequested when a stop is asked for meanwhile."""
    objective = held_out.objective
    model, scores = objective.forward.model, Scores(objective, ranks)
    model.eval()
    try:
        for batch in eval_batches(held_out.store, plan):
            ranks.check_between(stop)
            score = objective.score(batch)
            if not batch.idle:
                scores.add(batch, score)
    finally:
        model.train()
    return scores.read()
