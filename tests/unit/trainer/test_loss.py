"""The head at labelled positions, whole and in chunks, against the loss over all logits."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tunegate.trainer import loss as losses


@pytest.fixture
def problem() -> tuple[nn.Linear, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    labels = torch.randint(0, 50, (1, 40))
    labels[0, torch.rand(40) < 0.6] = -100
    return nn.Linear(16, 50, bias=False), torch.randn(1, 40, 16, requires_grad=True), labels


@pytest.mark.parametrize("most_logits", [10**9, 50 * 3])
def test_equals_the_loss_over_all_logits(
    problem: tuple[nn.Linear, torch.Tensor, torch.Tensor],
    most_logits: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(losses, "MOST_LOGITS", most_logits)
    head, hidden, labels = problem
    full = cross_entropy(head(hidden)[0, :-1], labels[0, 1:], ignore_index=-100, reduction="sum")
    full.backward()
    expected = hidden.grad
    hidden.grad = None
    positions = (labels[0, 1:] >= 0).nonzero().squeeze(1)
    found = losses.head_losses(head, hidden, positions, labels[0, 1:][positions], 50).sum()
    found.backward()
    assert found.item() == pytest.approx(full.item(), rel=1e-6)
    assert hidden.grad is not None
    torch.testing.assert_close(hidden.grad, expected)


def test_losses_are_summed_text_by_text() -> None:
    each = torch.arange(1.0, 7.0, requires_grad=True)
    sums = losses.sum_by_text(each, torch.tensor([2, 0, 3, 1]))
    assert sums.tolist() == [3.0, 0.0, 12.0, 6.0]
    (sums * torch.tensor([1.0, 10.0, 100.0, 1000.0])).sum().backward()
    assert each.grad is not None
    assert each.grad.tolist() == [1.0, 1.0, 100.0, 100.0, 100.0, 1000.0]
