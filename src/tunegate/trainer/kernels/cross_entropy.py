"""Cross entropy of rows of logits in one kernel: two passes over the logits, which become their own gradient.

Imported only where there is a GPU, for it needs Triton.
"""

# pyright: reportMissingImports=false, reportUntypedFunctionDecorator=false, reportMissingParameterType=false
import functools
import logging
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK, WARPS = 16384, 32


@triton.jit
def _one_row(
    logits, targets, losses, stride, vocab, with_slopes: tl.constexpr, block: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    logits += row * stride
    target = tl.load(targets + row)
    wanted = tl.load(logits + target).to(tl.float32)
    largest = float("-inf")
    total = 0.0
    for start in range(0, vocab, block):
        place = start + tl.arange(0, block)
        part = tl.load(logits + place, mask=place < vocab, other=float("-inf")).to(tl.float32)
        larger = tl.maximum(largest, tl.max(part))
        total = total * tl.exp(largest - larger) + tl.sum(tl.exp(part - larger))
        largest = larger
    loss = tl.log(total) + (largest - wanted)
    tl.store(losses + row, loss)
    if with_slopes:
        for start in range(0, vocab, block):
            place = start + tl.arange(0, block)
            part = tl.load(logits + place, mask=place < vocab, other=float("-inf")).to(tl.float32)
            tl.store(logits + place, tl.exp(part - largest) / total, mask=place < vocab)
        tl.debug_barrier()
        # From fp32: a chance near 1 that was rounded before the subtraction would leave nothing.
        tl.store(logits + target, tl.exp(-loss) - 1.0)


def losses_and_slopes(logits: Tensor, targets: Tensor, *, with_slopes: bool) -> Tensor:
    """Loss of each row [n] in fp32; `logits` [n, vocab] turn into the slopes of these losses, or stay as they are."""
    losses = logits.new_empty(len(logits), dtype=torch.float32)
    launch: Any = _one_row
    launch[(len(logits),)](
        logits,
        targets,
        losses,
        logits.stride(0),
        logits.shape[1],
        with_slopes=with_slopes,
        block=BLOCK,
        num_warps=WARPS,
    )
    return losses


@functools.cache
def works(device: torch.device) -> bool:
    """Whether Triton's kernels can be built and compute rightly here: it needs a C compiler, and a GPU that it knows."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 1000, generator=random).to(device)
    targets = torch.tensor([0, 7, 512, 999], device=device)
    wanted = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    try:
        found = losses_and_slopes(logits, targets, with_slopes=False)
    except Exception as error:  # noqa: BLE001 (a compiler's, a linker's, a driver's: all mean no)
        logging.getLogger(__name__).info("no Triton: %s", error)
        return False
    return bool(torch.allclose(found, wanted, rtol=1e-4, atol=1e-4))
