"""The loss: summed cross entropy of the target tokens, with logits only where there are targets."""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tunegate.trainer.data.packing import IGNORED

MOST_LOGITS = 64 * 2**20
"""Logits held at once (256 MB as fp32); beyond it the targets go through the head in chunks, twice."""

Head = Callable[[Tensor], Tensor]


def targets_of(labels: Tensor) -> tuple[Tensor, Tensor]:
    """From labels [1, T] to (positions, targets): the output at `positions` is scored against `targets`."""
    following = labels[0, 1:]
    positions = (following != IGNORED).nonzero().squeeze(1)
    return positions, following[positions]


def head_loss(head: Head, hidden: Tensor, positions: Tensor, targets: Tensor, vocab: int) -> Tensor:
    """Summed loss in fp32 of hidden states [1, T, size] at `positions`."""
    chosen = hidden[0].index_select(0, positions)
    rows = max(1, MOST_LOGITS // vocab)
    if len(targets) <= rows:
        return _summed(head, chosen, targets)
    losses = [
        checkpoint(_summed, head, part, wanted, use_reentrant=False)
        for part, wanted in zip(chosen.split(rows), targets.split(rows), strict=True)
    ]
    return torch.stack(losses).sum()


def logits_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The same for models that make their logits themselves: [1, P+T, vocab], P virtual tokens before the row."""
    positions, targets = targets_of(labels)
    virtual = logits.shape[1] - labels.shape[1]
    chosen = logits[0].index_select(0, positions + virtual)
    return F.cross_entropy(chosen.float(), targets, reduction="sum")


def _summed(head: Head, hidden: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(head(hidden).float(), targets, reduction="sum")
