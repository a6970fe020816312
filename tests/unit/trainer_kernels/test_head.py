"""The loss through a frozen output layer, chunk by chunk, against the loss over all logits."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tunegate.trainer.kernels import head as kernel

Case = tuple[nn.Linear, Tensor, Tensor, Tensor]


@pytest.fixture
def case() -> Case:
    torch.manual_seed(0)
    head = nn.Linear(16, 50, bias=False).requires_grad_(False)
    head.weight.mul_(40)  # so that some targets are all but impossible
    return (
        head,
        torch.randn(150, 16, requires_grad=True),
        torch.randint(0, 50, (150,)),
        torch.randn(150),
    )


@pytest.mark.parametrize("chunk", [2**20, 50 * 64])
def test_losses_and_gradients(case: Case, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "CPU_CHUNK", chunk)
    head, hidden, targets, share = case
    expected = cross_entropy(head(hidden), targets, reduction="none")
    found = kernel.frozen_head_losses(head, hidden, targets)
    assert expected.max() > 90, "the case has no target beyond what fp32 can hold as a chance"
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    (wanted,) = torch.autograd.grad((expected * share).sum(), hidden)
    (ours,) = torch.autograd.grad((found * share).sum(), hidden)
    torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-5 * wanted.abs().max().item())


def test_no_target_at_all(case: Case) -> None:
    head, hidden, targets, _ = case
    losses = kernel.frozen_head_losses(head, hidden[:0], targets[:0])
    assert losses.shape == (0,)
    losses.sum().backward()


def test_which_layers_it_may_take(case: Case) -> None:
    head = case[0]
    assert kernel.fits(head)
    assert not kernel.fits(nn.Linear(4, 4, bias=True).requires_grad_(False))
    assert not kernel.fits(nn.Linear(4, 4, bias=False))
    assert not kernel.fits(lambda hidden: hidden)
    head.register_forward_hook(lambda *_: None)
    assert not kernel.fits(head)
