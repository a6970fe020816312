"""Direct preference optimisation (DPO): the model learns to prefer the chosen answer, held to what it was before.

With the log-probabilities of an answer under the model (p) and under the model as it was before the training (r), its
reward is beta * (p - r); the loss of a pair is -log sigmoid(reward of the chosen - reward of the rejected).
"""

import contextlib
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from numpy.typing import NDArray
from torch import Tensor

from tunegate.trainer.data import BatchPlan, PackedBatch, TokenStore, eval_batches
from tunegate.trainer.distributed.ranks import Ranks
from tunegate.trainer.forward import CausalForward
from tunegate.trainer.objective import Score
from tunegate.trainer.stop import StopFlag

NAMES = ("rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies")


class Preference:
    """DPO on the pairs of one store. `reference` is [pairs, 2]: the losses of both answers before the training."""

    names: tuple[str, ...] = NAMES

    def __init__(self, forward: CausalForward, beta: float, reference: NDArray[np.float32]) -> None:
        self.forward = forward
        self._beta = beta
        self._reference = reference

    def weights(self, batch: PackedBatch) -> NDArray[np.int64]:
        return np.ones(len(batch.example_ids), np.int64)

    def score(self, batch: PackedBatch) -> Score:
        losses = self.forward.text_losses(batch).view(-1, 2)
        before = torch.from_numpy(self._reference[batch.example_ids]).to(losses.device)
        rewards = self._beta * (before - losses)
        margins = rewards[:, 0] - rewards[:, 1]
        return Score(-F.logsigmoid(margins), _sums(rewards.detach(), margins.detach()))

    def derived(self, loss: float) -> dict[str, float]:
        del loss
        return {}


@torch.no_grad()
def reference_losses(
    forward: CausalForward,
    store: TokenStore,
    plan: BatchPlan,
    stop: StopFlag,
    *,
    seen: bool,
    ranks: Ranks = Ranks(),  # noqa: B008 (without state)
) -> NDArray[np.float32]:
    """Losses of both answers of each pair under the model before its first step [pairs, 2].

    `seen`: only of pairs that the plan comes to; the rest stay 0. Raises StopRequested.
    """
    examples = _seen(plan) if seen else None
    found = np.zeros((len(store), 2), np.float32)
    was_training = forward.model.training
    forward.model.eval()
    with _as_before(forward):
        for batch in eval_batches(store, plan, examples):
            stop.check()
            losses = forward.text_losses(batch).view(-1, 2)
            if not batch.idle:
                found[batch.example_ids] = losses.cpu().numpy()
    ranks.add_up(found)
    forward.model.train(was_training)
    return found


def _as_before(forward: CausalForward) -> contextlib.AbstractContextManager[Any]:
    """A new adapter changes nothing, so the model is what it was: also where the adapter took a part of the weights
    into itself, and without the adapter the model would be another. Only prompts of virtual tokens change it at once.
    """
    model: Any = forward.model
    if getattr(model, "prompt_encoder", None):
        return model.disable_adapter()
    return contextlib.nullcontext()


def _seen(plan: BatchPlan) -> NDArray[np.int64]:
    """The examples that the plan comes to."""
    wanted = np.zeros(len(plan.store), np.bool_)
    for step in range(plan.total_steps):
        wanted[plan.examples(step)] = True
    return np.flatnonzero(wanted).astype(np.int64)


def _sums(rewards: Tensor, margins: Tensor) -> Tensor:
    """In the order of NAMES."""
    return torch.cat((rewards.sum(0), margins.sum()[None], (margins > 0).sum()[None]))
