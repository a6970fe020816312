"""Cross entropy through a frozen output layer, chunk by chunk: the gradient is made while the logits are at hand.

The loss of a target is linear in what comes back for it, so its gradient needs the logits no second time: a chunk's
logits turn into its gradient in place, and nothing of the size of the vocabulary outlives the chunk.
"""

import functools
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch import Tensor, nn

CPU_CHUNK, GPU_CHUNK = 2**20, 2**26
"""Logits held at once: what stays in a CPU's cache; enough to fill a GPU (256 MB as fp32)."""
FEWEST_ROWS = 64


def fits(head: Any) -> bool:
    """Whether the layer is a plain linear one without bias that does not train."""
    if type(head) is not nn.Linear:
        return False
    layer: Any = head
    hooked = layer._forward_hooks or layer._forward_pre_hooks  # noqa: SLF001
    return layer.bias is None and not layer.weight.requires_grad and not hooked


def frozen_head_losses(head: nn.Linear, hidden: Tensor, targets: Tensor) -> Tensor:
    """Loss of each target [n] in fp32: hidden states [n, size], in the dtype of the weight, against `targets` [n]."""
    losses: Any = _FrozenHead.apply(hidden, head.weight, targets)
    return losses


class _FrozenHead(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        most = GPU_CHUNK if hidden.is_cuda else CPU_CHUNK
        rows = max(FEWEST_ROWS, most // len(weight))
        losses = hidden.new_empty(len(targets), dtype=torch.float32)
        slopes = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        turn = _turn(hidden.device)
        for start in range(0, len(targets), rows):
            part = slice(start, start + rows)
            logits = hidden[part] @ weight.t()
            losses[part] = turn(logits, targets[part], with_slopes=slopes is not None)
            if slopes is not None:
                torch.mm(logits, weight, out=slopes[part])
        if slopes is not None:
            ctx.save_for_backward(slopes)
        return losses

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return (slopes * grads[0][:, None]).to(slopes.dtype), None, None


class _Turn(Protocol):
    """Loss of each row of logits in fp32; the logits turn into its slopes where these are wanted."""

    def __call__(self, logits: Tensor, targets: Tensor, *, with_slopes: bool) -> Tensor: ...


@functools.cache
def _turn(device: torch.device) -> _Turn:
    """One kernel where there is Triton for it."""
    if device.type == "cuda" and find_spec("triton"):
        from tunegate.trainer.kernels import cross_entropy

        if cross_entropy.works(device):
            return cross_entropy.losses_and_slopes
    return _in_torch


def _in_torch(logits: Tensor, targets: Tensor, *, with_slopes: bool) -> Tensor:
    wanted = targets[:, None]
    chances = torch.log_softmax(logits, -1, dtype=torch.float32)
    found = chances.gather(1, wanted)
    if with_slopes:
        torch.exp(chances, out=logits).scatter_(1, wanted, found.expm1().to(logits.dtype))
    return found.squeeze(1).neg()
