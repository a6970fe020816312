"""The loss: cross entropy of the target tokens, with logits only where there are targets."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tunegate.trainer.kernels.head import fits, frozen_head_losses

MOST_LOGITS = 64 * 2**20
"""Logits held at once (256 MB as fp32); beyond it the targets go through the head in chunks, twice."""

Head = Callable[[Tensor], Tensor]


def head_losses(
    head: Head, hidden: Tensor, positions: Tensor, targets: Tensor, vocab: int
) -> Tensor:
    """Loss of each target in fp32 [n]: hidden states [1, T, size] at `positions` against `targets`."""
    chosen = hidden.squeeze(0).index_select(0, positions)
    kind = chosen.device.type
    compute = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else chosen.dtype
    frozen: Any = head
    if fits(frozen) and frozen.weight.dtype is compute:
        with torch.autocast(kind, enabled=False):
            return frozen_head_losses(frozen, chosen.to(compute), targets)
    rows = max(1, MOST_LOGITS // vocab)
    if len(targets) <= rows:
        return _losses(head, chosen, targets)
    losses = [
        checkpoint(_losses, head, part, wanted, use_reentrant=False)
        for part, wanted in zip(chosen.split(rows), targets.split(rows), strict=True)
    ]
    return torch.cat(losses)


def logits_losses(logits: Tensor, positions: Tensor, targets: Tensor) -> Tensor:
    """The same for models that make their logits themselves: [1, T, vocab]."""
    chosen = logits.squeeze(0).index_select(0, positions)
    return F.cross_entropy(chosen.float(), targets, reduction="none")


def sum_by_text(losses: Tensor, counts: Tensor) -> Tensor:
    """Sums of neighbours: the first counts[0] losses, the next counts[1], …; 0 where a count is 0."""
    # Sums one text after the other, so that the result is the same in every run, as index_add on a GPU would not be.
    return torch.segment_reduce(losses, "sum", lengths=counts, unsafe=True)


def _losses(head: Head, hidden: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(head(hidden).float(), targets, reduction="none")
