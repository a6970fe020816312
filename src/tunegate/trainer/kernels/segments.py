"""Causal attention of packed texts on a CPU: matrix products over blocks of queries, no product above the diagonal.

The heads that share a key head are rows of one product, so grouped keys are never repeated; what torch's own kernel for
CPUs computes in many small products becomes a few large ones, in its backward pass above all. All of it is fp32.
"""

import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

BLOCK = 64
"""Queries that are taken together; large enough for the products, small enough to skip most of what no token sees."""
KEPT = 512
"""In texts up to this length the probabilities wait for the backward pass; in longer ones they are computed again."""

Block = tuple[int, int, int]
"""First token of the text, first and last query of the block + 1, counted in the row."""


def causal_segments(
    query: Tensor, key: Tensor, value: Tensor, ends: list[int], scale: float | None
) -> Tensor:
    """Query [1, heads, T, size], key and value with as many or fewer heads, gives [1, T, heads, size of a value].

    `ends` are the borders of the texts from 0 to T; a token sees the tokens of its text up to itself.
    """
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    out: Any = _CausalSegments.apply(query, key, value, ends, factor)
    return out


class _CausalSegments(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, ends: list[int], scale: float
    ) -> Tensor:
        heads, tokens = query.shape[1:3]
        groups = heads // key.shape[1]
        q, k, v = _rows(query[0], groups).mul_(scale), _rows(key[0], 1), _rows(value[0], 1)
        o = q.new_empty(len(k), tokens * groups, v.shape[-1])
        kept: list[Tensor] = []
        for first, start, end in _blocks(ends):
            p = _probabilities(q, k, first, start, end, groups)
            torch.bmm(p, v[:, first:end], out=o[:, start * groups : end * groups])
            if end - first <= KEPT:
                kept.append(p)
        by_token = _heads(o, groups).transpose(0, 1)
        out = by_token.to(query.dtype, memory_format=torch.contiguous_format)[None]
        ctx.save_for_backward(q, k, v, out, *kept)
        ctx.ends, ctx.scale, ctx.groups = ends, scale, groups
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, *kept = ctx.saved_tensors
        groups, waiting = ctx.groups, iter(kept)
        grad = _rows(grads[0][0].transpose(0, 1), groups)
        # What each row of probabilities loses so that it still sums to one, from the output instead of the row.
        shift = (grads[0][0].float() * out[0]).sum(-1).t()
        shift = _rows(shift[..., None], groups)
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for first, start, end in _blocks(ctx.ends):
            near = slice(start * groups, end * groups)
            fits = end - first <= KEPT
            p = next(waiting) if fits else _probabilities(q, k, first, start, end, groups)
            dv[:, first:end].baddbmm_(p.transpose(1, 2), grad[:, near])
            ds = torch.bmm(grad[:, near], v[:, first:end].transpose(1, 2))
            ds.sub_(shift[:, near]).mul_(p)
            torch.bmm(ds, k[:, first:end], out=dq[:, near])
            dk[:, first:end].baddbmm_(ds.transpose(1, 2), q[:, near])
        dtype = grads[0].dtype
        grown = _heads(dq.mul_(ctx.scale), groups), dk, dv
        return *(part.to(dtype)[None] for part in grown), None, None


def _probabilities(q: Tensor, k: Tensor, first: int, start: int, end: int, groups: int) -> Tensor:
    """Of a block of queries over the keys from the text's first token to the block's last [K, queries, keys]."""
    scores = torch.bmm(q[:, start * groups : end * groups], k[:, first:end].transpose(1, 2))
    size = end - start
    scores[:, :, start - first :].add_(_ahead(groups)[: size * groups, :size])
    return torch.softmax(scores, -1)


def _blocks(ends: list[int]) -> Iterator[Block]:
    for first, last in itertools.pairwise(ends):
        parts = max(1, round((last - first) / BLOCK))
        size = max(1, -(-(last - first) // parts))
        for start in range(first, last, size):
            yield first, start, min(start + size, last)


@functools.cache
def _ahead(groups: int) -> Tensor:
    """-inf where a key comes after the query, for the largest block; a smaller one's is its upper left corner."""
    side = 2 * BLOCK
    mask = torch.full((side, side), -math.inf).triu_(1)
    return mask.repeat_interleave(groups, dim=0)


def _rows(part: Tensor, groups: int) -> Tensor:
    """[heads, T, size] as a new [heads / groups, T * groups, size] in fp32: token by token, its heads side by side."""
    heads, tokens, size = part.shape
    rows = part.new_empty(heads // groups, tokens, groups, size, dtype=torch.float32)
    rows.copy_(part.unflatten(0, (-1, groups)).transpose(1, 2))
    return rows.flatten(1, 2)


def _heads(rows: Tensor, groups: int) -> Tensor:
    """The way back, as a view where it can be: [heads, T, size]."""
    return rows.unflatten(1, (-1, groups)).transpose(1, 2).flatten(0, 1)
