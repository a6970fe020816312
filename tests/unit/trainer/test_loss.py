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
    positions, targets = losses.targets_of(labels)
    found = losses.head_loss(head, hidden, positions, targets, 50)
    found.backward()
    assert found.item() == pytest.approx(full.item(), rel=1e-6)
    assert hidden.grad is not None
    torch.testing.assert_close(hidden.grad, expected)


def test_virtual_tokens_before_the_row_are_skipped() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(1, 13, 50), torch.randint(0, 50, (1, 10))
    expected = cross_entropy(logits[0, 3:-1], labels[0, 1:], reduction="sum")
    assert losses.logits_loss(logits, labels).item() == pytest.approx(expected.item(), rel=1e-6)
