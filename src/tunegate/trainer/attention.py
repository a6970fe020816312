"""Attention that keeps packed examples apart: each segment is a causal attention of its own, no mask is built."""

import functools
import inspect
import itertools
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from torch import Tensor, nn

from tunegate.trainer.kernels.segments import causal_segments

NAME = "tunegate_segments"
FOREIGN = ("softcap", "s_aux", "position_bias", "cache")
"""Arguments that change what attention means and that this one does not know."""


class NotSegmentable(Exception):
    """The model asks for something that this attention can't do."""


def register() -> None:
    """Make the attention known to transformers under `NAME`. No mask function of that name: models get None as mask."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(NAME, segment_attention)


def segment_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each of the segments [cu_seq_lens_q[k], cu_seq_lens_q[k+1]).

    Takes query [1, heads, tokens, size] and key, value with as many or fewer heads; gives [1, tokens, heads, size].
    """
    foreign = [name for name in FOREIGN if others.get(name) is not None]
    if foreign or cu_seq_lens_q is None or max_length_q is None or attention_mask is not None:
        raise NotSegmentable(", ".join(foreign) or "no segments, or a mask of its own")
    if not getattr(module, "is_causal", True) or query.shape[0] != 1:
        raise NotSegmentable("not causal, or several rows")
    if query.is_cuda:
        # Rotary positions in fp32 turn query and key, but not value, to fp32 where the weights are fp32 under autocast.
        halves = (
            torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else value.dtype
        )
        query, key, value = query.to(halves), key.to(halves), value.to(halves)
    if query.is_cuda and dropout == 0.0 and query.dtype in {torch.float16, torch.bfloat16}:
        out = _fused(query, key, value, cu_seq_lens_q, max_length_q, scaling, sliding_window)
    else:
        out = _by_segment(query, key, value, cu_seq_lens_q, dropout, scaling, sliding_window)
    return out, None


def _fused(
    query: Tensor, key: Tensor, value: Tensor,
    borders: Tensor, longest: int, scaling: float | None, window: int | None,
) -> Tensor:  # fmt: skip
    """One kernel for all segments, in torch's own variable-length attention."""
    from torch.nn.attention.varlen import varlen_attn

    # Indexing instead would make the backward pass fill and copy a tensor for each.
    q, k, v = (part.squeeze(0).transpose(0, 1).contiguous() for part in (query, key, value))
    settings = _varlen_settings(query.shape[-1], scaling, window)
    out = varlen_attn(q, k, v, borders, borders, longest, longest, **settings)
    if not isinstance(out, Tensor):
        raise NotSegmentable("the kernel returned more than its output")
    return out.unsqueeze(0)


@functools.cache
def _varlen_settings(size: int, scaling: float | None, window: int | None) -> dict[str, Any]:
    """Causal attention in the words of this torch: 2.10 knows no scale and no window, 2.11 does not ask about groups.

    The kernel itself takes fewer key heads than query heads in every version.
    """
    from torch.nn.attention.varlen import varlen_attn

    known = inspect.signature(varlen_attn).parameters
    if "window_size" not in known:
        if scaling not in {None, size**-0.5} or window is not None:
            raise NotSegmentable("torch 2.10 has no scale and no window here")
        return {"is_causal": True}
    window_size = (-1 if window is None else window - 1, 0)
    grouped = {"enable_gqa": True} if "enable_gqa" in known else {}
    return {"scale": scaling, "window_size": window_size, **grouped}


def _by_segment(
    query: Tensor, key: Tensor, value: Tensor,
    borders: Tensor, dropout: float, scaling: float | None, window: int | None,
) -> Tensor:  # fmt: skip
    """Segment by segment: on a CPU cheaper than one call with a mask over everything.

    There it is computed in fp32, for which the products of attention are faster than for halves.
    """
    ends: list[int] = borders.tolist()
    sizes = [end - start for start, end in itertools.pairwise(ends)]
    given = query.dtype
    if query.device.type == "cpu":
        if dropout == 0.0 and (window is None or max(sizes) <= window):
            with torch.autocast("cpu", enabled=False):
                return causal_segments(query, key, value, ends, scaling)
        query, key, value = query.float(), key.float(), value.float()
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (part.repeat_interleave(groups, dim=1) for part in (key, value))
    with torch.autocast(query.device.type, enabled=False):  # it would turn to halves again
        parts = [
            F.scaled_dot_product_attention(
                q, k, v,
                attn_mask=_band(size, window, q.device) if window and size > window else None,
                dropout_p=dropout,
                is_causal=not (window and size > window),
                scale=scaling,
            )
            for q, k, v, size in zip(
                query.split(sizes, dim=2), key.split(sizes, dim=2), value.split(sizes, dim=2), sizes,
                strict=True,
            )
        ]  # fmt: skip
    return torch.cat(parts, dim=2).transpose(1, 2).to(given)


def _band(size: int, window: int, device: torch.device) -> Tensor:
    """True where a token may look: itself and the `window - 1` tokens before it."""
    ahead = torch.arange(size, device=device)
    distance = ahead[:, None] - ahead[None, :]
    return (distance >= 0) & (distance < window)
