"""Muon as it is used on language models: the hidden layers' matrices by Muon, all else by AdamW, as one optimizer."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Optimizer


def hidden_matrices(model: nn.Module) -> set[nn.Parameter]:
    """Matrices that lie neither in an embedding nor in the output layer: those of Muon."""
    wrapper: Any = model
    causal: Any = wrapper.get_base_model() if hasattr(model, "get_base_model") else model
    edges = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    edges += [m for m in (causal.get_input_embeddings(), causal.get_output_embeddings()) if m]
    outside = {parameter for edge in edges for parameter in edge.parameters()}
    return {p for p in model.parameters() if p.ndim == 2 and p not in outside}


class Muon(Optimizer):
    """torch's Muon and fused AdamW, which share this optimizer's groups and state.

    Muon's steps are scaled to the size of AdamW's, so that a learning rate and a weight decay mean the same for both.
    """

    def __init__(
        self, groups: list[dict[str, Any]], matrices: set[nn.Parameter], *, lr: float
    ) -> None:
        """`groups` as torch.optim takes them; those of their parameters that are `matrices` go to Muon."""
        parts: list[Optimizer] = []
        if hidden := _members(groups, lambda parameter: parameter in matrices):
            parts.append(torch.optim.Muon(hidden, lr=lr, adjust_lr_fn="match_rms_adamw"))
        if others := _members(groups, lambda parameter: parameter not in matrices):
            parts.append(AdamW(others, lr=lr, fused=True))
        self._parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {"lr": lr})
        for part in parts:
            part.state = self.state

    def step(self, closure: Any = None) -> Any:
        """One step of both."""
        loss = None if closure is None else closure()
        for part in self._parts:
            part.step()
        return loss


def _members(
    groups: list[dict[str, Any]], belongs: Callable[[nn.Parameter], bool]
) -> list[dict[str, Any]]:
    """The groups with those of their parameters only that belong; without what would be empty."""
    chosen = [{**group, "params": [p for p in group["params"] if belongs(p)]} for group in groups]
    return [group for group in chosen if group["params"]]
