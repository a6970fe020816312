"""The attention of packed texts against torch's own, text by text."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from tunegate.trainer.kernels import segments

Inputs = tuple[Tensor, Tensor, Tensor]
ENDS = [0, 1, 70, 130, 131, 300]


def inputs(heads: int, key_heads: int, value_size: int, dtype: torch.dtype) -> Inputs:
    random = torch.Generator().manual_seed(0)
    shapes = ((heads, 16), (key_heads, 16), (key_heads, value_size))
    query, key, value = (
        torch.randn(1, n, ENDS[-1], size, generator=random).to(dtype).requires_grad_()
        for n, size in shapes
    )
    return query, key, value


def expected(query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
    groups = query.shape[1] // key.shape[1]
    key, value = (part.repeat_interleave(groups, 1) for part in (key, value))
    parts = [
        scaled_dot_product_attention(
            query[:, :, start:end], key[:, :, start:end], value[:, :, start:end],
            is_causal=True, scale=scale,
        )
        for start, end in itertools.pairwise(ENDS)
    ]  # fmt: skip
    return torch.cat(parts, 2).transpose(1, 2)


@pytest.mark.parametrize("kept", [512, 100])
@pytest.mark.parametrize("scale", [None, 0.5])
@pytest.mark.parametrize(("heads", "key_heads", "value_size"), [(4, 4, 16), (4, 2, 16), (6, 1, 8)])
def test_outputs_and_gradients_are_torchs(
    heads: int, key_heads: int, value_size: int, scale: float | None, kept: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(segments, "KEPT", kept)
    given = inputs(heads, key_heads, value_size, torch.float32)
    wanted = expected(*given, scale)
    found = segments.causal_segments(*given, ENDS, scale)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    slope = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1))
    ours = torch.autograd.grad((found * slope).sum(), given)
    for one, other in zip(ours, torch.autograd.grad((wanted * slope).sum(), given), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=2e-6 * other.abs().max().item())


def test_halves_keep_their_dtype_and_are_as_exact_as_they_can_be() -> None:
    given = inputs(4, 2, 16, torch.bfloat16)
    query, key, value = (part.detach().float().requires_grad_() for part in given)
    wanted = expected(query, key, value, None)
    found = segments.causal_segments(*given, ENDS, None)
    assert found.dtype is torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, rtol=1e-2, atol=1e-2)
    ours = torch.autograd.grad(found.float().square().sum(), given)
    theirs = torch.autograd.grad(wanted.square().sum(), (query, key, value))
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype is torch.bfloat16
        assert (one.float() - other).norm() <= 0.02 * other.norm()
