"""The optimizer, and its state as plain tensors and numbers."""

from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tunegate.contract.training import TuningPlan
from tunegate.trainer.device import Device
from tunegate.trainer.distributed.ranks import Ranks
from tunegate.trainer.distributed.whole import part_like, whole

Flat = tuple[dict[str, Tensor], dict[str, float | int | bool]]
"""State tensors and numbers by `parameter|key`."""
Group = dict[str, Any]
"""Parameters that are stepped alike, as torch.optim takes them."""


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that train, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def make_optimizer(model: nn.Module, tuning: TuningPlan, device: Device) -> Optimizer:
    """The optimizer that the job asks for; `set_learning_rate` keeps the ratio of each group's rate."""
    groups = parameter_groups(model, tuning)
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
        case "adafactor":
            from transformers.optimization import Adafactor

            return Adafactor(
                groups, lr=tuning.learning_rate, scale_parameter=False, relative_step=False
            )
        case "lion_8bit":
            from bitsandbytes.optim import Lion8bit

            return Lion8bit(groups, lr=tuning.learning_rate)
        case "muon":
            from tunegate.trainer.muon import Muon, hidden_matrices

            return Muon(groups, hidden_matrices(model), lr=tuning.learning_rate)
        case "sgd":
            return torch.optim.SGD(groups, lr=tuning.learning_rate)


def parameter_groups(model: nn.Module, tuning: TuningPlan) -> list[Group]:
    """What has one dimension (norms, biases) does not decay; the B matrices of LoRA+ have a rate of their own."""
    groups: dict[tuple[float, float], Group] = {}
    for name, parameter in trainable(model).items():
        decay = tuning.weight_decay if parameter.ndim > 1 else 0.0
        is_b = "lora_B." in name or "lora_embedding_B." in name
        ratio = tuning.loraplus_lr_ratio if is_b else 1.0
        empty: Group = {"params": [], "weight_decay": decay, "lr_ratio": ratio}
        groups.setdefault((decay, ratio), empty)["params"].append(parameter)
    return list(groups.values())


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_ratio", 1.0)


def flatten(optimizer: Optimizer, model: nn.Module) -> Flat:
    """The optimizer's state under the names of the parameters; tensors are copies on the CPU."""
    names = {id(parameter): name for name, parameter in trainable(model).items()}
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, float | int | bool] = {}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            place = f"{names[id(parameter)]}|{key}"
            if isinstance(value, Tensor):
                tensors[place] = whole(value)
            elif isinstance(value, int | float | bool):
                numbers[place] = value
    return tensors, numbers


def restore(
    optimizer: Optimizer,
    model: nn.Module,
    flat: Flat,
    ranks: Ranks = Ranks(),  # noqa: B008 (without state)
) -> None:
    """Put a flattened state of rank 0 back as it was. Raises KeyError when it belongs to other parameters."""
    # load_state_dict would round states that are finer than their parameters.
    parameters = trainable(model)
    optimizer.state.clear()
    tensors, numbers = flat
    for place, value in chain(ranks.spread(tensors), ranks.broadcast(numbers).items()):
        name, _, key = place.rpartition("|")
        parameter = parameters[name]
        kept = part_like(value, parameter) if isinstance(value, Tensor) else value
        optimizer.state[parameter][key] = kept
