"""The optimizer, and its state as plain tensors and numbers."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tunegate.contract.training import TuningPlan
from tunegate.trainer.device import Device

Flat = tuple[dict[str, Tensor], dict[str, float | int | bool]]
"""State tensors and numbers by `parameter|key`."""


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that train, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def make_optimizer(model: nn.Module, tuning: TuningPlan, device: Device) -> Optimizer:
    """One group that decays and one that does not (norms and biases: what has one dimension)."""
    parameters = list(trainable(model).values())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": tuning.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    match tuning.optimizer:
        case "adamw" | "adamw_torch":
            return torch.optim.AdamW(groups, lr=tuning.learning_rate, fused=True)
        case "adamw_8bit":
            from bitsandbytes.optim import AdamW8bit

            return AdamW8bit(groups, lr=tuning.learning_rate)
        case "paged_adamw_8bit":
            from bitsandbytes.optim import AdamW8bit, PagedAdamW8bit

            paged = PagedAdamW8bit if device.is_cuda else AdamW8bit
            return paged(groups, lr=tuning.learning_rate)
        case "sgd":
            return torch.optim.SGD(groups, lr=tuning.learning_rate)


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def flatten(optimizer: Optimizer, model: nn.Module) -> Flat:
    """The optimizer's state under the names of the parameters; tensors are copies on the CPU."""
    names = {id(parameter): name for name, parameter in trainable(model).items()}
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, float | int | bool] = {}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            place = f"{names[id(parameter)]}|{key}"
            if isinstance(value, Tensor):
                tensors[place] = value.detach().to("cpu", copy=True)
            elif isinstance(value, int | float | bool):
                numbers[place] = value
    return tensors, numbers


def restore(optimizer: Optimizer, model: nn.Module, flat: Flat) -> None:
    """Put a flattened state back. Raises KeyError when it belongs to other parameters."""
    order: dict[int, int] = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            order[id(parameter)] = len(order)
    numbers = {name: order[id(parameter)] for name, parameter in trainable(model).items()}
    state: dict[int, dict[str, Any]] = {}
    for part in flat:
        for place, value in part.items():
            name, _, key = place.rpartition("|")
            state.setdefault(numbers[name], {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
